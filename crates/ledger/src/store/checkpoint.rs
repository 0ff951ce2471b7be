//! A checkpoint: all accounts in one file, taken in slices while commits go on.
//!
//! ```text
//! head  = "DdsC" || version u32 || ledger [16] || time u64
//!         || start: segment u64 || offset u64 || batch u64 || chain [32] || raises u32
//! slice = 1 u8 || as of batch u64 || n u32 || n × (key [32] || account [60])
//! rest  = 2 u8 || end batch u64 || end chain [32] || next classic number u64
//!         || n u32 || n × (number u64 || account [60]) || ended totals [72]
//! file  = head || slice … || rest || SHA-256 of all before it                   little-endian
//! ```
//!
//! A slice holds its accounts as of its batch; the rest is as of the end batch. Replay begins after
//! `start`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ddes_wire::saturating;
use sha2::{Digest, Sha256};

use super::frame::{Batch, Chain};
use super::record::NamedCheckpoint;
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
/// The prefix of every checkpoint's file name.
const PREFIX: &str = "checkpoint-";
/// The name of a checkpoint's file until it is complete.
pub(crate) const NEW: &str = "checkpoint.new";

/// The names in a ledger's folder.
#[derive(Debug)]
pub(crate) struct FolderNames {
    pub(crate) segments: Vec<u64>,
    /// The batches that replay starts after, ascending.
    pub(crate) checkpoints: Vec<Batch>,
    /// Unfinished files that a crash left.
    pub(crate) unfinished: Vec<String>,
}

impl FolderNames {
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

/// Whether a file is named like a checkpoint. Unfinished files have other names.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The batch as of which a checkpoint holds each account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slices {
    /// For each slice, the number after its last identity, and its batch.
    ends: Vec<(u32, Batch)>,
    /// The batch as of which everything but identities is included.
    pub(crate) end: Batch,
}

impl Slices {
    /// The batch as of which identity `number` is included; 0 if it is not.
    pub(crate) fn of(&self, number: u32) -> Batch {
        let slice = self.ends.partition_point(|(end, _)| *end <= number);
        self.ends.get(slice).map_or(0, |(_, batch)| *batch)
    }
}

/// A checkpoint, read completely.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) accounts: Accounts,
    pub(crate) slices: Slices,
    pub(crate) ledger: [u8; 16],
    pub(crate) mark: CheckpointMark,
    pub(crate) end_chain: Chain,
    /// SHA-256 of the file.
    pub(crate) digest: [u8; 32],
}

impl Start {
    /// Whether a checkpoint of this name can begin here. Its own checksum proves nothing: anyone
    /// who can write the file can compute it.
    fn is_in_range(&self, batch: Batch) -> bool {
        let is_place = (DATA..=SEGMENT_BYTES_MAX).contains(&self.offset);
        is_place && self.batch == batch && batch < BATCH_MAX
    }
}

/// A part of a checkpoint after its head.
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
    /// SHA-256 of the file, which has been checked.
    pub(crate) digest: [u8; 32],
}

impl Checkpoint {
    /// Reads a checkpoint; `None` if it is damaged.
    pub(crate) fn read(disk: &dyn Disk, batch: Batch) -> Result<Option<Self>, StoreError> {
        let Some(mut reader) = CheckpointReader::open(disk, batch)? else { return Ok(None) };
        let mut accounts = Accounts::default();
        accounts.restore_raises(reader.raises);
        let mut slices = Slices::default();
        loop {
            let part = reader.next().map_err(StoreError::disk(&name(batch)))?;
            match part {
                Some(Part::Slice { batch, identities }) => {
                    for (key, packed) in identities {
                        if accounts.restore(key, packed).is_none() {
                            return Ok(None);
                        }
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

    /// The record by which a batch names it.
    pub(crate) fn named(&self) -> NamedCheckpoint {
        NamedCheckpoint { start: self.mark.start.batch, end: self.slices.end, digest: self.digest }
    }

    /// The damage of a checkpoint whose checksum does not hold.
    pub(crate) fn damage(batch: Batch) -> Damage {
        Self::wrong(batch, "the checkpoint is damaged: its checksum does not hold")
    }

    /// The damage of a checkpoint for another reason.
    pub(crate) fn wrong(batch: Batch, why: &str) -> Damage {
        Damage { file: name(batch), offset: 0, batch, why: why.to_owned() }
    }
}

/// Reads a checkpoint part by part. The checksum after the last part covers all of them.
#[derive(Debug)]
pub(crate) struct CheckpointReader {
    file: Box<dyn DiskFile>,
    len: u64,
    at: u64,
    piece: Vec<u8>,
    used: usize,
    /// The hash of all bytes before `piece`, and of the first `hashed` bytes of it.
    hash: Sha256,
    hashed: usize,
    pub(crate) ledger: [u8; 16],
    pub(crate) mark: CheckpointMark,
    pub(crate) raises: u32,
}

const PIECE_BYTES: usize = 1024 * 1024;

impl CheckpointReader {
    /// Reads the head; `None` if it is damaged or names another batch.
    pub(crate) fn open(disk: &dyn Disk, batch: Batch) -> Result<Option<Self>, StoreError> {
        let name = name(batch);
        let failed = StoreError::disk(&name);
        let file = disk.open(&name).map_err(&failed)?;
        let len = file.len().map_err(&failed)?;
        let start = Start { segment: 0, offset: 0, batch: 0, chain: Chain([0; 32]) };
        let mark = CheckpointMark { start, time: Timestamp::default() };
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
            (self.ledger, self.mark) = (*ledger, CheckpointMark { start, time: Timestamp(time) });
            (u32::from_le_bytes(*version) == VERSION).then_some(())
        };
        Ok(parse())
    }

    /// The next part; `None` if the file is damaged.
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
        self.hash.update(&self.piece[self.hashed..self.used]);
        self.hashed = self.used;
    }

    /// The next bytes; `None` at the end of the file.
    fn take<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            if self.used == self.piece.len() {
                let count = usize::try_from(self.len - self.at)
                    .map_or(PIECE_BYTES, |rest| rest.min(PIECE_BYTES));
                if count == 0 {
                    return Ok(None);
                }
                self.hash_used();
                self.piece.resize(count, 0);
                self.file.read_at(self.at, &mut self.piece)?;
                (self.at, self.used, self.hashed) = (self.at + count as u64, 0, 0);
            }
            let ready = &self.piece[self.used..];
            let count = ready.len().min(N - filled);
            bytes[filled..filled + count].copy_from_slice(&ready[..count]);
            (filled, self.used) = (filled + count, self.used + count);
        }
        Ok(Some(bytes))
    }
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub(crate) struct Draft {
    file: Box<dyn DiskFile>,
    at: u64,
    hash: Sha256,
    buffer: Vec<u8>,
    /// The number of the next identity to write.
    next: u32,
    mark: CheckpointMark,
    /// The end batch and the digest, once it is written.
    end: Batch,
    digest: [u8; 32],
}

impl Draft {
    /// Creates the file and writes the head. No account is older than `start`.
    pub(crate) fn begin(
        disk: &dyn Disk,
        ledger: [u8; 16],
        start: Start,
        time: Timestamp,
        raises: u32,
    ) -> io::Result<Self> {
        let (file, mark) = (disk.create(NEW, 0)?, CheckpointMark { start, time });
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

    /// Writes up to `most` further accounts as of `now`; whether the checkpoint is complete.
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
                // As slices: `extend` with an array copies byte by byte.
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
        let count = u32::try_from(accounts.classic().len()).map_err(io::Error::other)?;
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

    /// The work that is left once the file is written, for any thread. `obsolete` are the files
    /// that are not needed once the checkpoint is durable and named.
    pub(crate) fn publish(self, disk: Arc<dyn Disk>, obsolete: Obsolete) -> CheckpointWork {
        let (kept, obsolete) = (Box::new(self.kept()), Box::new(obsolete));
        CheckpointWork { disk, task: Task::Publish { file: self.file, kept, obsolete } }
    }

    /// The checkpoint as a batch will name it, once it is written.
    pub(crate) fn kept(&self) -> KeptCheckpoint {
        let Self { mark, end, digest, .. } = *self;
        KeptCheckpoint { mark, named: NamedCheckpoint { start: mark.start.batch, end, digest } }
    }
}

/// Where a checkpoint begins in the journal, and the time of the batch before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckpointMark {
    pub(crate) start: Start,
    pub(crate) time: Timestamp,
}

impl CheckpointMark {
    /// The name of the checkpoint's file.
    pub(crate) fn name(&self) -> String {
        name(self.start.batch)
    }

    /// Reads the mark of a checkpoint in the folder, whose later parts may be damaged.
    pub(crate) fn read(disk: &dyn Disk, batch: Batch) -> Result<Option<Self>, StoreError> {
        Ok(CheckpointReader::open(disk, batch)?.map(|reader| reader.mark))
    }
}

/// A checkpoint that is durable under its name, and the record that names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptCheckpoint {
    pub(crate) mark: CheckpointMark,
    pub(crate) named: NamedCheckpoint,
}

/// Files to delete once a checkpoint is named.
#[derive(Debug, Default)]
pub(crate) struct Obsolete {
    pub(crate) names: Vec<String>,
    /// The checkpoint at which the journal begins once they are deleted.
    pub(crate) base: Option<KeptCheckpoint>,
}

/// The files that are not needed once the last of `kept` is durable and named.
///
/// Without `history` all segments are kept, and the newest two checkpoints. With it the journal
/// begins at a checkpoint of that age, and the checkpoints after it are an eighth of that time
/// apart. It never begins at the newest checkpoint: the one before serves if that is damaged.
pub(crate) fn obsolete(
    kept: &[KeptCheckpoint],
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
    // Saturation keeps everything: 2^64 microseconds are 584,000 years.
    let micros = saturating::micros(history);
    let is_old = |kept: &&KeptCheckpoint| kept.mark.time.0.saturating_add(micros) <= now.0;
    let base = if is_old(&before) { Some(before) } else { older.iter().rev().find(is_old) };
    let start_of = |kept: &KeptCheckpoint| kept.mark.start.batch;
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

/// Work that waits for the disk and therefore runs on another thread: it makes a checkpoint
/// durable, or deletes what the checkpoint replaces once the journal names it.
#[derive(Debug)]
pub struct CheckpointWork {
    disk: Arc<dyn Disk>,
    task: Task,
}

#[derive(Debug)]
enum Task {
    Publish { file: Box<dyn DiskFile>, kept: Box<KeptCheckpoint>, obsolete: Box<Obsolete> },
    Remove(Vec<String>),
}

/// The result of [`CheckpointWork`].
#[derive(Debug)]
pub struct CheckpointDone(pub(crate) CheckpointOutcome);

#[derive(Debug)]
pub(crate) enum CheckpointOutcome {
    /// The checkpoint is durable under its name.
    Published { kept: Box<KeptCheckpoint>, obsolete: Box<Obsolete> },
    /// The checkpoint could not be made durable.
    Failed(io::Error),
    /// Whether all of these files are deleted.
    Removed { names: Vec<String>, outcome: io::Result<()> },
}

impl CheckpointWork {
    /// The deletion of files that a batch of the journal already calls deleted.
    pub(crate) fn remove(disk: Arc<dyn Disk>, names: Vec<String>) -> Self {
        Self { disk, task: Task::Remove(names) }
    }

    /// Syncs a checkpoint and gives it its name durably, or deletes files.
    pub fn run(self) -> CheckpointDone {
        let disk = &*self.disk;
        CheckpointDone(match self.task {
            Task::Remove(names) => {
                CheckpointOutcome::Removed { outcome: remove_all(disk, &names), names }
            }
            Task::Publish { file, kept, obsolete } => {
                let published = file.sync().and_then(|()| disk.publish(NEW, &kept.mark.name()));
                match published {
                    Ok(()) => CheckpointOutcome::Published {
                        kept,
                        obsolete: Box::new(obsolete.if_base_holds(disk)),
                    },
                    Err(error) => {
                        // Best effort, for its room: if it was renamed already, nothing is
                        // found, and the next checkpoint replaces a file that stays.
                        drop(disk.remove(NEW));
                        CheckpointOutcome::Failed(error)
                    }
                }
            }
        })
    }
}

/// Deletes files. A missing file is no error: a deletion that a crash cut off is repeated.
fn remove_all(disk: &dyn Disk, names: &[String]) -> io::Result<()> {
    names.iter().try_for_each(|name| match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
}

impl Obsolete {
    /// These files, or none if the base is damaged or changed: the journal cannot begin at it, and
    /// its mark may name any place.
    fn if_base_holds(self, disk: &dyn Disk) -> Self {
        let Some(base) = self.base else { return self };
        match Checkpoint::read(disk, base.named.start) {
            Ok(Some(found)) if found.named() == base.named => self,
            Ok(_) | Err(_) => Self::default(),
        }
    }
}
