//! Moves a whole ledger into a database, or out of one.
//!
//! Both can be cut off at any point and begun again. While a database is filled, or once its ledger
//! has left, the format in `ddes_ledger` says so, and servers refuse it.

use std::collections::HashMap;
use std::io;
use std::time::SystemTime;

use ddes_ledger::shared::{HistoryEntry, RowKey, SharedRow, Swap};
use ddes_ledger::{AccountChange, AccountId, Departure};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::audit::{AuditError, HistoryReader, VerifiedHistory};
use crate::connection::{
    COMMIT_MAX, Connection, DatabaseError, DatabaseLink, DatabaseTrouble, Demands, STATEMENT_MAX,
    get,
};
use crate::keeper::timestamp;
use crate::place::{DatabaseUrl, Purpose};
use crate::schema;

/// Changes of one transaction, and the most values of them.
const CHANGES_MAX: usize = 4096;
const VALUES_MAX: usize = 1 << 16;

/// Why a ledger was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// There is no connection, or no database that can take it.
    #[error(transparent)]
    Connect(#[from] DatabaseError),
    /// The database failed meanwhile. The same command goes on from there.
    #[error("{0}")]
    Failed(String),
    /// The database holds accounts already.
    #[error("it holds accounts already")]
    NotEmpty,
    /// What is there is not what was to be moved.
    #[error("{0}")]
    Differs(String),
    /// An account has no session numbers left.
    #[error("account {0} has no session numbers left")]
    NoSessions(AccountId),
    /// The database is not whole.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The system gives no means to wait.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<DatabaseTrouble> for MigrateError {
    fn from(DatabaseTrouble(why): DatabaseTrouble) -> Self {
        Self::Failed(why)
    }
}

/// A connection, and the thread's means to wait for it.
struct Waiting {
    runtime: Runtime,
    local: LocalSet,
}

impl Waiting {
    fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, local: LocalSet::new() })
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.local.block_on(&self.runtime, future)
    }
}

/// A ledger on its way into a database.
pub struct DatabaseArrival {
    place: DatabaseUrl,
    ledger: [u8; 16],
    connection: Connection,
    waiting: Waiting,
    changes: Vec<AccountChange>,
    values: usize,
}

impl DatabaseArrival {
    /// Takes a database whose tables are empty, or that an earlier attempt has begun to fill. The
    /// URL's user owns the tables. `id` is the ledger's.
    pub fn begin(place: &DatabaseUrl, id: [u8; 16]) -> Result<Self, MigrateError> {
        let waiting = Waiting::new()?;
        let demands = Demands { formats: &[schema::FORMAT, schema::FILLING], ..Demands::default() };
        let connection = waiting.wait(async {
            let connection = Connection::open(place, demands).await?;
            claim(connection.link(), id).await?;
            Ok::<_, MigrateError>(connection)
        })?;
        let (place, changes) = (place.clone(), Vec::new());
        Ok(Self { place, ledger: id, connection, waiting, changes, values: 0 })
    }

    /// Takes the next change. Those that are there already change nothing.
    pub fn take(&mut self, change: AccountChange) -> Result<(), MigrateError> {
        self.values += change.amounts.len();
        self.changes.push(change);
        if self.changes.len() >= CHANGES_MAX || self.values >= VALUES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), MigrateError> {
        let changes = std::mem::take(&mut self.changes);
        self.values = 0;
        if changes.is_empty() {
            return Ok(());
        }
        self.waiting.wait(write(&self.connection, &changes))
    }

    /// Raises every session number by 2^32, and compares all of it with what was moved. Servers
    /// refuse the database until [`Self::open`].
    pub fn complete(
        &mut self,
        from: &Departure,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<VerifiedHistory, MigrateError> {
        self.flush()?;
        let now = timestamp(SystemTime::now());
        for raised in from.raised() {
            let (id, account) = raised.map_err(MigrateError::NoSessions)?;
            let standing = account.standing();
            let first_seq = standing
                .last_seq
                .forward(1)
                .map_err(|error| MigrateError::Differs(format!("account {id}: {error}")))?;
            self.take(AccountChange {
                id,
                time: now,
                session: account.newest_session(),
                first_seq,
                amounts: Vec::new(),
                sum: standing.sum,
            })?;
        }
        self.flush()?;
        let (mut other, mut seen, totals) = (None, 0_u64, from.totals());
        let reader = HistoryReader::of_moving(&self.place, self.ledger);
        let verified = reader.verify(&mut |_| true, &mut |row| {
            seen += 1;
            progress(seen, totals.accounts.max(seen));
            other = (!from.holds(&row.id, &row.account)).then_some(row.id);
            other.is_none()
        });
        if let Some(id) = other {
            let what = format!("account {id} is not what it was: another program wrote it");
            return Err(MigrateError::Differs(what));
        }
        let verified = verified?;
        if verified.totals != totals {
            let what = "the totals are not what they were: another program wrote accounts";
            return Err(MigrateError::Differs(what.into()));
        }
        Ok(verified)
    }

    /// Lets servers have it.
    pub fn open(self) -> Result<(), MigrateError> {
        let link = self.connection.link();
        self.waiting.wait(set_format(link, schema::FORMAT))
    }
}

/// Marks the database as one that is being filled, under its new id.
async fn claim(link: &DatabaseLink, id: [u8; 16]) -> Result<(), MigrateError> {
    let (found, format) = link.ledger_of(&[schema::FORMAT, schema::FILLING]).await?;
    if format == schema::FILLING {
        return if found == id { Ok(()) } else { Err(DatabaseError::OtherLedger { found }.into()) };
    }
    let query = link.client.query_one("SELECT EXISTS (SELECT FROM ddes_account)", &[]);
    if get::<bool>(&link.within(STATEMENT_MAX, query).await?, 0)? {
        return Err(MigrateError::NotEmpty);
    }
    let (id, filling) = (&id[..], schema::FILLING);
    let update = "UPDATE ddes_ledger SET id = $1, format = $2";
    link.forget_warnings();
    link.unwarned(COMMIT_MAX, link.client.execute(update, &[&id, &filling]))
        .await
        .map_err(not_owner)?;
    Ok(())
}

async fn set_format(link: &DatabaseLink, format: i32) -> Result<(), MigrateError> {
    link.forget_warnings();
    let update = "UPDATE ddes_ledger SET format = $1";
    link.unwarned(COMMIT_MAX, link.client.execute(update, &[&format])).await.map_err(not_owner)?;
    Ok(())
}

fn not_owner(DatabaseTrouble(why): DatabaseTrouble) -> MigrateError {
    DatabaseError::unfit(
        format!("the table ddes_ledger cannot be changed: {why}"),
        "a URL with the user who owns the tables, of ddes ledger init",
    )
    .into()
}

/// Writes these changes in one transaction, but for those that are there.
async fn write(connection: &Connection, changes: &[AccountChange]) -> Result<(), MigrateError> {
    let mut keys: Vec<RowKey> = changes.iter().map(|change| RowKey::from(&change.id)).collect();
    keys.sort_unstable();
    keys.dedup();
    let wanted = keys.iter().filter_map(|key| RowKey::parse(key.as_bytes()));
    let wanted: Vec<SharedRow> = wanted.map(SharedRow::new).collect();
    let found = connection.read(&wanted).await?;
    let mut rows: HashMap<AccountId, (SharedRow, SharedRow)> =
        found.into_iter().map(|row| (row.id, (row, row))).collect();
    let mut entries: Vec<HistoryEntry> = Vec::new();
    for change in changes {
        let Some((_, row)) = rows.get_mut(&change.id) else {
            return Err(MigrateError::Failed("an account was not returned".into()));
        };
        if change.is_in(row.account.newest_session(), &row.account.standing()) {
            continue;
        }
        let (after, entry) =
            row.changed(change).map_err(|error| MigrateError::Differs(error.to_string()))?;
        *row = after;
        entries.push(entry);
    }
    if entries.is_empty() {
        return Ok(connection.commit().await?);
    }
    let mut swaps: Vec<Swap> = rows
        .into_values()
        .filter(|(before, after)| before.version != after.version)
        .map(|(before, row)| Swap { prior: (before.version, before.chain), row })
        .collect();
    swaps.sort_unstable_by_key(|swap| RowKey::from(&swap.row.id));
    let written = connection.swap(&swaps, true).await?;
    if written.len() != swaps.len() {
        return Err(MigrateError::Failed("an account that was locked has changed".into()));
    }
    Ok(connection.append(&entries).await?)
}

/// A ledger on its way out of a database. Nobody can write it meanwhile.
pub struct DatabaseDeparture {
    place: DatabaseUrl,
    ledger: [u8; 16],
    link: DatabaseLink,
    waiting: Waiting,
}

impl DatabaseDeparture {
    /// Locks the tables: servers wait, and answer with status 4 after some time. The URL's user
    /// owns the tables.
    pub fn begin(place: &DatabaseUrl) -> Result<Self, MigrateError> {
        let waiting = Waiting::new()?;
        let (link, ledger) = waiting.wait(async {
            let link = DatabaseLink::open(place, Purpose::Move).await?;
            // One that has left may leave again, if what it left for was cut off.
            let (ledger, _) = link.ledger_of(&[schema::FORMAT, schema::MOVED]).await?;
            let lock = "BEGIN; LOCK TABLE ddes_account, ddes_history IN EXCLUSIVE MODE";
            link.within(STATEMENT_MAX, link.client.batch_execute(lock)).await?;
            link.forget_warnings();
            Ok::<_, MigrateError>((link, ledger))
        })?;
        Ok(Self { place: place.clone(), ledger, link, waiting })
    }

    /// The ledger's id.
    pub fn ledger(&self) -> [u8; 16] {
        self.ledger
    }

    /// Verifies all of it, and passes on each entry and each account; both return whether to go on.
    pub fn read(
        &self,
        step: &mut dyn FnMut(&HistoryEntry) -> bool,
        row: &mut dyn FnMut(&SharedRow) -> bool,
    ) -> Result<VerifiedHistory, AuditError> {
        HistoryReader::of_moving(&self.place, self.ledger).verify(step, row)
    }

    /// Marks it as moved, so that no server writes it again.
    pub fn leave(self) -> Result<(), MigrateError> {
        self.waiting.wait(async {
            let (link, moved) = (&self.link, schema::MOVED);
            let update = "UPDATE ddes_ledger SET format = $1";
            link.unwarned(STATEMENT_MAX, link.client.execute(update, &[&moved]))
                .await
                .map_err(not_owner)?;
            // A server whose statement waits for the lock has looked at the format before.
            link.unwarned(STATEMENT_MAX, link.client.batch_execute(schema::CLOSE))
                .await
                .map_err(not_owner)?;
            Ok(link.unwarned(COMMIT_MAX, link.client.batch_execute("COMMIT")).await?)
        })
    }
}
