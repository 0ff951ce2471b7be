//! What an endpoint reports to the operator: events as they happen, and the current sessions.

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
    /// No notices: nobody reads them.
    Nothing,
    /// Notices of connections and sessions.
    Sessions,
    /// Also a notice for each submission and each sum.
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

/// An event that an operator may want to see.
#[derive(Debug)]
pub struct Notice {
    /// The connection of the event.
    pub connection: ConnectionId,
    /// The address and port of the client.
    pub peer: SocketAddr,
    /// Whether the client has proven an authorized identity. Otherwise anybody can cause any number
    /// of these notices.
    pub is_proven: bool,
    /// What happened on the connection.
    pub event: NoticeEvent,
}

/// What happened in a session.
#[derive(Debug)]
pub enum NoticeEvent {
    /// A client opened a connection.
    Connected,
    /// A classic client's key was accepted, which proves no identity.
    KeyVerified,
    /// A client proved an identity that is authorized.
    Admitted(Box<Admitted>),
    /// The rights or the name of an admitted client changed.
    Regranted(Box<Admitted>),
    /// A client proved an identity that is not authorized.
    TurnedAway {
        /// The public key of the identity.
        key: PublicKey,
    },
    /// The client's session is open: its token is to be sent.
    TokenShared,
    /// An authentic submission arrived.
    Received {
        /// The first integer of the submission.
        first: Amount,
        /// The number of integers.
        count: usize,
    },
    /// A sum is to be sent to the client.
    ResultSent {
        /// The outcome of the submission; for classic always success.
        status: Status,
        /// The account's sum after the submission.
        sum: Total,
    },
    /// A classic frame was authentic but did not decrypt.
    Tampered,
    /// A classic frame with an unexpected opcode was ignored.
    Ignored {
        /// The opcode of the ignored frame.
        opcode: u32,
    },
    /// A classic session is over.
    ClassicEnded(classic::ServerEnd),
    /// A D-DDES/2 session is over.
    Ended(v2::ServerEnd),
}

impl NoticeEvent {
    /// Whether a client can cause it with every frame.
    fn is_of_values(&self) -> bool {
        matches!(self, Self::Received { .. } | Self::ResultSent { .. } | Self::Ignored { .. })
    }
}

/// The identity that a client has proven, and its rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The public key of the identity.
    pub key: PublicKey,
    /// The name that the list of authorized keys gives it.
    pub name: Option<String>,
    /// Whether it may end every session.
    pub is_operator: bool,
}

/// A session as an operator sees it.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The connection that the session is on.
    pub connection: ConnectionId,
    /// The address and port of the client.
    pub peer: SocketAddr,
    /// The client's identity, once it is proven and authorized.
    pub admitted: Option<Admitted>,
    /// The number of integers counted in its account.
    pub count: u64,
    /// The sum of these integers.
    pub sum: Total,
    /// When its idle timer runs out; `None` before the token.
    pub idle_at: Option<Instant>,
}
