//! A checkpoint: all accounts in one file, taken in slices while commits go on.
//!
//! ```text
//! head  = "DdsC" || version u32 || ledger [16] || time u64 || start: segment u64 || offset u64 || batch u64 || chain [32] || raises u32
//! slice = 1 u8 || as of batch u64 || n u32 || n × (key [32] || account [60])
//! rest  = 2 u8 || end batch u64 || end chain [32] || next classic number u64 || n u32 || n × (number u64 || account [60]) || ended totals [72]
//! file  = head || slice … || rest || SHA-256 of all before it                                                    little-endian
//! ```
//!
//! A slice holds its accounts as of its batch, the rest is as of the end. Replay begins behind
//! `start`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::frame::{Batch, Chain};
use super::record::Named;
use super::segment::{BATCH_MAX, DATA, SEGMENT_BYTES_MAX};
use super::walk::Start;
use super::{Damage, Disk, DiskFile, StoreError, segment};
use crate::account::Packed;
use crate::accounts::Accounts;
use crate::{Account, Timestamp, Totals};

const MAGIC: &[u8; 4] = b"DdsC";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 4 + 4 + 16 + 8 + 3 * 8 + 32 + 4;
const SLICE: u8 = 1;
const REST: u8 = 2;
const RECORD_BYTES: usize = 32 + Packed::BYTES;
/// The names of checkpoints begin with it.
const PREFIX: &str = "checkpoint-";
/// A file being made.
pub(crate) const NEW: &str = "checkpoint.new";

/// The names in a ledger's folder.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) segments: Vec<u64>,
    /// By the batch that replay starts after, ascending.
    pub(crate) checkpoints: Vec<Batch>,
    /// What a crash left in the making.
    pub(crate) unfinished: Vec<String>,
}

impl Names {
    pub(crate) fn read(disk: &dyn Disk) -> Result<Self, StoreError> {
        let names = disk.list().map_err(StoreError::disk("the folder"))?;
        let number = |entry: &String| {
            let batch = entry.strip_prefix(PREFIX)?.parse().ok()?;
            (name(batch) == *entry).then_some(batch)
        };
        let mut checkpoints: Vec<Batch> = names.iter().filter_map(number).collect();
        checkpoints.sort_unstable();
        let unfinished = [NEW, super::journal::SPARE].map(str::to_owned);
        let unfinished = unfinished.into_iter().filter(|name| names.contains(name)).collect();
        Ok(Self { segments: segment::numbers(&names), checkpoints, unfinished })
    }
}

pub(crate) fn name(batch: Batch) -> String {
    format!("{PREFIX}{batch:020}")
}

/// Whether a file is named like a checkpoint. Files that are still being made have other names.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Which batch each account of a checkpoint is as of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slices {
    /// Behind the last account of each slice, and its batch.
    ends: Vec<(u32, Batch)>,
    /// As of this batch is all the rest.
    pub(crate) end: Batch,
}

impl Slices {
    /// The batch that identity `number` is as of; 0 for one that is in none.
    pub(crate) fn of(&self, number: u32) -> Batch {
        let slice = self.ends.partition_point(|(end, _)| *end <= number);
        self.ends.get(slice).map_or(0, |(_, batch)| *batch)
    }
}

/// A checkpoint as it is read.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) accounts: Accounts,
    pub(crate) slices: Slices,
    pub(crate) ledger: [u8; 16],
    pub(crate) mark: Mark,
    pub(crate) end_chain: Chain,
    /// SHA-256 of the file.
    pub(crate) digest: [u8; 32],
}

impl Start {
    /// Whether a checkpoint of this name can begin there: its own checksum proves nothing.
    fn is_in_range(&self, batch: Batch) -> bool {
        let is_place = (DATA..=SEGMENT_BYTES_MAX).contains(&self.offset);
        is_place && self.batch == batch && batch < BATCH_MAX
    }
}

/// What follows a checkpoint's head.
#[derive(Debug)]
pub(crate) enum Part {
    Slice { batch: Batch, identities: Vec<([u8; 32], Packed)> },
    Rest(Rest),
}

/// Everything but identities, as of the end.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) batch: Batch,
    pub(crate) chain: Chain,
    pub(crate) classic_next: u64,
    pub(crate) classic: BTreeMap<u64, Account>,
    pub(crate) ended: Totals,
    /// SHA-256 of the file, which holds.
    pub(crate) digest: [u8; 32],
}

impl Checkpoint {
    /// Reads one; `None` if it is not whole and unchanged.
    pub(crate) fn read(disk: &dyn Disk, batch: Batch) -> Result<Option<Self>, StoreError> {
        let Some(mut reader) = Reader::open(disk, batch)? else { return Ok(None) };
        let mut accounts = Accounts::default();
        accounts.restore_raises(reader.raises);
        let mut slices = Slices::default();
        loop {
            let part = reader.next().map_err(StoreError::disk(&name(batch)))?;
            match part {
                Some(Part::Slice { batch, identities }) => {
                    for (key, packed) in identities {
                        accounts.restore(key, packed);
                    }
                    slices.ends.push((accounts.identities(), batch));
                }
                Some(Part::Rest(rest)) if !(batch..BATCH_MAX).contains(&rest.batch) => {
                    return Ok(None);
                }
                Some(Part::Rest(rest)) => {
                    slices.end = rest.batch;
                    accounts.restore_rest(rest.classic, rest.classic_next, rest.ended);
                    let (ledger, mark, digest) = (reader.ledger, reader.mark, rest.digest);
                    let end_chain = rest.chain;
                    return Ok(Some(Self { accounts, slices, ledger, mark, end_chain, digest }));
                }
                None => return Ok(None),
            }
        }
    }

    /// As a batch names it.
    pub(crate) fn named(&self) -> Named {
        Named { start: self.mark.start.batch, end: self.slices.end, digest: self.digest }
    }

    /// What is said of one that does not hold.
    pub(crate) fn damage(batch: Batch) -> Damage {
        Self::wrong(batch, "the checkpoint is damaged: its checksum does not hold")
    }

    /// What is said of one in which something else is wrong.
    pub(crate) fn wrong(batch: Batch, why: &str) -> Damage {
        Damage { file: name(batch), offset: 0, batch, why: why.to_owned() }
    }
}

/// Reads a checkpoint part by part. Only the rest proves that all before it was right.
#[derive(Debug)]
pub(crate) struct Reader {
    file: Box<dyn DiskFile>,
    len: u64,
    at: u64,
    piece: Vec<u8>,
    used: usize,
    /// Of all before the piece, and of so many bytes of it.
    hash: Sha256,
    hashed: usize,
    pub(crate) ledger: [u8; 16],
    pub(crate) mark: Mark,
    pub(crate) raises: u32,
}

const PIECE_BYTES: usize = 1024 * 1024;

impl Reader {
    /// Reads the head; `None` if that is none, or is of another batch.
    pub(crate) fn open(disk: &dyn Disk, batch: Batch) -> Result<Option<Self>, StoreError> {
        let name = name(batch);
        let failed = StoreError::disk(&name);
        let file = disk.open(&name).map_err(&failed)?;
        let len = file.len().map_err(&failed)?;
        let start = Start { segment: 0, offset: 0, batch: 0, chain: Chain([0; 32]) };
        let mark = Mark { start, time: Timestamp::default() };
        let (piece, hash) = (Vec::new(), Sha256::new());
        let mut reader = Self {
            file,
            len,
            at: 0,
            piece,
            used: 0,
            hash,
            hashed: 0,
            ledger: [0; 16],
            mark,
            raises: 0,
        };
        let is_head = reader.head().map_err(&failed)?.is_some();
        Ok(Some(reader).filter(|reader| is_head && reader.mark.start.is_in_range(batch)))
    }

    fn head(&mut self) -> io::Result<Option<()>> {
        let Some(head) = self.take::<HEAD_BYTES>()? else { return Ok(None) };
        let mut parse = || {
            let rest = head.strip_prefix(MAGIC)?;
            let (version, rest) = rest.split_first_chunk()?;
            let (ledger, rest) = rest.split_first_chunk()?;
            let (numbers, rest) = rest.split_first_chunk::<32>()?;
            let (numbers, _) = numbers.as_chunks();
            let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_le_bytes).collect();
            let [time, segment, offset, batch] = numbers[..] else { return None };
            let (chain, rest) = rest.split_first_chunk()?;
            self.raises = u32::from_le_bytes(*rest.first_chunk()?);
            let start = Start { segment, offset, batch, chain: Chain(*chain) };
            (self.ledger, self.mark) = (*ledger, Mark { start, time: Timestamp(time) });
            (u32::from_le_bytes(*version) == VERSION).then_some(())
        };
        Ok(parse())
    }

    /// The next part; `None` if the file is not what was written.
    pub(crate) fn next(&mut self) -> io::Result<Option<Part>> {
        let Some([tag]) = self.take()? else { return Ok(None) };
        let Some(batch) = self.u64()? else { return Ok(None) };
        match tag {
            SLICE => self.slice(batch),
            REST => self.rest(batch),
            _ => Ok(None),
        }
    }

    fn slice(&mut self, batch: Batch) -> io::Result<Option<Part>> {
        let Some(count) = self.take()?.map(u32::from_le_bytes) else { return Ok(None) };
        let mut identities = Vec::new();
        for _ in 0..count {
            let Some(record) = self.take::<RECORD_BYTES>()? else { return Ok(None) };
            let Some((key, packed)) = record.split_first_chunk() else { return Ok(None) };
            let Some(packed) = packed.first_chunk() else { return Ok(None) };
            identities.push((*key, Packed(*packed)));
        }
        Ok(Some(Part::Slice { batch, identities }))
    }

    fn rest(&mut self, batch: Batch) -> io::Result<Option<Part>> {
        let Some(chain) = self.take()?.map(Chain) else { return Ok(None) };
        let Some(classic_next) = self.u64()? else { return Ok(None) };
        let Some(count) = self.take()?.map(u32::from_le_bytes) else { return Ok(None) };
        let mut classic = BTreeMap::new();
        for _ in 0..count {
            let Some(number) = self.u64()? else { return Ok(None) };
            let Some(packed) = self.take()? else { return Ok(None) };
            classic.insert(number, Packed(packed).unpack(true));
        }
        let Some(ended) = self.take()?.as_ref().and_then(Totals::decode) else { return Ok(None) };
        self.hash_used();
        let digest = self.hash.clone().finalize().into();
        let is_whole =
            self.take()? == Some(digest) && self.at == self.len && self.used == self.piece.len();
        let rest = Rest { batch, chain, classic_next, classic, ended, digest };
        Ok(is_whole.then_some(Part::Rest(rest)))
    }

    fn u64(&mut self) -> io::Result<Option<u64>> {
        Ok(self.take()?.map(u64::from_le_bytes))
    }

    fn hash_used(&mut self) {
        self.hash.update(self.piece.get(self.hashed..self.used).unwrap_or(&[]));
        self.hashed = self.used;
    }

    /// The next bytes; `None` at the end of the file.
    fn take<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            if self.used == self.piece.len() {
                let count =
                    usize::try_from(self.len - self.at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                if count == 0 {
                    return Ok(None);
                }
                self.hash_used();
                self.piece.resize(count, 0);
                self.file.read_at(self.at, &mut self.piece)?;
                (self.at, self.used, self.hashed) = (self.at + count as u64, 0, 0);
            }
            let ready = self.piece.get(self.used..).unwrap_or(&[]);
            let count = ready.len().min(N - filled);
            if let (Some(to), Some(from)) =
                (bytes.get_mut(filled..filled + count), ready.get(..count))
            {
                to.copy_from_slice(from);
            }
            (filled, self.used) = (filled + count, self.used + count);
        }
        Ok(Some(bytes))
    }
}

/// A checkpoint in the making.
#[derive(Debug)]
pub(crate) struct Draft {
    file: Box<dyn DiskFile>,
    at: u64,
    hash: Sha256,
    buffer: Vec<u8>,
    /// The next identity to take up.
    next: u32,
    mark: Mark,
    /// Once it is written.
    end: Batch,
    digest: [u8; 32],
}

impl Draft {
    /// Begins with a head; the accounts are as of `start`.
    pub(crate) fn begin(
        disk: &dyn Disk,
        ledger: [u8; 16],
        start: Start,
        time: Timestamp,
        raises: u32,
    ) -> io::Result<Self> {
        let (file, mark) = (disk.create(NEW, 0)?, Mark { start, time });
        let (hash, buffer, end, digest) = (Sha256::new(), Vec::new(), start.batch, [0; 32]);
        let mut draft = Self { file, at: 0, hash, buffer, next: 0, mark, end, digest };
        draft.buffer.extend(MAGIC);
        draft.buffer.extend(VERSION.to_le_bytes());
        draft.buffer.extend(ledger);
        for number in [time.0, start.segment, start.offset, start.batch] {
            draft.buffer.extend(number.to_le_bytes());
        }
        draft.buffer.extend(start.chain.0);
        draft.buffer.extend(raises.to_le_bytes());
        draft.write()?;
        Ok(draft)
    }

    /// Takes up to `most` accounts more, as of `now`; whether they were the last.
    pub(crate) fn slice(
        &mut self,
        accounts: &Accounts,
        now: &Start,
        most: u32,
    ) -> io::Result<bool> {
        let end = accounts.identities().min(self.next.saturating_add(most));
        if end > self.next {
            self.buffer.push(SLICE);
            self.buffer.extend(now.batch.to_le_bytes());
            self.buffer.extend((end - self.next).to_le_bytes());
            for (key, packed) in accounts.range(self.next, end) {
                // By the slice: an array's iterator goes byte by byte.
                self.buffer.extend_from_slice(key);
                self.buffer.extend_from_slice(&packed.0);
            }
            self.next = end;
            self.write()?;
        }
        if end < accounts.identities() {
            return Ok(false);
        }
        self.finish(accounts, now)?;
        Ok(true)
    }

    fn finish(&mut self, accounts: &Accounts, now: &Start) -> io::Result<()> {
        self.buffer.push(REST);
        self.buffer.extend(now.batch.to_le_bytes());
        self.buffer.extend(now.chain.0);
        self.buffer.extend(accounts.classic_next().to_le_bytes());
        // As many as there are connections.
        let count = u32::try_from(accounts.classic().len()).unwrap_or(u32::MAX);
        self.buffer.extend(count.to_le_bytes());
        for (number, account) in accounts.classic() {
            self.buffer.extend(number.to_le_bytes());
            self.buffer.extend(Packed::new(account).0);
        }
        self.buffer.extend(accounts.ended().encode());
        self.write()?;
        (self.end, self.digest) = (now.batch, self.hash.clone().finalize().into());
        self.buffer.extend(self.digest);
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.hash.update(&self.buffer);
        self.file.write_at(self.at, &self.buffer)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Its file is written: what is left to do, on any thread. `obsolete` are the files that nobody
    /// needs once it is durable and named.
    pub(crate) fn publish(self, disk: Arc<dyn Disk>, obsolete: Obsolete) -> Work {
        let (kept, obsolete) = (Box::new(self.kept()), Box::new(obsolete));
        Work { disk, task: Task::Publish { file: self.file, kept, obsolete } }
    }

    /// As it is to be named, once it is written.
    pub(crate) fn kept(&self) -> Kept {
        let Self { mark, end, digest, .. } = *self;
        Kept { mark, named: Named { start: mark.start.batch, end, digest } }
    }
}

/// A checkpoint's place in the journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) start: Start,
    pub(crate) time: Timestamp,
}

impl Mark {
    /// Its file.
    pub(crate) fn name(&self) -> String {
        name(self.start.batch)
    }

    /// Of a checkpoint in the folder, whole or not.
    pub(crate) fn read(disk: &dyn Disk, batch: Batch) -> Result<Option<Self>, StoreError> {
        Ok(Reader::open(disk, batch)?.map(|reader| reader.mark))
    }
}

/// A checkpoint that is durable under its name, and what names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) mark: Mark,
    pub(crate) named: Named,
}

/// Files to delete.
#[derive(Debug, Default)]
pub(crate) struct Obsolete {
    pub(crate) names: Vec<String>,
    /// The checkpoint that the journal begins at without them.
    pub(crate) base: Option<Kept>,
}

/// Files that nobody needs once the last of `kept` is durable and named. Without `history` all
/// segments are kept, and the newest two checkpoints. With it the journal begins at a checkpoint of
/// that age (the newest is none to begin at: the one before it is there in case it rots), and an
/// eighth of that time lies between any two.
pub(crate) fn obsolete(
    kept: &[Kept],
    segments: &[u64],
    now: Timestamp,
    history: Option<Duration>,
) -> Obsolete {
    let Some((_, older)) = kept.split_last() else { return Obsolete::default() };
    let Some((before, older)) = older.split_last() else { return Obsolete::default() };
    let Some(history) = history else {
        let names = older.iter().map(|kept| kept.mark.name()).collect();
        return Obsolete { names, base: None };
    };
    let micros = u64::try_from(history.as_micros()).unwrap_or(u64::MAX);
    let is_old = |kept: &&Kept| kept.mark.time.0.saturating_add(micros) <= now.0;
    let base = if is_old(&before) { Some(before) } else { older.iter().rev().find(is_old) };
    let start_of = |kept: &Kept| kept.mark.start.batch;
    let mut names = Vec::new();
    let mut last = Timestamp::default();
    for kept in older {
        let is_base = base.is_some_and(|base| start_of(base) == start_of(kept));
        let is_below = base.is_some_and(|base| start_of(kept) < start_of(base));
        let is_near = kept.mark.time.0.saturating_sub(last.0) < micros / 8;
        if is_below || (is_near && !is_base) {
            names.push(kept.mark.name());
        } else {
            last = kept.mark.time;
        }
    }
    let first = base.map_or(0, |base| base.mark.start.segment);
    names.extend(
        segments.iter().filter(|number| **number < first).map(|number| segment::name(*number)),
    );
    Obsolete { names, base: base.copied() }
}

/// What takes as long as the disk takes, so on another thread: a checkpoint becomes durable, or
/// what it replaces is deleted once the journal names it.
#[derive(Debug)]
pub struct Work {
    disk: Arc<dyn Disk>,
    task: Task,
}

#[derive(Debug)]
enum Task {
    Publish { file: Box<dyn DiskFile>, kept: Box<Kept>, obsolete: Box<Obsolete> },
    Remove(Vec<String>),
}

/// The result of [`Work`].
#[derive(Debug)]
pub struct Done(pub(crate) Outcome);

#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is durable under its name; or is not.
    Published {
        kept: Box<Kept>,
        obsolete: Box<Obsolete>,
    },
    Failed(io::Error),
    /// Whether all of these are gone.
    Removed {
        names: Vec<String>,
        outcome: io::Result<()>,
    },
}

impl Work {
    /// Deletes files; the journal says already that they may be gone.
    pub(crate) fn remove(disk: Arc<dyn Disk>, names: Vec<String>) -> Self {
        Self { disk, task: Task::Remove(names) }
    }

    /// Syncs a checkpoint and gives it its name for good; or deletes.
    pub fn run(self) -> Done {
        let disk = &*self.disk;
        Done(match self.task {
            Task::Remove(names) => Outcome::Removed { outcome: remove_all(disk, &names), names },
            Task::Publish { file, kept, obsolete } => {
                let published = file.sync().and_then(|()| disk.publish(NEW, &kept.mark.name()));
                match published {
                    Ok(()) => Outcome::Published {
                        kept,
                        obsolete: Box::new(obsolete.if_base_holds(disk)),
                    },
                    Err(error) => {
                        // The room it takes may be needed; where it has its name by now, this finds
                        // nothing.
                        drop(disk.remove(NEW));
                        Outcome::Failed(error)
                    }
                }
            }
        })
    }
}

/// A file that is gone is no error: whoever was cut off begins again.
fn remove_all(disk: &dyn Disk, names: &[String]) -> io::Result<()> {
    names.iter().try_for_each(|name| match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
}

impl Obsolete {
    /// Nothing, where the base has rotted or was changed: it is no beginning then, and may name any
    /// place as its own.
    fn if_base_holds(self, disk: &dyn Disk) -> Self {
        let Some(base) = self.base else { return self };
        match Checkpoint::read(disk, base.named.start) {
            Ok(Some(found)) if found.named() == base.named => self,
            Ok(_) | Err(_) => Self::default(),
        }
    }
}
