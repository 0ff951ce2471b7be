//! How a session ends on the server, which rule the client broke, and what the client is told.

use ddes_cipher::LimitError;
use ddes_ffdhe::PublicValueError;
use ddes_wire::frame::TooLong;
use ddes_wire::v2::{HelloError, Reason, Suite};

use super::noise::NoiseError;
use super::record::RecordError;

/// The text of a 50 for [`ServerEnd::LedgerUnavailable`].
const NO_ROOM: &str = "the server's ledger takes nothing now: its disk is full or failed, or its \
                       database is away; try again later";

/// Why the ledger did not count a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its first number is not the next one of the account.
    Gap,
    /// Its numbers are outside the valid range.
    Malformed,
    /// The account has a newer session.
    Superseded,
    /// The ledger failed and cannot say whether the values count.
    Unavailable,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEnd {
    /// The client sent a 50.
    Bye,
    /// The connection closed before the client sent anything.
    Closed,
    /// The client closed the connection after the server's proof and before its own (rule P-18): it
    /// wanted only the server's key, or does not trust it.
    Left,
    /// The idle timer ran out.
    Idle,
    /// The session reached its maximum age of 24 hours.
    TooOld,
    /// The server decided to end it, for the reason given.
    Ordered(Reason),
    /// The ledger could not open the session: its disk is full or failed, or its database is away
    /// (rule P-33).
    LedgerUnavailable,
    /// The client's address began more handshakes per second than allowed (rule P-28).
    TooFast {
        /// The limit per second, in handshakes over 2048 bits.
        most: u32,
    },
    /// The client broke a rule.
    Fault(Fault),
}

/// How a client broke the protocol. [`Fault::rule`] says which rule it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A frame is longer than the state allows.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// More bytes arrived than the handshake's next message has.
    #[error("more came than the handshake holds")]
    Early,
    /// The stream ended without a 50.
    #[error("the stream ended without a 50")]
    Truncated,
    /// An opcode is unknown, or not allowed in the current state.
    #[error("opcode {opcode} came out of order")]
    Opcode {
        /// The opcode of the received frame.
        opcode: u32,
    },
    /// Message 1 names an unknown version or suite, or has a wrong length for its suite.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// Message 1 names a suite that this server does not accept.
    #[error("the suite {} is not taken here", .suite.name())]
    Suite {
        /// The suite that the client asked for.
        suite: Suite,
    },
    /// The Noise part of message 1 is invalid.
    #[error("the handshake: {0}")]
    Handshake(#[from] NoiseError<PublicValueError>),
    /// A record is too short or not authentic.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Message 4 does not prove an identity.
    #[error("the client's proof of identity does not verify")]
    Proof,
    /// The identity is proven but not authorized. The client receives the same 50 as for
    /// [`Self::Proof`].
    #[error("the client's identity is not authorized")]
    NotAuthorized,
    /// A 30 carries a token other than its session's.
    #[error("the session token is wrong")]
    Token,
    /// The body of a 50 is malformed.
    #[error("the client's 50 is malformed")]
    Farewell,
    /// A 50 with scope "all" came from a client that is not an operator.
    #[error("only an operator may end every session")]
    NotOperator,
    /// No valid message 4 came before the handshake deadline.
    #[error("no proof of identity came before the handshake deadline")]
    HandshakeTimeout,
    /// The client did not read what was sent to it.
    #[error("the client took nothing for {} s", crate::STALL_MAX.as_secs())]
    TakesNothing,
    /// A message, or the keystream under one key, would exceed the cipher's limit.
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

    /// The reason in the client's 50; `None` where the client could not read one.
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

    /// The text in the client's 50.
    pub(super) fn text(&self, reason: Reason) -> String {
        match self {
            Self::LedgerUnavailable => NO_ROOM.into(),
            Self::TooFast { most } => {
                format!(
                    "this address begins too many handshakes a second (the limit is {most} of 2048 \
                     bits)"
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
