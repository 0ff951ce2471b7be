//! `ddes ledger backup` and `restore`.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ddes_ledger::audit::{self, Verified};
use ddes_ledger::store::{Disk, Folder, Options, StoreError};
use ddes_ledger::{Ledger, Timestamp};

use super::folder::{self, Books, in_use, lock_empty, unusable};
use super::{verify, watched};
use crate::args::{BackupArgs, OutputArgs, RestoreArgs};
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::screen::Screen;

pub(super) fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let books = Books::look(&args.books)?;
    let output = &args.books.output;
    // Before a folder is made for it.
    if !books.holds_one()? {
        return Err(books.failure(StoreError::Missing));
    }
    let to = lock_empty(&args.to)?;
    copy(&books.folder, &books.path, &to, output)
        .map_err(|failure| failure.after(&format!("{} is not a backup", args.to.display())))?;
    let verified = verify::copy(&to, output)?;
    let text = format!("{} is backed up in {}", books.path.display(), args.to.display());
    let line = verify::line("backup", &text, &verified, &args.to);
    Screen::of(output).show_done(&line.with("of", books.path.display().to_string()))
}

impl Books {
    fn holds_one(&self) -> Result<bool, Failure> {
        let names = self.folder.list().map_err(|error| unusable(&self.path, &error))?;
        Ok(names.iter().any(|name| name.starts_with("journal-") || name.starts_with("checkpoint-")))
    }
}

fn copy(from: &Folder, path: &Path, to: &Folder, output: &OutputArgs) -> Result<(), Failure> {
    let copied = watched(output.quiet, "Copying", |progress| audit::backup(from, to, progress));
    copied.map(drop).map_err(|error| {
        // These come of writing, and what is copied is only read.
        let is_of_writing = |kind| {
            matches!(
                kind,
                ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::FileTooLarge
            )
        };
        match &error {
            StoreError::Disk { error: system, .. } if is_of_writing(system.kind()) => {
                folder::of_store(to.path(), error)
            }
            StoreError::Disk { .. } | StoreError::Damaged(_) | StoreError::Missing | StoreError::Taken => {
                folder::of_store(path, error)
            }
        }
    })
}

/// The copy is made and raised beside the place it is for, and takes it in one step: a ledger restored by half, or not raised, is never where a server looks.
pub(super) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let home = Home::find(&args.books.home)?;
    let path = folder::place(&args.books, &home)?;
    let output = &args.books.output;
    let from = folder::look(&args.from)?;
    if folder::is_mount_point(&path) {
        return Err(Failure::new(
            Code::Usage,
            format!("{} is a mount point, which nothing else can take the place of", path.display()),
        )
        .next(format!("--ledger {}/ledger, a folder below it, here and for ddes serve", path.display())));
    }
    watched(output.quiet, "Verifying the backup", |progress| audit::verify(&from, &[], progress))
        .map_err(|error| verify::failure(&args.from, error))?;
    // A link stays where it is; what it leads to is replaced.
    let path = match fs::canonicalize(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => path,
        found => found.map_err(|error| unusable(&path, &error))?,
    };
    let empty = lock_empty(&path)?;
    let beside = Beside::make(&path)?;
    let verified = beside.fill(&from, &args.from, output)?;
    beside.put(&empty, &path)?;
    let text = format!("{} is restored from {}", path.display(), args.from.display());
    let line = verify::line("restored", &text, &verified, &path);
    let shown = Screen::of(output).show_done(&line.with("from", args.from.display().to_string()));
    if !output.quiet {
        crate::streams::say(
            "Session numbers grew by 2^32: none is given out twice. What was counted after the backup is gone from the ledger:\n\
             a client with an outbox that knows better sends nothing and stops with exit code 5; the others go on from here.",
        );
    }
    shown
}

/// A folder beside the ledger's, gone again unless it is put in its place.
struct Beside(PathBuf);

impl Beside {
    fn make(path: &Path) -> Result<Self, Failure> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".restoring");
        let beside = PathBuf::from(beside);
        match DirBuilder::new().mode(0o700).create(&beside) {
            Ok(()) => Ok(Self(beside)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Failure::new(Code::No, format!("{} is there already", beside.display()))
                    .cause("a restore was cut off; no server uses what it left")
                    .next(format!("rm -r {}     and the same command again", beside.display())))
            }
            Err(error) => Err(unusable(&beside, &error)),
        }
    }

    /// Copies, raises every session number, and verifies the outcome.
    fn fill(&self, from: &Folder, shown: &Path, output: &OutputArgs) -> Result<Verified, Failure> {
        let folder = Folder::lock(&self.0).map_err(|error| unusable(&self.0, &error))?;
        let folder = Arc::new(folder.ok_or_else(|| in_use(&self.0))?);
        copy(from, shown, &folder, output)?;
        let disk = Arc::clone(&folder) as Arc<dyn Disk>;
        // It has an id.
        let (mut ledger, _) = Ledger::open(disk, Options::default(), [0; 16])
            .map_err(|error| folder::of_store(&self.0, error))?;
        let now = crate::screen::time(SystemTime::now());
        let now = u64::try_from(now.as_microsecond()).map_or_else(|_| Timestamp::default(), Timestamp);
        ledger.raise(now).map_err(|refusal| {
            Failure::new(Code::No, format!("the session numbers cannot be raised: {refusal}"))
                .cause("the disk is full or failed, or the ledger was restored 65,535 times")
        })?;
        // With the mark that it is durable.
        ledger.rest();
        drop(ledger);
        verify::copy(&folder, output)
    }

    fn put(self, empty: &Folder, path: &Path) -> Result<(), Failure> {
        let folder = Folder::lock(&self.0).map_err(|error| unusable(&self.0, &error))?;
        let folder = folder.ok_or_else(|| in_use(&self.0))?;
        folder.replace(empty).map_err(|error| {
            unusable(path, &error)
                .cause("a server was started with it meanwhile, or the folder is a mount point")
                .next("--ledger DIR with a folder below it")
        })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It is this process's own; in its place it has another name.
        drop(fs::remove_dir_all(&self.0));
    }
}
