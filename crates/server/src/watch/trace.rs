//! The frames of a few connections, for the page that shows a session's ladder of opcodes.
//!
//! A traced session keeps its frames since they were last published; the published trace keeps the
//! newest [`FRAMES_MAX`]. Neither holds a byte of a frame's body.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Profile;

pub use ddes_session::Direction;

/// The most connections whose frames are traced: the newest ones, and those that are pinned.
pub const TRACES_MAX: usize = 16;
/// The most pinned ones among them.
pub const PINS_MAX: usize = 8;
/// The most frames kept of one connection: the newest.
pub const FRAMES_MAX: usize = ddes_session::SEEN_FRAMES_MAX;

/// A traced connection.
#[derive(Clone, Debug)]
pub struct TracedConnection {
    /// The number that operators see.
    pub serial: u64,
    /// The address and port of the client.
    pub peer: SocketAddr,
    /// The name that the list of authorized keys gives the identity.
    pub name: Option<Arc<str>>,
    /// The profile that it speaks.
    pub profile: Profile,
    /// When the connection was accepted.
    pub opened: Instant,
    /// When its session ended: no frame follows.
    pub ended: Option<Instant>,
    /// Whether it was traced from its first byte on.
    pub is_from_start: bool,
    /// Whether it stays traced although newer connections come.
    pub is_pinned: bool,
    /// Frames since the trace began, those that are not kept included.
    pub frames: u64,
}

/// One frame, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedFrame {
    /// Counted from 1.
    pub seq: u64,
    /// Microseconds since the connection was accepted: when a received frame was processed, or a
    /// sent one was queued.
    pub micros: u64,
    /// Whether the client or the server sent it.
    pub direction: Direction,
    /// The opcode, which may be unknown.
    pub opcode: u32,
    /// Its length on the wire, header included.
    pub bytes: u32,
    /// Whether its body is encrypted, or the part of it that says anything.
    pub is_encrypted: bool,
}

/// The frames of one connection.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Whose frames these are.
    pub connection: TracedConnection,
    /// Frames that are not kept any more.
    pub dropped: u64,
    /// Oldest first.
    pub frames: Vec<TracedFrame>,
}

/// A trace as it is kept for readers.
#[derive(Debug)]
pub(crate) struct KeptTrace {
    pub(crate) connection: TracedConnection,
    pub(crate) frames: VecDeque<TracedFrame>,
}
