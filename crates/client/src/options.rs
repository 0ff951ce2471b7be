//! Where a client connects, how, and how long it waits.

use std::sync::Arc;
use std::time::Duration;

use ddes_identity::ServerAddress;
use ddes_session::v2::noise::Entropy;
use ddes_session::v2::{ClientConfig, kem};
use ddes_session::wiretap::Wiretap;
use ddes_wire::v2::Suite;
use zeroize::Zeroizing;

/// Bytes a private exponent is made of: 512 bits, more than any group takes.
const EXPONENT_BYTES: usize = 64;

/// Where to connect, how, and how long to wait.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The server's host and port.
    pub server: ServerAddress,
    /// The suite; the server has to accept it.
    pub suite: Suite,
    /// Longest wait for the TCP connection.
    pub connect: Duration,
    /// Longest wait from the connection to a 20.
    pub handshake: Duration,
    /// Longest wait for an answer.
    pub reply: Duration,
    /// Hears what passes the socket, for a capture; mostly nobody.
    pub wiretap: Option<Arc<dyn Wiretap>>,
}

impl ConnectOptions {
    pub(crate) fn session(&self) -> ClientConfig {
        ClientConfig { suite: self.suite, handshake: self.handshake, reply: self.reply }
    }
}

/// The random bytes of one handshake, from the system: what a [`ClientSession`] is made with.
///
/// [`ClientSession`]: ddes_session::v2::ClientSession
pub fn handshake_entropy() -> Result<Entropy, getrandom::Error> {
    let mut dh = Zeroizing::new(vec![0; EXPONENT_BYTES]);
    let mut kem = Zeroizing::new([0; kem::SEED_BYTES]);
    getrandom::fill(&mut dh)?;
    getrandom::fill(kem.as_mut())?;
    Ok(Entropy { dh, kem })
}
