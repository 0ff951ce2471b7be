//! Whether a ledger holds what receipts state.

use std::collections::HashMap;

use super::VerifyError;
use crate::accounts::Accounts;
use crate::base::{Base, Footing, Trail};
use crate::receipt::{Statement, Subject};
use crate::shared::SharedRow;
use crate::store::{Added, Batch, Chain, NamedCheckpoint, Record, Seen, SegmentVersion};
use crate::{AccountChange, AccountId, Timestamp};

/// Statements, and how far each has been checked against the ledger.
pub(super) struct StatementChecks<'a> {
    statements: &'a [Statement],
    states: Vec<StatementState>,
    /// Accounts of [`Subject::Shared`], as a ledger in a database has them.
    shared: HashMap<AccountId, SharedRow>,
    /// SHA-256 of the ledger's id.
    ledger: [u8; 32],
    footing: Footing,
    held_by: HeldBy,
}

/// By what a ledger must hold the statement of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// By its batch and the chain value of that: the ledger is where it was.
    Batch,
    /// By the account's count and sum at the statement's time. A ledger that was moved between
    /// stores has other batches, with the same accounts.
    Total,
}

/// The result of checking one statement.
#[derive(Clone, Copy)]
enum StatementState {
    /// No batch that matches it has been read.
    Open,
    /// The ledger holds what it states.
    Held,
    /// The totals agree; it is true if this is a checkpoint of the ledger.
    Of(NamedCheckpoint),
}

impl<'a> StatementChecks<'a> {
    pub(super) fn new(
        statements: &'a [Statement],
        ledger: [u8; 32],
        footing: Footing,
        held_by: HeldBy,
    ) -> Self {
        let states = vec![StatementState::Open; statements.len()];
        // A chain that does not begin with the account cannot be computed.
        let is_whole = footing == Footing::Beginning;
        let shared = statements.iter().filter_map(|statement| match statement.subject {
            Subject::Shared(id) => is_whole.then(|| (id, SharedRow::new(id))),
            Subject::Account(_) | Subject::Checkpoint { .. } => None,
        });
        Self { statements, states, shared: shared.collect(), ledger, footing, held_by }
    }

    /// A ledger that came from a database has each entry of it as a record: the chain of an account
    /// follows from its records. And one that was moved has the accounts that it had.
    pub(super) fn check_change(&mut self, accounts: &Accounts, record: &Record, seen: &Seen<'_>) {
        let is_moved = self.held_by == HeldBy::Total;
        if self.shared.is_empty() && !is_moved {
            return;
        }
        let Some(change) = AccountChange::of_record(accounts, seen, record) else { return };
        let entry = self.shared.get_mut(&change.id).and_then(|row| {
            let (after, entry) = row.changed(&change).ok()?;
            *row = after;
            Some(entry)
        });
        for (statement, state) in self.statements.iter().zip(&mut self.states) {
            let is_own = statement.ledger.is_none_or(|ledger| ledger == self.ledger);
            let holds = match statement.subject {
                Subject::Shared(id) if id == change.id => {
                    entry.as_ref().is_some_and(|entry| entry.holds(statement))
                }
                Subject::Account(id) if id == change.id => is_moved && change.amounts_to(statement),
                Subject::Account(_) | Subject::Shared(_) | Subject::Checkpoint { .. } => false,
            };
            if is_own && holds {
                *state = StatementState::Held;
            }
        }
    }

    /// A 40 states the account directly after its own 30, which may be in the middle of a batch.
    pub(super) fn check_record(&mut self, accounts: &Accounts, added: &Added, seen: &Seen<'_>) {
        let id = accounts.id(added.account).map(Subject::Account);
        self.check((seen.batch, seen.chain, seen.time), |statement| {
            let next = u128::from(added.first_seq.get()) + added.amounts.len() as u128;
            let holds = Some(statement.subject) == id
                && (statement.count.checked_add(1), statement.sum) == (Some(next), added.sum);
            holds.then_some(StatementState::Held)
        });
    }

    pub(super) fn check_batch(&mut self, accounts: &Accounts, seen: &Seen<'_>, trail: &Trail) {
        // The earlier release named no checkpoints. If all batches are kept, the totals are proven
        // without a name.
        let is_unnamed = seen.version == SegmentVersion::One
            && trail.is_silent()
            && self.footing == Footing::Beginning;
        self.check((seen.batch, seen.chain, seen.time), |statement| {
            let state = compare(accounts, statement)?;
            Some(if is_unnamed { StatementState::Held } else { state })
        });
    }

    /// Checks the statements as of the base, whose batch may not be kept.
    pub(super) fn check_base(&mut self, base: &Base) {
        if base.slices.end == base.start.batch {
            self.check((base.start.batch, base.start.chain, base.time), |statement| {
                compare(&base.accounts, statement)
            });
        }
    }

    /// Checks the open statements as of one batch; `None` from `holds` leaves a statement open.
    fn check(
        &mut self,
        (batch, chain, time): (Batch, Chain, Timestamp),
        holds: impl Fn(&Statement) -> Option<StatementState>,
    ) {
        for (statement, state) in self.statements.iter().zip(&mut self.states) {
            let is_there =
                (statement.batch, statement.chain, statement.time) == (batch, chain, time);
            let is_own = statement.ledger.is_none_or(|ledger| ledger == self.ledger);
            if is_there
                && is_own
                && matches!(state, StatementState::Open)
                && let Some(found) = holds(statement)
            {
                *state = found;
            }
        }
    }

    /// The first statement that the ledger does not hold is an error. `agreeing` are the kept
    /// checkpoints, which agree with the journal.
    pub(super) fn finish(
        &self,
        trail: &Trail,
        agreeing: &[NamedCheckpoint],
    ) -> Result<(), VerifyError> {
        for (index, (statement, state)) in self.statements.iter().zip(&self.states).enumerate() {
            let is_base = |named: &NamedCheckpoint| match &self.footing {
                Footing::Beginning => false,
                Footing::Named { checkpoint, .. } | Footing::Unproven(checkpoint) => {
                    is_same(checkpoint, named)
                }
            };
            let is_named = |named: &NamedCheckpoint| {
                trail.all().chain(agreeing).any(|there| is_same(there, named))
            };
            let why = match state {
                StatementState::Held => continue,
                StatementState::Of(named) if is_base(named) || is_named(named) => continue,
                StatementState::Of(_) => {
                    "no batch that is kept names a checkpoint of that digest: totals agree, \
                     accounts may not"
                }
                StatementState::Open
                    if statement.ledger.is_some_and(|ledger| ledger != self.ledger) =>
                {
                    "it is of another ledger"
                }
                StatementState::Open if self.held_by == HeldBy::Total => {
                    "this ledger never stood so; a checkpoint's receipt is of the store where it was \
                     made"
                }
                StatementState::Open => {
                    "this ledger does not hold what it states: its batch is missing, older than \
                     what is kept, or another (--moved, if the ledger was moved since)"
                }
            };
            return Err(VerifyError::Receipt { index, why: why.into() });
        }
        Ok(())
    }
}

/// Whether this is the checkpoint of a receipt, which does not state where the checkpoint begins.
fn is_same(there: &NamedCheckpoint, stated: &NamedCheckpoint) -> bool {
    (there.end, there.digest) == (stated.end, stated.digest)
}

/// Compares a statement with the accounts; `None` if they differ.
fn compare(accounts: &Accounts, statement: &Statement) -> Option<StatementState> {
    match statement.subject {
        Subject::Account(id) => {
            let account = accounts.find(&id).and_then(|number| accounts.get(number))?;
            let standing = account.standing();
            let stands =
                (statement.count, statement.sum) == (standing.last_seq.get().into(), standing.sum);
            stands.then_some(StatementState::Held)
        }
        // Held by the entry that it states, which is not a batch.
        Subject::Shared(_) => None,
        Subject::Checkpoint { accounts: count, digest } => {
            let totals = accounts.totals();
            let stands = (statement.count, statement.sum, count)
                == (totals.count, totals.sum, totals.accounts);
            let named = NamedCheckpoint { start: 0, end: statement.batch, digest };
            stands.then_some(StatementState::Of(named))
        }
    }
}
