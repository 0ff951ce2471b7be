//! The command line. Names here are a contract: scripts rely on them.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ddes_ffdhe::NamedGroup;

const EXAMPLES: &str = "\
Examples:
  ddes serve --classic                     serve the original's wire on 127.0.0.1:5566
  ddes connect --classic                   the interactive client: 30 sends, 50 disconnects
  ddes send --classic 42 50                print 42, then 92
  seq 1 100 | ddes send --classic -        one integer a line; prints the total

Exit codes: 0 ok, 1 no, 2 usage, 3 cannot connect, 4 identity or server key, 5 integrity,
6 timeout, 130 interrupted.";

/// Exact running totals from any number of clients, over a Double-DES session.
#[derive(Debug, Parser)]
#[command(name = "ddes", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve clients until `exit`, Ctrl-C or SIGTERM
    #[command(after_help = "\
Examples:
  ddes serve --classic
  ddes serve --classic --listen 0.0.0.0:5566 --idle-secs 300
  ddes serve --classic --listen 127.0.0.1:0 --json      first line: the address taken

On a terminal the console takes: exit, sessions, end ID, end all, totals, help.")]
    Serve(ServeArgs),
    /// Talk to a server at a prompt: 30 sends an integer, 50 disconnects
    #[command(after_help = "\
Examples:
  ddes connect --classic
  ddes connect --classic --server counter.example:5566 --timeout 30")]
    Connect(ConnectArgs),
    /// Send integers and print the running total
    #[command(after_help = "\
Examples:
  ddes send --classic 42 50              prints the total after each: 42, then 92
  ddes send --classic - < counts.txt     one integer a line; prints the last total
  ddes send --classic --json 42 50       one JSON object for each integer

The session ends with opcode 50. The original server, and `ddes serve --classic-end-all`, then
end every other client's session too.")]
    Send(SendArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5566", env = "DDES_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Silence after which a session ends; each counted integer starts it anew
    #[arg(long, value_name = "SECS", default_value = "60", env = "DDES_IDLE_SECS",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) idle_secs: u32,
    /// Serve the original's wire: NOT SECURE, for study and for the original's clients
    #[arg(long)]
    pub(crate) classic: bool,
    /// With --classic: one client's 50 ends every session, as in the original
    #[arg(long, requires = "classic")]
    pub(crate) classic_end_all: bool,
    /// Diffie-Hellman group offered to classic clients (RFC 7919)
    #[arg(long, value_enum, default_value = "ffdhe2048")]
    pub(crate) group: GroupName,
    /// Most connections at a time
    #[arg(long, value_name = "N", default_value = "4096",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections: u32,
    /// Longest wait for sessions to end when the server stops
    #[arg(long, value_name = "SECS", default_value = "20",
          value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub(crate) drain_secs: u32,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GroupName {
    Ffdhe2048,
    Ffdhe3072,
    Ffdhe4096,
}

impl From<GroupName> for NamedGroup {
    fn from(name: GroupName) -> Self {
        match name {
            GroupName::Ffdhe2048 => Self::Ffdhe2048,
            GroupName::Ffdhe3072 => Self::Ffdhe3072,
            GroupName::Ffdhe4096 => Self::Ffdhe4096,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// Integers from 0 to 18446744073709551615, or `-` for one a line from standard input
    #[arg(value_name = "N", required = true, allow_negative_numbers = true)]
    pub(crate) values: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ClientArgs {
    /// The server
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5566", env = "DDES_SERVER")]
    pub(crate) server: String,
    /// Speak the original's wire: NOT SECURE, for study and for the original's server
    #[arg(long)]
    pub(crate) classic: bool,
    /// Longest wait for the connection, for each step of the handshake and for each answer
    /// [default: 10, but 120 for the handshake: the original needs up to a minute for its key]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) timeout: Option<u32>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ClientArgs {
    /// The longest wait where the flag says nothing else.
    pub(crate) fn timeout_or(&self, default: Duration) -> Duration {
        self.timeout.map_or(default, |secs| Duration::from_secs(secs.into()))
    }
}

#[derive(Args, Debug)]
pub(crate) struct OutputArgs {
    /// One JSON object a line on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Say only what was asked for, and errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
