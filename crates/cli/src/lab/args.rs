//! The command line of `ddes lab`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ddes_lab::{BITS_MAX, RUNGS};

use crate::args::OutputArgs;

#[derive(Args, Debug)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LabCommand>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// List the thirteen rungs
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
  ddes lab run 9 --capture session.pcapng         a recorded session instead of a live one
  ddes lab run 3 --only classic --evidence e.json what went over the wire, and the verdict

The lab starts servers of its own on free ports of 127.0.0.1 and attacks only those. Keys are
reduced in the open: the server tells all but --bits bits of each in every line.
An attack that fails on the classic wire, or succeeds on D-DDES/2, is exit code 1.")]
    Run(RunArgs),
    /// Check the answers to the exercises of docs/course; without a file, print a form for them
    #[command(after_help = "\
Examples:
  ddes lab grade > answers.toml                   a form with every question
  ddes lab grade answers.toml --seed anna
  ddes lab grade answers.json --seed anna --json

Exit code 0 if every answer is right, else 1.")]
    Grade(GradeArgs),
}

/// Which rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
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
pub(crate) struct RunArgs {
    /// The number of a rung, or `all`
    #[arg(value_name = "N|all", value_parser = choice)]
    pub(crate) rung: Choice,
    /// Unknown bits of each key (rungs 9 to 12)
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(BITS_MAX)))]
    pub(crate) bits: u32,
    /// Memory of the meet in the middle: bytes, or with K, M or G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    pub(crate) memory: u64,
    /// Threads of a search [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Read this capture (pcapng, pcap) instead of a live session: rungs 1, 2, 4, 9, 10, 11
    #[arg(long, value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,
    /// The conversation of the capture [default: the first]
    #[arg(long, value_name = "N", requires = "capture",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) stream: Option<u32>,
    /// For a capture without secrets: Key1 in hexadecimal, right but for --bits bits
    #[arg(long, value_name = "HEX", requires_all = ["capture", "hint2"], value_parser = key)]
    pub(crate) hint1: Option<[u8; 8]>,
    /// The same of Key2
    #[arg(long, value_name = "HEX", requires_all = ["capture", "hint1"], value_parser = key)]
    pub(crate) hint2: Option<[u8; 8]>,
    /// Name from which integers, keys and tokens are drawn [default: a new one]
    #[arg(long, value_name = "NAME", value_parser = seed_name)]
    pub(crate) seed: Option<String>,
    /// Continue a search that Ctrl-C stopped
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "bits", "memory"])]
    pub(crate) resume: Option<PathBuf>,
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
pub(crate) struct GradeArgs {
    /// The answers, in TOML or JSON (by the name's end)
    #[arg(value_name = "FILE", requires = "seed")]
    pub(crate) answers: Option<PathBuf>,
    /// The name that the rungs were run with
    #[arg(long, value_name = "NAME", value_parser = seed_name)]
    pub(crate) seed: Option<String>,
}

fn choice(text: &str) -> Result<Choice, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(Choice::All);
    }
    let number = text.parse().ok().filter(|number| RUNGS.iter().any(|rung| rung.number == *number));
    number.map(Choice::One).ok_or_else(|| format!("rungs are 1 to {}, or `all`", RUNGS.len()))
}

/// A seed's name is one line of any plain text.
fn seed_name(text: &str) -> Result<String, String> {
    const CHARS_MAX: usize = 64;
    let is_plain = text.chars().all(ddes_wire::shown::is_plain);
    if text.is_empty() || !is_plain || text.chars().count() > CHARS_MAX {
        return Err(format!("a name has 1 to {CHARS_MAX} plain characters"));
    }
    Ok(text.to_owned())
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
    let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(wrong)
}

fn key(text: &str) -> Result<[u8; 8], String> {
    let is_hex = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = if is_hex { u64::from_str_radix(text, 16).ok() } else { None };
    number.map(u64::to_be_bytes).ok_or_else(|| "16 hexadecimal digits".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rungs_and_keys_are_read_and_others_refused() {
        assert_eq!(size("4G"), Ok(4 << 30));
        assert_eq!(size("64m"), Ok(64 << 20));
        assert_eq!(size("4096"), Ok(4096));
        for text in ["", "G", "-1", "0", "99999999999999999999G", "1T"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(choice("ALL"), Ok(Choice::All));
        assert_eq!(choice("13"), Ok(Choice::One(13)));
        assert!(choice("14").is_err() && choice("0").is_err() && choice("x").is_err());
        assert_eq!(key("0123456789abcDEF"), Ok([1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]));
        assert!(key("012345678").is_err() && key("+123456789abcdef").is_err());
        assert!(seed_name("a\nb").is_err() && seed_name("").is_err());
    }
}
