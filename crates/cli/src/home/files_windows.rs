//! What a home asks of its files on Windows. Who may read a key is what the folder says in which it
//! was made: in a user's profile, that user and administrators. It is not looked at here.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::LOCK;
use crate::failure::Failure;
use crate::folder::OpenFolder;

/// The one process that changes lists in this folder.
pub(super) fn lock(folder: &OpenFolder) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(folder.path_of(LOCK.as_ref()))?;
    file.lock()?;
    Ok(file)
}

#[allow(clippy::unnecessary_wraps, reason = "elsewhere the mode of the file decides")]
pub(super) fn refuse_if_open_to_others(_: &Path, _: &File) -> Result<(), Failure> {
    Ok(())
}
