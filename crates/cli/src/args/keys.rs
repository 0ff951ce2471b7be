//! The command lines of `ddes key`, `ddes trust` and `ddes authorize`.

use std::path::PathBuf;

#[cfg(unix)]
use clap::ValueEnum;
use clap::{Args, Subcommand};
use ddes_identity::ServerAddress;

use super::{HomeArgs, OutputArgs, address};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create an identity
    #[command(after_help = "Example:\n  ddes key new kitchen")]
    New {
        /// Its name
        #[arg(value_name = "NAME", default_value = "default")]
        name: String,
        #[command(flatten)]
        home: HomeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show an identity: its public key, fingerprint and UUID
    #[command(after_help = "\
Examples:
  ddes key show
  ddes key show --key ~/.ssh/id_ed25519
  ddes key show --server-key           what clients of this home's server are asked to compare")]
    Show {
        #[command(flatten)]
        identity: IdentityArgs,
        /// The key of this home's server instead
        #[arg(long, conflicts_with_all = ["identity", "key"])]
        server_key: bool,
        #[command(flatten)]
        home: HomeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl KeyCommand {
    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::New { output, .. } | Self::Show { output, .. } => output.json,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// List the known servers
    Ls {
        #[command(flatten)]
        home: HomeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Add a server's key; an address may have several, so that a key can be changed in advance
    #[command(after_help = "Example:\n  ddes trust add counter.example:5566 'ssh-ed25519 AAAA...'")]
    Add {
        /// The server's HOST:PORT
        #[arg(value_name = "HOST:PORT", value_parser = address::server)]
        server: ServerAddress,
        /// Its public key: a line, or a file
        key: String,
        #[command(flatten)]
        home: HomeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Forget the keys of a server
    Rm {
        /// The server's HOST:PORT
        #[arg(value_name = "HOST:PORT", value_parser = address::server)]
        server: ServerAddress,
        #[command(flatten)]
        home: HomeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl TrustCommand {
    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Ls { output, .. } | Self::Add { output, .. } | Self::Rm { output, .. } => {
                output.json
            }
        }
    }
}

#[cfg(unix)]
#[derive(Args, Debug)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct AuthorizeArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AuthorizeCommand>,
    /// A public key: a line `ssh-ed25519 AAAA...`, or a file
    #[arg(required = true)]
    pub(crate) key: Option<String>,
    /// The name shown for it [default: the key's comment]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it may do
    #[arg(long, value_enum, default_value = "client")]
    pub(crate) role: RoleName,
    /// End of the authorization, UTC: YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// The list of a database that servers share, by a user who may write it [default: the list of
    /// this home]
    #[arg(long, global = true, value_name = "URL", value_parser = super::ledger::place())]
    pub(crate) ledger: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[cfg(unix)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Counts
    Client,
    /// May end every session too
    Operator,
}

#[cfg(unix)]
#[derive(Debug, Subcommand)]
pub(crate) enum AuthorizeCommand {
    /// List who may connect
    Ls,
    /// Remove a key
    Rm {
        /// The key to remove: its line, file, fingerprint or name
        #[arg(value_name = "KEY")]
        which: String,
    },
}

#[cfg(unix)]
impl AuthorizeArgs {
    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        self.output.json
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct IdentityArgs {
    /// Name of the identity in the home, created at first use [default: default]
    #[arg(long = "as", value_name = "NAME", env = "DDES_AS")]
    pub(crate) identity: Option<String>,
    /// An OpenSSH Ed25519 key instead: the private file, or the .pub of a key in an ssh-agent
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    pub(crate) key: Option<PathBuf>,
    /// Read the key's passphrase from this file descriptor
    #[arg(long, value_name = "N")]
    pub(crate) passphrase_fd: Option<u32>,
}
