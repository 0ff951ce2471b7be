//! An outbox's folder: opened once, locked, and everything in it reached through its descriptor.
//!
//! A folder that is moved keeps its files, and nothing is written into a folder that takes its
//! place.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::JournalError;
use super::storage::{Storage, StorageFile};

/// Values are the owner's alone to read.
const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

#[derive(Debug)]
pub(super) struct OutboxFolder {
    path: PathBuf,
    dir: Arc<OwnedFd>,
    /// The file that older versions lock.
    lock: File,
}

impl Drop for OutboxFolder {
    /// Closing alone leaves the locks with a fork of this process, which shares them.
    fn drop(&mut self) {
        // What was not locked needs no unlocking.
        rustix::fs::flock(&self.dir, FlockOperation::Unlock).unwrap_or(());
        self.lock.unlock().unwrap_or(());
    }
}

#[derive(Debug)]
struct OutboxFile {
    dir: Arc<OwnedFd>,
    file: File,
}

impl Drop for OutboxFile {
    fn drop(&mut self) {
        // As for the folder.
        self.file.unlock().unwrap_or(());
    }
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
        let lock = open_locked(&dir, "lock", OFlags::CREATE)
            .map_err(|error| JournalError::of(path, error))?;
        Ok(Self { path: path.to_owned(), dir: Arc::new(dir), lock })
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<Arc<dyn StorageFile>> {
        let file = open_locked(&self.dir, name, flags)?;
        Ok(Arc::new(OutboxFile { dir: Arc::clone(&self.dir), file }))
    }

    fn is_at_its_path(&self) -> io::Result<bool> {
        is_the_same(&rustix::fs::fstat(&self.dir)?, rustix::fs::stat(&self.path))
    }
}

impl Storage for OutboxFolder {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.file(name, OFlags::empty())
    }

    fn make(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.remove(name)?;
        self.file(name, OFlags::CREATE | OFlags::EXCL)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn publish(&self, from: &str, to: &str) -> io::Result<bool> {
        if !self.is_at_its_path()? {
            return Ok(false);
        }
        if from != to {
            rustix::fs::renameat(&self.dir, from, &self.dir, to)?;
        }
        // The name has changed, so this must not be reported as a full disk.
        rustix::fs::fsync(&self.dir).map_err(io::Error::other)?;
        Ok(true)
    }

    fn salt(&self) -> io::Result<[u8; 16]> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        Ok(salt)
    }
}

impl StorageFile for OutboxFile {
    fn read(&self, offset: u64, most: u64) -> io::Result<Vec<u8>> {
        let held = self.file.metadata()?.len().saturating_sub(offset).min(most);
        let mut bytes = vec![0; usize::try_from(held).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        // Allocating alone does not fail at the limit on file sizes; a write beyond it does.
        if getrlimit(Resource::Fsize).current.is_some_and(|most| bytes > most) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        #[cfg(target_os = "linux")]
        rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes)?;
        // Others allocate only together with the length: here the write itself finds out.
        #[cfg(not(target_os = "linux"))]
        return Err(io::ErrorKind::Unsupported.into());
        #[cfg(target_os = "linux")]
        Ok(())
    }

    fn is_named(&self, name: &str) -> io::Result<bool> {
        let found = rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW);
        is_the_same(&rustix::fs::fstat(&self.file)?, found)
    }
}

/// Whether a path leads to what is `held`.
fn is_the_same(held: &Stat, found: Result<Stat, Errno>) -> io::Result<bool> {
    match found {
        Ok(found) => Ok((held.st_dev, held.st_ino) == (found.st_dev, found.st_ino)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens a file of the folder to read and write it, locked: other processes may have it open under
/// any name. Never follows a link: every name in the folder is a file of the outbox, or a fault.
fn open_locked(dir: &OwnedFd, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file: File = rustix::fs::openat(dir, name, flags, FILE_MODE)?.into();
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
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
