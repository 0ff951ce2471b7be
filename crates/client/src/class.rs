//! What kind of failure an error is: the exit codes of `ddes`, for every program.

use std::fmt;

use ddes_session::v2::{ClientEnd, ClientFault};
use ddes_wire::v2::Reason;

use crate::client::ClientError;
use crate::delivery::DeliveryError;
use crate::dial::ConnectError;
use crate::lost::{CourierError, EnterError, Lost};
use crate::outbox::JournalError;

/// A kind of failure. Its number is the exit code with which `ddes` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FailureClass {
    /// The answer was no: a disk is full, an outbox is in use, a limit is reached.
    Refused = 1,
    /// What was asked for makes no sense.
    Usage = 2,
    /// No server was reached, or it ended the session.
    Connect = 3,
    /// A key: the server's is not trusted, or ours is not authorized.
    Identity = 4,
    /// A message, a ledger or an outbox is not what it must be.
    Integrity = 5,
    /// Something took too long.
    Timeout = 6,
}

impl FailureClass {
    /// The number, from 1 to 6.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Of an end that the program did not ask for.
    pub fn of_end(end: &ClientEnd) -> Self {
        match end {
            ClientEnd::Farewell(farewell) => Self::of_reason(farewell.reason),
            // Nobody vouches for its reason.
            ClientEnd::Rejected(_) => Self::Connect,
            ClientEnd::Fault(fault) => Self::of_fault(fault),
        }
    }

    /// Of a server's 50.
    pub fn of_reason(reason: Reason) -> Self {
        match reason {
            Reason::NotAuthorized | Reason::Superseded => Self::Identity,
            Reason::Idle => Self::Timeout,
            Reason::Token | Reason::Authentication => Self::Integrity,
            Reason::Protocol
            | Reason::Unsupported
            | Reason::TooMany
            | Reason::Bye
            | Reason::ShuttingDown
            | Reason::Operator
            | Reason::TooOld => Self::Connect,
        }
    }

    /// Of what a server, or somebody on the path, did wrong.
    pub fn of_fault(fault: &ClientFault) -> Self {
        match fault {
            ClientFault::Truncated
            | ClientFault::Opcode { .. }
            | ClientFault::Length { .. }
            | ClientFault::TooLong(_) => Self::Connect,
            ClientFault::Handshake(_) | ClientFault::Record(_) | ClientFault::Malformed { .. } => {
                Self::Integrity
            }
            ClientFault::Proof => Self::Identity,
            ClientFault::HandshakeTimeout
            | ClientFault::ReplyTimeout
            | ClientFault::TakesNothing => Self::Timeout,
            ClientFault::Limit(_) => Self::Refused,
        }
    }

    /// Of a connection that did not open.
    pub fn of_connect(error: &ConnectError) -> Self {
        match error {
            ConnectError::Resolve { .. }
            | ConnectError::Refused { .. }
            | ConnectError::Failed { .. } => Self::Connect,
            ConnectError::TimedOut { .. } => Self::Timeout,
            ConnectError::Randomness(_) => Self::Refused,
        }
    }

    /// Of a session that ended or did not open.
    pub fn of_lost(lost: &Lost) -> Self {
        match lost {
            Lost::Enter(EnterError::Connect(error)) => Self::of_connect(error),
            Lost::Enter(EnterError::Sign(_) | EnterError::Untrusted { .. }) => Self::Identity,
            Lost::Enter(EnterError::Ended(end)) | Lost::Ended(end) => Self::of_end(end),
        }
    }

    /// Of delivery that cannot go on.
    pub fn of_courier(error: &CourierError) -> Self {
        match error {
            CourierError::Lost(lost) => Self::of_lost(lost),
            CourierError::Delivery(DeliveryError::Journal(error)) => Self::of_journal(error),
            CourierError::Delivery(DeliveryError::Unavailable { .. }) => Self::Timeout,
            CourierError::Delivery(
                DeliveryError::Objection(_) | DeliveryError::Malformed { .. },
            ) => Self::Integrity,
        }
    }

    /// Of an outbox's folder.
    pub fn of_journal(error: &JournalError) -> Self {
        match error {
            JournalError::Foreign { .. } => Self::Usage,
            JournalError::Damaged { .. } => Self::Integrity,
            JournalError::Locked(_)
            | JournalError::Full(_)
            | JournalError::Moved(_)
            | JournalError::Io { .. }
            | JournalError::Poisoned(_) => Self::Refused,
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::Connect => "connect",
            Self::Identity => "identity",
            Self::Integrity => "integrity",
            Self::Timeout => "timeout",
        })
    }
}

impl ClientError {
    /// What kind of failure it is.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::TooMany | Self::Closed => FailureClass::Usage,
            Self::Overflow | Self::Start(_) => FailureClass::Refused,
            Self::Outbox(error) => FailureClass::of_journal(error),
            Self::Ended(error) => FailureClass::of_courier(error),
        }
    }
}
