//! The handshake's exponentiations, to be run wherever they hurt nobody.

use ddes_ffdhe::PublicValueError;
use ddes_wire::v2::Suite;

use super::noise::{Entropy, NoiseError, Response, respond};
use super::{prologue, protocol};

/// Work a session asks for.
#[derive(Debug)]
#[must_use = "the session waits for its result"]
pub struct Work(pub(super) Job);

/// The result of [`Work`], for the session that asked.
#[derive(Debug)]
pub struct Done(pub(super) Outcome);

pub(super) enum Job {
    /// The server's whole share of the handshake.
    Respond { suite: Suite, entropy: Entropy, message: Vec<u8> },
}

#[derive(Debug)]
pub(super) enum Outcome {
    Responded(Result<Response, NoiseError<PublicValueError>>),
}

impl Work {
    /// Runs it: some 0.1 ms to 2 ms of computation, no I/O.
    pub fn run(self) -> Done {
        match self.0 {
            Job::Respond { suite, entropy, message } => {
                Done(Outcome::Responded(respond(&protocol(suite), &prologue(suite), &entropy, &message, &[])))
            }
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Respond { suite, .. } => write!(f, "Respond({suite:?})"),
        }
    }
}
