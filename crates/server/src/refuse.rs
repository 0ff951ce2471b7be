//! Connections beyond a limit: refused with a 50, then closed.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use crate::endpoint::Full;

/// The most bytes read from a refused connection: four times the longest first message. A client
/// that sends more is cut off and may miss the 50.
const READ_BYTES_MAX: usize = 4 * ddes_session::v2::FIRST_BYTES_MAX;

/// A connection that is being refused.
#[derive(Debug)]
pub(crate) struct RefusedConnection {
    stream: TcpStream,
    full: Full,
    /// Where classic is served: the time until which a client may show that it speaks D-DDES/2.
    undecided: Option<Instant>,
    farewell: Vec<u8>,
    sent: usize,
    read: usize,
    until: Instant,
    shut: bool,
    /// Whether it is in the loop's list of ready sockets.
    pub(crate) is_ready: bool,
    pub(crate) armed: Option<Instant>,
}

/// What a refused connection needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalStep {
    /// It can continue in the next turn.
    HasMore,
    /// It waits for an event on its socket, or for its timeout.
    Waits,
    /// It is finished and is to be closed.
    Over,
}

impl RefusedConnection {
    pub(crate) fn new(
        stream: TcpStream,
        full: Full,
        now: Instant,
        silence: Option<Duration>,
    ) -> Self {
        let undecided = silence.map(|silence| now + silence);
        let farewell = if undecided.is_some() { Vec::new() } else { full.farewell(false) };
        let until = now + ddes_session::DRAIN_MAX;
        Self {
            stream,
            full,
            undecided,
            farewell,
            sent: 0,
            read: 0,
            until,
            shut: false,
            is_ready: false,
            armed: None,
        }
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.undecided.unwrap_or(self.until)
    }

    /// Continues as far as the socket allows, with at most one read, so that others get their turn.
    pub(crate) fn advance(&mut self, now: Instant, buffer: &mut [u8]) -> RefusalStep {
        if self.until <= now {
            return RefusalStep::Over;
        }
        match self.step(now, buffer) {
            Ok(step) => step,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => RefusalStep::Waits,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => RefusalStep::HasMore,
            Err(_) => RefusalStep::Over,
        }
    }

    fn step(&mut self, now: Instant, buffer: &mut [u8]) -> io::Result<RefusalStep> {
        if let Some(undecided) = self.undecided {
            let silent = match self.stream.peek(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                other => other.map(|_| false)?,
            };
            if silent && now < undecided {
                return Ok(RefusalStep::Waits);
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
        // What the client sent is read: unread bytes would cause a reset, and the client would lose
        // the 50.
        let left = READ_BYTES_MAX.saturating_sub(self.read).min(buffer.len());
        let count = self.stream.read(&mut buffer[..left])?;
        self.read += count;
        // At the bound it is over, as at the end of the stream.
        Ok(if count == 0 || self.read >= READ_BYTES_MAX {
            RefusalStep::Over
        } else {
            RefusalStep::HasMore
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    const FULL: Full = Full::Connections { most: 1 };

    fn pair(now: Instant) -> (TcpStream, RefusedConnection) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (client, RefusedConnection::new(mio::net::TcpStream::from_std(server), FULL, now, None))
    }

    /// Waits until the kernel has carried the bytes over: loopback does so while they are written.
    fn arrived(refusal: &RefusedConnection, count: usize) {
        let mut bytes = vec![0; count];
        while refusal.stream.peek(&mut bytes).ok() != Some(count) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_is_refused_is_read_once_a_turn_and_never_beyond_the_bound() {
        let now = Instant::now();
        // One byte less than the bound, and just it.
        for (count, end) in
            [(READ_BYTES_MAX - 1, RefusalStep::HasMore), (READ_BYTES_MAX, RefusalStep::Over)]
        {
            let (mut client, mut refusal) = pair(now);
            client.write_all(&vec![7; count]).unwrap();
            arrived(&refusal, count);
            let mut buffer = [0; 1024];
            let turns = count.div_ceil(buffer.len());
            for turn in 1..turns {
                assert_eq!(refusal.advance(now, &mut buffer), RefusalStep::HasMore);
                assert_eq!(refusal.read, turn * buffer.len(), "one read a turn");
            }
            assert_eq!(refusal.advance(now, &mut buffer), end);
            assert_eq!(refusal.read, count);
        }
    }

    #[test]
    fn who_keeps_sending_is_closed_at_its_time() {
        let now = Instant::now();
        let (mut client, mut refusal) = pair(now);
        client.write_all(&[7]).unwrap();
        arrived(&refusal, 1);
        let mut buffer = [0; 1024];
        assert_eq!(refusal.advance(now, &mut buffer), RefusalStep::HasMore);
        assert_eq!(refusal.advance(now, &mut buffer), RefusalStep::Waits);
        client.write_all(&[7]).unwrap();
        assert_eq!(refusal.poll_timeout(), now + ddes_session::DRAIN_MAX);
        assert_eq!(refusal.advance(now + ddes_session::DRAIN_MAX, &mut buffer), RefusalStep::Over);
    }

    #[test]
    fn who_closes_has_heard_why() {
        let now = Instant::now();
        let (mut client, mut refusal) = pair(now);
        client.write_all(&[7; 1706]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        arrived(&refusal, 1706);
        let mut buffer = [0; 4096];
        while refusal.advance(now, &mut buffer) != RefusalStep::Over {}
        drop(refusal);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, FULL.farewell(false));
    }
}
