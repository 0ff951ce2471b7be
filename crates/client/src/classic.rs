//! A client of the original's wire.

use std::io;
use std::time::{Duration, Instant};

use ddes_session::Phase;
use ddes_session::classic::{
    ClientConfig, ClientEnd, ClientEntropy, ClientEvent, ClientSession, Done, ENTROPY_BYTES_MAX, SubmitError,
};
use ddes_wire::{ClientId, Total};
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep_until, timeout};
use zeroize::Zeroizing;

const READ_BYTES_MAX: usize = 4096;

/// Where to connect, as whom, and how long to wait.
#[derive(Clone, Debug)]
pub struct Options {
    /// `HOST:PORT`.
    pub server: String,
    /// The UUID sent with each integer.
    pub id: ClientId,
    /// Longest wait for the TCP connection.
    pub connect: Duration,
    /// Longest wait for each handshake message. The original needs up to a minute.
    pub handshake: Duration,
    /// Longest wait for the answer to an integer.
    pub reply: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host name has no address, or the address is malformed.
    #[error("{server} is no address: {source}")]
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
    Randomness(getrandom::Error),
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
        /// The server's text.
        text: String,
    },
    /// It was not sent.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// One session over one socket.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    session: ClientSession,
    work: Option<JoinHandle<Done>>,
}

enum Next {
    Readable,
    Writable,
    Timeout,
    Done(Result<Done, JoinError>),
}

impl Connection {
    /// Connects; the handshake goes on in [`Self::next`].
    pub async fn open(options: &Options) -> Result<Self, ConnectError> {
        let server = || options.server.clone();
        let mut exponent = Zeroizing::new([0; ENTROPY_BYTES_MAX]);
        getrandom::fill(exponent.as_mut()).map_err(ConnectError::Randomness)?;
        let resolved = tokio::net::lookup_host(&options.server)
            .await
            .map_err(|source| ConnectError::Resolve { server: server(), source })?;
        let addresses: Vec<_> = resolved.collect();
        let failed = |source: io::Error| {
            if source.kind() == io::ErrorKind::ConnectionRefused {
                ConnectError::Refused { server: server() }
            } else {
                ConnectError::Failed { server: server(), source }
            }
        };
        let stream = timeout(options.connect, TcpStream::connect(&*addresses))
            .await
            .map_err(|_| ConnectError::TimedOut { server: server(), waited: options.connect })?
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let config = ClientConfig { id: options.id, handshake: options.handshake, reply: options.reply };
        let session = ClientSession::new(config, Instant::now(), ClientEntropy { exponent });
        Ok(Self { stream, session, work: None })
    }

    /// Carries the session on until something happens; `None` once it has ended and all is told.
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        loop {
            if let Some(event) = self.session.poll_event() {
                return Some(event);
            }
            if self.session.phase() == Phase::Done {
                return None;
            }
            self.flush();
            if self.work.is_none() {
                self.work = self.session.poll_work().map(|work| tokio::task::spawn_blocking(|| work.run()));
            }
            let next = self.wait().await;
            self.handle(next);
        }
    }

    /// Sends one integer; see [`ClientSession::submit`].
    pub fn submit(&mut self, value: u64) -> Result<(), SubmitError> {
        self.session.submit(Instant::now(), value)
    }

    /// Asks for the session's end; see [`ClientSession::disconnect`].
    pub fn disconnect(&mut self) -> Result<(), SubmitError> {
        self.session.disconnect(Instant::now())
    }

    /// Carries the handshake through; `observe` sees its steps.
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

    async fn wait(&mut self) -> Next {
        let timeout = self.session.poll_timeout();
        let working = self.work.is_some();
        tokio::select! {
            _ = self.stream.readable(), if self.session.wants_bytes() => Next::Readable,
            _ = self.stream.writable(), if !self.session.pending().is_empty() => Next::Writable,
            () = async { sleep_until(timeout.unwrap_or_else(Instant::now).into()).await }, if timeout.is_some() => Next::Timeout,
            Some(done) = async { Some(self.work.as_mut()?.await) }, if working => Next::Done(done),
        }
    }

    fn handle(&mut self, next: Next) {
        let now = Instant::now();
        match next {
            Next::Writable => {}
            Next::Timeout => self.session.handle_timeout(now),
            Next::Readable => {
                let mut buffer = [0; READ_BYTES_MAX];
                match self.stream.try_read(&mut buffer) {
                    Ok(0) => self.session.handle_eof(),
                    Ok(count) => self.session.handle_bytes(now, buffer.get(..count).unwrap_or(&[])),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => self.session.handle_eof(),
                }
            }
            Next::Done(done) => {
                self.work = None;
                match done {
                    Ok(done) => self.session.handle_done(now, done),
                    Err(_) => self.session.handle_eof(),
                }
            }
        }
    }

    fn flush(&mut self) {
        while !self.session.pending().is_empty() {
            match self.stream.try_write(self.session.pending()) {
                Ok(count) => self.session.sent(Instant::now(), count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What came before the reset is still to be read; the end shows there.
                Err(_) => return self.session.give_up_sending(),
            }
        }
    }
}
