//! The ledger: accounts, and the journal that makes them last.

use std::io;
use std::sync::Arc;

use ddes_wire::Standing;

use crate::accounts::Accounts;
use crate::apply::{decide, replay};
use crate::rhythm::Rhythm;
use crate::store::{
    Batch, Chain, Checkpoint, Closed, DATA, Damage, Disk, Done, Draft, End, FIXED_BYTES_MAX, Journal, Mark,
    NEW, Names, Options, Slices, Start, StoreError, VALUE_BYTES_MAX, Work, obsolete, put_raise, walk,
};
use crate::{Account, AccountId, Operation, Outcome, Refusal, Timestamp, Totals};

/// All accounts.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: Accounts,
    options: Options,
    durable: Option<Durable>,
}

/// What a ledger in a folder has beside its accounts.
#[derive(Debug)]
struct Durable {
    disk: Arc<dyn Disk>,
    journal: Journal,
    rhythm: Rhythm,
    checkpoints: Vec<Mark>,
    draft: Option<Draft>,
    /// Why the last checkpoint could not be written.
    fault: Option<io::Error>,
    /// A written checkpoint that waits to be run, and one that runs.
    work: Option<Work>,
    publishing: bool,
    /// Bytes of frames and identities that the rhythm knows of.
    counted: (u64, u32),
    /// The newest batch's time.
    time: Timestamp,
}

/// Whether a ledger can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Good,
    /// There is no room, for a batch or for the next segment: what does not fit is refused, until a whole segment has room again.
    Full,
    /// A write or a sync failed. This process writes no more, and claims nothing: open the ledger again to see what the disk holds.
    Failed(String),
}

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// Whether the ledger was made just now.
    pub is_new: bool,
    /// The newest batch.
    pub batch: Batch,
    /// The checkpoint that it began with; 0 is none.
    pub checkpoint: Batch,
    /// Whether a crash had left a torn batch, which nobody was told of.
    pub was_torn: bool,
    /// What is not as it should be, and did no harm.
    pub notes: Vec<Damage>,
}

impl Ledger {
    /// A ledger without accounts, in memory: it ends with the process.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// The ledger in a folder that is locked; a new one where there is none, whose id is `entropy`.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        entropy: [u8; 16],
    ) -> Result<(Self, Opened), StoreError> {
        let names = Names::read(&*disk)?;
        for name in &names.unfinished {
            disk.remove(name).map_err(StoreError::disk(name))?;
        }
        if names.segments.is_empty() && names.checkpoints.is_empty() {
            let journal = Journal::create(Arc::clone(&disk), options, entropy)?;
            let durable = Durable::new(disk, journal, Rhythm::new(0, 0), Vec::new());
            let opened = Opened { is_new: true, batch: 0, checkpoint: 0, was_torn: false, notes: Vec::new() };
            return Ok((Self { accounts: Accounts::default(), options, durable: Some(durable) }, opened));
        }
        let Found { accounts, ledger, checkpoint, end, time, mut notes, rhythm } =
            find(&*disk, &names, false)?;
        let marks = names.checkpoints.iter().map(|batch| Mark::read(&*disk, *batch));
        let marks = marks.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let journal = Journal::resume(Arc::clone(&disk), options, ledger, &end)?;
        let mut durable = Durable::new(disk, journal, rhythm, marks);
        durable.time = time;
        durable.counted.1 = accounts.identities();
        notes.extend(end.notes);
        let (batch, was_torn) = (end.at.batch, end.is_torn);
        let opened = Opened { is_new: false, batch, checkpoint, was_torn, notes };
        Ok((Self { accounts, options, durable: Some(durable) }, opened))
    }

    /// Does each operation or refuses it, in order; one outcome each. When this returns, what is acknowledged is durable.
    pub fn commit(&mut self, now: Timestamp, operations: &[Operation]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(operations.len());
        let Some(durable) = &mut self.durable else {
            decide(&mut self.accounts, now, operations, &self.options, None, &mut outcomes);
            return outcomes;
        };
        while let Some(rest) = operations.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
            let decided = outcomes.len();
            let frame = durable.commit(&mut self.accounts, now, rest, &self.options, &mut outcomes);
            if let Err(closed) = frame {
                // Those after it may build on those that were not done.
                outcomes.truncate(decided);
                outcomes.extend(rest.iter().map(unavailable));
                if let Closed::Failed = closed {
                    // Memory may hold what the disk does not: nothing is claimed from here on.
                    self.accounts = Accounts::default();
                }
            }
        }
        // Where there is no room the journal does not grow, and what was begun takes some: it is to end.
        let least = if durable.journal.is_full() { self.options.pause_accounts } else { 0 };
        durable.go_on(&self.accounts, &self.options, least);
        outcomes
    }

    /// Uses a pause: makes the newest batch known as durable, and goes on with a checkpoint. Whether there is more to do in the next pause.
    pub fn rest(&mut self) -> bool {
        let Some(durable) = &mut self.durable else { return false };
        if durable.journal.rest().is_err() {
            self.accounts = Accounts::default();
            return false;
        }
        durable.go_on(&self.accounts, &self.options, self.options.pause_accounts);
        durable.draft.is_some()
    }

    /// What is left to do for a checkpoint, on any thread; its result goes to [`Self::handle_done`].
    pub fn poll_work(&mut self) -> Option<Work> {
        self.durable.as_mut()?.work.take()
    }

    /// The result of [`Work`]: an error, if the checkpoint could not be made. The journal is none the worse for it, and another is tried before long.
    pub fn handle_done(&mut self, done: Done) -> io::Result<()> {
        let Some(durable) = &mut self.durable else { return Ok(()) };
        durable.publishing = false;
        match done.outcome {
            Ok(()) => durable.checkpoints.push(done.mark),
            Err(error) => {
                durable.rhythm.fail(&self.options);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Why a checkpoint could not be written, once; likewise.
    pub fn poll_fault(&mut self) -> Option<io::Error> {
        self.durable.as_mut()?.fault.take()
    }

    /// Begins a checkpoint now, whether or not one is due.
    pub fn checkpoint(&mut self) {
        if let Some(durable) = &mut self.durable {
            durable.rhythm.want();
            durable.go_on(&self.accounts, &self.options, self.options.pause_accounts);
        }
    }

    /// No session number that was ever given out is given out again: the first thing after a restore. Every account's grows by 2^32.
    pub fn raise(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let durable = self.durable.as_mut().ok_or(Refusal::Unavailable)?;
        durable.journal.reserve(now, FIXED_BYTES_MAX as u64).map_err(|_| Refusal::Unavailable)?;
        if durable.draft.is_some() || !self.accounts.raise() {
            return Err(Refusal::Malformed);
        }
        put_raise(durable.journal.records());
        durable.journal.append(now).map_err(|_| Refusal::Unavailable)
    }

    /// Whether it can be written.
    pub fn health(&self) -> Health {
        match &self.durable {
            Some(durable) => match durable.journal.failure() {
                Some(why) => Health::Failed(why.to_owned()),
                None if durable.journal.is_full() => Health::Full,
                None => Health::Good,
            },
            None => Health::Good,
        }
    }

    /// An account; `None` if it never had a session.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        self.accounts.get(self.accounts.find(id)?)
    }

    /// Where an account stands; `None` if it never had a session.
    pub fn standing(&self, id: &AccountId) -> Option<Standing> {
        self.account(id).map(|account| account.standing())
    }

    /// All accounts but those that ended.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountId, Account)> {
        self.accounts.iter()
    }

    /// Sum, count, mean and extremes over all accounts, those that ended included.
    pub fn totals(&self) -> Totals {
        self.accounts.totals()
    }

    /// The first number that no classic account had.
    pub fn classic_next(&self) -> u64 {
        self.accounts.classic_next()
    }

    /// The newest batch, and the chain with it; `None` in memory.
    pub fn head(&self) -> Option<(Batch, Chain)> {
        self.durable.as_ref().map(|durable| (durable.journal.at().batch, durable.journal.at().chain))
    }

    /// Bytes of memory that identities take, the index included.
    pub fn memory_bytes(&self) -> usize {
        self.accounts.bytes()
    }
}

impl Durable {
    fn new(disk: Arc<dyn Disk>, journal: Journal, rhythm: Rhythm, checkpoints: Vec<Mark>) -> Self {
        let time = Timestamp::default();
        Self {
            disk,
            journal,
            rhythm,
            checkpoints,
            draft: None,
            fault: None,
            work: None,
            publishing: false,
            counted: (0, 0),
            time,
        }
    }

    /// One batch of as many operations as a frame takes: room first, then the decisions, then the disk.
    fn commit(
        &mut self,
        accounts: &mut Accounts,
        now: Timestamp,
        operations: &[Operation],
        options: &Options,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), Closed> {
        let room = self.journal.reserve(now, bytes_max(operations, options));
        // A batch that waited for room may have been written.
        self.count(accounts, now);
        room?;
        decide(accounts, now, operations, options, Some(self.journal.records()), outcomes);
        let appended = self.journal.append(now);
        self.count(accounts, now);
        appended
    }

    /// What was written since the last time adds to the distance of the next checkpoint.
    fn count(&mut self, accounts: &Accounts, now: Timestamp) {
        let (bytes, identities) = self.counted;
        let written = self.journal.written();
        if written > bytes {
            self.rhythm.count(written - bytes, accounts.identities() - identities);
            (self.counted, self.time) = ((written, accounts.identities()), now);
        }
    }

    /// A checkpoint takes up what it owes beside commits, or so many accounts at least; one is begun where it is due. A failure leaves the older one in force.
    fn go_on(&mut self, accounts: &Accounts, options: &Options, least: u32) {
        if self.journal.failure().is_some() {
            self.draft = None;
            return;
        }
        // Accounts are ahead of the journal's end.
        if self.journal.is_waiting() {
            return;
        }
        let at = self.journal.at();
        let is_new = self.checkpoints.last().is_none_or(|last| last.start.batch < at.batch);
        if self.draft.is_none() && !self.publishing && is_new && self.rhythm.is_due(options) {
            let ledger = self.journal.ledger();
            match Draft::begin(&*self.disk, ledger, at, self.time, accounts.raises()) {
                Ok(draft) => {
                    self.rhythm.begin(accounts.identities(), options);
                    self.draft = Some(draft);
                }
                Err(error) => self.give_up(error, options),
            }
        }
        let most = self.rhythm.take(options).max(least);
        let Some(draft) = self.draft.as_mut().filter(|_| most > 0) else { return };
        match draft.slice(accounts, &self.journal.at(), most) {
            Ok(false) => {}
            Ok(true) => self.publish(options),
            Err(error) => self.give_up(error, options),
        }
    }

    fn give_up(&mut self, error: io::Error, options: &Options) {
        (self.draft, self.fault) = (None, Some(error));
        self.rhythm.fail(options);
        // The room it takes may be needed; where it cannot be removed, the next one replaces it.
        drop(self.disk.remove(NEW));
    }

    fn publish(&mut self, options: &Options) {
        let Some(draft) = self.draft.take() else { return };
        let marks: Vec<Mark> = self.checkpoints.iter().copied().chain([draft.mark()]).collect();
        // What cannot be listed now is deleted with the next one.
        let segments = Names::read(&*self.disk).map_or(Vec::new(), |names| names.segments);
        let obsolete = obsolete(&marks, &segments, self.time, options.history);
        self.checkpoints.retain(|mark| !obsolete.names.contains(&mark.name()));
        self.work = Some(draft.publish(Arc::clone(&self.disk), obsolete));
        self.publishing = true;
    }
}

/// The most bytes of records that operations come to in one frame.
fn bytes_max(operations: &[Operation], options: &Options) -> u64 {
    let mut bytes = 0;
    for operation in operations {
        // It takes no further record from here on.
        if bytes >= options.frame_bytes {
            break;
        }
        bytes += match operation {
            Operation::Open(_) => 2 * FIXED_BYTES_MAX,
            // More than `values_max` are refused, and take no room.
            Operation::Add(submission) => {
                FIXED_BYTES_MAX + submission.amounts.len().min(options.values_max) * VALUE_BYTES_MAX
            }
            Operation::End(_) => FIXED_BYTES_MAX,
        };
    }
    // Where they come to less than that, one more may follow, and it the longest.
    if bytes >= options.frame_bytes { options.frame_bytes_max() } else { bytes as u64 }
}

fn unavailable(operation: &Operation) -> Outcome {
    match operation {
        Operation::Open(_) => Outcome::Opened(Err(Refusal::Unavailable)),
        Operation::Add(_) => Outcome::Decided(Err(Refusal::Unavailable)),
        Operation::End(_) => Outcome::Ended(Err(Refusal::Unavailable)),
    }
}

/// A ledger as its folder has it.
pub(crate) struct Found {
    pub(crate) accounts: Accounts,
    pub(crate) ledger: [u8; 16],
    /// The checkpoint used; 0 is none.
    pub(crate) checkpoint: Batch,
    pub(crate) end: End,
    pub(crate) time: Timestamp,
    pub(crate) notes: Vec<Damage>,
    /// How far it is from the checkpoint.
    pub(crate) rhythm: Rhythm,
}

/// The newest checkpoint that holds, and every batch after it.
pub(crate) fn find(disk: &dyn Disk, names: &Names, is_live: bool) -> Result<Found, StoreError> {
    let mut notes = Vec::new();
    let newest = newest(disk, names, &mut notes)?;
    let Base { mut accounts, slices, ledger, start, time } = newest;
    let (mut time, mut bytes, covered) = (time, 0, accounts.identities());
    let end = walk(disk, start, slices.end, is_live, &mut |seen| {
        (time, bytes) = (seen.time, seen.bytes - start.offset);
        replay(&mut accounts, &slices, seen, &mut |_, _| {})
    })?;
    let rhythm = Rhythm::new(bytes, covered);
    Ok(Found { accounts, ledger, checkpoint: start.batch, end, time, notes, rhythm })
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
    pub(crate) fn genesis(disk: &dyn Disk) -> Result<Self, StoreError> {
        let ledger = crate::store::ledger_id(disk)?;
        let start = Start { segment: 1, offset: DATA, batch: 0, chain: Chain::genesis(&ledger) };
        let (accounts, slices) = (Accounts::default(), Slices::default());
        Ok(Self { accounts, slices, ledger, start, time: Timestamp::default() })
    }

    pub(crate) fn of(checkpoint: Checkpoint) -> Self {
        let Checkpoint { accounts, slices, ledger, mark: Mark { start, time }, .. } = checkpoint;
        Self { accounts, slices, ledger, start, time }
    }
}

fn newest(disk: &dyn Disk, names: &Names, notes: &mut Vec<Damage>) -> Result<Base, StoreError> {
    for batch in names.checkpoints.iter().rev() {
        match Checkpoint::read(disk, *batch)? {
            Some(checkpoint) => return Ok(Base::of(checkpoint)),
            None => notes.push(Checkpoint::damage(*batch)),
        }
    }
    if names.segments.first() == Some(&1) {
        return Base::genesis(disk);
    }
    // Without the first segment nothing says what was before the ones that are left.
    let damage = notes.first().cloned();
    Err(damage.map_or(StoreError::Missing, StoreError::Damaged))
}
