//! The writer's end of the journal: one frame at a time, synced before anybody is told.

use std::io;
use std::sync::Arc;

use super::disk::is_full;
use super::frame::{self, Batch, Chain, HEADER_BYTES, Tag};
use super::segment::{self, DATA, SegmentHeader, Superblock, Version};
use super::walk::{End, Start};
use super::{Disk, DiskFile, Options, StoreError};
use crate::Timestamp;

/// What is being made, in the order in which it may be left behind.
pub(crate) const SPARE: &str = "spare";

/// While commits follow each other, no superblock is written before so many durable batches are not
/// named by one: a second page in every commit would make a small one a fifth longer.
const UNMARKED_MAX: u64 = 16;

/// So often at most it is seen whether there is room again, and whether the folder still stands:
/// filling a segment takes as long as a thousand commits.
const LOOK_MICROS: u64 = 1_000_000;

/// Why nothing can be written now.
#[derive(Debug)]
pub(crate) enum Closed {
    /// No room, for another segment or in this one; there may be later.
    Full,
    /// A write or a sync failed: never again by this process. [`Journal::failure`] says why.
    Failed,
}

/// What a call of the disk came to, where more than one may be wrong.
enum Fault {
    /// Nothing that is acknowledged was touched, and what was written in part is written again.
    NoRoom,
    Disk(io::Error),
    /// Of another segment than the one that is written.
    Store(StoreError),
}

impl Fault {
    /// Of a write, or of a name. A sync has no such excuse: after it nobody knows what is durable.
    fn of(error: io::Error) -> Self {
        if is_full(&error) { Self::NoRoom } else { Self::Disk(error) }
    }
}

/// What is written before anything else, and found no room yet.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// The frame that was sealed last: it is decided, and not durable.
    Frame { batch: Batch, chain: Chain, time: Timestamp },
    /// What an opening writes: the last frame once more, which begins there, and so many zeros
    /// behind it.
    Opening { last: Option<u64>, zeros: u64 },
}

#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    options: Options,
    ledger: [u8; 16],
    /// Of frames in segments made now; and in the segment that was found, whose frames go on as
    /// they began.
    tag: Tag,
    found: Option<(u64, Tag)>,
    file: Box<dyn DiskFile>,
    /// Of the segment: its size, and behind its last frame.
    segment_bytes: u64,
    at: Start,
    superblock: Superblock,
    /// Armed while the disk may hold something else than memory.
    failed: Option<String>,
    /// The frame in the making: room for its header, then records.
    frame: Vec<u8>,
    /// Memory is ahead of what is known to be durable: no frame is made before this is written.
    waiting: Option<Waiting>,
    /// There was no room at this time, and none was found since.
    full: Option<Timestamp>,
    /// Zeros for the next segment, made while it was seen whether there is room.
    spare: Option<Box<dyn DiskFile>>,
    /// The next segment, whose name is durable, while this one is not yet sealed. No batch goes
    /// here any more.
    next: Option<Box<dyn DiskFile>>,
    /// When it was last seen that the folder stands.
    looked: Option<Timestamp>,
    /// Bytes of all frames that this process wrote.
    written: u64,
    /// The newest batch's time.
    time: Timestamp,
}

impl Journal {
    /// The first segment of a new ledger.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        options: Options,
        ledger: [u8; 16],
    ) -> Result<Self, StoreError> {
        let chain = Chain::genesis(&ledger);
        let at = Start { segment: 1, offset: DATA, batch: 0, chain };
        let file = disk.create(SPARE, options.bytes_of_segment(1));
        let file = file.and_then(|file| begin_segment(&*disk, file, &options, ledger, at));
        let file = file.map_err(StoreError::disk(&segment::name(1)))?;
        Ok(Self::new(disk, options, ledger, file, at, options.bytes_of_segment(1), 0))
    }

    /// Goes on where a journal ends: what was found is made durable, what a torn batch left is
    /// zeroed, and the end is made known, before anything is written there. A disk without room for
    /// that gives a ledger that is full.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        options: Options,
        ledger: [u8; 16],
        end: &End,
        time: Timestamp,
    ) -> Result<Self, StoreError> {
        let name = segment::name(end.at.segment);
        let file = disk.claim(&name).map_err(StoreError::disk(&name))?;
        // A name can be seen that is not durable: a process may have ended before it had synced the
        // folder.
        disk.publish(&name, &name).map_err(StoreError::disk(&name))?;
        let mut journal =
            Self::new(disk, options, ledger, file, end.at, end.segment_bytes, end.generation);
        journal.found = Some((end.at.segment, Tag::new(&ledger, end.version)));
        journal.time = time;
        let longest = end.frame_bytes_max.min(end.segment_bytes - end.at.offset);
        let zeros = if end.is_torn { longest } else { 0 };
        match journal.reopen(end.last, zeros) {
            Ok(()) => Ok(journal),
            Err(Fault::NoRoom) => {
                journal.waiting = Some(Waiting::Opening { last: end.last, zeros });
                // Long ago: the first commit tries again.
                journal.full = Some(Timestamp::default());
                Ok(journal)
            }
            Err(Fault::Disk(error)) => Err(StoreError::disk(&name)(error)),
            Err(Fault::Store(error)) => Err(error),
        }
    }

    /// May be done again from its beginning: the same is written to the same places.
    fn reopen(&mut self, last: Option<u64>, zeros: u64) -> Result<(), Fault> {
        let bytes = |count: u64| vec![0; usize::try_from(count).unwrap_or(0)];
        if let Some(last) = last {
            // It may be seen and not be durable. After a sync that failed the system takes it for
            // written, so it is written again.
            let mut frame = bytes(self.at.offset - last);
            self.file.read_at(last, &mut frame).map_err(Fault::Disk)?;
            self.file.write_at(last, &frame).map_err(Fault::of)?;
        }
        if zeros > 0 {
            self.file.write_at(self.at.offset, &bytes(zeros)).map_err(Fault::of)?;
        }
        // Before it is said that this is the end: the other way round a crash between them would
        // leave damage.
        self.file.sync().map_err(Fault::Disk)?;
        self.write_superblock(self.at.batch, false).map_err(Fault::of)?;
        self.file.sync().map_err(Fault::Disk)?;
        seal(&*self.disk, self.at.segment - 1)
    }

    fn new(
        disk: Arc<dyn Disk>,
        options: Options,
        ledger: [u8; 16],
        file: Box<dyn DiskFile>,
        at: Start,
        segment_bytes: u64,
        generation: u64,
    ) -> Self {
        let superblock =
            Superblock { number: at.segment, generation, durable: at.batch, sealed: false };
        let frame = vec![0; HEADER_BYTES];
        let tag = Tag::new(&ledger, Version::NEW);
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

    /// Behind the last batch.
    pub(crate) fn at(&self) -> Start {
        self.at
    }

    pub(crate) fn ledger(&self) -> [u8; 16] {
        self.ledger
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Whether there was no room, and none was found since.
    pub(crate) fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Whether memory is ahead of the disk by a frame that waits for room.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// The newest batch's time.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// Bytes of all frames that this process wrote.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Makes room for a frame of at most `payload` bytes of records, before anything of it is
    /// decided.
    pub(crate) fn reserve(&mut self, now: Timestamp, payload: u64) -> Result<(), Closed> {
        if self.failed.is_some() {
            return Err(Closed::Failed);
        }
        self.look(now)?;
        self.look_for_room(now)?;
        if self.waiting.is_some() {
            return Err(Closed::Full);
        }
        self.frame.truncate(HEADER_BYTES);
        let fits = self.at.offset + HEADER_BYTES as u64 + payload <= self.segment_bytes;
        if !fits || self.next.is_some() {
            // Where there was no room a second ago there is none now.
            let begun =
                if self.full.is_some() { return Err(Closed::Full) } else { self.next_segment() };
            self.note(now, begun)?;
        }
        // Begun in good time, so that it need not be waited for.
        if self.at.offset > self.segment_bytes / 2 && self.full.is_none() && self.spare.is_none() {
            self.disk.prepare(SPARE, self.options.bytes_of_segment(self.at.segment + 1));
        }
        Ok(())
    }

    /// What is written into a folder that is in nobody's path is not where it is looked for.
    fn look(&mut self, now: Timestamp) -> Result<(), Closed> {
        if self.looked.is_none_or(|looked| is_apart(looked, now)) {
            self.looked = Some(now);
            if let Err(error) = self.disk.stands() {
                self.failed = Some(error.to_string());
                return Err(Closed::Failed);
            }
        }
        Ok(())
    }

    /// A full disk is tried again from time to time: for what waits, and for a whole segment, so
    /// that there is room again only where it lasts.
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

    /// Where records go.
    pub(crate) fn records(&mut self) -> &mut Vec<u8> {
        &mut self.frame
    }

    /// Makes the frame durable, if it has records, as a batch of `time`.
    pub(crate) fn append(&mut self, now: Timestamp, time: Timestamp) -> Result<(), Closed> {
        if self.frame.len() == HEADER_BYTES {
            return Ok(());
        }
        let batch = self.at.batch + 1;
        let found = self.found.filter(|(segment, _)| *segment == self.at.segment);
        let tag = found.map_or(self.tag, |(_, tag)| tag);
        let chain = frame::seal(&mut self.frame, tag, self.at.chain, batch, time);
        self.waiting = Some(Waiting::Frame { batch, chain, time });
        let written = self.write_frame(batch, chain, time);
        self.note(now, written)
    }

    fn write_what_waits(&mut self) -> Result<(), Closed> {
        match self.waiting {
            None => Ok(()),
            Some(Waiting::Frame { batch, chain, time }) => self.write_frame(batch, chain, time),
            Some(Waiting::Opening { last, zeros }) => {
                self.guarded(|journal| journal.reopen(last, zeros))?;
                self.waiting = None;
                Ok(())
            }
        }
    }

    /// The frame that is sealed, at its place: over whatever of it was written when there was no
    /// room for the rest.
    fn write_frame(&mut self, batch: Batch, chain: Chain, time: Timestamp) -> Result<(), Closed> {
        let before = self.at.batch;
        self.guarded(|journal| {
            journal.file.write_at(journal.at.offset, &journal.frame).map_err(Fault::of)?;
            if before - journal.superblock.durable >= UNMARKED_MAX {
                journal.write_superblock(before, false).map_err(Fault::of)?;
            }
            journal.file.sync().map_err(Fault::Disk)
        })?;
        self.at.offset += self.frame.len() as u64;
        self.written += self.frame.len() as u64;
        (self.at.batch, self.at.chain, self.time) = (batch, chain, time);
        self.waiting = None;
        self.frame.truncate(HEADER_BYTES);
        Ok(())
    }

    /// Makes the last batch known as durable: after a pause, and at the end. Where there is no room
    /// for that, the frames say it.
    pub(crate) fn rest(&mut self) -> Result<(), Closed> {
        if self.failed.is_some() {
            return Err(Closed::Failed);
        }
        let waits = matches!(self.waiting, Some(Waiting::Opening { .. })) || self.next.is_some();
        if self.superblock.durable == self.at.batch || waits {
            return Ok(());
        }
        let batch = self.at.batch;
        let rested = self.guarded(|journal| {
            journal.write_superblock(batch, false).map_err(Fault::of)?;
            journal.file.sync().map_err(Fault::Disk)
        });
        match rested {
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

    /// The next segment, and then the seal on this one. Any step may find no room; each is gone on
    /// with from where it stands.
    fn next_segment(&mut self) -> Result<(), Closed> {
        let at = Start { segment: self.at.segment + 1, offset: DATA, ..self.at };
        if self.next.is_none() {
            self.make_spare()?;
            let Some(spare) = self.spare.take() else { return Err(Closed::Full) };
            self.guarded(|journal| {
                let begun =
                    begin_segment(&*journal.disk, spare, &journal.options, journal.ledger, at);
                journal.next = Some(begun.map_err(Fault::of)?);
                Ok(())
            })?;
        }
        let batch = self.at.batch;
        self.guarded(|journal| {
            journal.write_superblock(batch, true).map_err(Fault::of)?;
            journal.file.sync().map_err(Fault::Disk)
        })?;
        let Some(file) = self.next.take() else { return Err(Closed::Full) };
        self.segment_bytes = self.options.bytes_of_segment(at.segment);
        (self.file, self.at) = (file, at);
        self.superblock =
            Superblock { number: at.segment, generation: 0, durable: batch, sealed: false };
        Ok(())
    }

    /// One that was written in part takes the same place again: the other one holds meanwhile.
    fn write_superblock(&mut self, durable: Batch, sealed: bool) -> io::Result<()> {
        let generation = self.superblock.generation + 1;
        let superblock = Superblock { generation, durable, sealed, ..self.superblock };
        self.file.write_at(superblock.offset(), &superblock.encode())?;
        self.superblock = superblock;
        Ok(())
    }

    /// After a failure nobody knows what the disk holds: nothing more is written, nothing claimed.
    fn guarded(&mut self, act: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Closed> {
        self.failed = Some("a write was cut off".into());
        match act(self) {
            Ok(()) => {
                self.failed = None;
                Ok(())
            }
            Err(Fault::NoRoom) => {
                self.failed = None;
                Err(Closed::Full)
            }
            Err(Fault::Disk(error)) => Err(self.fail(&error)),
            Err(Fault::Store(error)) => {
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

/// A crash may have come between a segment's name and the seal on the one before, which may be gone
/// by its age.
fn seal(disk: &dyn Disk, number: u64) -> Result<(), Fault> {
    let name = segment::name(number);
    let names = disk.list().map_err(StoreError::disk("the folder")).map_err(Fault::Store)?;
    if !names.contains(&name) {
        return Ok(());
    }
    let (next, _) = segment::read_head(disk, number + 1, 0).map_err(Fault::Store)?;
    let (_, superblocks) =
        segment::read_head(disk, number, next.first_batch - 1).map_err(Fault::Store)?;
    let Some(newest) = superblocks.newest().filter(|newest| !newest.sealed) else { return Ok(()) };
    let sealed = Superblock { generation: newest.generation + 1, sealed: true, ..newest };
    let failed = |error| Fault::Store(StoreError::disk(&name)(error));
    let file = disk.claim(&name).map_err(failed)?;
    match file.write_at(sealed.offset(), &sealed.encode()) {
        Err(error) if is_full(&error) => Err(Fault::NoRoom),
        written => written.and_then(|()| file.sync()).map_err(failed),
    }
}

/// Gives the spare file its head and its name, for good.
fn begin_segment(
    disk: &dyn Disk,
    file: Box<dyn DiskFile>,
    options: &Options,
    ledger: [u8; 16],
    at: Start,
) -> io::Result<Box<dyn DiskFile>> {
    let header = SegmentHeader {
        version: Version::NEW,
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

/// A clock that was set back has not stood still.
fn is_apart(then: Timestamp, now: Timestamp) -> bool {
    now.0.abs_diff(then.0) >= LOOK_MICROS
}
