//! Accounts: independent running totals in which each value counts exactly once.
//!
//! Every account numbers its values 1, 2, 3 … for ever. A submission names the number of its first
//! value, so that what was counted before is skipped and what would leave a hole is refused; and it
//! names its session, so that only the newest session of an account may add.
//!
//! A [`Ledger`] lives in memory or in a folder. In a folder each [`Ledger::commit`] is one batch of
//! a hash-chained journal, synced before anybody is told; docs/ledger.md argues every crash point.
//! Time is an argument; the disk is the [`store::Disk`] given.

mod account;
mod accounts;
mod apply;
pub mod audit;
mod base;
mod check;
mod index;
mod ledger;
mod operation;
mod receipt;
mod restore;
mod rhythm;
pub mod store;
mod totals;

pub use account::{Account, Timestamp};
pub use ledger::{Health, Ledger, Opened};
pub use operation::{
    AccountId, AccountNumber, Opening, Operation, Outcome, Proof, Refusal, Submission, Verdict,
};
pub use receipt::{Statement, StatementError, Subject};
pub use restore::{RestoreError, RestoreStep, Restored, restore};
pub use totals::Totals;
