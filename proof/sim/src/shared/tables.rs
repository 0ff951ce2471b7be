//! Rows and histories of accounts, and what they must be.

use std::collections::BTreeMap;

use ddes_ledger::AccountId;
use ddes_ledger::shared::{Audited, EntryError, HistoryEntry, SharedRow, Swap};

use crate::model::{Model, Violation};

/// Two of the bugs that are put in on purpose: the key of the history would stop them.
pub(crate) const IS_UNGUARDED: bool =
    cfg!(any(ddes_mutant = "swap-unconditional", ddes_mutant = "swap-unfenced"));

/// What a transaction has written.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowChanges {
    pub(crate) rows: BTreeMap<AccountId, SharedRow>,
    pub(crate) entries: Vec<HistoryEntry>,
}

/// What one database holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimTables {
    rows: BTreeMap<AccountId, SharedRow>,
    history: BTreeMap<(AccountId, u64), HistoryEntry>,
}

impl SimTables {
    pub(crate) fn row(&self, id: &AccountId) -> Option<&SharedRow> {
        self.rows.get(id)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &SharedRow> {
        self.rows.values()
    }

    pub(crate) fn entries(&self) -> usize {
        self.history.len()
    }

    /// Whether the key of the history is taken.
    pub(crate) fn has_entry(&self, entry: &HistoryEntry) -> bool {
        self.history.contains_key(&(entry.id, entry.number))
    }

    pub(crate) fn apply(&mut self, changes: &RowChanges) {
        self.rows.extend(changes.rows.iter().map(|(id, row)| (*id, *row)));
        for entry in &changes.entries {
            self.history.entry((entry.id, entry.number)).or_insert_with(|| entry.clone());
        }
    }

    /// Every history is without a gap and chained, its values are those that its owner gave, and
    /// its row is what it adds up to.
    pub(crate) fn audit(&self, model: &Model) -> Result<(), Violation> {
        let wrong = |error: EntryError| Violation(error.to_string());
        let mut audited: BTreeMap<AccountId, Audited> = BTreeMap::new();
        for entry in self.history.values() {
            let account = audited.entry(entry.id).or_insert_with(|| Audited::new(entry.id));
            account.take(entry).map_err(wrong)?;
            model.check_entry(entry)?;
        }
        for row in self.rows.values() {
            let account = audited.remove(&row.id).unwrap_or_else(|| Audited::new(row.id));
            account.compare(row).map_err(wrong)?;
            model.check_row(row)?;
        }
        match audited.keys().next() {
            None => Ok(()),
            Some(id) => Err(Violation(format!("{id} has a history, and no row"))),
        }
    }

    /// Whether both hold the same.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.rows == other.rows && self.history == other.history
    }
}

/// The condition of the SWAP.
pub(crate) fn is_as_it_was(found: &SharedRow, swap: &Swap) -> bool {
    match () {
        () if cfg!(ddes_mutant = "swap-unconditional") => true,
        () if cfg!(ddes_mutant = "swap-unfenced") => {
            found.account.count() <= swap.row.account.count()
        }
        () => (found.version, found.chain) == swap.prior,
    }
}
