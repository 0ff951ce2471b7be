//! The writer's end of the journal: one frame at a time, synced before anybody is told.

use std::io;
use std::sync::Arc;

use super::frame::{self, Batch, Chain, HEADER_BYTES, Tag};
use super::segment::{self, DATA, SegmentHeader, Superblock, Version};
use super::walk::{End, Start};
use super::{Disk, DiskFile, Options, StoreError};
use crate::Timestamp;

/// What is being made, in the order in which it may be left behind.
pub(crate) const SPARE: &str = "spare";

/// While commits follow each other, no superblock is written before so many durable batches are not named by one: a second page in every commit would make a
/// small one a fifth longer.
const UNMARKED_MAX: u64 = 16;

/// Why nothing can be written now.
#[derive(Debug)]
pub(crate) enum Closed {
    /// No room for another segment; there may be later.
    Full,
    /// A write or a sync failed: never again by this process. [`Journal::failure`] says why.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    options: Options,
    ledger: [u8; 16],
    /// Of frames in segments made now; and in the segment that was found, whose frames go on as they began.
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

    /// Goes on where a journal ends: what was found is made durable, what a torn batch left is zeroed, and the end is made known, before anything is written there.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        options: Options,
        ledger: [u8; 16],
        end: &End,
    ) -> Result<Self, StoreError> {
        let name = segment::name(end.at.segment);
        // A name can be seen that is not durable: a process may have ended before it had synced the folder.
        disk.publish(&name, &name).map_err(StoreError::disk(&name))?;
        let file = disk.open(&name).map_err(StoreError::disk(&name))?;
        let mut journal = Self::new(disk, options, ledger, file, end.at, end.segment_bytes, end.generation);
        journal.found = Some((end.at.segment, Tag::new(&ledger, end.version)));
        let clear = |journal: &mut Self| {
            if let Some(last) = end.last {
                // It may be seen and not be durable. After a sync that failed the system takes it for written, so it is written again.
                let mut frame = vec![0; usize::try_from(end.at.offset - last).unwrap_or(0)];
                journal.file.read_at(last, &mut frame)?;
                journal.file.write_at(last, &frame)?;
            }
            if end.is_torn {
                let longest = end.frame_bytes_max.min(end.segment_bytes - end.at.offset);
                let zeros = vec![0; usize::try_from(longest).unwrap_or(0)];
                journal.file.write_at(end.at.offset, &zeros)?;
            }
            // Before it is said that this is the end: the other way round a crash between them would leave damage.
            journal.file.sync()?;
            journal.write_superblock(end.at.batch, false)?;
            journal.file.sync()
        };
        clear(&mut journal).map_err(StoreError::disk(&name))?;
        seal(&*journal.disk, end.at.segment - 1)?;
        Ok(journal)
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
        let superblock = Superblock { number: at.segment, generation, durable: at.batch, sealed: false };
        let frame = vec![0; HEADER_BYTES];
        let (tag, found) = (Tag::new(&ledger, Version::NEW), None);
        Self { disk, options, ledger, tag, found, file, segment_bytes, at, superblock, failed: None, frame }
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

    /// Makes room for a frame of at most `payload` bytes of records, before anything of it is decided.
    pub(crate) fn reserve(&mut self, payload: u64) -> Result<(), Closed> {
        if self.failed.is_some() {
            return Err(Closed::Failed);
        }
        self.frame.truncate(HEADER_BYTES);
        if self.at.offset + HEADER_BYTES as u64 + payload > self.segment_bytes {
            self.next_segment()?;
        }
        // Begun in good time, so that it need not be waited for.
        if self.at.offset > self.segment_bytes / 2 {
            self.disk.prepare(SPARE, self.options.bytes_of_segment(self.at.segment + 1));
        }
        Ok(())
    }

    /// Where records go.
    pub(crate) fn records(&mut self) -> &mut Vec<u8> {
        &mut self.frame
    }

    /// Makes the frame durable, if it has records.
    pub(crate) fn append(&mut self, time: Timestamp) -> Result<(), Closed> {
        if self.frame.len() == HEADER_BYTES {
            return Ok(());
        }
        let batch = self.at.batch + 1;
        let found = self.found.filter(|(segment, _)| *segment == self.at.segment);
        let tag = found.map_or(self.tag, |(_, tag)| tag);
        let chain = frame::seal(&mut self.frame, tag, self.at.chain, batch, time);
        let before = self.at.batch;
        self.guarded(|journal| {
            journal.file.write_at(journal.at.offset, &journal.frame)?;
            if before - journal.superblock.durable >= UNMARKED_MAX {
                journal.write_superblock(before, false)?;
            }
            journal.file.sync()
        })?;
        self.at.offset += self.frame.len() as u64;
        (self.at.batch, self.at.chain) = (batch, chain);
        self.frame.truncate(HEADER_BYTES);
        Ok(())
    }

    /// Makes the last batch known as durable: after a pause, and at the end.
    pub(crate) fn rest(&mut self) -> Result<(), Closed> {
        if self.failed.is_some() {
            return Err(Closed::Failed);
        }
        if self.superblock.durable == self.at.batch {
            return Ok(());
        }
        let batch = self.at.batch;
        self.guarded(|journal| {
            journal.write_superblock(batch, false)?;
            journal.file.sync()
        })
    }

    /// The next segment, and then the seal on this one. Only the first may fail for want of room, with nothing changed.
    fn next_segment(&mut self) -> Result<(), Closed> {
        let at = Start { segment: self.at.segment + 1, offset: DATA, ..self.at };
        let spare = match self.disk.create(SPARE, self.options.bytes_of_segment(at.segment)) {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Err(Closed::Full),
            Err(error) => return Err(self.fail(&error)),
        };
        let batch = self.at.batch;
        self.guarded(|journal| {
            let file = begin_segment(&*journal.disk, spare, &journal.options, journal.ledger, at)?;
            journal.write_superblock(batch, true)?;
            journal.file.sync()?;
            journal.segment_bytes = journal.options.bytes_of_segment(at.segment);
            (journal.file, journal.at) = (file, at);
            journal.superblock =
                Superblock { number: at.segment, generation: 0, durable: batch, sealed: false };
            Ok(())
        })
    }

    fn write_superblock(&mut self, durable: Batch, sealed: bool) -> io::Result<()> {
        let generation = self.superblock.generation + 1;
        self.superblock = Superblock { generation, durable, sealed, ..self.superblock };
        self.file.write_at(self.superblock.offset(), &self.superblock.encode())
    }

    /// After a failure nobody knows what the disk holds: nothing more is written, nothing claimed.
    fn guarded(&mut self, act: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), Closed> {
        self.failed = Some("a write was cut off".into());
        match act(self) {
            Ok(()) => {
                self.failed = None;
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    fn fail(&mut self, error: &io::Error) -> Closed {
        self.failed = Some(format!("{}: {error}", segment::name(self.at.segment)));
        Closed::Failed
    }
}

/// A crash may have come between a segment's name and the seal on the one before, which may be gone by its age.
fn seal(disk: &dyn Disk, number: u64) -> Result<(), StoreError> {
    let name = segment::name(number);
    if !disk.list().map_err(StoreError::disk("the folder"))?.contains(&name) {
        return Ok(());
    }
    let (next, _) = segment::read_head(disk, number + 1, 0)?;
    let (_, superblocks) = segment::read_head(disk, number, next.first_batch - 1)?;
    let Some(newest) = superblocks.newest().filter(|newest| !newest.sealed) else { return Ok(()) };
    let sealed = Superblock { generation: newest.generation + 1, sealed: true, ..newest };
    let file = disk.open(&name).map_err(StoreError::disk(&name))?;
    let written = file.write_at(sealed.offset(), &sealed.encode()).and_then(|()| file.sync());
    written.map_err(StoreError::disk(&name))
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

/// No room: in the file system, or in what is granted of it.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
