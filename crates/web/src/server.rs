//! The HTTP server: bound to an address, run on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use ddes_server::{ServerHandle, priority};
use ddes_wire::shown::hex;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use crate::about::About;
use crate::access::AccessRules;
use crate::api::export::EXPORTS_MAX;
use crate::app::{App, QUESTIONS_MAX, lock};
use crate::aside::{ASIDE_MAX, Aside};
use crate::events::{Events, streams_max};
use crate::files::LedgerFiles;
use crate::history::{History, STEP};
use crate::listen::{self, CONNECTIONS_MAX};
use crate::login::Logins;
use crate::mirror::Mirror;
use crate::names::NameLists;
use crate::operations::Operations;
use crate::ranking::Ranked;
use crate::router::router;
use crate::token::AccessToken;
use crate::totals::CachedTotals;
use crate::verification::Verification;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Between two looks at the ledger's files, and at its totals if nobody else asks for these.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The clock was set if it and the time that passed differ by more in one second.
const JUMP_MIN: Duration = Duration::from_secs(1);

/// The settings of an HTTP server.
pub struct WebOptions {
    /// The address to listen on; port 0 chooses a free port.
    pub listen: SocketAddr,
    /// Whether to serve plain HTTP also to other machines.
    pub allow_plain: bool,
    /// Names under which it answers, beside its addresses.
    pub hosts: Vec<String>,
    /// What programs send to be let in.
    pub token: AccessToken,
    /// What programs send that may only read.
    pub read_token: Option<AccessToken>,
    /// What happens in the server.
    pub events: Events,
    /// Connections at a time: at most [`CONNECTIONS_MAX`].
    pub connections_max: usize,
}

/// Why an HTTP server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Other machines can reach the address, and HTTP would be readable on the way.
    #[error("{0} can be reached from other machines, and plain HTTP shows them the token")]
    Plain(SocketAddr),
    /// The system refuses the address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The server does not publish anything to show.
    #[error("the server was started without a watch")]
    NoWatch,
    /// The system refuses a thread, or randomness.
    #[error("cannot start the HTTP server: {0}")]
    Start(#[source] io::Error),
}

/// A bound HTTP server, not yet running.
pub struct Web {
    listener: std::net::TcpListener,
    address: SocketAddr,
    options: WebOptions,
}

/// A running HTTP server. It ends when this is dropped.
pub struct WebHandle {
    app: Arc<App>,
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Web {
    /// Binds the address and listens on it.
    pub fn bind(options: WebOptions) -> Result<Self, WebError> {
        if !options.listen.ip().is_loopback() && !options.allow_plain {
            return Err(WebError::Plain(options.listen));
        }
        let (address, listener) =
            bind(options.listen).map_err(|error| WebError::Listen(options.listen, error))?;
        Ok(Self { listener, address, options })
    }

    /// The bound address, with the chosen port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves on a thread of its own, until the handle is dropped.
    pub fn start(
        self,
        about: About,
        handle: ServerHandle,
        operations: Arc<dyn Operations>,
        draining: Draining,
    ) -> Result<WebHandle, WebError> {
        let Self { listener, address, options } = self;
        let WebOptions { hosts, token, read_token, events, connections_max, .. } = options;
        let connections_max = connections_max.clamp(1, CONNECTIONS_MAX);
        let watch = handle.watch().ok_or(WebError::NoWatch)?;
        let boot = boot().map_err(|error| WebError::Start(io::Error::other(error)))?;
        let app = Arc::new(App {
            boot,
            started: SystemTime::now(),
            access: AccessRules { address, hosts, token, read_token, logins: Logins::default() },
            handle,
            watch,
            operations,
            configuring: Arc::default(),
            aside: Aside::new(),
            events,
            draining,
            history: Mutex::new(History::default()),
            ledger_files: Mutex::new(None),
            names: NameLists::new(about.lists.clone()),
            mirror: Mirror::default(),
            ranked: Ranked::default(),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            totals: CachedTotals::default(),
            verification: Verification::of(about.ledger.clone()),
            streams: Arc::new(Semaphore::new(streams_max(connections_max))),
            asked: AsyncMutex::new(Instant::now()),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            about,
        });
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&app);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            let (prepared, outcome) = match prepare(listener) {
                Ok(prepared) => (Some(prepared), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Without whoever waits for this there is no handle, and nothing could stop it.
            if ready.send(outcome).is_ok()
                && let Some((runtime, listener)) = prepared
            {
                run(runtime, listener, connections_max, &shared, stopped);
            }
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(run);
        let thread = Some(thread.map_err(WebError::Start)?);
        // A thread that is gone has panicked, and said so.
        let gone = || Err(io::Error::other("its thread panicked"));
        started.recv().unwrap_or_else(|_| gone()).map_err(WebError::Start)?;
        Ok(WebHandle { app, thread, stop: Some(stop) })
    }
}

impl WebHandle {
    /// A link that opens the page once, within ten minutes, with the right to act.
    pub fn login_link(&self) -> Result<Zeroizing<String>, getrandom::Error> {
        let code = self.app.access.logins.new_code(Instant::now())?;
        let address = self.local_addr();
        let host = if address.ip().is_unspecified() {
            // Reachable at least from here.
            format!("localhost:{}", address.port())
        } else {
            address.to_string()
        };
        Ok(Zeroizing::new(format!("http://{host}/login?code={}", *code.to_hex())))
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.app.access.address
    }
}

/// Says that the server is about to stop, so that readiness fails first.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on the server is not ready.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for WebHandle {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the thread has been printed.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// With a queue that a burst of connections does not fill.
fn bind(address: SocketAddr) -> io::Result<(SocketAddr, std::net::TcpListener)> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = std::net::TcpListener::from(socket);
    Ok((listener.local_addr()?, listener))
}

fn boot() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

fn prepare(listener: std::net::TcpListener) -> io::Result<(Runtime, TcpListener)> {
    priority::behind_traffic();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(ASIDE_MAX + EXPORTS_MAX)
        .build()?;
    let listener = {
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        drop(entered);
        listener
    };
    Ok((runtime, listener))
}

fn run(
    runtime: Runtime,
    listener: TcpListener,
    connections_max: usize,
    app: &Arc<App>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        tokio::select! {
            () = listen::serve(listener, connections_max, router(Arc::clone(app))) => {}
            () = sample(app) => {}
            () = look(app) => {}
            () = app.mirror.run(app) => {}
            // The handle was dropped.
            stopped = stopped => drop(stopped),
        }
    });
    // What reads the ledger's files cannot be stopped, and ends with the process.
    runtime.shutdown_background();
}

/// Takes a sample of the published counters once a second, for ever.
async fn sample(app: &App) {
    let mut tick = interval(STEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = (Instant::now(), SystemTime::now());
    loop {
        tick.tick().await;
        let stats = app.watch.stats();
        let now = (Instant::now(), SystemTime::now());
        lock(&app.history).push(&stats, has_jumped(last, now));
        last = now;
    }
}

/// Looks at the ledger now and then, for ever. Its disk may not answer, for which no sample waits.
async fn look(app: &Arc<App>) {
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        // They are last known then, whoever asks when it does not answer.
        drop(CachedTotals::look(app));
        read_files(app).await;
    }
}

fn has_jumped(last: (Instant, SystemTime), now: (Instant, SystemTime)) -> bool {
    let passed = now.0.saturating_duration_since(last.0);
    match now.1.duration_since(last.1) {
        Ok(shown) => shown.abs_diff(passed) > JUMP_MIN,
        // It was set back.
        Err(_) => true,
    }
}

async fn read_files(app: &App) {
    let Some(folder) = app.about.ledger.clone() else { return };
    let read = app.aside.run(move || LedgerFiles::read(&folder)).await;
    // What cannot be read is not shown.
    *lock(&app.ledger_files) = read.ok().and_then(Result::ok);
}
