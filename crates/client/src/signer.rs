//! The signer of a client: a key in memory, or an agent that holds it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ddes_identity::{Namespace, PublicKey, SigningKey, agent};

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

    /// Signs `message`. A request to an agent runs on a thread of its own.
    #[cfg(feature = "tokio")]
    pub async fn sign(&self, namespace: Namespace, message: &[u8]) -> Result<[u8; 64], SignError> {
        match self {
            Self::Key(key) => Ok(key.sign(namespace, message)),
            Self::Agent { socket, key } => {
                let (socket, key, message) = (socket.clone(), *key, message.to_vec());
                let asked =
                    tokio::task::spawn_blocking(move || ask(&socket, &key, namespace, &message));
                asked.await.map_err(io::Error::other)?
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
            Self::Agent { socket, key } => ask(socket, key, namespace, message),
        }
    }
}

fn ask(
    socket: &Path,
    key: &PublicKey,
    namespace: Namespace,
    message: &[u8],
) -> Result<[u8; 64], SignError> {
    let until = Instant::now() + AGENT_MAX;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(AGENT_MAX))?;
    stream.write_all(&agent::request(key, namespace, message)).map_err(late)?;
    let mut length = [0; 4];
    read_until(until, &mut stream, &mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > agent::ANSWER_BYTES_MAX {
        return Err(agent::AgentError::Malformed.into());
    }
    let mut body = vec![0; length];
    read_until(until, &mut stream, &mut body)?;
    Ok(agent::signature(&body, key, namespace, message)?)
}

/// Fills `bytes` before `until`, however the agent cuts its answer.
fn read_until(
    until: Instant,
    stream: &mut UnixStream,
    mut bytes: &mut [u8],
) -> Result<(), SignError> {
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(SignError::TimedOut);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(bytes) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => bytes = bytes.split_at_mut(count).1,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(late(error)),
        }
    }
    Ok(())
}

/// A socket reports a timeout as an error of reading or writing.
fn late(error: io::Error) -> SignError {
    let is_late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    if is_late { SignError::TimedOut } else { error.into() }
}
