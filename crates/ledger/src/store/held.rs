//! A folder held by its descriptor: whatever its path leads to by now, files are made, named and
//! removed in the folder that was opened. It knows nothing of ledgers.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

/// The path, and the descriptor that it led to.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    folder: File,
}

impl Held {
    /// Opens the folder that `path` leads to, through links as well.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        Ok(Self { path: path.to_owned(), folder: folder.into() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the folder itself, for as long as this lives; `false` if another has it. A file system
    /// that locks no folders is taken to have given it.
    pub(crate) fn lock(&self) -> io::Result<bool> {
        match self.folder.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
                Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::BADF) => Ok(true),
                Some(_) | None => Err(error),
            },
        }
    }

    /// An error if the path leads elsewhere by now, or nowhere.
    pub(crate) fn stands(&self) -> io::Result<()> {
        let held = self.folder.metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (held.dev(), held.ino()) => Ok(()),
            Ok(_) => Err(self.moved("another folder is in its place")),
            Err(error) => Err(self.moved(&error.to_string())),
        }
    }

    fn moved(&self, why: &str) -> io::Error {
        let path = self.path.display();
        let text = format!("the folder {path} was moved or replaced while it was in use ({why})");
        io::Error::new(ErrorKind::StaleNetworkFileHandle, text)
    }

    /// Names that are Unicode.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    pub(crate) fn read(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDONLY)
    }

    pub(crate) fn write(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDWR)
    }

    /// Made if it is not there.
    pub(crate) fn write_or_make(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// A new file in the place of any old one, which keeps what it holds for whoever has it open or
    /// linked.
    pub(crate) fn make(&self, name: &str) -> io::Result<File> {
        match self.remove(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Its owner's alone to read, and never what a link leads to.
    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = retry_on_intr(|| rustix::fs::openat(&self.folder, name, flags, mode))?;
        Ok(file.into())
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, name, AtFlags::empty())?)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename_into(from, self, to)
    }

    pub(crate) fn rename_into(&self, from: &str, folder: &Self, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, from, &folder.folder, to)?)
    }

    /// Its names are durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.folder.sync_all()
    }
}

/// Locks a file that this process alone writes.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(ErrorKind::ResourceBusy, "another process writes it"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// An error where a file has a name besides the one that it was opened by: another folder has it
/// too.
pub(crate) fn has_one_name(file: &File) -> io::Result<()> {
    match file.metadata()?.nlink() {
        1 => Ok(()),
        0 => Err(io::Error::new(ErrorKind::ResourceBusy, "it was removed while it was opened")),
        names => {
            let text = format!("it has {names} names (hard links): a copy of the ledger shares it");
            Err(io::Error::new(ErrorKind::TooManyLinks, text))
        }
    }
}
