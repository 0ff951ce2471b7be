//! The operations of a ledger, and their outcomes.

use std::fmt;

use ddes_wire::{Amounts, OverflowError, Sequence, SessionNumber, Standing};

/// The name of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountId {
    /// A D-DDES/2 client: its Ed25519 public key.
    Identity([u8; 32]),
    /// One session of the classic wire, which has no identities: `classic/N`. Each session of a
    /// ledger has a number of its own.
    Classic(u64),
}

/// The number by which a ledger finds an account without a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountNumber {
    /// The n-th identity in order of first appearance, from 0.
    Identity(u32),
    /// The same number as in [`AccountId::Classic`].
    Classic(u64),
}

/// A change of the ledger. In a batch, each operation sees the effects of those before it.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Open a session of an account, which may be new. It supersedes the account's earlier
    /// sessions.
    Open(AccountId),
    /// Count values in an account.
    Add(Submission),
    /// End a classic account together with its session. It stays in the ledger's totals and
    /// history, and nothing can be added to it any more.
    End(AccountNumber),
}

/// Values to count: all of them or none.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The account in which they count.
    pub account: AccountNumber,
    /// The session that sends them.
    pub session: SessionNumber,
    /// The number of the first of them.
    pub first_seq: Sequence,
    /// The values: of 64 bits, with a sign from identities, without one in classic accounts.
    pub amounts: Amounts,
}

/// The outcome of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationOutcome {
    /// The outcome of [`Operation::Open`].
    Opened(Result<Opening, Refusal>),
    /// The outcome of [`Operation::Add`].
    Decided(Verdict),
    /// The outcome of [`Operation::End`].
    Ended(Result<(), Refusal>),
}

/// The outcome of one submission.
pub type Verdict = Result<Proof, Refusal>;

/// Proof that the ledger holds this standing, as durably as everything else in it. Only the ledger
/// can create one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof(Standing);

impl Proof {
    pub(crate) fn new(standing: Standing) -> Self {
        Self(standing)
    }

    /// The standing that is proven.
    pub fn standing(&self) -> Standing {
        self.0
    }
}

/// A new session, and the account's standing when it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The account's number, for submissions.
    pub account: AccountNumber,
    /// The session's number, above those of the account's earlier sessions.
    pub session: SessionNumber,
    /// The account's standing when the session opened.
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
        /// The number of the newest session.
        newest: SessionNumber,
    },
    /// First number 0, no values, too many or none that the account's wire can send, no such
    /// account, or a numbering or sum beyond its range.
    #[error("the numbering is malformed or would overflow")]
    Malformed,
    /// The disk is full or has failed. The values may or may not have counted.
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
