//! Accounts: independent running totals in which each value counts exactly once.
//!
//! | I want to … | type |
//! |---|---|
//! | count, in memory or in a folder | [`Ledger`] |
//! | say what to count, and learn what became of it | [`Operation`], [`Submission`], [`OperationOutcome`] |
//! | hold on to the fact that something is counted | [`Proof`] |
//! | open, lock or look at a ledger's folder | [`store::Folder`], [`store::StoreOptions`] |
//! | keep a ledger on a disk of my own | [`store::Disk`] |
//! | read totals while a server writes | [`audit::View`] |
//! | verify a ledger, back it up, read its history | [`audit::verify`], [`audit::backup`], [`audit::history`] |
//! | restore a backup | [`restore()`] |
//! | write the text of a receipt, or read one | [`Statement`] |
//! | move a ledger from another store | [`Arrival`], [`changes`] |
//! | keep accounts in a database that servers share | [`keeper::AccountKeeper`], [`shared`] |
//!
//! Every account numbers its values 1, 2, 3 … without end. A submission names the number of its
//! first value, so that values that were counted before are skipped, and a gap is refused. It also
//! names its session, so that only the newest session of an account may add.
//!
//! A [`Ledger`] lives in memory or in a folder. In a folder each [`Ledger::commit`] is one batch of
//! a hash-chained journal, synced before it is acknowledged; docs/ledger.md argues every crash
//! point. Time and the disk ([`store::Disk`]) are arguments.
//!
//! ```
//! use ddes_ledger::{AccountId, Ledger, Operation, OperationOutcome, Submission, Timestamp};
//! use ddes_wire::{Amount, Sequence};
//!
//! let mut ledger = Ledger::in_memory();
//! // Microseconds since 1970.
//! let now = Timestamp(1_800_000_000_000_000);
//! let anna = AccountId::Identity([1; 32]);
//! let [OperationOutcome::Opened(Ok(opening))] = ledger.commit(now, &[Operation::Open(anna)])[..]
//! else {
//!     panic!("refused")
//! };
//! let submission = Submission {
//!     account: opening.account,
//!     session: opening.session,
//!     first_seq: Sequence::new(1),
//!     amounts: [42_i64, 50].into_iter().map(Amount::from).collect(),
//! };
//! // The second time the answer was lost, and the client sends again: nothing counts twice.
//! for _ in 0..2 {
//!     let again = Operation::Add(submission.clone());
//!     let [OperationOutcome::Decided(Ok(proof))] = ledger.commit(now, &[again])[..] else {
//!         panic!("refused")
//!     };
//!     assert_eq!((proof.standing().last_seq.get(), proof.standing().sum.get()), (2, 92));
//! }
//! ```

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
