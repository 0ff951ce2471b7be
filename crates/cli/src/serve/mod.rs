//! `ddes serve`.

mod console;
mod lines;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ddes_ffdhe::Group;
use ddes_server::endpoint::{Config, Notice};
use ddes_server::{Options, Server};
use ddes_session::classic::ServerConfig;
use tokio::sync::{mpsc, oneshot};

use crate::args::ServeArgs;
use crate::failure::{Code, Failure};
use crate::prompt::Prompt;
use crate::screen::{self, Screen};
use console::Console;

/// From accept to a client's key (PROTOCOL.md, C-19).
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Notices that wait to be shown. More are dropped and counted: a console that is held (Ctrl-S)
/// must not hold the server.
const NOTICES_MAX: usize = 4096;

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    if !args.classic {
        return Err(Failure::classic_only("serve"));
    }
    screen::warn_of_classic();
    let server = Server::bind(options(args)).map_err(|error| cannot_listen(args, &error))?;
    let address = server.local_addr().map_err(|error| cannot_listen(args, &error))?;
    let (mut prompt, mut screen) = open_screen(args)?;
    screen.show(&lines::starting());
    screen.show(&lines::listening(address));
    if address.ip().is_loopback() && !args.output.quiet {
        eprintln!("Only this machine can connect. To accept others: --listen 0.0.0.0:{}", address.port());
    }

    let (notices, received) = mpsc::channel(NOTICES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let (stopped, when_stopped) = oneshot::channel();
    let console = Console {
        handle: server.handle(),
        notices: received,
        dropped: Arc::clone(&dropped),
        stopped: when_stopped,
        values_shown: screen.is_live(),
        quiet: args.output.quiet,
    };
    let console = thread::Builder::new()
        .name("console".into())
        .spawn(move || {
            crate::runtime().map(|runtime| runtime.block_on(console.run(&mut prompt, &mut screen)))
        })
        .map_err(|error| Failure::system("cannot start a thread", &error))?;

    let outcome = server.run(move |notice: Notice| {
        if notices.try_send(notice).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    });
    let outcome = outcome.map_err(|error| Failure::system("the server cannot run", &error));
    // The console is gone only if it could not start, and says so below.
    stopped.send(outcome.as_ref().ok().copied()).unwrap_or_else(drop);
    console.join().map_err(|_| Failure::new(Code::No, "the console failed"))???;
    outcome.map(drop)
}

fn options(args: &ServeArgs) -> Options {
    Options {
        listen: args.listen,
        endpoint: Config {
            connections_max: args.max_connections as usize,
            classic: ServerConfig {
                group: Group::named(args.group.into()),
                idle: Duration::from_secs(args.idle_secs.into()),
                handshake: HANDSHAKE_MAX,
                end_all: args.classic_end_all,
            },
        },
        drain: Duration::from_secs(args.drain_secs.into()),
    }
}

fn open_screen(args: &ServeArgs) -> Result<(Prompt, Screen), Failure> {
    if args.output.json || !screen::is_interactive() {
        Ok((Prompt::on_pipe()?, Screen::json()))
    } else {
        Prompt::on_terminal()
    }
}

fn cannot_listen(args: &ServeArgs, error: &io::Error) -> Failure {
    let failure = Failure::new(Code::Connect, format!("cannot listen on {}: {error}", args.listen));
    if error.kind() == io::ErrorKind::AddrInUse {
        failure
            .cause("another server runs on that port")
            .next(format!("ddes serve --classic --listen {}:0     (takes a free port)", args.listen.ip()))
    } else {
        failure.next("--listen ADDR:PORT with an address of this machine and a port above 1023")
    }
}
