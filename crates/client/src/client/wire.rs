//! One session over one socket, without a runtime: the caller waits.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use ddes_identity::PublicKey;
use ddes_session::Phase;
use ddes_session::v2::{ClientEvent, ClientSession};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd};

use crate::options::{ConnectOptions, handshake_entropy};

const READ_BYTES_MAX: usize = 16 * 1024;

/// A session and its socket, which does not block.
#[derive(Debug)]
pub(super) struct SessionWire {
    stream: TcpStream,
    pub(super) session: ClientSession,
    /// Our direction is shut down.
    is_shut: bool,
}

impl SessionWire {
    pub(super) fn new(
        stream: TcpStream,
        options: &ConnectOptions,
    ) -> Result<Self, getrandom::Error> {
        let session = ClientSession::new(options.session(), Instant::now(), handshake_entropy()?);
        Ok(Self { stream, session, is_shut: false })
    }

    /// Sends message 4; `false` if the session has ended, which its next event reports.
    pub(super) fn prove(&mut self, now: Instant, key: &PublicKey, signature: [u8; 64]) -> bool {
        self.session.prove(now, key, signature).is_ok()
    }

    /// What to poll the socket for, and until when.
    pub(super) fn waits_for(&self) -> (BorrowedFd<'_>, PollFlags, Option<Instant>) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.session.wants_bytes());
        flags.set(PollFlags::OUT, !self.session.pending().is_empty());
        (self.stream.as_fd(), flags, self.session.poll_timeout())
    }

    /// Reads, writes and computes without waiting, and returns the next event. `Err` after the last
    /// one.
    pub(super) fn poll_event(&mut self, now: Instant) -> Result<Option<ClientEvent>, Over> {
        loop {
            if self.session.poll_timeout().is_some_and(|at| at <= now) {
                self.session.handle_timeout(now);
            }
            // An exponentiation is less than a millisecond of this thread, which has nothing else
            // to do.
            while let Some(work) = self.session.poll_work() {
                self.session.handle_done(now, work.run());
            }
            self.flush(now);
            if let Some(event) = self.session.poll_event() {
                return Ok(Some(event));
            }
            if self.session.phase() == Phase::Done {
                return Err(Over);
            }
            if !self.read(now) {
                return Ok(None);
            }
        }
    }

    /// Reads once; `false` if the socket has nothing, or the session wants nothing.
    fn read(&mut self, now: Instant) -> bool {
        if !self.session.wants_bytes() {
            return false;
        }
        let mut buffer = [0; READ_BYTES_MAX];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.session.handle_eof(now),
            Ok(count) => self.session.handle_bytes(now, buffer.split_at(count).0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.session.handle_eof(now),
        }
        true
    }

    fn flush(&mut self, now: Instant) {
        while !self.session.pending().is_empty() {
            match self.stream.write(self.session.pending()) {
                Ok(count) => self.session.sent(now, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What came before the reset is still to be read; the end shows there.
                Err(_) => return self.session.give_up_sending(),
            }
        }
        if self.session.phase() == Phase::Draining && !self.is_shut {
            match self.stream.shutdown(Shutdown::Write) {
                // An error: the connection is gone, and with it this direction.
                Ok(()) | Err(_) => self.is_shut = true,
            }
        }
    }
}

/// The session has ended and has reported its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over;
