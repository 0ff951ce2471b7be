//! Reads every batch of the journal in order, and finds its end, torn or clean.

use super::frame::{self, Batch, Chain, FrameHeader, FrameTag};
use super::segment::{self, DATA, Segment, SegmentVersion};
use super::{Damage, Disk, StoreError};
use crate::Timestamp;

/// A place in the journal from which batches can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// The batch before this place.
    pub(crate) batch: Batch,
    /// The chain value of that batch.
    pub(crate) chain: Chain,
}

/// A batch, whole and in its place in the chain.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) batch: Batch,
    pub(crate) time: Timestamp,
    /// The chain value of this batch.
    pub(crate) chain: Chain,
    pub(crate) payload: &'a [u8],
    /// The place after it.
    pub(crate) place: Start,
    /// The version of its segment.
    pub(crate) version: SegmentVersion,
    /// Bytes of all segments up to its end.
    pub(crate) bytes: u64,
}

/// Where the journal ends.
#[derive(Debug)]
pub(crate) struct JournalEnd {
    /// The place after the last batch, in the last segment.
    pub(crate) at: Start,
    /// The offset at which the last batch begins, if it was read and lies in this segment.
    pub(crate) last: Option<u64>,
    /// The last segment's newest superblock.
    pub(crate) generation: u64,
    /// Bytes of the last segment, and the most bytes of a frame in it.
    pub(crate) segment_bytes: u64,
    pub(crate) frame_bytes_max: u64,
    pub(crate) version: SegmentVersion,
    /// Whether anything but zeros follows the last batch.
    pub(crate) is_torn: bool,
    /// Findings that do no harm.
    pub(crate) notes: Vec<Damage>,
}

/// Passes each batch after `start` to `visit`; an error of `visit` is damage at that batch. `least`
/// is a batch that must be found. `is_live`: another process may be writing the journal.
pub(crate) fn walk(
    disk: &dyn Disk,
    start: Start,
    least: Batch,
    is_live: bool,
    visit: &mut dyn FnMut(&Seen<'_>) -> Result<(), String>,
) -> Result<JournalEnd, StoreError> {
    let mut walker = Walker { disk, at: start, last: None, notes: Vec::new(), bytes: start.offset };
    let mut tries = if is_live { LIVE_TRIES } else { 1 };
    loop {
        let from = walker.at;
        match walker.segment(least, visit) {
            Ok(Some(end)) => return Ok(end),
            Ok(None) => {}
            // A batch that is read while it is written looks damaged. It is read again.
            Err(StoreError::Damaged(_)) if tries > 1 => {
                tries = if walker.at == from { tries - 1 } else { LIVE_TRIES };
            }
            Err(error) => return Err(error),
        }
    }
}

/// Attempts to read one place that another process may be writing.
const LIVE_TRIES: usize = 5;

struct Walker<'a> {
    disk: &'a dyn Disk,
    at: Start,
    last: Option<u64>,
    notes: Vec<Damage>,
    bytes: u64,
}

impl Walker<'_> {
    /// Reads one segment from the current place on; returns the end if it is the last one.
    fn segment(
        &mut self,
        least: Batch,
        visit: &mut dyn FnMut(&Seen<'_>) -> Result<(), String>,
    ) -> Result<Option<JournalEnd>, StoreError> {
        let number = self.at.segment;
        let segment = Segment::read(self.disk, number, self.at.batch + 1)?;
        self.check_start(&segment)?;
        // A superblock that was being written is readable by now.
        let (_, now) = segment::read_head(self.disk, number, self.at.batch + 1)?;
        let still: Vec<u64> = now.unreadable().collect();
        for offset in segment.unreadable.iter().filter(|offset| still.contains(offset)) {
            let why =
                "a superblock cannot be read: torn by a crash, or damaged; the other one holds";
            let (file, batch) = (segment.name.clone(), segment.superblock.durable);
            self.notes.push(Damage { file, offset: *offset, batch, why: why.into() });
        }
        let version = segment.header.version;
        let tag = FrameTag::new(&segment.header.ledger, version);
        while let Some((header, payload, chain)) = self.next(&segment, tag) {
            let bytes = (frame::HEADER_BYTES + payload.len()) as u64;
            let place = Start {
                segment: number,
                offset: self.at.offset + bytes,
                batch: header.batch,
                chain,
            };
            let (batch, time) = (header.batch, header.time);
            let seen =
                Seen { batch, time, chain, payload, place, version, bytes: self.bytes + bytes };
            visit(&seen).map_err(|why| self.damage(&segment, why))?;
            self.last = Some(self.at.offset);
            self.at = place;
            self.bytes += bytes;
        }
        self.leave(&segment, least)
    }

    /// The frame at the current place, if it is the next batch.
    fn next<'s>(
        &self,
        segment: &'s Segment,
        tag: FrameTag,
    ) -> Option<(FrameHeader, &'s [u8], Chain)> {
        let bytes = segment.bytes.get(usize::try_from(self.at.offset).ok()?..)?;
        let header = FrameHeader::read(tag, bytes)?;
        let payload = header.payload(bytes).filter(|_| header.batch == self.at.batch + 1)?;
        let chain = header.link(self.at.chain, payload)?;
        Some((header, payload, chain))
    }

    /// Checks that a segment's header continues the journal, whether reading starts at its first
    /// batch or a later one.
    fn check_start(&self, segment: &Segment) -> Result<(), StoreError> {
        let header = &segment.header;
        let expected = self.at.batch + 1;
        let continues = if self.at.offset == DATA {
            header.first_batch == expected && header.chain == self.at.chain
        } else {
            header.first_batch <= expected
        };
        if continues {
            return Ok(());
        }
        let why = format!(
            "the segment begins with batch {}, or with another history",
            header.first_batch
        );
        Err(Damage { file: segment.name.clone(), offset: 0, batch: expected, why }.into())
    }

    /// No next batch is at the current place: moves to the next segment, or finds the end or
    /// damage.
    fn leave(&mut self, segment: &Segment, least: Batch) -> Result<Option<JournalEnd>, StoreError> {
        let numbers = segment::numbers(&self.disk.list().map_err(StoreError::disk("the folder"))?);
        if numbers.contains(&(self.at.segment + 1)) {
            let (next, _) = segment::read_head(self.disk, self.at.segment + 1, self.at.batch + 1)?;
            if (next.first_batch, next.chain) != (self.at.batch + 1, self.at.chain) {
                return Err(self
                    .damage(segment, "a batch is damaged or missing: the next segment begins later")
                    .into());
            }
            self.bytes += segment.header.bytes.saturating_sub(self.at.offset) + DATA;
            (self.at.segment, self.at.offset, self.last) = (self.at.segment + 1, DATA, None);
            return Ok(None);
        }
        let durable = segment.superblock.durable.max(least);
        if segment.superblock.sealed {
            let file = segment::name(self.at.segment + 1);
            let why = "the segment is missing: the one before says that it exists";
            return Err(
                Damage { file, offset: 0, batch: self.at.batch + 1, why: why.into() }.into()
            );
        }
        if let Some(number) = numbers.iter().find(|number| **number > self.at.segment) {
            let why = format!("the segment is missing, and {} exists", segment::name(*number));
            let file = segment::name(self.at.segment + 1);
            return Err(Damage { file, offset: 0, batch: self.at.batch + 1, why }.into());
        }
        if self.at.batch < durable {
            let why = format!("a batch is damaged or missing: batch {durable} was durable");
            return Err(self.damage(segment, why).into());
        }
        self.end(segment).map(Some)
    }

    /// The end, clean or torn; damage if data follows that no torn batch can have left.
    fn end(&mut self, segment: &Segment) -> Result<JournalEnd, StoreError> {
        let found = usize::try_from(self.at.offset)
            .ok()
            .and_then(|offset| Some((offset, segment.bytes.get(offset..)?)));
        let Some((offset, rest)) = found else {
            return Err(self.damage(segment, "the segment ends before this place").into());
        };
        let longest = usize::try_from(segment.header.frame_bytes_max)
            .map_or(rest.len(), |longest| longest.min(rest.len()));
        let (torn, beyond) = rest.split_at(longest);
        if let Some(place) = beyond.iter().position(|byte| *byte != 0) {
            let why =
                format!("a batch is damaged: data follows at offset {}", offset + longest + place);
            return Err(self.damage(segment, why).into());
        }
        let tag = FrameTag::new(&segment.header.ledger, segment.header.version);
        let later = (1..torn.len()).find(|at| {
            let header = torn.get(*at..).and_then(|bytes| FrameHeader::read(tag, bytes));
            header.is_some_and(|header| header.batch > self.at.batch + 1)
        });
        if let Some(later) = later {
            let why = format!("a batch is damaged: a later one is at offset {}", offset + later);
            return Err(self.damage(segment, why).into());
        }
        Ok(JournalEnd {
            at: self.at,
            last: self.last,
            generation: segment.superblock.generation,
            segment_bytes: segment.header.bytes,
            frame_bytes_max: segment.header.frame_bytes_max,
            version: segment.header.version,
            is_torn: torn.iter().any(|byte| *byte != 0),
            notes: std::mem::take(&mut self.notes),
        })
    }

    fn damage(&self, segment: &Segment, why: impl Into<String>) -> Damage {
        let (file, offset) = (segment.name.clone(), self.at.offset);
        Damage { file, offset, batch: self.at.batch + 1, why: why.into() }
    }
}
