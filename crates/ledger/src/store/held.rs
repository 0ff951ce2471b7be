//! A folder held open by its descriptor: files are created, renamed and removed in the folder that
//! was opened, wherever its path leads by now. Independent of the ledger's format.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

/// An open folder, with the path by which it was opened.
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

    /// Locks the folder itself while this value lives; `false` if another process has the lock. A
    /// file system that cannot lock folders counts as locked.
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

    /// An error if the path leads to another folder by now, or nowhere.
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

    /// The names in the folder that are Unicode.
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
        // Who looks into another's ledger must not wait for a pipe that was put into it.
        self.file(name, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    pub(crate) fn write(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDWR)
    }

    /// Opens a file for writing, creating it if needed.
    pub(crate) fn write_or_make(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Creates a file in the place of any old one. The old file is not overwritten: it lives on
    /// under its other names and descriptors.
    pub(crate) fn make(&self, name: &str) -> io::Result<File> {
        match self.remove(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens a file. A new one is readable by its owner only; a symbolic link is an error.
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

    /// Makes the folder's names durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.folder.sync_all()
    }
}

/// Locks a file against writing by other processes.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(ErrorKind::ResourceBusy, "another process writes it"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// An error unless a file has exactly one name: a second one means that another folder shares it.
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
