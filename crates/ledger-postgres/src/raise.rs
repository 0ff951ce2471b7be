//! Raises the session numbers of a ledger, after a restore.

use std::time::SystemTime;

use ddes_ledger::shared::{HistoryEntry, RowKey, SharedRow, Swap};

use crate::audit::ACCOUNTS;
use crate::connection::{
    Connection, DatabaseError, DatabaseTrouble, Demands, STATEMENT_MAX, account_row, get,
};
use crate::keeper::{run, timestamp};
use crate::place::DatabaseUrl;

/// Accounts of one transaction.
const PART: i64 = 1024;

/// Raises every identity's session number by 2^32, as an entry of its history, so that no number
/// that was given out before the database was restored is given out again. Returns how many
/// accounts were raised.
///
/// Sessions that are open are superseded. After an error some accounts may be raised; to raise them
/// again does no harm. `progress` is called with the accounts raised, and how many there are.
pub fn raise(
    place: &DatabaseUrl,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, DatabaseError> {
    let raised = run(async {
        let connection = Connection::open(place, Demands::default()).await?;
        raise_all(&connection, progress).await
    });
    raised.map_err(|error| DatabaseError::Unreachable(error.to_string()))?
}

async fn raise_all(
    connection: &Connection,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, DatabaseError> {
    let link = connection.link();
    // Only identities have a next session.
    let of_identities = "octet_length(account) = 32";
    let count = format!("SELECT count(*) FROM ddes_account WHERE {of_identities}");
    let row = link.within(STATEMENT_MAX, link.client.query_one(&count, &[])).await?;
    let whole = u64::try_from(get::<i64>(&row, 0)?).map_or(0, |whole| whole);
    let next =
        format!("{ACCOUNTS} WHERE {of_identities} AND account > $1 ORDER BY account LIMIT {PART}");
    let next = link.within(STATEMENT_MAX, link.client.prepare(&next)).await?;
    let (mut last, mut raised) = (Vec::new(), 0);
    loop {
        progress(raised, whole.max(raised));
        let rows = link.within(STATEMENT_MAX, link.client.query(&next, &[&last])).await?;
        let found: Vec<SharedRow> = rows.iter().map(account_row).collect::<Result<_, _>>()?;
        let Some(end) = found.last() else { return Ok(raised) };
        last = RowKey::from(&end.id).as_bytes().to_vec();
        raise_part(connection, &found).await?;
        raised += found.len() as u64;
    }
}

/// Raises these accounts in one transaction.
async fn raise_part(connection: &Connection, found: &[SharedRow]) -> Result<(), DatabaseError> {
    // Locked, and as they are now: a server may have written them since.
    let rows = connection.read(found).await?;
    let now = timestamp(SystemTime::now());
    let raise = |row: &SharedRow| {
        let (after, entry) = row.raised(now).map_err(|_| {
            let what = format!("account {} has no session numbers left", row.id);
            DatabaseError::unfit(what, "a new ledger: it was raised 65,535 times")
        })?;
        Ok((Swap { prior: (row.version, row.chain), row: after }, entry))
    };
    let raised = rows.iter().map(raise).collect::<Result<Vec<_>, DatabaseError>>()?;
    let (swaps, entries): (Vec<Swap>, Vec<HistoryEntry>) = raised.into_iter().unzip();
    let written = connection.swap(&swaps, true).await?;
    if written.len() != swaps.len() {
        return Err(DatabaseTrouble("an account that was locked has changed".into()).into());
    }
    Ok(connection.append(&entries).await?)
}
