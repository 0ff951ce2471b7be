//! The results of sessions and threads.

use ddes_session::v2::ClientEnd;
use hdrhistogram::Histogram;

use crate::account::Mismatch;

/// The result of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionVerdict {
    /// The last count and sum that the server stated are those of the values sent.
    Right {
        /// How many values the account has.
        count: u64,
        /// The sum of these values.
        sum: i128,
    },
    /// The last count or sum is another one.
    Wrong(Mismatch),
    /// The server did not state a last count and sum.
    Open {
        /// Why the session was given up.
        why: String,
        /// Values sent, or due, of which nobody knows whether they count.
        values: u64,
    },
}

/// Why a session was given up.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GivenUp {
    /// The server proved a key that is not trusted.
    #[error("the server's key is not one that is known for it")]
    Untrusted,
    /// The last end of the session, which is final, or after which connecting again failed for as
    /// long as the plan allows.
    #[error("{}", ended(.0))]
    Ended(ClientEnd),
    /// There was no socket, the server takes no such frames, or it sent no last 50.
    #[error("{0}")]
    Lost(String),
}

fn ended(end: &ClientEnd) -> String {
    match end {
        ClientEnd::Farewell(farewell) => format!("the server ended the session: {}", farewell.text),
        ClientEnd::Rejected(rejection) => format!("the connection was refused: {}", rejection.text),
        ClientEnd::Fault(fault) => fault.to_string(),
    }
}

/// What one thread used in the measured part, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadUse {
    /// The length of the measured part.
    pub span: u64,
    /// Processor time of the thread.
    pub cpu: u64,
    /// Time in which the thread was ready and no processor was free; 0 if the system does not
    /// report it.
    pub waited: u64,
}

/// What a thread reports when it ends.
#[derive(Debug)]
pub(crate) struct ThreadEnded {
    /// The result of each session, with the session's number.
    pub(crate) verdicts: Vec<(u32, SessionVerdict)>,
    /// Times from connecting to a 20, in nanoseconds, of the sessions' first handshakes.
    pub(crate) handshakes: Histogram<u64>,
    /// The first session given up before the measured part: the run did not take place.
    pub(crate) failed: Option<(u32, GivenUp)>,
    /// When the measured part ended, in nanoseconds since the run began.
    pub(crate) finished: u64,
    /// What the thread used in the measured part.
    pub(crate) used: ThreadUse,
}
