//! Where replay begins, and why that is believed.
//!
//! The beginning of all needs no proof. A checkpoint is believed where a batch behind its end names
//! it: the chain stands for it then. One that nothing names is held against the journal, or left
//! aside.

use std::collections::BTreeMap;

use crate::Timestamp;
use crate::accounts::Accounts;
use crate::apply::replay;
use crate::check::{Check, Point};
use crate::rhythm::Rhythm;
use crate::store::{
    Batch, Chain, Checkpoint, DATA, Damage, Disk, End, Heads, Kept, Mark, Named, Names, Record,
    Seen, Slices, Start, StoreError, Version, segment_name, take, walk,
};

/// What the totals of a ledger rest on, beside the batches that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// On nothing: every batch since the first is kept.
    Beginning,
    /// On a checkpoint that a batch names.
    Named {
        /// It.
        checkpoint: Named,
        /// The first kept batch that names it.
        by: Batch,
    },
    /// On a checkpoint of an earlier release, which named none and had deleted what was before it.
    /// Whoever could write the folder could change it.
    Unproven(Named),
}

/// Where replay begins.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) accounts: Accounts,
    pub(crate) slices: Slices,
    pub(crate) ledger: [u8; 16],
    pub(crate) start: Start,
    pub(crate) time: Timestamp,
}

impl Base {
    /// The beginning of all.
    fn genesis(ledger: [u8; 16]) -> Self {
        let start = Start { segment: 1, offset: DATA, batch: 0, chain: Chain::genesis(&ledger) };
        let (accounts, slices) = (Accounts::default(), Slices::default());
        Self { accounts, slices, ledger, start, time: Timestamp::default() }
    }

    fn of(checkpoint: Checkpoint) -> Self {
        let Checkpoint { accounts, slices, ledger, mark: Mark { start, time }, .. } = checkpoint;
        Self { accounts, slices, ledger, start, time }
    }
}

/// What batches say of files.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// By which batch first.
    named: BTreeMap<Named, Batch>,
    /// Segments before this one may be gone; 0, where nothing says so.
    pub(crate) kept_from: u64,
    /// A batch lies in a segment of this version.
    is_new: bool,
}

impl Trail {
    pub(crate) fn take(&mut self, seen: &Seen<'_>, record: &Record) {
        match record {
            Record::Checkpoint(named) => {
                self.named.entry(*named).or_insert(seen.batch);
            }
            Record::Trim(segment) => self.kept_from = self.kept_from.max(*segment),
            Record::Account(_)
            | Record::Open { .. }
            | Record::Add(_)
            | Record::End(_)
            | Record::Raise => {}
        }
    }

    fn pass(&mut self, seen: &Seen<'_>) {
        self.is_new |= seen.version == Version::Two;
    }

    /// The first batch that names this very file.
    pub(crate) fn names(&self, checkpoint: &Named) -> Option<Batch> {
        if cfg!(ddes_mutant = "checkpoint-unheld") {
            let is_near = |(named, _): &(&Named, &Batch)| named.start == checkpoint.start;
            return self.named.iter().find(is_near).map(|(_, by)| *by);
        }
        self.named.get(checkpoint).copied()
    }

    /// Whether a file of that name is named, this one or another.
    pub(crate) fn names_another(&self, start: Batch) -> bool {
        self.named.keys().any(|named| named.start == start)
    }

    /// Files named, ascending.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Named> {
        self.named.keys()
    }

    /// Nothing is named yet.
    pub(crate) fn is_silent(&self) -> bool {
        self.named.is_empty() && self.kept_from == 0
    }

    /// Whether the earlier release alone can have written all of it.
    fn is_older(&self) -> bool {
        self.is_silent() && !self.is_new
    }

    /// Whether the segments before the first one were deleted by what the journal says.
    fn allows(&self, heads: &Heads) -> Result<(), StoreError> {
        let first = heads.first();
        if first == 1 || self.kept_from >= first {
            return Ok(());
        }
        let why = "the segment is missing, and no batch says that it was deleted by its age";
        let (file, batch) = (segment_name(first - 1), heads.start().batch);
        Err(Damage { file, offset: 0, batch, why: why.into() }.into())
    }
}

/// A ledger as its folder has it.
pub(crate) struct Found {
    pub(crate) accounts: Accounts,
    pub(crate) ledger: [u8; 16],
    /// The checkpoint used; 0 is none.
    pub(crate) checkpoint: Batch,
    pub(crate) footing: Footing,
    pub(crate) end: End,
    pub(crate) time: Timestamp,
    pub(crate) notes: Vec<Damage>,
    /// How far it is from the checkpoint.
    pub(crate) rhythm: Rhythm,
    pub(crate) trail: Trail,
    /// Checkpoints that nothing names, newer than what was used: those that the journal proves, and
    /// the others.
    pub(crate) proven: Vec<Kept>,
    pub(crate) refused: Vec<Batch>,
    /// The first segment that is kept.
    pub(crate) first: u64,
}

/// The newest checkpoint that is named, and every batch after it. Checkpoints that nothing names
/// are held against the journal, but not where somebody may be writing.
pub(crate) fn find(disk: &dyn Disk, names: &Names, is_live: bool) -> Result<Found, StoreError> {
    let heads = Heads::read(disk, names)?;
    let mut search = Search {
        disk,
        heads,
        is_live,
        least: 0,
        notes: Vec::new(),
        aside: Vec::new(),
        error: None,
    };
    for batch in names.checkpoints.iter().rev() {
        let Some(checkpoint) = search.candidate(*batch)? else { continue };
        let named = checkpoint.named();
        let attempt = match search.replay(Base::of(checkpoint)) {
            // It may be the checkpoint that is wrong, and not the journal.
            Err(StoreError::Damaged(damage)) => {
                search.set_aside(named, Some(damage));
                continue;
            }
            attempt => attempt?,
        };
        if let Some(by) = attempt.trail.names(&named) {
            attempt.trail.allows(&search.heads)?;
            return Ok(search.finish(
                attempt,
                named.start,
                Footing::Named { checkpoint: named, by },
            ));
        }
        search.set_aside(named, None);
        if attempt.trail.is_older() && search.heads.is_older(attempt.end.at.batch) {
            // All of it is of the earlier release, most likely: then no other one is named either.
            search.aside.extend(names.checkpoints.iter().filter(|older| *older < batch));
            break;
        }
    }
    search.begin_at_the_first(names)
}

/// A walk from a base to the end.
struct Attempt {
    accounts: Accounts,
    trail: Trail,
    start: Start,
    end: End,
    time: Timestamp,
    rhythm: Rhythm,
    checks: Vec<Check>,
}

struct Search<'a> {
    disk: &'a dyn Disk,
    heads: Heads,
    is_live: bool,
    /// A checkpoint says that this batch was durable.
    least: Batch,
    notes: Vec<Damage>,
    /// Checkpoints that no batch names, or that are not this ledger's.
    aside: Vec<Batch>,
    /// What was wrong behind the first of them.
    error: Option<Damage>,
}

impl Search<'_> {
    /// A checkpoint that is whole, of this ledger, and begins in what is kept.
    fn candidate(&mut self, batch: Batch) -> Result<Option<Checkpoint>, StoreError> {
        let Some(checkpoint) = Checkpoint::read(self.disk, batch)? else {
            self.notes.push(Checkpoint::damage(batch));
            return Ok(None);
        };
        let segment = checkpoint.mark.start.segment;
        let is_own = checkpoint.ledger == self.heads.ledger();
        if is_own && (self.heads.first()..=self.heads.last()).contains(&segment) {
            return Ok(Some(checkpoint));
        }
        if is_own && segment > self.heads.last() {
            // What it begins behind was acknowledged.
            self.least = self.least.max(checkpoint.slices.end);
        }
        self.aside.push(batch);
        Ok(None)
    }

    fn set_aside(&mut self, checkpoint: Named, error: Option<Damage>) {
        self.least = self.least.max(checkpoint.end);
        self.aside.push(checkpoint.start);
        self.error = self.error.take().or(error);
    }

    fn replay(&self, base: Base) -> Result<Attempt, StoreError> {
        let Base { mut accounts, slices, ledger, start, mut time } = base;
        let (mut trail, mut checks) = (Trail::default(), Vec::new());
        for batch in self.aside.iter().filter(|_| !self.is_live) {
            checks.extend(Check::open(self.disk, &ledger, *batch)?);
        }
        let (mut bytes, covered) = (0, accounts.identities());
        let begin = Point::at(start, time);
        checks.iter_mut().try_for_each(|check| check.hold(&accounts, &begin))?;
        let mut fault = Ok(());
        let least = self.least.max(slices.end);
        let walked = walk(self.disk, start, least, self.is_live, &mut |seen| {
            (time, bytes) = (seen.time, seen.bytes - start.offset);
            trail.pass(seen);
            replay(&mut accounts, &slices, seen, &mut |_, record| trail.take(seen, record))?;
            let point = Point::behind(seen);
            fault = checks.iter_mut().try_for_each(|check| check.hold(&accounts, &point));
            if fault.is_err() { Err("a checkpoint cannot be read".into()) } else { Ok(()) }
        });
        fault?;
        let rhythm = Rhythm::new(bytes, covered);
        Ok(Attempt { accounts, trail, start, end: walked?, time, rhythm, checks })
    }

    /// No checkpoint is named. From the first batch on all is proven; where that is gone, it must
    /// have gone before checkpoints were named.
    fn begin_at_the_first(mut self, names: &Names) -> Result<Found, StoreError> {
        let mut try_it = || {
            let (base, footing) = oldest(self.disk, names, &self.heads)?;
            let checkpoint = base.start.batch;
            self.aside.retain(|batch| footing == Footing::Beginning || *batch != checkpoint);
            Ok((self.replay(base)?, checkpoint, footing))
        };
        match try_it() {
            Ok((attempt, checkpoint, footing)) => Ok(self.finish(attempt, checkpoint, footing)),
            Err(StoreError::Damaged(damage)) => Err(self.error.unwrap_or(damage).into()),
            Err(error) => Err(error),
        }
    }

    fn finish(mut self, attempt: Attempt, checkpoint: Batch, footing: Footing) -> Found {
        let Attempt { accounts, trail, start, end, time, rhythm, checks } = attempt;
        let proven: Vec<Kept> = checks.iter().filter_map(Check::held).collect();
        let is_proven = |batch: &Batch| proven.iter().any(|kept| kept.named.start == *batch);
        let refused = self.aside.iter().copied().filter(|batch| !is_proven(batch)).collect();
        self.notes.extend(self.heads.notes_before(start.segment));
        let (ledger, first, notes) = (self.heads.ledger(), self.heads.first(), self.notes);
        Found {
            accounts,
            ledger,
            checkpoint,
            footing,
            end,
            time,
            notes,
            rhythm,
            trail,
            proven,
            refused,
            first,
        }
    }
}

/// Where the oldest batch that is kept can be understood: the beginning of all, or the checkpoint
/// that the journal now begins at.
pub(crate) fn oldest(
    disk: &dyn Disk,
    names: &Names,
    heads: &Heads,
) -> Result<(Base, Footing), StoreError> {
    if heads.first() == 1 {
        return Ok((Base::genesis(heads.ledger()), Footing::Beginning));
    }
    let survey = Survey::make(disk, names, heads)?;
    let mut damage = None;
    for batch in &names.checkpoints {
        let Some(checkpoint) = Checkpoint::read(disk, *batch)? else {
            damage = damage.or(Some(Checkpoint::damage(*batch)));
            continue;
        };
        let named = checkpoint.named();
        if checkpoint.ledger == heads.ledger() && checkpoint.mark.start.segment >= heads.first() {
            if let Some(by) = survey.trail.names(&named) {
                survey.trail.allows(heads)?;
                return Ok((Base::of(checkpoint), Footing::Named { checkpoint: named, by }));
            }
            if survey.is_older && survey.passes(&checkpoint.mark) {
                return Ok((Base::of(checkpoint), Footing::Unproven(named)));
            }
        }
        let why = "the journal begins at a checkpoint, and no batch that is kept names this one";
        damage = damage.or(Some(Checkpoint::wrong(*batch, why)));
    }
    Err(damage.map_or(StoreError::Missing, StoreError::Damaged))
}

/// All batches that are kept, read without the accounts that only a checkpoint could tell.
struct Survey {
    trail: Trail,
    /// Behind the batches that checkpoints begin behind.
    points: BTreeMap<Batch, Point>,
    start: Start,
    is_older: bool,
}

impl Survey {
    fn make(disk: &dyn Disk, names: &Names, heads: &Heads) -> Result<Self, StoreError> {
        let (mut trail, mut points, start) = (Trail::default(), BTreeMap::new(), heads.start());
        let end = walk(disk, start, start.batch, true, &mut |seen| {
            trail.pass(seen);
            let mut rest = seen.payload;
            while !rest.is_empty() {
                trail.take(seen, &take(&mut rest).ok_or("a record cannot be read")?);
            }
            if names.checkpoints.binary_search(&seen.batch).is_ok() {
                points.insert(seen.batch, Point::behind(seen));
            }
            Ok(())
        })?;
        let is_older = trail.is_older() && heads.is_older(end.at.batch);
        Ok(Self { trail, points, start, is_older })
    }

    /// Whether a checkpoint begins at a place of this journal.
    fn passes(&self, mark: &Mark) -> bool {
        mark.start == self.start
            || self.points.get(&mark.start.batch).is_some_and(|point| point.is(mark))
    }
}
