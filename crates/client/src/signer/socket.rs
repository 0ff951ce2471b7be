//! Asks an agent on its socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ddes_identity::{Namespace, PublicKey, agent};

use super::{AGENT_MAX, SignError};

/// From one try to connect to a busy agent to the next.
const CONNECT_AGAIN: Duration = Duration::from_millis(20);

#[cfg(feature = "tokio")]
pub(super) async fn ask(
    socket: &Path,
    key: &PublicKey,
    namespace: Namespace,
    message: &[u8],
) -> Result<[u8; 64], SignError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut stream = tokio::net::UnixStream::connect(socket).await?;
    stream.write_all(&agent::request(key, namespace, message)).await?;
    let mut body = vec![0; body_length(stream.read_u32().await?)?];
    stream.read_exact(&mut body).await?;
    Ok(agent::signature(&body, key, namespace, message)?)
}

fn body_length(length: u32) -> Result<usize, SignError> {
    let length = length as usize;
    if length > agent::ANSWER_BYTES_MAX {
        Err(agent::AgentError::Malformed.into())
    } else {
        Ok(length)
    }
}

/// Connects before `until`. An agent whose queue of connections is full refuses at once.
fn connect(socket: &Path, until: Instant) -> Result<UnixStream, SignError> {
    let address = socket2::SockAddr::unix(socket)?;
    let stream = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    stream.set_nonblocking(true)?;
    while let Err(error) = stream.connect(&address) {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(error.into());
        }
        if Instant::now() >= until {
            return Err(SignError::TimedOut);
        }
        std::thread::sleep(CONNECT_AGAIN);
    }
    stream.set_nonblocking(false)?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(stream)))
}

pub(super) fn ask_blocking(
    socket: &Path,
    key: &PublicKey,
    namespace: Namespace,
    message: &[u8],
) -> Result<[u8; 64], SignError> {
    let until = Instant::now() + AGENT_MAX;
    let mut stream = connect(socket, until)?;
    stream.set_write_timeout(Some(AGENT_MAX))?;
    stream.write_all(&agent::request(key, namespace, message)).map_err(late)?;
    let mut length = [0; 4];
    read_until(until, &mut stream, &mut length)?;
    let mut body = vec![0; body_length(u32::from_be_bytes(length))?];
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use ddes_identity::SigningKey;

    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes()[..], bytes].concat()
    }

    /// An agent that holds `key`, for one request, and answers in two pieces.
    fn agent_with(key: SigningKey, socket: &Path) -> std::thread::JoinHandle<()> {
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; agent::request(&key.public(), Namespace::Client, b"m").len()];
            stream.read_exact(&mut request).unwrap();
            let signature = key.sign(Namespace::Client, b"m");
            let body = [&[14][..], &string(&[string(b"ssh-ed25519"), string(&signature)].concat())];
            let answer = string(&body.concat());
            let (first, second) = answer.split_at(7);
            stream.write_all(first).unwrap();
            stream.write_all(second).unwrap();
        })
    }

    #[test]
    fn what_an_agent_signs_for_a_client_without_a_runtime_is_verified() {
        let folder = std::env::temp_dir().join(format!("ddes-agent-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (own, other) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        for (name, key, is_own) in [("own", own.clone(), true), ("other", other, false)] {
            let socket = folder.join(name);
            let agent = agent_with(key, &socket);
            let signed = ask_blocking(&socket, &own.public(), Namespace::Client, b"m");
            agent.join().unwrap();
            match signed {
                Ok(signature) => {
                    assert!(is_own);
                    own.public().verify(Namespace::Client, b"m", &signature).unwrap();
                }
                Err(error) => assert!(!is_own && matches!(error, SignError::Agent(_)), "{error}"),
            }
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
