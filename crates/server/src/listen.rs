//! The server: bound to an address, run on one thread, controlled through handles.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_ledger::{Account, AccountId, AccountSlice, Health, Totals};
use ddes_session::v2;
use ddes_session::wiretap::Wiretap;
use mio::{Interest, Poll, Waker};
use tokio::sync::oneshot;

use crate::access::{Access, AccessControl};
use crate::books::ServerBooks;
use crate::clerk::{LedgerQuestion, LedgerView, ServerLedger};
use crate::drive::{Driver, LISTENER, LoopState, MAIL};
use crate::endpoint::{Bounds, Config, Endpoint, Notice, Notices, Profiles, SessionView};
use crate::mail::{Mail, Mailbox, ServerCommand};
use crate::pool::Pool;
use crate::watch::{Publisher, Watch};

const BACKLOG: i32 = 4096;

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The address that [`Server::bind`] listens on; port 0 chooses a free port.
    pub listen: SocketAddr,
    /// The limits, and the profiles offered.
    pub endpoint: Config,
    /// Which identities may connect.
    pub access: Access,
    /// How long open sessions may take to end when the server stops.
    pub drain: Duration,
    /// The most excess connections that are refused with a message at a time. Further ones are
    /// closed immediately.
    pub refusals_max: usize,
    /// Whether to publish counters, sessions and traces through [`ServerHandle::watch`]. Otherwise
    /// nothing is counted.
    pub watch: bool,
}

impl ServerOptions {
    /// A server for some clients of D-DDES/2 on this machine, whoever they are, on a free port: for
    /// examples and tests, which set what else they want in the fields.
    pub fn on_loopback(v2: v2::ServerConfig) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            endpoint: Config {
                bounds: Bounds::of(100),
                queued_values_max: 1 << 20,
                notices: Notices::Nothing,
                classic_first: 0,
                profiles: Profiles { v2: Arc::new(v2), classic: None },
            },
            access: Access::Any,
            drain: Duration::from_secs(60),
            refusals_max: 16,
            watch: false,
        }
    }
}

/// The settings that a running server takes up: all of them, between two turns of its loop.
#[derive(Clone, Debug)]
pub struct LiveSettings {
    /// The limits on connections. A lower one refuses newcomers and ends nobody.
    pub bounds: Bounds,
    /// How long a session may go without a counted value; of sessions that begin from now on.
    pub idle: Duration,
    /// Which notices to build.
    pub notices: Notices,
    /// How long open sessions may take to end when the server stops.
    pub drain: Duration,
    /// As [`ServerOptions::refusals_max`].
    pub refusals_max: usize,
    /// How long the ledger keeps its history, from its next checkpoint on; `None` keeps all.
    pub history: Option<Duration>,
}

/// A bound server, not yet running.
#[derive(Debug)]
pub struct Server {
    books: ServerBooks,
    listener: mio::net::TcpListener,
    poll: Poll,
    options: ServerOptions,
    mailbox: Arc<Mailbox>,
    watch: Option<Arc<Watch>>,
    wiretap: Option<Arc<dyn Wiretap>>,
}

/// Controls a running server from any thread.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    mailbox: Arc<Mailbox>,
    watch: Option<Arc<Watch>>,
}

/// What a running server reports.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly every report is a notice")]
pub enum Report {
    /// Something happened in a session.
    Session(Notice),
    /// A list of authorized keys has an error. Its other entries apply.
    Access(String),
    /// The ledger became writable again, or failed. After a failure the server stops.
    Ledger(Health),
    /// A checkpoint of the ledger failed. The only consequence is that opening the ledger takes
    /// longer.
    Checkpoint(io::Error),
    /// The server accepts no more connections and ends its sessions, within the time given.
    Stopping(Duration),
}

/// The answer of the server's loop to [`ServerHandle::pulse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Open connections, with or without a session.
    pub connections: usize,
    /// Whether the server is stopping.
    pub is_stopping: bool,
}

/// How a server stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Sessions that were cut because stopping took too long.
    pub cut: usize,
    /// Why the ledger failed, if that stopped the server.
    pub failure: Option<String>,
}

impl ServerHandle {
    /// Ends every session and stops. A second call stops at once.
    pub fn stop(&self) {
        // If nobody takes the message, the server has stopped already.
        self.mailbox.post(Mail::Command(ServerCommand::Stop));
    }

    /// Ends the session numbered `serial`, or all of them. Returns how many it ends; 0 if the
    /// server has stopped.
    pub async fn end(&self, serial: Option<u64>) -> usize {
        // A server that has stopped has ended its sessions already.
        self.ask(|ended| ServerCommand::End { serial, ended }).await.unwrap_or(0)
    }

    /// Replaces the settings that a running server takes up, and waits until they apply. Returns
    /// whether they do: they do not if the server has stopped.
    pub fn apply(&self, settings: LiveSettings) -> bool {
        let (applied, answer) = std::sync::mpsc::channel();
        self.mailbox
            .post(Mail::Command(ServerCommand::Apply { settings: Box::new(settings), applied }));
        // Sent within a turn of the loop, or dropped with the mail of a loop that has ended.
        answer.recv().is_ok()
    }

    /// Asks the loop for a sign of life, and waits for it on this thread for as long as the loop is
    /// busy; `None` if the server has stopped.
    pub fn pulse(&self) -> Option<Pulse> {
        let (sender, answer) = oneshot::channel();
        self.mailbox.post(Mail::Command(ServerCommand::Pulse(sender)));
        answer.blocking_recv().ok()
    }

    /// Totals over all accounts of the ledger; `None` if the server has stopped.
    pub async fn totals(&self) -> Option<Totals> {
        self.ask_ledger(LedgerQuestion::Totals).await
    }

    /// The ledger's health and head; `None` if the server has stopped.
    pub async fn ledger(&self) -> Option<LedgerView> {
        self.ask_ledger(LedgerQuestion::View).await
    }

    /// An account; `None` if it never had a session, has ended, or if the server has stopped.
    pub async fn account(&self, id: AccountId) -> Option<Account> {
        self.ask_ledger(|asker| LedgerQuestion::Account(id, asker)).await.flatten()
    }

    /// At most 4,096 accounts: the first for 0, then those from the slice's `next` on. Each account
    /// that exists meanwhile comes once. `None` if the server has stopped.
    pub async fn accounts(&self, from: u64) -> Option<AccountSlice> {
        self.ask_ledger(|slice| LedgerQuestion::Accounts { from, slice }).await
    }

    /// What the server publishes, if [`ServerOptions::watch`] says that it does.
    pub fn watch(&self) -> Option<Arc<Watch>> {
        self.watch.clone()
    }

    /// Traces the session numbered `serial` from now on, or no longer keeps its trace although
    /// newer connections come. Returns whether there is such a session or trace.
    pub async fn pin_trace(&self, serial: u64, is_pinned: bool) -> bool {
        let command = |found| ServerCommand::PinTrace { serial, is_pinned, found };
        self.ask(command).await.unwrap_or(false)
    }

    /// All sessions, in no particular order; none if the server has stopped.
    pub async fn sessions(&self) -> Vec<SessionView> {
        self.ask(ServerCommand::Sessions).await.unwrap_or(Vec::new())
    }

    async fn ask_ledger<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> LedgerQuestion,
    ) -> Option<T> {
        self.ask(|asker| ServerCommand::Ledger(question(asker))).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> ServerCommand) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        self.mailbox.post(Mail::Command(command(sender)));
        answer.await.ok()
    }
}

impl Server {
    /// Binds the address and listens on it.
    pub fn bind(options: ServerOptions, books: impl Into<ServerBooks>) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(options.listen),
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&options.listen.into())?;
        socket.listen(BACKLOG)?;
        Self::on(socket.into(), options, books)
    }

    /// Serves a socket that listens already, such as one from a service manager, instead of the
    /// options' address.
    pub fn on(
        listener: TcpListener,
        options: ServerOptions,
        books: impl Into<ServerBooks>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let mailbox = Arc::new(Mailbox::new(Waker::new(poll.registry(), MAIL)?));
        let watch = options.watch.then(|| Arc::new(Watch::new(Instant::now())));
        let books = books.into();
        Ok(Self { books, listener, poll, options, mailbox, watch, wiretap: None })
    }

    /// Reports to `wiretap` what passes the sockets of all sessions. Connections that are refused
    /// over a limit are not reported.
    #[must_use]
    pub fn tapped(self, wiretap: Arc<dyn Wiretap>) -> Self {
        Self { wiretap: Some(wiretap), ..self }
    }

    /// The bound address, with the chosen port.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A handle that controls this server once it runs.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { mailbox: Arc::clone(&self.mailbox), watch: self.watch.clone() }
    }

    /// Serves on this thread until stopped. `observe` is called for every report and must not
    /// block.
    pub fn run(self, observe: impl FnMut(Report) + 'static) -> io::Result<Stopped> {
        let Self { books, listener, poll, options, mailbox, watch, wiretap } = self;
        let silence = options.endpoint.profiles.classic.as_ref().map(|classic| classic.silence);
        let config = Config { classic_first: books.classic_next(), ..options.endpoint };
        let now = Instant::now();
        let endpoint = Endpoint::new(now, config);
        let endpoint = if books.wants_ends() { endpoint.telling_ends() } else { endpoint };
        let publisher =
            watch.as_ref().map(|watch| Publisher::new(Arc::clone(watch), now, books.health()));
        let driver = Driver {
            poll,
            listener: Some(listener),
            endpoint: if watch.is_some() { endpoint.watched(now) } else { endpoint },
            ledger: ServerLedger::open(books, Arc::clone(&mailbox), watch.is_some())?,
            pool: Pool::start(&mailbox)?,
            access: AccessControl::new(options.access),
            observe: Box::new(observe),
            silence,
            drain: options.drain,
            refusals_max: options.refusals_max,
            publisher,
            wiretap,
            state: LoopState::new(now),
            mailbox,
        };
        driver.run()
    }
}

#[cfg(test)]
mod tests {
    use ddes_ledger::Ledger;

    use super::*;
    use crate::endpoint::tests::config;

    #[test]
    fn a_server_one_of_whose_threads_panicked_ends_and_says_which() {
        let server =
            Server::bind(ServerOptions::on_loopback(config()), Ledger::in_memory()).unwrap();
        server.mailbox.post(Mail::Panicked("handshakes".into()));
        let error = server.run(|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "the thread 'handshakes' panicked");
    }
}
