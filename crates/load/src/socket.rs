//! One session over one socket that never blocks.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use ddes_client::handshake_entropy;
use ddes_identity::{Namespace, SigningKey};
use ddes_session::v2::{ClientConfig, ClientEvent, ClientSession, SubmitError};
use ddes_session::{Phase, UNSENT_BYTES_MAX};
use ddes_wire::Sequence;
use ddes_wire::v2::Scope;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// A session and its socket.
#[derive(Debug)]
pub(crate) struct LoadSocket {
    stream: TcpStream,
    session: ClientSession,
    /// Our direction is shut down.
    is_shut: bool,
}

impl LoadSocket {
    pub(crate) fn open(
        address: SocketAddr,
        config: ClientConfig,
        now: Instant,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let entropy = handshake_entropy().map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut session = ClientSession::new(config, now, entropy);
        work(&mut session, now);
        Ok(Self { stream, session, is_shut: false })
    }

    /// Reads until the socket is empty; the time of the last read.
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
                    self.session.handle_bytes(now, buffer.split_at(count).0);
                    work(&mut self.session, now);
                    // A stream that fills only part of the buffer is empty (epoll(7)); an event
                    // follows when it has more.
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

    /// Writes pending bytes as far as the socket takes them; whether none are left.
    pub(crate) fn flush(&mut self, now: Instant) -> bool {
        while !self.session.pending().is_empty() {
            match self.stream.write(self.session.pending()) {
                Ok(count) => self.session.sent(now, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // `NotConnected`: the connection is still being made.
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
            match self.stream.shutdown(Shutdown::Write) {
                // An error: the connection is gone, and with it this direction.
                Ok(()) | Err(_) => self.is_shut = true,
            }
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

    /// Sends message 4 to a server that is trusted; `false` if the session has ended, which its
    /// next event reports.
    pub(crate) fn prove(&mut self, now: Instant, key: &SigningKey) -> bool {
        let public = key.public();
        self.session.claim(&public).is_some_and(|claim| {
            let signature = key.sign(Namespace::Client, &claim);
            self.session.prove(now, &public, signature).is_ok()
        })
    }

    /// Whether the session takes another 30 now.
    pub(crate) fn has_room(&self) -> bool {
        self.session.phase() == Phase::Live && self.session.pending().len() < UNSENT_BYTES_MAX
    }

    /// Sends a 30; see [`ClientSession::submit`].
    pub(crate) fn submit(
        &mut self,
        now: Instant,
        first: Sequence,
        values: &[i64],
    ) -> Result<(), SubmitError> {
        self.session.submit(now, first, values)
    }

    /// Sends a 50; `false` if the session has ended.
    pub(crate) fn disconnect(&mut self, now: Instant) -> bool {
        self.session.disconnect(now, Scope::Session).is_ok()
    }

    pub(crate) fn close(mut self, registry: &Registry) {
        // An error leaves nothing behind: closing the socket removes it from the poll.
        drop(registry.deregister(&mut self.stream));
    }
}

/// Runs the exponentiations on this thread: about 0.3 ms in all, before the measured part or when a
/// session is opened again.
fn work(session: &mut ClientSession, now: Instant) {
    while let Some(work) = session.poll_work() {
        session.handle_done(now, work.run());
    }
}
