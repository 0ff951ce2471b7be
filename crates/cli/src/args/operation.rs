//! The commands of whoever operates a server: `check`, `doctor`, `version`, and `generate` for
//! packagers.

#[cfg(unix)]
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
#[cfg(unix)]
use ddes_identity::ServerAddress;

use super::OutputArgs;
#[cfg(unix)]
use super::{HomeArgs, HttpPlace, SuiteName, address};

#[cfg(unix)]
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The server, which is to prove its key
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5566", env = "DDES_SERVER",
          value_parser = address::server)]
    pub(crate) server: ServerAddress,
    /// Ask this HTTP port whether its server is ready, and nothing else: http://HOST:PORT,
    /// HOST:PORT or PORT. DDES_SERVER and DDES_HTTP do not matter then
    #[arg(long, value_name = "URL", conflicts_with_all = ["trust", "suite"])]
    pub(crate) http: Option<String>,
    /// The server's key: its fingerprint, a public key line, or a file [default: the key in
    /// known_servers, if there is one]
    #[arg(long, value_name = "SHA256:...|KEY", value_parser = super::trust::trust)]
    pub(crate) trust: Option<String>,
    /// The suite of the handshake
    #[arg(long, value_enum, default_value = "hybrid")]
    pub(crate) suite: SuiteName,
    /// Longest wait
    #[arg(long, value_name = "SECS", default_value = "10",
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) timeout: u32,
    /// One line and the exit codes of a Nagios plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    #[arg(long, conflicts_with_all = ["json", "quiet"])]
    pub(crate) nagios: bool,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[cfg(unix)]
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Where the server listens, or is to listen [default: as ddes serve has it]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address::listen)]
    pub(crate) listen: Option<SocketAddr>,
    /// The same for its HTTP port; or `off`
    #[arg(long, value_name = "ADDR:PORT|off", value_parser = super::http::place)]
    pub(crate) http: Option<HttpPlace>,
    /// The ledger of the server
    #[arg(long, value_name = "DIR|URL|memory", value_parser = super::ledger::place())]
    pub(crate) ledger: Option<PathBuf>,
    /// The configuration file [default: /etc/ddes/ddes.toml if it exists]
    #[arg(long, value_name = "FILE", env = "DDES_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Print which build this is: version, commit, compiler, and the engines of this processor
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ddes version
  ddes version --quiet           the number alone
  ddes version --json | jq -r .commit

The commit is the one of the sources, or `unknown` where they did not say it. Of Double DES and \
Diffie-Hellman it says the engines that are the fastest on this processor; all of them give the \
same results.")]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GenerateCommand {
    /// Write the manual pages, ddes.1 and one for each command
    Man {
        /// The folder to write them to
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print the dissector for Wireshark and tshark, in Lua
    Dissector,
    /// Print the completions for a shell
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
    Nushell,
}
