//! A checkpoint held against the journal, beside which it is read part by part.

use crate::Timestamp;
use crate::accounts::Accounts;
use crate::store::{
    Batch, Checkpoint, DATA, Damage, Disk, Kept, Mark, Named, Part, Reader, Seen, Start,
    StoreError, Version,
};

/// How far it is.
#[derive(Debug)]
enum State {
    /// Its start was not reached.
    Ahead,
    /// Its next part, if it is read, is not due yet.
    Begun(Option<Part>),
    /// All of it agrees.
    Held(Named),
    /// Something does not, or its checksum does not hold.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Check {
    batch: Batch,
    reader: Reader,
    /// The next identity.
    next: u32,
    state: State,
}

/// Where the journal stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    place: Start,
    time: Timestamp,
    version: Version,
}

impl Point {
    /// Behind a batch.
    pub(crate) fn behind(seen: &Seen<'_>) -> Self {
        Self { place: seen.place, time: seen.time, version: seen.version }
    }

    /// Where replay begins.
    pub(crate) fn at(place: Start, time: Timestamp) -> Self {
        Self { place, time, version: Version::NEW }
    }

    /// Whether a checkpoint can begin here.
    pub(crate) fn is(&self, mark: &Mark) -> bool {
        let (place, start) = (self.place, mark.start);
        let is_place = (start.segment, start.offset) == (place.segment, place.offset)
            // The next segment was begun, and no batch of it was written.
            || (start.segment == place.segment.saturating_add(1) && start.offset == DATA);
        // The earlier release did not take down the time of a restore's first batch.
        let is_time = mark.time == self.time || self.version == Version::One;
        is_place && is_time && (start.batch, start.chain) == (place.batch, place.chain)
    }
}

impl Check {
    /// Of a checkpoint that is whole as far as its head tells; `None` for another.
    pub(crate) fn open(
        disk: &dyn Disk,
        ledger: &[u8; 16],
        batch: Batch,
    ) -> Result<Option<Self>, StoreError> {
        let reader = Reader::open(disk, batch)?.filter(|reader| reader.ledger == *ledger);
        Ok(reader.map(|reader| Self { batch, reader, next: 0, state: State::Ahead }))
    }

    /// Every part as of this batch against the accounts that the journal gives.
    pub(crate) fn hold(&mut self, accounts: &Accounts, at: &Point) -> Result<(), StoreError> {
        if matches!(self.state, State::Ahead) && at.place.batch >= self.batch {
            let is_its_start = at.is(&self.reader.mark) && self.reader.raises == accounts.raises();
            self.state = if is_its_start { State::Begun(None) } else { State::Failed };
        }
        while let State::Begun(part) = &mut self.state {
            let part = match part.take() {
                Some(part) => Some(part),
                None => self.reader.next().map_err(StoreError::disk("a checkpoint"))?,
            };
            let Some(part) = part else {
                self.state = State::Failed;
                return Ok(());
            };
            let batch = match &part {
                Part::Slice { batch, .. } => *batch,
                Part::Rest(rest) => rest.batch,
            };
            if batch > at.place.batch {
                self.state = State::Begun(Some(part));
                return Ok(());
            }
            self.state = if batch == at.place.batch {
                self.agree(part, accounts, at)
            } else {
                State::Failed
            };
        }
        Ok(())
    }

    fn agree(&mut self, part: Part, accounts: &Accounts, at: &Point) -> State {
        match part {
            Part::Slice { identities, .. } if accounts.agree(self.next, &identities) => {
                let count = u32::try_from(identities.len()).unwrap_or(u32::MAX);
                self.next = self.next.saturating_add(count);
                State::Begun(None)
            }
            Part::Rest(rest)
                if self.next == accounts.identities()
                    && rest.chain == at.place.chain
                    && rest.classic == *accounts.classic()
                    && (rest.classic_next, rest.ended)
                        == (accounts.classic_next(), accounts.ended()) =>
            {
                State::Held(Named { start: self.batch, end: rest.batch, digest: rest.digest })
            }
            Part::Slice { .. } | Part::Rest(_) => State::Failed,
        }
    }

    /// The checkpoint, if all of it agrees with the journal.
    pub(crate) fn held(&self) -> Option<Kept> {
        match self.state {
            State::Held(named) => Some(Kept { mark: self.reader.mark, named }),
            State::Ahead | State::Begun(_) | State::Failed => None,
        }
    }

    /// What is said of one that does not hold.
    pub(crate) fn damage(&self) -> Damage {
        Checkpoint::wrong(
            self.batch,
            "the checkpoint is damaged, or does not agree with the journal",
        )
    }
}
