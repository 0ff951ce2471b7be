//! How sessions and threads come to their ends.

use ddes_session::v2::ClientEnd;
use hdrhistogram::Histogram;

use crate::account::Mismatch;

/// How a session came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server's last word is what was sent.
    Right {
        /// Values of the account.
        count: u64,
        /// Their sum.
        sum: i128,
    },
    /// It is not.
    Wrong(Mismatch),
    /// The server's last word was not heard.
    Open {
        /// Why.
        why: String,
        /// Values sent, or due, that nobody knows to count.
        values: u64,
    },
}

/// Why a session was given up.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GivenUp {
    /// The server holds another key than one trusted.
    #[error("the server's key is not one that is known for it")]
    Untrusted,
    /// How it ended last; it is of no use to connect again, or was not for as long as the plan
    /// says.
    #[error("{}", ended(.0))]
    Ended(ClientEnd),
    /// The system gave no socket, or the server no last word.
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
    /// How long that was.
    pub span: u64,
    /// Processor time.
    pub cpu: u64,
    /// Ready to run, and no processor free; 0 where the system does not say.
    pub waited: u64,
}

/// What a thread has to say at its end.
#[derive(Debug)]
pub(crate) struct Ended {
    /// By session.
    pub(crate) verdicts: Vec<(u32, Verdict)>,
    /// From connecting to a 20, in nanoseconds, of the sessions' first handshakes.
    pub(crate) handshakes: Histogram<u64>,
    /// The first session given up before the measured part: the run did not take place.
    pub(crate) failed: Option<(u32, GivenUp)>,
    /// When the measured part ended.
    pub(crate) finished: u64,
    /// What the thread used in the measured part.
    pub(crate) used: ThreadUse,
}
