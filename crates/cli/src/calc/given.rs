//! Bytes as a command line gives them.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use ddes_explain::INPUT_BYTES_MAX;

use crate::failure::{Code, Failure};

/// `HEX`, `text:TEXT`, `@FILE` and `-` (both with hexadecimal text in them), or `raw:FILE`.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    Bytes(Vec<u8>),
    HexFile(PathBuf),
    RawFile(PathBuf),
    Stdin,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(path) = text.strip_prefix('@') {
            return Ok(Self::HexFile(path.into()));
        }
        if let Some(path) = text.strip_prefix("raw:") {
            return Ok(Self::RawFile(path.into()));
        }
        if let Some(text) = text.strip_prefix("text:") {
            return Ok(Self::Bytes(text.as_bytes().to_vec()));
        }
        unhex(text).map(Self::Bytes)
    }
}

/// Reads what is given; standard input once.
#[derive(Default)]
pub(crate) struct Reader {
    has_read_stdin: bool,
}

/// Hexadecimal text has two digits a byte, and blanks.
const TEXT_BYTES_MAX: usize = 4 * INPUT_BYTES_MAX;

impl Reader {
    pub(crate) fn read(&mut self, given: &Given) -> Result<Vec<u8>, Failure> {
        match given {
            Given::Bytes(bytes) => Ok(bytes.clone()),
            Given::RawFile(path) => read(&path.display().to_string(), File::open(path)),
            Given::HexFile(path) => {
                let name = path.display().to_string();
                of_hex(&name, &read(&name, File::open(path))?)
            }
            Given::Stdin if self.has_read_stdin => {
                Err(Failure::new(Code::Usage, "only one input can be `-`, standard input"))
            }
            Given::Stdin => {
                self.has_read_stdin = true;
                of_hex("standard input", &read("standard input", Ok(io::stdin().lock()))?)
            }
        }
    }
}

fn read(name: &str, source: io::Result<impl Read>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read =
        source.and_then(|source| source.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure::new(Code::Usage, format!("cannot read {name}: {error}")))?;
    if bytes.len() > TEXT_BYTES_MAX {
        let what = format!("{name} has more than {TEXT_BYTES_MAX} bytes");
        return Err(Failure::new(Code::Usage, what));
    }
    Ok(bytes)
}

fn of_hex(name: &str, text: &[u8]) -> Result<Vec<u8>, Failure> {
    unhex(&String::from_utf8_lossy(text)).map_err(|error| {
        Failure::new(Code::Usage, format!("{name}: {error}"))
            .next("raw:FILE for a file of bytes as they are")
    })
}

/// Digits in pairs; blanks, colons and a leading 0x are left out.
fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text).chars();
    let mut nibbles = Vec::new();
    for c in digits.filter(|c| !c.is_ascii_whitespace() && *c != ':') {
        let nibble = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        nibbles.push(nibble.ok_or_else(|| format!("{c:?} is no hexadecimal digit"))?);
    }
    let (pairs, rest) = nibbles.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("{} hexadecimal digits are no whole bytes", nibbles.len()));
    }
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_text_has_blanks_colons_and_a_prefix_or_none() {
        for text in ["0011ff", "00:11:FF", " 00 11\nff ", "0x0011ff"] {
            assert_eq!(unhex(text), Ok(vec![0x00, 0x11, 0xff]), "{text}");
        }
        assert_eq!(unhex(""), Ok(vec![]));
        assert!(unhex("001").is_err() && unhex("0g").is_err() && unhex("é0").is_err());
    }
}
