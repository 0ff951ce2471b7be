//! The signer of a client: a key in memory, or an agent that holds it.

#[cfg(unix)]
mod socket;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ddes_identity::{Namespace, PublicKey, SigningKey, agent};

#[cfg(all(unix, feature = "tokio"))]
use socket::ask;
#[cfg(unix)]
use socket::ask_blocking;

/// An agent may ask a person for permission; the server waits at most 10 s for the handshake.
const AGENT_MAX: Duration = Duration::from_secs(8);

/// An identity that can prove itself.
#[derive(Debug)]
pub enum Signer {
    /// The private key itself.
    Key(SigningKey),
    /// An ssh-agent that holds it.
    Agent {
        /// The path of the agent's socket.
        socket: PathBuf,
        /// The public key of the identity, which the agent has to hold.
        key: PublicKey,
    },
}

impl From<SigningKey> for Signer {
    fn from(key: SigningKey) -> Self {
        Self::Key(key)
    }
}

/// Why an agent gave no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The agent refused, or its answer is malformed.
    #[error(transparent)]
    Agent(#[from] agent::AgentError),
    /// The agent's socket failed.
    #[error("cannot talk to the agent: {0}")]
    Socket(#[from] io::Error),
    /// The agent did not answer in time.
    #[error("the agent did not answer within {} s", AGENT_MAX.as_secs())]
    TimedOut,
}

impl Signer {
    /// The public key of the identity that signs.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Key(key) => key.public(),
            Self::Agent { key, .. } => *key,
        }
    }

    /// Signs `message`. Dropping the future ends the request.
    #[cfg(feature = "tokio")]
    pub async fn sign(&self, namespace: Namespace, message: &[u8]) -> Result<[u8; 64], SignError> {
        match self {
            Self::Key(key) => Ok(key.sign(namespace, message)),
            Self::Agent { socket, key } => {
                let asked = tokio::time::timeout(AGENT_MAX, ask(socket, key, namespace, message));
                asked.await.map_err(|_| SignError::TimedOut)?
            }
        }
    }

    /// As [`Self::sign`], on this thread; an agent that asks a person may take 8 s.
    pub fn sign_blocking(
        &self,
        namespace: Namespace,
        message: &[u8],
    ) -> Result<[u8; 64], SignError> {
        match self {
            Self::Key(key) => Ok(key.sign(namespace, message)),
            Self::Agent { socket, key } => ask_blocking(socket, key, namespace, message),
        }
    }
}

/// Agents listen on sockets of Unix, which this system's standard library does not have.
#[cfg(not(unix))]
fn ask_blocking(
    _: &std::path::Path,
    _: &PublicKey,
    _: Namespace,
    _: &[u8],
) -> Result<[u8; 64], SignError> {
    Err(io::Error::from(io::ErrorKind::Unsupported).into())
}

#[cfg(all(not(unix), feature = "tokio"))]
async fn ask(
    socket: &std::path::Path,
    key: &PublicKey,
    namespace: Namespace,
    message: &[u8],
) -> Result<[u8; 64], SignError> {
    ask_blocking(socket, key, namespace, message)
}
