//! The command line of `ddes capture` and `ddes inspect`, and the flags that record one's own
//! sessions.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use ddes_identity::ServerAddress;

use super::{OutputArgs, address};

/// Bytes that a capture grows to, where nothing else is said: 1 GiB.
pub(crate) const CAPTURE_BYTES_MAX: &str = "1073741824";
/// The same as a number.
pub(crate) const BYTES_MAX: u64 = match u64::from_str_radix(CAPTURE_BYTES_MAX, 10) {
    Ok(bytes) => bytes,
    Err(_) => panic!("digits, which the compiler checks"),
};

/// The flags of a client that records its sessions.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SessionRecordArgs {
    /// Write what passes to this pcapng file, for `ddes inspect` and Wireshark
    #[arg(long, value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,
    /// With --capture: write the secrets of the sessions too; whoever has the file reads them
    #[arg(long, requires = "capture")]
    pub(crate) capture_secrets: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CaptureArgs {
    /// Address and port where clients connect; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT", value_parser = address::listen)]
    pub(crate) listen: SocketAddr,
    /// The server that everything is passed on to
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5566", env = "DDES_SERVER",
          value_parser = address::server)]
    pub(crate) server: ServerAddress,
    /// The pcapng file to write; `-` is standard output
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// End after so many connections [default: at Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) connections: Option<u64>,
    /// Longest wait for the server to take a connection
    #[arg(long, value_name = "SECS", default_value = "10",
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) timeout: u32,
    /// Most bytes of the file; what passes later is passed on and not written
    #[arg(long, value_name = "BYTES", default_value = CAPTURE_BYTES_MAX,
          value_parser = clap::value_parser!(u64).range(4096..))]
    pub(crate) max_bytes: u64,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// A pcapng or pcap file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Show this conversation alone, by its number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) stream: Option<u32>,
    /// Secrets of the sessions, one JSON object a line; those in the capture are used without this
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// Show all bytes of long fields
    #[arg(long)]
    pub(crate) full: bool,
    /// Show the keys that the secrets lead to
    #[arg(long)]
    pub(crate) keys: bool,
    /// Most bytes of memory for frames; further ones are counted
    #[arg(long, value_name = "BYTES", default_value = "268435456",
          value_parser = clap::value_parser!(u64).range(65_536..=68_719_476_736))]
    pub(crate) max_memory: u64,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
