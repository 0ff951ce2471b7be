//! `ddes check`: whether a server answers, in one line, for containers and monitoring.

mod ready;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ddes_client::v2::{ClientConnection, ConnectOptions, EnterError};
use ddes_identity::{Contact, PublicKey, ServerAddress};
use ddes_session::v2::ClientEnd;
use ddes_wire::saturating;
use ddes_wire::v2::{Reason, Suite};

use crate::args::CheckArgs;
use crate::failure::{Code, Failure};
use crate::home::{self, Home};
use crate::refusal;
use crate::screen::{Line, Screen};

/// The states of a Nagios plugin, with its exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum NagiosState {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl NagiosState {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A server that is not as it should be.
#[derive(Debug)]
struct Trouble {
    state: NagiosState,
    failure: Failure,
}

impl Trouble {
    fn critical(failure: Failure) -> Self {
        Self { state: NagiosState::Critical, failure }
    }
}

pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    let begin = Instant::now();
    let most = Duration::from_secs(args.timeout.into());
    let outcome = match &args.http {
        Some(url) => ready::ask(url, most),
        None => prove(args, most),
    };
    let took = begin.elapsed();
    if args.nagios {
        return report_to_nagios(&outcome, took, most);
    }
    let shown = match outcome {
        Ok(line) => {
            let millis = saturating::millis(took);
            let line = line.with("took_ms", millis);
            if args.output.quiet && !args.output.json {
                Ok(())
            } else {
                Screen::of(&args.output).show(&line)
            }
        }
        Err(trouble) => Err(trouble.failure),
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(args.output.json),
    }
}

/// The server's port: it must prove a key, and the right one where that is known.
fn prove(args: &CheckArgs, most: Duration) -> Result<Line, Trouble> {
    let home = Home::find(&args.home)
        .map_err(|failure| Trouble { state: NagiosState::Unknown, failure })?;
    let key = meet_within(&args.server, args.suite.into(), most)?;
    let (server, shown) = (&args.server, key.fingerprint());
    let (is_known, named) = match &args.trust {
        Some(expected) if *expected == shown => (true, "the expected key"),
        Some(expected) => {
            let what = format!("{server} proves the key {shown}, and --trust says {expected}");
            return Err(Trouble::critical(
                Failure::new(Code::Identity, what)
                    .cause("this is not the server that is meant")
                    .next("ddes key show --server-key, on the server's machine: compare both"),
            ));
        }
        None => {
            let servers = home.servers();
            let servers =
                servers.map_err(|failure| Trouble { state: NagiosState::Unknown, failure })?;
            match servers.contact(server, &key) {
                Contact::Known => (true, "the known key"),
                Contact::First => (false, "a key that this home does not know"),
                Contact::Changed { .. } => return Err(Trouble::critical(changed(server, &shown))),
            }
        }
    };
    Ok(Line::new("check", format!("{server} proves {named} {shown}"))
        .with("outcome", "ok")
        .with("server", server.to_string())
        .with("fingerprint", shown)
        .with("is_known", is_known))
}

fn changed(server: &ServerAddress, shown: &str) -> Failure {
    let what = format!("THE KEY OF {server} HAS CHANGED: it proves {shown}");
    Failure::new(Code::Identity, what)
        .cause("somebody is between you and the server, or the server has a new key")
        .next(format!("ddes trust ls{}     (the keys known for it)", home::flag()))
}

/// The key that a server proves, over a connection that opens no session.
pub(crate) fn meet(
    server: &ServerAddress,
    suite: Suite,
    most: Duration,
) -> Result<PublicKey, Failure> {
    meet_within(server, suite, most).map_err(|trouble| trouble.failure)
}

fn meet_within(server: &ServerAddress, suite: Suite, most: Duration) -> Result<PublicKey, Trouble> {
    // One time for all of it, below.
    let never = most * 2;
    let options = ConnectOptions {
        server: server.clone(),
        suite,
        connect: never,
        handshake: never,
        reply: never,
        wiretap: None,
    };
    let runtime =
        crate::runtime().map_err(|failure| Trouble { state: NagiosState::Unknown, failure })?;
    let met = runtime
        .block_on(async { tokio::time::timeout(most, ClientConnection::meet(&options)).await });
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
    match met {
        Ok(met) => met.map_err(|error| of_meeting(&error)),
        Err(_) => Err(Trouble::critical(
            Failure::new(
                Code::Timeout,
                format!("{server} did not prove its key within {} s", most.as_secs()),
            )
            .cause("it hangs or is overloaded, or a firewall drops the packets")
            .next("--timeout SECS to wait longer"),
        )),
    }
}

fn of_meeting(error: &EnterError) -> Trouble {
    match error {
        EnterError::Connect(error) => {
            Trouble::critical(refusal::of_connect(error, "ddes serve     (on the server)"))
        }
        EnterError::Ended(ClientEnd::Rejected(rejection)) => Trouble {
            // A server that is full still serves the sessions that it has.
            state: if rejection.reason == Reason::TooMany {
                NagiosState::Warning
            } else {
                NagiosState::Critical
            },
            failure: refusal::of_rejection(rejection),
        },
        EnterError::Ended(ClientEnd::Fault(fault)) => {
            let failure = refusal::of_fault(fault);
            // A client's way out, which this command has not.
            let is_for_clients = failure.remedy().is_some_and(|next| next.contains("--classic"));
            Trouble::critical(match is_for_clients {
                true => failure.next("--server HOST:PORT, as `ddes serve --listen` has it"),
                false => failure,
            })
        }
        // Neither comes before the server's key is accepted, which it never is here.
        EnterError::Ended(ClientEnd::Farewell(_))
        | EnterError::Untrusted { .. }
        | EnterError::Sign(_) => Trouble::critical(Failure::new(Code::Connect, error.to_string())),
    }
}

/// One line on standard output: the state, what it means, and the time for graphs.
fn report_to_nagios(outcome: &Result<Line, Trouble>, took: Duration, most: Duration) -> ExitCode {
    let (state, text) = match outcome {
        Ok(line) => (NagiosState::Ok, line.text()),
        Err(trouble) => (trouble.state, trouble.failure.what()),
    };
    say_to_nagios(state, text, &format!("time={:.3}s;;;0;{}", took.as_secs_f64(), most.as_secs()))
}

/// `figures` is performance data, which may be empty.
pub(crate) fn say_to_nagios(state: NagiosState, text: &str, figures: &str) -> ExitCode {
    // A bar would begin the performance data, and further lines are not shown everywhere.
    let text = text.replace('|', "/").lines().collect::<Vec<_>>().join("; ");
    let figures = if figures.is_empty() { String::new() } else { format!(" | {figures}") };
    let line = Line::new("check", format!("DDES {} - {text}{figures}", state.name()));
    match Screen::plain().show(&line) {
        Ok(()) => ExitCode::from(state as u8),
        Err(failure) => {
            failure.report(false);
            ExitCode::from(NagiosState::Unknown as u8)
        }
    }
}
