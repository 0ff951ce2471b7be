//! Questions of the page and the console, on a connection of their own.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use ddes_ledger::keeper::KeeperQuestion;
use ddes_ledger::shared::RowKey;
use ddes_ledger::{Account, AccountId, AccountSlice, Totals};
use ddes_wire::{Amount, Total, saturating};
use tokio::sync::mpsc;
use tokio_postgres::Row;

use crate::connection::{DatabaseLink, DatabaseTrouble, account_row, get};
use crate::keeper::KeeperShared;
use crate::numeric::Numeric;
use crate::place::Purpose;

/// Longer than the database's own limit.
const QUESTION_MAX: Duration = Duration::from_secs(65);
/// Positions of slices that are remembered.
const POSITIONS_MAX: usize = 1 << 16;

const COLUMNS: &str = "account, version, newest_session, last_session, last_seq, sum, min, max, \
                       first_time, last_time, chain";

/// Answers questions until nobody asks any more. One that cannot be answered is dropped.
pub(crate) async fn run(
    shared: Rc<KeeperShared>,
    mut asked: mpsc::UnboundedReceiver<KeeperQuestion>,
) {
    let (mut link, mut positions): (Option<DatabaseLink>, _) = (None, Positions::default());
    while let Some(question) = asked.recv().await {
        if link.is_none() {
            link = DatabaseLink::open(&shared.place, Purpose::Ask).await.ok();
        }
        let Some(open) = &link else { continue };
        if answer(open, question, &mut positions).await.is_err() {
            link = None;
        }
    }
}

/// After which account each slice begins.
#[derive(Default)]
struct Positions(HashMap<u64, RowKey>);

async fn answer(
    link: &DatabaseLink,
    question: KeeperQuestion,
    positions: &mut Positions,
) -> Result<(), DatabaseTrouble> {
    match question {
        KeeperQuestion::Totals(asker) => asker(totals(link).await?),
        KeeperQuestion::Accounts(asker) => {
            let sql = "SELECT count(*) FROM ddes_account WHERE version > 0";
            let row = link.within(QUESTION_MAX, link.client.query_one(sql, &[])).await?;
            let wrong = |_| DatabaseTrouble("the number of accounts is out of range".into());
            asker(u64::try_from(get::<i64>(&row, 0)?).map_err(wrong)?);
        }
        KeeperQuestion::Account(id, asker) => asker(account(link, &id).await?),
        KeeperQuestion::Slice { from, most, asker } => {
            asker(slice(link, from, most, positions).await?);
        }
    }
    Ok(())
}

/// Over all accounts.
pub(crate) async fn totals(link: &DatabaseLink) -> Result<Totals, DatabaseTrouble> {
    let sql = "SELECT count(*), coalesce(sum(last_seq), 0)::numeric, coalesce(sum(sum), 0), \
               min(min) FILTER (WHERE last_seq > 0), max(max) FILTER (WHERE last_seq > 0) \
               FROM ddes_account WHERE version > 0";
    let row = link.within(QUESTION_MAX, link.client.query_one(sql, &[])).await?;
    of_totals(&row)
}

fn of_totals(row: &Row) -> Result<Totals, DatabaseTrouble> {
    let wrong = || DatabaseTrouble("the totals are out of range".into());
    let accounts = u64::try_from(get::<i64>(row, 0)?).map_err(|_| wrong())?;
    let count = u128::try_from(get::<Numeric>(row, 1)?.0).map_err(|_| wrong())?;
    let sum = Total::new(get::<Numeric>(row, 2)?.0);
    let amount = |at| match get::<Option<Numeric>>(row, at)? {
        Some(Numeric(amount)) => Amount::try_from(amount).map(Some).map_err(|_| wrong()),
        None => Ok(None),
    };
    Ok(Totals::new(accounts, count, sum, amount(3)?.zip(amount(4)?)))
}

async fn account(link: &DatabaseLink, id: &AccountId) -> Result<Option<Account>, DatabaseTrouble> {
    let sql = format!("SELECT {COLUMNS} FROM ddes_account WHERE account = $1 AND version > 0");
    let key = RowKey::from(id);
    let key = key.as_bytes();
    let row = link.within(QUESTION_MAX, link.client.query_opt(&sql, &[&key])).await?;
    row.map(|row| account_row(&row).map(|row| row.account)).transpose()
}

/// Identities by key, then classic accounts by number. A position stands for the last account of
/// the slice before, so that accounts that come meanwhile move none.
async fn slice(
    link: &DatabaseLink,
    from: u64,
    most: usize,
    positions: &mut Positions,
) -> Result<AccountSlice, DatabaseTrouble> {
    let after = if from == 0 { None } else { positions.0.get(&from).copied() };
    if from > 0 && after.is_none() {
        // A position that was never given out, or long ago.
        return Ok(AccountSlice { accounts: Vec::new(), next: None });
    }
    let mut rows = Vec::new();
    let is_classic = after.is_some_and(|key| key.as_bytes().len() == 8);
    for (len, width) in [(32, 32_i32), (8, 8)] {
        if len == 32 && is_classic || rows.len() >= most {
            continue;
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM ddes_account WHERE octet_length(account) = $1 AND version > 0 \
             AND account > $2 ORDER BY account LIMIT $3"
        );
        let key = after.filter(|key| key.as_bytes().len() == len);
        let key = key.as_ref().map_or(&[][..], RowKey::as_bytes);
        let rest = saturating::to_u32((most - rows.len()) as u64);
        let limit = i64::from(rest);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&width, &key, &limit];
        rows.extend(link.within(QUESTION_MAX, link.client.query(&sql, &parameters)).await?);
    }
    let rows = rows.iter().map(account_row).collect::<Result<Vec<_>, _>>()?;
    let next = rows.last().filter(|_| rows.len() >= most).map(|last| {
        let next = from + rows.len() as u64;
        if positions.0.len() >= POSITIONS_MAX {
            positions.0.clear();
        }
        positions.0.insert(next, RowKey::from(&last.id));
        next
    });
    let accounts = rows.into_iter().map(|row| (row.id, row.account)).collect();
    Ok(AccountSlice { accounts, next })
}
