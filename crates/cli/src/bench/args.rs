//! The command line of `ddes bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ddes_identity::ServerAddress;
use ddes_load::Arrivals;

use crate::args::{ClientArgs, HomeArgs, IdentityArgs, OutputArgs, SessionRecordArgs, SuiteName};

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Load a server and report rate, latencies and whether its sums are right
    #[command(after_help = "\
Examples:
  ddes serve --allow-any --ledger memory            a server that lets them in, and forgets them
  ddes bench run                                    50 sessions, one frame each on its way, 10 s
  ddes bench run --batch 64 --pipeline 8            as much as it takes
  ddes bench run --rate 20000 --arrivals poisson    open loop: latencies from the intended start
  ddes bench run --yes --values 1000000 --save a.json --html a.html
  ddes bench run --soak --duration 86400 --rate 5000

It asks before it begins, and wants --yes where nobody can be asked: a server does not say whether
its ledger is in memory, and nothing is ever taken out of one on a disk.

A closed loop sends when it was answered, so a server that stalls is sent less; it says how much a
server can do. An open loop (--rate) sends by the clock and says how long users wait.
Exit codes beside the usual: 5 a sum is not what was sent, 130 stopped by Ctrl-C (and reported).")]
    Run(Box<BenchRunArgs>),
    /// Compare two saved runs
    #[command(after_help = "\
Examples:
  ddes bench compare before.json after.json
  ddes bench compare before.json after.json --fail-below 0.95
  ddes bench compare before.json after.json --fail-below 0.9 --on p99

A ratio above 1 is better: a higher rate, a shorter time. A difference is beyond the spread if the
means of both runs' intervals differ by more than two standard deviations of single intervals.")]
    Compare(CompareArgs),
    /// Print the public keys of the load's identities, as lines of authorized_keys
    #[command(after_help = "\
Example, on a server without --allow-any:
  ddes bench keys --sessions 50 >> ~/.config/ddes/authorized_keys

Whoever knows the seed can act as these identities: take the lines out again after the run.")]
    Keys(KeysArgs),
}

impl BenchCommand {
    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Run(args) => args.output.json,
            Self::Compare(args) => args.output.json,
            Self::Keys(args) => args.output.json,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct BenchRunArgs {
    /// The server
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5566", env = "DDES_SERVER",
          value_parser = crate::args::address::server)]
    pub(crate) server: ServerAddress,
    /// Number of sessions; each has its own identity
    #[arg(long, value_name = "N", default_value = "50",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(ddes_load::SESSIONS_MAX)))]
    pub(crate) sessions: u32,
    /// Number of threads that send
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(ddes_load::THREADS_MAX)))]
    pub(crate) threads: u32,
    /// Seconds to measure [default: 10]
    #[arg(long, value_name = "SECS", conflicts_with = "values",
          value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    pub(crate) duration: Option<u32>,
    /// Number of values to measure, instead of a time
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000_000))]
    pub(crate) values: Option<u64>,
    /// Seconds of load before measuring
    #[arg(long, value_name = "SECS", default_value = "1",
          value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub(crate) warmup: u32,
    /// Spread connects over this time (at most 64 handshakes run at once)
    #[arg(long, value_name = "SECS", default_value = "0",
          value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub(crate) ramp: u32,
    /// Values in a frame
    #[arg(long, value_name = "B", default_value = "1",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(ddes_wire::v2::VALUES_MAX)))]
    pub(crate) batch: u16,
    /// Unanswered frames of a session [default: 1; with --rate at most 64]
    #[arg(long, value_name = "D",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(ddes_load::PIPELINE_MAX)))]
    pub(crate) pipeline: Option<u32>,
    /// Open loop: values a second of all sessions; a frame of --batch values is one arrival
    #[arg(long, value_name = "VALUES_PER_SEC")]
    pub(crate) rate: Option<f64>,
    /// Open loop: how arrivals are spaced
    #[arg(long, value_enum, default_value = "constant", requires = "rate")]
    pub(crate) arrivals: ArrivalsName,
    /// constant:N, uniform:A..B, zipf:N or zipf:N:S, or file:PATH with one integer a line
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "uniform:0..1000000",
        allow_hyphen_values = true
    )]
    pub(crate) values_from: String,
    /// Print a line every interval, and reconnect a lost session for an hour instead of 30 s
    #[arg(long)]
    pub(crate) soak: bool,
    /// Seconds between figures [default: 1; with --soak 10]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) interval: Option<u32>,
    /// Seed of the identities and values
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: u64,
    /// Save the run as JSON, for `ddes bench compare`
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Write a self-contained HTML page with charts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Process id of a server on this machine, to report its processor time too
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// The suite to use
    #[arg(long, value_enum, default_value = "hybrid")]
    pub(crate) suite: SuiteName,
    /// The server's key: its fingerprint, a public key line, or a file; replaces the question at
    /// first contact
    #[arg(long, value_name = "SHA256:...|KEY", value_parser = crate::args::trust::trust)]
    pub(crate) trust: Option<String>,
    /// Never ask anything
    #[arg(long)]
    pub(crate) no_input: bool,
    /// Do not ask before values are written to the server's ledger, where they stay
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Longest wait for a handshake, for each answer and for the last words
    #[arg(long, value_name = "SECS", default_value = "10",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArrivalsName {
    /// At equal intervals
    Constant,
    /// Each independent of the others
    Poisson,
}

impl From<ArrivalsName> for Arrivals {
    fn from(name: ArrivalsName) -> Self {
        match name {
            ArrivalsName::Constant => Self::Constant,
            ArrivalsName::Poisson => Self::Poisson,
        }
    }
}

impl BenchRunArgs {
    /// As any client meets the server.
    pub(crate) fn client(&self) -> ClientArgs {
        ClientArgs {
            server: self.server.clone(),
            identity: IdentityArgs { identity: None, key: None, passphrase_fd: None },
            suite: self.suite,
            trust: self.trust.clone(),
            no_input: self.no_input,
            classic: false,
            timeout: Some(self.timeout),
            record: SessionRecordArgs::default(),
            home: self.home.clone(),
            output: self.output.clone(),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// The run to compare with
    #[arg(value_name = "A.json")]
    pub(crate) first: PathBuf,
    /// The run that is compared
    #[arg(value_name = "B.json")]
    pub(crate) second: PathBuf,
    /// Exit with 1 if the second run is worse than this many times the first
    #[arg(long, value_name = "RATIO")]
    pub(crate) fail_below: Option<f64>,
    /// With --fail-below: the figure that decides
    #[arg(long, value_enum, default_value = "rate", requires = "fail_below")]
    pub(crate) on: FigureName,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FigureName {
    /// Values a second
    Rate,
    /// The median latency
    P50,
    /// The latency that 99 of 100 frames stay below
    P99,
    /// The latency that 999 of 1000 frames stay below
    #[value(name = "p99.9")]
    P999,
}

#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    /// Number of sessions to print keys for
    #[arg(long, value_name = "N", default_value = "50",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(ddes_load::SESSIONS_MAX)))]
    pub(crate) sessions: u32,
    /// The run's --seed
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
