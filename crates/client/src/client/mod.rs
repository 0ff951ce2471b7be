//! What a program uses: a client that counts, on tokio or on a thread of its own.

mod bell;
pub mod blocking;
mod builder;
mod call_book;
mod pending;
mod reply;
#[cfg(feature = "tokio")]
mod task;
mod wire;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ddes_wire::Total;

use crate::lost::{CourierError, Lost};
use crate::outbox::JournalError;
pub use builder::Builder;
pub use pending::PendingCall;
#[cfg(feature = "tokio")]
pub use task::Client;

/// At most this many integers are taken by one `add`: all of them or none.
pub const ADD_MAX: usize = crate::outbox::TAKE_MAX;

/// What the server has counted of this identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// How many integers, over the account's whole life.
    pub count: u64,
    /// The exact sum of these integers.
    pub sum: Total,
}

/// What happens to the integers and the session; see [`Builder::on_progress`].
#[derive(Clone, Debug)]
pub enum Progress {
    /// A session is open; the server holds this.
    Opened(Balance),
    /// The server has counted more.
    Counted(Balance),
    /// The server's ledger takes no integers at present, for example because its disk is full. The
    /// client tries again every second.
    Unavailable,
    /// The session ended, or none opened.
    Lost {
        /// Why it ended, or did not open.
        why: Arc<Lost>,
        /// The wait before the client connects again; `None`: it connects with the next integer.
        retry: Option<Duration>,
    },
}

/// Why a call of a client failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// More integers than one call takes. None was taken.
    #[error("at most {ADD_MAX} integers are taken at once")]
    TooMany,
    /// 2^64 integers were counted. None was taken.
    #[error("the account's numbering is at its end")]
    Overflow,
    /// The outbox could not be opened or written. None was taken. Where its disk was full, a later
    /// call may succeed.
    #[error(transparent)]
    Outbox(Arc<JournalError>),
    /// Delivery ended, and the client with it: the server's key or answer is wrong, the identity is
    /// not authorized, or the patience is over. The outbox keeps what was not counted; a new client
    /// continues with it.
    #[error("delivery ended: {}", Reasons(.0))]
    Ended(Arc<CourierError>),
    /// The client was closed before.
    #[error("the client is closed")]
    Closed,
    /// The system gives no thread or no pair of sockets.
    #[error("the client cannot start: {0}")]
    Start(Arc<io::Error>),
}

impl From<JournalError> for ClientError {
    fn from(error: JournalError) -> Self {
        Self::Outbox(Arc::new(error))
    }
}

/// An error with what it was caused by, and with the end of the session where it is one.
struct Reasons<'a>(&'a CourierError);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CourierError::Lost(lost) => write!(f, "{}", lost.whole()),
            CourierError::Delivery(error) => error.fmt(f),
        }
    }
}
