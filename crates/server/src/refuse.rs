//! A connection too many: told so, briefly, and closed.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use crate::endpoint::Full;

/// So many are being told at a time; beyond them they are closed at once.
pub(crate) const REFUSALS_MAX: usize = 64;

/// A connection that is being told.
#[derive(Debug)]
pub(crate) struct Refusal {
    stream: TcpStream,
    full: Full,
    /// Where classic is served: until when a client may show that it speaks D-DDES/2.
    undecided: Option<Instant>,
    farewell: Vec<u8>,
    sent: usize,
    until: Instant,
    shut: bool,
}

impl Refusal {
    pub(crate) fn new(stream: TcpStream, full: Full, now: Instant, silence: Option<Duration>) -> Self {
        let undecided = silence.map(|silence| now + silence);
        let farewell = if undecided.is_some() { Vec::new() } else { full.farewell(false) };
        let until = now + ddes_session::DRAIN_MAX;
        Self { stream, full, undecided, farewell, sent: 0, until, shut: false }
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.undecided.unwrap_or(self.until)
    }

    /// Goes on as far as the socket lets it; whether it is over.
    pub(crate) fn go_on(&mut self, now: Instant) -> bool {
        match self.step(now) {
            Ok(over) => over || self.until <= now,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock || self.until <= now,
        }
    }

    fn step(&mut self, now: Instant) -> io::Result<bool> {
        if let Some(undecided) = self.undecided {
            let silent = match self.stream.peek(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                other => other.map(|_| false)?,
            };
            if silent && now < undecided {
                return Ok(false);
            }
            self.undecided = None;
            self.farewell = self.full.farewell(silent);
        }
        while let Some(rest) = self.farewell.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.sent += self.stream.write(rest)?;
        }
        if !self.shut {
            self.stream.shutdown(Shutdown::Write)?;
            self.shut = true;
        }
        // What the client has said is read, or a reset would eat the frame.
        let mut rest = [0; 2048];
        while self.stream.read(&mut rest)? > 0 {}
        Ok(true)
    }
}
