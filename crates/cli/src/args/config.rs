//! The command lines of `ddes config`, `ddes reload` and `ddes link`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{HomeArgs, OutputArgs, ServeArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what `ddes serve` would use now, as a configuration file
    #[command(after_help = "\
Examples:
  ddes config show
  ddes config show --origin                   where each value comes from
  ddes config show --idle-secs 300            as `ddes serve --idle-secs 300` would
  ddes config show > ddes.toml                a file to begin with: defaults are comments in it")]
    Show(Box<ShowArgs>),
    /// Check a configuration file: all of its errors, and exit code 1 if there are any
    #[command(after_help = "\
Examples:
  ddes config check
  ddes config check new.toml                  before it replaces the one in use")]
    Check(Box<ConfigCheckArgs>),
}

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// Say where each value comes from: a flag, a variable, a line of the file, or the default
    #[arg(long)]
    pub(crate) origin: bool,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigCheckArgs {
    /// The file [default: what --config or DDES_CONFIG names, or /etc/ddes/ddes.toml]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// Which running server of the home is asked.
#[derive(Args, Debug)]
pub(crate) struct RunningArgs {
    /// The process of the server, where the home has several
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Longest wait for its answer: its configuration may be on a slow disk
    #[arg(long, value_name = "SECS", default_value = "30",
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ConfigCommand {
    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Show(args) => args.serve.output.json,
            Self::Check(args) => args.serve.output.json,
        }
    }
}
