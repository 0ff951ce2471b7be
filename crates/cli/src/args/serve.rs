//! The settings of `ddes serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{
    CAPTURE_BYTES_MAX, GroupName, HomeArgs, HttpArgs, MAX_CONNECTIONS, OutputArgs, SuiteName,
    address, ledger,
};
use crate::level::EventLevel;

/// The settings of a server. Each flag is a key of the configuration file too (config/keys.rs), but
/// for hidden ones and those of one run (FLAGS_ONLY there). So each has a variable, and none
/// requires another here: clap would not count a value of the file.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// Address and port; :PORT for all addresses; PORT for this machine alone; port 0 picks a free
    /// one
    #[arg(long, value_name = "ADDR:PORT", value_parser = address::listen,
          default_value = "127.0.0.1:5566", env = "DDES_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// End a session after this long without a counted integer
    #[arg(long, value_name = "SECS", default_value = "60", env = "DDES_IDLE_SECS",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) idle_secs: u32,
    /// Suites to accept; may be repeated [default: hybrid, hybrid-3072, hybrid-4096]
    #[arg(long, value_name = "SUITE", value_enum, value_delimiter = ',', env = "DDES_SUITE")]
    pub(crate) suite: Vec<SuiteName>,
    /// Folder of the ledger; postgres://USER@HOST/DATABASE for one that several servers share; or
    /// `memory` for totals that end with the server [default: `ledger` in the home]
    #[arg(long, value_name = "DIR|URL|memory", env = "DDES_LEDGER", value_parser = ledger::place())]
    pub(crate) ledger: Option<PathBuf>,
    /// Begin a new ledger where that of this home is missing, or take another one: totals are new
    #[arg(long)]
    pub(crate) new_ledger: bool,
    /// With a ledger in a database: acknowledge only what a synchronous standby has too
    #[arg(long, env = "DDES_REQUIRE_STANDBY", action = ArgAction::Set,
          value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    pub(crate) require_standby: bool,
    /// Delete history older than this many days; totals stay exact [default: keep all]
    #[arg(long, value_name = "DAYS", env = "DDES_HISTORY_DAYS",
          value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub(crate) history_days: Option<u32>,
    /// Bytes of journal between checkpoints; for tests
    #[arg(long, value_name = "BYTES", hide = true)]
    pub(crate) checkpoint_bytes: Option<u64>,
    /// Bytes of a segment of the ledger; a frame has at most a sixteenth of them; for tests
    #[arg(long, value_name = "BYTES", hide = true,
          value_parser = clap::value_parser!(u64).range(65_536..=67_108_864))]
    pub(crate) segment_bytes: Option<u64>,
    /// Most integers in one frame
    #[arg(long, value_name = "N", default_value = "1024", env = "DDES_FRAME_VALUES",
          value_parser = clap::value_parser!(u16).range(1..=8186))]
    pub(crate) frame_values: u16,
    /// Accept any key, as the original does: NOT SECURE
    #[arg(long, env = "DDES_ALLOW_ANY", action = ArgAction::Set,
          value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    pub(crate) allow_any: bool,
    /// Also serve the original's wire, to clients that wait for the server to speak: NOT SECURE
    #[arg(long, env = "DDES_CLASSIC", action = ArgAction::Set,
          value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    pub(crate) classic: bool,
    /// With --classic: how long a client must be silent; 0 serves the original's wire alone
    #[arg(long, value_name = "MS", default_value = "250", env = "DDES_CLASSIC_WAIT_MS",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) classic_wait_ms: u32,
    /// With --classic: one client's 50 ends every session, as in the original
    #[arg(long, env = "DDES_CLASSIC_END_ALL", action = ArgAction::Set,
          value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    pub(crate) classic_end_all: bool,
    /// Diffie-Hellman group offered to classic clients (RFC 7919)
    #[arg(long, value_enum, default_value = "ffdhe2048", env = "DDES_GROUP")]
    pub(crate) group: GroupName,
    /// Most connections at a time
    #[arg(long, value_name = "N", default_value_t = MAX_CONNECTIONS, env = "DDES_MAX_CONNECTIONS",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections: u32,
    /// Most connections of one address without a proven identity (IPv6: of one /64, twice as many
    /// of a /56, four times of a /48)
    #[arg(long, value_name = "N", default_value = "256", env = "DDES_MAX_UNPROVEN",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_unproven: u32,
    /// Most connections in all without a proven identity; over it the oldest silent one is closed
    /// [default: half of --max-connections]
    #[arg(long, value_name = "N", env = "DDES_MAX_UNPROVEN_TOTAL",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_unproven_total: Option<u32>,
    /// With --classic: most sessions of the original's wire; of one address at most --max-unproven
    /// [default: a quarter of --max-connections; all with --classic-wait-ms 0]
    #[arg(long, value_name = "N", env = "DDES_MAX_CLASSIC",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_classic: Option<u32>,
    /// Most new connections a second of one address (IPv6: /64); bursts of twice as many; 0: no
    /// limit
    #[arg(long, value_name = "N", default_value = "2000", env = "DDES_MAX_CONNECTS_PER_SEC",
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) max_connects_per_sec: u32,
    /// Most new handshakes a second of one address (IPv6: /64); bursts of twice as many; 3072 bits
    /// count 2, 4096 bits 4; 0: no limit
    #[arg(long, value_name = "N", default_value = "1000", env = "DDES_MAX_HANDSHAKES_PER_SEC",
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) max_handshakes_per_sec: u32,
    /// Allow core dumps and debuggers: the server's memory holds its key and those of sessions
    #[arg(long, env = "DDES_CORE_DUMPS", action = ArgAction::Set,
          value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    pub(crate) core_dumps: bool,
    /// Longest wait for sessions to end when the server stops
    #[arg(long, value_name = "SECS", default_value = "20", env = "DDES_DRAIN_SECS",
          value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub(crate) drain_secs: u32,
    /// Least important lines to show; values that clients send are shown on a terminal, and in logs
    /// at debug only
    #[arg(long, value_enum, default_value = "info", env = "DDES_LOG_LEVEL")]
    pub(crate) log_level: EventLevel,
    /// Show also the lines of debug, in a log too, whatever --log-level says
    #[arg(short, long, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// The configuration file [default: /etc/ddes/ddes.toml if it exists]
    #[arg(long, value_name = "FILE", env = "DDES_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Write what passes in all sessions to this pcapng file, for `ddes inspect` and Wireshark
    /// [default: none]
    #[arg(long, value_name = "FILE", env = "DDES_CAPTURE")]
    pub(crate) capture: Option<PathBuf>,
    /// With --capture: write the secrets of the sessions too; whoever has the file reads them
    #[arg(long, env = "DDES_CAPTURE_SECRETS", action = ArgAction::Set,
          value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    pub(crate) capture_secrets: bool,
    /// Most bytes of the capture; sessions go on beyond it
    #[arg(long, value_name = "BYTES", default_value = CAPTURE_BYTES_MAX,
          env = "DDES_CAPTURE_MAX_BYTES", value_parser = clap::value_parser!(u64).range(4096..))]
    pub(crate) capture_max_bytes: u64,
    /// Stop when standard input ends; for `ddes demo`, which may be killed
    #[arg(long, hide = true)]
    pub(crate) end_with_input: bool,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
