//! Decides where replay begins, and on what evidence.
//!
//! The first batch of all needs no evidence. A checkpoint is trusted if a batch after its end names
//! it, since the chain covers that batch. A checkpoint that no batch names is compared with the
//! journal, or not used.

use std::collections::BTreeMap;

use crate::Timestamp;
use crate::accounts::Accounts;
use crate::apply::replay;
use crate::check::{JournalPoint, LedgerCheck};
use crate::rhythm::Rhythm;
use crate::store::{
    Batch, Chain, Checkpoint, CheckpointMark, DATA, Damage, Disk, FolderNames, Heads, JournalEnd,
    KeptCheckpoint, NamedCheckpoint, Record, Seen, SegmentVersion, Slices, Start, StoreError,
    segment_name, take, walk,
};

/// The evidence for a ledger's totals, in addition to the batches that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// None is needed: every batch since the first is kept.
    Beginning,
    /// A checkpoint that a batch names.
    Named {
        /// The checkpoint at which the journal begins.
        checkpoint: NamedCheckpoint,
        /// The first kept batch that names it.
        by: Batch,
    },
    /// A checkpoint of an earlier release, which named no checkpoints and has deleted the batches
    /// before this one. A change of its file would go unnoticed.
    Unproven(NamedCheckpoint),
}

/// The accounts and the place from which replay begins.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) accounts: Accounts,
    pub(crate) slices: Slices,
    pub(crate) ledger: [u8; 16],
    pub(crate) start: Start,
    pub(crate) time: Timestamp,
}

impl Base {
    /// The empty ledger before its first batch.
    fn genesis(ledger: [u8; 16]) -> Self {
        let start = Start { segment: 1, offset: DATA, batch: 0, chain: Chain::genesis(&ledger) };
        let (accounts, slices) = (Accounts::default(), Slices::default());
        Self { accounts, slices, ledger, start, time: Timestamp::default() }
    }

    fn of(checkpoint: Checkpoint) -> Self {
        let Checkpoint { accounts, slices, ledger, mark: CheckpointMark { start, time }, .. } =
            checkpoint;
        Self { accounts, slices, ledger, start, time }
    }
}

/// What the batches state about checkpoints and deleted segments.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Each named checkpoint, with the first batch that names it.
    named: BTreeMap<NamedCheckpoint, Batch>,
    /// Segments before this one may be deleted; 0 if no batch says so.
    pub(crate) kept_from: u64,
    /// Whether a batch is in a segment of version 2.
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
            | Record::Raise
            | Record::Raised { .. } => {}
        }
    }

    fn pass(&mut self, seen: &Seen<'_>) {
        self.is_new |= seen.version == SegmentVersion::Two;
    }

    /// The first batch that names a file with exactly this digest.
    pub(crate) fn names(&self, checkpoint: &NamedCheckpoint) -> Option<Batch> {
        if cfg!(ddes_mutant = "checkpoint-unheld") {
            let is_near = |(named, _): &(&NamedCheckpoint, &Batch)| named.start == checkpoint.start;
            return self.named.iter().find(is_near).map(|(_, by)| *by);
        }
        self.named.get(checkpoint).copied()
    }

    /// Whether a batch names a checkpoint with this start, of whatever digest.
    pub(crate) fn names_another(&self, start: Batch) -> bool {
        self.named.keys().any(|named| named.start == start)
    }

    /// All named checkpoints, in ascending order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &NamedCheckpoint> {
        self.named.keys()
    }

    /// Whether no batch names a checkpoint or a deleted segment.
    pub(crate) fn is_silent(&self) -> bool {
        self.named.is_empty() && self.kept_from == 0
    }

    /// Whether the earlier release can have written all batches.
    fn is_older(&self) -> bool {
        self.is_silent() && !self.is_new
    }

    /// Checks that the journal records the deletion of the segments that are missing.
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

/// A ledger as it was read from its folder.
pub(crate) struct FoundLedger {
    pub(crate) accounts: Accounts,
    pub(crate) ledger: [u8; 16],
    /// The batch of the checkpoint that was used; 0 if none was.
    pub(crate) checkpoint: Batch,
    pub(crate) footing: Footing,
    pub(crate) end: JournalEnd,
    pub(crate) time: Timestamp,
    pub(crate) notes: Vec<Damage>,
    /// The distance of the journal's end from the checkpoint.
    pub(crate) rhythm: Rhythm,
    pub(crate) trail: Trail,
    /// Checkpoints that no batch names, newer than the one used, and that agree with the journal.
    pub(crate) proven: Vec<KeptCheckpoint>,
    /// The other checkpoints that no batch names, or that are another ledger's.
    pub(crate) refused: Vec<Batch>,
    /// The first segment that is kept.
    pub(crate) first: u64,
}

/// Reads the newest checkpoint that a batch names, and every batch after it. Checkpoints that no
/// batch names are compared with the journal, except if another process may be writing (`is_live`).
pub(crate) fn find(
    disk: &dyn Disk,
    names: &FolderNames,
    is_live: bool,
) -> Result<FoundLedger, StoreError> {
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
            // The checkpoint may be wrong rather than the journal.
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
            // The earlier release wrote the ledger, so no batch names an older checkpoint either.
            search.aside.extend(names.checkpoints.iter().filter(|older| *older < batch));
            break;
        }
    }
    search.begin_at_the_first(names)
}

/// The outcome of replay from one base to the journal's end.
struct Attempt {
    accounts: Accounts,
    trail: Trail,
    start: Start,
    end: JournalEnd,
    time: Timestamp,
    rhythm: Rhythm,
    checks: Vec<LedgerCheck>,
}

struct Search<'a> {
    disk: &'a dyn Disk,
    heads: Heads,
    is_live: bool,
    /// The newest batch that a checkpoint states to be durable.
    least: Batch,
    notes: Vec<Damage>,
    /// Checkpoints that were not used: no batch names them, or they are another ledger's.
    aside: Vec<Batch>,
    /// The first damage that replay after one of them met.
    error: Option<Damage>,
}

impl Search<'_> {
    /// Reads a checkpoint; `None` unless it is undamaged, this ledger's, and begins in a kept
    /// segment.
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
            // The batches before its start were acknowledged.
            self.least = self.least.max(checkpoint.slices.end);
        }
        self.aside.push(batch);
        Ok(None)
    }

    fn set_aside(&mut self, checkpoint: NamedCheckpoint, error: Option<Damage>) {
        self.least = self.least.max(checkpoint.end);
        self.aside.push(checkpoint.start);
        self.error = self.error.take().or(error);
    }

    fn replay(&self, base: Base) -> Result<Attempt, StoreError> {
        let Base { mut accounts, slices, ledger, start, mut time } = base;
        let (mut trail, mut checks) = (Trail::default(), Vec::new());
        for batch in self.aside.iter().filter(|_| !self.is_live) {
            checks.extend(LedgerCheck::open(self.disk, &ledger, *batch)?);
        }
        let (mut bytes, covered) = (0, accounts.identities());
        let begin = JournalPoint::at(start, time);
        checks.iter_mut().try_for_each(|check| check.compare(&accounts, &begin))?;
        let mut fault = Ok(());
        let least = self.least.max(slices.end);
        let walked = walk(self.disk, start, least, self.is_live, &mut |seen| {
            (time, bytes) = (seen.time, seen.bytes - start.offset);
            trail.pass(seen);
            replay(&mut accounts, &slices, seen, &mut |_, record| trail.take(seen, record))?;
            let point = JournalPoint::behind(seen);
            fault = checks.iter_mut().try_for_each(|check| check.compare(&accounts, &point));
            if fault.is_err() { Err("a checkpoint cannot be read".into()) } else { Ok(()) }
        });
        fault?;
        let rhythm = Rhythm::new(bytes, covered);
        Ok(Attempt { accounts, trail, start, end: walked?, time, rhythm, checks })
    }

    /// Begins at the first kept batch, if no checkpoint is named. If that is not batch 1, the
    /// earlier release must have deleted the batches before it.
    fn begin_at_the_first(mut self, names: &FolderNames) -> Result<FoundLedger, StoreError> {
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

    fn finish(mut self, attempt: Attempt, checkpoint: Batch, footing: Footing) -> FoundLedger {
        let Attempt { accounts, trail, start, end, time, rhythm, checks } = attempt;
        let proven: Vec<KeptCheckpoint> = checks.iter().filter_map(LedgerCheck::held).collect();
        let is_proven = |batch: &Batch| proven.iter().any(|kept| kept.named.start == *batch);
        let refused = self.aside.iter().copied().filter(|batch| !is_proven(batch)).collect();
        self.notes.extend(self.heads.notes_before(start.segment));
        let (ledger, first, notes) = (self.heads.ledger(), self.heads.first(), self.notes);
        FoundLedger {
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

/// The base for replay of the oldest kept batches: the first batch of all, or the checkpoint at
/// which the journal now begins.
pub(crate) fn oldest(
    disk: &dyn Disk,
    names: &FolderNames,
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

/// What the kept batches say, read without the accounts, which only a checkpoint holds.
struct Survey {
    trail: Trail,
    /// The points after those batches at which a checkpoint begins.
    points: BTreeMap<Batch, JournalPoint>,
    start: Start,
    is_older: bool,
}

impl Survey {
    fn make(disk: &dyn Disk, names: &FolderNames, heads: &Heads) -> Result<Self, StoreError> {
        let (mut trail, mut points, start) = (Trail::default(), BTreeMap::new(), heads.start());
        let end = walk(disk, start, start.batch, true, &mut |seen| {
            trail.pass(seen);
            let mut rest = seen.payload;
            while !rest.is_empty() {
                trail.take(seen, &take(&mut rest).ok_or("a record cannot be read")?);
            }
            if names.checkpoints.binary_search(&seen.batch).is_ok() {
                points.insert(seen.batch, JournalPoint::behind(seen));
            }
            Ok(())
        })?;
        let is_older = trail.is_older() && heads.is_older(end.at.batch);
        Ok(Self { trail, points, start, is_older })
    }

    /// Whether a checkpoint begins at a point of this journal.
    fn passes(&self, mark: &CheckpointMark) -> bool {
        mark.start == self.start
            || self.points.get(&mark.start.batch).is_some_and(|point| point.is(mark))
    }
}
