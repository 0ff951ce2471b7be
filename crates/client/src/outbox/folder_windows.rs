//! An outbox's folder on Windows: opened once and held, so that neither the folder nor its place
//! can be renamed or removed meanwhile. The other systems' is folder.rs.
//!
//! Who may read it: whoever may read the folder that it is made in, which in a user's profile is
//! that user. A name is as durable as NTFS makes it: its log is written when the named file is
//! synced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use same_file::Handle;

use super::JournalError;
use super::storage::{Storage, StorageFile};

// Names and values of the Windows API (CreateFile2).
const FILE_SHARE_READ: u32 = 1;
const FILE_SHARE_WRITE: u32 = 2;
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;

#[derive(Debug)]
pub(super) struct OutboxFolder {
    place: Arc<HeldFolder>,
    _lock: File,
}

/// While it is open, nobody can rename or remove the folder.
#[derive(Debug)]
struct HeldFolder {
    path: PathBuf,
    _handle: File,
}

#[derive(Debug)]
struct OutboxFile {
    place: Arc<HeldFolder>,
    file: File,
}

impl OutboxFolder {
    /// Makes the folder if it is missing, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |error: io::Error| JournalError::Io { folder: path.to_owned(), error };
        fs::create_dir_all(path).map_err(failed)?;
        let path = fs::canonicalize(path).map_err(failed)?;
        let handle = OpenOptions::new()
            .read(true)
            .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
            .open(&path)
            .map_err(failed)?;
        let place = Arc::new(HeldFolder { path, _handle: handle });
        let lock = place
            .open_locked("lock", OpenOptions::new().create(true))
            .map_err(|error| JournalError::of(&place.path, error))?;
        Ok(Self { place, _lock: lock })
    }

    fn file(&self, name: &str, options: &mut OpenOptions) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.place.open_locked(name, options)?;
        Ok(Arc::new(OutboxFile { place: Arc::clone(&self.place), file }))
    }
}

impl HeldFolder {
    /// Opens a file of the folder to read and write it, locked: other processes may have it open
    /// under any name. Never follows a link: every name in the folder is a file of the outbox, or a
    /// fault.
    fn open_locked(&self, name: &str, options: &mut OpenOptions) -> io::Result<File> {
        let options = options.read(true).write(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        let file = options.open(self.path.join(name))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Storage for OutboxFolder {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.file(name, &mut OpenOptions::new())
    }

    fn make(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.remove(name)?;
        self.file(name, OpenOptions::new().create_new(true))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.place.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn publish(&self, from: &str, to: &str) -> io::Result<bool> {
        let [from, to] = [from, to].map(|name| self.place.path.join(name));
        if from != to {
            fs::rename(&from, &to)?;
        }
        // The name has changed, so this must not be reported as a full disk.
        let named =
            OpenOptions::new().read(true).write(true).open(&to).map_err(io::Error::other)?;
        named.sync_all().map_err(io::Error::other)?;
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
        let (mut left, mut at) = (&mut bytes[..], offset);
        while !left.is_empty() {
            match self.file.seek_read(left, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    left = left.split_at_mut(count).1;
                    at += count as u64;
                }
            }
        }
        Ok(bytes)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut left, mut at) = (bytes, offset);
        while !left.is_empty() {
            match self.file.seek_write(left, at)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => {
                    left = left.split_at(count).1;
                    at += count as u64;
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        // The write itself finds out.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn is_named(&self, name: &str) -> io::Result<bool> {
        let ours = Handle::from_file(self.file.try_clone()?)?;
        match Handle::from_path(self.place.path.join(name)) {
            Ok(found) => Ok(found == ours),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
