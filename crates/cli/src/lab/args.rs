//! The command line of `ddes lab`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ddes_lab::recover::MEMORY_MIN;
use ddes_lab::{BITS_MAX, RUNGS, Seed, hexadecimal};

use crate::args::OutputArgs;

/// Unknown bits of each key, where nothing else is said.
pub(crate) const BITS: u32 = 20;
/// Memory of the meet in the middle, where nothing else is said.
pub(crate) const MEMORY: u64 = 256 << 20;

/// More threads than any machine has processors for make a search no faster.
const THREADS_MAX: usize = 1024;

#[derive(Args, Debug)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LabCommand>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// List the thirteen rungs: twelve attacks and a projection
    #[command(after_help = "\
Examples:
  ddes lab ls
  ddes lab ls --json")]
    Ls,
    /// Run a rung, or all: the attack on the classic wire, then on D-DDES/2
    #[command(after_help = "\
Examples:
  ddes lab run 3
  ddes lab run all --no-pause
  ddes lab run 9 --bits 32                        a longer search; Ctrl-C stops it
  ddes lab run 9 --resume lab-9.state             continues it
  ddes lab run 10 --bits 28 --memory 64M          less memory, more time
  ddes lab run 4 --seed anna                      anna's integers, keys and token
  ddes lab run 1 --seed anna --quiz               without what `ddes lab grade` asks for
  ddes lab run 9 --capture session.pcapng         a recorded session instead of a live one
  ddes lab run 4 --capture s.pcapng --known 7,9   the attacker knows its first two integers
  ddes lab run 3 --only classic --evidence e.json what went over the wire, and the verdict

The lab starts servers of its own on free ports of 127.0.0.1 and attacks only those. Keys are
reduced in the open: the server tells all but the first --bits bits of each in every line. They are
counted from the left, without the parity bit of each byte.
An attack that fails on the classic wire, or succeeds on D-DDES/2, is exit code 1.")]
    Run(Box<LabRunArgs>),
    /// Copy a captured session without its secrets, and print a hint of its keys for others
    #[command(
        name = "hand-out",
        after_help = "\
Examples:
  ddes send --classic --capture full.pcapng --capture-secrets 7 9 7
  ddes lab hand-out full.pcapng session.pcapng --bits 24

The copy holds the frames of one session and no secrets. The line that is printed has all but the
first --bits bits of both keys, counted from the left, without the parity bit of each byte: whoever
has the copy and the line can find the keys with rungs 9, 10 and 11, and not before."
    )]
    HandOut(HandOutArgs),
    /// Check the answers to the exercises of docs/course; without a file, print a form for them
    #[command(after_help = "\
Examples:
  ddes lab grade --seed anna > answers.toml       a form with anna's questions
  ddes lab grade answers.toml --seed anna
  ddes lab grade answers.json --seed anna --json

Integers, keys and some questions follow from the seed, in which upper and lower case differ. The
check is for the one who answers: whoever has the program can compute what it takes for right.
Exit code 0 if every answer is right, else 1.")]
    Grade(GradeArgs),
}

/// Which rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RungChoice {
    One(u8),
    All,
}

/// Which wire alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnlySide {
    Classic,
    V2,
}

#[derive(Args, Debug)]
pub(crate) struct LabRunArgs {
    /// The number of a rung, or `all`
    #[arg(value_name = "N|all", value_parser = choice)]
    pub(crate) rung: RungChoice,
    /// Unknown bits of each key, the first ones from the left without parity bits: rungs 9, 10, 11
    /// [default: 20]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(BITS_MAX)))]
    pub(crate) bits: Option<u32>,
    /// Memory of the meet in the middle: bytes, or with K, M or G, from 64K on [default: 256M]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// Threads of a search, 1024 at most [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Read this capture (pcapng, pcap) instead of a live session: rungs 1, 2, 4, 9, 10, 11
    #[arg(long, value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,
    /// The conversation of the capture [default: the first in which integers were sent]
    #[arg(long, value_name = "N", requires = "capture",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) stream: Option<u32>,
    /// Secrets of the capture's session, one JSON object a line; those in it are used without this
    #[arg(long, value_name = "FILE", requires = "capture")]
    pub(crate) secrets: Option<PathBuf>,
    /// Key1 of the captured session in hexadecimal, right but for its first --bits bits
    #[arg(long, value_name = "HEX", requires_all = ["capture", "hint2"],
          value_parser = hexadecimal::key)]
    pub(crate) hint1: Option<[u8; 8]>,
    /// The same of Key2; `ddes lab hand-out` prints both
    #[arg(long, value_name = "HEX", requires_all = ["capture", "hint1"],
          value_parser = hexadecimal::key)]
    pub(crate) hint2: Option<[u8; 8]>,
    /// The first integers of the captured session, which the attacker knows: rungs 4 and 10
    #[arg(long, value_name = "N,N", requires = "capture", value_delimiter = ',')]
    pub(crate) known: Vec<u64>,
    /// Name from which integers, keys and tokens are drawn [default: a new one]
    #[arg(long, value_name = "NAME", value_parser = seed_name)]
    pub(crate) seed: Option<String>,
    /// Continue a search that Ctrl-C stopped; the file holds seed, bits and memory
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// Leave out of narration and facts what the exercises of docs/course ask for
    #[arg(long)]
    pub(crate) quiz: bool,
    /// Write frames, findings and verdicts as JSON; without it they are in the output of --json
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence: Option<PathBuf>,
    /// One wire only
    #[arg(long, value_name = "WIRE", value_enum)]
    pub(crate) only: Option<OnlySide>,
    /// Do not wait for Enter between the parts
    #[arg(long)]
    pub(crate) no_pause: bool,
}

#[derive(Args, Debug)]
pub(crate) struct HandOutArgs {
    /// A capture (pcapng, pcap) of a classic session, with its secrets
    #[arg(value_name = "IN")]
    pub(crate) capture: PathBuf,
    /// The copy without secrets
    #[arg(value_name = "OUT")]
    pub(crate) copy: PathBuf,
    /// Bits of each key that the hint leaves out: the first ones from the left, without parity bits
    #[arg(long, value_name = "N", default_value_t = BITS,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(BITS_MAX)))]
    pub(crate) bits: u32,
    /// The conversation of the capture [default: the first in which integers were sent]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) stream: Option<u32>,
    /// Secrets of the session, one JSON object a line; those in the capture are used without this
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct GradeArgs {
    /// The answers, in TOML or JSON (by the name's end)
    #[arg(value_name = "FILE")]
    pub(crate) answers: Option<PathBuf>,
    /// The name that the rungs were run with
    #[arg(long, value_name = "NAME", value_parser = seed_name)]
    pub(crate) seed: Option<String>,
}

fn choice(text: &str) -> Result<RungChoice, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(RungChoice::All);
    }
    let number = text.parse().ok().filter(|number| RUNGS.iter().any(|rung| rung.number == *number));
    number.map(RungChoice::One).ok_or_else(|| format!("rungs are 1 to {}, or `all`", RUNGS.len()))
}

/// A seed's name is one line of any plain text.
fn seed_name(text: &str) -> Result<String, String> {
    match Seed::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("a name has 1 to {} plain characters", Seed::CHARS_MAX)),
    }
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= THREADS_MAX);
    number.ok_or_else(|| format!("1 to {THREADS_MAX}"))
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        Some(_) | None => (text, 0),
    };
    let wrong = || "bytes, or a number with K, M or G: 64M".to_owned();
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    if bytes < MEMORY_MIN {
        return Err(format!("a table takes at least {}K", MEMORY_MIN >> 10));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rungs_and_names_are_read_and_others_refused() {
        assert_eq!(size("4G"), Ok(4 << 30));
        assert_eq!(size("64m"), Ok(64 << 20));
        assert_eq!(size("65536"), Ok(65_536));
        for text in ["", "G", "-1", "0", "65535", "63K", "99999999999999999999G", "1T"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(choice("ALL"), Ok(RungChoice::All));
        assert_eq!(choice("13"), Ok(RungChoice::One(13)));
        assert!(choice("14").is_err() && choice("0").is_err() && choice("x").is_err());
        assert!(threads("1024").is_ok() && threads("1025").is_err() && threads("0").is_err());
        assert!(seed_name("a\nb").is_err() && seed_name("").is_err());
    }
}
