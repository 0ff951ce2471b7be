//! What is asked of files with keys and lists on Windows. Who may read a key is what the folder
//! says in which it was made: in a user's profile, that user and administrators. It is not looked
//! at.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file for reading.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// There are no modes here.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere the mode of the file decides")]
pub(super) fn mode_open_to_others(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}
