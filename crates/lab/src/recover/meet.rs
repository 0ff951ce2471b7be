//! The meet in the middle, with less memory than it wants.

use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use ddes_cipher::{Block, Des, DesKey, KeyBlocks, KeySpace, SearchDirection};

use super::state::{SearchState, TaskDigest};
use super::sweep::{StopOnPanic, Sweep, SweepMeter, Swept, start};
use super::table::{ENTRIES_A_LINE, LINE_BYTES, MiddleEntry, Table, Tables, share, spread};
use super::{OnProgress, Pair, RecoverError, SearchOutcome, SearchRun};

/// The least memory in bytes, and the least for each table: of a table so large, no share of random
/// blocks fills all lines.
pub const MEMORY_MIN: u64 = 1 << 16;

/// A thread's buffer, for which the tables leave room.
const BATCH_KEYS: usize = 512;
const BUFFER_BYTES: u64 = (BATCH_KEYS * size_of::<MiddleEntry>()) as u64;

/// Tables that are small enough to be filled unevenly have so many lines more.
const LINES_MORE: u64 = 8;

/// Slices that are in a table and not yet counted.
const DONE_MAX: usize = 64;

/// Key1 of `space1` and Key2 of `space2` that turn each plaintext of `pairs` into its ciphertext.
///
/// A table of `E(Key1, m)` under as many keys Key1 as `memory` bytes hold, 7.1 bytes a key; then
/// `D(Key2, c)` under every Key2 is looked up in it; then the next table. So the work is 2^bits1
/// DES for the tables and, for each of them, 2^bits2. Each pair found for the first block is tried
/// on the others: with one known block only, one pair of keys in 2^64 is wrong.
pub fn meet(
    pairs: &[Pair],
    space1: &KeySpace,
    space2: &KeySpace,
    memory: u64,
    run: &SearchRun,
    progress: OnProgress<'_>,
) -> Result<SearchOutcome<(DesKey, DesKey)>, RecoverError> {
    let Some((first, others)) = pairs.split_first() else { return Err(RecoverError::NoPair) };
    let plan = PartsPlan::new(space1, memory, run.threads)?;
    let task = task(pairs, space1, space2, &plan);
    let (part, mut next, mut found) = SearchState::open(run.resume.as_ref(), task)?;
    let is_pair = |(key1, key2): &(DesKey, DesKey)| {
        let fits = |pair: &Pair| is_double(key1, key2, pair);
        space1.contains(key1) && space2.contains(key2) && pairs.iter().all(fits)
    };
    // What the text of a state says is not known to be so.
    if part >= plan.parts || next > space2.slices() || !found.iter().all(is_pair) {
        return Err(RecoverError::AnotherSearch);
    }
    let of = plan.parts.checked_mul(space2.keys()).and_then(|keys| keys.checked_add(space1.keys()));
    let of = of.ok_or(RecoverError::TooMuchWork)?;
    // No more than `of`.
    let before = part * (plan.keys + space2.keys()) + next * space2.slice_keys();
    let mut meter = SweepMeter::new(progress, before, of);
    let mut tables = plan.tables()?;
    let meeting = MeetSearch { first, others, space1, space2, run, plan };
    for part in part..meeting.plan.parts {
        if meeting.fill(part, &mut tables, &mut meter, found.len())?.is_break() {
            return Ok(SearchOutcome::Stopped(SearchState::at(task, part, next, &found)));
        }
        let sweep = Sweep {
            slices: next..space2.slices(),
            slice_keys: space2.slice_keys(),
            threads: run.threads,
            first_only: run.first_only,
        };
        let try_slice =
            |slice, found: &mut Vec<_>| meeting.look_up(part, slice, &Tables(&tables), found);
        if let Swept::Stopped(next) = sweep.run(&try_slice, &mut found, &mut meter)? {
            return Ok(SearchOutcome::Stopped(SearchState::at(task, part, next, &found)));
        }
        if run.first_only && !found.is_empty() {
            break;
        }
        next = 0;
        for table in &mut tables {
            table.clear();
        }
    }
    meter.end(found.len());
    Ok(SearchOutcome::Done(found))
}

/// What a meet in the middle does with its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// Tables, one after the other; for each of them every Key2 is tried.
    pub tables: u64,
    /// Keys Key1 in a table; the last may have fewer.
    pub keys: u64,
    /// Bytes of a table.
    pub bytes: u64,
}

/// What [`meet`] does for these keys Key1 with `memory` bytes and so many threads.
pub fn table_plan(
    space1: &KeySpace,
    memory: u64,
    threads: NonZeroUsize,
) -> Result<TablePlan, RecoverError> {
    let plan = PartsPlan::new(space1, memory, threads)?;
    Ok(TablePlan { tables: plan.parts, keys: plan.keys, bytes: plan.bytes() })
}

/// How many tables, one after the other.
struct PartsPlan {
    parts: u64,
    /// Keys of a part; the last may have fewer.
    keys: u64,
    /// Keys in all.
    of: u64,
    tables: u64,
}

impl PartsPlan {
    fn new(space: &KeySpace, memory: u64, threads: NonZeroUsize) -> Result<Self, RecoverError> {
        if memory < MEMORY_MIN {
            return Err(RecoverError::TooLittleMemory { bytes: memory });
        }
        let tables = (threads.get() as u64).min(space.slices()).min(memory / MEMORY_MIN);
        let lines = (memory - tables * BUFFER_BYTES) / LINE_BYTES as u64 - tables * LINES_MORE;
        // One line less for each, which rounding up to whole lines may take.
        let most = (lines - tables) * ENTRIES_A_LINE;
        // Whole slices, if that many fit: a slice of which a table has a part is computed twice.
        let slice = space.slice_keys();
        let keys = if most >= slice { most / slice * slice } else { most };
        // A table's index is what an entry has room for.
        let keys = keys.min(space.keys()).min(1 << INDEX_BITS_MAX);
        Ok(Self { parts: space.keys().div_ceil(keys), keys, of: space.keys(), tables })
    }

    fn keys_of(&self, part: u64) -> u64 {
        self.keys.min(self.of - part * self.keys)
    }

    /// Lines of the share of a table that one thread fills.
    fn lines(&self) -> u64 {
        self.keys.div_ceil(ENTRIES_A_LINE).div_ceil(self.tables) + LINES_MORE
    }

    fn bytes(&self) -> u64 {
        self.lines().saturating_mul(LINE_BYTES as u64).saturating_mul(self.tables)
    }

    fn tables(&self) -> Result<Vec<Table>, RecoverError> {
        let (lines, bytes) = (self.lines(), self.bytes());
        let lines = usize::try_from(lines).map_err(|_| RecoverError::OutOfMemory { bytes })?;
        let index_bits = self.keys.next_power_of_two().trailing_zeros();
        let tables: Option<Vec<_>> =
            (0..self.tables).map(|_| Table::new(lines, index_bits)).collect();
        tables.ok_or(RecoverError::OutOfMemory { bytes })
    }
}

/// 32 bits of 40: eight are left to tell blocks apart, so that one of 28 lookups meets a wrong key.
const INDEX_BITS_MAX: u32 = 32;
const _: () = assert!(Table::holds(INDEX_BITS_MAX));

/// A state counts parts and slices, so their size belongs to the task.
fn task(pairs: &[Pair], space1: &KeySpace, space2: &KeySpace, plan: &PartsPlan) -> TaskDigest {
    let blocks: Vec<u8> =
        pairs.iter().flat_map(|pair| [pair.plaintext, pair.ciphertext]).flatten().collect();
    let numbers = [space1.known(), space1.unknown(), space2.known(), space2.unknown(), plan.keys];
    let numbers: Vec<u8> = numbers.into_iter().flat_map(u64::to_be_bytes).collect();
    TaskDigest::new("meet", &[&blocks, &numbers])
}

struct MeetSearch<'a> {
    first: &'a Pair,
    others: &'a [Pair],
    space1: &'a KeySpace,
    space2: &'a KeySpace,
    run: &'a SearchRun,
    plan: PartsPlan,
}

impl MeetSearch<'_> {
    /// Each thread fills a table of its own with the middle blocks that belong there, and computes
    /// all of them: DES takes a tenth of the time that memory does, and no thread waits for
    /// another. Where the system has fewer threads, one takes several tables in turn.
    fn fill(
        &self,
        part: u64,
        tables: &mut [Table],
        meter: &mut SweepMeter<'_>,
        found: usize,
    ) -> Result<ControlFlow<()>, RecoverError> {
        let range = part * self.plan.keys..part * self.plan.keys + self.plan.keys_of(part);
        let slice_keys = self.space1.slice_keys();
        let slices = range.start / slice_keys..range.end.div_ceil(slice_keys);
        let count = tables.len();
        let stop = &AtomicBool::new(false);
        let left = &Mutex::new(tables.iter_mut().enumerate());
        let mut outcome = ControlFlow::Continue(());
        std::thread::scope(|scope| {
            let _guard = StopOnPanic(stop);
            let (sender, receiver) = sync_channel(DONE_MAX);
            for number in 0..count {
                let (range, slices, sender) = (range.clone(), slices.clone(), sender.clone());
                let has_begun = start(scope, move || {
                    let _guard = StopOnPanic(stop);
                    while let Some((own, table)) = next_of(left) {
                        for slice in slices.clone().take_while(|_| !stop.load(Ordering::Relaxed)) {
                            let is_own = |middle| share(middle, count) == own;
                            self.fill_with(slice, &range, is_own, table);
                            // It fails only if nobody listens any more.
                            if sender.send((own, slice)).is_err() {
                                return;
                            }
                        }
                    }
                });
                match (has_begun, number) {
                    (true, _) => {}
                    (false, 0) => return Err(RecoverError::NoThread),
                    (false, _) => break,
                }
            }
            drop(sender);
            for (own, slice) in receiver {
                // All tables take the same keys.
                if own == 0 {
                    let end = range.end.min((slice + 1) * slice_keys);
                    meter.add(end - range.start.max(slice * slice_keys));
                }
                if meter.report(found, false).is_break() {
                    stop.store(true, Ordering::Relaxed);
                    outcome = ControlFlow::Break(());
                }
            }
            Ok(outcome)
        })
    }

    fn fill_with(
        &self,
        slice: u64,
        range: &Range<u64>,
        is_own: impl Fn(u64) -> bool,
        table: &mut Table,
    ) {
        let blocks = KeyBlocks::new(SearchDirection::Encrypt, self.first.plaintext);
        let mut entries = Vec::with_capacity(BATCH_KEYS);
        blocks.of_slice(self.run.engine, self.space1, slice, &mut |first, batch| {
            entries.clear();
            for (number, block) in (first..).zip(batch) {
                let middle = u64::from_le_bytes(*block);
                if is_own(middle) && range.contains(&number) {
                    let index = number - range.start;
                    entries.push(MiddleEntry { middle: spread(middle), index });
                }
            }
            table.insert(&entries);
        });
    }

    fn look_up(
        &self,
        part: u64,
        slice: u64,
        tables: &Tables<'_>,
        found: &mut Vec<(DesKey, DesKey)>,
    ) {
        let blocks = KeyBlocks::new(SearchDirection::Decrypt, self.first.ciphertext);
        let mut middles = Vec::with_capacity(BATCH_KEYS);
        blocks.of_slice(self.run.engine, self.space2, slice, &mut |first, batch| {
            middles.clear();
            middles.extend(batch.iter().map(|block| u64::from_le_bytes(*block)));
            tables.find(&middles, |place, index| {
                let key1 = self.space1.key(part * self.plan.keys + index);
                if is_encrypted(&key1, self.first.plaintext, batch[place]) {
                    let key2 = self.space2.key(first + place as u64);
                    if self.accepts(&key1, &key2) {
                        found.push((key1, key2));
                    }
                }
            });
        });
    }

    fn accepts(&self, key1: &DesKey, key2: &DesKey) -> bool {
        self.others.iter().all(|pair| is_double(key1, key2, pair))
    }
}

fn is_double(key1: &DesKey, key2: &DesKey, pair: &Pair) -> bool {
    let mut block = [pair.plaintext];
    Des::new(key1).encrypt(&mut block);
    is_encrypted(key2, block[0], pair.ciphertext)
}

/// The next item for whoever asks first.
fn next_of<I: Iterator>(left: &Mutex<I>) -> Option<I::Item> {
    left.lock().unwrap_or_else(PoisonError::into_inner).next()
}

fn is_encrypted(key: &DesKey, plaintext: Block, ciphertext: Block) -> bool {
    let mut block = [plaintext];
    Des::new(key).encrypt(&mut block);
    block[0] == ciphertext
}

#[cfg(test)]
mod tests {
    use super::super::sweep::tests::limit_threads;
    use super::*;

    /// Every table is filled, whoever does it.
    #[test]
    fn a_meet_in_the_middle_goes_on_with_the_threads_that_there_are() {
        let keys = [DesKey::new([0x11; 8]), DesKey::new([0xe3; 8])];
        let mut block = [[8; 8]];
        keys.iter().for_each(|key| Des::new(key).encrypt(&mut block));
        let pairs = [Pair { plaintext: [8; 8], ciphertext: block[0] }];
        let unknown = [23, 8].map(|bits| (1 << bits) - 1);
        let spaces: Vec<_> =
            keys.iter().zip(unknown).map(|(key, bits)| KeySpace::around(key, bits)).collect();
        let threads = NonZeroUsize::new(4).unwrap();
        let run = SearchRun { threads, first_only: false, ..SearchRun::all_cores() };
        let memory = 100 << 20;
        let plan = PartsPlan::new(&spaces[0], memory, threads).unwrap();
        assert_eq!((plan.parts, plan.tables), (1, 4));
        for (left, is_possible) in [(0, false), (2, true), (usize::MAX, true)] {
            limit_threads(left);
            let mut last = 0;
            let mut watch = |progress: &super::super::SearchProgress| {
                last = progress.tried;
                // The threads that fill are gone, and the look-ups get theirs.
                limit_threads(left.max(usize::from(is_possible)));
                ControlFlow::Continue(())
            };
            let met = meet(&pairs, &spaces[0], &spaces[1], memory, &run, &mut watch);
            match met {
                Ok(SearchOutcome::Done(found)) if is_possible => {
                    let bits = |key: &DesKey| key.bits();
                    let right = (bits(&keys[0]), bits(&keys[1]));
                    assert!(found.iter().any(|(one, two)| (bits(one), bits(two)) == right));
                    assert_eq!(last, (1 << 23) + (1 << 8));
                }
                other => {
                    assert!(!is_possible, "{other:?}");
                    assert_eq!(other.unwrap_err(), RecoverError::NoThread);
                }
            }
        }
    }
}
