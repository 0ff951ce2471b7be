//! How a session ends on the server, whose fault it is, and what the client hears of it.

use ddes_cipher::LimitError;
use ddes_ffdhe::PublicValueError;
use ddes_wire::frame::TooLong;
use ddes_wire::v2::{HelloError, Reason, Suite};

use super::noise::NoiseError;
use super::record::RecordError;

/// What is said of [`End::LedgerUnavailable`].
const NO_ROOM: &str = "the server's ledger takes nothing now: its disk is full or failed; try again later";

/// Why the ledger did not count a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It would leave a hole in the numbering.
    Gap,
    /// Its numbering is malformed.
    Malformed,
    /// A newer session of the account exists.
    Superseded,
    /// The ledger cannot say whether it counted.
    Unavailable,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The client's 50.
    Bye,
    /// The connection closed before the client said anything.
    Closed,
    /// The client had seen the server's proof and left before its own (rule P-18): it came for the key, or does not trust it.
    Left,
    /// The idle timer.
    Idle,
    /// 24 hours.
    TooOld,
    /// This side's decision.
    Ordered(Reason),
    /// The ledger has no room for its opening, or has failed (rule P-33).
    LedgerUnavailable,
    /// Its address begins more handshakes a second than this, counted in those of 2048 bits (rule P-28).
    TooFast {
        /// The bound.
        most: u32,
    },
    /// The client broke a rule.
    Fault(Fault),
}

/// The rule a client broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// P-17: a frame longer than its place allows.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// P-17: bytes that the handshake has no place for.
    #[error("more came than the handshake holds")]
    Early,
    /// P-18: the stream ended without a 50.
    #[error("the stream ended without a 50")]
    Truncated,
    /// P-17: an opcode that does not exist or is not due.
    #[error("opcode {opcode} came out of order")]
    Opcode {
        /// What came.
        opcode: u32,
    },
    /// P-01.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// P-01: a suite that exists, and that this server does not take.
    #[error("the suite {} is not taken here", .suite.name())]
    Suite {
        /// The suite named.
        suite: Suite,
    },
    /// P-02 to P-04.
    #[error("the handshake: {0}")]
    Handshake(#[from] NoiseError<PublicValueError>),
    /// P-08.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// P-15, P-16, P-19: no proof of an identity.
    #[error("the client's proof of identity does not verify")]
    Proof,
    /// P-19: proven, but not authorized. The client hears the same as of [`Self::Proof`].
    #[error("the client's identity is not authorized")]
    NotAuthorized,
    /// P-20.
    #[error("the session token is wrong")]
    Token,
    /// P-13: a 50 that is none.
    #[error("the client's 50 is malformed")]
    Farewell,
    /// P-22: scope \"all\" from one who is no operator.
    #[error("only an operator may end every session")]
    NotOperator,
    /// P-23.
    #[error("no proof of identity came before the handshake deadline")]
    HandshakeTimeout,
    /// P-24.
    #[error("the client took nothing for {} s", crate::STALL_MAX.as_secs())]
    TakesNothing,
    /// P-07.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl Fault {
    /// What the client hears of it; nothing where it would not be read.
    pub(super) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Hello(HelloError::Unsupported { .. }) | Self::Suite { .. } => Some(Reason::Unsupported),
            Self::Proof | Self::NotAuthorized | Self::NotOperator => Some(Reason::NotAuthorized),
            Self::Record(_) => Some(Reason::Authentication),
            Self::Token => Some(Reason::Token),
            Self::TooLong(_)
            | Self::Early
            | Self::Opcode { .. }
            | Self::Hello(HelloError::Length { .. })
            | Self::Handshake(_)
            | Self::Farewell
            | Self::HandshakeTimeout => Some(Reason::Protocol),
            Self::Truncated | Self::TakesNothing | Self::Limit(_) => None,
        }
    }
}

impl End {
    pub(super) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Bye => Some(Reason::Bye),
            Self::Idle => Some(Reason::Idle),
            Self::TooOld => Some(Reason::TooOld),
            Self::Ordered(reason) => Some(*reason),
            Self::LedgerUnavailable | Self::TooFast { .. } => Some(Reason::TooMany),
            Self::Fault(fault) => fault.reason(),
            Self::Closed | Self::Left => None,
        }
    }

    /// What the client is told of `reason`.
    pub(super) fn text(&self, reason: Reason) -> String {
        match self {
            Self::LedgerUnavailable => NO_ROOM.into(),
            Self::TooFast { most } => {
                format!("this address begins too many handshakes a second (the limit is {most} of 2048 bits)")
            }
            Self::Bye
            | Self::Closed
            | Self::Left
            | Self::Idle
            | Self::TooOld
            | Self::Ordered(_)
            | Self::Fault(_) => reason.text().into(),
        }
    }
}
