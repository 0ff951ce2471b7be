//! The commands of a client: `connect`, `send`, `total`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ddes_identity::ServerAddress;

use super::{HomeArgs, IdentityArgs, OutputArgs, SessionRecordArgs, SuiteName, address, trust};

#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// Integers, or `-` for one a line from standard input
    #[arg(value_name = "N", required_unless_present = "outbox", allow_negative_numbers = true)]
    pub(crate) values: Vec<String>,
    /// Store each integer in this folder until the server's ledger contains it
    #[arg(long, value_name = "DIR", conflicts_with = "classic")]
    pub(crate) outbox: Option<PathBuf>,
    /// With --outbox: continue an input that was cut off
    #[arg(long, requires = "outbox", conflicts_with = "fresh")]
    pub(crate) resume: bool,
    /// With --outbox: begin another input than the one that was cut off
    #[arg(long, requires = "outbox")]
    pub(crate) fresh: bool,
    /// With --outbox: continue from what the account has counted without this outbox
    #[arg(long, requires = "outbox")]
    pub(crate) adopt: bool,
    /// How long to try to reach the server [default: 0 at first and 60 after a session was lost;
    /// with --outbox 86400]
    #[arg(long, value_name = "SECS", conflicts_with = "classic",
          value_parser = clap::value_parser!(u32).range(0..=31_536_000))]
    pub(crate) retry_secs: Option<u32>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TotalArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ClientArgs {
    /// The server
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5566", env = "DDES_SERVER",
          value_parser = address::server)]
    pub(crate) server: ServerAddress,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// The suite to use
    #[arg(long, value_enum, default_value = "hybrid", conflicts_with = "classic")]
    pub(crate) suite: SuiteName,
    /// The server's key: its fingerprint, a public key line, or a file; replaces the question at
    /// first contact
    #[arg(long, value_name = "SHA256:...|KEY", conflicts_with = "classic",
          value_parser = trust::trust)]
    pub(crate) trust: Option<String>,
    /// Never ask anything
    #[arg(long)]
    pub(crate) no_input: bool,
    /// Use the original's wire: NOT SECURE, for study and for the original's server
    #[arg(long)]
    pub(crate) classic: bool,
    /// Longest wait for the connection, for the handshake and for each answer [default: 10, but 120
    /// for a classic handshake: the original needs up to a minute for its key]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) timeout: Option<u32>,
    #[command(flatten)]
    pub(crate) record: SessionRecordArgs,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ClientArgs {
    /// The longest wait where the flag says nothing else.
    pub(crate) fn timeout_or(&self, default: Duration) -> Duration {
        self.timeout.map_or(default, |secs| Duration::from_secs(secs.into()))
    }
}
