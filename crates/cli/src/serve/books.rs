//! The server's ledger: in a folder, unless it is told otherwise.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ddes_ledger::store::{Disk, Folder, StoreOptions};
use ddes_ledger::{Ledger, Opened};

use super::systemd::Manager;
use super::{lines, settings};
use crate::args::ServeArgs;
use crate::failure::Failure;
use crate::home::Home;
use crate::ledger::{self, KnownLedgers, LedgerName};
use crate::screen::Line;
use crate::streams;

/// Opening takes a moment, or some 100 ns for each value whose history is checked.
const SAY_AFTER: Duration = Duration::from_secs(2);
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Opens the ledger; what to say of it.
pub(super) fn open(
    args: &ServeArgs,
    home: &Home,
    manager: &Manager,
) -> Result<(Ledger, Vec<Line>), Failure> {
    let path = args.ledger.clone().unwrap_or_else(|| home.ledger());
    if path == Path::new("memory") {
        return Ok((Ledger::in_memory(), vec![lines::ledger_in_memory()]));
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
    Ok((ledger, lines))
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
