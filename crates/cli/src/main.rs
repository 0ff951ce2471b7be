//! `ddes`: exact running totals over a Double-DES session. Windows has the commands of a client.

#![cfg_attr(
    windows,
    allow(
        dead_code,
        unused_imports,
        reason = "what the commands that are not there share with those that are"
    )
)]

#[cfg(unix)]
mod api;
mod args;
#[cfg(unix)]
mod authorize;
#[cfg(unix)]
mod bench;
#[cfg(unix)]
mod calc;
mod capture;
#[cfg(unix)]
mod check;
#[cfg(unix)]
mod closed;
#[cfg(unix)]
mod config;
mod connect;
mod counter;
#[cfg(unix)]
mod demo;
#[cfg(unix)]
mod doctor;
mod explain;
mod failure;
#[cfg_attr(windows, path = "folder_windows.rs")]
mod folder;
mod generate;
mod home;
mod input;
mod inspect;
mod interrupt;
mod keys;
#[cfg(unix)]
mod lab;
#[cfg(unix)]
mod ledger;
mod level;
#[cfg(unix)]
mod limits;
mod lines_in;
#[cfg(unix)]
mod link;
mod meet;
mod prompt;
mod question;
mod refusal;
#[cfg(unix)]
mod reload;
#[cfg_attr(windows, path = "replace_windows.rs")]
mod replace;
mod resume;
#[cfg(unix)]
mod running;
mod screen;
mod send;
#[cfg(unix)]
mod serve;
mod source;
mod streams;
#[cfg(unix)]
mod suspend;
#[cfg(unix)]
mod tail;
mod teletype;
mod terminal;
#[cfg(unix)]
mod top;
mod total;
mod unheard;
mod usage;
mod version;
mod who;

use std::process::ExitCode;

use args::Command;
use failure::Failure;

fn main() -> ExitCode {
    let cli = match usage::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    #[cfg(unix)]
    if let Err(error) = limits::hear_of_file_sizes() {
        streams::say(&format!(
            "A file beyond the limit of this shell will end the process: {error}"
        ));
    }
    #[cfg(unix)]
    let is_server = matches!(cli.command, Command::Serve(_));
    let (json, outcome) = match cli.command {
        #[cfg(unix)]
        Command::Serve(args) => (args.output.json, serve::run(&args)),
        #[cfg(unix)]
        Command::Config(command) => (command.is_json(), config::show::run(&command)),
        #[cfg(unix)]
        Command::Reload(args) => (args.output.json, reload::run(&args)),
        #[cfg(unix)]
        Command::Link(args) => (args.output.json, link::run(&args)),
        Command::Connect(args) => (args.client.output.json, connect::run(&args)),
        Command::Send(args) => (args.client.output.json, send::run(&args)),
        Command::Total(args) => (args.client.output.json, total::run(&args)),
        #[cfg(unix)]
        Command::Ledger(command) => (command.is_json(), ledger::run(&command)),
        Command::Key(command) => (command.is_json(), keys::key(&command)),
        Command::Trust(command) => (command.is_json(), keys::trust(&command)),
        #[cfg(unix)]
        Command::Authorize(args) => (args.is_json(), authorize::run(&args)),
        #[cfg(unix)]
        Command::Top(args) => (args.output.json, top::run(&args)),
        #[cfg(unix)]
        Command::Tail(args) => (args.output.json, tail::run(&args)),
        #[cfg(unix)]
        Command::Demo(args) => (args.output.json, demo::run(&args)),
        #[cfg(unix)]
        Command::DemoClient(args) => (true, demo::run_client(&args)),
        #[cfg(unix)]
        Command::Lab(args) => (args.output.json, lab::run(&args)),
        #[cfg(unix)]
        Command::Bench(command) => (command.is_json(), bench::run(&command)),
        #[cfg(unix)]
        Command::Calc(command) => (command.is_json(), calc::run(&command)),
        Command::Capture(args) => (args.output.json, capture::run(&args)),
        Command::Inspect(args) => (args.output.json, inspect::run(&args)),
        Command::Explain(args) => (args.output.json, explain::run(&args)),
        #[cfg(unix)]
        Command::Check(args) => return check::run(&args),
        #[cfg(unix)]
        Command::Doctor(args) => (args.output.json, doctor::run(&args)),
        Command::Version(args) => (args.output.json, version::run(&args)),
        Command::Generate(command) => (false, generate::run(&command)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        #[cfg(unix)]
        Err(failure) if is_server => failure.report_within(serve::LAST_WORDS, json),
        Err(failure) => failure.report(json),
    }
}

/// What the interactive commands run on: sockets, signals and timers on one thread, and threads
/// for exponentiations.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("cannot start the event loop", &error))
}
