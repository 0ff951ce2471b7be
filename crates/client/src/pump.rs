//! Drives a session of either profile over a tokio socket.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ddes_identity::ServerAddress;
use ddes_session::wiretap::{Drawn, Passed, Wiretap};
use ddes_session::{Phase, classic, v2};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep_until, timeout};

use crate::dial::ConnectError;

const READ_BYTES_MAX: usize = 16 * 1024;

/// The contract of a client's session, which `ddes_session` documents, so that both profiles share
/// one driver. It is longer than a seam should be because it is that whole contract.
pub(crate) trait Machine {
    type SessionEvent;
    type WorkDone: Send + 'static;

    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]);
    fn handle_eof(&mut self, now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn handle_done(&mut self, now: Instant, done: Self::WorkDone);
    fn poll_work(&mut self) -> Option<Box<dyn FnOnce() -> Self::WorkDone + Send>>;
    fn poll_event(&mut self) -> Option<Self::SessionEvent>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn pending(&self) -> &[u8];
    fn sent(&mut self, now: Instant, count: usize);
    /// The socket accepts no more bytes; what is still read from it may hold the reason.
    fn give_up_sending(&mut self);
    fn wants_bytes(&self) -> bool;
    fn phase(&self) -> Phase;
}

macro_rules! machine {
    ($profile:ident) => {
        impl Machine for $profile::ClientSession {
            type SessionEvent = $profile::ClientEvent;
            type WorkDone = $profile::HandshakeDone;

            fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
                self.handle_bytes(now, bytes);
            }
            fn handle_eof(&mut self, now: Instant) {
                self.handle_eof(now);
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn handle_done(&mut self, now: Instant, done: Self::WorkDone) {
                self.handle_done(now, done);
            }
            fn poll_work(&mut self) -> Option<Box<dyn FnOnce() -> Self::WorkDone + Send>> {
                let work = self.poll_work()?;
                Some(Box::new(|| work.run()))
            }
            fn poll_event(&mut self) -> Option<Self::SessionEvent> {
                self.poll_event()
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.poll_timeout()
            }
            fn pending(&self) -> &[u8] {
                self.pending()
            }
            fn sent(&mut self, now: Instant, count: usize) {
                self.sent(now, count);
            }
            fn give_up_sending(&mut self) {
                self.give_up_sending();
            }
            fn wants_bytes(&self) -> bool {
                self.wants_bytes()
            }
            fn phase(&self) -> Phase {
                self.phase()
            }
        }
    };
}

machine!(classic);
machine!(v2);

/// A session and its socket.
#[derive(Debug)]
pub(crate) struct Pump<M: Machine> {
    stream: TcpStream,
    pub(crate) session: M,
    work: Option<JoinHandle<M::WorkDone>>,
    /// Our direction is shut down.
    is_shut: bool,
    buffer: Box<[u8]>,
    tap: Option<Tap>,
}

/// One connection of a wiretap.
#[derive(Debug)]
pub(crate) struct Tap {
    wiretap: Arc<dyn Wiretap>,
    connection: u64,
}

impl Tap {
    /// Reports a connection that opened, if somebody listens.
    pub(crate) fn open<'a>(
        wiretap: Option<&Arc<dyn Wiretap>>,
        stream: &TcpStream,
        drawn: impl FnOnce() -> Drawn<'a>,
    ) -> Option<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // A socket without addresses is closed already: its session says so.
        let (own, peer) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
        let tap = Self {
            wiretap: Arc::clone(wiretap?),
            connection: COUNT.fetch_add(1, Ordering::Relaxed),
        };
        tap.passed(Passed::Opened { own, peer, drawn: drawn() });
        Some(tap)
    }

    fn passed(&self, what: Passed<'_>) {
        self.wiretap.passed(self.connection, what);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.passed(Passed::Closed);
    }
}

enum Wakeup<D> {
    Readable,
    Writable,
    Timeout,
    Done(Result<D, JoinError>),
}

impl<M: Machine> Pump<M> {
    pub(crate) fn new(stream: TcpStream, session: M, tap: Option<Tap>) -> Self {
        let buffer = vec![0; READ_BYTES_MAX].into();
        Self { stream, session, work: None, is_shut: false, buffer, tap }
    }

    /// Drives the session to its next event; `None` after the last one. Dropping the future loses
    /// nothing.
    pub(crate) async fn next(&mut self) -> Option<M::SessionEvent> {
        loop {
            if let Some(event) = self.session.poll_event() {
                return Some(event);
            }
            if self.session.phase() == Phase::Done {
                return None;
            }
            self.flush();
            if self.work.is_none() {
                self.work = self.session.poll_work().map(tokio::task::spawn_blocking);
            }
            let next = self.wait().await;
            self.handle(next);
        }
    }

    async fn wait(&mut self) -> Wakeup<M::WorkDone> {
        let timeout = self.session.poll_timeout();
        let working = self.work.is_some();
        tokio::select! {
            _ = self.stream.readable(), if self.session.wants_bytes() => Wakeup::Readable,
            _ = self.stream.writable(), if !self.session.pending().is_empty() => Wakeup::Writable,
            () = async { sleep_until(timeout.unwrap_or_else(Instant::now).into()).await },
                if timeout.is_some() => Wakeup::Timeout,
            Some(done) = async { Some(self.work.as_mut()?.await) },
                if working => Wakeup::Done(done),
        }
    }

    fn handle(&mut self, next: Wakeup<M::WorkDone>) {
        let now = Instant::now();
        match next {
            Wakeup::Writable => {}
            Wakeup::Timeout => self.session.handle_timeout(now),
            Wakeup::Readable => match self.stream.try_read(&mut self.buffer) {
                Ok(0) => self.session.handle_eof(now),
                Ok(count) => {
                    let bytes = self.buffer.split_at(count).0;
                    if let Some(tap) = &self.tap {
                        tap.passed(Passed::Received(bytes));
                    }
                    self.session.handle_bytes(now, bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.session.handle_eof(now),
            },
            Wakeup::Done(done) => {
                self.work = None;
                match done {
                    Ok(done) => self.session.handle_done(now, done),
                    Err(_) => self.session.handle_eof(now),
                }
            }
        }
    }

    fn flush(&mut self) {
        while !self.session.pending().is_empty() {
            match self.stream.try_write(self.session.pending()) {
                Ok(count) => {
                    if let Some(tap) = &self.tap {
                        tap.passed(Passed::Sent(self.session.pending().split_at(count).0));
                    }
                    self.session.sent(Instant::now(), count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What came before the reset is still to be read; the end shows there.
                Err(_) => return self.session.give_up_sending(),
            }
        }
        if self.session.phase() == Phase::Draining && !self.is_shut {
            match SockRef::from(&self.stream).shutdown(Shutdown::Write) {
                // An error: the connection is gone, and with it this direction.
                Ok(()) | Err(_) => self.is_shut = true,
            }
        }
    }
}

/// A socket to `server`, within `most`.
pub(crate) async fn dial(
    server: &ServerAddress,
    most: Duration,
) -> Result<TcpStream, ConnectError> {
    let late = |_| ConnectError::TimedOut { server: server.to_string(), waited: most };
    let failed = |source| ConnectError::of(server, source);
    let connect = async {
        let resolved = tokio::net::lookup_host((server.host(), server.port())).await;
        let resolved = resolved
            .map_err(|source| ConnectError::Resolve { server: server.to_string(), source })?;
        let addresses: Vec<_> = resolved.collect();
        let stream = TcpStream::connect(&*addresses).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    };
    timeout(most, connect).await.map_err(late)?
}
