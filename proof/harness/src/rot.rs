//! Bits that flip and tails that vanish, in a closed ledger: each must be named, file, offset and
//! batch, and never give another total.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ddes_ledger::audit::{self, VerifyError};
use ddes_ledger::store::{CheckpointDone, Damage, Disk, StoreError, StoreOptions};
use ddes_ledger::{
    AccountId, AccountNumber, Ledger, Operation, OperationOutcome, Submission, Timestamp, Totals,
};
use ddes_wire::{Amount, Sequence, SessionNumber};

use crate::Random;
use crate::image::Image;
use crate::values::{mix, value};

/// As docs/ledger.md lays out a segment.
const DATA: usize = 4096;
const SUPERBLOCKS: [usize; 2] = [512, 1024];
const SUPERBLOCK_BYTES: usize = 33;
const HEADER_BYTES: usize = 92;
const FRAME_HEADER_BYTES: usize = 64;

const ACCOUNTS: u64 = 2_000;
const SHOWN_MAX: usize = 10;
/// Flips in a segment's head, in a checkpoint and in unused space are this many times rarer than
/// flips in batches.
const ELSEWHERE: usize = 10;

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let [megabytes, flips, cuts, seed, mode] = arguments else {
        return Err("usage: ddes-harness rot MEGABYTES FLIPS CUTS SEED honest|forged".into());
    };
    let number = |text: &str| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
    let (flips, cuts) = (number(flips)?, number(cuts)?);
    let mut random = Random::new(number(seed)? as u64);
    let sound = Sound::make(number(megabytes)? as u64 * 1_000_000, &mut random)?;
    println!("{sound}");
    let mut harms: Vec<(Kind, Harm)> = Vec::new();
    if *mode == "forged" {
        harms.push((Kind::Forged, sound.forgery()?));
    } else {
        for kind in Kind::ALL {
            let count = match kind {
                Kind::Batch => flips,
                Kind::Header | Kind::Superblock | Kind::Checkpoint | Kind::Unused => {
                    flips.div_ceil(ELSEWHERE)
                }
                Kind::Truncated | Kind::Zeroed => cuts,
                Kind::Forged => 0,
            };
            for _ in 0..count {
                harms.push((kind, sound.harm(kind, &mut random)?));
            }
        }
    }
    let results = examine_all(&sound, &harms);
    for kind in Kind::ALL {
        let of: Vec<_> = harms.iter().zip(&results).filter(|((of, _), _)| *of == kind).collect();
        let count = |noticed| of.iter().filter(|(_, result)| **result == Ok(noticed)).count();
        let (both, verify, none) =
            (count(Noticed::ByBoth), count(Noticed::ByVerify), count(Noticed::Not));
        println!(
            "{kind:?}: {} examined; named by verify and opening {both}, by verify alone {verify} (opening is exact without it), harmless {none}",
            of.len()
        );
    }
    let faults = harms.iter().zip(&results).filter_map(|((kind, harm), result)| {
        result.as_ref().err().map(|why| format!("{kind:?}, {harm}: {why}"))
    });
    let faults: Vec<String> = faults.collect();
    if faults.is_empty() {
        return Ok(());
    }
    let shown = faults.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join("\n");
    Err(format!("{shown}\n{} of {} not as it should be", faults.len(), harms.len()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Batch,
    Header,
    Superblock,
    Checkpoint,
    Unused,
    Truncated,
    Zeroed,
    /// An older state put back with all its checksums: nothing in the folder can tell, and this
    /// harness must.
    Forged,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Batch,
        Self::Header,
        Self::Superblock,
        Self::Checkpoint,
        Self::Unused,
        Self::Truncated,
        Self::Zeroed,
        Self::Forged,
    ];
}

/// What is done to one file.
struct Harm {
    file: String,
    what: What,
    /// Where verify must see it: offset and batch, as far as there is one right answer.
    offset: Option<u64>,
    batch: Option<u64>,
}

enum What {
    Flip { byte: usize, bit: usize },
    Truncate(usize),
    Zero(usize),
    Replace(Arc<Vec<u8>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noticed {
    ByBoth,
    ByVerify,
    Not,
}

/// A batch in its segment, as the format's description gives it.
#[derive(Clone, Debug)]
struct Frame {
    file: String,
    start: usize,
    end: usize,
    batch: u64,
}

/// An undamaged ledger that no process has open.
struct Sound {
    image: Image,
    totals: Totals,
    batch: u64,
    frames: Vec<Frame>,
    segments: Vec<String>,
    checkpoints: Vec<String>,
    /// The last segment as it was some batches ago.
    earlier: Arc<Vec<u8>>,
}

impl fmt::Display for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used: usize = self.frames.iter().map(|frame| frame.end - frame.start).sum();
        write!(
            f,
            "{} accounts, {} values, {} batches of {used} bytes in {} segments, {} checkpoints",
            self.totals.accounts,
            self.totals.count,
            self.batch,
            self.segments.len(),
            self.checkpoints.len()
        )
    }
}

impl Sound {
    fn make(bytes: u64, random: &mut Random) -> Result<Self, String> {
        let image = Image::default();
        let options = StoreOptions { checkpoint_bytes: bytes * 2 / 7, ..StoreOptions::default() };
        let opened = Ledger::open(Arc::new(image.clone()), options, [9; 16]);
        let (ledger, _) = opened.map_err(|error| error.to_string())?;
        let mut maker = Maker { ledger, sessions: Vec::new(), written: 0 };
        maker.open_accounts()?;
        while maker.written < bytes {
            maker.batch(random)?;
        }
        maker.ledger.rest();
        let newest = |image: &Image| -> Result<(Vec<String>, Arc<Vec<u8>>), String> {
            let names = image.list().map_err(|error| error.to_string())?;
            let segments: Vec<String> =
                names.into_iter().filter(|name| name.starts_with("journal-")).collect();
            let last = segments.last().ok_or("no segment")?;
            let bytes = image.bytes(last).map_err(|error| error.to_string())?;
            Ok((segments, bytes))
        };
        let (earlier_segments, earlier) = newest(&image)?;
        for _ in 0..3 {
            maker.batch(random)?;
        }
        maker.ledger.rest();
        let (segments, _) = newest(&image)?;
        if segments != earlier_segments {
            return Err("a segment ended with the last batches: another seed".into());
        }
        let (totals, head) = (maker.ledger.totals(), maker.ledger.head());
        let (batch, _) = head.ok_or("no journal")?;
        drop(maker);
        let names = image.list().map_err(|error| error.to_string())?;
        let checkpoints =
            names.into_iter().filter(|name| name.starts_with("checkpoint-")).collect();
        let mut frames = Vec::new();
        for segment in &segments {
            frames_of(
                segment,
                &image.bytes(segment).map_err(|error| error.to_string())?,
                &mut frames,
            );
        }
        let last = frames.last().map(|frame| frame.batch);
        if last != Some(batch) {
            return Err(format!("the frames end with {last:?}, the ledger with batch {batch}"));
        }
        Ok(Self { image, totals, batch, frames, segments, checkpoints, earlier })
    }

    fn forgery(&self) -> Result<Harm, String> {
        let file = self.segments.last().ok_or("no segment")?.clone();
        Ok(Harm { file, what: What::Replace(Arc::clone(&self.earlier)), offset: None, batch: None })
    }

    fn harm(&self, kind: Kind, random: &mut Random) -> Result<Harm, String> {
        let mut below = |bound: usize| random.index(bound);
        let bit = below(8);
        let segment = self.segments.get(below(self.segments.len())).ok_or("no segment")?.clone();
        let of_segment = |byte, offset, batch| Harm {
            file: segment.clone(),
            what: What::Flip { byte, bit },
            offset,
            batch,
        };
        let last = self.frames.last().ok_or("no batch")?;
        let whole = self.image.bytes(&last.file).map_err(|error| error.to_string())?.len();
        Ok(match kind {
            Kind::Batch => {
                let all = self.frames.iter().map(|frame| frame.end - frame.start).sum();
                self.flip_in_a_batch(below(all), bit)?
            }
            Kind::Header => {
                let first =
                    self.frames.iter().find(|frame| frame.file == segment).map(|frame| frame.batch);
                of_segment(below(HEADER_BYTES), Some(0), first)
            }
            Kind::Superblock => {
                let start = SUPERBLOCKS.get(below(2)).copied().unwrap_or(SUPERBLOCKS[0]);
                of_segment(start + below(SUPERBLOCK_BYTES), Some(start as u64), None)
            }
            Kind::Checkpoint => {
                let file = self
                    .checkpoints
                    .get(below(self.checkpoints.len()))
                    .ok_or("no checkpoint")?
                    .clone();
                let bytes = self.image.bytes(&file).map_err(|error| error.to_string())?.len();
                let batch = number_of(&file);
                Harm { file, what: What::Flip { byte: below(bytes), bit }, offset: Some(0), batch }
            }
            Kind::Unused => {
                let byte = last.end + below(whole - last.end);
                Harm {
                    file: last.file.clone(),
                    what: What::Flip { byte, bit },
                    offset: None,
                    batch: None,
                }
            }
            Kind::Truncated => Harm {
                file: last.file.clone(),
                what: What::Truncate(below(whole)),
                offset: None,
                batch: None,
            },
            Kind::Zeroed => {
                let from = below(last.end);
                let frame =
                    self.frames.iter().find(|frame| frame.file == last.file && from < frame.end);
                let frame = frame.filter(|_| from >= DATA);
                let (offset, batch) =
                    (frame.map(|frame| frame.start as u64), frame.map(|frame| frame.batch));
                Harm { file: last.file.clone(), what: What::Zero(from), offset, batch }
            }
            Kind::Forged => self.forgery()?,
        })
    }

    /// Flips a bit of the byte at `place` in all batches, taken as one sequence of bytes.
    fn flip_in_a_batch(&self, mut place: usize, bit: usize) -> Result<Harm, String> {
        let frame = self.frames.iter().find(|frame| {
            let length = frame.end - frame.start;
            let is_here = place < length;
            place -= if is_here { 0 } else { length };
            is_here
        });
        let frame = frame.ok_or("no such byte")?;
        let what = What::Flip { byte: frame.start + place, bit };
        let (offset, batch) = (Some(frame.start as u64), Some(frame.batch));
        Ok(Harm { file: frame.file.clone(), what, offset, batch })
    }

    /// What opening notices of a harm: it begins after the newest checkpoint, and reports the first
    /// frame that it needs and does not find.
    fn needed(&self, harm: &Harm) -> Harm {
        let newest = self.checkpoints.iter().filter_map(|name| number_of(name)).max().unwrap_or(0);
        let (mut offset, mut batch) = (harm.offset, harm.batch);
        if batch.is_some_and(|batch| batch <= newest) && matches!(harm.what, What::Zero(_)) {
            let first = self.frames.iter().find(|frame| frame.batch > newest);
            (offset, batch) =
                (first.map(|frame| frame.start as u64), first.map(|frame| frame.batch));
        }
        // The head of a segment is read before its batches, so no batch is named.
        if offset == Some(0) && harm.file.starts_with("journal-") {
            batch = None;
        }
        Harm { file: harm.file.clone(), what: What::Truncate(0), offset, batch }
    }

    /// Does the harm to a copy, and holds what verify and opening make of it to what is right.
    fn examine(&self, kind: Kind, harm: &Harm) -> Result<Noticed, String> {
        let image = self.image.copy();
        image
            .tamper(&harm.file, |bytes| harm.what.apply(bytes))
            .map_err(|error| error.to_string())?;
        let verified = match audit::verify(&image, &[], &mut |_, _| {}) {
            Ok(verified) => Ok(verified.totals),
            Err(VerifyError::Store(StoreError::Damaged(damage))) => Err(damage),
            Err(error) => return Err(format!("verify: {error}")),
        };
        let opened = match Ledger::open(Arc::new(image), StoreOptions::default(), [9; 16]) {
            Ok((ledger, opened)) => Ok((ledger.totals(), opened)),
            Err(StoreError::Damaged(damage)) => Err(damage),
            Err(error) => return Err(format!("opening: {error}")),
        };
        if let Ok((totals, opened)) = &opened
            && (*totals != self.totals || opened.batch != self.batch)
        {
            return Err(format!("opening gives batch {} and {totals:?} in silence", opened.batch));
        }
        let named = match (verified, kind) {
            (Err(damage), _) => damage,
            (Ok(totals), Kind::Unused) if totals == self.totals && opened.is_ok() => {
                return Ok(Noticed::Not);
            }
            (Ok(totals), _) => return Err(format!("verify finds nothing, and {totals:?}")),
        };
        harm.hold("verify", &named)?;
        match opened {
            Err(damage) => self.needed(harm).hold("opening", &damage).map(|()| Noticed::ByBoth),
            Ok((_, opened)) => {
                let note = opened.notes.iter().find(|note| note.file == harm.file);
                match note {
                    Some(note) => self.needed(harm).hold("opening", note).map(|()| Noticed::ByBoth),
                    // A batch that it did not need.
                    None if harm.batch.is_none_or(|batch| batch <= opened.checkpoint) => {
                        Ok(Noticed::ByVerify)
                    }
                    None => Err("opening says nothing of it".into()),
                }
            }
        }
    }
}

impl Harm {
    /// Whether what is said names this place.
    fn hold(&self, who: &str, damage: &Damage) -> Result<(), String> {
        let is_right = damage.file == self.file
            && damage.batch > 0
            && self.offset.is_none_or(|offset| offset == damage.offset)
            && self.batch.is_none_or(|batch| batch == damage.batch);
        if is_right {
            Ok(())
        } else {
            Err(format!("{who} names {damage}, not {:?}, batch {:?}", self.offset, self.batch))
        }
    }
}

impl What {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { byte, bit } => {
                if let Some(byte) = bytes.get_mut(*byte) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Truncate(length) => bytes.truncate(*length),
            Self::Zero(from) => {
                if let Some(rest) = bytes.get_mut(*from..) {
                    rest.fill(0);
                }
            }
            Self::Replace(other) => bytes.clone_from(other),
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Flip { byte, bit } => write!(f, "{} byte {byte} bit {bit}", self.file),
            What::Truncate(length) => write!(f, "{} cut to {length}", self.file),
            What::Zero(from) => write!(f, "{} zeroed from {from}", self.file),
            What::Replace(_) => write!(f, "{} as it was", self.file),
        }
    }
}

/// Of a checkpoint, by its name.
fn number_of(checkpoint: &str) -> Option<u64> {
    checkpoint.strip_prefix("checkpoint-")?.parse().ok()
}

/// On all cores. A panic is a fault too.
fn examine_all(sound: &Sound, harms: &[(Kind, Harm)]) -> Vec<Result<Noticed, String>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((kind, harm)) = harms.get(at) else { return done };
            let outcome = catch_unwind(AssertUnwindSafe(|| sound.examine(*kind, harm)));
            done.push((at, outcome.unwrap_or_else(|_| Err("it panicked".into()))));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|_| Vec::new()))
            .collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

/// A frame has its length at its 5th byte, and its batch at the 9th.
fn frames_of(file: &str, bytes: &[u8], frames: &mut Vec<Frame>) {
    let mut start = DATA;
    loop {
        let Some(rest) = bytes.get(start + 4..) else { return };
        let Some((length, rest)) = rest.split_first_chunk() else { return };
        let Some(batch) = rest.first_chunk() else { return };
        let length = u32::from_le_bytes(*length) as usize;
        let batch = u64::from_le_bytes(*batch);
        if batch == 0 {
            return;
        }
        let end = start + FRAME_HEADER_BYTES + length;
        frames.push(Frame { file: file.to_owned(), start, end, batch });
        start = end;
    }
}

/// Fills a ledger with random accounts and batches.
struct Maker {
    ledger: Ledger,
    sessions: Vec<(AccountNumber, SessionNumber, u64)>,
    /// Bytes of records, as good as exactly.
    written: u64,
}

impl Maker {
    fn open_accounts(&mut self) -> Result<(), String> {
        let id = |account: u64| {
            let mut key = [0; 32];
            let words = key.as_chunks_mut::<8>().0;
            words
                .iter_mut()
                .zip(0..)
                .for_each(|(word, part)| *word = mix(account << 2 | part).to_le_bytes());
            AccountId::Identity(key)
        };
        let openings: Vec<_> = (0..ACCOUNTS).map(|account| Operation::Open(id(account))).collect();
        for outcome in self.commit(&openings)? {
            let OperationOutcome::Opened(Ok(opening)) = outcome else {
                return Err(format!("{outcome:?}"));
            };
            self.sessions.push((opening.account, opening.session, 0));
        }
        Ok(())
    }

    /// Of one account or many, of one value or thousands.
    fn batch(&mut self, random: &mut Random) -> Result<(), String> {
        let (accounts, size) = (1 << random.below(8), random.below(10));
        let values = 1 + random.below(1 << size);
        let mut operations = Vec::new();
        let first = random.below(ACCOUNTS);
        for account in first..first + accounts {
            let account = account % ACCOUNTS;
            let Some((number, session, count)) =
                usize::try_from(account).ok().and_then(|at| self.sessions.get_mut(at))
            else {
                continue;
            };
            let values: Vec<i64> =
                (*count + 1..=*count + values).map(|number| value(account, number)).collect();
            // A byte of LEB128 holds seven bits, the sign among them.
            let bytes =
                values.iter().map(|value| u64::from(72 - value.unsigned_abs().leading_zeros()) / 7);
            self.written += 24 + bytes.sum::<u64>();
            operations.push(Operation::Add(Submission {
                account: *number,
                session: *session,
                first_seq: Sequence::new(*count + 1),
                amounts: values.into_iter().map(Amount::from).collect(),
            }));
            *count += values_in(operations.last());
        }
        let outcomes = self.commit(&operations)?;
        let refused =
            outcomes.iter().find(|outcome| !matches!(outcome, OperationOutcome::Decided(Ok(_))));
        refused.map_or(Ok(()), |outcome| Err(format!("{outcome:?}")))
    }

    fn commit(&mut self, operations: &[Operation]) -> Result<Vec<OperationOutcome>, String> {
        let outcomes = self.ledger.commit(Timestamp(self.written), operations);
        if let Some(work) = self.ledger.poll_work() {
            let done: CheckpointDone = work.run();
            self.ledger.handle_done(done).map_err(|error| error.to_string())?;
        }
        Ok(outcomes)
    }
}

fn values_in(operation: Option<&Operation>) -> u64 {
    match operation {
        Some(Operation::Add(submission)) => submission.amounts.len() as u64,
        Some(Operation::Open(_) | Operation::End(_)) | None => 0,
    }
}
