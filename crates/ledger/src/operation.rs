//! What is asked of a ledger, and what it answers.

use std::fmt;

use ddes_wire::{Amounts, OverflowError, Sequence, SessionNumber, Standing};

/// Whose total it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountId {
    /// A D-DDES/2 client: its Ed25519 public key.
    Identity([u8; 32]),
    /// One session of the original's wire, which knows no identities: `classic/N`. No two sessions
    /// of a ledger have the same number.
    Classic(u64),
}

/// An account as its ledger numbers it: short, and found at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountNumber {
    /// The identity that came as the n-th, from 0.
    Identity(u32),
    /// As in [`AccountId::Classic`].
    Classic(u64),
}

/// Something to do. In a batch each sees what those before it did.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Open a session of an account, which may be new. It supersedes all before it.
    Open(AccountId),
    /// Count values.
    Add(Submission),
    /// A classic account is over with its session, as in the original: it stays in the ledger's
    /// totals and history, and can be added to no more.
    End(AccountNumber),
}

/// Values to count, all or none.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Where they count.
    pub account: AccountNumber,
    /// The session that sends them.
    pub session: SessionNumber,
    /// The number of the first of them.
    pub first_seq: Sequence,
    /// The values: of 64 bits, with a sign from identities, without one in classic accounts.
    pub amounts: Amounts,
}

/// What became of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of [`Operation::Open`].
    Opened(Result<Opening, Refusal>),
    /// Of [`Operation::Add`].
    Decided(Verdict),
    /// Of [`Operation::End`].
    Ended(Result<(), Refusal>),
}

/// What became of one submission.
pub type Verdict = Result<Proof, Refusal>;

/// Proof that the ledger holds what it states, as durably as it holds anything. Only the ledger
/// makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof(Standing);

impl Proof {
    pub(crate) fn new(standing: Standing) -> Self {
        Self(standing)
    }

    /// What is proven.
    pub fn standing(&self) -> Standing {
        self.0
    }
}

/// A new session, and where its account stood when it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// What to name in submissions.
    pub account: AccountNumber,
    /// The session's number, above all before it.
    pub session: SessionNumber,
    /// The account.
    pub proof: Proof,
}

/// Why an operation changed nothing.
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
    /// First number 0, no values, too many or none that the account's wire can send, no such
    /// account, or a numbering or sum beyond its range.
    #[error("the numbering is malformed or would overflow")]
    Malformed,
    /// The disk is full or has failed. It may or may not have counted.
    #[error("the ledger cannot be written")]
    Unavailable,
}

impl From<OverflowError> for Refusal {
    fn from(_: OverflowError) -> Self {
        Self::Malformed
    }
}

impl fmt::Display for AccountId {
    /// `classic/7`, or 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(key) => key.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Classic(number) => write!(f, "classic/{number}"),
        }
    }
}
