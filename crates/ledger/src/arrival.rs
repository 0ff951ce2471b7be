//! A ledger that comes from another store into a folder.
//!
//! It is written to a folder next to its place, which takes the place when all of it is there. What
//! was cut off stays in that folder, and the next attempt goes on from it.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::audit::{self, ReadProgress, Verified, VerifyError};
use crate::restore::{Restored, resolve};
use crate::store::{Disk, DiskFile, Folder, PlaceError, StoreError, StoreOptions};
use crate::{Account, AccountChange, AccountId, ImportError, Ledger, Refusal, Timestamp};

/// Why a ledger did not arrive. The place is as it was before, or an empty folder.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    /// A folder cannot be used: the ledger's, or the one next to it.
    #[error("{}: {error}", .path.display())]
    Place {
        /// The path of the unusable folder.
        path: PathBuf,
        /// Why it cannot be used.
        error: PlaceError,
    },
    /// The folder next to the place holds another ledger's beginning.
    #[error("{} is left from another ledger", .0.display())]
    Other(PathBuf),
    /// The folder next to the place cannot be opened or written.
    #[error("{}: {error}", .path.display())]
    Store {
        /// Its path.
        path: PathBuf,
        /// What failed.
        error: StoreError,
    },
    /// A change could not be taken.
    #[error("{}: {error}", .path.display())]
    Import {
        /// Where it was to be written.
        path: PathBuf,
        /// Why it was not.
        error: ImportError,
    },
    /// The session numbers cannot be raised.
    #[error("the session numbers cannot be raised: {0}")]
    Raise(#[source] Refusal),
    /// What was written does not pass.
    #[error("{}: {error}", .path.display())]
    Verify {
        /// Where it was written.
        path: PathBuf,
        /// The check that failed.
        error: VerifyError,
    },
    /// It cannot take its place.
    #[error("{}: {error}", .path.display())]
    Replace {
        /// The place.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A ledger on its way into a folder.
#[derive(Debug)]
pub struct Arrival {
    path: PathBuf,
    staging: PathBuf,
    empty: Folder,
    folder: Arc<Folder>,
    ledger: Ledger,
    /// Whether an earlier attempt had written a part.
    pub goes_on: bool,
}

/// The folder next to a place.
fn staging_of(path: &Path) -> PathBuf {
    let mut staging = path.as_os_str().to_owned();
    staging.push(".migrating");
    staging.into()
}

impl Arrival {
    /// Whether an earlier attempt to come to `to` was cut off.
    pub fn is_begun(to: &Path) -> io::Result<bool> {
        staging_of(&resolve(to)?).try_exists()
    }

    /// Makes the folder next to `to`, which is empty or does not exist, or takes the one that was
    /// cut off. `id` is the ledger's.
    pub fn begin(to: &Path, id: [u8; 16]) -> Result<Self, ArrivalError> {
        let path = resolve(to).map_err(|error| place(to, error.into()))?;
        let empty = Folder::lock_empty(&path).map_err(|error| place(&path, error))?;
        let staging = staging_of(&path);
        let goes_on = match DirBuilder::new().mode(0o700).create(&staging) {
            Ok(()) => false,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => true,
            Err(error) => return Err(place(&staging, error.into())),
        };
        match open(&staging, id) {
            Ok((folder, ledger)) if !goes_on || ledger.takes_more() => {
                return Ok(Self { path, staging, empty, folder, ledger, goes_on });
            }
            Ok(_) => {}
            // A crash of the machine may have left a part of what was not synced.
            Err(ArrivalError::Store { error: StoreError::Damaged(_), .. }) if goes_on => {}
            Err(error) => return Err(error),
        }
        let begun_anew = fs::remove_dir_all(&staging)
            .and_then(|()| DirBuilder::new().mode(0o700).create(&staging));
        begun_anew.map_err(|error| place(&staging, error.into()))?;
        let (folder, ledger) = open(&staging, id)?;
        Ok(Self { path, staging, empty, folder, ledger, goes_on: false })
    }

    /// Takes the next change, if it is not there yet.
    pub fn take(&mut self, now: Timestamp, change: &AccountChange) -> Result<(), ArrivalError> {
        let taken = self.ledger.import(now, change);
        taken.map(drop).map_err(|error| ArrivalError::Import { path: self.staging.clone(), error })
    }

    /// An account as it is now.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        self.ledger.account(id)
    }

    /// The ledger so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Raises every session number by 2^32, makes all of it durable, and verifies it.
    pub fn complete(
        mut self,
        now: Timestamp,
        progress: ReadProgress<'_>,
    ) -> Result<Arrived, ArrivalError> {
        self.ledger.raise(now).map_err(ArrivalError::Raise)?;
        // Writes the superblock too, which says that the raise is durable.
        self.ledger.rest();
        let Self { path, staging, empty, folder, ledger, .. } = self;
        drop(ledger);
        let store = |error| ArrivalError::Store { path: staging.clone(), error };
        sync_all(&folder).map_err(store)?;
        let verified = audit::verify(&*folder, &[], progress)
            .map_err(|error| ArrivalError::Verify { path: staging.clone(), error })?;
        drop(folder);
        Ok(Arrived { path, staging, empty, verified })
    }
}

/// A ledger that is whole, next to its place.
#[derive(Debug)]
pub struct Arrived {
    path: PathBuf,
    staging: PathBuf,
    empty: Folder,
    verified: Verified,
}

impl Arrived {
    /// What verifying it found.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// Takes its place.
    pub fn settle(self) -> Result<Restored, ArrivalError> {
        let Self { path, staging, empty, verified } = self;
        lock(&staging)?
            .replace(&empty)
            .map_err(|error| ArrivalError::Replace { path: path.clone(), error })?;
        Ok(Restored { path, verified })
    }
}

fn place(path: &Path, error: PlaceError) -> ArrivalError {
    ArrivalError::Place { path: path.to_owned(), error }
}

fn lock(path: &Path) -> Result<Folder, ArrivalError> {
    let locked = Folder::lock(path).map_err(PlaceError::System);
    locked.and_then(|folder| folder.ok_or(PlaceError::InUse)).map_err(|error| place(path, error))
}

/// The ledger of this id in a folder, which is made if it is not there.
fn open(staging: &Path, id: [u8; 16]) -> Result<(Arc<Folder>, Ledger), ArrivalError> {
    let folder = Arc::new(lock(staging)?);
    let disk = Arc::new(UnsyncedDisk(Arc::clone(&folder)));
    let (ledger, _) = Ledger::open(disk, StoreOptions::default(), id)
        .map_err(|error| ArrivalError::Store { path: staging.to_owned(), error })?;
    let name = audit::name(&*folder)
        .map_err(|error| ArrivalError::Store { path: staging.to_owned(), error })?;
    if name == audit::name_of(&id) {
        Ok((folder, ledger))
    } else {
        Err(ArrivalError::Other(staging.to_owned()))
    }
}

/// Syncs every file of a folder. Their names are durable since they were made.
fn sync_all(folder: &Folder) -> Result<(), StoreError> {
    let names = folder.list().map_err(StoreError::disk("the folder"))?;
    for name in &names {
        folder.open(name).and_then(|file| file.sync()).map_err(StoreError::disk(name))?;
    }
    Ok(())
}

/// A folder whose files are not synced with each batch: nobody is told of a batch before all of
/// them are ([`sync_all`]), and a crash leaves what the next attempt goes on from.
#[derive(Debug)]
struct UnsyncedDisk(Arc<Folder>);

#[derive(Debug)]
struct UnsyncedFile(Box<dyn DiskFile>);

impl Disk for UnsyncedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.0.open(name)
    }

    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(UnsyncedFile(self.0.claim(name)?)))
    }

    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(UnsyncedFile(self.0.create(name, zeros)?)))
    }

    fn stands(&self) -> io::Result<()> {
        self.0.stands()
    }

    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.publish(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn prepare(&self, name: &str, zeros: u64) {
        self.0.prepare(name, zeros);
    }
}

impl DiskFile for UnsyncedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
