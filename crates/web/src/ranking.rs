//! Which accounts match a search, and their order. The last result is kept, so that the pages of
//! one list are sorted once.

use std::cmp::Ordering;
use std::sync::Arc;

use ddes_ledger::AccountId;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::answer::SortOrder;
use crate::aside::Aside;
use crate::error::ApiError;
use crate::mirror::{AccountKind, AccountRow, AccountRows};
use crate::names::{Names, account_id, digest, parse_fingerprint};

/// A column of accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountColumn {
    #[default]
    Id,
    Name,
    Sum,
    Count,
    Mean,
    Min,
    Max,
    FirstSeen,
    LastSeen,
}

/// What a list of accounts shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranking {
    /// In lower case; `None` for all accounts.
    pub(crate) search: Option<String>,
    pub(crate) column: AccountColumn,
    pub(crate) order: SortOrder,
}

/// The places of rows, in order.
pub(crate) type RowOrder = Arc<Vec<u32>>;

/// The last result, and for what it was. Only one request sorts or searches at a time. Also if its
/// client leaves, the next one begins when it has ended.
#[derive(Debug, Default)]
pub(crate) struct Ranked(Arc<Mutex<Option<Last>>>);

#[derive(Debug)]
struct Last {
    ranking: Ranking,
    generation: u64,
    places: RowOrder,
}

impl Ranked {
    pub(crate) async fn places(
        &self,
        aside: &Aside,
        ranking: Ranking,
        rows: &AccountRows,
        names: &Arc<Names>,
    ) -> Result<RowOrder, ApiError> {
        let mut last = Arc::clone(&self.0).lock_owned().await;
        if let Some(last) = &*last
            && last.generation == rows.generation
            && last.ranking == ranking
        {
            return Ok(Arc::clone(&last.places));
        }
        let (rows, names) = (rows.clone(), Arc::clone(names));
        let sorting = move || {
            let places = Arc::new(rank(&ranking, &rows, &names));
            let generation = rows.generation;
            *last = Some(Last { ranking, generation, places: Arc::clone(&places) });
            places
        };
        aside.run(sorting).await
    }

    /// The identity with this fingerprint.
    pub(crate) async fn find(
        &self,
        aside: &Aside,
        fingerprint: &str,
        rows: AccountRows,
    ) -> Result<Option<AccountId>, ApiError> {
        let Some(wanted) = parse_fingerprint(fingerprint) else { return Ok(None) };
        let last = Arc::clone(&self.0).lock_owned().await;
        let search = move || {
            let mut all = rows.iter();
            let found = all
                .find(|(kind, row)| *kind == AccountKind::Identity && digest(row.key()) == wanted);
            let found = found.map(|(kind, row)| row.id(kind));
            drop(last);
            found
        };
        aside.run(search).await
    }
}

fn rank(ranking: &Ranking, rows: &AccountRows, names: &Names) -> Vec<u32> {
    // A ledger has at most 2^32 - 1 identities; what exceeds that is not shown.
    let numbered = (0_u32..).zip(rows.iter());
    let matching = numbered.filter(|(_, (kind, row))| match &ranking.search {
        None => true,
        Some(text) => matches(text, *kind, row, names),
    });
    let order = ranking.order;
    match ranking.column {
        AccountColumn::Id => sorted(matching, order, |kind, row| Some(id_key(kind, row))),
        AccountColumn::Name => {
            sorted(matching, order, |_, row| names.get(row.key()).map(|name| name.to_lowercase()))
        }
        AccountColumn::Sum => sorted(matching, order, |_, row| Some(row.sum)),
        AccountColumn::Count => sorted(matching, order, |_, row| Some(row.count)),
        AccountColumn::Mean => sorted(matching, order, |_, row| row.mean().map(TotalOrdered)),
        AccountColumn::Min => sorted(matching, order, |kind, row| Some(row.extremes(kind)?.0)),
        AccountColumn::Max => sorted(matching, order, |kind, row| Some(row.extremes(kind)?.1)),
        AccountColumn::FirstSeen => sorted(matching, order, |_, row| Some(row.times()?.0)),
        AccountColumn::LastSeen => sorted(matching, order, |_, row| Some(row.times()?.1)),
    }
}

/// By their keys; rows without one come last in both directions, and equal ones stay in the order
/// of their places.
fn sorted<'a, K: Ord>(
    rows: impl Iterator<Item = (u32, (AccountKind, &'a AccountRow))>,
    order: SortOrder,
    key: impl Fn(AccountKind, &AccountRow) -> Option<K>,
) -> Vec<u32> {
    let mut keyed: Vec<(Option<K>, u32)> =
        rows.map(|(place, (kind, row))| (key(kind, row), place)).collect();
    keyed.sort_unstable_by(|(one, first), (other, second)| {
        by_key(order, one.as_ref(), other.as_ref()).then(first.cmp(second))
    });
    keyed.into_iter().map(|(_, place)| place).collect()
}

/// Compares in a direction. Without a key a row comes last in either.
pub(crate) fn by_key<K: Ord>(order: SortOrder, one: Option<K>, other: Option<K>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => match order {
            SortOrder::Asc => one.cmp(&other),
            SortOrder::Desc => other.cmp(&one),
        },
        (one, other) => other.is_some().cmp(&one.is_some()),
    }
}

/// Identities by the digest that their id shows, then classic accounts by their number.
fn id_key(kind: AccountKind, row: &AccountRow) -> (AccountKind, [u8; 16], u64) {
    match kind {
        AccountKind::Identity => {
            let mut first = [0; 16];
            first.iter_mut().zip(digest(row.key())).for_each(|(to, from)| *to = from);
            (kind, first, 0)
        }
        AccountKind::Classic => (kind, [0; 16], row.classic_number()),
    }
}

fn matches(text: &str, kind: AccountKind, row: &AccountRow, names: &Names) -> bool {
    let is_named = kind == AccountKind::Identity
        && names.get(row.key()).is_some_and(|name| name.to_lowercase().contains(text));
    is_named || account_id(&row.id(kind)).to_lowercase().contains(text)
}

/// A number that is compared as a total order.
#[derive(Clone, Copy, Debug)]
struct TotalOrdered(f64);

impl PartialEq for TotalOrdered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for TotalOrdered {}

impl PartialOrd for TotalOrdered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TotalOrdered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aside::tests::{abandon, gated};

    #[test]
    fn what_a_client_that_left_has_begun_keeps_its_turn_until_it_ends() {
        let (ranked, aside) = (Ranked::default(), Aside::new());
        let (rows, names) = (AccountRows::default(), Arc::default());
        let ranking = Ranking { search: None, column: AccountColumn::Id, order: SortOrder::Asc };
        let places = || ranked.places(&aside, ranking.clone(), &rows, &names);
        let fingerprint = format!("SHA256:{}", "A".repeat(43));
        for is_sorting in [true, false] {
            let (runtime, gate) = gated();
            let entered = runtime.enter();
            match is_sorting {
                true => abandon(places()),
                false => abandon(ranked.find(&aside, &fingerprint, rows.clone())),
            }
            (0..400).for_each(|_| abandon(places()));
            drop(entered);
            assert!(ranked.0.try_lock().is_err());
            drop(gate);
            assert!(runtime.block_on(places()).unwrap().is_empty());
            assert!(ranked.0.try_lock().unwrap().is_some());
        }
    }
}
