//! Reaching a server.

use std::io;
use std::time::Duration;

use ddes_identity::ServerAddress;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host name has no address.
    #[error("cannot find {server}: {source}")]
    Resolve {
        /// What was asked for.
        server: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The host answered that nobody listens there.
    #[error("{server} refused the connection")]
    Refused {
        /// What was asked for.
        server: String,
    },
    /// No answer in time.
    #[error("{server} did not answer within {} s", .waited.as_secs())]
    TimedOut {
        /// What was asked for.
        server: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The system's other reasons.
    #[error("cannot connect to {server}: {source}")]
    Failed {
        /// What was asked for.
        server: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// A socket to `server`, within `most`.
pub(crate) async fn dial(server: &ServerAddress, most: Duration) -> Result<TcpStream, ConnectError> {
    let named = || server.to_string();
    let late = |_| ConnectError::TimedOut { server: named(), waited: most };
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::ConnectionRefused {
            ConnectError::Refused { server: named() }
        } else {
            ConnectError::Failed { server: named(), source }
        }
    };
    let connect = async {
        let resolved = tokio::net::lookup_host((server.host(), server.port())).await;
        let resolved = resolved.map_err(|source| ConnectError::Resolve { server: named(), source })?;
        let addresses: Vec<_> = resolved.collect();
        let stream = TcpStream::connect(&*addresses).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    };
    timeout(most, connect).await.map_err(late)?
}
