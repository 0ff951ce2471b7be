//! The disk, cut at the dumbest level: names, and bytes at places.
//!
//! Two users: [`Folder`], and the simulator's disk, which loses, tears and refuses.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{FallocateFlags, IFlags, fallocate, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

use super::held::{self, Held};

/// A folder of files.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The names in it.
    fn list(&self) -> io::Result<Vec<String>>;
    /// An existing file, to read and to sync.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// An existing file, which this process alone writes for as long as it has it open:
    /// [`io::ErrorKind::ResourceBusy`] where another does, and [`io::ErrorKind::TooManyLinks`]
    /// where another folder has it too.
    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// A new file in the place of any old one, claimed: `zeros` bytes of zeros, durable but for its
    /// name.
    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>>;
    /// An error if this folder is no longer the one that its path leads to: whoever looks there
    /// sees nothing of what is written here.
    fn stands(&self) -> io::Result<()>;
    /// Gives a file another name, for good, in a folder that stands: durable when this returns, the
    /// one or the other before. Given its own, that is made durable. After an error that says that
    /// there is no room (`is_full`) no name has changed.
    fn publish(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, not necessarily for good.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Says that [`Self::create`] will be called with just this; it may begin already.
    fn prepare(&self, name: &str, zeros: u64);
}

/// A file of a [`Disk`].
#[allow(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait DiskFile: fmt::Debug + Send {
    /// How many bytes it has.
    fn len(&self) -> io::Result<u64>;
    /// Fills `bytes` from `offset` on.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes at `offset`: not durable before [`Self::sync`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// What was written is durable (`fdatasync`). After an error nobody knows what is.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system, opened once.
#[derive(Debug)]
pub struct Folder {
    held: Arc<Held>,
    ahead: Mutex<Option<Ahead>>,
    /// What an older release excludes others with; whoever has it also has the folder's own lock.
    lock: Option<File>,
}

/// Why a folder cannot be taken for a new ledger.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Another process has its lock.
    #[error("another process uses the folder")]
    InUse,
    /// There are files in it.
    #[error("the folder is not empty")]
    NotEmpty,
    /// The system refuses.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A file being filled with zeros on a thread of its own.
#[derive(Debug)]
struct Ahead {
    name: String,
    zeros: u64,
    thread: JoinHandle<io::Result<File>>,
}

/// Zeros are written in pieces of so many bytes.
const FILL_BYTES: usize = 1024 * 1024;
const LOCK: &str = "lock";
/// At the root of ext2 to ext4.
const LOST_AND_FOUND: &str = "lost+found";

impl Folder {
    /// Takes a folder for writing, made if it is not there; `None` if another process has it.
    pub fn lock(path: &Path) -> io::Result<Option<Self>> {
        if !path.try_exists()? {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            // The folder's own name, or all in it could vanish with the power.
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
        // It may have been replaced between the two steps.
        held.stands()?;
        Ok(Some(Self { held: Arc::new(held), ahead: Mutex::new(None), lock: Some(lock) }))
    }

    /// Takes a folder that holds nothing, made if it is not there.
    pub fn lock_empty(path: &Path) -> Result<Self, PlaceError> {
        let folder = Self::lock(path)?.ok_or(PlaceError::InUse)?;
        if folder.is_empty()? { Ok(folder) } else { Err(PlaceError::NotEmpty) }
    }

    /// Looks at a folder, which another process may be writing. No lock is taken.
    pub fn look(path: &Path) -> io::Result<Self> {
        Ok(Self { held: Arc::new(Held::open(path)?), ahead: Mutex::new(None), lock: None })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        self.held.path()
    }

    /// Whether it holds nothing but its lock, and what a file system keeps for its own repair.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.list()?.iter().all(|name| [LOCK, LOST_AND_FOUND].contains(&&**name)))
    }

    /// Puts this folder in the place of `empty`, in one step and for good; both are locked and in
    /// one file system. An error leaves `empty` without its lock file.
    pub fn replace(self, empty: &Self) -> io::Result<()> {
        self.held.stands()?;
        empty.held.stands()?;
        // The lock that is held comes along: whoever has opened its file meanwhile waits for the
        // right one.
        empty.held.rename_into(LOCK, &self.held, LOCK)?;
        self.held.sync()?;
        fs::rename(self.path(), empty.path())?;
        sync_parent(empty.path())
    }

    /// Whoever looks changes nothing.
    fn check_locked(&self) -> io::Result<()> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the folder is open for reading",
            )),
        }
    }

    /// The file begun by [`Disk::prepare`], if it is this one. Another one is left to be filled:
    /// whoever makes a small file does not wait for a large one.
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
        // A name that is not Unicode is none of ours.
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
            // Whatever was wrong then may be right by now.
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
        // The name has changed: whatever this is, it is no mere want of room.
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
            // Without a thread it is made when it is needed.
            *ahead = thread.ok().map(|thread| Ahead { name: name.to_owned(), zeros, thread });
        }
    }
}

impl Drop for Folder {
    /// The lock is not given up while a thread still writes.
    fn drop(&mut self) {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
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

/// Blocks that were written once are allocated: `fdatasync` of what replaces the zeros has no
/// metadata to write, which is worth a third of its time.
fn zeroed(held: &Held, name: &str, zeros: u64) -> io::Result<File> {
    let file = held.make(name)?;
    let filled = held::lock(&file).and_then(|()| fill(&file, zeros));
    if filled.is_err() {
        // Half a file is of no use, and the room may be needed.
        drop(held.remove(name));
    }
    filled.map(|()| file)
}

fn fill(file: &File, zeros: u64) -> io::Result<()> {
    if zeros == 0 {
        return Ok(());
    }
    rewrite_in_place(file);
    // Where there is no room this says so before anything is written. Not every file system can.
    match fallocate(file, FallocateFlags::empty(), 0, zeros) {
        Err(error) if is_full(&error.into()) => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let piece = vec![0; FILL_BYTES];
    let mut offset = 0;
    while offset < zeros {
        let rest = usize::try_from(zeros - offset).unwrap_or(FILL_BYTES);
        let piece = piece.get(..rest).unwrap_or(&piece);
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
    }
    file.sync_all()
}

/// Asks a file system that copies on write (btrfs) to let this file be: what replaces the zeros
/// needs no new room then, also on a full disk. The file is empty yet; later it is too late. Others
/// have nothing to change, and refuse.
fn rewrite_in_place(file: &File) {
    match ioctl_getflags(file).and_then(|flags| ioctl_setflags(file, flags | IFlags::NOCOW)) {
        Ok(()) | Err(_) => {}
    }
}

/// No room: in the file system, in what is granted of it, or in the tables of open files. It may
/// come back.
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
