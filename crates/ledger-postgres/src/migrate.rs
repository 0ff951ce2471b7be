//! Moves a whole ledger into a database, or out of one.
//!
//! Both can be cut off at any point and begun again. While a database is filled, or once its ledger
//! has left, the format in `ddes_ledger` says so, and servers refuse it.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use ddes_ledger::shared::{HistoryEntry, RowKey, SharedRow, Swap};
use ddes_ledger::{AccountChange, AccountId, Departure};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

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
/// How long a database that fails is tried again, and how often.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// How long readers of the history, a dump for example, are waited for at the end.
const CLOSE_MAX: Duration = Duration::from_secs(11 * 60);

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

/// What [`DatabaseArrival::begin`] found.
pub enum BegunArrival {
    /// The database can be filled.
    Begun {
        /// What fills it.
        arrival: Box<DatabaseArrival>,
        /// What is not as it should be, and no reason to refuse.
        warnings: Vec<String>,
    },
    /// All of the ledger came earlier: only its last step was not heard of.
    IsThere,
}

/// A ledger on its way into a database.
pub struct DatabaseArrival {
    place: DatabaseUrl,
    ledger: [u8; 16],
    demands: Demands,
    connection: Connection,
    waiting: Waiting,
    changes: Vec<AccountChange>,
    values: usize,
}

impl DatabaseArrival {
    /// Takes a database whose tables are empty, or that an earlier attempt has begun to fill. The
    /// URL's user owns the tables. `id` is the ledger's, and `has_left` whether its folder says
    /// that it went to this place.
    pub fn begin(
        place: &DatabaseUrl,
        id: [u8; 16],
        needs_standby: bool,
        has_left: bool,
    ) -> Result<BegunArrival, MigrateError> {
        let waiting = Waiting::new()?;
        let demands = Demands {
            standby: needs_standby,
            formats: &[schema::FORMAT, schema::FILLING],
            ..Demands::default()
        };
        let begun = waiting.wait(async {
            let link = DatabaseLink::open(place, Purpose::Move).await?;
            let found = link.check(place, Demands { limits: false, ..demands }).await?;
            owns_tables(&link).await?;
            if !claim(&link, id, has_left).await? {
                return Ok(None);
            }
            // With the statements of a lane, and its time limits.
            let connection = Connection::open(place, demands).await?;
            Ok::<_, MigrateError>(Some((connection, found.warnings)))
        })?;
        let Some((connection, warnings)) = begun else { return Ok(BegunArrival::IsThere) };
        let (place, changes) = (place.clone(), Vec::new());
        let arrival = Self { place, ledger: id, demands, connection, waiting, changes, values: 0 };
        Ok(BegunArrival::Begun { arrival: Box::new(arrival), warnings })
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
        let begin = Instant::now();
        loop {
            let written = self.waiting.wait(write(&self.connection, &changes));
            match written {
                // What was cut off before may hold locks for a while, or a standby takes over.
                // Whatever became of it, each change counts once.
                Err(MigrateError::Failed(_)) if begin.elapsed() < PATIENCE => {
                    self.connect(begin + PATIENCE)?;
                }
                written => return written,
            }
        }
    }

    /// Connects again, to a database that holds the same ledger. Until `end` one that does not
    /// answer, or lacks something for now, a standby for example, is tried again.
    fn connect(&mut self, end: Instant) -> Result<(), MigrateError> {
        let (place, demands) = (&self.place, Demands { ledger: Some(self.ledger), ..self.demands });
        self.connection = self.waiting.wait(async {
            loop {
                tokio::time::sleep(RETRY_EVERY).await;
                match Connection::open(place, demands).await {
                    Err(DatabaseError::Unreachable(_) | DatabaseError::Unfit { .. })
                        if Instant::now() < end => {}
                    opened => return opened,
                }
            }
        })?;
        Ok(())
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
        let (id, filling, whole) = (&self.ledger[..], schema::FILLING, schema::FORMAT);
        let open = "UPDATE ddes_ledger SET format = $3 WHERE id = $1 AND format = $2";
        self.waiting.wait(async {
            link.forget_warnings();
            one_row(link, COMMIT_MAX, open, &[&id, &filling, &whole]).await
        })
    }
}

/// Marks the database as one that is being filled, under its new id. `false` if all of this ledger
/// is there already. `has_left` is whether its folder says that it went here.
async fn claim(link: &DatabaseLink, id: [u8; 16], has_left: bool) -> Result<bool, MigrateError> {
    // No server can make its first account between the look and the mark.
    let lock = "BEGIN; LOCK TABLE ddes_account IN EXCLUSIVE MODE";
    changed(link, STATEMENT_MAX, link.client.batch_execute(lock)).await?;
    link.forget_warnings();
    let (found, format) = link.ledger_of(&[schema::FORMAT, schema::FILLING]).await?;
    if format == schema::FILLING {
        // Another connection fills it.
        changed(link, STATEMENT_MAX, link.client.batch_execute("ROLLBACK")).await?;
        return if found == id {
            Ok(true)
        } else {
            Err(DatabaseError::OtherLedger { found }.into())
        };
    }
    let query = link.client.query_one("SELECT EXISTS (SELECT FROM ddes_account)", &[]);
    if get::<bool>(&link.within(STATEMENT_MAX, query).await?, 0)? {
        return if found == id && has_left { Ok(false) } else { Err(MigrateError::NotEmpty) };
    }
    let (new, old, filling, whole) = (&id[..], &found[..], schema::FILLING, schema::FORMAT);
    let update = "UPDATE ddes_ledger SET id = $1, format = $3 WHERE id = $2 AND format = $4";
    one_row(link, STATEMENT_MAX, update, &[&new, &old, &filling, &whole]).await?;
    changed(link, COMMIT_MAX, link.client.batch_execute("COMMIT")).await?;
    Ok(true)
}

/// Refuses a user who could not say at the end that the ledger has moved.
async fn owns_tables(link: &DatabaseLink) -> Result<(), MigrateError> {
    let query = "SELECT bool_and(pg_has_role(relowner, 'MEMBER')) FROM pg_class WHERE oid IN \
                 ('ddes_ledger'::regclass, 'ddes_history'::regclass, 'ddes_account'::regclass)";
    let query = link.client.query_one(query, &[]);
    if get::<bool>(&link.within(STATEMENT_MAX, query).await?, 0)? {
        Ok(())
    } else {
        Err(not_owner("this user does not own them"))
    }
}

/// What a statement that changes something answers; a warning may mean that it does not hold.
async fn changed<T>(
    link: &DatabaseLink,
    most: Duration,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, MigrateError> {
    // The error itself says more than what `unwarned` makes of it.
    let answer = link.unwarned(most, async { Ok(statement.await) }).await?;
    answer.map_err(|error| {
        let is_refused = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        let DatabaseTrouble(why) = error.into();
        if is_refused { not_owner(&why) } else { MigrateError::Failed(why) }
    })
}

/// Changes the one row that this is meant for.
async fn one_row(
    link: &DatabaseLink,
    most: Duration,
    update: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<(), MigrateError> {
    if changed(link, most, link.client.execute(update, parameters)).await? == 1 {
        Ok(())
    } else {
        Err(MigrateError::Differs("another program has changed ddes_ledger meanwhile".into()))
    }
}

fn not_owner(why: &str) -> MigrateError {
    DatabaseError::unfit(
        format!("the tables cannot be changed: {why}"),
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
    /// owns the tables. `is_begun` is whether this ledger was on its way to the same place before:
    /// only then may one that has left be read once more. Returns warnings too.
    pub fn begin(place: &DatabaseUrl, is_begun: bool) -> Result<(Self, Vec<String>), MigrateError> {
        let waiting = Waiting::new()?;
        let formats: &'static [i32] =
            if is_begun { &[schema::FORMAT, schema::MOVED] } else { &[schema::FORMAT] };
        let (link, ledger, warnings) = waiting.wait(async {
            let link = DatabaseLink::open(place, Purpose::Move).await?;
            // A COMMIT that does not last would bring it back.
            let found =
                link.check(place, Demands { limits: false, formats, ..Demands::default() }).await?;
            owns_tables(&link).await?;
            let lock = "BEGIN; LOCK TABLE ddes_account, ddes_history IN EXCLUSIVE MODE";
            changed(&link, STATEMENT_MAX, link.client.batch_execute(lock)).await?;
            link.forget_warnings();
            // Another one may have taken it before the lock was free.
            let (ledger, _) = link.ledger_of(formats).await?;
            Ok::<_, MigrateError>((link, ledger, found.warnings))
        })?;
        Ok((Self { place: place.clone(), ledger, link, waiting }, warnings))
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
            let (link, id, moved) = (&self.link, &self.ledger[..], schema::MOVED);
            let update = "UPDATE ddes_ledger SET format = $2 WHERE id = $1";
            one_row(link, STATEMENT_MAX, update, &[&id, &moved]).await?;
            // A server whose statement waits for the lock has looked at the format before.
            let close = link.client.batch_execute(schema::CLOSE);
            changed(link, CLOSE_MAX, close).await?;
            changed(link, COMMIT_MAX, link.client.batch_execute("COMMIT")).await
        })
    }
}
