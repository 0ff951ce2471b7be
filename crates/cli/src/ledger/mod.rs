//! `ddes ledger …`: what an operator does with a ledger, beside its server or without one.

mod account;
mod copies;
mod database;
mod export;
mod folder;
mod known;
mod migrate;
mod receipt;
mod shared;
mod totals;
mod verify;

use std::io::IsTerminal;

use ddes_ledger::Timestamp;
use ddes_ledger::audit::ReadProgress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::LedgerCommand;
use crate::failure::Failure;

pub(crate) use database::{database, keys, of_connect, taker};
pub(crate) use folder::{in_use, of_store, unusable};
pub(crate) use known::{KnownLedgers, LedgerName};
pub(crate) use migrate::refuse_moved;
pub(crate) use receipt::check_receipt;
pub(crate) use totals::with_totals;

/// A bar is moved after so many bytes, or accounts.
const STEP_BYTES: u64 = 1 << 18;
const STEP_ACCOUNTS: u64 = 1 << 10;

pub(crate) fn run(command: &LedgerCommand) -> Result<(), Failure> {
    match command {
        LedgerCommand::Verify(args) => verify::run(args),
        LedgerCommand::Totals(args) => totals::totals(args),
        LedgerCommand::Ls(args) => totals::list(args),
        LedgerCommand::Export(args) => export::run(args),
        LedgerCommand::Backup(args) => copies::backup(args),
        LedgerCommand::Restore(args) => copies::restore(args),
        LedgerCommand::Receipt(args) => receipt::run(args),
        LedgerCommand::Init(args) => shared::init(args),
        LedgerCommand::Raise(args) => shared::raise(args),
        LedgerCommand::Migrate(args) => migrate::run(args),
    }
}

/// Does something that goes through the journal, under a bar where somebody watches.
fn watched<T>(is_quiet: bool, what: &'static str, act: impl FnOnce(ReadProgress<'_>) -> T) -> T {
    let mut bar = Bar::new(is_quiet, what);
    act(&mut |bytes, whole| bar.show(bytes, whole))
}

/// Does something that goes through accounts, under a bar where somebody watches.
fn watched_accounts<T>(
    is_quiet: bool,
    what: &'static str,
    act: impl FnOnce(ReadProgress<'_>) -> T,
) -> T {
    let mut bar = Bar::of(is_quiet, what, "{msg} {wide_bar} {pos}/{len} accounts {eta} left");
    bar.step = STEP_ACCOUNTS;
    act(&mut |accounts, whole| bar.show(accounts, whole))
}

/// The same for several such things in a row, each under a bar of its own.
fn watched_steps<S: Copy + PartialEq, T>(
    is_quiet: bool,
    name_of: fn(S) -> &'static str,
    act: impl FnOnce(&mut dyn FnMut(S, u64, u64)) -> T,
) -> T {
    let mut shown: Option<(S, Bar)> = None;
    act(&mut |step, bytes, whole| {
        if shown.as_ref().is_none_or(|(last, _)| *last != step) {
            // The bar before is cleared first.
            shown = None;
        }
        let (_, bar) = shown.get_or_insert_with(|| (step, Bar::new(is_quiet, name_of(step))));
        bar.show(bytes, whole);
    })
}

/// How far something has come, on standard error. It is cleared when this is dropped.
struct Bar {
    bar: ProgressBar,
    step: u64,
    /// Not moved before so many.
    next: u64,
}

impl Bar {
    fn new(is_quiet: bool, what: &'static str) -> Self {
        Self::of(is_quiet, what, "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta} left")
    }

    fn of(is_quiet: bool, what: &'static str, template: &str) -> Self {
        let is_shown = !is_quiet && std::io::stderr().is_terminal();
        let target =
            if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar =
            ProgressBar::with_draw_target(Some(0), target).with_style(style).with_message(what);
        Self { bar, step: STEP_BYTES, next: 0 }
    }

    /// `bytes` of `whole`, or accounts.
    fn show(&mut self, bytes: u64, whole: u64) {
        if bytes >= self.next {
            self.bar.set_length(whole);
            self.bar.set_position(bytes);
            self.next = bytes + self.step;
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// RFC 3339, UTC.
fn shown_time(time: Timestamp) -> String {
    let at = i64::try_from(time.0)
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    // A clock that was set to the year 10,000 is a number still.
    at.map_or_else(|| format!("{} us", time.0), |at| at.to_string())
}
