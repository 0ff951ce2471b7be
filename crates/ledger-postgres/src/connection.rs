//! One connection: its checks, and the statements of a batch.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::time::Duration;

use ddes_ledger::shared::{HistoryEntry, RowKey, SharedRow, Swap};
use ddes_ledger::store::Chain;
use ddes_ledger::{Account, AccountId, AccountParts, Timestamp};
use ddes_wire::{Amount, Sequence, SessionNumber, Standing, Total};
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, NoTls, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::checks::{DatabaseSettings, check_tables};
use crate::numeric::Numeric;
use crate::place::{DatabaseUrl, Purpose, told};
use crate::schema;

/// Longer than the database's own limit on a statement, which gives the better reason.
pub(crate) const STATEMENT_MAX: Duration = Duration::from_secs(12);
/// No limit of the database's ends a wait for the standby. After this the outcome is unknown.
pub(crate) const COMMIT_MAX: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// No host answered as a database that can be written.
    #[error("{0}")]
    Unreachable(String),
    /// The database is there, and must not be used as it is.
    #[error("{what}")]
    Unfit {
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        next: String,
    },
    /// There is no ledger in the database.
    #[error("there is no ledger in this database")]
    NoLedger,
    /// It holds another ledger than it did, or than was asked for.
    #[error("this database holds another ledger")]
    OtherLedger {
        /// The one that is there.
        found: [u8; 16],
    },
}

impl DatabaseError {
    pub(crate) fn unfit(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Unfit { what: what.into(), next: next.into() }
    }
}

/// What a database must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demands {
    /// The ledger that it must hold; `None` takes any.
    pub(crate) ledger: Option<[u8; 16]>,
    /// Whether a commit must wait for a standby.
    pub(crate) standby: bool,
    /// Whether its locks and statements must have the limits of a server.
    pub(crate) limits: bool,
    /// The formats that it may have.
    pub(crate) formats: &'static [i32],
}

impl Default for Demands {
    fn default() -> Self {
        Self { ledger: None, standby: false, limits: true, formats: &[schema::FORMAT] }
    }
}

/// What a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDatabase {
    /// The ledger's id.
    pub ledger: [u8; 16],
    /// PostgreSQL's version, such as 150020.
    pub version: i32,
    /// Whether it waits for a standby before it says that a change is durable.
    pub has_standby: bool,
    /// What is not as it should be, and no reason to refuse.
    pub warnings: Vec<String>,
}

/// The outcome of a transaction is unknown, or nothing of it happened: nothing can be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseTrouble(pub(crate) String);

impl From<tokio_postgres::Error> for DatabaseTrouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(told(&error))
    }
}

impl From<DatabaseTrouble> for DatabaseError {
    fn from(DatabaseTrouble(why): DatabaseTrouble) -> Self {
        Self::Unreachable(why)
    }
}

/// A client, and the task that moves its bytes. Ends with it.
pub(crate) struct DatabaseLink {
    pub(crate) client: Client,
    /// The first notice that means that a COMMIT does not mean what it says.
    warning: Rc<RefCell<Option<String>>>,
    task: JoinHandle<()>,
}

impl Drop for DatabaseLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DatabaseLink {
    /// Connects to the first host that will do. Must be called within a `LocalSet`.
    pub(crate) async fn open(place: &DatabaseUrl, purpose: Purpose) -> Result<Self, DatabaseError> {
        let config = place.config(purpose).map_err(|error| {
            DatabaseError::unfit(error.to_string(), "a file of passwords that only its user reads")
        })?;
        let patience = place.patience();
        let connected = async {
            match place.tls() {
                None => Self::with(&config, NoTls).await,
                Some(tls) => Self::with(&config, MakeRustlsConnect::new((**tls).clone())).await,
            }
        };
        match tokio::time::timeout(patience, connected).await {
            Ok(link) => link.map_err(|error| DatabaseError::Unreachable(told(&error))),
            Err(_) => {
                let secs = patience.as_secs();
                Err(DatabaseError::Unreachable(format!("no answer within {secs} s")))
            }
        }
    }

    async fn with<T>(config: &tokio_postgres::Config, tls: T) -> Result<Self, tokio_postgres::Error>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: 'static,
    {
        let (client, mut connection) = config.connect(tls).await?;
        let warning = Rc::new(RefCell::new(None));
        let seen = Rc::clone(&warning);
        let task = tokio::task::spawn_local(async move {
            // Ends with the connection, which its client hears by itself.
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let is_harmless = matches!(
                        notice.parsed_severity(),
                        Some(Severity::Notice | Severity::Info | Severity::Debug | Severity::Log)
                    );
                    if !is_harmless {
                        let text = format!("{} ({})", notice.message(), notice.code().code());
                        seen.borrow_mut().get_or_insert(text);
                    }
                }
            }
        });
        Ok(Self { client, warning, task })
    }

    /// Waits for an answer that may not come.
    pub(crate) async fn within<T>(
        &self,
        most: Duration,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DatabaseTrouble> {
        match tokio::time::timeout(most, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(DatabaseTrouble(format!("no answer within {} s", most.as_secs()))),
        }
    }

    /// The same, within a transaction: a warning since [`Self::forget_warnings`] means that its
    /// COMMIT may not mean what it says.
    pub(crate) async fn unwarned<T>(
        &self,
        most: Duration,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DatabaseTrouble> {
        let answer = self.within(most, answer).await?;
        match self.warning.borrow().as_ref() {
            Some(warning) => Err(DatabaseTrouble(format!("the database warns: {warning}"))),
            None => Ok(answer),
        }
    }

    /// Some come with each connection: of a database whose collation changed, say.
    pub(crate) fn forget_warnings(&self) {
        self.warning.borrow_mut().take();
    }

    /// Refuses a database whose COMMIT does not mean that something is durable, or whose tables are
    /// not a ledger's.
    pub(crate) async fn check(
        &self,
        place: &DatabaseUrl,
        demands: Demands,
    ) -> Result<FoundDatabase, DatabaseError> {
        let gone = |DatabaseTrouble(why)| DatabaseError::Unreachable(why);
        let mut warnings = Vec::new();
        let settings = self.settings().await?;
        settings.check(place, demands, &mut warnings)?;
        let tables = self.client.query(schema::TABLES, &[]);
        check_tables(&self.within(STATEMENT_MAX, tables).await.map_err(gone)?, &mut warnings)?;
        let (ledger, _) = self.ledger_of(demands.formats).await?;
        if demands.ledger.is_some_and(|wanted| wanted != ledger) {
            return Err(DatabaseError::OtherLedger { found: ledger });
        }
        let has_standby = !settings.standby_names.is_empty();
        Ok(FoundDatabase { ledger, version: settings.version, has_standby, warnings })
    }

    /// Refuses a database that has become unfit. Whether it waits for a standby.
    pub(crate) async fn watch(
        &self,
        place: &DatabaseUrl,
        demands: Demands,
    ) -> Result<bool, DatabaseError> {
        let settings = self.settings().await?;
        settings.check(place, demands, &mut Vec::new())?;
        // It may have been moved away, and another one may be there.
        let (found, _) = self.ledger_of(demands.formats).await?;
        if demands.ledger.is_some_and(|wanted| wanted != found) {
            return Err(DatabaseError::OtherLedger { found });
        }
        Ok(!settings.standby_names.is_empty())
    }

    async fn settings(&self) -> Result<DatabaseSettings, DatabaseError> {
        let gone = |DatabaseTrouble(why)| DatabaseError::Unreachable(why);
        let query = self.client.query_one(schema::SETTINGS, &[]);
        let row = self.within(STATEMENT_MAX, query).await.map_err(gone)?;
        let text = |at| get::<String>(&row, at).map_err(gone);
        Ok(DatabaseSettings {
            version: get(&row, 0).map_err(gone)?,
            in_recovery: get(&row, 1).map_err(gone)?,
            read_only: text(2)?,
            fsync: text(3)?,
            full_page_writes: text(4)?,
            synchronous_commit: text(5)?,
            standby_names: text(6)?,
            data_checksums: text(7)?,
            limits: [text(8)?, text(9)?, text(10)?],
        })
    }

    /// The id of the ledger that the database holds, and its format, which must be one of these.
    pub(crate) async fn ledger_of(
        &self,
        formats: &[i32],
    ) -> Result<([u8; 16], i32), DatabaseError> {
        let gone = |DatabaseTrouble(why)| DatabaseError::Unreachable(why);
        let query = self.client.query_one(schema::IS_THERE, &[]);
        let found = self.within(STATEMENT_MAX, query).await.map_err(gone)?;
        if !get::<bool>(&found, 0).map_err(gone)? {
            return Err(DatabaseError::NoLedger);
        }
        let query = self.client.query("SELECT id, format FROM ddes_ledger", &[]);
        let rows = self.within(STATEMENT_MAX, query).await.map_err(gone)?;
        let row = match &rows[..] {
            [] => return Err(DatabaseError::NoLedger),
            [row] => row,
            [..] => {
                let what = "the table ddes_ledger has more than one row";
                return Err(DatabaseError::unfit(what, "DELETE all rows but that of the ledger"));
            }
        };
        let format: i32 = get(row, 1).map_err(gone)?;
        if !formats.contains(&format) {
            return Err(of_format(format));
        }
        let id: Vec<u8> = get(row, 0).map_err(gone)?;
        let id = id.try_into().map_err(|_| {
            DatabaseError::unfit(
                "the ledger's id is not 16 bytes",
                "ddes ledger init in a new database",
            )
        })?;
        Ok((id, format))
    }
}

/// A ledger that may not be used as it is.
fn of_format(format: i32) -> DatabaseError {
    let (what, next) = match format {
        schema::FILLING => (
            "another store is being moved to this database, and not all of it is there".into(),
            "wait for ddes ledger migrate, or run it again if it was cut off",
        ),
        schema::MOVED => (
            "its ledger was moved to another store, and goes on there".into(),
            "--ledger with that one. To go on with this one, and give up what was counted there: \
             UPDATE ddes_ledger SET format = 1; ALTER TABLE ddes_history DROP CONSTRAINT ddes_moved; then \
             ddes ledger raise",
        ),
        _ => (
            format!("the ledger has the format {format}, of another release"),
            "run the release that made it, or a newer one",
        ),
    };
    DatabaseError::unfit(what, next)
}

/// A value of a row.
pub(crate) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a tokio_postgres::Row,
    at: usize,
) -> Result<T, DatabaseTrouble> {
    row.try_get(at).map_err(DatabaseTrouble::from)
}

/// A row of accounts; its columns as [`schema::READ`] returns them.
pub(crate) fn account_row(row: &tokio_postgres::Row) -> Result<SharedRow, DatabaseTrouble> {
    let wrong =
        |what: &str| DatabaseTrouble(format!("a row of ddes_account has {what} out of range"));
    let number = |at: usize, what: &str| {
        get::<i64>(row, at).and_then(|found| u64::try_from(found).map_err(|_| wrong(what)))
    };
    let wide = |at| get::<Numeric>(row, at).map(|found| found.0);
    let amount =
        |at, what| wide(at).and_then(|found| Amount::try_from(found).map_err(|_| wrong(what)));
    let secs =
        |at, what| number(at, what).and_then(|found| u32::try_from(found).map_err(|_| wrong(what)));
    let parts = AccountParts {
        newest_session: SessionNumber::new(number(2, "newest_session")?),
        standing: Standing {
            last_session: SessionNumber::new(number(3, "last_session")?),
            last_seq: Sequence::new(number(4, "last_seq")?),
            sum: Total::new(wide(5)?),
        },
        extremes: (amount(6, "min")?, amount(7, "max")?),
        times: (secs(8, "first_time")?, secs(9, "last_time")?),
    };
    Ok(SharedRow {
        id: id(row, 0)?,
        version: number(1, "version")?,
        chain: chain(row, 10)?,
        account: Account::of_parts(&parts).ok_or_else(|| wrong("a session"))?,
    })
}

/// An entry; its columns as the table has them.
pub(crate) fn entry_row(row: &tokio_postgres::Row) -> Result<HistoryEntry, DatabaseTrouble> {
    let wrong =
        |what: &str| DatabaseTrouble(format!("a row of ddes_history has {what} out of range"));
    let number = |at: usize, what: &str| {
        get::<i64>(row, at).and_then(|found| u64::try_from(found).map_err(|_| wrong(what)))
    };
    Ok(HistoryEntry {
        id: id(row, 0)?,
        number: number(1, "entry")?,
        time: Timestamp(number(2, "time")?),
        session: SessionNumber::new(number(3, "session")?),
        first_seq: Sequence::new(number(4, "first_seq")?),
        count: get::<i32>(row, 5).and_then(|found| u32::try_from(found).map_err(|_| wrong("n")))?,
        amounts: get::<Option<_>>(row, 6)?.ok_or_else(|| wrong("values"))?,
        sum: Total::new(get::<Numeric>(row, 7)?.0),
        chain: chain(row, 8)?,
    })
}

pub(crate) fn id(row: &tokio_postgres::Row, at: usize) -> Result<AccountId, DatabaseTrouble> {
    let bytes: &[u8] = get(row, at)?;
    RowKey::parse(bytes)
        .ok_or_else(|| DatabaseTrouble("an account is not named by 8 or 32 bytes".into()))
}

fn chain(row: &tokio_postgres::Row, at: usize) -> Result<Chain, DatabaseTrouble> {
    let bytes: &[u8] = get(row, at)?;
    bytes.try_into().map(Chain).map_err(|_| DatabaseTrouble("a chain is not 32 bytes".into()))
}

/// A number as `bigint` has it.
fn wide(number: u64) -> Result<i64, DatabaseTrouble> {
    i64::try_from(number).map_err(|_| DatabaseTrouble("a number is beyond 2^63".into()))
}

/// A connection that writes.
pub(crate) struct Connection {
    link: DatabaseLink,
    read: Statement,
    swap: Statement,
    append: Statement,
}

impl Connection {
    pub(crate) async fn open(place: &DatabaseUrl, demands: Demands) -> Result<Self, DatabaseError> {
        let link = DatabaseLink::open(place, Purpose::Write).await?;
        link.check(place, demands).await?;
        let gone = |DatabaseTrouble(why)| DatabaseError::Unreachable(why);
        let (swap, append) = (schema::swap(), schema::append());
        let prepared = async {
            Ok((
                link.client.prepare(schema::READ).await?,
                link.client.prepare(&swap).await?,
                link.client.prepare(&append).await?,
            ))
        };
        let (read, swap, append) = link.within(STATEMENT_MAX, prepared).await.map_err(gone)?;
        link.forget_warnings();
        Ok(Self { link, read, swap, append })
    }

    /// The connection, for statements outside a transaction.
    pub(crate) fn link(&self) -> &DatabaseLink {
        &self.link
    }

    /// Begins a transaction, and reads and locks these accounts.
    pub(crate) async fn read(
        &self,
        wanted: &[SharedRow],
    ) -> Result<Vec<SharedRow>, DatabaseTrouble> {
        let keys: Vec<RowKey> = wanted.iter().map(|row| RowKey::from(&row.id)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(RowKey::as_bytes).collect();
        let chains: Vec<&[u8]> = wanted.iter().map(|row| &row.chain.0[..]).collect();
        let client = &self.link.client;
        let rows = async {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&keys, &chains];
            let read = client.query(&self.read, &parameters);
            let (begun, rows) = tokio::join!(biased; client.batch_execute("BEGIN"), read);
            begun.and(rows)
        };
        let rows = self.link.unwarned(STATEMENT_MAX, rows).await?;
        rows.iter().map(account_row).collect()
    }

    /// Writes the rows that are as they were. Begins a transaction, unless one is begun.
    pub(crate) async fn swap(
        &self,
        swaps: &[Swap],
        is_begun: bool,
    ) -> Result<Vec<AccountId>, DatabaseTrouble> {
        let keys: Vec<RowKey> = swaps.iter().map(|swap| RowKey::from(&swap.row.id)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(RowKey::as_bytes).collect();
        let prior_chains: Vec<&[u8]> = swaps.iter().map(|swap| &swap.prior.1.0[..]).collect();
        let chains: Vec<&[u8]> = swaps.iter().map(|swap| &swap.row.chain.0[..]).collect();
        let numbers = |of: fn(&Swap) -> u64| {
            swaps.iter().map(|swap| wide(of(swap))).collect::<Result<Vec<i64>, DatabaseTrouble>>()
        };
        let wides = |of: fn(&Swap) -> i128| {
            swaps.iter().map(|swap| Numeric(of(swap))).collect::<Vec<Numeric>>()
        };
        let prior = numbers(|swap| swap.prior.0)?;
        let version = numbers(|swap| swap.row.version)?;
        let newest_session = numbers(|swap| swap.row.account.newest_session().get())?;
        let last_session = numbers(|swap| swap.row.account.standing().last_session.get())?;
        let last_seq = numbers(|swap| swap.row.account.count())?;
        let sum = wides(|swap| swap.row.account.standing().sum.get());
        // Without values the columns are zero.
        let min = wides(|swap| swap.row.account.extremes().map_or(0, |(min, _)| min.get()));
        let max = wides(|swap| swap.row.account.extremes().map_or(0, |(_, max)| max.get()));
        let first = numbers(|swap| swap.row.account.times().map_or(0, |(first, _)| first.into()))?;
        let last = numbers(|swap| swap.row.account.times().map_or(0, |(_, last)| last.into()))?;
        let client = &self.link.client;
        let written = async {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 13] = [
                &keys,
                &prior,
                &prior_chains,
                &version,
                &newest_session,
                &last_session,
                &last_seq,
                &sum,
                &min,
                &max,
                &first,
                &last,
                &chains,
            ];
            let swap = client.query(&self.swap, &parameters);
            if is_begun {
                return swap.await;
            }
            let (begun, rows) = tokio::join!(biased; client.batch_execute("BEGIN"), swap);
            begun.and(rows)
        };
        let rows = self.link.unwarned(STATEMENT_MAX, written).await?;
        rows.iter().map(|row| id(row, 0)).collect()
    }

    /// Appends to the history, and commits. Counts only if both succeeded and no warning came.
    pub(crate) async fn append(&self, entries: &[HistoryEntry]) -> Result<(), DatabaseTrouble> {
        let keys: Vec<RowKey> = entries.iter().map(|entry| RowKey::from(&entry.id)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(RowKey::as_bytes).collect();
        let numbers = |of: fn(&HistoryEntry) -> u64| {
            entries
                .iter()
                .map(|entry| wide(of(entry)))
                .collect::<Result<Vec<i64>, DatabaseTrouble>>()
        };
        let number = numbers(|entry| entry.number)?;
        let time = numbers(|entry| entry.time.0)?;
        let session = numbers(|entry| entry.session.get())?;
        let first_seq = numbers(|entry| entry.first_seq.get())?;
        let counts = entries.iter().map(|entry| i32::try_from(entry.count));
        let counts: Vec<i32> = counts
            .collect::<Result<_, _>>()
            .map_err(|_| DatabaseTrouble("an entry has more than 2^31 values".into()))?;
        let amounts: Vec<&[u8]> = entries.iter().map(|entry| &entry.amounts[..]).collect();
        let sums: Vec<Numeric> = entries.iter().map(|entry| Numeric(entry.sum.get())).collect();
        let chains: Vec<&[u8]> = entries.iter().map(|entry| &entry.chain.0[..]).collect();
        let client = &self.link.client;
        let both = async {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
                [&keys, &number, &time, &session, &first_seq, &counts, &amounts, &sums, &chains];
            // Prepared: what is not is prepared behind the COMMIT, and comes too late.
            let (appended, committed) = tokio::join!(
                biased;
                client.execute(&self.append, &parameters),
                client.batch_execute("COMMIT")
            );
            // A COMMIT of what has failed rolls back, and succeeds.
            appended.and_then(|count| committed.map(|()| count))
        };
        let count = self.link.unwarned(COMMIT_MAX, both).await?;
        if count != entries.len() as u64 && !schema::IS_UNGUARDED {
            return Err(DatabaseTrouble(format!(
                "{count} of {} entries were appended",
                entries.len()
            )));
        }
        Ok(())
    }

    /// Commits what was read.
    pub(crate) async fn commit(&self) -> Result<(), DatabaseTrouble> {
        self.link.unwarned(COMMIT_MAX, self.link.client.batch_execute("COMMIT")).await
    }

    pub(crate) async fn rollback(&self) -> Result<(), DatabaseTrouble> {
        self.link.unwarned(STATEMENT_MAX, self.link.client.batch_execute("ROLLBACK")).await
    }
}
