//! The ledger's files: their size, and the room on their disk.

use std::io;
use std::path::Path;

/// What the files of a ledger take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerFiles {
    pub(crate) bytes: u64,
    pub(crate) segments: u64,
    pub(crate) free_bytes: u64,
}

impl LedgerFiles {
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let (mut bytes, mut segments) = (0, 0);
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(found) => bytes += found.len(),
                // The ledger deleted it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            let name = entry.file_name();
            segments += u64::from(name.to_string_lossy().starts_with(SEGMENT));
        }
        let system = rustix::fs::statvfs(folder)?;
        let free_bytes = system.f_bavail.saturating_mul(system.f_frsize);
        Ok(Self { bytes, segments, free_bytes })
    }
}

/// How the name of a segment begins.
const SEGMENT: &str = "journal-";
