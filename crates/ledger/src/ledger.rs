//! The ledger: accounts, and the journal that makes them last.

use std::io;
use std::sync::Arc;

use ddes_wire::Standing;

use crate::accounts::Accounts;
use crate::apply::decide;
use crate::base::{Footing, Found, find};
use crate::rhythm::Rhythm;
use crate::store::{
    Batch, Chain, Checkpoint, Closed, Damage, Disk, Done, Draft, FIXED_BYTES_MAX, Journal, Kept,
    Mark, NEW, Names, Obsolete, Options, StoreError, VALUE_BYTES_MAX, Work, WorkOutcome,
    checkpoint_name, is_checkpoint, obsolete, put_checkpoint, put_end, put_raise, put_trim,
};
use crate::{Account, AccountId, AccountNumber, Operation, Outcome, Refusal, Timestamp, Totals};

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
    /// Durable, and named by a batch that is kept, or to be named by the next.
    checkpoints: Vec<Kept>,
    /// Files under a checkpoint's name that no batch read so far names: obsolete with the next one.
    strays: Vec<String>,
    /// Segments before this one may be gone.
    kept_from: u64,
    /// The journal is yet to say which checkpoints are kept, and from which segment on.
    is_unnamed: bool,
    /// What may be deleted once it has.
    obsolete: Vec<String>,
    draft: Option<Draft>,
    /// Why the last checkpoint could not be written.
    fault: Option<io::Error>,
    /// A written checkpoint that waits to be run, and one that runs.
    work: Option<Work>,
    publishing: bool,
    /// Bytes of frames and identities that the rhythm knows of.
    counted: (u64, u32),
    /// The newest time that was told: a disk without room is tried again by it.
    clock: Timestamp,
}

/// Whether a ledger can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Good,
    /// There is no room, for a batch or for the next segment: what does not fit is refused, until a
    /// whole segment has room again.
    Full,
    /// A write or a sync failed. This process writes no more, and claims nothing: open the ledger
    /// again to see what the disk holds.
    Failed(String),
}

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// Whether the ledger was made just now.
    pub is_new: bool,
    /// The newest batch that was found. Opening may add some: they end classic accounts, and name
    /// checkpoints.
    pub batch: Batch,
    /// The chain with it.
    pub chain: Chain,
    /// What the totals rest on.
    pub footing: Footing,
    /// Classic accounts that a former process had left under way, as they ended now: nobody can add
    /// to them.
    pub ended: Vec<(AccountId, Account)>,
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
            return Self::create(disk, options, entropy);
        }
        let found = find(&*disk, &names, false)?;
        let journal =
            Journal::resume(Arc::clone(&disk), options, found.ledger, &found.end, found.time)?;
        let mut durable = Durable::new(disk, journal, Rhythm::new(0, 0));
        let mut opened = Opened {
            is_new: false,
            batch: found.end.at.batch,
            chain: found.end.at.chain,
            footing: found.footing,
            ended: Vec::new(),
            checkpoint: found.checkpoint,
            was_torn: found.end.is_torn,
            notes: Vec::new(),
        };
        let mut accounts = durable.take(found, &names, &mut opened.notes)?;
        let forward = durable
            .name()
            .and_then(|()| durable.end_classic(&mut accounts, &options, &mut opened.ended));
        match forward {
            // Without room the rest is done when there is some: checkpoints with the first commit,
            // classic accounts at the next opening.
            Ok(()) | Err(Closed::Full | Closed::Failed) => {}
        }
        if let Some(why) = durable.journal.failure() {
            return Err(StoreError::disk("the journal")(io::Error::other(why.to_owned())));
        }
        Ok((Self { accounts, options, durable: Some(durable) }, opened))
    }

    fn create(
        disk: Arc<dyn Disk>,
        options: Options,
        entropy: [u8; 16],
    ) -> Result<(Self, Opened), StoreError> {
        let journal = Journal::create(Arc::clone(&disk), options, entropy)?;
        let opened = Opened {
            is_new: true,
            batch: 0,
            chain: journal.at().chain,
            footing: Footing::Beginning,
            ended: Vec::new(),
            checkpoint: 0,
            was_torn: false,
            notes: Vec::new(),
        };
        let durable = Durable::new(disk, journal, Rhythm::new(0, 0));
        Ok((Self { accounts: Accounts::default(), options, durable: Some(durable) }, opened))
    }

    /// Does each operation or refuses it, in order; one outcome each. When this returns, what is
    /// acknowledged is durable.
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
        // Where there is no room the journal does not grow, and what was begun takes some: it is to
        // end.
        let least = if durable.journal.is_full() { self.options.pause_accounts } else { 0 };
        durable.go_on(&self.accounts, &self.options, least);
        outcomes
    }

    /// Uses a pause: makes the newest batch known as durable, and goes on with a checkpoint.
    /// Whether there is more to do in the next pause.
    pub fn rest(&mut self) -> bool {
        let Some(durable) = &mut self.durable else { return false };
        // Where there is no room for it, there may be in the next pause.
        let named = durable.name();
        if matches!(named, Err(Closed::Failed)) || durable.journal.rest().is_err() {
            self.accounts = Accounts::default();
            return false;
        }
        durable.go_on(&self.accounts, &self.options, self.options.pause_accounts);
        durable.draft.is_some()
    }

    /// What is left to do for a checkpoint, on any thread; its result goes to
    /// [`Self::handle_done`].
    pub fn poll_work(&mut self) -> Option<Work> {
        self.durable.as_mut()?.work.take()
    }

    /// The result of [`Work`]: an error, if the checkpoint could not be made, or if what it
    /// replaces could not be deleted. The journal is none the worse for it, and another is tried
    /// before long. A checkpoint that is durable is named in the journal before this returns, or as
    /// soon as there is room.
    pub fn handle_done(&mut self, done: Done) -> io::Result<()> {
        let Some(durable) = &mut self.durable else { return Ok(()) };
        let Done(outcome) = done;
        match outcome {
            WorkOutcome::Published { kept, obsolete } => {
                durable.take_published(*kept, *obsolete);
                if let Err(Closed::Failed) = durable.name() {
                    self.accounts = Accounts::default();
                }
                Ok(())
            }
            WorkOutcome::Failed(error) => {
                durable.publishing = false;
                durable.rhythm.fail(&self.options);
                Err(error)
            }
            WorkOutcome::Removed { names, outcome } => {
                durable.publishing = false;
                if outcome.is_err() {
                    // Segments are listed anew each time.
                    durable.strays.extend(names.into_iter().filter(|name| is_checkpoint(name)));
                }
                outcome
            }
        }
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

    /// No session number that was ever given out is given out again: the first thing after a
    /// restore. Every account's grows by 2^32.
    pub fn raise(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let durable = self.durable.as_mut().ok_or(Refusal::Unavailable)?;
        durable.journal.reserve(now, FIXED_BYTES_MAX as u64).map_err(|_| Refusal::Unavailable)?;
        if durable.draft.is_some() || !self.accounts.raise() {
            return Err(Refusal::Malformed);
        }
        put_raise(durable.journal.records());
        durable.journal.append(now, now).map_err(|_| Refusal::Unavailable)
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
        self.durable
            .as_ref()
            .map(|durable| (durable.journal.at().batch, durable.journal.at().chain))
    }

    /// Bytes of memory that identities take, the index included.
    pub fn memory_bytes(&self) -> usize {
        self.accounts.bytes()
    }
}

impl Durable {
    fn new(disk: Arc<dyn Disk>, journal: Journal, rhythm: Rhythm) -> Self {
        Self {
            disk,
            journal,
            rhythm,
            checkpoints: Vec::new(),
            strays: Vec::new(),
            kept_from: 0,
            is_unnamed: false,
            obsolete: Vec::new(),
            draft: None,
            fault: None,
            work: None,
            publishing: false,
            counted: (0, 0),
            clock: Timestamp::default(),
        }
    }

    /// What was found in the folder. Checkpoints that the journal proves will be named; those that
    /// it does not are removed.
    fn take(
        &mut self,
        found: Found,
        names: &Names,
        notes: &mut Vec<Damage>,
    ) -> Result<Accounts, StoreError> {
        (self.rhythm, self.clock, self.counted.1) =
            (found.rhythm, found.time, found.accounts.identities());
        notes.extend(found.notes);
        notes.extend(found.end.notes);
        for batch in &found.refused {
            let name = checkpoint_name(*batch);
            self.disk.remove(&name).map_err(StoreError::disk(&name))?;
            notes.push(Checkpoint::wrong(
                *batch,
                "the checkpoint is not what the journal says, and was removed",
            ));
        }
        let is_there =
            |batch: &Batch| names.checkpoints.contains(batch) && !found.refused.contains(batch);
        for named in found.trail.all().filter(|named| is_there(&named.start)) {
            // Whether its file is this one is looked at before the journal begins at it.
            if let Some(mark) = Mark::read(&*self.disk, named.start)? {
                self.checkpoints.push(Kept { mark, named: *named });
            }
        }
        let is_older = matches!(found.footing, Footing::Unproven(_));
        if let Footing::Unproven(named) = found.footing
            && let Some(mark) = Mark::read(&*self.disk, named.start)?
        {
            self.checkpoints.push(Kept { mark, named });
        }
        if is_older {
            let why = "an earlier release deleted what was before this checkpoint, and named none in its journal: its totals are taken as they are";
            notes.push(Checkpoint::wrong(found.checkpoint, why));
        }
        let agrees =
            "the checkpoint was named by no batch; it agrees with the journal, and is named now";
        notes.extend(found.proven.iter().map(|kept| Checkpoint::wrong(kept.named.start, agrees)));
        self.is_unnamed = is_older || !found.proven.is_empty();
        self.checkpoints.extend(found.proven);
        self.checkpoints.sort_unstable_by_key(|kept| kept.named);
        self.checkpoints.dedup_by_key(|kept| kept.named.start);
        self.kept_from = if is_older { found.first } else { found.trail.kept_from };
        let is_known =
            |batch: &Batch| self.checkpoints.iter().any(|kept| kept.named.start == *batch);
        let strays = names.checkpoints.iter().filter(|batch| is_there(batch) && !is_known(batch));
        self.strays = strays.map(|batch| checkpoint_name(*batch)).collect();
        Ok(found.accounts)
    }

    fn take_published(&mut self, kept: Kept, obsolete: Obsolete) {
        self.checkpoints.push(kept);
        self.checkpoints.retain(|kept| !obsolete.names.contains(&kept.mark.name()));
        self.strays.retain(|name| !obsolete.names.contains(name));
        self.kept_from =
            self.kept_from.max(obsolete.base.map_or(0, |base| base.mark.start.segment));
        (self.obsolete, self.is_unnamed) = (obsolete.names, true);
    }

    /// Says in a batch of its own which checkpoints are kept, and from which segment on, if that is
    /// yet to be said; only then is anything deleted. All of them each time: whoever begins at the
    /// newest reads no batch before it.
    fn name(&mut self) -> Result<(), Closed> {
        if !self.is_unnamed {
            return Ok(());
        }
        let newest = self.checkpoints.len().saturating_sub(NAMED_MAX);
        let kept = self.checkpoints.get(newest..).unwrap_or(&[]);
        self.journal.reserve(self.clock, ((kept.len() + 1) * FIXED_BYTES_MAX) as u64)?;
        for kept in kept {
            put_checkpoint(self.journal.records(), &kept.named);
        }
        if self.kept_from > 1 {
            put_trim(self.journal.records(), self.kept_from);
        }
        self.append_own()?;
        self.is_unnamed = false;
        if self.publishing {
            let names = std::mem::take(&mut self.obsolete);
            self.publishing = !names.is_empty();
            self.work = self.publishing.then(|| Work::remove(Arc::clone(&self.disk), names));
        }
        Ok(())
    }

    /// A batch that no client asked for has the time of the one before: this is no clock's.
    fn append_own(&mut self) -> Result<(), Closed> {
        self.journal.append(self.clock, self.journal.time())
    }

    /// Ends the classic accounts of a former process, whose connections are gone with it.
    fn end_classic(
        &mut self,
        accounts: &mut Accounts,
        options: &Options,
        ended: &mut Vec<(AccountId, Account)>,
    ) -> Result<(), Closed> {
        let under_way: Vec<u64> = accounts.classic().keys().copied().collect();
        for some in under_way.chunks((options.frame_bytes / FIXED_BYTES_MAX).max(1)) {
            self.journal.reserve(self.clock, (some.len() * FIXED_BYTES_MAX) as u64)?;
            for number in some {
                put_end(self.journal.records(), AccountNumber::Classic(*number));
            }
            let accounts =
                some.iter().filter_map(|number| Some((*number, accounts.end_classic(*number)?)));
            ended.extend(accounts.map(|(number, account)| (AccountId::Classic(number), account)));
            // A frame that finds no room is decided all the same, and written before any other.
            self.append_own()?;
        }
        Ok(())
    }

    /// One batch of as many operations as a frame takes: room first, then the decisions, then the
    /// disk.
    fn commit(
        &mut self,
        accounts: &mut Accounts,
        now: Timestamp,
        operations: &[Operation],
        options: &Options,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), Closed> {
        self.clock = now;
        let room =
            self.name().and_then(|()| self.journal.reserve(now, bytes_max(operations, options)));
        // A batch that waited for room may have been written.
        self.count(accounts);
        room?;
        decide(accounts, now, operations, options, Some(self.journal.records()), outcomes);
        let appended = self.journal.append(now, now);
        self.count(accounts);
        appended
    }

    /// What was written since the last time adds to the distance of the next checkpoint.
    fn count(&mut self, accounts: &Accounts) {
        // Its accounts are dropped by then: there is no next checkpoint.
        if self.journal.failure().is_some() {
            return;
        }
        let (bytes, identities) = self.counted;
        let written = self.journal.written();
        if written > bytes {
            self.rhythm.count(written - bytes, accounts.identities().saturating_sub(identities));
            self.counted = (written, accounts.identities());
        }
    }

    /// A checkpoint takes up what it owes beside commits, or so many accounts at least; one is
    /// begun where it is due. A failure leaves the older one in force.
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
        let is_new = self.checkpoints.last().is_none_or(|last| last.named.start < at.batch);
        let is_free = self.draft.is_none() && !self.publishing && !self.is_unnamed;
        if is_free && is_new && self.rhythm.is_due(options) {
            let ledger = self.journal.ledger();
            match Draft::begin(&*self.disk, ledger, at, self.journal.time(), accounts.raises()) {
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
        let kept: Vec<Kept> = self.checkpoints.iter().copied().chain([draft.kept()]).collect();
        // What cannot be listed now is deleted with the next one.
        let segments = Names::read(&*self.disk).map_or(Vec::new(), |names| names.segments);
        let mut obsolete = obsolete(&kept, &segments, self.journal.time(), options.history);
        obsolete.names.splice(..0, self.strays.iter().cloned());
        self.work = Some(draft.publish(Arc::clone(&self.disk), obsolete));
        self.publishing = true;
    }
}

/// So many checkpoints are named in one batch, the newest. With `history` some ten are kept,
/// without it two.
const NAMED_MAX: usize = 16;

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
