//! Reads a ledger in a database without writing it: verifies it, lists its accounts and its
//! history. A standby will do. Everything of one call is read in one snapshot, a part at a time.

use std::collections::VecDeque;

use ddes_ledger::shared::{Audited, EntryError, HistoryEntry, RowKey, SharedRow};
use ddes_ledger::{AccountId, Timestamp, Totals};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Portal, Transaction};

use crate::authorized::{AuthorizedRow, read_all};
use crate::connection::{
    COMMIT_MAX, DatabaseError, DatabaseLink, DatabaseTrouble, account_row, entry_row,
};
use crate::keeper::run;
use crate::place::{DatabaseUrl, Purpose, told};
use crate::schema;

/// Rows that are read at a time. Those of the history may be long.
const PART: u16 = 4096;
const PART_OF_HISTORY: u16 = 256;

pub(crate) const ACCOUNTS: &str = "SELECT account, version, newest_session, last_session, last_seq, sum, min, \
                        max, first_time, last_time, chain FROM ddes_account";
/// An entry has the values of one batch: at most 24,570, of at most 10 bytes. What is longer is
/// not read.
const HISTORY: &str = "SELECT account, entry, time, session, first_seq, n, \
                       CASE WHEN octet_length(amounts) <= 262144 THEN amounts END, sum, chain \
                       FROM ddes_history";

/// Why a ledger in a database could not be read, or what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// There is no connection to it, or no ledger.
    #[error(transparent)]
    Connect(#[from] DatabaseError),
    /// The database failed while it was read.
    #[error("{0}")]
    Failed(String),
    /// The history and the accounts do not agree.
    #[error(transparent)]
    Damaged(#[from] EntryError),
    /// Whoever was to take what was read could not.
    #[error("stopped")]
    Stopped,
}

impl From<tokio_postgres::Error> for AuditError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(told(&error))
    }
}

impl From<DatabaseTrouble> for AuditError {
    fn from(DatabaseTrouble(why): DatabaseTrouble) -> Self {
        Self::Failed(why)
    }
}

/// A ledger that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedHistory {
    /// The ledger's id.
    pub ledger: [u8; 16],
    /// How many entries were read.
    pub entries: u64,
    /// What they add up to.
    pub totals: Totals,
    /// The time of the newest entry.
    pub time: Timestamp,
}

/// A ledger in a database, to read.
#[derive(Clone, Debug)]
pub struct HistoryReader {
    place: DatabaseUrl,
    ledger: [u8; 16],
    has_left: bool,
    purpose: Purpose,
}

/// Formats of a ledger that can be read: one that was moved away is evidence still.
const READABLE: [i32; 2] = [schema::FORMAT, schema::MOVED];

impl HistoryReader {
    /// Connects, and checks that there is a ledger of this release.
    pub fn open(place: &DatabaseUrl) -> Result<Self, AuditError> {
        let (ledger, format) = within(async {
            let link = DatabaseLink::open(place, Purpose::Audit).await?;
            Ok(link.ledger_of(&READABLE).await?)
        })?;
        let has_left = format == schema::MOVED;
        Ok(Self { place: place.clone(), ledger, has_left, purpose: Purpose::Audit })
    }

    /// Whether the ledger was moved to another store, and goes on there.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// Reads the host that is written, whatever the state of the ledger is.
    pub(crate) fn of_moving(place: &DatabaseUrl, ledger: [u8; 16]) -> Self {
        Self { place: place.clone(), ledger, has_left: false, purpose: Purpose::Move }
    }

    /// The ledger's id.
    pub fn ledger(&self) -> [u8; 16] {
        self.ledger
    }

    /// The totals over all accounts.
    pub fn totals(&self) -> Result<Totals, AuditError> {
        within(async {
            let link = DatabaseLink::open(&self.place, self.purpose).await?;
            Ok(crate::questions::totals(&link).await?)
        })
    }

    /// The keys that may connect, which have names.
    pub fn authorized(&self) -> Result<Vec<AuthorizedRow>, AuditError> {
        within(async {
            let link = DatabaseLink::open(&self.place, Purpose::Audit).await?;
            Ok(read_all(&link).await?)
        })
    }

    /// All accounts in the order of their keys; `take` returns whether to go on.
    pub fn accounts(&self, take: &mut dyn FnMut(&SharedRow) -> bool) -> Result<(), AuditError> {
        within(async {
            let mut link = DatabaseLink::open(&self.place, self.purpose).await?;
            let snapshot = snapshot(&mut link).await?;
            let sql = format!("{ACCOUNTS} WHERE version > 0 ORDER BY account");
            let mut rows = RowParts::new(&snapshot, &sql, &[], PART, account_row).await?;
            while let Some(row) = rows.next(&snapshot).await? {
                if !take(&row) {
                    return Err(AuditError::Stopped);
                }
            }
            Ok(())
        })
    }

    /// One account; `None` if it never had a session.
    pub fn account(&self, id: &AccountId) -> Result<Option<SharedRow>, AuditError> {
        within(async {
            let mut link = DatabaseLink::open(&self.place, self.purpose).await?;
            let snapshot = snapshot(&mut link).await?;
            let key = RowKey::from(id);
            let key = key.as_bytes();
            let sql = format!("{ACCOUNTS} WHERE version > 0 AND account = $1");
            let row = snapshot.query_opt(&sql, &[&key]).await?;
            Ok(row.as_ref().map(account_row).transpose()?)
        })
    }

    /// One account as it is acknowledged, and its newest entry; `None` if it never had a session.
    /// Asks the host that is written, which answers once its standby has it too.
    pub fn acknowledged(
        &self,
        id: &AccountId,
    ) -> Result<Option<(SharedRow, HistoryEntry)>, AuditError> {
        within(async {
            let link = DatabaseLink::open(&self.place, Purpose::Write).await?;
            link.forget_warnings();
            let (key, client) = (RowKey::from(id), &link.client);
            let key = key.as_bytes();
            let account = format!("{ACCOUNTS} WHERE version > 0 AND account = $1 FOR UPDATE");
            let newest = format!("{HISTORY} WHERE account = $1 ORDER BY entry DESC LIMIT 1");
            let read = async {
                client.batch_execute("BEGIN").await?;
                let row = client.query_opt(&account, &[&key]).await?;
                let entry = client.query_opt(&newest, &[&key]).await?;
                // Locked rows make it wait as a write does.
                client.batch_execute("COMMIT").await?;
                Ok(row.zip(entry))
            };
            let Some((row, entry)) = link.unwarned(COMMIT_MAX, read).await? else {
                return Ok(None);
            };
            let (row, entry) = (account_row(&row)?, entry_row(&entry)?);
            if (entry.number, entry.chain) != (row.version, row.chain) {
                let why = "the account's row is not that of its newest entry";
                return Err(EntryError { account: *id, entry: row.version, why }.into());
            }
            Ok(Some((row, entry)))
        })
    }

    /// The history of one account, or of all in the order of their keys; `take` returns whether to
    /// go on.
    pub fn history(
        &self,
        id: Option<&AccountId>,
        take: &mut dyn FnMut(&HistoryEntry) -> bool,
    ) -> Result<(), AuditError> {
        within(async {
            let mut link = DatabaseLink::open(&self.place, self.purpose).await?;
            let snapshot = snapshot(&mut link).await?;
            let key = id.map(RowKey::from);
            let key = key.as_ref().map(RowKey::as_bytes);
            let (condition, parameters): (_, &[&(dyn ToSql + Sync)]) = match &key {
                Some(key) => (" WHERE account = $1", &[key]),
                None => ("", &[]),
            };
            let sql = format!("{HISTORY}{condition} ORDER BY account, entry");
            let mut entries =
                RowParts::new(&snapshot, &sql, parameters, PART_OF_HISTORY, entry_row).await?;
            while let Some(entry) = entries.next(&snapshot).await? {
                if !take(&entry) {
                    return Err(AuditError::Stopped);
                }
            }
            Ok(())
        })
    }

    /// Computes every account anew from its history, and compares rows and chains with that. `step`
    /// hears of each entry that passes, and `row` of each account; both return whether to go on.
    pub fn verify(
        &self,
        step: &mut dyn FnMut(&HistoryEntry) -> bool,
        row: &mut dyn FnMut(&SharedRow) -> bool,
    ) -> Result<VerifiedHistory, AuditError> {
        within(async {
            let mut link = DatabaseLink::open(&self.place, self.purpose).await?;
            let ledger = self.ledger;
            let snapshot = snapshot(&mut link).await?;
            let rows = format!("{ACCOUNTS} ORDER BY account");
            let mut rows = RowParts::new(&snapshot, &rows, &[], PART, account_row).await?;
            let history = format!("{HISTORY} ORDER BY account, entry");
            let mut history =
                RowParts::new(&snapshot, &history, &[], PART_OF_HISTORY, entry_row).await?;
            let mut verified = VerifiedHistory {
                ledger,
                entries: 0,
                totals: Totals::default(),
                time: Timestamp::default(),
            };
            let mut next = history.next(&snapshot).await?;
            while let Some(found) = rows.next(&snapshot).await? {
                let mut audited = Audited::new(found.id);
                while let Some(entry) = next.take() {
                    if entry.id != found.id {
                        next = Some(entry);
                        break;
                    }
                    audited.take(&entry)?;
                    if !step(&entry) {
                        return Err(AuditError::Stopped);
                    }
                    verified.entries += 1;
                    verified.time = verified.time.max(entry.time);
                    next = history.next(&snapshot).await?;
                }
                // Both come in the order of keys: a history before this row has none.
                without_row(next.as_ref(), &found)?;
                audited.compare(&found)?;
                if found.version > 0 {
                    verified.totals.include(&found.account);
                    if !row(&found) {
                        return Err(AuditError::Stopped);
                    }
                }
            }
            match next {
                Some(entry) => Err(rowless(&entry).into()),
                None => Ok(verified),
            }
        })
    }
}

fn without_row(next: Option<&HistoryEntry>, row: &SharedRow) -> Result<(), EntryError> {
    let is_before = |entry: &&HistoryEntry| RowKey::from(&entry.id) < RowKey::from(&row.id);
    next.filter(is_before).map_or(Ok(()), |entry| Err(rowless(entry)))
}

fn rowless(entry: &HistoryEntry) -> EntryError {
    let why = "the account has a history, and no row";
    EntryError { account: entry.id, entry: entry.number, why }
}

fn within<T>(future: impl Future<Output = Result<T, AuditError>>) -> Result<T, AuditError> {
    run(future).map_err(|error| AuditError::Failed(error.to_string()))?
}

async fn snapshot(link: &mut DatabaseLink) -> Result<Transaction<'_>, AuditError> {
    let builder = link.client.build_transaction();
    Ok(builder.isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?)
}

/// The rows of a query, a part at a time.
struct RowParts<T> {
    portal: Portal,
    most: u16,
    part: VecDeque<T>,
    of_row: fn(&tokio_postgres::Row) -> Result<T, DatabaseTrouble>,
    is_over: bool,
}

impl<T> RowParts<T> {
    async fn new(
        snapshot: &Transaction<'_>,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        most: u16,
        of_row: fn(&tokio_postgres::Row) -> Result<T, DatabaseTrouble>,
    ) -> Result<Self, AuditError> {
        let statement = snapshot.prepare(sql).await?;
        let portal = snapshot.bind(&statement, parameters).await?;
        Ok(Self { portal, most, part: VecDeque::new(), of_row, is_over: false })
    }

    async fn next(&mut self, snapshot: &Transaction<'_>) -> Result<Option<T>, AuditError> {
        if self.part.is_empty() && !self.is_over {
            let rows = snapshot.query_portal(&self.portal, self.most.into()).await?;
            self.is_over = rows.len() < usize::from(self.most);
            self.part = rows.iter().map(self.of_row).collect::<Result<_, _>>()?;
        }
        Ok(self.part.pop_front())
    }
}
