//! `ddes ledger verify`: the proof that a ledger is whole.

use std::path::Path;

use ddes_ledger::Statement;
use ddes_ledger::audit::{self, Footing, HeldBy, Verified, VerifyError};
use ddes_ledger::store::{Folder, StoreError};
use ddes_wire::shown::hex;

use super::folder::{self, Books};
use super::receipt::{self, Receipt};
use super::shared::SharedBooks;
use super::watched;
use crate::args::{OutputArgs, VerifyArgs};
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::screen::{Line, Screen, number};
use crate::streams::say;

pub(super) fn run(args: &VerifyArgs) -> Result<(), Failure> {
    if let Some(shared) = SharedBooks::look(&args.books)? {
        let statements = statements(args, &shared.home)?;
        let mut screen = Screen::of(&args.books.output);
        screen.show(&shared.verify(&statements, &args.receipt, held_by(args))?)?;
        return show_held(&mut screen, args, &statements);
    }
    let books = Books::look(&args.books)?;
    let statements = statements(args, &books.home)?;
    let output = &args.books.output;
    let verified = watched(output.quiet, "Verifying", |progress| {
        audit::verify_by(&books.folder, &statements, held_by(args), progress)
    });
    let verified = verified.map_err(|error| {
        let file = match &error {
            VerifyError::Receipt { index, .. } => args.receipt.get(*index),
            VerifyError::Store(_) => None,
        };
        failure(file.unwrap_or(&books.path), error)
    })?;
    let mut screen = Screen::of(output);
    let text = format!("{} is whole", books.path.display());
    screen.show(&line("verified", &text, &verified, &books.path))?;
    show_held(&mut screen, args, &statements)
}

fn held_by(args: &VerifyArgs) -> HeldBy {
    if args.moved { HeldBy::Total } else { HeldBy::Batch }
}

/// The receipts that were asked about, if the server's key signed them.
fn statements(args: &VerifyArgs, home: &Home) -> Result<Vec<Statement>, Failure> {
    if args.receipt.is_empty() {
        return Ok(Vec::new());
    }
    let key = receipt::server_key(args.server_key.as_deref(), home)?;
    args.receipt.iter().map(|path| Receipt::read(path)?.check(&key)).collect()
}

fn show_held(
    screen: &mut Screen,
    args: &VerifyArgs,
    statements: &[Statement],
) -> Result<(), Failure> {
    for (path, statement) in args.receipt.iter().zip(statements) {
        let text = format!("{} holds: {}", path.display(), receipt::summary(statement));
        let line = Line::new("receipt_held", text).with("file", path.display().to_string());
        screen.show(&receipt::with_statement(line, statement))?;
    }
    Ok(())
}

/// Verifies a copy.
pub(super) fn copy(folder: &Folder, output: &OutputArgs) -> Result<Verified, Failure> {
    let verified = watched(output.quiet, "Verifying the copy", |progress| {
        audit::verify(folder, &[], progress)
    });
    verified.map_err(|error| failure(folder.path(), error))
}

/// What is wrong with the ledger, or the receipt, in `path`.
pub(super) fn failure(path: &Path, error: VerifyError) -> Failure {
    match error {
        VerifyError::Store(error @ StoreError::Damaged(_)) => {
            let next = format!("with the server stopped: {}", folder::restoring(path));
            folder::of_store(path, error).next(next)
        }
        VerifyError::Store(error) => folder::of_store(path, error),
        VerifyError::Receipt { why, .. } => not_held(path, &why),
    }
}

/// A receipt whose statement the ledger does not hold.
pub(super) fn not_held(path: &Path, why: &str) -> Failure {
    Failure::new(Code::Integrity, format!("{}: {why}", path.display()))
        .cause(
            "the ledger was set back or replaced since the receipt was signed, or it is another one",
        )
        .next("ask its operator; the receipt is evidence")
}

/// What was found to be whole.
pub(super) fn line(event: &'static str, text: &str, verified: &Verified, path: &Path) -> Line {
    let Verified { first, last, values, totals, checkpoints, .. } = verified;
    let batches = if first > last { "none yet".to_owned() } else { format!("{first} to {last}") };
    let chain = hex(&verified.chain.0);
    let text = format!(
        "{text}\n  batches      {batches}\n  integers     {values} in them\n  accounts     {}\n  \
         count        {}\n  sum          {}\n  checkpoints  {checkpoints}\n  chain        \
         {chain}\n  rests on     {}",
        totals.accounts,
        totals.count,
        totals.sum,
        footing(&verified.footing)
    );
    super::with_totals(with_footing(Line::new(event, text), &verified.footing), totals)
        .with("ledger", hex(&verified.ledger))
        .with("path", path.display().to_string())
        .with("first_batch", *first)
        .with("batch", *last)
        .with("values", number(values))
        .with("checkpoints", *checkpoints)
        .with("chain", chain)
}

/// What the totals rest on beside the batches that are kept.
fn footing(footing: &Footing) -> String {
    match footing {
        Footing::Beginning => "nothing but its batches: all are kept, from the first on".into(),
        Footing::Named { checkpoint, by } => format!(
            "checkpoint {} (SHA-256 {}), named by batch {by}",
            checkpoint.start,
            hex(&checkpoint.digest)
        ),
        Footing::Unproven(checkpoint) => format!(
            "checkpoint {} (SHA-256 {}), WHICH NOTHING PROVES:\n               \
             an earlier release deleted what was before it, and did not name it in the journal. \
             Whoever could\n               write the folder could change it. `ddes serve` names it \
             once; receipts of that time prove it",
            checkpoint.start,
            hex(&checkpoint.digest)
        ),
    }
}

fn with_footing(line: Line, footing: &Footing) -> Line {
    let (kind, checkpoint, by) = match footing {
        Footing::Beginning => ("beginning", None, None),
        Footing::Named { checkpoint, by } => ("checkpoint", Some(checkpoint), Some(*by)),
        Footing::Unproven(checkpoint) => ("unproven checkpoint", Some(checkpoint), None),
    };
    line.with("rests_on", kind)
        .with("base", checkpoint.map(|named| named.start))
        .with("base_digest", checkpoint.map(|named| hex(&named.digest)))
        .with("base_named_by", by)
}

/// On standard error, where totals are shown that nothing proves.
pub(super) fn warn(found: &Footing, output: &OutputArgs) {
    if matches!(found, Footing::Unproven(_)) && !output.quiet {
        say(&format!("These totals rest on {}", footing(found)));
    }
}
