//! Where a ledger lies, and what is said where it cannot be used.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ddes_ledger::AccountId;
use ddes_ledger::audit::View;
use ddes_ledger::store::{Folder, PlaceError, StoreError};

use super::account;
use super::database;
use super::migrate::moved_to;
use crate::args::BooksArgs;
use crate::failure::{Code, Failure};
use crate::home::{self, Home};

/// A ledger to read, which a server may be writing.
pub(super) struct Books {
    pub(super) home: Home,
    pub(super) path: PathBuf,
    pub(super) folder: Folder,
    /// The flags that name it once more, for a hint.
    pub(super) flags: String,
}

impl Books {
    pub(super) fn look(args: &BooksArgs) -> Result<Self, Failure> {
        let home = Home::find(&args.home)?;
        let path = place(args, &home)?;
        let folder = look(&path)?;
        if let (Some(went), false) = (moved_to(&path, &folder)?, args.output.quiet) {
            crate::streams::say(&format!(
                "Note: the ledger {} was moved to {went}.",
                path.display()
            ));
        }
        let ledger =
            args.ledger.as_ref().map_or_else(String::new, |path| home::named("--ledger", path));
        Ok(Self { home, path, folder, flags: home::flag() + &ledger })
    }

    /// The account that a person means.
    pub(super) fn named(&self, text: &str) -> Result<AccountId, Failure> {
        account::named(text, &self.home, None, &self.flags, |is_meant| {
            Ok(self.view()?.accounts().map(|(id, _)| id).find(|id| is_meant(id)))
        })
    }

    /// As it stands now.
    pub(super) fn view(&self) -> Result<View, Failure> {
        View::read(&self.folder).map_err(|error| self.failure(error))
    }

    pub(super) fn failure(&self, error: StoreError) -> Failure {
        of_store(&self.path, error)
    }
}

/// The folder that is meant.
pub(super) fn place(args: &BooksArgs, home: &Home) -> Result<PathBuf, Failure> {
    let path = args.ledger.clone().unwrap_or_else(|| home.ledger());
    if let Some(place) = database(&path) {
        let failure = "this command is for a ledger in a folder";
        return place.and(Err(Failure::new(Code::Usage, failure)
            .next("pg_dump, pg_basebackup or the backups of the database for one in PostgreSQL")));
    }
    if path == Path::new("memory") {
        return Err(Failure::new(Code::Usage, "a ledger in memory is its server's alone")
            .next("`totals` on the server's console; or ddes serve --ledger DIR"));
    }
    Ok(path)
}

/// A folder to read.
pub(super) fn look(path: &Path) -> Result<Folder, Failure> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Folder::look(path).map_err(|error| unusable(path, &error)),
        Ok(_) => Err(Failure::new(Code::Usage, format!("{} is not a folder", path.display()))
            .next("--ledger DIR, as for ddes serve")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(of_store(path, StoreError::Missing))
        }
        Err(error) => Err(unusable(path, &error)),
    }
}

/// Takes a folder, made if it is not there, that holds nothing.
pub(super) fn lock_empty(path: &Path) -> Result<Folder, Failure> {
    Folder::lock_empty(path).map_err(|error| of_place(path, error))
}

/// A folder that cannot be taken for a new ledger.
pub(super) fn of_place(path: &Path, error: PlaceError) -> Failure {
    let shown = path.display();
    match error {
        PlaceError::InUse => in_use(path),
        PlaceError::System(error) => unusable(path, &error),
        PlaceError::NotEmpty if is_mount_point(path) => Failure::new(
            Code::Usage,
            format!("{shown} is not empty, and a mount point, which cannot be renamed"),
        )
        .next(format!("a folder below it: {shown}/ledger")),
        PlaceError::NotEmpty => {
            Failure::new(Code::Usage, format!("the folder {shown} is not empty"))
                .next(format!("mv {shown} {shown}.old     or name another one"))
        }
    }
}

/// Whether a file system, or a part of one, is mounted there. Where it cannot be told, whoever
/// replaces the folder hears of it.
#[cfg(target_os = "linux")]
pub(super) fn is_mount_point(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    let Ok(path) = fs::canonicalize(path) else { return false };
    let flags = AtFlags::empty();
    let attributes = statx(CWD, &path, flags, StatxFlags::BASIC_STATS);
    let root = StatxAttributes::MOUNT_ROOT;
    attributes.is_ok_and(|found| {
        found.stx_attributes_mask.contains(root) && found.stx_attributes.contains(root)
    })
}

/// The same where it shows by the numbers of the file systems alone.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let Ok(path) = fs::canonicalize(path) else { return false };
    let above = path.parent().map(fs::metadata);
    match (fs::metadata(&path), above) {
        (Ok(found), Some(Ok(above))) => found.dev() != above.dev(),
        (Ok(_) | Err(_), _) => false,
    }
}

/// A place that a whole folder is to take.
pub(super) fn mount_point(path: &Path) -> Failure {
    let shown = path.display();
    let what = format!("{shown} is a mount point, which nothing else can take the place of");
    Failure::new(Code::Usage, what)
        .next(format!("--ledger {shown}/ledger, a folder below it, here and for ddes serve"))
}

/// Another process has the ledger.
pub(crate) fn in_use(path: &Path) -> Failure {
    Failure::new(Code::No, format!("the ledger {} is in use by another process", path.display()))
        .cause("a server of the same home is running")
        .next("--ledger DIR or --home DIR for a second one")
}

/// What puts a backup in the place of a ledger. The old folder stays, as evidence.
pub(super) fn restoring(path: &Path) -> String {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    format!(
        "mv {} {} && ddes ledger restore BACKUP{}{}",
        home::quoted(path),
        home::quoted(Path::new(&aside)),
        home::flag(),
        home::named("--ledger", path)
    )
}

/// A ledger that cannot be read.
pub(crate) fn of_store(path: &Path, error: StoreError) -> Failure {
    let shown = path.display();
    match error {
        StoreError::Damaged(damage) => Failure::new(
            Code::Integrity,
            format!("the ledger {shown} is damaged: {damage}"),
        )
        .cause(
            "the disk, or another program, changed or lost what was acknowledged; nothing was \
                changed now",
        )
        .next(format!(
            "ddes ledger verify{}     (all of it), then, with the server stopped: {}",
            home::named("--ledger", path),
            restoring(path)
        )),
        StoreError::Missing => Failure::new(Code::No, format!("there is no ledger in {shown}"))
            .cause("no server has run with it yet, or it is elsewhere")
            .next("--ledger DIR or --home DIR, as for ddes serve"),
        StoreError::Taken => Failure::new(
            Code::Usage,
            format!(
                "there is a ledger in {shown} \
            already"
            ),
        )
        .next("name an empty folder"),
        StoreError::Disk { error, .. } if error.kind() == ErrorKind::ResourceBusy => in_use(path),
        StoreError::Disk { file, error } if error.kind() == ErrorKind::TooManyLinks => {
            let segment = path.join(&file);
            let segment = segment.display();
            Failure::system(&format!("the ledger {shown}, {file}"), &error)
                .cause(
                    "what is written here would change that copy too, and the other way round (cp \
                     -al, ln)",
                )
                .next(format!(
                    "cp -p {segment} {segment}.own && mv {segment}.own {segment}     in the copy \
                     to be used"
                ))
        }
        StoreError::Disk { file, error }
            if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            Failure::system(&format!("the ledger {shown}, {file}"), &error)
                .cause("the disk is full")
                .next("make some room, and the same command again")
        }
        StoreError::Disk { file, error } if error.kind() == ErrorKind::FileTooLarge => {
            Failure::system(&format!("the ledger {shown}, {file}"), &error)
                .cause("this user's files may not be as long as a segment: ulimit -f")
                .next("ulimit -f unlimited; for a service LimitFSIZE=infinity")
        }
        StoreError::Disk { file, error } if error.kind() == ErrorKind::NotFound => {
            Failure::system(&format!("the ledger {shown}, {file}"), &error)
                .cause("its server replaced or deleted it meanwhile (--history-days)")
                .next("the same command again")
        }
        StoreError::Disk { file, error } => {
            Failure::system(&format!("the ledger {shown}, {file}"), &error)
        }
    }
}

/// A folder that the system does not give.
pub(crate) fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::system(&format!("the ledger {}", path.display()), error)
}
