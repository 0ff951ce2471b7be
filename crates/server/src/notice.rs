//! What an endpoint tells people: events as they happen, and sessions as they are.

use std::net::SocketAddr;
use std::time::Instant;

use ddes_identity::PublicKey;
use ddes_session::{classic, v2};
use ddes_wire::v2::Status;
use ddes_wire::{Amount, Total};

use crate::endpoint::ConnectionId;

/// Which notices an endpoint builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notices {
    /// None: nobody reads them.
    Nothing,
    /// What happens to connections and sessions.
    Sessions,
    /// That, and each integer and each sum.
    Values,
}

impl Notices {
    pub(crate) fn include(self, event: &NoticeEvent) -> bool {
        match self {
            Self::Nothing => false,
            Self::Sessions => !event.is_of_values(),
            Self::Values => true,
        }
    }
}

/// Something a person may want to see.
#[derive(Debug)]
pub struct Notice {
    /// Where it happened.
    pub connection: ConnectionId,
    /// The client's address.
    pub peer: SocketAddr,
    /// The client has proven an identity that is let in: else anybody may cause as many of these as
    /// he likes.
    pub is_proven: bool,
    /// What.
    pub event: NoticeEvent,
}

/// What happened in a session.
#[derive(Debug)]
pub enum NoticeEvent {
    /// A client connected.
    Connected,
    /// A classic client's key was accepted; it proves nothing.
    KeyVerified,
    /// A client proved that it holds a key, and is authorized.
    Admitted(Box<Admitted>),
    /// What an admitted client may do, or its name, is another from now on.
    Regranted(Box<Admitted>),
    /// A client proved that it holds a key, and is not authorized.
    TurnedAway {
        /// The key.
        key: PublicKey,
    },
    /// It has its session token.
    TokenShared,
    /// Integers were authentic.
    Received {
        /// The first of them.
        first: Amount,
        /// How many.
        count: usize,
    },
    /// The sum went back.
    ResultSent {
        /// What became of the integers; classic knows only success.
        status: Status,
        /// The sum.
        sum: Total,
    },
    /// A classic frame was authentic but did not decrypt.
    Tampered,
    /// A classic frame was ignored.
    Ignored {
        /// Its opcode.
        opcode: u32,
    },
    /// A classic session is over.
    ClassicEnded(classic::ServerEnd),
    /// A D-DDES/2 session is over.
    Ended(v2::ServerEnd),
}

impl NoticeEvent {
    /// Whether it is one of those that come with every integer.
    fn is_of_values(&self) -> bool {
        matches!(self, Self::Received { .. } | Self::ResultSent { .. } | Self::Ignored { .. })
    }
}

/// Who a client has proven to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The identity.
    pub key: PublicKey,
    /// The name it is granted under.
    pub name: Option<String>,
    /// Whether it may end every session.
    pub is_operator: bool,
}

/// A session as an operator sees it.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Its number.
    pub connection: ConnectionId,
    /// The client's address.
    pub peer: SocketAddr,
    /// Who it is, once that is proven.
    pub admitted: Option<Admitted>,
    /// Integers counted in its account.
    pub count: u64,
    /// Their sum.
    pub sum: Total,
    /// When its idle timer runs out; `None` before the token.
    pub idle_at: Option<Instant>,
}
