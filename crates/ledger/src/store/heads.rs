//! Reads the heads of all segments that are kept, and checks that each follows the one before. The
//! batches are not read.

use super::checkpoint::FolderNames;
use super::frame::{Batch, Chain};
use super::segment::{self, DATA, SegmentHeader, SegmentVersion, Superblocks};
use super::walk::Start;
use super::{Damage, Disk, StoreError};

/// What the heads of all kept segments say together.
#[derive(Debug)]
pub(crate) struct Heads {
    /// The headers of the first and the last segment.
    first: SegmentHeader,
    last: SegmentHeader,
    /// The number of the last segment of version 1.
    older: Option<u64>,
    /// Superblocks that cannot be read, by segment; the other superblock of each holds.
    notes: Vec<(u64, Damage)>,
}

impl Heads {
    /// Reads all heads, also while another process writes.
    pub(crate) fn read(disk: &dyn Disk, names: &FolderNames) -> Result<Self, StoreError> {
        let mut numbers = names.segments.iter().copied();
        let first = numbers.next().ok_or(StoreError::Missing)?;
        let mut before = Head::read(disk, first, if first == 1 { 1 } else { 0 })?;
        before.check_beginning()?;
        let mut heads =
            Self { first: before.header, last: before.header, older: None, notes: Vec::new() };
        heads.take(&before);
        for number in numbers {
            before.check_neighbour(number)?;
            let head = Head::read(disk, number, before.durable.saturating_add(1))?;
            // The last segment but one may be unsealed: after a crash, or because its writer is
            // about to seal it.
            before.check_next(&head, Some(&number) == names.segments.last())?;
            heads.take(&head);
            before = head;
        }
        if before.is_sealed {
            let next = before.header.number.saturating_add(1);
            // A writer may have created it since the names were read.
            let now = segment::numbers(&disk.list().map_err(StoreError::disk("the folder"))?);
            if !now.contains(&next) {
                return Err(missing(
                    next,
                    before.durable.saturating_add(1),
                    "the one before says that it exists",
                ));
            }
        }
        heads.last = before.header;
        Ok(heads)
    }

    fn take(&mut self, head: &Head) {
        let SegmentHeader { number, version, .. } = head.header;
        if version == SegmentVersion::One {
            self.older = Some(number);
        }
        for offset in head.superblocks.unreadable() {
            let why =
                "a superblock cannot be read: torn by a crash, or damaged; the other one holds";
            let (file, batch) = (segment::name(number), head.durable);
            self.notes.push((number, Damage { file, offset, batch, why: why.into() }));
        }
    }

    pub(crate) fn ledger(&self) -> [u8; 16] {
        self.first.ledger
    }

    /// The number of the first segment that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.first.number
    }

    /// The number of the last segment.
    pub(crate) fn last(&self) -> u64 {
        self.last.number
    }

    /// The place of the first batch that is kept.
    pub(crate) fn start(&self) -> Start {
        let SegmentHeader { number, first_batch, chain, .. } = self.first;
        Start { segment: number, offset: DATA, batch: first_batch - 1, chain }
    }

    /// Whether all batches up to `end` are in segments of version 1.
    pub(crate) fn is_older(&self, end: Batch) -> bool {
        let is_empty = self.last.first_batch > end;
        let all_but = if is_empty { self.last.number - 1 } else { self.last.number };
        self.older.is_some_and(|older| older >= all_but)
    }

    /// Harmless findings in segments before `number`.
    pub(crate) fn notes_before(&self, number: u64) -> impl Iterator<Item = Damage> {
        self.notes
            .iter()
            .filter(move |(segment, _)| *segment < number)
            .map(|(_, note)| note.clone())
    }
}

/// The head of one segment.
struct Head {
    header: SegmentHeader,
    superblocks: Superblocks,
    durable: Batch,
    is_sealed: bool,
}

impl Head {
    fn read(disk: &dyn Disk, number: u64, expected: Batch) -> Result<Self, StoreError> {
        let (header, superblocks) = segment::read_head(disk, number, expected)?;
        let Some(newest) = superblocks.newest() else {
            return Err(segment::no_superblock(number, expected).into());
        };
        Ok(Self { header, superblocks, durable: newest.durable, is_sealed: newest.sealed })
    }

    fn check_beginning(&self) -> Result<(), StoreError> {
        let SegmentHeader { number, first_batch, chain, ledger, .. } = self.header;
        let is_beginning = first_batch == 1 && chain == Chain::genesis(&ledger);
        if first_batch == 0 || (number == 1 && !is_beginning) {
            return Err(
                self.damage("the segment does not begin with batch 1, or with another history")
            );
        }
        Ok(())
    }

    fn check_neighbour(&self, number: u64) -> Result<(), StoreError> {
        let next = self.header.number.saturating_add(1);
        if number == next {
            return Ok(());
        }
        let why = format!("and {} exists", segment::name(number));
        Err(missing(next, self.durable.saturating_add(1), &why))
    }

    /// Checks that the next segment continues this one, as far as heads can tell.
    fn check_next(&self, next: &Self, is_last: bool) -> Result<(), StoreError> {
        let (one, two) = (&self.header, &next.header);
        let is_one_history = one.ledger == two.ledger
            && one.version <= two.version
            && one.first_batch <= two.first_batch
            && (one.first_batch < two.first_batch || one.chain == two.chain);
        if !is_one_history {
            return Err(
                next.damage("the segment begins with an older batch, or with another history")
            );
        }
        if self.durable >= two.first_batch {
            let why = format!(
                "a batch is damaged or missing: batch {} was durable before it",
                self.durable
            );
            return Err(next.damage(&why));
        }
        let is_readable = self.superblocks.unreadable().next().is_none();
        if !self.is_sealed && is_readable && !is_last {
            return Err(self.damage("the segment is not sealed, and two others follow it"));
        }
        Ok(())
    }

    fn damage(&self, why: &str) -> StoreError {
        let SegmentHeader { number, first_batch, .. } = self.header;
        Damage { file: segment::name(number), offset: 0, batch: first_batch, why: why.to_owned() }
            .into()
    }
}

fn missing(number: u64, batch: Batch, why: &str) -> StoreError {
    let why = format!("the segment is missing: {why}");
    Damage { file: segment::name(number), offset: 0, batch, why }.into()
}
