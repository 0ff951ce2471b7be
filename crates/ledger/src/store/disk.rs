//! The interface to the disk: file names, and bytes at offsets.
//!
//! It has two implementations: [`Folder`], and the simulator's disk, which loses, tears and refuses
//! writes.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::held::{self, Held};

/// A folder of files.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The names of its files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens an existing file, to read and to sync it.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file to write it, locked against other processes while it is open.
    /// [`io::ErrorKind::ResourceBusy`] if another process has the lock,
    /// [`io::ErrorKind::TooManyLinks`] if another folder holds the file too.
    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Creates a file of `zeros` zero bytes in the place of any old one, locked as by
    /// [`Self::claim`]. All of it is durable except its name.
    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>>;
    /// An error if the path of this folder leads elsewhere by now: what is written here would not
    /// be found there.
    fn stands(&self) -> io::Result<()>;
    /// Renames a file durably: after a crash it has the old name or the new one. If both are the
    /// same, that name is made durable. Fails as [`Self::stands`] does. After an error of `is_full`
    /// no name has changed.
    fn publish(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. A crash may bring it back.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Announces a call of [`Self::create`] with these arguments, which may begin its work.
    fn prepare(&self, name: &str, zeros: u64);
}

/// A file of a [`Disk`].
#[allow(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait DiskFile: fmt::Debug + Send {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `bytes` from `offset` on.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes at `offset`: not durable before [`Self::sync`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes all writes durable (`fdatasync`). After an error it is unknown which are.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system, opened once.
#[derive(Debug)]
pub struct Folder {
    held: Arc<Held>,
    ahead: Mutex<Option<ZeroFill>>,
    /// The lock file of older releases, held in addition to the lock on the folder itself; `None`
    /// if the folder was opened for reading.
    lock: Option<File>,
}

/// Why a folder cannot be used for a new ledger.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Another process has its lock.
    #[error("another process uses the folder")]
    InUse,
    /// There are files in it.
    #[error("the folder is not empty")]
    NotEmpty,
    /// The file system refuses a call.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A file that a separate thread fills with zeros.
#[derive(Debug)]
struct ZeroFill {
    name: String,
    zeros: u64,
    thread: JoinHandle<io::Result<File>>,
}

/// Bytes of one write of zeros.
const FILL_BYTES: usize = 1024 * 1024;
const LOCK: &str = "lock";
/// The folder that fsck fills at the root of ext2 to ext4.
const LOST_AND_FOUND: &str = "lost+found";

impl Folder {
    /// Opens a folder for writing, creating it if needed; `None` if another process has its lock.
    pub fn lock(path: &Path) -> io::Result<Option<Self>> {
        if !path.try_exists()? {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            // Otherwise a power failure could remove the folder's name, and all in it.
            sync_parent(path)?;
        }
        let held = Held::open(path)?;
        if !held.lock()? {
            return Ok(None);
        }
        let lock = held.write_or_make(LOCK)?;
        match held::lock(&lock) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Ok(None),
            Err(error) => return Err(error),
        }
        // The path may have been replaced between opening and locking.
        held.stands()?;
        Ok(Some(Self { held: Arc::new(held), ahead: Mutex::new(None), lock: Some(lock) }))
    }

    /// Opens an empty folder for writing, creating it if needed.
    pub fn lock_empty(path: &Path) -> Result<Self, PlaceError> {
        let folder = Self::lock(path)?.ok_or(PlaceError::InUse)?;
        if folder.is_empty()? { Ok(folder) } else { Err(PlaceError::NotEmpty) }
    }

    /// Opens a folder for reading, without a lock: another process may be writing it.
    pub fn look(path: &Path) -> io::Result<Self> {
        Ok(Self { held: Arc::new(Held::open(path)?), ahead: Mutex::new(None), lock: None })
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Path {
        self.held.path()
    }

    /// Whether it holds nothing but its lock, and what a file system keeps for its own repair.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.list()?.iter().all(|name| [LOCK, LOST_AND_FOUND].contains(&&**name)))
    }

    /// Renames this folder to the place of `empty`, atomically and durably. Both are locked and in
    /// one file system. An error leaves `empty` without its lock file.
    pub fn replace(self, empty: &Self) -> io::Result<()> {
        self.held.stands()?;
        empty.held.stands()?;
        // The lock file moves too: a process that has opened it meanwhile waits for the right lock.
        empty.held.rename_into(LOCK, &self.held, LOCK)?;
        self.held.sync()?;
        fs::rename(self.path(), empty.path())?;
        sync_parent(empty.path())
    }

    /// An error if the folder was opened for reading.
    fn check_locked(&self) -> io::Result<()> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the folder is open for reading",
            )),
        }
    }

    /// The file begun by [`Disk::prepare`], if it has this name. A file of another name is left to
    /// be filled, so that a small file need not wait for a large one.
    fn take_ahead(&self, name: &str, zeros: u64) -> Option<io::Result<File>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = ahead.take_if(|ahead| ahead.name == name)?;
        let made = ahead
            .thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that fills files failed")));
        (ahead.zeros == zeros).then_some(made)
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        // The ledger gives no file a name that is not Unicode.
        self.held.names()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.held.read(name)?))
    }

    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.check_locked()?;
        let file = self.held.write(name)?;
        held::lock(&file)?;
        held::has_one_name(&file)?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        self.check_locked()?;
        let file = match self.take_ahead(name, zeros) {
            Some(Ok(file)) => file,
            // What failed on the thread may succeed by now.
            Some(Err(_)) | None => zeroed(&self.held, name, zeros)?,
        };
        Ok(Box::new(file))
    }

    fn stands(&self) -> io::Result<()> {
        self.held.stands()
    }

    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_locked()?;
        self.held.stands()?;
        if from != to {
            self.held.rename(from, to)?;
        }
        // The name has changed, so this must not be reported as a full disk.
        self.held.sync().map_err(io::Error::other)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_locked()?;
        self.held.remove(name)
    }

    fn prepare(&self, name: &str, zeros: u64) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.is_none() {
            let (held, file) = (Arc::clone(&self.held), name.to_owned());
            let fill = move || zeroed(&held, &file, zeros);
            let thread = std::thread::Builder::new().name("zeros".into()).spawn(fill);
            // Without a thread, `create` fills the file itself.
            *ahead = thread.ok().map(|thread| ZeroFill { name: name.to_owned(), zeros, thread });
        }
    }
}

impl Drop for Folder {
    /// Waits for the thread that writes, and only then releases the lock.
    fn drop(&mut self) {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nothing needs the file any more, so it does not matter how the thread ended.
        drop(ahead.map(|ahead| ahead.thread.join()));
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Creates a file of written zeros. Its blocks are allocated then, so that `fdatasync` of what
/// replaces them has no metadata to write, which saves a third of its time.
fn zeroed(held: &Held, name: &str, zeros: u64) -> io::Result<File> {
    let file = held.make(name)?;
    let filled = held::lock(&file).and_then(|()| fill(&file, zeros));
    if filled.is_err() {
        // Best effort: half a file only takes room, and the next file of this name replaces it.
        drop(held.remove(name));
    }
    filled.map(|()| file)
}

fn fill(file: &File, zeros: u64) -> io::Result<()> {
    if zeros == 0 {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    rewrite_in_place(file);
    // Reports a full disk before anything is written. Not every file system supports it.
    match fallocate(file, FallocateFlags::empty(), 0, zeros) {
        Err(error) if is_full(&error.into()) => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let piece = vec![0; FILL_BYTES];
    let mut offset = 0;
    while offset < zeros {
        let rest = usize::try_from(zeros - offset).map_or(FILL_BYTES, |rest| rest.min(FILL_BYTES));
        file.write_all_at(&piece[..rest], offset)?;
        offset += rest as u64;
    }
    file.sync_all()
}

/// Asks a file system that copies on write (btrfs) to rewrite this file in place, so that replacing
/// the zeros needs no room, even on a full disk. It takes effect on an empty file only. Other file
/// systems refuse, and need no change.
#[cfg(target_os = "linux")]
fn rewrite_in_place(file: &File) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

    match ioctl_getflags(file).and_then(|flags| ioctl_setflags(file, flags | IFlags::NOCOW)) {
        Ok(()) | Err(_) => {}
    }
}

/// Whether an error means that room is missing: in the file system, in a quota, or in the tables of
/// open files. It may pass.
pub(crate) fn is_full(error: &io::Error) -> bool {
    let is_room = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    );
    is_room || matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
