//! One session over one socket that never blocks.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use ddes_identity::{Namespace, SigningKey};
use ddes_session::v2::noise::Entropy;
use ddes_session::v2::{ClientConfig, ClientEvent, ClientSession, kem};
use ddes_session::{Phase, UNSENT_BYTES_MAX};
use ddes_wire::Sequence;
use ddes_wire::v2::Scope;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use zeroize::Zeroizing;

/// Bytes a private exponent is made of: 512 bits, more than any group takes.
const EXPONENT_BYTES: usize = 64;

#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    session: ClientSession,
    /// Our direction is shut down.
    is_shut: bool,
}

impl Link {
    pub(crate) fn open(
        address: SocketAddr,
        config: ClientConfig,
        now: Instant,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let mut dh = Zeroizing::new(vec![0; EXPONENT_BYTES]);
        let mut kem = Zeroizing::new([0; kem::SEED_BYTES]);
        getrandom::fill(&mut dh).map_err(io::Error::other)?;
        getrandom::fill(kem.as_mut()).map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut session = ClientSession::new(config, now, Entropy { dh, kem });
        work(&mut session, now);
        Ok(Self { stream, session, is_shut: false })
    }

    /// The socket is readable, or may be. Reads what there is.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Instant {
        loop {
            if !self.session.wants_bytes() {
                return Instant::now();
            }
            let read = self.stream.read(buffer);
            let now = Instant::now();
            match read {
                Ok(0) => self.session.handle_eof(now),
                Ok(count) => {
                    self.session.handle_bytes(now, buffer.get(..count).unwrap_or(&[]));
                    work(&mut self.session, now);
                    // A stream that gave less than there was room for is empty (epoll(7)); it will
                    // say when it no longer is.
                    if count < buffer.len() {
                        return now;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return now,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.session.handle_eof(now),
            }
        }
    }

    /// Sends what is pending, as far as the socket takes it; whether all of it went.
    pub(crate) fn flush(&mut self, now: Instant) -> bool {
        while !self.session.pending().is_empty() {
            match self.stream.write(self.session.pending()) {
                Ok(count) => self.session.sent(now, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not connected yet counts as this, too.
                Err(error)
                    if [io::ErrorKind::WouldBlock, io::ErrorKind::NotConnected]
                        .contains(&error.kind()) =>
                {
                    return false;
                }
                // What came before the reset is still to be read; the end shows there.
                Err(_) => {
                    self.session.give_up_sending();
                    return true;
                }
            }
        }
        if self.session.phase() == Phase::Draining && !self.is_shut {
            self.is_shut = true;
            // A socket that is gone is shut down already.
            self.stream.shutdown(Shutdown::Write).unwrap_or(());
        }
        true
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<ClientEvent> {
        self.session.poll_event()
    }

    /// Message 4, to a server that is trusted.
    pub(crate) fn prove(&mut self, now: Instant, key: &SigningKey) {
        let public = key.public();
        // None, or an error, once the session has ended; its next event says so.
        let Some(claim) = self.session.claim(&public) else { return };
        self.session.prove(now, &public, key.sign(Namespace::Client, &claim)).unwrap_or(());
    }

    /// Whether a further 30 would be taken now.
    pub(crate) fn has_room(&self) -> bool {
        self.session.phase() == Phase::Live && self.session.pending().len() < UNSENT_BYTES_MAX
    }

    /// 30. There is room; an error means that the session has ended, and its next event says so.
    pub(crate) fn submit(&mut self, now: Instant, first: Sequence, values: &[i64]) {
        self.session.submit(now, first, values).unwrap_or(());
    }

    /// 50; whether it was sent.
    pub(crate) fn disconnect(&mut self, now: Instant) -> bool {
        self.session.disconnect(now, Scope::Session).is_ok()
    }

    pub(crate) fn close(mut self, registry: &Registry) {
        // Closing it takes it out of the poll in any case.
        registry.deregister(&mut self.stream).unwrap_or(());
    }
}

/// The exponentiations, here and now: some 0.3 ms in all, before the measured part, or once a lost
/// session.
fn work(session: &mut ClientSession, now: Instant) {
    while let Some(work) = session.poll_work() {
        session.handle_done(now, work.run());
    }
}
