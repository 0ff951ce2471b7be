//! Bytes as a command line gives them.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use ddes_explain::INPUT_BYTES_MAX;
use ddes_lab::hexadecimal;

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
        hexadecimal::read(text).map(Self::Bytes).map_err(|error| error.to_string())
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
                Err(Failure::new(Code::Usage, "only one input can be `-`, standard input")
                    .next("@FILE or raw:FILE for the other"))
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
    read.map_err(|error| {
        Failure::new(Code::Usage, format!("cannot read {name}: {error}"))
            .cause("the path is misspelt, or this user may not read it")
            .next("@FILE for hexadecimal text, raw:FILE for bytes as they are")
    })?;
    if bytes.len() > TEXT_BYTES_MAX {
        let what = format!("{name} has more than {TEXT_BYTES_MAX} bytes");
        return Err(Failure::new(Code::Usage, what).next("a shorter input"));
    }
    Ok(bytes)
}

fn of_hex(name: &str, text: &[u8]) -> Result<Vec<u8>, Failure> {
    hexadecimal::read(&String::from_utf8_lossy(text)).map_err(|error| {
        Failure::new(Code::Usage, format!("{name}: {error}"))
            .next("raw:FILE for a file of bytes as they are")
    })
}
