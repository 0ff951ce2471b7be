//! The command lines of `ddes top`, `ddes tail` and `ddes demo`.

use std::path::PathBuf;

use clap::Args;
use ddes_identity::ServerAddress;

use super::{HomeArgs, OutputArgs, address};

#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// Print one snapshot and end; also where standard output is not a terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// Longest wait for the server's first answer
    #[arg(long, value_name = "SECS", default_value = "10",
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Where the page and the API of a server are.
#[derive(Args, Clone, Debug)]
pub(crate) struct ApiArgs {
    /// The server's page: http://HOST:PORT, HOST:PORT or PORT
    #[arg(long, value_name = "URL", default_value = "127.0.0.1:5580", env = "DDES_HTTP",
          value_parser = address::http)]
    pub(crate) http: ServerAddress,
    /// File with the server's token, which actions need [default: http-token in the home, for a
    /// server on this machine]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// Show only events of this name, as docs/events.md has it; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) event: Vec<String>,
    /// End after this time [default: at Ctrl-C]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    pub(crate) duration: Option<u32>,
    /// Longest wait for a server that cannot be reached [default: 0 at first, and 60 after it was
    /// lost]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(0..=31_536_000))]
    pub(crate) timeout: Option<u32>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Print the link of the page instead of opening it
    #[arg(long)]
    pub(crate) no_open: bool,
    /// End after this time [default: at Ctrl-C]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) duration: Option<u32>,
    /// Longest wait for the server to start, and for the clients to get in
    #[arg(long, value_name = "SECS", default_value = "30",
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// A client of the demo, which the demo starts.
#[derive(Args, Debug)]
pub(crate) struct DemoClientArgs {
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long, value_parser = address::server)]
    pub(crate) server: ServerAddress,
    #[arg(long)]
    pub(crate) trust: String,
    #[arg(long)]
    pub(crate) outbox: PathBuf,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}
