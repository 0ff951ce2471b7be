//! Accounts: independent running totals in which each value counts exactly once.
//!
//! Every account numbers its values 1, 2, 3 … without end. A submission names the number of its
//! first value, so that values that were counted before are skipped, and a gap is refused. It also
//! names its session, so that only the newest session of an account may add.
//!
//! A [`Ledger`] lives in memory or in a folder. In a folder each [`Ledger::commit`] is one batch of
//! a hash-chained journal, synced before it is acknowledged; docs/ledger.md argues every crash
//! point. Time and the disk ([`store::Disk`]) are arguments.

mod account;
mod accounts;
mod apply;
mod arrival;
pub mod audit;
mod base;
mod change;
mod check;
mod health;
mod index;
pub mod keeper;
mod ledger;
mod operation;
mod receipt;
mod restore;
mod rhythm;
pub mod shared;
pub mod store;
mod totals;

pub use account::{Account, AccountParts, Timestamp};
pub use accounts::AccountSlice;
pub use arrival::{Arrival, ArrivalError};
pub use change::{AccountChange, ChangesError, Departure, changes};
pub use health::Health;
pub use ledger::{ImportError, Ledger, Opened};
pub use operation::{
    AccountId, AccountNumber, Opening, Operation, OperationOutcome, Proof, Refusal, Submission,
    Verdict,
};
pub use receipt::{Statement, StatementError, Subject};
pub use restore::{RestoreError, RestoreStep, Restored, restore};
pub use totals::Totals;
