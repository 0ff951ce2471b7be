//! One D-DDES/2 session over one socket.

use std::time::{Duration, Instant};

use ddes_identity::{Namespace, PublicKey, ServerAddress};
use ddes_session::v2::noise::Entropy;
use ddes_session::v2::{ClientConfig, ClientEnd, ClientEvent, ClientSession, SubmitError, kem};
use ddes_wire::Sequence;
use ddes_wire::v2::{Scope, Suite, Welcome};
use zeroize::Zeroizing;

use crate::dial::{ConnectError, dial};
use crate::pump::Pump;
use crate::signer::{SignError, Signer};

/// Bytes a private exponent is made of: 512 bits, more than any group takes.
const EXPONENT_BYTES: usize = 64;

/// Where to connect, how, and how long to wait.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub server: ServerAddress,
    /// The one suite spoken.
    pub suite: Suite,
    /// Longest wait for the TCP connection.
    pub connect: Duration,
    /// Longest wait from there to a 20.
    pub handshake: Duration,
    /// Longest wait for an answer.
    pub reply: Duration,
}

/// Why no session opened.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server proved a key that is not among those trusted. Nothing was said to it after that.
    #[error("the server's key {} is not one that is known for it", .key.fingerprint())]
    Untrusted {
        /// The key.
        key: Box<PublicKey>,
    },
    /// The identity could not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The session ended first.
    #[error("the session ended before it opened")]
    Ended(ClientEnd),
}

/// One session over one socket.
#[derive(Debug)]
pub struct Connection(Pump<ClientSession>);

impl Connection {
    /// Connects, proves both sides to each other, and opens the session. The server must prove one of `trusted`.
    pub async fn open(
        options: &Options,
        trusted: &[PublicKey],
        signer: &Signer,
    ) -> Result<(Self, Welcome), EnterError> {
        let mut dh = Zeroizing::new(vec![0; EXPONENT_BYTES]);
        let mut kem = Zeroizing::new([0; kem::SEED_BYTES]);
        getrandom::fill(&mut dh).map_err(ConnectError::from)?;
        getrandom::fill(kem.as_mut()).map_err(ConnectError::from)?;
        let stream = dial(&options.server, options.connect).await?;
        let config =
            ClientConfig { suite: options.suite, handshake: options.handshake, reply: options.reply };
        let session = ClientSession::new(config, Instant::now(), Entropy { dh, kem });
        let mut connection = Self(Pump::new(stream, session));
        loop {
            match connection.next().await {
                Some(ClientEvent::ServerProven { key }) if trusted.contains(&key) => {
                    connection.prove(signer).await?;
                }
                Some(ClientEvent::ServerProven { key }) => {
                    return Err(EnterError::Untrusted { key: Box::new(key) });
                }
                Some(ClientEvent::Ready(welcome)) => return Ok((connection, welcome)),
                Some(ClientEvent::Ended(end)) => return Err(EnterError::Ended(end)),
                // Before 20 the session knows no answers.
                Some(ClientEvent::Answered(_)) | None => {
                    return Err(EnterError::Ended(ClientEnd::Fault(
                        ddes_session::v2::ClientFault::Truncated,
                    )));
                }
            }
        }
    }

    async fn prove(&mut self, signer: &Signer) -> Result<(), EnterError> {
        let key = signer.public();
        // None once the session has ended; its next event says so.
        let Some(claim) = self.0.session.claim(&key) else { return Ok(()) };
        let signature = signer.sign(Namespace::Client, &claim).await?;
        // And so it does if it ended meanwhile.
        self.0.session.prove(Instant::now(), &key, signature).unwrap_or(());
        Ok(())
    }

    /// Carries the session on until something happens; `None` once it has ended and all is told. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.0.next().await
    }

    /// 30; see [`ClientSession::submit`].
    pub fn submit(&mut self, first_seq: Sequence, values: &[i64]) -> Result<(), SubmitError> {
        self.0.session.submit(Instant::now(), first_seq, values)
    }

    /// 50; see [`ClientSession::disconnect`].
    pub fn disconnect(&mut self, scope: Scope) -> Result<(), SubmitError> {
        self.0.session.disconnect(Instant::now(), scope)
    }

    /// 50, and waits for the server's.
    pub async fn close(mut self, scope: Scope) -> Option<ClientEnd> {
        self.disconnect(scope).ok()?;
        while let Some(event) = self.next().await {
            if let ClientEvent::Ended(end) = event {
                return Some(end);
            }
        }
        None
    }
}
