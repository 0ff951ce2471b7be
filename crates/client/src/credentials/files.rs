//! What is asked of files with keys and lists.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a file for reading without waiting for anything: whoever owns a home could put a pipe in
/// it, for which root would wait for ever. What lies in /dev is named on purpose, as /dev/fd/3 is.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    if path.starts_with("/dev") {
        return File::open(path);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("it is a pipe"));
    }
    Ok(file)
}

/// The mode of a file that others than its owner may use.
pub(super) fn mode_open_to_others(file: &File) -> io::Result<Option<u32>> {
    let mode = file.metadata()?.mode() & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}
