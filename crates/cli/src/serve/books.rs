//! The server's ledger: in a folder, unless it is told otherwise.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ddes_ledger::store::{Folder, Options, StoreError};
use ddes_ledger::{Ledger, Opened};

use super::lines;
use crate::args::ServeArgs;
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::screen::Line;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Opens the ledger; what to say of it.
pub(super) fn open(args: &ServeArgs, home: &Home) -> Result<(Ledger, Vec<Line>), Failure> {
    let path = args.ledger.clone().unwrap_or_else(|| home.ledger());
    if path == Path::new("memory") {
        return Ok((Ledger::in_memory(), vec![lines::ledger_in_memory()]));
    }
    let folder = Folder::lock(&path).map_err(|error| unusable(&path, &error))?;
    let folder = folder.ok_or_else(|| in_use(&path))?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| Failure::system("the system gives no randomness", &error))?;
    let history = args.history_days.map(|days| DAY * days);
    let mut options = Options { history, ..Options::default() };
    options.checkpoint_bytes = args.checkpoint_bytes.unwrap_or(options.checkpoint_bytes);
    let (ledger, opened) =
        Ledger::open(Arc::new(folder), options, id).map_err(|error| of_store(&path, error))?;
    let lines = said(&path, &ledger, &opened);
    Ok((ledger, lines))
}

fn said(path: &Path, ledger: &Ledger, opened: &Opened) -> Vec<Line> {
    let mut said = vec![lines::ledger(path, &ledger.totals(), opened)];
    if opened.was_torn {
        said.push(lines::ledger_torn(opened.batch));
    }
    said.extend(opened.notes.iter().map(lines::ledger_note));
    said
}

/// Another process has the ledger.
pub(crate) fn in_use(path: &Path) -> Failure {
    Failure::new(Code::No, format!("the ledger {} is in use by another process", path.display()))
        .cause("a server of the same home is running")
        .next("--ledger DIR or --home DIR for a second one")
}

/// A ledger that cannot be read.
pub(crate) fn of_store(path: &Path, error: StoreError) -> Failure {
    let shown = path.display();
    match error {
        StoreError::Damaged(damage) => Failure::new(
            Code::Integrity,
            format!("the ledger {shown} is damaged: {damage}"),
        )
        .cause("the disk, or another program, changed or lost what was acknowledged; nothing was changed now")
        .next("ddes ledger verify     (all of it), then: ddes ledger restore BACKUP --ledger DIR"),
        StoreError::Missing => Failure::new(Code::No, format!("there is no ledger in {shown}"))
            .cause("no server has run with it yet, or it is elsewhere")
            .next("--ledger DIR or --home DIR, as for ddes serve"),
        StoreError::Taken => Failure::new(Code::Usage, format!("there is a ledger in {shown} already"))
            .next("name an empty folder"),
        StoreError::Disk { file, error } => Failure::system(&format!("the ledger {shown}, {file}"), &error),
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::system(&format!("the ledger {}", path.display()), error)
        .or_next("--ledger DIR puts it elsewhere, --ledger memory nowhere")
}
