//! Accounts: independent running totals in which each value counts exactly once.
//!
//! Every account numbers its values 1, 2, 3 … for ever. A submission names the number of its first
//! value, so that what was counted before is skipped and what would leave a hole is refused; and
//! it names its session, so that only the newest session of an account may add.
//!
//! Totals live in memory for now: a [`Receipt`] proves that a value is counted, not yet that it
//! outlives the process.

mod account;

use std::collections::HashMap;

use ddes_wire::{Amount, OverflowError, Sequence, SessionNumber, Standing};

use account::Account;

/// Whose total it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountId {
    /// A D-DDES/2 client: its Ed25519 public key.
    Identity([u8; 32]),
    /// One session of the original's wire, which knows no identities.
    Classic(u64),
}

/// Values to count, all or none.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Where they count.
    pub account: AccountId,
    /// The session that sends them.
    pub session: SessionNumber,
    /// The number of the first of them.
    pub first_seq: Sequence,
    /// The values.
    pub amounts: Vec<Amount>,
}

/// Proof that the ledger holds what it states. Only the ledger makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt(Standing);

impl Receipt {
    /// What is proven.
    pub fn standing(&self) -> Standing {
        self.0
    }
}

/// A new session, and where its account stood when it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The session's number, above all before it.
    pub session: SessionNumber,
    /// The account.
    pub receipt: Receipt,
}

/// Why a submission changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It would leave a hole in the numbering.
    #[error("the first value should have been number {expected} at most")]
    Gap {
        /// One above the last number counted.
        expected: Sequence,
    },
    /// A newer session of the same account exists.
    #[error("session {newest} of the same account superseded this one")]
    Superseded {
        /// The newest session.
        newest: SessionNumber,
    },
    /// First number 0, no values, or a numbering or sum beyond its range.
    #[error("the numbering is malformed or would overflow")]
    Malformed,
}

impl From<OverflowError> for Refusal {
    fn from(_: OverflowError) -> Self {
        Self::Malformed
    }
}

/// What became of one submission.
pub type Verdict = Result<Receipt, Refusal>;

/// All accounts.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: HashMap<AccountId, Account>,
}

impl Ledger {
    /// A ledger without accounts, in memory.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Opens a session of `account`, which may be new. It supersedes all before it.
    pub fn open_session(&mut self, account: AccountId) -> Result<Opening, OverflowError> {
        let account = self.accounts.entry(account).or_default();
        Ok(Opening { session: account.open_session()?, receipt: Receipt(account.standing()) })
    }

    /// Applies each submission or refuses it, in order; one verdict each.
    pub fn commit(&mut self, batch: &[Submission]) -> Vec<Verdict> {
        batch.iter().map(|submission| self.apply(submission)).collect()
    }

    /// Where an account stands; `None` if it never had a session.
    pub fn standing(&self, account: &AccountId) -> Option<Standing> {
        self.accounts.get(account).map(Account::standing)
    }

    /// Forgets an account: a classic session's total ends with its session, as in the original.
    pub fn forget(&mut self, account: &AccountId) {
        self.accounts.remove(account);
    }

    fn apply(&mut self, submission: &Submission) -> Verdict {
        // A number never given out by `open_session` is no session of this account.
        let account = self.accounts.get_mut(&submission.account).ok_or(Refusal::Malformed)?;
        account.apply(submission).map(Receipt)
    }
}
