//! Why connections are refused and sessions end, as few names for counters and labels.

use ddes_session::{classic, v2};
use ddes_wire::v2::Reason;

use crate::endpoint::Full;

/// Why a connection was refused, a handshake failed, or a session ended. Bounded, so that each
/// cause can be a label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The server has the most connections.
    FullConnections,
    /// Too many connections are unproven or classic, or too many handshakes run.
    FullUnproven,
    /// The client's network has too many unproven connections.
    FullAddress,
    /// The client's network connects too often.
    TooFastConnects,
    /// The client's network begins too many handshakes.
    TooFastHandshakes,
    /// The identity may not connect, or may not do what it asked for.
    NotAuthorized,
    /// The MAC or the tag of a record or of a classic frame is wrong.
    BadHmac,
    /// A 30 carries the token of another session.
    BadToken,
    /// The client's signature does not prove its identity.
    BadSignature,
    /// A message of the handshake is malformed, or its public value is unacceptable.
    BadHandshake,
    /// An opcode came out of order.
    BadOrder,
    /// A frame, or a message of the handshake, is too long.
    TooLong,
    /// The stream ended inside a frame, or without a 50.
    Truncated,
    /// The handshake was not finished in time.
    TimeoutHandshake,
    /// The idle timer ran out.
    Idle,
    /// The identity opened a newer session.
    Superseded,
    /// The client left before it proved an identity, or a classic client closed without a 50.
    Left,
    /// The ledger cannot count: its disk is full or failed, or its database is away.
    LedgerUnavailable,
    /// An operator ended the session.
    Operator,
    /// The server is stopping.
    Shutdown,
    /// The client sent a 50.
    Bye,
    /// The session reached its maximum age.
    TooOld,
    /// The client did not read what was sent to it.
    Stalled,
    /// Anything else.
    Other,
}

impl Cause {
    /// All causes, in the order of their numbers.
    pub const ALL: [Self; 24] = [
        Self::FullConnections,
        Self::FullUnproven,
        Self::FullAddress,
        Self::TooFastConnects,
        Self::TooFastHandshakes,
        Self::NotAuthorized,
        Self::BadHmac,
        Self::BadToken,
        Self::BadSignature,
        Self::BadHandshake,
        Self::BadOrder,
        Self::TooLong,
        Self::Truncated,
        Self::TimeoutHandshake,
        Self::Idle,
        Self::Superseded,
        Self::Left,
        Self::LedgerUnavailable,
        Self::Operator,
        Self::Shutdown,
        Self::Bye,
        Self::TooOld,
        Self::Stalled,
        Self::Other,
    ];

    /// The name in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FullConnections => "full_connections",
            Self::FullUnproven => "full_unproven",
            Self::FullAddress => "full_address",
            Self::TooFastConnects => "too_fast_connects",
            Self::TooFastHandshakes => "too_fast_handshakes",
            Self::NotAuthorized => "not_authorized",
            Self::BadHmac => "bad_hmac",
            Self::BadToken => "bad_token",
            Self::BadSignature => "bad_signature",
            Self::BadHandshake => "bad_handshake",
            Self::BadOrder => "bad_order",
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::TimeoutHandshake => "timeout_handshake",
            Self::Idle => "idle",
            Self::Superseded => "superseded",
            Self::Left => "left",
            Self::LedgerUnavailable => "ledger_unavailable",
            Self::Operator => "operator",
            Self::Shutdown => "shutdown",
            Self::Bye => "bye",
            Self::TooOld => "too_old",
            Self::Stalled => "stalled",
            Self::Other => "other",
        }
    }

    /// Whether the end counts as a failure of the client's network: the client broke a rule, proved
    /// nothing, or met a limit. A network that loses connections of open sessions breaks no rule.
    pub(crate) fn is_failure(self, was_open: bool) -> bool {
        match self {
            Self::FullConnections
            | Self::FullUnproven
            | Self::FullAddress
            | Self::TooFastConnects
            | Self::TooFastHandshakes
            | Self::NotAuthorized
            | Self::BadHmac
            | Self::BadToken
            | Self::BadSignature
            | Self::BadHandshake
            | Self::BadOrder
            | Self::TooLong => true,
            Self::Truncated | Self::TimeoutHandshake | Self::Left | Self::Stalled => !was_open,
            Self::Idle
            | Self::Superseded
            | Self::LedgerUnavailable
            | Self::Operator
            | Self::Shutdown
            | Self::Bye
            | Self::TooOld
            | Self::Other => false,
        }
    }
}

impl From<Full> for Cause {
    fn from(full: Full) -> Self {
        match full {
            Full::Connections { .. } => Self::FullConnections,
            Full::Unproven { .. } => Self::FullUnproven,
            Full::Address { .. } => Self::FullAddress,
            Full::TooFast { .. } => Self::TooFastConnects,
        }
    }
}

impl From<&v2::ServerEnd> for Cause {
    fn from(end: &v2::ServerEnd) -> Self {
        match end {
            v2::ServerEnd::Bye => Self::Bye,
            v2::ServerEnd::Closed | v2::ServerEnd::Left => Self::Left,
            v2::ServerEnd::Idle => Self::Idle,
            v2::ServerEnd::TooOld => Self::TooOld,
            v2::ServerEnd::Ordered(reason) => ordered(*reason),
            v2::ServerEnd::LedgerUnavailable => Self::LedgerUnavailable,
            v2::ServerEnd::TooFast { .. } => Self::TooFastHandshakes,
            v2::ServerEnd::Fault(fault) => fault.into(),
        }
    }
}

/// The cause of an end that the server ordered for `reason`.
fn ordered(reason: Reason) -> Cause {
    match reason {
        Reason::Idle => Cause::Idle,
        Reason::ShuttingDown => Cause::Shutdown,
        Reason::Superseded => Cause::Superseded,
        Reason::NotAuthorized => Cause::NotAuthorized,
        Reason::TooMany => Cause::FullUnproven,
        Reason::Operator => Cause::Operator,
        Reason::TooOld => Cause::TooOld,
        // The server orders no end for these.
        Reason::Bye
        | Reason::Token
        | Reason::Authentication
        | Reason::Protocol
        | Reason::Unsupported => Cause::Other,
    }
}

impl From<&v2::Fault> for Cause {
    fn from(fault: &v2::Fault) -> Self {
        match fault {
            v2::Fault::TooLong(_) | v2::Fault::Early => Self::TooLong,
            v2::Fault::Truncated => Self::Truncated,
            v2::Fault::Opcode { .. } => Self::BadOrder,
            v2::Fault::Hello(_) | v2::Fault::Suite { .. } | v2::Fault::Handshake(_) => {
                Self::BadHandshake
            }
            v2::Fault::Record(_) => Self::BadHmac,
            v2::Fault::Proof => Self::BadSignature,
            v2::Fault::NotAuthorized | v2::Fault::NotOperator => Self::NotAuthorized,
            v2::Fault::Token => Self::BadToken,
            v2::Fault::HandshakeTimeout => Self::TimeoutHandshake,
            v2::Fault::TakesNothing => Self::Stalled,
            v2::Fault::Farewell | v2::Fault::Limit(_) => Self::Other,
        }
    }
}

impl From<&classic::ServerEnd> for Cause {
    fn from(end: &classic::ServerEnd) -> Self {
        match end {
            classic::ServerEnd::Bye => Self::Bye,
            classic::ServerEnd::Closed => Self::Left,
            classic::ServerEnd::Idle { .. } => Self::Idle,
            classic::ServerEnd::Ordered(reason) => match reason {
                classic::EndReason::Shutdown => Self::Shutdown,
                classic::EndReason::EndAll | classic::EndReason::Operator => Self::Operator,
                classic::EndReason::LedgerUnavailable => Self::LedgerUnavailable,
                classic::EndReason::TooFast => Self::TooFastHandshakes,
                classic::EndReason::TooMany => Self::FullUnproven,
            },
            classic::ServerEnd::Fault(fault) => fault.into(),
        }
    }
}

impl From<&classic::Fault> for Cause {
    fn from(fault: &classic::Fault) -> Self {
        match fault {
            classic::Fault::TooLong(_) => Self::TooLong,
            classic::Fault::Truncated => Self::Truncated,
            classic::Fault::ExpectedKey { .. } => Self::BadOrder,
            classic::Fault::Key(_)
            | classic::Fault::OtherGroup
            | classic::Fault::PublicValue(_) => Self::BadHandshake,
            classic::Fault::Token => Self::BadToken,
            classic::Fault::Hmac => Self::BadHmac,
            classic::Fault::HandshakeTimeout => Self::TimeoutHandshake,
            classic::Fault::TakesNothing => Self::Stalled,
        }
    }
}

/// How often each cause occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CauseCounts([u64; Cause::ALL.len()]);

impl CauseCounts {
    /// How often `cause` occurred.
    pub fn get(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// Every cause with its count, those that never occurred included.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.0)
    }

    /// The count of all causes together.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The sum of two counts, cause by cause.
    pub fn plus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] + other.0[at]))
    }

    /// What was counted since `earlier`, an older state of the same counts.
    pub fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].saturating_sub(earlier.0[at])))
    }

    pub(crate) fn add(&mut self, cause: Cause) {
        self.0[cause as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use ddes_wire::v2::Suite;

    use super::*;

    /// Those that need keys to be caused through an endpoint.
    #[test]
    fn faults_inside_authentic_records_have_their_causes() {
        for (fault, cause) in [
            (v2::Fault::Token, Cause::BadToken),
            (v2::Fault::Farewell, Cause::Other),
            (v2::Fault::NotOperator, Cause::NotAuthorized),
            (v2::Fault::Early, Cause::TooLong),
            (v2::Fault::Suite { suite: Suite::ALL[0] }, Cause::BadHandshake),
        ] {
            assert_eq!(Cause::from(&v2::ServerEnd::Fault(fault)), cause);
        }
    }

    #[test]
    fn each_cause_has_its_own_number_and_name() {
        let mut counts = CauseCounts::default();
        for (number, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number, "{cause:?}");
            counts.add(cause);
            assert_eq!((counts.get(cause), counts.sum()), (1, number as u64 + 1));
        }
        let names: std::collections::HashSet<_> = Cause::ALL.map(Cause::as_str).into();
        assert_eq!(names.len(), Cause::ALL.len());
        assert!(
            names
                .iter()
                .all(|name| { name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') })
        );
        assert_eq!(counts.since(&counts).sum(), 0);
        assert_eq!(counts.plus(&counts).sum(), 2 * counts.sum());
    }
}
