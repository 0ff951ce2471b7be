//! `ddes serve`.

#[cfg(target_os = "linux")]
mod activation;
mod board;
mod books;
mod console;
mod control;
mod events;
pub(crate) mod http;
mod lines;
pub(crate) mod settings;
mod signals;
mod socket;
mod systemd;
mod tally;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ddes_server::{Access, Lists, Report, Server, ServerBooks, ServerOptions};
use ddes_web::{About, Draining, Events, ReloadableLimits, Web, WebHandle};
use ddes_wire::v2::Suite;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::args::{ServeArgs, SuiteName};
use crate::capture::recorder::CaptureRecorder;
use crate::config::{CommandLine, Configuration, warn_of_misspelt};
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::keys;
use crate::ledger;
use crate::limits;
use crate::prompt::Prompt;
use crate::screen::{self, Line, Screen};
use crate::streams;
use crate::unheard::may_be_unheard;
use board::Board;
use books::OpenedBooks;
use console::Console;
use control::{Control, PageControl};
use http::{ServeOperations, Stopper};
pub(crate) use lines::reloaded;
use socket::ControlSocket;
pub(crate) use socket::{RunningServer, pages};
use systemd::{Manager, StopNote};
use tally::Tally;

/// Notices that wait to be shown. More are dropped and counted: a console that is held (Ctrl-S)
/// must not hold the server.
const NOTICES_MAX: usize = 4096;

/// Once the server has stopped, its process waits no longer for whoever reads its last lines.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let line = CommandLine::of_process(&["serve"]);
    let configuration = Configuration::load(&line, args.config.as_deref())?;
    let args = &configuration.args;
    warn(args)?;
    let home = Home::find(&args.home)?;
    let (key, key_is_new) =
        home.key_or_new(&home.server_key(), "ddes server", keys::no_passphrase)?;
    let suites = suites(args);
    let manager = Manager::of_process();
    let OpenedBooks { books, lines: about_ledger, keys } = books::open(args, &home, &manager)?;
    let lists = Lists { database: keys, ..home.lists() };
    let access = if args.allow_any { Access::Any } else { Access::Listed(lists.clone()) };
    let (files, http_files) = settings::share_files(args)?;
    let values_at = board::values_at(&args.output);
    let level = board::level_of(args, shows_json(args));
    let live = settings::live(args, files, board::notices(level, values_at));
    let events = Events::default();
    let (web, about_web) = http::bind(args, &home, http_files, &events)?;
    let public = key.public();
    let mut options = settings::options(args, live, key, suites, access);
    options.watch = web.is_some();
    let about = about(args, &home, &options, lists.clone());
    let (server, is_passed) = bind(args, options, books)?;
    let (server, recorder) = record(args, server)?;
    let address = server.local_addr().map_err(|error| cannot_listen(args, &error))?;
    let (prompt, screen) = open_screen(args)?;
    let board = Board::start(screen, args, level, values_at, events.clone())?;
    let control = Control::start(
        line,
        configuration.clone(),
        files,
        server.handle(),
        board.clone(),
        PageControl { limits: about.limits.clone(), http: web.as_ref().map(Web::local_addr) },
        manager.clone(),
    )?;
    let (stopper, stops) = Stopper::new(server.handle(), Draining::default());
    // All before the first line: whoever waits for it may ask for a reload, or for the page.
    signals::watch(stopper.clone(), control.clone())?;
    let operations = ServeOperations {
        stopper: stopper.clone(),
        control: control.clone(),
        board: board.clone(),
        key: public,
    };
    let about = About { address, ..about };
    let web = web.map(|web| http::start(web, about, server.handle(), operations)).transpose()?;
    let socket = take_commands(&home, address, &control, web.as_ref());
    let first = FirstLines {
        server_key: lines::server_key(&public.fingerprint(), key_is_new),
        ledger: about_ledger,
        web: about_web,
    };
    first.show(&board, args, address, &lists, web.as_ref());
    hint(args, address, is_passed);
    let (stop_note, all_told) = systemd::watch(manager, server.handle(), address.to_string())?;
    // An old capture is replaced only by a server that runs.
    if let Some(recorder) = recorder {
        recorder.begin();
    }
    let (ends_with_input, ledger) = (args.end_with_input, args.ledger.clone());
    let beside =
        Companions { control, stopper, stops, stop_note, web, events, ends_with_input, ledger };
    let outcome = serve(server, &board, prompt, beside);
    all_told.wait(LAST_WORDS);
    drop(socket);
    outcome
}

/// What a server that has started says before anything else.
struct FirstLines {
    server_key: Line,
    ledger: Vec<Line>,
    web: Option<Line>,
}

impl FirstLines {
    fn show(
        self,
        board: &Board,
        args: &ServeArgs,
        address: SocketAddr,
        lists: &Lists,
        web: Option<&Arc<WebHandle>>,
    ) {
        // For programs the first line is the address.
        if !board.is_json() {
            board.show(&lines::starting());
        }
        let http = web.map(|web| web.local_addr());
        board.show(&lines::listening(address, http, args));
        board.show(&self.server_key);
        board.show_all(&self.ledger);
        if !args.allow_any {
            board.show(&lines::access(lists));
        }
        board.show_all(self.web.as_slice());
        let is_wanted = screen::is_interactive() && !board.is_json() && !args.output.quiet;
        if web.is_some() && is_wanted {
            board.show_here(&[http::link(web.map(AsRef::as_ref))]);
        }
    }
}

/// How others reach a server that only this machine reaches; and the warning where they reach one
/// that is not secure.
fn hint(args: &ServeArgs, address: SocketAddr, is_passed: bool) {
    let is_of_this_machine = address.ip().to_canonical().is_loopback();
    if args.classic && !is_of_this_machine {
        screen::warn_of_classic_beyond(address);
    }
    if is_of_this_machine && !is_passed && !args.output.quiet {
        streams::say(&format!(
            "Only this machine can connect. To accept others: --listen 0.0.0.0:{}",
            address.port()
        ));
    }
}

/// What runs beside the server, and what ends it.
struct Companions {
    control: Control,
    stopper: Stopper,
    stops: Arc<Notify>,
    stop_note: StopNote,
    /// The page, if there is one.
    web: Option<Arc<WebHandle>>,
    events: Events,
    /// For a server that must not outlive whoever started it.
    ends_with_input: bool,
    /// Where the ledger is, if not in the home.
    ledger: Option<PathBuf>,
}

/// With a capture of its sessions, where one is asked for.
fn record(
    args: &ServeArgs,
    server: Server,
) -> Result<(Server, Option<Arc<CaptureRecorder>>), Failure> {
    let Some(path) = &args.capture else {
        if args.capture_secrets {
            return Err(Failure::new(Code::Usage, "--capture-secrets says nothing of where to")
                .cause("secrets are written into the capture, and none is asked for")
                .next("--capture FILE with it"));
        }
        return Ok((server, None));
    };
    let recorder = CaptureRecorder::start(path, args.capture_max_bytes, true)?;
    let recorder = if args.capture_secrets { recorder.with_secrets() } else { recorder };
    let recorder = Arc::new(recorder);
    Ok((server.tapped(recorder.clone()), Some(recorder)))
}

/// On the socket that the service manager passes, which the second value says, or on its own.
fn bind(
    args: &ServeArgs,
    options: ServerOptions,
    books: ServerBooks,
) -> Result<(Server, bool), Failure> {
    #[cfg(target_os = "linux")]
    let passed = activation::listener()?;
    // Service managers of other systems have other ways, and none is taken yet.
    #[cfg(not(target_os = "linux"))]
    let passed = None;
    let is_passed = passed.is_some();
    let server = match passed {
        Some(listener) => Server::on(listener, options, books),
        None => Server::bind(options, books),
    };
    server.map(|server| (server, is_passed)).map_err(|error| cannot_listen(args, &error))
}

/// What the page tells of this server.
fn about(args: &ServeArgs, home: &Home, options: &ServerOptions, lists: Lists) -> About {
    let ledger = args.ledger.clone().unwrap_or_else(|| home.ledger());
    let database = ledger::database(&ledger);
    let database = database.and_then(|place| Some(place.ok()?.to_string()));
    let v2 = &options.endpoint.profiles.v2;
    About {
        version: env!("CARGO_PKG_VERSION"),
        address: options.listen,
        fingerprint: v2.key.public().fingerprint(),
        suites: v2.suites.clone(),
        is_classic: args.classic,
        allows_any: args.allow_any,
        limits: ReloadableLimits::new(options.endpoint.bounds.clone(), v2.idle),
        queued_values_max: options.endpoint.queued_values_max,
        ledger: (database.is_none() && ledger != Path::new("memory")).then_some(ledger),
        database,
        lists: Some(lists),
    }
}

/// Says what is not secure, and switches core dumps off.
fn warn(args: &ServeArgs) -> Result<(), Failure> {
    if !args.core_dumps {
        let failed =
            |error| Failure::system("cannot switch core dumps off", &error).next("--core-dumps");
        limits::no_core_dumps().map_err(failed)?;
    }
    if !args.output.quiet {
        warn_of_misspelt();
    }
    if args.classic {
        screen::warn_of_classic();
    }
    if args.allow_any {
        screen::warn_of_any();
    }
    Ok(())
}

fn suites(args: &ServeArgs) -> Vec<Suite> {
    let named: &[SuiteName] = if args.suite.is_empty() { &SuiteName::DEFAULT } else { &args.suite };
    let suites: Vec<Suite> = named.iter().copied().map(Suite::from).collect();
    if suites.iter().any(|suite| !suite.is_hybrid()) {
        screen::warn_of_ddes(args.output.quiet);
    }
    suites
}

/// The socket of `ddes reload` and `ddes link`. A home that takes none is no reason not to serve.
fn take_commands(
    home: &Home,
    address: SocketAddr,
    control: &Control,
    web: Option<&Arc<WebHandle>>,
) -> Option<ControlSocket> {
    let folder = home.sockets();
    match ControlSocket::open(&folder, address.to_string(), control.clone(), web) {
        Ok(socket) => Some(socket),
        Err(error) => {
            streams::say(&format!(
                "Warning: no socket in {}: {error}. `ddes reload` and `ddes link` do not reach \
                 this server; SIGHUP does.",
                folder.display()
            ));
            None
        }
    }
}

/// Serves on this thread, beside a console on another, until it is stopped or the disk fails.
/// Nothing here waits for whoever should read what is shown.
fn serve(
    server: Server,
    board: &Board,
    mut prompt: Prompt,
    beside: Companions,
) -> Result<(), Failure> {
    let Companions { control, stopper, stops, stop_note, web, events, ends_with_input, ledger } =
        beside;
    let (notices, received) = mpsc::channel(NOTICES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let (stopped, when_stopped) = oneshot::channel();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let console = Console {
        handle: server.handle(),
        board: board.clone(),
        control,
        stopper,
        web: web.clone(),
        events,
        signals: stops,
        notices: received,
        dropped: Arc::clone(&dropped),
        tally: Arc::clone(&tally),
        stopped: when_stopped,
        ends_with_input,
    };
    let (over, when_over) = std_mpsc::channel();
    let runtime = crate::runtime()?;
    thread::Builder::new()
        .name("console".into())
        .spawn(move || {
            runtime.block_on(console.run(&mut prompt));
            // Whoever would hear it has given it up.
            may_be_unheard(over.send(()));
        })
        .map_err(|error| Failure::system("cannot start a thread", &error))?;

    let outcome = server.run(move |report: Report| {
        let Some(report) = to_show(&tally, &stop_note, report) else { return };
        if notices.try_send(report).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    });
    let outcome = outcome.map_err(|error| Failure::system("the server cannot run", &error));
    drop(web);
    // A console that is gone has failed, which is said below.
    stopped.send(outcome.as_ref().ok().cloned()).unwrap_or_else(drop);
    let console = when_over.recv_timeout(LAST_WORDS);
    board.finish(LAST_WORDS);
    match outcome?.failure {
        None => last_words(console),
        Some(why) => Err(unwritable(&why, ledger.as_deref())),
    }
}

/// Nothing can be acknowledged any more.
fn unwritable(why: &str, place: Option<&Path>) -> Failure {
    let what = format!("the ledger cannot be written any more: {why}");
    let failure = Failure::new(Code::Integrity, what);
    let home = crate::home::flag();
    match place.filter(|place| ledger::database(place).is_some()) {
        Some(place) => {
            let flags = home + &crate::home::named("--ledger", place);
            failure
                .cause(
                    "a failover to a standby that had not received it, a restore to an earlier \
                     time, or a change by hand",
                )
                .next(format!(
                    "ddes ledger verify{flags}; if it is whole, and what is missing is to stay so: \
                     ddes ledger raise{flags}, then serve again"
                ))
        }
        None => failure
            .cause(
                "the disk failed, or the folder was moved. Everything acknowledged was synced \
                 before",
            )
            .next(format!(
                "look at the disk and the folder (dmesg, df), then: ddes ledger verify{home}, and \
                 ddes serve{home}"
            )),
    }
}

/// Of strangers' doings the console hears through the tally alone, but for the first: they cannot
/// keep it from hearing of others.
fn to_show(tally: &Mutex<Tally>, stop_note: &StopNote, report: Report) -> Option<Report> {
    match report {
        Report::Session(notice) => {
            console::lock(tally).note(Instant::now(), notice).map(Report::Session)
        }
        Report::Stopping(drain) => {
            // Without a service manager nobody waits for it.
            may_be_unheard(stop_note.send(drain));
            None
        }
        report @ (Report::Access(_) | Report::Ledger(_) | Report::Checkpoint(_)) => Some(report),
    }
}

/// What the end of the console means for the server's own. A console that is only slow, on a busy
/// machine, has not failed.
fn last_words(console: Result<(), RecvTimeoutError>) -> Result<(), Failure> {
    match console {
        Ok(()) | Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::new(Code::No, "the console failed")),
    }
}

/// Whether programs read the lines.
fn shows_json(args: &ServeArgs) -> bool {
    args.output.json || !io::stdout().is_terminal()
}

fn open_screen(args: &ServeArgs) -> Result<(Prompt, Screen), Failure> {
    if shows_json(args) {
        Ok((Prompt::on_pipe()?, Screen::json()))
    } else if screen::is_interactive() {
        Prompt::on_terminal()
    } else {
        Ok((Prompt::on_pipe()?, Screen::plain()))
    }
}

fn cannot_listen(args: &ServeArgs, error: &io::Error) -> Failure {
    let failure = Failure::new(Code::Connect, format!("cannot listen on {}: {error}", args.listen));
    if error.kind() == io::ErrorKind::AddrInUse {
        failure
            .cause("another server runs on that port")
            .next(format!("ddes serve --listen {}:0     (takes a free port)", args.listen.ip()))
    } else {
        failure
            .cause("this machine does not have that address, or this user may not take that port")
            .next("--listen ADDR:PORT with an address of this machine and a port above 1023")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_that_is_slow_has_not_failed_and_one_that_is_gone_has() {
        assert!(last_words(Ok(())).is_ok());
        assert!(last_words(Err(RecvTimeoutError::Timeout)).is_ok());
        assert!(last_words(Err(RecvTimeoutError::Disconnected)).is_err());
    }
}
