//! Files that are made or replaced whole, on Windows: the old one or the new one, whatever happens
//! on the way. The other systems' is replace.rs.
//!
//! A new file is written beside the old one, under a random name, synced, and takes its place by
//! rename. It has the access list of the folder, not that of the old file. What is no regular file
//! (a device, a pipe) is written through.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use same_file::Handle;

use crate::failure::{Code, Failure};
use crate::folder::{OpenFolder, parent};

/// What a file is for. Who may read it is the folder's to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New(());

impl New {
    /// A private key or a list.
    pub(crate) const PRIVATE: Self = Self(());
    /// The public half of a key.
    pub(crate) const PUBLIC: Self = Self(());
    /// What is counted, or holds secrets.
    pub(crate) const EXPORT: Self = Self(());
    /// What a user asked for.
    pub(crate) const REPORT: Self = Self(());
}

/// Why a file could not be made or replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ReplaceError {
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
        }
    }

    pub(crate) fn failure(self, code: Code, path: &Path) -> Failure {
        let failure = Failure::new(code, format!("cannot write {}: {self}", path.display()));
        match self {
            Self::Io(error) => failure.cause_of_path(&error),
        }
    }
}

/// The old file or the new one, whatever happens on the way.
pub(crate) fn replace(path: &Path, bytes: &[u8], _: New) -> Result<(), ReplaceError> {
    match Fresh::find(path)? {
        Some(Fresh(beside)) => {
            let mut beside = beside.make()?;
            beside.file.write_all(bytes)?;
            beside.replace()
        }
        None => {
            let mut file = OpenOptions::new().write(true).open(path)?;
            Ok(file.write_all(bytes)?)
        }
    }
}

/// Makes the file whole or not at all; whether it was not there before.
pub(crate) fn create(path: &Path, bytes: &[u8], _: New) -> Result<bool, ReplaceError> {
    let mut beside = Beside::of(path)?.make()?;
    beside.file.write_all(bytes)?;
    beside.file.sync_all()?;
    // A link does not replace.
    match fs::hard_link(&beside.own, &beside.name) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Refuses to write to a file that is read, by whatever name: it may be the only one of its kind.
pub(crate) fn spare<'a>(
    out: &Path,
    read: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    // Where there is nothing yet, nothing is lost; what cannot be looked at cannot be written.
    let Ok(there) = Handle::from_path(out) else { return Ok(()) };
    for path in read {
        let read = match path.as_os_str() == OsStr::new("-") {
            true => Handle::stdin(),
            false => Handle::from_path(path),
        };
        if out.as_os_str() != "-" && read.is_ok_and(|read| read == there) {
            let what = format!("{} would replace what is read", out.display());
            return Err(Failure::new(Code::Usage, what)
                .cause("both are the same file")
                .next("name another file to write to"));
        }
    }
    Ok(())
}

/// Where a new file of ours takes the place of whatever is there, when it has something to hold.
pub(crate) struct Fresh(Beside);

impl Fresh {
    /// Nothing if the path leads to what is no regular file.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>, ReplaceError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
            }
            Ok(metadata) if !metadata.is_file() => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Self(Beside::of(path)?)))
    }

    /// The file, empty, for us to read and write.
    pub(crate) fn take(self) -> Result<File, ReplaceError> {
        let beside = self.0.make()?;
        let file = beside.file.try_clone()?;
        fs::rename(&beside.own, &beside.name)?;
        Ok(file)
    }
}

/// A name, and one beside it that nobody can have prepared.
struct Beside {
    own: PathBuf,
    name: PathBuf,
}

impl Beside {
    fn of(path: &Path) -> Result<Self, ReplaceError> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
        let folder = OpenFolder::open(parent(path))?;
        let number = getrandom::u64().map_err(io::Error::other)?;
        let own = OsString::from(format!(".ddes-new-{number:016x}"));
        Ok(Self { own: folder.path_of(&own), name: folder.path_of(name) })
    }

    fn make(self) -> Result<NewFile, ReplaceError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&self.own)?;
        Ok(NewFile { file, own: self.own, name: self.name })
    }
}

/// A new file under a name of its own, which goes when this is dropped.
struct NewFile {
    file: File,
    own: PathBuf,
    name: PathBuf,
}

impl NewFile {
    fn replace(self) -> Result<(), ReplaceError> {
        self.file.sync_all()?;
        fs::rename(&self.own, &self.name)?;
        // The name is on the disk with the next sync of the file.
        Ok(self.file.sync_all()?)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It has another name by now, or it is unfinished and nobody reads it.
        drop(fs::remove_file(&self.own));
    }
}
