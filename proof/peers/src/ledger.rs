//! The ledger beside embedded databases and beside the bare floor, on one file system, in one run;
//! and what it costs to open, to hold, to checkpoint and to grow.

mod costs;
mod stores;

use std::fs;
use std::path::Path;
use std::time::Duration;

use ddes_ledger::store::StoreOptions;

use crate::report;
pub(crate) use stores::now;
use stores::{Fjall, Floor, Ours, Redb, Scratch, Sqlite, Store, Update};

const COLUMNS: &[&str] = &[
    "accounts",
    "values a batch",
    "store",
    "values/s",
    "of the floor",
    "a commit",
    "bytes written a value",
];
const GROWTH_COLUMNS: &[&str] = &[
    "accounts",
    "values a batch",
    "floor, values/s",
    "ours, values/s",
    "time",
    "of the floor",
    "ours, of 1,000 accounts",
    "the floor likewise",
];

const BATCHES: [usize; 4] = [1, 64, 1024, 16384];
/// Of the table of growth: a commit that waits for the disk, and one that is work.
const GROWTH_BATCHES: [usize; 2] = [64, 1024];
/// The stores take turns, so that the machine's moods meet all.
const ROUNDS: u32 = 3;

/// How much to measure.
pub(crate) struct Effort {
    /// Length of each cell.
    cell: Duration,
    /// Accounts of the large tables.
    accounts: u32,
    /// Accounts that growth ends with.
    accounts_max: u32,
    /// Values that opening replays.
    tail: u64,
    /// Of journal between two checkpoints of few accounts.
    checkpoint_bytes: u64,
}

pub(crate) const FULL: Effort = Effort {
    cell: Duration::from_millis(2400),
    accounts: 1_000_000,
    accounts_max: 10_000_000,
    tail: 5_000_000,
    checkpoint_bytes: 256 << 20,
};
pub(crate) const SHORT: Effort = Effort {
    cell: Duration::from_millis(200),
    accounts: 20_000,
    accounts_max: 10_000,
    tail: 50_000,
    checkpoint_bytes: 4 << 20,
};

type Part = fn(&Effort) -> Result<(), String>;

/// All tables, or the one named.
pub(crate) fn measure(effort: &Effort, only: Option<&str>) -> Result<(), String> {
    println!(
        "\nThe floor appends records of {} bytes (account, number, value, sum) with one write and one fdatasync a batch to a file of zeros, \
         its accounts in a Vec: no checksum, no chain, no second mark, no checkpoint. A value is an i32, its account chosen at random. Time is that \
         of commits; what is written is what the process hands to write calls, zeros filled ahead and background work included.",
        Floor::RECORD_BYTES
    );
    let parts: [(&str, Part); 5] = [
        // First: what other measurements leave to the allocator would hide what this takes.
        ("memory", |effort| costs::memory(effort.accounts)),
        ("stores", stores),
        ("growth", growth),
        ("checkpoint", |effort| costs::checkpoint(effort.accounts, effort.cell)),
        ("opening", |effort| costs::opening(effort.accounts, effort.tail)),
    ];
    if !only.is_none_or(|only| parts.iter().any(|(name, _)| *name == only)) {
        return Err("of the ledger there are: memory, stores, growth, checkpoint, opening".into());
    }
    parts
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == *name))
        .try_for_each(|(_, part)| part(effort))
}

fn stores(effort: &Effort) -> Result<(), String> {
    report::heading("Ledger: exactly-once updates, one durable transaction a batch", COLUMNS);
    for accounts in [1_000, effort.accounts] {
        let scratch = Scratch::new("stores")?;
        let folder = scratch.path();
        let mut contestants: Vec<(Box<dyn Store>, Load)> = vec![
            (Box::new(Floor::new(folder, accounts)?), Load::new(accounts)),
            (
                Box::new(Ours::new(&folder.join("ours"), accounts, StoreOptions::default())?),
                Load::new(accounts),
            ),
            (Box::new(Redb::new(folder, accounts)?), Load::new(accounts)),
            (Box::new(Fjall::new(folder, accounts)?), Load::new(accounts)),
            (Box::new(Sqlite::new(folder, accounts)?), Load::new(accounts)),
        ];
        for batch in BATCHES {
            let rates = compare(&mut contestants, batch, effort.cell)?;
            let floor = rates.first().map_or(0.0, Rate::each_second);
            for ((store, _), rate) in contestants.iter().zip(&rates) {
                report::row(&[
                    accounts.to_string(),
                    batch.to_string(),
                    store.name().into(),
                    format!("{:.0}", rate.each_second()),
                    format!("{:.2}", rate.each_second() / floor),
                    report::duration(rate.time.div_f64(rate.values as f64 / batch as f64)),
                    format!("{:.1}", rate.bytes as f64 / rate.values as f64),
                ]);
            }
        }
    }
    Ok(())
}

fn growth(effort: &Effort) -> Result<(), String> {
    let options =
        StoreOptions { checkpoint_bytes: effort.checkpoint_bytes, ..StoreOptions::default() };
    println!(
        "\nOurs is measured from the beginning of a checkpoint to that of the next, at least {} MiB of journal, the floor for half a cell before and half after.",
        options.checkpoint_bytes >> 20
    );
    report::heading("Ledger: as accounts grow in number", GROWTH_COLUMNS);
    let mut firsts = Vec::new();
    let counts =
        (3..).map(|power| 10_u32.pow(power)).take_while(|count| *count <= effort.accounts_max);
    for accounts in counts {
        let scratch = Scratch::new("growth")?;
        let (mut floor, mut floor_load) =
            (Floor::new(scratch.path(), accounts)?, Load::new(accounts));
        let folder = scratch.path().join("ours");
        let (mut ours, mut load) = (Ours::new(&folder, accounts, options)?, Load::new(accounts));
        for (place, batch) in GROWTH_BATCHES.into_iter().enumerate() {
            let mut below = run(&mut floor, &mut floor_load, batch, effort.cell / 2)?;
            let rate = from_checkpoint_to_checkpoint(&mut ours, &folder, &mut load, batch)?;
            below += run(&mut floor, &mut floor_load, batch, effort.cell / 2)?;
            let (floor, ours) = (below.each_second(), rate.each_second());
            if firsts.len() == place {
                firsts.push((floor, ours));
            }
            let (floor_first, ours_first) = firsts[place];
            report::row(&[
                accounts.to_string(),
                batch.to_string(),
                format!("{floor:.0}"),
                format!("{ours:.0}"),
                report::duration(rate.time),
                format!("{:.2}", ours / floor),
                format!("{:.2}", ours / ours_first),
                format!("{:.2}", floor / floor_first),
            ]);
        }
    }
    Ok(())
}

/// One whole round of what a ledger does: a checkpoint while values are counted, and values until
/// the next one is due.
fn from_checkpoint_to_checkpoint(
    ours: &mut Ours,
    folder: &Path,
    load: &mut Load,
    batch: usize,
) -> Result<Rate, String> {
    ours.finish_checkpoint()?;
    let (mut rate, mut updates, before) = (Rate::default(), Vec::new(), written()?);
    let finished = ours.finished;
    ours.ledger.checkpoint();
    while ours.finished == finished || !folder.join("checkpoint.new").exists() {
        load.fill(&mut updates, batch);
        rate.time += ours.commit(&updates)?;
        rate.values += updates.len() as u64;
    }
    rate.bytes = written()? - before;
    Ok(rate)
}

/// Values counted, and in which time.
#[derive(Clone, Copy, Default)]
struct Rate {
    values: u64,
    time: Duration,
    bytes: u64,
}

impl std::ops::AddAssign for Rate {
    fn add_assign(&mut self, more: Self) {
        self.values += more.values;
        self.time += more.time;
        self.bytes += more.bytes;
    }
}

impl Rate {
    fn each_second(&self) -> f64 {
        self.values as f64 / self.time.as_secs_f64()
    }
}

fn compare(
    contestants: &mut [(Box<dyn Store>, Load)],
    batch: usize,
    time: Duration,
) -> Result<Vec<Rate>, String> {
    for (store, load) in &mut *contestants {
        run(&mut **store, load, batch, time / 10)?;
    }
    let mut rates = vec![Rate::default(); contestants.len()];
    for _ in 0..ROUNDS {
        for ((store, load), rate) in contestants.iter_mut().zip(&mut rates) {
            let round = run(&mut **store, load, batch, time / ROUNDS)?;
            *rate += round;
        }
    }
    Ok(rates)
}

fn run(
    store: &mut dyn Store,
    load: &mut Load,
    batch: usize,
    time: Duration,
) -> Result<Rate, String> {
    let (mut rate, mut updates, before) = (Rate::default(), Vec::new(), written()?);
    while rate.time < time {
        load.fill(&mut updates, batch);
        rate.time += store.commit(&updates)?;
        rate.values += updates.len() as u64;
    }
    rate.bytes = written()? - before;
    Ok(rate)
}

/// Values for accounts at random, each under its account's next number.
pub(crate) struct Load {
    seqs: Vec<u64>,
    random: u64,
}

impl Load {
    pub(crate) fn new(accounts: u32) -> Self {
        Self { seqs: vec![0; accounts as usize], random: 0x9e37_79b9_7f4a_7c15 }
    }

    pub(crate) fn fill(&mut self, updates: &mut Vec<Update>, count: usize) {
        updates.clear();
        updates.extend((0..count).map(|_| {
            // xorshift64 (Marsaglia 2003); its high half, scaled to the accounts.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let account = ((self.random >> 32) * self.seqs.len() as u64) >> 32;
            let seq = &mut self.seqs[account as usize];
            *seq += 1;
            let [a, b, c, d, ..] = self.random.to_le_bytes();
            let value = i32::from_le_bytes([a, b, c, d]).into();
            Update { account: account as u32, session: 1, seq: *seq, value }
        }));
    }
}

/// Bytes that this process has handed to write calls.
fn written() -> Result<u64, String> {
    let text =
        fs::read_to_string("/proc/self/io").map_err(|error| format!("/proc/self/io: {error}"))?;
    let bytes = text.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok());
    bytes.ok_or_else(|| "/proc/self/io has no wchar".into())
}
