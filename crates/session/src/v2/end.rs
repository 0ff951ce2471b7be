//! How a session ends on the server, whose fault it is, and what the client hears of it.

use ddes_cipher::LimitError;
use ddes_ffdhe::PublicValueError;
use ddes_wire::frame::TooLong;
use ddes_wire::v2::{HelloError, Reason, Suite};

use super::noise::NoiseError;
use super::record::RecordError;

/// What is said of [`ServerEnd::LedgerUnavailable`].
const NO_ROOM: &str =
    "the server's ledger takes nothing now: its disk is full or failed; try again later";

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
pub enum ServerEnd {
    /// The client's 50.
    Bye,
    /// The connection closed before the client said anything.
    Closed,
    /// The client had seen the server's proof and left before its own (rule P-18): it came for the
    /// key, or does not trust it.
    Left,
    /// The idle timer.
    Idle,
    /// 24 hours.
    TooOld,
    /// This side's decision.
    Ordered(Reason),
    /// The ledger has no room for its opening, or has failed (rule P-33).
    LedgerUnavailable,
    /// Its address begins more handshakes a second than this, counted in those of 2048 bits (rule
    /// P-28).
    TooFast {
        /// The bound.
        most: u32,
    },
    /// The client broke a rule.
    Fault(Fault),
}

/// How a client broke the protocol. [`Fault::rule`] says which rule it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A frame longer than its place allows.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// Bytes that the handshake has no place for.
    #[error("more came than the handshake holds")]
    Early,
    /// The stream ended without a 50.
    #[error("the stream ended without a 50")]
    Truncated,
    /// An opcode that does not exist or is not due.
    #[error("opcode {opcode} came out of order")]
    Opcode {
        /// What came.
        opcode: u32,
    },
    /// A first message without a known version and suite, or of another length than its suite's.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// A suite that exists, and that this server does not take.
    #[error("the suite {} is not taken here", .suite.name())]
    Suite {
        /// The suite named.
        suite: Suite,
    },
    /// A first message whose Noise part is refused.
    #[error("the handshake: {0}")]
    Handshake(#[from] NoiseError<PublicValueError>),
    /// A record that does not open.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Message 4 does not prove an identity.
    #[error("the client's proof of identity does not verify")]
    Proof,
    /// The identity is proven, but not authorized. The client gets the same 50 as for
    /// [`Self::Proof`].
    #[error("the client's identity is not authorized")]
    NotAuthorized,
    /// A 30 with another token than that of its session.
    #[error("the session token is wrong")]
    Token,
    /// The body of a 50 has another form than it should.
    #[error("the client's 50 is malformed")]
    Farewell,
    /// Scope "all" from a client that is not an operator.
    #[error("only an operator may end every session")]
    NotOperator,
    /// The handshake took too long.
    #[error("no proof of identity came before the handshake deadline")]
    HandshakeTimeout,
    /// The client did not read what was sent to it.
    #[error("the client took nothing for {} s", crate::STALL_MAX.as_secs())]
    TakesNothing,
    /// The keystream under one key, or one message, would be too long.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl Fault {
    /// The rule of PROTOCOL.md that the client broke.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Hello(_) | Self::Suite { .. } => "P-01",
            Self::Handshake(NoiseError::Length | NoiseError::Open(_)) => "P-02",
            Self::Handshake(NoiseError::Dh(_)) => "P-03",
            Self::Handshake(NoiseError::Kem(_)) => "P-04",
            Self::Limit(_) | Self::Handshake(NoiseError::Limit(_)) => "P-07",
            Self::Record(_) => "P-08",
            Self::Farewell => "P-13",
            Self::Proof => "P-15",
            Self::TooLong(_) | Self::Early | Self::Opcode { .. } => "P-17",
            Self::Truncated => "P-18",
            Self::NotAuthorized => "P-19",
            Self::Token => "P-20",
            Self::NotOperator => "P-22",
            Self::HandshakeTimeout => "P-23",
            Self::TakesNothing => "P-24",
        }
    }

    /// What the client hears of it; nothing where it would not be read.
    pub(super) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Hello(HelloError::Unsupported { .. }) | Self::Suite { .. } => {
                Some(Reason::Unsupported)
            }
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

impl ServerEnd {
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
                format!(
                    "this address begins too many handshakes a second (the limit is {most} of 2048 bits)"
                )
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

#[cfg(test)]
mod tests {
    use ddes_cipher::OpenError;
    use ddes_wire::v2::GroupSize;

    use super::*;
    use crate::v2::kem::KemError;

    #[test]
    fn each_fault_names_the_rule_that_protocol_md_states() {
        let suite = Suite::Ddes(GroupSize::Bits2048);
        let table = [
            (Fault::Hello(HelloError::Unsupported { version: 1, suite: 0 }), "P-01"),
            (Fault::Hello(HelloError::Length { length: 3 }), "P-01"),
            (Fault::Suite { suite }, "P-01"),
            (Fault::Handshake(NoiseError::Length), "P-02"),
            (Fault::Handshake(NoiseError::Open(OpenError::Tag)), "P-02"),
            (Fault::Handshake(NoiseError::Dh(PublicValueError::Range)), "P-03"),
            (Fault::Handshake(NoiseError::Kem(KemError::Key)), "P-04"),
            (Fault::Handshake(NoiseError::Limit(LimitError::Nonce)), "P-07"),
            (Fault::Limit(LimitError::Nonce), "P-07"),
            (Fault::Record(RecordError::Short { length: 1 }), "P-08"),
            (Fault::Record(RecordError::Open(OpenError::Tag)), "P-08"),
            (Fault::Farewell, "P-13"),
            (Fault::Proof, "P-15"),
            (Fault::TooLong(TooLong { length: 9, most: 8 }), "P-17"),
            (Fault::Early, "P-17"),
            (Fault::Opcode { opcode: 20 }, "P-17"),
            (Fault::Truncated, "P-18"),
            (Fault::NotAuthorized, "P-19"),
            (Fault::Token, "P-20"),
            (Fault::NotOperator, "P-22"),
            (Fault::HandshakeTimeout, "P-23"),
            (Fault::TakesNothing, "P-24"),
        ];
        for (fault, rule) in table {
            assert_eq!(fault.rule(), rule, "{fault:?}");
        }
    }
}
