//! Whoever signs for a client: a key in memory, or an agent that holds it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ddes_identity::{Namespace, PublicKey, SigningKey, agent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// An agent may ask a person first; the server waits no longer than 10 s in all.
const AGENT_MAX: Duration = Duration::from_secs(8);

/// An identity that can prove itself.
#[derive(Debug)]
pub enum Signer {
    /// The private key itself.
    Key(SigningKey),
    /// An ssh-agent that holds it.
    Agent {
        /// The agent's socket.
        socket: PathBuf,
        /// The key.
        key: PublicKey,
    },
}

/// Why an agent gave no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The agent's answer.
    #[error(transparent)]
    Agent(#[from] agent::AgentError),
    /// It cannot be talked to.
    #[error("cannot talk to the agent: {0}")]
    Socket(#[from] io::Error),
    /// It says nothing.
    #[error("the agent did not answer within {} s", AGENT_MAX.as_secs())]
    TimedOut,
}

impl Signer {
    /// The identity.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Key(key) => key.public(),
            Self::Agent { key, .. } => *key,
        }
    }

    /// Its signature over `message`.
    pub async fn sign(&self, namespace: Namespace, message: &[u8]) -> Result<[u8; 64], SignError> {
        match self {
            Self::Key(key) => Ok(key.sign(namespace, message)),
            Self::Agent { socket, key } => {
                let ask = async {
                    let mut stream = UnixStream::connect(socket).await?;
                    stream.write_all(&agent::request(key, namespace, message)).await?;
                    let length = stream.read_u32().await? as usize;
                    if length > agent::ANSWER_BYTES_MAX {
                        return Err(agent::AgentError::Malformed.into());
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await?;
                    Ok(agent::signature(&body, key, namespace, message)?)
                };
                tokio::time::timeout(AGENT_MAX, ask).await.map_err(|_| SignError::TimedOut)?
            }
        }
    }
}
