//! The command line of `ddes explain`.

use std::path::PathBuf;

use clap::Args;

use crate::args::OutputArgs;

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A pcapng or pcap file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The page to write; `-` is standard output
    #[arg(short = 'o', long = "out", value_name = "PAGE")]
    pub(crate) page: PathBuf,
    /// Explain this conversation of the file, by its number in `ddes inspect` [default: the first
    /// with integers in it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) stream: Option<u32>,
    /// Secrets of the session, one JSON object a line; those in the capture are used without this
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// A capture of the same act on the other wire, shown side by side
    #[arg(long, value_name = "FILE2")]
    pub(crate) compare: Option<PathBuf>,
    /// With --compare: this conversation of FILE2 [default: the first on the other wire]
    #[arg(long, value_name = "N", requires = "compare",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) compare_stream: Option<u32>,
    /// Leave the secrets out: the eavesdropper's page, to give away
    #[arg(long, conflicts_with = "secrets")]
    pub(crate) without_secrets: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
