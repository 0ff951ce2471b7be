//! `ddes`: exact running totals over a Double-DES session.

mod api;
mod args;
mod authorize;
mod bench;
mod calc;
mod capture;
mod check;
mod closed;
mod config;
mod connect;
mod counter;
mod demo;
mod doctor;
mod explain;
mod failure;
mod folder;
mod generate;
mod home;
mod input;
mod inspect;
mod interrupt;
mod keys;
mod lab;
mod ledger;
mod level;
mod limits;
mod lines_in;
mod link;
mod meet;
mod prompt;
mod question;
mod refusal;
mod reload;
mod replace;
mod resume;
mod running;
mod screen;
mod send;
mod serve;
mod source;
mod streams;
mod suspend;
mod tail;
mod teletype;
mod terminal;
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
    if let Err(error) = limits::hear_of_file_sizes() {
        streams::say(&format!(
            "A file beyond the limit of this shell will end the process: {error}"
        ));
    }
    let is_server = matches!(cli.command, Command::Serve(_));
    let (json, outcome) = match cli.command {
        Command::Serve(args) => (args.output.json, serve::run(&args)),
        Command::Config(command) => (command.is_json(), config::show::run(&command)),
        Command::Reload(args) => (args.output.json, reload::run(&args)),
        Command::Link(args) => (args.output.json, link::run(&args)),
        Command::Connect(args) => (args.client.output.json, connect::run(&args)),
        Command::Send(args) => (args.client.output.json, send::run(&args)),
        Command::Total(args) => (args.client.output.json, total::run(&args)),
        Command::Ledger(command) => (command.is_json(), ledger::run(&command)),
        Command::Key(command) => (command.is_json(), keys::key(&command)),
        Command::Trust(command) => (command.is_json(), keys::trust(&command)),
        Command::Authorize(args) => (args.is_json(), authorize::run(&args)),
        Command::Top(args) => (args.output.json, top::run(&args)),
        Command::Tail(args) => (args.output.json, tail::run(&args)),
        Command::Demo(args) => (args.output.json, demo::run(&args)),
        Command::DemoClient(args) => (true, demo::run_client(&args)),
        Command::Lab(args) => (args.output.json, lab::run(&args)),
        Command::Bench(command) => (command.is_json(), bench::run(&command)),
        Command::Calc(command) => (command.is_json(), calc::run(&command)),
        Command::Capture(args) => (args.output.json, capture::run(&args)),
        Command::Inspect(args) => (args.output.json, inspect::run(&args)),
        Command::Explain(args) => (args.output.json, explain::run(&args)),
        Command::Check(args) => return check::run(&args),
        Command::Doctor(args) => (args.output.json, doctor::run(&args)),
        Command::Version(args) => (args.output.json, version::run(&args)),
        Command::Generate(command) => (false, generate::run(&command)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
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
