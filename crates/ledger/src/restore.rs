//! Restoring a ledger from a backup.
//!
//! A copied folder is not yet a restored ledger: it would give out session numbers again that its
//! original gave out after the copy was made. [`restore`] therefore raises them, in a folder next
//! to the ledger's, and renames that folder when it is complete. A crash leaves no ledger in the
//! place, or one whose session numbers are raised.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::audit::{self, Verified, VerifyError};
use crate::store::{Disk, Folder, PlaceError, StoreError, StoreOptions};
use crate::{Ledger, Refusal, Timestamp};

/// The step of [`restore`] that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreStep {
    /// It verifies the backup.
    VerifyBackup,
    /// It copies the backup.
    Copy,
    /// It verifies the copy, whose session numbers are raised.
    VerifyCopy,
}

/// A ledger that a server may open.
#[derive(Debug)]
pub struct Restored {
    /// Its folder, with all symbolic links resolved.
    pub path: PathBuf,
    /// What verifying the restored copy found.
    pub verified: Verified,
}

/// Why a backup was not restored. The place is as it was before, or an empty folder.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is damaged or cannot be read.
    #[error("the backup does not pass: {0}")]
    Backup(#[source] VerifyError),
    /// A folder cannot be used: the ledger's, or the one in which the copy is made.
    #[error("{}: {error}", .path.display())]
    Place {
        /// The path of the unusable folder.
        path: PathBuf,
        /// Why it cannot be used.
        error: PlaceError,
    },
    /// An earlier restore was cut off and left this folder. No server uses it. It has to be
    /// removed first.
    #[error("{} is left from a restore that was cut off", .0.display())]
    CutOff(PathBuf),
    /// The backup cannot be read, or the copy cannot be written.
    #[error("copying to {}: {error}", .to.display())]
    Copy {
        /// The folder in which the copy is made.
        to: PathBuf,
        /// The read or write that failed.
        error: StoreError,
    },
    /// The copy cannot be opened.
    #[error("{}: {error}", .path.display())]
    Open {
        /// The folder in which the copy is made.
        path: PathBuf,
        /// Why the ledger cannot be opened.
        error: StoreError,
    },
    /// The session numbers cannot be raised: the disk fails, or this would be the 65,536th time.
    #[error("the session numbers cannot be raised: {0}")]
    Raise(#[source] Refusal),
    /// The copy is damaged or cannot be read.
    #[error("{}: the copy does not pass: {error}", .path.display())]
    Verify {
        /// The folder in which the copy was made.
        path: PathBuf,
        /// The check that failed.
        error: VerifyError,
    },
    /// The copy cannot take its place.
    #[error("{}: {error}", .path.display())]
    Replace {
        /// The folder that the copy should replace.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Restores the backup `from` to the folder `to`, which is empty or does not exist. All session
/// numbers grow by 2^32, so none that the original gave out is given out again.
///
/// `now` is the time of the batch that raises them. `progress` gets the step, and the bytes of the
/// journal: those done, and all.
pub fn restore(
    from: &dyn Disk,
    to: &Path,
    now: Timestamp,
    progress: &mut dyn FnMut(RestoreStep, u64, u64),
) -> Result<Restored, RestoreError> {
    audit::verify(from, &[], &mut |done, whole| progress(RestoreStep::VerifyBackup, done, whole))
        .map_err(RestoreError::Backup)?;
    let path = resolve(to).map_err(|error| place(to, error.into()))?;
    let empty = Folder::lock_empty(&path).map_err(|error| place(&path, error))?;
    let staging = Staging::make(&path)?;
    let verified = staging.fill(from, now, progress)?;
    staging.replace(&empty, &path)?;
    Ok(Restored { path, verified })
}

/// A link stays where it is: the folder that it leads to is replaced.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        // Without a slash at its end, which would put what is next to it inside.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(path.components().collect()),
        resolved => resolved,
    }
}

fn place(path: &Path, error: PlaceError) -> RestoreError {
    RestoreError::Place { path: path.to_owned(), error }
}

/// A folder next to the ledger's, in the same file system, in which the copy is made. It is removed
/// unless it has taken the ledger's place.
struct Staging(PathBuf);

impl Staging {
    fn make(path: &Path) -> Result<Self, RestoreError> {
        let mut staging = path.as_os_str().to_owned();
        staging.push(".restoring");
        let staging = PathBuf::from(staging);
        match DirBuilder::new().mode(0o700).create(&staging) {
            Ok(()) => Ok(Self(staging)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(RestoreError::CutOff(staging))
            }
            Err(error) => Err(place(&staging, error.into())),
        }
    }

    /// Copies, raises every session number, and verifies the outcome.
    fn fill(
        &self,
        from: &dyn Disk,
        now: Timestamp,
        progress: &mut dyn FnMut(RestoreStep, u64, u64),
    ) -> Result<Verified, RestoreError> {
        let path = || self.0.clone();
        let folder = Arc::new(self.lock()?);
        audit::backup(from, &*folder, &mut |done, whole| progress(RestoreStep::Copy, done, whole))
            .map_err(|error| RestoreError::Copy { to: path(), error })?;
        let disk = Arc::clone(&folder) as Arc<dyn Disk>;
        // The id given here is for a new ledger. This one has its own.
        let (mut ledger, _) = Ledger::open(disk, StoreOptions::default(), [0; 16])
            .map_err(|error| RestoreError::Open { path: path(), error })?;
        ledger.raise(now).map_err(RestoreError::Raise)?;
        // Writes the superblock too, which says that the raise is durable.
        ledger.rest();
        drop(ledger);
        audit::verify(&*folder, &[], &mut |done, whole| {
            progress(RestoreStep::VerifyCopy, done, whole);
        })
        .map_err(|error| RestoreError::Verify { path: path(), error })
    }

    fn replace(self, empty: &Folder, path: &Path) -> Result<(), RestoreError> {
        self.lock()?
            .replace(empty)
            .map_err(|error| RestoreError::Replace { path: path.to_owned(), error })
    }

    fn lock(&self) -> Result<Folder, RestoreError> {
        let locked = Folder::lock(&self.0).map_err(PlaceError::System);
        locked
            .and_then(|folder| folder.ok_or(PlaceError::InUse))
            .map_err(|error| place(&self.0, error))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Where it has taken the ledger's place, nothing has this name. What cannot be removed is
        // reported by the next restore.
        drop(fs::remove_dir_all(&self.0));
    }
}
