//! A client of the original's wire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::ServerAddress;
use ddes_session::classic::{
    ClientConfig, ClientEnd, ClientEntropy, ClientEvent, ClientSession, ENTROPY_BYTES_MAX,
    SubmitError,
};
use ddes_session::wiretap::{Drawn, Wiretap};
use ddes_wire::{ClientId, Total};
use zeroize::Zeroizing;

use crate::dial::ConnectError;
use crate::pump::{Pump, Tap, dial};

/// Where to connect, as whom, and how long to wait.
#[derive(Clone, Debug)]
pub struct ClassicOptions {
    /// The server's host and port.
    pub server: ServerAddress,
    /// The UUID sent with each integer.
    pub id: ClientId,
    /// Longest wait for the TCP connection.
    pub connect: Duration,
    /// Longest wait for each handshake message. The original needs up to a minute.
    pub handshake: Duration,
    /// Longest wait for the answer to an integer.
    pub reply: Duration,
    /// Hears what passes the socket, for a capture; mostly nobody.
    pub wiretap: Option<Arc<dyn Wiretap>>,
}

/// Why an integer has no sum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// The session ended first; the integer may or may not be counted.
    #[error("the session ended")]
    Ended(ClientEnd),
    /// The server discarded it; it is not counted.
    #[error("the server discarded the integer: {text}")]
    Discarded {
        /// The text that the server sent in answer.
        text: String,
    },
    /// It was not sent.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// One session over one socket.
#[derive(Debug)]
pub struct ClassicConnection(Pump<ClientSession>);

impl ClassicConnection {
    /// Connects; [`Self::next`] performs the handshake.
    pub async fn open(options: &ClassicOptions) -> Result<Self, ConnectError> {
        let mut exponent = Zeroizing::new([0; ENTROPY_BYTES_MAX]);
        getrandom::fill(exponent.as_mut())?;
        let stream = dial(&options.server, options.connect).await?;
        let config =
            ClientConfig { id: options.id, handshake: options.handshake, reply: options.reply };
        let tap =
            Tap::open(options.wiretap.as_ref(), &stream, || Drawn { dh: &*exponent, kem: None });
        let session = ClientSession::new(config, Instant::now(), ClientEntropy { exponent });
        Ok(Self(Pump::new(stream, session, tap)))
    }

    /// Drives the session to its next event; `None` after the last one. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.0.next().await
    }

    /// Sends one integer; see [`ClientSession::submit`].
    pub fn submit(&mut self, value: u64) -> Result<(), SubmitError> {
        self.0.session.submit(Instant::now(), value)
    }

    /// Asks for the session's end; see [`ClientSession::disconnect`].
    pub fn disconnect(&mut self) -> Result<(), SubmitError> {
        self.0.session.disconnect(Instant::now())
    }

    /// Completes the handshake; `observe` gets each event of it.
    pub async fn ready(&mut self, mut observe: impl FnMut(&ClientEvent)) -> Result<(), ClientEnd> {
        while let Some(event) = self.next().await {
            observe(&event);
            match event {
                ClientEvent::Ready { .. } => return Ok(()),
                ClientEvent::Ended(end) => return Err(end),
                ClientEvent::KeyReceived { .. }
                | ClientEvent::KeySent
                | ClientEvent::Acknowledged
                | ClientEvent::Result { .. }
                | ClientEvent::Discarded { .. }
                | ClientEvent::LastSum { .. } => {}
            }
        }
        Err(ClientEnd::Idle)
    }

    /// Sends one integer and waits for the sum with it.
    pub async fn count(&mut self, value: u64) -> Result<Total, CountError> {
        self.submit(value)?;
        while let Some(event) = self.next().await {
            match event {
                ClientEvent::Result { sum } => return Ok(sum),
                ClientEvent::Discarded { text } => return Err(CountError::Discarded { text }),
                ClientEvent::Ended(end) => return Err(CountError::Ended(end)),
                ClientEvent::KeyReceived { .. }
                | ClientEvent::KeySent
                | ClientEvent::Ready { .. }
                | ClientEvent::Acknowledged
                | ClientEvent::LastSum { .. } => {}
            }
        }
        Err(CountError::Submit(SubmitError::NotOpen))
    }

    /// Asks for the end and waits for it.
    pub async fn close(mut self) -> Option<ClientEnd> {
        self.disconnect().ok()?;
        while let Some(event) = self.next().await {
            if let ClientEvent::Ended(end) = event {
                return Some(end);
            }
        }
        None
    }
}
