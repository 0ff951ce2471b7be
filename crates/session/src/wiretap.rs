//! What passes a program's sockets, for whoever writes a capture of it.
//!
//! Sessions know nothing of it: the drivers of client and server report what they read and wrote.
//! Nobody listens unless asked to.

use std::fmt;
use std::net::SocketAddr;

/// Hears of every connection of a driver. It must not block, and it fails by itself: the sessions
/// go on.
pub trait Wiretap: fmt::Debug + Send + Sync {
    /// Something passed on a connection, which has a number of its own among those of this driver.
    fn passed(&self, connection: u64, what: Passed<'_>);
}

/// What passed.
#[derive(Clone, Copy)]
pub enum Passed<'a> {
    /// The connection opened.
    Opened {
        /// The address of the end that reports.
        own: SocketAddr,
        /// The address of the other end.
        peer: SocketAddr,
        /// What this end drew at random for the session: its secrets.
        drawn: Drawn<'a>,
    },
    /// Bytes of the peer.
    Received(&'a [u8]),
    /// Bytes that the system took to send.
    Sent(&'a [u8]),
    /// The connection is closed.
    Closed,
}

/// The randomness that one end's keys follow from. Never printed by `Debug`.
#[derive(Clone, Copy)]
pub struct Drawn<'a> {
    /// The bytes of the Diffie-Hellman exponent.
    pub dh: &'a [u8],
    /// D-DDES/2: the bytes for ML-KEM.
    pub kem: Option<&'a [u8]>,
}

impl fmt::Debug for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drawn(..)")
    }
}

impl fmt::Debug for Passed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { own, peer, .. } => write!(f, "Opened({own}, {peer})"),
            Self::Received(bytes) => write!(f, "Received({} bytes)", bytes.len()),
            Self::Sent(bytes) => write!(f, "Sent({} bytes)", bytes.len()),
            Self::Closed => f.write_str("Closed"),
        }
    }
}
