//! Writes the journal: one frame at a time, synced before its batch is acknowledged.

use std::io;
use std::sync::Arc;

use super::disk::is_full;
use super::frame::{self, Batch, Chain, FrameTag, HEADER_BYTES};
use super::segment::{self, DATA, SegmentHeader, SegmentVersion, Superblock};
use super::walk::{JournalEnd, Start};
use super::{Disk, DiskFile, StoreError, StoreOptions};
use crate::Timestamp;

/// The name of the next segment's file until it gets a segment's name.
pub(crate) const SPARE: &str = "spare";

/// Batches between superblock writes under load. A second page in every commit would make a small
/// commit a fifth slower.
const UNMARKED_MAX: u64 = 16;

/// Least time between two checks whether the disk has room again, and whether the folder is still
/// in its place: filling a segment takes as long as a thousand commits.
const LOOK_MICROS: u64 = 1_000_000;

/// Why nothing can be written now.
#[derive(Debug)]
pub(crate) enum Closed {
    /// The disk has no room for another segment, or in this one. It may have some later.
    Full,
    /// A write or a sync failed: this process writes no more. [`Journal::failure`] says why.
    Failed,
}

/// Why a write to the disk failed.
enum WriteFault {
    /// The disk is full. Acknowledged batches are intact; a partial write is repeated later.
    NoRoom,
    /// The file system reports another error for this segment.
    Disk(io::Error),
    /// Another segment cannot be read or written.
    Store(StoreError),
}

impl WriteFault {
    /// The fault of a write or a rename. A failed sync is never [`Self::NoRoom`]: after it nothing
    /// is known about what is durable.
    fn of(error: io::Error) -> Self {
        if is_full(&error) { Self::NoRoom } else { Self::Disk(error) }
    }
}

/// A write that found no room. It is repeated before anything else is written.
#[derive(Clone, Copy, Debug)]
enum WaitingWrite {
    /// The frame that was sealed last: its operations are applied in memory, and not durable.
    Frame { batch: Batch, chain: Chain, time: Timestamp },
    /// The writes of an opening: again the last frame, which begins at offset `last`, and `zeros`
    /// zero bytes after it.
    Opening { last: Option<u64>, zeros: u64 },
}

#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    options: StoreOptions,
    ledger: [u8; 16],
    /// The tag of frames in new segments. A segment found at the opening keeps its own tag: its
    /// number and tag are in `found`.
    tag: FrameTag,
    found: Option<(u64, FrameTag)>,
    file: Box<dyn DiskFile>,
    /// Size of the segment that is written.
    segment_bytes: u64,
    /// The place after its last frame.
    at: Start,
    superblock: Superblock,
    /// Why nothing more is written. Set before each write, and cleared when the write succeeded.
    failed: Option<String>,
    /// The frame being built: room for its header, then records.
    frame: Vec<u8>,
    /// Memory is ahead of the disk by this write: no frame is built before it is done.
    waiting: Option<WaitingWrite>,
    /// When the disk was last found full; `None` if it has room.
    full: Option<Timestamp>,
    /// A zeroed file for the next segment, created by the check whether the disk has room.
    spare: Option<Box<dyn DiskFile>>,
    /// The next segment, whose name is durable, while this one is not sealed. No batch is added to
    /// this one any more.
    next: Option<Box<dyn DiskFile>>,
    /// When the folder was last checked to be in its place.
    looked: Option<Timestamp>,
    /// Bytes of all frames that this process has written.
    written: u64,
    /// The newest batch's time.
    time: Timestamp,
}

impl Journal {
    /// Creates the first segment of a new ledger.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        ledger: [u8; 16],
    ) -> Result<Self, StoreError> {
        let chain = Chain::genesis(&ledger);
        let at = Start { segment: 1, offset: DATA, batch: 0, chain };
        let file = disk.create(SPARE, options.bytes_of_segment(1));
        let file = file.and_then(|file| begin_segment(&*disk, file, &options, ledger, at));
        let file = file.map_err(StoreError::disk(&segment::name(1)))?;
        Ok(Self::new(disk, options, ledger, file, at, options.bytes_of_segment(1), 0))
    }

    /// Continues a journal at its end. Before anything is written there, the batches that were
    /// found are made durable, the rest of a torn batch is zeroed, and the superblock states the
    /// end. If the disk has no room for that, the ledger opens as full.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        ledger: [u8; 16],
        end: &JournalEnd,
        time: Timestamp,
    ) -> Result<Self, StoreError> {
        let name = segment::name(end.at.segment);
        let file = disk.claim(&name).map_err(StoreError::disk(&name))?;
        // A visible name need not be durable: a process may have ended before it synced the folder.
        disk.publish(&name, &name).map_err(StoreError::disk(&name))?;
        let mut journal =
            Self::new(disk, options, ledger, file, end.at, end.segment_bytes, end.generation);
        journal.found = Some((end.at.segment, FrameTag::new(&ledger, end.version)));
        journal.time = time;
        let longest = end.frame_bytes_max.min(end.segment_bytes - end.at.offset);
        let zeros = if end.is_torn { longest } else { 0 };
        match journal.reopen(end.last, zeros) {
            Ok(()) => Ok(journal),
            Err(WriteFault::NoRoom) => {
                journal.waiting = Some(WaitingWrite::Opening { last: end.last, zeros });
                // Time zero, so that the first commit tries again.
                journal.full = Some(Timestamp::default());
                Ok(journal)
            }
            Err(WriteFault::Disk(error)) => Err(StoreError::disk(&name)(error)),
            Err(WriteFault::Store(error)) => Err(error),
        }
    }

    /// May be repeated from its beginning: it writes the same bytes to the same places.
    fn reopen(&mut self, last: Option<u64>, zeros: u64) -> Result<(), WriteFault> {
        let bytes = |count: u64| match usize::try_from(count) {
            Ok(count) => Ok(vec![0; count]),
            Err(_) => Err(WriteFault::Disk(io::ErrorKind::OutOfMemory.into())),
        };
        if let Some(last) = last {
            // It may be visible and not durable. After a failed sync the system considers it
            // written, so it has to be written again.
            let mut frame = bytes(self.at.offset - last)?;
            self.file.read_at(last, &mut frame).map_err(WriteFault::Disk)?;
            self.file.write_at(last, &frame).map_err(WriteFault::of)?;
        }
        if zeros > 0 {
            self.file.write_at(self.at.offset, &bytes(zeros)?).map_err(WriteFault::of)?;
        }
        // Before the superblock states the end: in the other order a crash between the two would
        // leave damage.
        self.file.sync().map_err(WriteFault::Disk)?;
        self.write_superblock(self.at.batch, false).map_err(WriteFault::of)?;
        self.file.sync().map_err(WriteFault::Disk)?;
        seal(&*self.disk, self.at.segment - 1)
    }

    fn new(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        ledger: [u8; 16],
        file: Box<dyn DiskFile>,
        at: Start,
        segment_bytes: u64,
        generation: u64,
    ) -> Self {
        let superblock =
            Superblock { number: at.segment, generation, durable: at.batch, sealed: false };
        let frame = vec![0; HEADER_BYTES];
        let tag = FrameTag::new(&ledger, SegmentVersion::NEW);
        Self {
            disk,
            options,
            ledger,
            tag,
            found: None,
            file,
            segment_bytes,
            at,
            superblock,
            failed: None,
            frame,
            waiting: None,
            full: None,
            spare: None,
            next: None,
            looked: None,
            written: 0,
            time: Timestamp::default(),
        }
    }

    /// The place after the last batch.
    pub(crate) fn at(&self) -> Start {
        self.at
    }

    pub(crate) fn ledger(&self) -> [u8; 16] {
        self.ledger
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Whether the disk was full when it was last checked.
    pub(crate) fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Whether memory is ahead of the disk by a write that waits for room.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// The newest batch's time.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// Bytes of all frames that this process has written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Makes room for a frame of at most `payload` bytes of records, before its operations are
    /// decided.
    pub(crate) fn reserve(&mut self, now: Timestamp, payload: u64) -> Result<(), Closed> {
        if self.failed.is_some() {
            return Err(Closed::Failed);
        }
        self.check_place(now)?;
        self.look_for_room(now)?;
        if self.waiting.is_some() {
            return Err(Closed::Full);
        }
        self.frame.truncate(HEADER_BYTES);
        let fits = self.at.offset + HEADER_BYTES as u64 + payload <= self.segment_bytes;
        if !fits || self.next.is_some() {
            // The disk was full at the last check, and the next one is not due.
            let begun =
                if self.full.is_some() { return Err(Closed::Full) } else { self.next_segment() };
            self.note(now, begun)?;
        }
        // Early, so that the next segment need not be waited for.
        if self.at.offset > self.segment_bytes / 2 && self.full.is_none() && self.spare.is_none() {
            self.disk.prepare(SPARE, self.options.bytes_of_segment(self.at.segment + 1));
        }
        Ok(())
    }

    /// Fails if the folder is no longer at its path: what is written then would not be found there.
    fn check_place(&mut self, now: Timestamp) -> Result<(), Closed> {
        if self.looked.is_none_or(|looked| is_apart(looked, now)) {
            self.looked = Some(now);
            if let Err(error) = self.disk.stands() {
                self.failed = Some(error.to_string());
                return Err(Closed::Failed);
            }
        }
        Ok(())
    }

    /// Tries a full disk again from time to time: first the write that waits, then a whole segment,
    /// so that the ledger is writable only once there is room for many batches.
    fn look_for_room(&mut self, now: Timestamp) -> Result<(), Closed> {
        if !self.full.is_some_and(|tried| is_apart(tried, now)) {
            return Ok(());
        }
        let found = match self.write_what_waits() {
            Ok(()) if self.next.is_some() => self.next_segment(),
            Ok(()) => self.make_spare(),
            Err(closed) => Err(closed),
        };
        match self.note(now, found) {
            Ok(()) => {
                self.full = None;
                Ok(())
            }
            Err(Closed::Full) => Ok(()),
            Err(Closed::Failed) => Err(Closed::Failed),
        }
    }

    fn note(&mut self, now: Timestamp, outcome: Result<(), Closed>) -> Result<(), Closed> {
        if let Err(Closed::Full) = outcome {
            self.full = Some(now);
        }
        outcome
    }

    /// The buffer of the next frame, to which records are appended.
    pub(crate) fn records(&mut self) -> &mut Vec<u8> {
        &mut self.frame
    }

    /// Makes the frame durable as a batch of `time`, if it has records.
    pub(crate) fn append(&mut self, now: Timestamp, time: Timestamp) -> Result<(), Closed> {
        if self.frame.len() == HEADER_BYTES {
            return Ok(());
        }
        let batch = self.at.batch + 1;
        let found = self.found.filter(|(segment, _)| *segment == self.at.segment);
        let tag = found.map_or(self.tag, |(_, tag)| tag);
        let sealed = frame::seal(&mut self.frame, tag, self.at.chain, batch, time);
        let chain = sealed.map_err(|error| self.fail(&error))?;
        self.waiting = Some(WaitingWrite::Frame { batch, chain, time });
        let written = self.write_frame(batch, chain, time);
        self.note(now, written)
    }

    fn write_what_waits(&mut self) -> Result<(), Closed> {
        match self.waiting {
            None => Ok(()),
            Some(WaitingWrite::Frame { batch, chain, time }) => {
                self.write_frame(batch, chain, time)
            }
            Some(WaitingWrite::Opening { last, zeros }) => {
                self.guarded(|journal| journal.reopen(last, zeros))?;
                self.waiting = None;
                Ok(())
            }
        }
    }

    /// Writes the sealed frame at its place, over any part of it that was written when the disk was
    /// full.
    fn write_frame(&mut self, batch: Batch, chain: Chain, time: Timestamp) -> Result<(), Closed> {
        let before = self.at.batch;
        self.guarded(|journal| {
            journal.file.write_at(journal.at.offset, &journal.frame).map_err(WriteFault::of)?;
            if before - journal.superblock.durable >= UNMARKED_MAX {
                journal.write_superblock(before, false).map_err(WriteFault::of)?;
            }
            journal.file.sync().map_err(WriteFault::Disk)
        })?;
        self.at.offset += self.frame.len() as u64;
        self.written += self.frame.len() as u64;
        (self.at.batch, self.at.chain, self.time) = (batch, chain, time);
        self.waiting = None;
        self.frame.truncate(HEADER_BYTES);
        Ok(())
    }

    /// States in the superblock that the last batch is durable: in a pause, and at the end. Nothing
    /// is lost if there is no room for that, since the frames prove themselves.
    pub(crate) fn mark_durable(&mut self) -> Result<(), Closed> {
        if self.failed.is_some() {
            return Err(Closed::Failed);
        }
        let waits =
            matches!(self.waiting, Some(WaitingWrite::Opening { .. })) || self.next.is_some();
        if self.superblock.durable == self.at.batch || waits {
            return Ok(());
        }
        let batch = self.at.batch;
        let marked = self.guarded(|journal| {
            journal.write_superblock(batch, false).map_err(WriteFault::of)?;
            journal.file.sync().map_err(WriteFault::Disk)
        });
        match marked {
            Ok(()) | Err(Closed::Full) => Ok(()),
            Err(Closed::Failed) => Err(Closed::Failed),
        }
    }

    fn make_spare(&mut self) -> Result<(), Closed> {
        if self.spare.is_some() {
            return Ok(());
        }
        match self.disk.create(SPARE, self.options.bytes_of_segment(self.at.segment + 1)) {
            Ok(file) => {
                self.spare = Some(file);
                Ok(())
            }
            Err(error) if is_full(&error) => Err(Closed::Full),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Creates the next segment, then seals this one. Any step may find no room; the next call
    /// continues at that step.
    fn next_segment(&mut self) -> Result<(), Closed> {
        let at = Start { segment: self.at.segment + 1, offset: DATA, ..self.at };
        if self.next.is_none() {
            self.make_spare()?;
            let Some(spare) = self.spare.take() else { return Err(Closed::Full) };
            self.guarded(|journal| {
                let begun =
                    begin_segment(&*journal.disk, spare, &journal.options, journal.ledger, at);
                journal.next = Some(begun.map_err(WriteFault::of)?);
                Ok(())
            })?;
        }
        let batch = self.at.batch;
        self.guarded(|journal| {
            journal.write_superblock(batch, true).map_err(WriteFault::of)?;
            journal.file.sync().map_err(WriteFault::Disk)
        })?;
        let Some(file) = self.next.take() else { return Err(Closed::Full) };
        self.segment_bytes = self.options.bytes_of_segment(at.segment);
        (self.file, self.at) = (file, at);
        self.superblock =
            Superblock { number: at.segment, generation: 0, durable: batch, sealed: false };
        Ok(())
    }

    /// Writes the older superblock's place. A partial write is repeated there, and the other
    /// superblock holds meanwhile.
    fn write_superblock(&mut self, durable: Batch, sealed: bool) -> io::Result<()> {
        let generation = self.superblock.generation + 1;
        let superblock = Superblock { generation, durable, sealed, ..self.superblock };
        self.file.write_at(superblock.offset(), &superblock.encode())?;
        self.superblock = superblock;
        Ok(())
    }

    /// Runs a write. After a failure nothing is known about what the disk holds: this process
    /// writes and acknowledges nothing more.
    fn guarded(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<(), WriteFault>,
    ) -> Result<(), Closed> {
        self.failed = Some("a write was cut off".into());
        match act(self) {
            Ok(()) => {
                self.failed = None;
                Ok(())
            }
            Err(WriteFault::NoRoom) => {
                self.failed = None;
                Err(Closed::Full)
            }
            Err(WriteFault::Disk(error)) => Err(self.fail(&error)),
            Err(WriteFault::Store(error)) => {
                self.failed = Some(error.to_string());
                Err(Closed::Failed)
            }
        }
    }

    fn fail(&mut self, error: &io::Error) -> Closed {
        self.failed = Some(format!("{}: {error}", segment::name(self.at.segment)));
        Closed::Failed
    }
}

/// Seals a segment before the last one, if a crash came between the next segment's name and the
/// seal. The segment may have been deleted by its age.
fn seal(disk: &dyn Disk, number: u64) -> Result<(), WriteFault> {
    let name = segment::name(number);
    let names = disk.list().map_err(StoreError::disk("the folder")).map_err(WriteFault::Store)?;
    if !names.contains(&name) {
        return Ok(());
    }
    let (next, _) = segment::read_head(disk, number + 1, 0).map_err(WriteFault::Store)?;
    let (_, superblocks) =
        segment::read_head(disk, number, next.first_batch - 1).map_err(WriteFault::Store)?;
    let Some(newest) = superblocks.newest().filter(|newest| !newest.sealed) else { return Ok(()) };
    let sealed = Superblock { generation: newest.generation + 1, sealed: true, ..newest };
    let failed = |error| WriteFault::Store(StoreError::disk(&name)(error));
    let file = disk.claim(&name).map_err(failed)?;
    match file.write_at(sealed.offset(), &sealed.encode()) {
        Err(error) if is_full(&error) => Err(WriteFault::NoRoom),
        written => written.and_then(|()| file.sync()).map_err(failed),
    }
}

/// Writes the head of the spare file and gives it a segment's name, durably.
fn begin_segment(
    disk: &dyn Disk,
    file: Box<dyn DiskFile>,
    options: &StoreOptions,
    ledger: [u8; 16],
    at: Start,
) -> io::Result<Box<dyn DiskFile>> {
    let header = SegmentHeader {
        version: SegmentVersion::NEW,
        ledger,
        number: at.segment,
        bytes: options.bytes_of_segment(at.segment),
        frame_bytes_max: options.frame_bytes_max(),
        first_batch: at.batch + 1,
        chain: at.chain,
    };
    file.write_at(0, &header.encode())?;
    for generation in [0, 1] {
        let block = Superblock { number: at.segment, generation, durable: at.batch, sealed: false };
        file.write_at(block.offset(), &block.encode())?;
    }
    file.sync()?;
    disk.publish(SPARE, &segment::name(at.segment))?;
    Ok(file)
}

/// Whether the two times are [`LOOK_MICROS`] apart, in either direction: a clock may be set back.
fn is_apart(then: Timestamp, now: Timestamp) -> bool {
    now.0.abs_diff(then.0) >= LOOK_MICROS
}
