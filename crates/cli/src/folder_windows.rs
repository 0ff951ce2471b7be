//! A folder that files are made in, on Windows. Whose it is and who may write it is what the folder
//! above it says: in a user's profile, that user and administrators. It is not looked at here.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A folder that is there.
pub(crate) struct OpenFolder {
    path: PathBuf,
}

impl OpenFolder {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match fs::metadata(path)?.is_dir() {
            true => Ok(Self { path: path.to_owned() }),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Makes it and what is missing above it.
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Self::open(path)
    }

    /// The path of a name in it.
    pub(crate) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// NTFS writes its log when a file is synced, and names with it: there is nothing more to do.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "elsewhere it is synced")]
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "elsewhere it is looked at")]
    pub(crate) fn refuse_if_shared(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// The folder that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    // Where it names no folder, the current one.
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[allow(clippy::unnecessary_wraps, reason = "elsewhere it is looked at")]
pub(crate) fn refuse_if_shared_at(_: &Path) -> Result<(), Failure> {
    Ok(())
}
