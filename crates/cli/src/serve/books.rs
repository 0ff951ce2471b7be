//! The server's ledger: in a folder, unless it is told otherwise; in a database that other servers
//! write too, or in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ddes_ledger::store::{Disk, Folder, StoreOptions};
use ddes_ledger::{Ledger, Opened};
use ddes_ledger_postgres::{DatabaseUrl, PostgresKeeper, PostgresOptions};
use ddes_server::{DatabaseKeys, ServerBooks};

use super::systemd::Manager;
use super::{lines, settings};
use crate::args::ServeArgs;
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::ledger::{self, KnownLedgers, LedgerName};
use crate::screen::Line;
use crate::streams;

/// Opening takes a moment, or some 100 ns for each value whose history is checked.
const SAY_AFTER: Duration = Duration::from_secs(2);
const SAY_EVERY: Duration = Duration::from_secs(10);

/// A ledger that is open.
pub(super) struct OpenedBooks {
    pub(super) books: ServerBooks,
    /// What to say of it.
    pub(super) lines: Vec<Line>,
    /// Whom its database lets in, if it is in one.
    pub(super) keys: Option<DatabaseKeys>,
}

impl OpenedBooks {
    fn of_folder(ledger: Ledger, lines: Vec<Line>) -> Self {
        Self { books: ledger.into(), lines, keys: None }
    }
}

/// Opens the ledger.
pub(super) fn open(
    args: &ServeArgs,
    home: &Home,
    manager: &Manager,
) -> Result<OpenedBooks, Failure> {
    let path = args.ledger.clone().unwrap_or_else(|| home.ledger());
    if let Some(place) = ledger::database(&path) {
        return share(args, home, &path, &place?);
    }
    if args.require_standby {
        return Err(Failure::new(Code::Usage, "--require-standby is for a ledger in a database")
            .next("--ledger postgres://USER@HOST/DATABASE with it"));
    }
    if path == Path::new("memory") {
        let said = vec![lines::ledger_in_memory()];
        return Ok(OpenedBooks::of_folder(Ledger::in_memory(), said));
    }
    let known = KnownLedgers::read(home)?;
    // Before a folder is made in its place.
    if !args.new_ledger && path.try_exists().is_ok_and(|exists| !exists) {
        known.refuse_other(&path, None)?;
    }
    let folder = Folder::lock(&path).map_err(|error| {
        ledger::unusable(&path, &error)
            .or_next("--ledger DIR puts it elsewhere, --ledger memory nowhere")
    })?;
    let folder = folder.ok_or_else(|| ledger::in_use(&path))?;
    ledger::refuse_moved(&path, &folder)?;
    if !args.new_ledger {
        known.refuse_other(&path, LedgerName::read(&path, &folder)?.as_ref())?;
    }
    let folder = Arc::new(folder);
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|error| Failure::system("the system gives no randomness", &error))?;
    let mut options = StoreOptions { history: settings::history(args), ..StoreOptions::default() };
    options.checkpoint_bytes = args.checkpoint_bytes.unwrap_or(options.checkpoint_bytes);
    if let Some(bytes) = args.segment_bytes {
        options.segment_bytes = bytes;
        options.frame_bytes = usize::try_from(bytes / 16).unwrap_or(options.frame_bytes);
    }
    let reading = ReadingNotice::begin(&path, manager);
    let opened = Ledger::open(Arc::clone(&folder) as Arc<dyn Disk>, options, id);
    drop(reading);
    let (ledger, opened) = opened.map_err(|error| ledger::of_store(&path, error))?;
    if let Some(name) = LedgerName::read(&path, &folder)? {
        remember(&known, home, &name);
    }
    let lines = said(&path, &ledger, &opened);
    Ok(OpenedBooks::of_folder(ledger, lines))
}

/// The ledger in a database, if that can hold one.
fn share(
    args: &ServeArgs,
    home: &Home,
    path: &Path,
    place: &DatabaseUrl,
) -> Result<OpenedBooks, Failure> {
    if args.history_days.is_some() {
        let what = "--history-days is for a ledger in a folder: a database keeps its history";
        return Err(Failure::new(Code::Usage, what).next("ddes serve without --history-days"));
    }
    let known = KnownLedgers::read(home)?;
    let options =
        PostgresOptions { require_standby: args.require_standby, ..PostgresOptions::default() };
    let shown = place.to_string();
    let failed = |error| ledger::of_connect(place, error);
    let (keeper, found) = PostgresKeeper::find(place.clone(), options).map_err(failed)?;
    let name = LedgerName::of_id(&found.ledger);
    if !args.new_ledger {
        known.refuse_other(path, Some(&name))?;
    }
    remember(&known, home, &name);
    // Servers number their classic accounts without asking each other.
    let mut number = [0; 8];
    getrandom::fill(&mut number)
        .map_err(|error| Failure::system("the system gives no randomness", &error))?;
    let classic_first = u64::from_le_bytes(number) >> 1;
    let keys = DatabaseKeys::new(&shown);
    let keeper = keeper.telling(ledger::taker(&keys));
    let mut lines = vec![lines::ledger_in_database(&shown, &found)];
    lines.extend(found.warnings.iter().map(|why| lines::ledger_warning(why)));
    let books = ServerBooks::Shared { keeper: Box::new(keeper), classic_first };
    Ok(OpenedBooks { books, lines, keys: Some(keys) })
}

/// Says that a large ledger is being read, until it is dropped.
struct ReadingNotice {
    _until_dropped: Sender<()>,
}

impl ReadingNotice {
    fn begin(path: &Path, manager: &Manager) -> Self {
        let (until_dropped, ended) = channel();
        let (shown, manager) = (path.display().to_string(), manager.clone());
        let say = move |took: Duration| {
            let text = format!("Reading the ledger {shown}: {} s so far", took.as_secs());
            manager.starting(&text, 3 * SAY_EVERY);
            streams::say(&format!("{text}. The server listens once it is read."));
        };
        let run = move || remind(SAY_AFTER, SAY_EVERY, &ended, say);
        // Without a thread it is read in silence.
        drop(thread::Builder::new().name("reading".into()).spawn(run));
        Self { _until_dropped: until_dropped }
    }
}

/// Says how long it has taken, first after a while and then again and again, until `ended` is over.
fn remind(first: Duration, every: Duration, ended: &Receiver<()>, mut say: impl FnMut(Duration)) {
    let began = Instant::now();
    let mut pause = first;
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(pause) {
        say(began.elapsed());
        pause = every;
    }
}

/// A home that cannot be written is no reason not to serve.
fn remember(known: &KnownLedgers, home: &Home, name: &LedgerName) {
    if let Err(failure) = known.add(home, name) {
        streams::say(&format!(
            "Warning: {}. Should this ledger be lost, the next start begins at 0 without a word.",
            failure.what()
        ));
    }
}

fn said(path: &Path, ledger: &Ledger, opened: &Opened) -> Vec<Line> {
    let mut said = vec![lines::ledger(path, &ledger.totals(), opened)];
    if opened.was_torn {
        said.push(lines::ledger_torn(opened.batch));
    }
    said.extend(opened.notes.iter().map(lines::ledger_note));
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_again_and_again_until_the_ledger_is_read_and_not_at_all_if_that_is_soon() {
        let (until_dropped, ended) = channel();
        let (said, heard) = channel();
        let moment = Duration::from_millis(1);
        let say = move |took| said.send(took).unwrap();
        let thread = thread::spawn(move || remind(moment, moment, &ended, say));
        let (first, second) = (heard.recv().unwrap(), heard.recv().unwrap());
        assert!(moment <= first && first < second);
        drop(until_dropped);
        thread.join().unwrap();

        let (until_dropped, ended) = channel();
        drop(until_dropped);
        remind(SAY_AFTER, SAY_EVERY, &ended, |took| panic!("{took:?}"));
    }
}
