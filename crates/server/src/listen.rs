//! The listening socket, and the thread that drives an endpoint.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_ledger::{Health, Ledger, Totals};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;
use zeroize::Zeroizing;

use crate::access::{Access, Doorkeeper};
use crate::clerk::{Answer, Clerk, Desk};
use crate::drive::{READ_BYTES_MAX, drive};
use crate::endpoint::{Config, ConnectionId, Endpoint, Entropy, Full, Notice, Order, SessionView, Work};

const COMMANDS_MAX: usize = 64;
const BACKLOG: i32 = 1024;
/// So many connections are being told at a time that there are too many.
const REFUSALS_MAX: usize = 64;
const REFUSED_BYTES_MAX: usize = 2048;
/// After a failed accept (no more open files, say) the next one waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the lists are looked at for identities that lost their right.
const ACCESS_TICK: Duration = Duration::from_secs(2);

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What bounds it, and what it speaks.
    pub endpoint: Config,
    /// Who may connect.
    pub access: Access,
    /// How long stopping may take.
    pub drain: Duration,
}

/// A bound server, not yet running.
#[derive(Debug)]
pub struct Server {
    ledger: Ledger,
    listener: TcpListener,
    options: Options,
    commands: mpsc::Receiver<Command>,
    handle: Handle,
}

/// Steers a running server from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

/// What a running server tells.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly every report is a notice")]
pub enum Report {
    /// Something happened in a session.
    Session(Notice),
    /// A list of who may connect is at fault; what it says otherwise holds.
    Access(String),
    /// The ledger can be written again, or no more. After a failure the server stops.
    Ledger(Health),
    /// A checkpoint of the ledger could not be made: opening takes longer, and nothing else.
    Checkpoint(io::Error),
}

/// How a server stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that were cut because stopping took too long.
    pub cut: usize,
    /// Why the ledger could not be written any more, where that is why it stopped.
    pub failure: Option<String>,
}

#[derive(Debug)]
enum Command {
    Stop,
    End { serial: Option<u64>, ended: oneshot::Sender<usize> },
    Sessions(oneshot::Sender<Vec<SessionView>>),
    Totals(oneshot::Sender<Totals>),
}

impl Handle {
    /// Ends every session and stops. A second call stops at once.
    pub fn stop(&self) {
        // A full queue or a server that is gone is stopping already.
        drop(self.commands.try_send(Command::Stop));
    }

    /// Ends the session numbered `serial`, or all; how many there were.
    pub async fn end(&self, serial: Option<u64>) -> usize {
        let (ended, answer) = oneshot::channel();
        if self.commands.send(Command::End { serial, ended }).await.is_err() {
            return 0;
        }
        answer.await.unwrap_or(0)
    }

    /// Over all accounts of the ledger; `None` if the server is gone.
    pub async fn totals(&self) -> Option<Totals> {
        let (totals, answer) = oneshot::channel();
        self.commands.send(Command::Totals(totals)).await.ok()?;
        answer.await.ok()
    }

    /// All sessions, in no particular order.
    pub async fn sessions(&self) -> Vec<SessionView> {
        let (sessions, answer) = oneshot::channel();
        if self.commands.send(Command::Sessions(sessions)).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or(Vec::new())
    }
}

impl Server {
    /// Takes the address.
    pub fn bind(options: Options, ledger: Ledger) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(options.listen),
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&options.listen.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        Ok(Self { ledger, listener: socket.into(), options, commands, handle: Handle { commands: sender } })
    }

    /// The address taken.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Steers this server once it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves on this thread until stopped. `observe` is called for every report and must not
    /// block.
    pub fn run(mut self, observe: impl FnMut(Report) + 'static) -> io::Result<Stopped> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // The handshake pool: work beyond it queues, bounded by the connections.
            .max_blocking_threads(std::thread::available_parallelism().map_or(1, usize::from))
            .build()?;
        let mut config = self.options.endpoint.clone();
        config.classic_first = self.ledger.classic_next();
        let clerk = Clerk::start(std::mem::take(&mut self.ledger))?;
        let shard = Rc::new(Shard {
            endpoint: RefCell::new(Endpoint::new(config)),
            buffer: RefCell::new(vec![0; READ_BYTES_MAX].into()),
            wakes: RefCell::default(),
            emptied: Notify::new(),
            failure: RefCell::default(),
            failed: Notify::new(),
            desk: clerk.desk(),
            observe: RefCell::new(Box::new(observe)),
            door: RefCell::new(Doorkeeper::new(self.options.access.clone())),
            refusals: Cell::new(0),
            silence: self.options.endpoint.profiles.classic.as_ref().map(|classic| classic.silence),
        });
        let local = LocalSet::new();
        let stopped = local.block_on(&runtime, self.serve(Rc::clone(&shard)));
        clerk.stop();
        stopped
    }

    async fn serve(mut self, shard: Rc<Shard>) -> io::Result<Stopped> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        tokio::task::spawn_local(answer(Rc::clone(&shard)));
        let mut access = tokio::time::interval(ACCESS_TICK);
        access.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => accept(&shard, stream, peer),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                command = self.commands.recv() => match command {
                    Some(Command::Stop) | None => break,
                    Some(command) => shard.obey(command),
                },
                _ = access.tick() => shard.revoke(),
                () = shard.failed.notified() => break,
            }
        }
        drop(listener);
        shard.act(|endpoint, now| endpoint.end_all(now, Order::Shutdown, None));
        let drained = async {
            while !shard.endpoint.borrow().is_empty() {
                tokio::select! {
                    () = shard.emptied.notified() => {}
                    command = self.commands.recv() => match command {
                        Some(Command::Stop) | None => return,
                        Some(command) => shard.obey(command),
                    },
                }
            }
        };
        // Late or not: what is left is counted and cut.
        drop(tokio::time::timeout(self.options.drain, drained).await);
        Ok(Stopped { cut: shard.endpoint.borrow().len(), failure: shard.failure.take() })
    }
}

/// One thread's endpoint with what its drivers share.
pub(crate) struct Shard {
    pub(crate) endpoint: RefCell<Endpoint>,
    pub(crate) buffer: RefCell<Box<[u8]>>,
    wakes: RefCell<HashMap<ConnectionId, Rc<Notify>>>,
    emptied: Notify,
    /// Why the ledger cannot be written any more.
    failure: RefCell<Option<String>>,
    failed: Notify,
    desk: Arc<Desk>,
    observe: RefCell<Box<dyn FnMut(Report)>>,
    door: RefCell<Doorkeeper>,
    /// Connections being told that there are too many.
    refusals: Cell<usize>,
    /// With classic switched on, how long it waits for a client to speak first.
    silence: Option<Duration>,
}

impl Shard {
    /// Acts on the endpoint, then hands on the consequences.
    pub(crate) fn act<T>(self: &Rc<Self>, act: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let mut endpoint = self.endpoint.borrow_mut();
        let result = act(&mut endpoint, Instant::now());
        self.hand_on(&mut endpoint);
        result
    }

    fn hand_on(self: &Rc<Self>, endpoint: &mut Endpoint) {
        while let Some((id, work)) = endpoint.poll_work() {
            tokio::task::spawn_local(run(Rc::clone(self), id, work));
        }
        while let Some(claim) = endpoint.poll_claim() {
            self.refresh();
            let grant = self.door.borrow().grant(&claim.key);
            endpoint.handle_grant(Instant::now(), claim, grant);
        }
        self.desk.submit(std::iter::from_fn(|| endpoint.poll_request()));
        while let Some(id) = endpoint.poll_wake() {
            if let Some(wake) = self.wakes.borrow().get(&id) {
                wake.notify_one();
            }
        }
        while let Some(notice) = endpoint.poll_notice() {
            (self.observe.borrow_mut())(Report::Session(notice));
        }
    }

    /// Reads the lists again if they changed.
    fn refresh(&self) {
        for fault in self.door.borrow_mut().refresh() {
            (self.observe.borrow_mut())(Report::Access(fault));
        }
    }

    /// Ends the sessions of identities that lost their right.
    fn revoke(self: &Rc<Self>) {
        self.refresh();
        let lost = |view: &SessionView| {
            view.admitted.as_ref().is_some_and(|admitted| self.door.borrow().grant(&admitted.key).is_none())
        };
        let lost: Vec<_> = self.endpoint.borrow().sessions().filter(lost).collect();
        for view in lost {
            self.act(|endpoint, now| endpoint.end(now, view.connection, Order::NotAuthorized));
        }
    }

    pub(crate) fn wake_of(&self, id: ConnectionId) -> Rc<Notify> {
        Rc::clone(self.wakes.borrow_mut().entry(id).or_default())
    }

    /// The socket of `id` is closed.
    pub(crate) fn close(self: &Rc<Self>, id: ConnectionId) {
        self.wakes.borrow_mut().remove(&id);
        self.act(|endpoint, now| endpoint.remove(now, id));
        if self.endpoint.borrow().is_empty() {
            self.emptied.notify_one();
        }
    }

    fn obey(self: &Rc<Self>, command: Command) {
        // Who asked may be gone; nothing is owed then.
        match command {
            Command::Stop => {}
            Command::Totals(question) => self.desk.ask(question),
            Command::Sessions(sessions) => {
                drop(sessions.send(self.endpoint.borrow().sessions().collect()));
            }
            Command::End { serial, ended } => {
                let of_interest =
                    |view: &SessionView| serial.is_none_or(|serial| view.connection.serial() == serial);
                let ids: Vec<_> = self.endpoint.borrow().sessions().filter(of_interest).collect();
                self.act(|endpoint, now| {
                    for view in &ids {
                        endpoint.end(now, view.connection, Order::Operator);
                    }
                });
                ended.send(ids.len()).unwrap_or(());
            }
        }
    }
}

/// Runs an exponentiation in the handshake pool.
async fn run(shard: Rc<Shard>, id: ConnectionId, work: Work) {
    let done = tokio::task::spawn_blocking(|| work.run()).await;
    shard.act(|endpoint, now| match done {
        Ok(done) => endpoint.handle_done(now, id, done),
        // The runtime is stopping.
        Err(_) => endpoint.handle_reset(now, id),
    });
}

/// Gives the ledger's answers to their sessions.
async fn answer(shard: Rc<Shard>) {
    loop {
        let answers = shard.desk.answers().await;
        let mut reports = Vec::new();
        shard.act(|endpoint, now| {
            for answer in answers {
                match answer {
                    Answer::Done { to: Some((connection, ticket)), outcome } => {
                        endpoint.handle_outcome(now, connection, ticket, outcome);
                    }
                    Answer::Done { to: None, .. } => {}
                    Answer::Values(count) => endpoint.handle_done_values(count),
                    Answer::Health(health) => reports.push(Report::Ledger(health)),
                    Answer::Checkpoint(error) => reports.push(Report::Checkpoint(error)),
                }
            }
        });
        for report in reports {
            if let Report::Ledger(Health::Failed(why)) = &report {
                *shard.failure.borrow_mut() = Some(why.clone());
                shard.failed.notify_one();
            }
            (shard.observe.borrow_mut())(report);
        }
    }
}

fn accept(shard: &Rc<Shard>, stream: TcpStream, peer: SocketAddr) {
    let Ok(entropy) = entropy() else { return };
    // Without it each answer waits for the client's delayed acknowledgement: 44 ms.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match shard.act(|endpoint, now| endpoint.accept(now, peer, entropy)) {
        Ok(id) => drop(tokio::task::spawn_local(drive(Rc::clone(shard), stream, id))),
        Err(full) => refuse(shard, stream, full),
    }
}

/// Tells a client that there are too many; at most [`REFUSALS_MAX`] are being told at a time.
fn refuse(shard: &Rc<Shard>, mut stream: TcpStream, full: Full) {
    if shard.refusals.get() >= REFUSALS_MAX {
        return;
    }
    shard.refusals.set(shard.refusals.get() + 1);
    let shard = Rc::clone(shard);
    tokio::task::spawn_local(async move {
        let farewell = async {
            let classic = match shard.silence {
                Some(silence) => tokio::time::timeout(silence, stream.peek(&mut [0])).await.is_err(),
                None => false,
            };
            stream.write_all(&full.farewell(classic)).await?;
            stream.shutdown().await?;
            // What the client has said is read, or a reset would eat the frame.
            let mut rest = [0; REFUSED_BYTES_MAX];
            while stream.read(&mut rest).await? > 0 {}
            Ok::<(), io::Error>(())
        };
        // The client may be gone already; it is only being told why.
        drop(tokio::time::timeout(ddes_session::DRAIN_MAX, farewell).await);
        shard.refusals.set(shard.refusals.get() - 1);
    });
}

fn entropy() -> Result<Entropy, getrandom::Error> {
    let mut entropy = Entropy {
        exponent: Zeroizing::new([0; _]),
        kem: Zeroizing::new([0; _]),
        token: Zeroizing::new([0; _]),
    };
    getrandom::fill(entropy.exponent.as_mut())?;
    getrandom::fill(entropy.kem.as_mut())?;
    getrandom::fill(entropy.token.as_mut())?;
    Ok(entropy)
}
