//! The server's ledger: in a folder, unless it is told otherwise.

use std::path::Path;
use std::sync::Arc;

use ddes_ledger::store::{Disk, Folder, StoreOptions};
use ddes_ledger::{Ledger, Opened};

use super::{lines, settings};
use crate::args::ServeArgs;
use crate::failure::Failure;
use crate::home::Home;
use crate::ledger::{self, KnownLedgers, LedgerName};
use crate::screen::Line;
use crate::streams;

/// Opens the ledger; what to say of it.
pub(super) fn open(args: &ServeArgs, home: &Home) -> Result<(Ledger, Vec<Line>), Failure> {
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
    let (ledger, opened) = Ledger::open(Arc::clone(&folder) as Arc<dyn Disk>, options, id)
        .map_err(|error| ledger::of_store(&path, error))?;
    if let Some(name) = LedgerName::read(&path, &folder)? {
        remember(&known, home, &name);
    }
    let lines = said(&path, &ledger, &opened);
    Ok((ledger, lines))
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
