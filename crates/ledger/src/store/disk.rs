//! The disk, cut at the dumbest level: names, and bytes at places.
//!
//! Two users: [`Folder`], and the simulator's disk, which loses, tears and refuses.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// A folder of files.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The names in it.
    fn list(&self) -> io::Result<Vec<String>>;
    /// An existing file.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// A new file in the place of any old one: `zeros` bytes of zeros, durable but for its name.
    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, for good: durable when this returns, the one or the other before. Given its own, that is made durable.
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

/// A folder of the file system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    ahead: Mutex<Option<Ahead>>,
    /// Held for as long as this lives, by whoever may write.
    _lock: Option<File>,
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

impl Folder {
    /// Takes a folder for writing, made if it is not there; `None` if another process has it.
    pub fn lock(path: &Path) -> io::Result<Option<Self>> {
        if !path.try_exists()? {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            // The folder's own name, or all in it could vanish with the power.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let lock = options().create(true).truncate(false).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), ahead: Mutex::new(None), _lock: Some(lock) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Looks at a folder, which another process may be writing.
    pub fn look(path: &Path) -> Self {
        Self { path: path.to_owned(), ahead: Mutex::new(None), _lock: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds nothing but its lock.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.list()?.iter().all(|name| name == LOCK))
    }

    /// Puts this folder in the place of `empty`, in one step and for good; both are locked and in one file system. An error leaves `empty` without its lock file.
    pub fn replace(self, empty: &Self) -> io::Result<()> {
        // The lock that is held comes along: whoever has opened its file meanwhile waits for the right one.
        fs::rename(empty.path.join(LOCK), self.path.join(LOCK))?;
        self.sync()?;
        fs::rename(&self.path, &empty.path)?;
        let parent = empty.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// The file begun by [`Disk::prepare`], if it is this one. Another one is left to be filled: whoever makes a small file does not wait for a large one.
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
        let names =
            fs::read_dir(&self.path)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        // A name that is not Unicode is none of ours.
        names.filter_map(Result::transpose).collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path.join(name);
        let file = if self._lock.is_some() { options().open(path) } else { File::open(path) };
        Ok(Box::new(file?))
    }

    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = match self.take_ahead(name, zeros) {
            Some(Ok(file)) => file,
            // Whatever was wrong then may be right by now.
            Some(Err(_)) | None => zeroed(&self.path.join(name), zeros)?,
        };
        Ok(Box::new(file))
    }

    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))?;
        self.sync()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn prepare(&self, name: &str, zeros: u64) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.is_none() {
            let path = self.path.join(name);
            let thread = std::thread::Builder::new().name("zeros".into()).spawn(move || zeroed(&path, zeros));
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

/// Blocks that were written once are allocated: `fdatasync` of what replaces the zeros has no metadata to write, which is worth a third of its time.
fn zeroed(path: &Path, zeros: u64) -> io::Result<File> {
    let file = options().create(true).truncate(true).open(path)?;
    let filled = fill(&file, zeros);
    if filled.is_err() {
        // Half a file is of no use, and the room may be needed.
        drop(fs::remove_file(path));
    }
    filled.map(|()| file)
}

fn fill(file: &File, zeros: u64) -> io::Result<()> {
    let piece = vec![0; FILL_BYTES];
    let mut offset = 0;
    while offset < zeros {
        let rest = usize::try_from(zeros - offset).unwrap_or(FILL_BYTES);
        let piece = piece.get(..rest).unwrap_or(&piece);
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
    }
    if zeros > 0 { file.sync_all() } else { Ok(()) }
}

/// What is counted is its owner's alone to read.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
