//! The file of a capture: its owner's alone, and seen while it grows.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::failure::{Code, Failure};
use crate::replace::{Fresh, ReplaceError};
use crate::streams::Output;

/// Where a capture will go, before there is anything in it. An old file stays what it is as long.
pub(super) enum Destination {
    /// A regular file, or none yet.
    Fresh(Fresh),
    /// What cannot be made anew: a pipe, a device, what this process has open.
    Open(CaptureFile),
}

/// Where a capture goes.
pub(super) enum CaptureFile {
    File(File),
    /// Standard output.
    Output(Output),
}

impl Destination {
    pub(super) fn find(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Self::Open(CaptureFile::Output(Output)));
        }
        let failed = |error: ReplaceError| {
            error
                .failure(Code::No, path)
                .or_next("name a file in a folder that exists and is yours")
        };
        if let Some(fresh) = Fresh::find(path).map_err(failed)? {
            return Ok(Self::Fresh(fresh));
        }
        // What this process has open may hold more than ours, so it is appended to, which means
        // nothing to pipes and devices. A terminal must not become ours.
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            rustix::fs::OFlags::NOCTTY.bits().cast_signed(),
        );
        let file = options.append(true).open(path).map_err(|error| failed(error.into()))?;
        Ok(Self::Open(CaptureFile::File(file)))
    }

    /// A new file, in the place of an old one. Nobody else may read it, whoever could read or had
    /// open what was there before: it may hold secrets, and who talks to whom.
    pub(super) fn open(self) -> io::Result<CaptureFile> {
        match self {
            Self::Fresh(fresh) => {
                fresh.take().map(CaptureFile::File).map_err(ReplaceError::into_io)
            }
            Self::Open(file) => Ok(file),
        }
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
