//! `ddes ledger migrate`: a ledger goes from a folder to a database, or back.

use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use ddes_ledger::audit::{self, Footing};
use ddes_ledger::store::{Disk, Folder, StoreError, holds_ledger};
use ddes_ledger::{
    Arrival, ArrivalError, ChangesError, ImportError, Restored, Timestamp, Totals, changes,
};
use ddes_ledger_postgres::audit::HistoryReader;
use ddes_ledger_postgres::{
    BegunArrival, DatabaseArrival, DatabaseDeparture, DatabaseUrl, MigrateError,
};
use ddes_wire::shown::plain;

use super::database::{database, name, of_connect};
use super::{folder, shared, verify, watched, watched_accounts, with_totals};
use crate::args::MigrateArgs;
use crate::failure::{Code, Failure};
use crate::home;
use crate::screen::{Line, Screen};

/// A file in the folder of a ledger that has left: where to.
const MOVED: &str = "moved";
/// The file until it has all its bytes.
const MOVED_NEW: &str = "moved.new";
const MOVED_BYTES_MAX: u64 = 4096;

pub(super) fn run(args: &MigrateArgs) -> Result<(), Failure> {
    if [&args.from, &args.to].iter().any(|path| path.as_path() == Path::new("memory")) {
        return Err(of_kind("a ledger in memory is its server's alone", "a folder or a database"));
    }
    match (database(&args.from), database(&args.to)) {
        (None, Some(place)) => into_database(args, &place?),
        (Some(place), None) => into_folder(args, &place?),
        (None, None) => {
            Err(of_kind("both are folders", "ddes ledger backup and ddes ledger restore"))
        }
        (Some(_), Some(_)) => Err(of_kind("both are databases", "pg_dump and pg_restore")),
    }
}

fn of_kind(cause: &str, next: &str) -> Failure {
    Failure::new(Code::Usage, "ddes ledger migrate goes from a folder to a database, or back")
        .cause(cause)
        .next(next)
}

fn into_database(args: &MigrateArgs, place: &DatabaseUrl) -> Result<(), Failure> {
    let (from, quiet) = (&args.from, args.output.quiet);
    let folder = taken(from)?;
    // One that went elsewhere must not go to a second place too.
    let went = moved_to(from, &folder)?;
    if went.as_ref().is_some_and(|went| *went != place.to_string()) {
        return Err(of_moved(from, went.as_deref()));
    }
    let store = |error| folder::of_store(from, error);
    let verified = watched(quiet, "Verifying", |progress| audit::verify(&folder, &[], progress));
    let verified = verified.map_err(|error| verify::failure(from, error))?;
    if verified.footing != Footing::Beginning {
        return Err(trimmed(from, verified.first));
    }
    let id = audit::id(&folder).map_err(store)?;
    let failed = |error| of_migrating(args, place, error);
    let begun = DatabaseArrival::begin(place, id, args.require_standby, went.is_some());
    let mut arrival = match begun.map_err(failed)? {
        BegunArrival::Begun { arrival, warnings } => {
            warn(args, &warnings);
            arrival
        }
        BegunArrival::IsThere => return is_there(args, &place.to_string(), &name(&id)),
    };
    let departure = watched(quiet, "Moving", |progress| {
        changes(&folder, progress, &mut |change| arrival.take(change))
    });
    let departure = departure.map_err(|error| match error {
        ChangesError::Store(error) => folder::of_store(from, error),
        ChangesError::Trimmed(first) => trimmed(from, first),
        ChangesError::Stopped(error) => of_migrating(args, place, error),
    })?;
    let compared =
        watched_accounts(quiet, "Comparing", |progress| arrival.complete(&departure, progress));
    let found = compared.map_err(failed)?;
    // Before servers may have it: of two ledgers that go on, clients would find either.
    mark(&folder, place).map_err(store)?;
    arrival.open().map_err(failed)?;
    if departure.was_raised() && !args.output.quiet {
        crate::streams::say(
            "This ledger was restored before. An identity that the restore lost begins with session \
             1 again: a client with an outbox that knows better stops with exit code 5.",
        );
    }
    said(args, &place.to_string(), &name(&id), &found.totals)
}

/// Takes the folder of a ledger, so that no server writes it.
fn taken(path: &Path) -> Result<Folder, Failure> {
    let found = folder::look(path)?;
    if !holds_ledger(&found).map_err(|error| folder::unusable(path, &error))? {
        return Err(folder::of_store(path, StoreError::Missing));
    }
    drop(found);
    let locked = Folder::lock(path).map_err(|error| folder::unusable(path, &error))?;
    locked.ok_or_else(|| {
        folder::in_use(path).next("stop the server first: what it counts meanwhile would stay here")
    })
}

fn trimmed(path: &Path, first: u64) -> Failure {
    let what = format!("the history of {} begins at batch {first}", path.display());
    Failure::new(Code::No, what)
        .cause("--history-days dropped what was before; an account in a database is its history")
        .next("a ledger whose history is kept, or a new one beside it: ddes serve --new-ledger")
}

/// Writes down where a ledger went.
fn mark(folder: &Folder, place: &DatabaseUrl) -> Result<(), StoreError> {
    let text = format!("{place}\n");
    let written = folder.create(MOVED_NEW, text.len() as u64).and_then(|file| {
        file.write_at(0, text.as_bytes())?;
        file.sync()
    });
    let written = written.and_then(|()| folder.publish(MOVED_NEW, MOVED));
    written.map_err(|error| StoreError::Disk { file: MOVED.into(), error })
}

/// Refuses the folder of a ledger that has left.
pub(crate) fn refuse_moved(path: &Path, folder: &Folder) -> Result<(), Failure> {
    let went = moved_to(path, folder)?;
    went.map_or(Ok(()), |went| Err(of_moved(path, Some(&went))))
}

fn of_moved(path: &Path, went: Option<&str>) -> Failure {
    let what = format!("the ledger {} was moved, and goes on elsewhere", path.display());
    let failure = Failure::new(Code::No, what);
    // Whoever wrote the file may have written anything.
    let went = went.filter(|went| DatabaseUrl::parse(went).is_ok());
    let there = went.map_or("--ledger with the place where it is".to_owned(), |went| {
        home::named("--ledger", Path::new(went)).trim_start().to_owned()
    });
    let next = format!(
        "{there}. To go on with what was counted until then, in another folder: ddes ledger \
         backup and ddes ledger restore"
    );
    match went {
        Some(went) => failure.cause(format!("it went to {went}")).next(next),
        None => failure.next(next),
    }
}

/// Where a ledger went; `None` if it did not.
pub(crate) fn moved_to(path: &Path, folder: &Folder) -> Result<Option<String>, Failure> {
    let unusable = |error| folder::of_store(path, StoreError::Disk { file: MOVED.into(), error });
    let file = match folder.open(MOVED) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error)),
    };
    let bytes = file.len().map_err(unusable)?.min(MOVED_BYTES_MAX);
    // At most MOVED_BYTES_MAX.
    let mut text = vec![0; usize::try_from(bytes).unwrap_or(0)];
    file.read_at(0, &mut text).map_err(unusable)?;
    Ok(Some(plain(&String::from_utf8_lossy(text.trim_ascii()))))
}

fn warn(args: &MigrateArgs, warnings: &[String]) {
    if !args.output.quiet {
        // The owner of the tables may do what a server's role should not.
        let of_all = warnings.iter().filter(|why| !why.starts_with("this role "));
        of_all.for_each(|why| crate::streams::say(&format!("Warning: {why}.")));
    }
}

/// The last step was done, and not heard of.
fn is_there(args: &MigrateArgs, to: &str, ledger: &str) -> Result<(), Failure> {
    let from = shown(&args.from);
    let text = format!("{from} was moved to {to} already, and goes on there");
    let line = Line::new("migrated_before", text).with("from", from);
    Screen::of(&args.output).show_done(&line.with("path", to).with("ledger", ledger))
}

fn into_folder(args: &MigrateArgs, place: &DatabaseUrl) -> Result<(), Failure> {
    let (to, quiet) = (&args.to, args.output.quiet);
    if folder::is_mount_point(to) {
        return Err(folder::mount_point(to));
    }
    let failed = |error| of_migrating(args, place, error);
    let reader = HistoryReader::open(place);
    let flags = home::named("--ledger", Path::new(&place.to_string()));
    let reader = reader.map_err(|error| shared::of_audit(place, &flags, error))?;
    if reader.has_left() && holds(to, &reader.ledger())? {
        return is_there(args, &shown(to), &name(&reader.ledger()));
    }
    let is_begun = Arrival::is_begun(to).map_err(|error| folder::unusable(to, &error))?;
    let (departure, warnings) = DatabaseDeparture::begin(place, is_begun).map_err(failed)?;
    warn(args, &warnings);
    let arriving = |error| of_arriving(args, error);
    let mut arrival = Arrival::begin(to, departure.ledger()).map_err(arriving)?;
    let totals = watched_accounts(quiet, "Moving", |progress| {
        fill(args, place, &departure, &mut arrival, progress)
    })?;
    let now = time();
    let arrived = watched(quiet, "Verifying", |progress| arrival.complete(now, progress));
    let arrived = arrived.map_err(arriving)?;
    if arrived.verified().totals != totals {
        let what = format!("the totals in {} are not those of the database", to.display());
        return Err(Failure::new(Code::Integrity, what).next("the same command again"));
    }
    let ledger = name(&departure.ledger());
    // Before it can be opened: of two ledgers that go on, clients would find either.
    departure.leave().map_err(failed)?;
    let Restored { path, verified } = arrived.settle().map_err(arriving)?;
    said(args, &path.display().to_string(), &ledger, &verified.totals)
}

/// Whether a folder holds the ledger of this id.
fn holds(path: &Path, id: &[u8; 16]) -> Result<bool, Failure> {
    if !path.is_dir() {
        return Ok(false);
    }
    let found = folder::look(path)?;
    let has_one = holds_ledger(&found).map_err(|error| folder::unusable(path, &error))?;
    Ok(has_one && audit::id(&found).is_ok_and(|found| found == *id))
}

/// Copies every entry, and compares each account.
fn fill(
    args: &MigrateArgs,
    place: &DatabaseUrl,
    departure: &DatabaseDeparture,
    arrival: &mut Arrival,
    progress: audit::ReadProgress<'_>,
) -> Result<Totals, Failure> {
    let (mut failure, mut seen) = (None, 0);
    let now = time();
    let arrival = std::cell::RefCell::new(arrival);
    let mut other = None;
    let read = departure.read(
        &mut |entry| {
            // It has passed: its values can be read.
            let Some(change) = entry.change() else { return false };
            failure = arrival.borrow_mut().take(now, &change).err();
            failure.is_none()
        },
        &mut |row| {
            seen += 1;
            progress(seen, seen);
            let is_same = arrival.borrow().account(&row.id) == Some(row.account);
            other = (!is_same).then_some(row.id);
            is_same
        },
    );
    if let Some(error) = failure {
        return Err(of_arriving(args, error));
    }
    if let Some(id) = other {
        let what = format!("account {id} is not the same in {}", args.to.display());
        return Err(Failure::new(Code::Integrity, what)
            .cause("the folder that an earlier attempt left is of another ledger")
            .next(format!(
                "rm -r {}.migrating     and the same command again",
                args.to.display()
            )));
    }
    let verified = read.map_err(|error| {
        let flags = home::named("--ledger", Path::new(&place.to_string()));
        shared::of_audit(place, &flags, error)
    })?;
    Ok(verified.totals)
}

fn time() -> Timestamp {
    let now = crate::screen::time(SystemTime::now());
    u64::try_from(now.as_microsecond()).map_or_else(|_| Timestamp::default(), Timestamp)
}

fn said(args: &MigrateArgs, to: &str, ledger: &str, totals: &Totals) -> Result<(), Failure> {
    let from = shown(&args.from);
    let text = format!(
        "{from} is moved to {to}, and goes on there\n  accounts     {}\n  count        {}\n  \
         sum          {}",
        totals.accounts, totals.count, totals.sum
    );
    let line = with_totals(Line::new("migrated", text), totals);
    let line = line.with("from", from).with("path", to).with("ledger", ledger);
    let shown = Screen::of(&args.output).show_done(&line);
    if !args.output.quiet {
        crate::streams::say(
            "Session numbers grew by 2^32: none is given out twice. What was moved stays where it \
             was, as evidence; no server takes it.",
        );
    }
    shown
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn of_migrating(args: &MigrateArgs, place: &DatabaseUrl, error: MigrateError) -> Failure {
    let again = "the same command again: it goes on from there";
    match error {
        MigrateError::Connect(error) => of_connect(place, error),
        MigrateError::Failed(why) => {
            Failure::new(Code::Connect, format!("the database {place}: {why}"))
                .cause("it stopped, or another program holds its tables")
                .next(again)
        }
        MigrateError::NotEmpty => {
            Failure::new(Code::No, format!("the database {place} holds accounts already"))
                .cause("a server has run with it, or another ledger is in it")
                .next("an empty database, with tables by ddes ledger init --run")
        }
        MigrateError::Differs(why) => {
            Failure::new(Code::Integrity, format!("the database {place}: {why}"))
                .cause("a server or a person wrote its tables meanwhile")
                .next("stop them; a new database, with tables by ddes ledger init --run")
        }
        MigrateError::NoSessions(id) => Failure::new(
            Code::No,
            format!("account {id} of {} has no session numbers left", args.from.display()),
        )
        .cause("the ledger was restored or moved 65,535 times"),
        MigrateError::Audit(error) => {
            let flags = home::named("--ledger", Path::new(&place.to_string()));
            shared::of_audit(place, &flags, error)
        }
        MigrateError::System(error) => Failure::system("cannot wait for the database", &error),
    }
}

fn of_arriving(args: &MigrateArgs, error: ArrivalError) -> Failure {
    match error {
        ArrivalError::Place { path, error } => folder::of_place(&path, error),
        ArrivalError::Other(left) => another(&left),
        ArrivalError::Store { path, error } => folder::of_store(&path, error),
        ArrivalError::Import { path, error: ImportError::Unavailable } => {
            Failure::new(Code::No, format!("{} cannot be written", path.display()))
                .cause("the disk is full, or failed")
                .next("make some room, and the same command again: it goes on from there")
        }
        ArrivalError::Import { path, error: error @ ImportError::Misplaced { .. } } => {
            Failure::new(Code::Integrity, format!("{}: {error}", path.display()))
                .cause("the folder that an earlier attempt left is of another ledger")
                .next(format!("rm -r {}     and the same command again", path.display()))
        }
        ArrivalError::Raise(refusal) => {
            Failure::new(Code::No, format!("the session numbers cannot be raised: {refusal}"))
                .cause("the disk is full or failed, or the ledger was moved 65,535 times")
        }
        ArrivalError::Verify { path, error } => verify::failure(&path, error),
        ArrivalError::Replace { path, error } => folder::unusable(&path, &error)
            .cause("a server was started with it meanwhile, or the folder is a mount point")
            .next(format!(
                "ddes ledger migrate {} DIR with another folder",
                home::quoted(&args.from)
            )),
    }
}

fn another(left: &Path) -> Failure {
    Failure::new(Code::No, format!("{} is there already", left.display()))
        .cause("it was left when another ledger was moved here")
        .next(format!("rm -r {}     and the same command again", left.display()))
}
