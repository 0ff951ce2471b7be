//! An outbox's folder: opened once, locked, and everything in it reached through its descriptor.
//!
//! A folder that is moved keeps its files, and nothing is written into a folder that takes its
//! place.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::JournalError;

/// Values are the owner's alone to read.
const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

#[derive(Debug)]
pub(super) struct OutboxFolder {
    path: PathBuf,
    dir: OwnedFd,
    /// The file that older versions lock.
    _lock: File,
}

impl OutboxFolder {
    /// Makes the folder if it is missing, durably, and locks it: its descriptor, because a lock
    /// file can be removed, and the lock file, for older versions.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |error: io::Error| JournalError::Io { folder: path.to_owned(), error };
        make(path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(JournalError::Locked(path.to_owned())),
            // Some network file systems lock files only; those that follow are locked too.
            Err(Errno::BADF | Errno::NOTSUP | Errno::INVAL | Errno::NOLCK) => {}
            Err(error) => return Err(failed(error.into())),
        }
        let lock = open_at(&dir, "lock", OFlags::CREATE).map_err(failed)?;
        let folder = Self { path: path.to_owned(), dir, _lock: lock };
        folder.lock(&folder._lock)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file of the folder for reading and writing.
    pub(super) fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        open_at(&self.dir, name, flags)
    }

    pub(super) fn holds(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether `name` still leads to `file`.
    pub(super) fn shows(&self, name: &str, file: &File) -> io::Result<bool> {
        let held = rustix::fs::fstat(file)?;
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok((held.st_dev, held.st_ino) == (found.st_dev, found.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Locks the file, which other processes may have open under any name.
    pub(super) fn lock(&self, file: &File) -> Result<(), JournalError> {
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => JournalError::Locked(self.path.clone()),
            std::fs::TryLockError::Error(error) => {
                JournalError::Io { folder: self.path.clone(), error }
            }
        })
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames `from` to `to`, durably. `false`, and nothing changes, if the folder's path leads to
    /// another folder by now.
    pub(super) fn publish(&self, from: &str, to: &str) -> io::Result<bool> {
        if !self.is_at_its_path()? {
            return Ok(false);
        }
        rustix::fs::renameat(&self.dir, from, &self.dir, to)?;
        rustix::fs::fsync(&self.dir)?;
        Ok(true)
    }

    fn is_at_its_path(&self) -> io::Result<bool> {
        let held = rustix::fs::fstat(&self.dir)?;
        match rustix::fs::stat(&self.path) {
            Ok(found) => Ok((held.st_dev, held.st_ino) == (found.st_dev, found.st_ino)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Never follows a link: every name in the folder is a file of the outbox, or a fault.
fn open_at(dir: &OwnedFd, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, FILE_MODE)?.into())
}

/// The folder and its parents; each name that is made is durable when this returns.
fn make(path: &Path) -> io::Result<()> {
    match rustix::fs::mkdir(path, FOLDER_MODE) {
        Ok(()) => sync_parent(path),
        // An earlier process may have made it and ended before it was durable.
        Err(Errno::EXIST) if !path.join("journal").try_exists()? => sync_parent(path),
        Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => {
            let parent = path.parent().filter(|parent| *parent != Path::new(""));
            make(parent.ok_or(io::ErrorKind::NotFound)?)?;
            make(path)
        }
        Err(error) => Err(error.into()),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().map_or(OsStr::new("."), |parent| match parent.as_os_str() {
        name if name.is_empty() => OsStr::new("."),
        name => name,
    });
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
        Ok(parent) => parent,
        // We may enter this folder but not list it, so we cannot sync it.
        Err(Errno::ACCESS) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    Ok(rustix::fs::fsync(parent)?)
}
