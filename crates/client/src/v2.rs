//! One D-DDES/2 session over one socket.

use std::time::Instant;

use ddes_identity::{Namespace, PublicKey};
use ddes_session::v2::{ClientEnd, ClientEvent, ClientFault, ClientSession, SubmitError};
use ddes_session::wiretap::Drawn;
use ddes_wire::Sequence;
use ddes_wire::v2::{Scope, Welcome};

use crate::dial::ConnectError;
pub use crate::lost::EnterError;
pub use crate::options::ConnectOptions;
use crate::options::handshake_entropy;
use crate::pump::{Pump, Tap, dial};
use crate::signer::{SignError, Signer};

/// One session over one socket.
#[derive(Debug)]
pub struct ClientConnection(Pump<ClientSession>);

impl ClientConnection {
    /// Connects, proves both sides to each other, and opens the session. The server must prove one
    /// of `trusted`.
    pub async fn open(
        options: &ConnectOptions,
        trusted: &[PublicKey],
        signer: &Signer,
    ) -> Result<(Self, Welcome), EnterError> {
        let (mut connection, key) = Self::dial(options).await?;
        if !trusted.contains(&key) {
            return Err(EnterError::Untrusted { key: Box::new(key) });
        }
        connection.prove(signer).await?;
        match connection.next().await {
            Some(ClientEvent::Ready(welcome)) => Ok((connection, welcome)),
            event => Err(ended(event)),
        }
    }

    /// Connects, and returns the key that the server proves to hold. It opens no session, and needs
    /// no identity.
    pub async fn meet(options: &ConnectOptions) -> Result<PublicKey, EnterError> {
        Ok(Self::dial(options).await?.1)
    }

    /// A connection on which the server has proven its key.
    async fn dial(options: &ConnectOptions) -> Result<(Self, PublicKey), EnterError> {
        let entropy = handshake_entropy().map_err(ConnectError::from)?;
        let stream = dial(&options.server, options.connect).await?;
        let drawn = || Drawn { dh: &entropy.dh, kem: Some(&*entropy.kem) };
        let tap = Tap::open(options.wiretap.as_ref(), &stream, drawn);
        let session = ClientSession::new(options.session(), Instant::now(), entropy);
        let mut connection = Self(Pump::new(stream, session, tap));
        match connection.next().await {
            Some(ClientEvent::ServerProven { key }) => Ok((connection, key)),
            event => Err(ended(event)),
        }
    }

    /// Sends message 4; `false` if the session has ended, which its next event reports.
    async fn prove(&mut self, signer: &Signer) -> Result<bool, SignError> {
        let key = signer.public();
        let Some(claim) = self.0.session.claim(&key) else { return Ok(false) };
        let signature = signer.sign(Namespace::Client, &claim).await?;
        Ok(self.0.session.prove(Instant::now(), &key, signature).is_ok())
    }

    /// Drives the session to its next event; `None` after the last one. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.0.next().await
    }

    /// Sends values in a 30; see [`ClientSession::submit`].
    pub fn submit(&mut self, first_seq: Sequence, values: &[i64]) -> Result<(), SubmitError> {
        self.0.session.submit(Instant::now(), first_seq, values)
    }

    /// Sends a 50; see [`ClientSession::disconnect`].
    pub fn disconnect(&mut self, scope: Scope) -> Result<(), SubmitError> {
        self.0.session.disconnect(Instant::now(), scope)
    }

    /// Sends a 50 and waits for the server's.
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

/// The end of a session that did not open: the event says it, or is not allowed before a 20.
fn ended(event: Option<ClientEvent>) -> EnterError {
    match event {
        Some(ClientEvent::Ended(end)) => EnterError::Ended(end),
        Some(
            ClientEvent::ServerProven { .. } | ClientEvent::Ready(_) | ClientEvent::Answered(_),
        )
        | None => EnterError::Ended(ClientEnd::Fault(ClientFault::Truncated)),
    }
}
