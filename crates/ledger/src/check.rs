//! Compares a checkpoint with the journal: it is read part by part while the journal is replayed.

use crate::Timestamp;
use crate::accounts::Accounts;
use crate::store::{
    Batch, Checkpoint, CheckpointMark, CheckpointReader, DATA, Damage, Disk, KeptCheckpoint,
    NamedCheckpoint, Part, Seen, SegmentVersion, Start, StoreError,
};

/// How far the comparison is.
#[derive(Debug)]
enum CheckState {
    /// Replay has not reached the checkpoint's start.
    Ahead,
    /// All parts so far agree. A part that was read ahead waits for its batch.
    Begun(Option<Part>),
    /// The whole checkpoint agrees.
    Held(NamedCheckpoint),
    /// A part disagrees, or the checksum does not hold.
    Failed,
}

#[derive(Debug)]
pub(crate) struct LedgerCheck {
    batch: Batch,
    reader: CheckpointReader,
    /// The number of the next part's first identity.
    next: u32,
    state: CheckState,
}

/// A place in the journal, and the time and version of the batch before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalPoint {
    place: Start,
    time: Timestamp,
    version: SegmentVersion,
}

impl JournalPoint {
    /// The point directly after a batch.
    pub(crate) fn behind(seen: &Seen<'_>) -> Self {
        Self { place: seen.place, time: seen.time, version: seen.version }
    }

    /// The point at which replay begins.
    pub(crate) fn at(place: Start, time: Timestamp) -> Self {
        Self { place, time, version: SegmentVersion::NEW }
    }

    /// Whether a checkpoint can begin here.
    pub(crate) fn is(&self, mark: &CheckpointMark) -> bool {
        let (place, start) = (self.place, mark.start);
        let is_place = (start.segment, start.offset) == (place.segment, place.offset)
            // The next segment was begun and holds no batch.
            || (start.segment == place.segment.saturating_add(1) && start.offset == DATA);
        // The earlier release did not record the time of a restore's first batch.
        let is_time = mark.time == self.time || self.version == SegmentVersion::One;
        is_place && is_time && (start.batch, start.chain) == (place.batch, place.chain)
    }
}

impl LedgerCheck {
    /// Opens a checkpoint; `None` if its head is damaged or names another ledger.
    pub(crate) fn open(
        disk: &dyn Disk,
        ledger: &[u8; 16],
        batch: Batch,
    ) -> Result<Option<Self>, StoreError> {
        let reader = CheckpointReader::open(disk, batch)?.filter(|reader| reader.ledger == *ledger);
        Ok(reader.map(|reader| Self { batch, reader, next: 0, state: CheckState::Ahead }))
    }

    /// Compares every part that is as of this batch with the accounts that replay has produced.
    pub(crate) fn compare(
        &mut self,
        accounts: &Accounts,
        at: &JournalPoint,
    ) -> Result<(), StoreError> {
        if matches!(self.state, CheckState::Ahead) && at.place.batch >= self.batch {
            let is_its_start = at.is(&self.reader.mark) && self.reader.raises == accounts.raises();
            self.state = if is_its_start { CheckState::Begun(None) } else { CheckState::Failed };
        }
        while let CheckState::Begun(part) = &mut self.state {
            let part = match part.take() {
                Some(part) => Some(part),
                None => self.reader.next().map_err(StoreError::disk("a checkpoint"))?,
            };
            let Some(part) = part else {
                self.state = CheckState::Failed;
                return Ok(());
            };
            let batch = match &part {
                Part::Slice { batch, .. } => *batch,
                Part::Rest(rest) => rest.batch,
            };
            if batch > at.place.batch {
                self.state = CheckState::Begun(Some(part));
                return Ok(());
            }
            self.state = if batch == at.place.batch {
                self.after(part, accounts, at)
            } else {
                CheckState::Failed
            };
        }
        Ok(())
    }

    /// The state after a part that is as of `at`.
    fn after(&mut self, part: Part, accounts: &Accounts, at: &JournalPoint) -> CheckState {
        match part {
            Part::Slice { identities, .. } if accounts.holds(self.next, &identities) => {
                let count = u32::try_from(identities.len()).ok();
                let Some(next) = count.and_then(|count| self.next.checked_add(count)) else {
                    return CheckState::Failed;
                };
                self.next = next;
                CheckState::Begun(None)
            }
            Part::Rest(rest)
                if self.next == accounts.identities()
                    && rest.chain == at.place.chain
                    && rest.classic == *accounts.classic()
                    && (rest.classic_next, rest.ended)
                        == (accounts.classic_next(), accounts.ended()) =>
            {
                CheckState::Held(NamedCheckpoint {
                    start: self.batch,
                    end: rest.batch,
                    digest: rest.digest,
                })
            }
            Part::Slice { .. } | Part::Rest(_) => CheckState::Failed,
        }
    }

    /// The checkpoint, if all of it agrees with the journal.
    pub(crate) fn held(&self) -> Option<KeptCheckpoint> {
        match self.state {
            CheckState::Held(named) => Some(KeptCheckpoint { mark: self.reader.mark, named }),
            CheckState::Ahead | CheckState::Begun(_) | CheckState::Failed => None,
        }
    }

    /// The damage of a checkpoint that does not agree.
    pub(crate) fn damage(&self) -> Damage {
        Checkpoint::wrong(
            self.batch,
            "the checkpoint is damaged, or does not agree with the journal",
        )
    }
}
