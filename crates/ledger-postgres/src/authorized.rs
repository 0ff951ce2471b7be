//! The table of keys that may connect to every server: servers read it, and its owner writes it.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::checks::check_table;
use crate::connection::{
    COMMIT_MAX, DatabaseError, DatabaseLink, DatabaseTrouble, Demands, STATEMENT_MAX, get,
};
use crate::keeper::run;
use crate::place::{DatabaseUrl, Purpose};
use crate::schema;

/// The most bytes of all rows, as of an authorized_keys file: some 100,000 keys.
const BYTES_MAX: i64 = 16 * 1024 * 1024;

/// A row as it was read. Nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedRow {
    /// The bytes of the key that it is for.
    pub identity: Vec<u8>,
    /// What it grants: a line as in an authorized_keys file.
    pub line: String,
}

/// Takes each reading of the table that differs from the one before, or why it cannot be read.
pub type AuthorizedTaker = Arc<dyn Fn(Result<Vec<AuthorizedRow>, String>) + Send + Sync>;

/// Why the table could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizedError {
    /// There is no connection to it, or this role may not. Nothing was changed.
    #[error(transparent)]
    Connect(#[from] DatabaseError),
    /// The table would have more than servers read. Nothing was changed.
    #[error("the table ddes_authorized would have more than {BYTES_MAX} bytes")]
    Full,
    /// The database failed on the way. Whether the change was made is unknown.
    #[error("{0}")]
    Unknown(String),
}

impl From<DatabaseTrouble> for AuthorizedError {
    fn from(DatabaseTrouble(why): DatabaseTrouble) -> Self {
        Self::Unknown(why)
    }
}

/// All rows of the table, in the order of their keys.
pub fn authorized(place: &DatabaseUrl) -> Result<Vec<AuthorizedRow>, AuthorizedError> {
    within(async {
        let link = DatabaseLink::open(place, Purpose::Ask).await?;
        check(&link).await?;
        Ok(read_all(&link).await?)
    })
}

pub(crate) async fn read_all(link: &DatabaseLink) -> Result<Vec<AuthorizedRow>, DatabaseTrouble> {
    let (_, rows) = read(link, None).await?;
    rows_of(&rows)
}

/// Writes the row of a key, in place of the one that it had. The line is the caller's to check.
pub fn authorize(
    place: &DatabaseUrl,
    identity: &[u8; 32],
    line: &str,
) -> Result<(), AuthorizedError> {
    within(async {
        let link = open_to_write(place).await?;
        let client = &link.client;
        let write = async {
            client.batch_execute("BEGIN").await?;
            client.batch_execute(schema::LOCK_AUTHORIZED).await?;
            client.execute(schema::AUTHORIZE, &[&&identity[..], &line]).await?;
            client.query_one(schema::AUTHORIZED_BYTES, &[]).await
        };
        let bytes = unfailed(&link, write).await?;
        if get::<i64>(&bytes, 0)? > BYTES_MAX {
            // Servers would read no change any more. The end of the connection takes it back.
            return Err(AuthorizedError::Full);
        }
        Ok(link.unwarned(COMMIT_MAX, client.batch_execute("COMMIT")).await?)
    })
}

/// Removes the row of a key. Whether there was one.
pub fn unauthorize(place: &DatabaseUrl, identity: &[u8]) -> Result<bool, AuthorizedError> {
    within(async {
        let link = open_to_write(place).await?;
        let client = &link.client;
        let remove = async {
            client.batch_execute("BEGIN").await?;
            client.execute(schema::UNAUTHORIZE, &[&identity]).await
        };
        let count = unfailed(&link, remove).await?;
        link.unwarned(COMMIT_MAX, client.batch_execute("COMMIT")).await?;
        Ok(count > 0)
    })
}

fn within<T>(
    future: impl Future<Output = Result<T, AuthorizedError>>,
) -> Result<T, AuthorizedError> {
    run(future).map_err(|error| DatabaseError::Unreachable(error.to_string()))?
}

/// A connection to a database whose COMMIT means that something is durable.
async fn open_to_write(place: &DatabaseUrl) -> Result<DatabaseLink, AuthorizedError> {
    let link = DatabaseLink::open(place, Purpose::Write).await?;
    link.watch(place, Demands::default()).await?;
    check(&link).await?;
    // Some come with each connection.
    link.forget_warnings();
    Ok(link)
}

/// Refuses a database without a ledger, and a table that servers would refuse.
async fn check(link: &DatabaseLink) -> Result<(), AuthorizedError> {
    link.ledger_of(&[schema::FORMAT]).await?;
    let tables = link.within(STATEMENT_MAX, link.client.query(schema::TABLES, &[])).await?;
    check_table(&tables, "ddes_authorized")?;
    Ok(())
}

/// Waits for statements before a COMMIT. If one of them fails nothing is changed.
async fn unfailed<T>(
    link: &DatabaseLink,
    statements: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, DatabaseError> {
    // The error itself says more than what `within` makes of it.
    let statements = async { Ok(statements.await) };
    let answer = link.within(STATEMENT_MAX, statements).await;
    let answer = answer.map_err(|DatabaseTrouble(why)| DatabaseError::Unreachable(why))?;
    answer.map_err(|error| {
        let code = error.code().cloned();
        let DatabaseTrouble(why) = error.into();
        match code {
            None => DatabaseError::Unreachable(why),
            Some(SqlState::INSUFFICIENT_PRIVILEGE) => DatabaseError::unfit(
                "this role may not change the table ddes_authorized",
                "--ledger with the user who owns the tables, as for ddes ledger init",
            ),
            Some(_) => {
                let what = format!("the table ddes_authorized cannot be changed: {why}");
                DatabaseError::unfit(what, "the same command again")
            }
        }
    })
}

/// The digest of the table and its rows; no rows if the digest is the known one.
async fn read(
    link: &DatabaseLink,
    known: Option<&str>,
) -> Result<(String, Vec<Row>), DatabaseTrouble> {
    // No digest is empty.
    let known = known.unwrap_or("");
    let parameters: [&(dyn ToSql + Sync); 2] = [&known, &BYTES_MAX];
    let rows = link.client.query(schema::AUTHORIZED, &parameters);
    let (mut head, mut rows_of_keys) = (None, Vec::new());
    for row in link.within(STATEMENT_MAX, rows).await? {
        match get::<Option<String>>(&row, 3)? {
            Some(digest) => head = Some((get::<i64>(&row, 2)?, digest)),
            None => rows_of_keys.push(row),
        }
    }
    let Some((bytes, digest)) = head else {
        return Err(DatabaseTrouble("the database says nothing of ddes_authorized".into()));
    };
    if bytes > BYTES_MAX {
        return Err(DatabaseTrouble(format!("it has more than {BYTES_MAX} bytes")));
    }
    Ok((digest, rows_of_keys))
}

fn rows_of(rows: &[Row]) -> Result<Vec<AuthorizedRow>, DatabaseTrouble> {
    let of_row = |row| {
        // Where somebody dropped NOT NULL, a row without a line is a fault of its own alone.
        let line = get::<Option<String>>(row, 1)?.unwrap_or(String::new());
        Ok(AuthorizedRow { identity: get(row, 0)?, line })
    };
    let mut rows = rows.iter().map(of_row).collect::<Result<Vec<_>, DatabaseTrouble>>()?;
    rows.sort_unstable_by(|one, two| one.identity.cmp(&two.identity));
    Ok(rows)
}

/// The table as a keeper watches it.
pub(crate) struct AuthorizedWatch {
    /// What was read last; `None` if that failed.
    digest: Option<String>,
    /// Nobody, or whoever was given [`Self::first`].
    taker: Option<AuthorizedTaker>,
    /// What was read before the server began, until somebody takes it.
    first: Vec<AuthorizedRow>,
    /// The reading that is being taken.
    taking: Option<JoinHandle<()>>,
}

impl AuthorizedWatch {
    /// Reads the table for the first time. A server does not begin without it: whoever connected
    /// meanwhile would be told that they are not authorized, which clients do not try again.
    pub(crate) async fn open(link: &DatabaseLink) -> Result<Self, DatabaseError> {
        let unread = |DatabaseTrouble(why)| {
            let what = format!("the table ddes_authorized cannot be read: {why}");
            DatabaseError::unfit(what, "the same again; SELECT * FROM ddes_authorized in psql")
        };
        let (digest, rows) = read(link, None).await.map_err(unread)?;
        let first = rows_of(&rows).map_err(unread)?;
        Ok(Self { digest: Some(digest), taker: None, first, taking: None })
    }

    /// Hands over what was read, and every change from now on.
    pub(crate) fn tell(&mut self, taker: AuthorizedTaker) {
        taker(Ok(std::mem::take(&mut self.first)));
        self.taker = Some(taker);
    }

    /// Looks whether the table has changed, if somebody wants to know.
    pub(crate) async fn look(&mut self, link: &DatabaseLink) {
        let Some(taker) = self.taker.clone() else { return };
        if !self.is_taken().await {
            return;
        }
        match read(link, self.digest.as_deref()).await {
            Ok((digest, _)) if self.digest.as_ref() == Some(&digest) => {}
            Ok((digest, rows)) => {
                self.digest = Some(digest);
                // On a thread of its own: accounts go on while a long list is parsed.
                let parse = move || taker(rows_of(&rows).map_err(|DatabaseTrouble(why)| why));
                self.taking = Some(tokio::task::spawn_blocking(parse));
            }
            // That the database is away is told with the ledger's health.
            Err(_) if link.client.is_closed() => {}
            Err(DatabaseTrouble(why)) => {
                // Once it can be read again all of it is told.
                self.digest = None;
                taker(Err(why));
            }
        }
    }

    /// Whether the reading before has been taken.
    async fn is_taken(&mut self) -> bool {
        let Some(taking) = self.taking.take() else { return true };
        if !taking.is_finished() {
            self.taking = Some(taking);
            return false;
        }
        if let Err(error) = taking.await
            && error.is_panic()
        {
            resume_unwind(error.into_panic());
        }
        true
    }
}
