//! `ddes ledger backup` and `restore`.

use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use ddes_ledger::store::{StoreError, holds_ledger};
use ddes_ledger::{RestoreError, RestoreStep, Restored, Timestamp, audit};

use super::folder::{self, Books, lock_empty, unusable};
use super::{verify, watched, watched_steps};
use crate::args::{BackupArgs, RestoreArgs};
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::screen::Screen;

pub(super) fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let books = Books::look(&args.books)?;
    let output = &args.books.output;
    // Before a folder is made for it.
    if !holds_ledger(&books.folder).map_err(|error| unusable(&books.path, &error))? {
        return Err(books.failure(StoreError::Missing));
    }
    let to = lock_empty(&args.to)?;
    watched(output.quiet, "Copying", |progress| audit::backup(&books.folder, &to, progress))
        .map_err(|error| of_copying(&books.path, &args.to, error))
        .map_err(|failure| failure.after(&format!("{} is not a backup", args.to.display())))?;
    let verified = verify::copy(&to, output)?;
    let text = format!("{} is backed up in {}", books.path.display(), args.to.display());
    let line = verify::line("backup", &text, &verified, &args.to);
    Screen::of(output).show_done(&line.with("of", books.path.display().to_string()))
}

/// What a copy that failed is to be said of: the folder that is read, or the one that is written.
fn of_copying(from: &Path, to: &Path, error: StoreError) -> Failure {
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
            folder::of_store(to, error)
        }
        StoreError::Disk { .. }
        | StoreError::Damaged(_)
        | StoreError::Missing
        | StoreError::Taken => folder::of_store(from, error),
    }
}

pub(super) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let home = Home::find(&args.books.home)?;
    let path = folder::place(&args.books, &home)?;
    let output = &args.books.output;
    let from = folder::look(&args.from)?;
    if folder::is_mount_point(&path) {
        return Err(folder::mount_point(&path));
    }
    let now = crate::screen::time(SystemTime::now());
    let now = u64::try_from(now.as_microsecond()).map_or_else(|_| Timestamp::default(), Timestamp);
    let restored = watched_steps(output.quiet, name_of, |progress| {
        ddes_ledger::restore(&from, &path, now, progress)
    });
    let Restored { path, verified } = restored.map_err(|error| of_restoring(&args.from, error))?;
    let text = format!("{} is restored from {}", path.display(), args.from.display());
    let line = verify::line("restored", &text, &verified, &path);
    let shown = Screen::of(output).show_done(&line.with("from", args.from.display().to_string()));
    if !output.quiet {
        crate::streams::say(
            "Session numbers grew by 2^32: none is given out twice. What was counted after the \
             backup is gone from the ledger:\n\
             a client with an outbox that knows better sends nothing and stops with exit code 5; \
             the others go on from here.",
        );
    }
    shown
}

fn name_of(step: RestoreStep) -> &'static str {
    match step {
        RestoreStep::VerifyBackup => "Verifying the backup",
        RestoreStep::Copy => "Copying",
        RestoreStep::VerifyCopy => "Verifying the copy",
    }
}

fn of_restoring(from: &Path, error: RestoreError) -> Failure {
    match error {
        RestoreError::Backup(error) => verify::failure(from, error)
            .next("another backup; ddes ledger verify --ledger DIR says which is whole"),
        RestoreError::Place { path, error } => folder::of_place(&path, error),
        RestoreError::CutOff(left) => {
            Failure::new(Code::No, format!("{} is there already", left.display()))
                .cause("a restore was cut off; no server uses what it left")
                .next(format!("rm -r {}     and the same command again", left.display()))
        }
        RestoreError::Copy { to, error } => of_copying(from, &to, error),
        RestoreError::Open { path, error } => folder::of_store(&path, error),
        RestoreError::Raise(refusal) => {
            Failure::new(Code::No, format!("the session numbers cannot be raised: {refusal}"))
                .cause("the disk is full or failed, or the ledger was restored 65,535 times")
        }
        RestoreError::Verify { path, error } => verify::failure(&path, error),
        RestoreError::Replace { path, error } => unusable(&path, &error)
            .cause("a server was started with it meanwhile, or the folder is a mount point")
            .next("--ledger DIR with a folder below it"),
    }
}
