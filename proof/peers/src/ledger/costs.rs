//! What the ledger costs beside its commits: memory, checkpoints, opening.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_ledger::Ledger;
use ddes_ledger::store::{Folder, StoreOptions};

use super::Load;
use super::stores::{Ours, Scratch, Store};
use crate::figures::resident;
use crate::report::{self, Latencies};

const MEMORY_COLUMNS: &[&str] =
    &["ledger", "accounts", "resident, bytes an account", "by its own count"];
const CHECKPOINT_COLUMNS: &[&str] =
    &["64 values a batch", "commits", "median", "p99", "p99.9", "longest"];
const OPENING_COLUMNS: &[&str] =
    &["accounts in the checkpoint", "values after it", "batches", "bytes written a value", "time"];

/// How much the process grows.
pub(crate) fn memory(accounts: u32) -> Result<(), String> {
    report::heading("Ledger: memory", MEMORY_COLUMNS);
    let scratch = Scratch::new("memory")?;
    let row = |what: &str, before: u64, ledger: &Ledger| {
        let each = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(accounts));
        let resident = resident()?.saturating_sub(before);
        report::row(&[
            what.into(),
            accounts.to_string(),
            each(resident),
            each(ledger.memory_bytes() as u64),
        ]);
        Ok::<_, String>(())
    };
    let before = resident()?;
    let mut ours = Ours::new(scratch.path(), accounts, StoreOptions::default())?;
    row("accounts opened one after the other", before, &ours.ledger)?;
    ours.finish_checkpoint()?;
    row("the same after a checkpoint", before, &ours.ledger)
}

/// Latency of commits with no checkpoint under way, while one is written, and while it is made
/// durable.
pub(crate) fn checkpoint(accounts: u32, time: Duration) -> Result<(), String> {
    report::heading(
        &format!("Ledger: commits beside a checkpoint of {accounts} accounts"),
        CHECKPOINT_COLUMNS,
    );
    let scratch = Scratch::new("checkpoint")?;
    // None but those asked for.
    let options = StoreOptions { checkpoint_bytes: u64::MAX, ..StoreOptions::default() };
    let mut ours = Ours::new(scratch.path(), accounts, options)?;
    let (mut load, mut updates) = (Load::new(accounts), Vec::new());
    let mut commit = |ours: &mut Ours, latencies: &mut Latencies| {
        load.fill(&mut updates, 64);
        let time = ours.commit(&updates)?;
        latencies.record(time);
        Ok::<_, String>(time)
    };
    let (mut without, mut beside) = (Latencies::new()?, Latencies::new()?);
    let (mut longest_without, mut longest_beside) = (Duration::ZERO, Duration::ZERO);
    let mut checkpoints = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        while start.elapsed() < time / ROUNDS {
            longest_without = longest_without.max(commit(&mut ours, &mut without)?);
        }
        let start = Instant::now();
        ours.ledger.checkpoint();
        let begun = ours.finished;
        while ours.finished == begun {
            longest_beside = longest_beside.max(commit(&mut ours, &mut beside)?);
        }
        checkpoints.push(start.elapsed());
    }
    let row = |what: String, latencies: &Latencies, longest| {
        report::row(&[
            what,
            latencies.count().to_string(),
            latencies.quantile(0.5),
            latencies.quantile(0.99),
            latencies.quantile(0.999),
            report::duration(longest),
        ]);
    };
    row("no checkpoint".into(), &without, longest_without);
    checkpoints.sort();
    let each = checkpoints.get(checkpoints.len() / 2).copied().unwrap_or(Duration::ZERO);
    row(
        format!("beside a checkpoint, each {} long", report::duration(each)),
        &beside,
        longest_beside,
    );
    Ok(())
}

/// Opening from a checkpoint and what follows it, its files in the system's cache.
pub(crate) fn opening(accounts: u32, values: u64) -> Result<(), String> {
    report::heading("Ledger: opening", OPENING_COLUMNS);
    for batch in [1024_usize, 64] {
        let scratch = Scratch::new("opening")?;
        let options = StoreOptions { checkpoint_bytes: u64::MAX, ..StoreOptions::default() };
        let mut ours = Ours::new(scratch.path(), accounts, options)?;
        ours.finish_checkpoint()?;
        let (mut load, mut updates) = (Load::new(accounts), Vec::new());
        let before = super::written()?;
        let batches = values / batch as u64;
        for _ in 0..batches {
            load.fill(&mut updates, batch);
            ours.commit(&updates)?;
        }
        let bytes = super::written()? - before;
        drop(ours);
        let start = Instant::now();
        let folder = Folder::lock(scratch.path()).map_err(|error| error.to_string())?;
        let disk = Arc::new(folder.ok_or("the folder is locked")?);
        let (ledger, _) =
            Ledger::open(disk, options, [0; 16]).map_err(|error| error.to_string())?;
        let time = start.elapsed();
        let values = batches * batch as u64;
        if ledger.totals().count != u128::from(values) {
            return Err("values are missing after opening".into());
        }
        report::row(&[
            accounts.to_string(),
            format!("{values}, {batch} a batch"),
            batches.to_string(),
            format!("{:.1}", bytes as f64 / values as f64),
            report::duration(time),
        ]);
    }
    Ok(())
}

const ROUNDS: u32 = 5;
