//! TCP connections to a server.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use ddes_identity::ServerAddress;

/// Why no connection opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host name has no address.
    #[error("cannot find {server}: {source}")]
    Resolve {
        /// The server's host and port, as they were given.
        server: String,
        /// The error that the resolver returned.
        source: io::Error,
    },
    /// The host answered that no program listens on this port.
    #[error("{server} refused the connection")]
    Refused {
        /// The server's host and port, as they were given.
        server: String,
    },
    /// No answer in time.
    #[error("{server} did not answer within {} s", .waited.as_secs())]
    TimedOut {
        /// The server's host and port, as they were given.
        server: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The system's other reasons.
    #[error("cannot connect to {server}: {source}")]
    Failed {
        /// The server's host and port, as they were given.
        server: String,
        /// The error that the system returned.
        source: io::Error,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl ConnectError {
    pub(crate) fn of(server: &ServerAddress, source: io::Error) -> Self {
        let server = server.to_string();
        if source.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused { server }
        } else {
            Self::Failed { server, source }
        }
    }
}

/// A socket to `server`, on this thread. Connecting takes at most `most` in all; the system's
/// resolver has a bound of its own.
pub(crate) fn dial_blocking(
    server: &ServerAddress,
    most: Duration,
) -> Result<TcpStream, ConnectError> {
    let resolved = (server.host(), server.port()).to_socket_addrs();
    let addresses =
        resolved.map_err(|source| ConnectError::Resolve { server: server.to_string(), source })?;
    let until = Instant::now() + most;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ConnectError::TimedOut { server: server.to_string(), waited: most });
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                let is_ready = stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true));
                return is_ready.map(|()| stream).map_err(|error| ConnectError::of(server, error));
            }
            Err(error) => last = error,
        }
    }
    if last.kind() == io::ErrorKind::TimedOut {
        return Err(ConnectError::TimedOut { server: server.to_string(), waited: most });
    }
    Err(ConnectError::of(server, last))
}
