//! `ddes`: exact running totals over a Double-DES session.

mod args;
mod classic;
mod failure;
mod prompt;
mod screen;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (json, outcome) = match cli.command {
        Command::Serve(args) => (args.output.json, serve::run(&args)),
        Command::Connect(args) => (args.client.output.json, classic::connect::run(&args)),
        Command::Send(args) => (args.client.output.json, classic::send::run(&args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
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
