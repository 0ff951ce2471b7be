//! `ddes serve`.

mod board;
mod books;
mod console;
mod http;
mod lines;
mod signals;
mod tally;

use std::io::{self, IsTerminal};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ddes_ffdhe::{Group, NamedGroup};
use ddes_identity::SigningKey;
use ddes_server::endpoint::{Bounds, Classic, Config, Notices, Profiles};
use ddes_server::{Access, Files, Report, Server, ServerOptions};
use ddes_session::{classic, v2};
use ddes_web::{About, Draining, Events, WebHandle};
use ddes_wire::v2::Suite;
use tokio::sync::{mpsc, oneshot};

use crate::args::{GroupName, ServeArgs, SuiteName};
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::keys;
use crate::limits;
use crate::prompt::Prompt;
use crate::screen::{self, Screen};
use crate::streams;
use board::Board;
use console::Console;
use http::{ServeOperations, Stopper};
use tally::Tally;

/// From accept to a client's proof, or its classic key (PROTOCOL.md, P-23 and C-19).
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Notices that wait to be shown. More are dropped and counted: a console that is held (Ctrl-S)
/// must not hold the server.
const NOTICES_MAX: usize = 4096;

/// Values that wait for the ledger, 16 bytes each; beyond them nothing is read.
const QUEUED_VALUES_MAX: usize = 1 << 20;

/// Once the server has stopped, its process waits no longer for whoever reads its last lines.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    if !args.core_dumps {
        let failed =
            |error| Failure::system("cannot switch core dumps off", &error).next("--core-dumps");
        limits::no_core_dumps().map_err(failed)?;
    }
    if args.classic {
        screen::warn_of_classic();
    }
    if args.allow_any {
        screen::warn_of_any();
    }
    let home = Home::find(&args.home)?;
    let (key, key_is_new) =
        home.key_or_new(&home.server_key(), "ddes server", keys::no_passphrase)?;
    let fingerprint = key.public().fingerprint();
    let suites: Vec<SuiteName> =
        if args.suite.is_empty() { SuiteName::DEFAULT.into() } else { args.suite.clone() };
    let suites: Vec<Suite> = suites.into_iter().map(Suite::from).collect();
    if suites.iter().any(|suite| !suite.is_hybrid()) {
        screen::warn_of_ddes(args.output.quiet);
    }
    let access = if args.allow_any { Access::Any } else { Access::Listed(home.lists()) };
    let (ledger, about_ledger) = books::open(args, &home)?;
    let (files, http_files) = share_files(args)?;
    let (events, draining) = (Events::default(), Draining::default());
    let (web, about_web) = http::bind(args, &home, http_files, &events)?;
    let public = key.public();
    let mut options = options(args, files, key, suites.clone(), access);
    options.watch = web.is_some();
    let about = about(args, &home, &options, fingerprint.clone(), suites);
    let server = Server::bind(options, ledger).map_err(|error| cannot_listen(args, &error))?;
    let address = server.local_addr().map_err(|error| cannot_listen(args, &error))?;
    let (stopper, stops) = Stopper::new(server.handle(), draining.clone());
    signals::watch(stopper.clone())?;
    let start = |web| {
        let operations = ServeOperations { stopper: stopper.clone(), key: public };
        let about = About { address, ..about };
        http::start(web, about, server.handle(), operations, draining).map(Arc::new)
    };
    let web = web.map(start).transpose()?;
    let (prompt, screen) = open_screen(args)?;
    let board = Board::start(screen, events.clone())?;
    // For programs the first line is the address.
    if !board.is_json() {
        board.show(&lines::starting());
    }
    let http = web.as_ref().map(|web| web.local_addr());
    board.show(&lines::listening(address, http, args));
    board.show(&lines::server_key(&fingerprint, key_is_new));
    board.show_all(&about_ledger);
    if !args.allow_any {
        board.show(&lines::access(&home));
    }
    board.show_all(about_web.as_slice());
    if web.is_some() && !board.is_json() {
        board.show_here(&[http::link(web.as_deref())]);
    }
    if address.ip().is_loopback() && !args.output.quiet {
        streams::say(&format!(
            "Only this machine can connect. To accept others: --listen 0.0.0.0:{}",
            address.port()
        ));
    }
    let beside = Beside { stopper, stops, web, events };
    serve(server, &board, prompt, beside)
}

/// What serves beside the server, and ends it.
struct Beside {
    stopper: Stopper,
    stops: mpsc::Receiver<()>,
    web: Option<Arc<WebHandle>>,
    events: Events,
}

/// What the page tells of this server.
fn about(
    args: &ServeArgs,
    home: &Home,
    options: &ServerOptions,
    fingerprint: String,
    suites: Vec<Suite>,
) -> About {
    let ledger = args.ledger.clone().unwrap_or_else(|| home.ledger());
    About {
        version: env!("CARGO_PKG_VERSION"),
        address: options.listen,
        fingerprint,
        suites,
        is_classic: args.classic,
        allows_any: args.allow_any,
        idle: Duration::from_secs(args.idle_secs.into()),
        bounds: options.endpoint.bounds.clone(),
        queued_values_max: options.endpoint.queued_values_max,
        ledger: (ledger != Path::new("memory")).then_some(ledger),
        lists: Some(home.lists()),
    }
}

/// Serves on this thread, beside a console on another, until it is stopped or the disk fails.
/// Nothing here waits for whoever should read what is shown.
fn serve(server: Server, board: &Board, mut prompt: Prompt, beside: Beside) -> Result<(), Failure> {
    let Beside { stopper, stops, web, events } = beside;
    let (notices, received) = mpsc::channel(NOTICES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let (stopped, when_stopped) = oneshot::channel();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let console = Console {
        handle: server.handle(),
        stopper,
        web: web.clone(),
        events,
        board: board.clone(),
        signals: stops,
        notices: received,
        dropped: Arc::clone(&dropped),
        tally: Arc::clone(&tally),
        stopped: when_stopped,
    };
    let (over, when_over) = std_mpsc::channel();
    let runtime = crate::runtime()?;
    thread::Builder::new()
        .name("console".into())
        .spawn(move || {
            runtime.block_on(console.run(&mut prompt));
            // Whoever would hear it has given it up.
            over.send(()).unwrap_or(());
        })
        .map_err(|error| Failure::system("cannot start a thread", &error))?;

    let outcome = server.run(move |report: Report| {
        let Some(report) = to_show(&tally, report) else { return };
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
        None => console.map_err(|_| Failure::new(Code::No, "the console failed")),
        Some(why) => Err(Failure::new(
            Code::No,
            format!("the ledger cannot be written any more: {why}"),
        )
        .cause(
            "the disk failed, or the folder was moved. Everything acknowledged was synced before",
        )
        .next(format!(
            "look at the disk and the folder, then: ddes ledger verify{0}, and ddes serve{0}",
            crate::home::flag()
        ))),
    }
}

/// Of strangers' doings the console hears through the tally alone, but for the first: they cannot
/// keep it from hearing of others.
fn to_show(tally: &Mutex<Tally>, report: Report) -> Option<Report> {
    match report {
        Report::Session(notice) => {
            console::lock(tally).note(Instant::now(), notice).map(Report::Session)
        }
        report @ (Report::Access(_) | Report::Ledger(_) | Report::Checkpoint(_)) => Some(report),
    }
}

/// Fewer connections where this user may not open files for all of them: out of files the ledger
/// could not go on. Also how many files the page takes.
fn share_files(args: &ServeArgs) -> Result<(Files, u64), Failure> {
    let wanted = args.max_connections as usize;
    let needed = Files::needed(wanted) + http::files(args, u64::MAX);
    let most = limits::open_files(needed).err().unwrap_or(needed);
    let http_files = http::files(args, most);
    let files = Files::share(most - http_files, wanted).ok_or_else(|| {
        Failure::new(
            Code::No,
            format!("this user may have {most} open files, too few for a server"),
        )
        .next("ulimit -Hn 1024, and ddes serve")
    })?;
    if files.connections_max < wanted && !args.output.quiet {
        streams::say(&format!(
            "Warning: {wanted} connections need {needed} open files, and this user may have \
             {most} (ulimit -Hn): at most {} connections are taken.",
            files.connections_max
        ));
    }
    Ok((files, http_files))
}

/// What strangers may hold: half of all places and, on the original's wire, a quarter.
fn bounds(args: &ServeArgs, connections_max: usize) -> Bounds {
    let usual = Bounds::of(connections_max);
    let classic_max = if args.classic_wait_ms == 0 { connections_max } else { usual.classic_max };
    let unproven_max = args.max_unproven_total.map_or(usual.unproven_max, |most| most as usize);
    Bounds {
        unproven_max,
        unproven_network_max: args.max_unproven as usize,
        classic_max: args.max_classic.map_or(classic_max, |most| most as usize),
        classic_network_max: args.max_unproven as usize,
        handshakes_max: unproven_max,
        connects_per_sec_max: NonZeroU32::new(args.max_connects_per_sec),
        handshakes_per_sec_max: NonZeroU32::new(args.max_handshakes_per_sec),
        ..usual
    }
}

fn options(
    args: &ServeArgs,
    files: Files,
    key: SigningKey,
    suites: Vec<Suite>,
    access: Access,
) -> ServerOptions {
    let idle = Duration::from_secs(args.idle_secs.into());
    let classic = args.classic.then(|| Classic {
        config: Arc::new(classic::ServerConfig {
            group: Group::named(named(args.group)),
            idle,
            handshake: HANDSHAKE_MAX,
            end_all: args.classic_end_all,
        }),
        silence: Duration::from_millis(args.classic_wait_ms.into()),
    });
    let v2 = v2::ServerConfig {
        suites,
        key,
        idle,
        handshake: HANDSHAKE_MAX,
        values_max: args.frame_values,
    };
    ServerOptions {
        listen: args.listen,
        endpoint: Config {
            bounds: bounds(args, files.connections_max),
            queued_values_max: QUEUED_VALUES_MAX,
            // Values are for a person at the terminal, and stay out of logs.
            notices: if screen::is_interactive() && !args.output.json && !args.output.quiet {
                Notices::Values
            } else {
                Notices::Sessions
            },
            // The ledger knows.
            classic_first: 0,
            profiles: Profiles { v2: Arc::new(v2), classic },
        },
        access,
        drain: Duration::from_secs(args.drain_secs.into()),
        refusals_max: files.refusals_max,
        watch: false,
    }
}

fn named(group: GroupName) -> NamedGroup {
    match group {
        GroupName::Ffdhe2048 => NamedGroup::Ffdhe2048,
        GroupName::Ffdhe3072 => NamedGroup::Ffdhe3072,
        GroupName::Ffdhe4096 => NamedGroup::Ffdhe4096,
    }
}

fn open_screen(args: &ServeArgs) -> Result<(Prompt, Screen), Failure> {
    if args.output.json || !io::stdout().is_terminal() {
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
        failure.next("--listen ADDR:PORT with an address of this machine and a port above 1023")
    }
}
