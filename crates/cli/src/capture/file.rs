//! The file of a capture: its owner's alone, and seen while it grows.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Mode, fchmod};

use crate::failure::{Code, Failure};
use crate::streams::Output;

/// Where a capture goes.
pub(super) enum CaptureFile {
    File(File),
    /// Standard output.
    Output(Output),
}

impl CaptureFile {
    /// A new file, or an old one made empty. Nobody else may read it, whatever it was before: it
    /// may hold secrets, and who talks to whom.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Self::Output(Output));
        }
        let failed = |error: io::Error| {
            Failure::new(Code::No, format!("cannot write {}: {error}", path.display()))
                .next("name a file in a folder that exists and is yours")
        };
        // A pipe has a reader, and a terminal must not become ours; neither is made empty.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        if file.metadata().map_err(failed)?.is_file() {
            fchmod(&file, Mode::RUSR | Mode::WUSR).map_err(|error| failed(error.into()))?;
        }
        Ok(Self::File(file))
    }
}

impl Write for CaptureFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Output(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Output(output) => output.flush(),
        }
    }
}
