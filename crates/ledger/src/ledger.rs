//! The ledger: accounts, and the journal that makes them durable.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ddes_wire::Standing;

use crate::accounts::{AccountSlice, Accounts};
use crate::apply::decide;
use crate::base::{Footing, FoundLedger, find};
use crate::health::Health;
use crate::rhythm::Rhythm;
use crate::store::{
    Batch, Chain, Checkpoint, CheckpointDone, CheckpointMark, CheckpointOutcome, CheckpointWork,
    Closed, Damage, Disk, Draft, FIXED_BYTES_MAX, FolderNames, Journal, KeptCheckpoint, NEW,
    Obsolete, StoreError, StoreOptions, VALUE_BYTES_MAX, checkpoint_name, is_checkpoint, obsolete,
    put_checkpoint, put_end, put_raise, put_trim,
};
use crate::{
    Account, AccountId, AccountNumber, Operation, OperationOutcome, Refusal, Timestamp, Totals,
};

mod import;

pub use import::ImportError;

/// All accounts, in memory or in a folder.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: Accounts,
    options: StoreOptions,
    durable: Option<Durable>,
}

/// The parts of a ledger in a folder, in addition to its accounts.
#[derive(Debug)]
struct Durable {
    disk: Arc<dyn Disk>,
    journal: Journal,
    rhythm: Rhythm,
    /// Durable checkpoints that a kept batch names, or the next one will.
    checkpoints: Vec<KeptCheckpoint>,
    /// Files with a checkpoint's name that no batch names: deleted after the next checkpoint.
    strays: Vec<String>,
    /// Segments before this one may be deleted.
    kept_from: u64,
    /// The next batch has to name the kept checkpoints, and the first kept segment.
    is_unnamed: bool,
    /// Files to delete once that batch is durable.
    obsolete: Vec<String>,
    draft: Option<Draft>,
    /// Why the last checkpoint could not be written.
    fault: Option<io::Error>,
    /// Work that waits for [`Ledger::poll_work`].
    work: Option<CheckpointWork>,
    /// Whether work waits or runs.
    publishing: bool,
    /// Bytes of frames, and identities, that the rhythm has counted.
    counted: (u64, u32),
    /// The time of the last call, by which a full disk is tried again.
    clock: Timestamp,
}

/// What [`Ledger::open`] found in the folder.
#[derive(Debug)]
pub struct Opened {
    /// Whether this call created the ledger.
    pub is_new: bool,
    /// The newest batch that was found. Opening may add batches that end classic accounts and name
    /// checkpoints.
    pub batch: Batch,
    /// The chain value of that batch.
    pub chain: Chain,
    /// The evidence for the totals, in addition to the kept batches.
    pub footing: Footing,
    /// Classic accounts that an earlier process left open. This call ended them, since their
    /// connections no longer exist.
    pub ended: Vec<(AccountId, Account)>,
    /// The batch of the checkpoint that replay began with; 0 if there was none.
    pub checkpoint: Batch,
    /// Whether a crash had left a torn batch, which was never acknowledged.
    pub was_torn: bool,
    /// Damage that did no harm.
    pub notes: Vec<Damage>,
}

impl Ledger {
    /// An empty ledger in memory, which is lost with the process.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Opens the ledger in a locked folder. If there is none, creates one whose id is `entropy`.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        entropy: [u8; 16],
    ) -> Result<(Self, Opened), StoreError> {
        let names = FolderNames::read(&*disk)?;
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
        let mut accounts = durable.adopt(found, &names, &mut opened.notes)?;
        let forward = durable
            .name_checkpoints()
            .and_then(|()| durable.end_classic(&mut accounts, &options, &mut opened.ended));
        match forward {
            // If the disk is full, this is done later: checkpoints are named with the first commit,
            // and classic accounts end at the next opening.
            Ok(()) | Err(Closed::Full | Closed::Failed) => {}
        }
        if let Some(why) = durable.journal.failure() {
            return Err(StoreError::disk("the journal")(io::Error::other(why.to_owned())));
        }
        Ok((Self { accounts, options, durable: Some(durable) }, opened))
    }

    fn create(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
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

    /// Applies or refuses each operation, in order; returns one outcome for each. When this
    /// returns, all that it acknowledges is durable.
    pub fn commit(&mut self, now: Timestamp, operations: &[Operation]) -> Vec<OperationOutcome> {
        let mut outcomes = Vec::with_capacity(operations.len());
        let Some(durable) = &mut self.durable else {
            decide(&mut self.accounts, now, operations, &self.options, None, &mut outcomes);
            return outcomes;
        };
        while let Some(rest) = operations.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
            let decided = outcomes.len();
            let frame = durable.commit(&mut self.accounts, now, rest, &self.options, &mut outcomes);
            if let Err(closed) = frame {
                // Later operations may depend on these, so they are refused too.
                outcomes.truncate(decided);
                outcomes.extend(rest.iter().map(unavailable));
                if let Closed::Failed = closed {
                    // Memory may be ahead of the disk: no account may be read from here on.
                    self.accounts = Accounts::default();
                }
            }
        }
        // On a full disk the journal does not grow, so the draft's share is zero. It takes room
        // itself and should be completed.
        let least = if durable.journal.is_full() { self.options.pause_accounts } else { 0 };
        durable.advance_checkpoint(&self.accounts, &self.options, least);
        outcomes
    }

    /// Uses a pause: states in the superblock that the newest batch is durable, and continues a
    /// checkpoint. Whether there is more to do in the next pause.
    pub fn rest(&mut self) -> bool {
        let Some(durable) = &mut self.durable else { return false };
        // A full disk may have room in the next pause.
        let named = durable.name_checkpoints();
        if matches!(named, Err(Closed::Failed)) || durable.journal.mark_durable().is_err() {
            self.accounts = Accounts::default();
            return false;
        }
        durable.advance_checkpoint(&self.accounts, &self.options, self.options.pause_accounts);
        durable.draft.is_some()
    }

    /// Work for a checkpoint, to run on any thread; its result goes to [`Self::handle_done`].
    pub fn poll_work(&mut self) -> Option<CheckpointWork> {
        self.durable.as_mut()?.work.take()
    }

    /// Takes the result of [`CheckpointWork`]. A durable checkpoint is named in the journal before
    /// this returns, or as soon as there is room. An error if the checkpoint could not be written,
    /// or if the files that it replaces could not be deleted. The journal is unaffected, and
    /// another checkpoint is tried soon.
    pub fn handle_done(&mut self, done: CheckpointDone) -> io::Result<()> {
        let Some(durable) = &mut self.durable else { return Ok(()) };
        let CheckpointDone(outcome) = done;
        match outcome {
            CheckpointOutcome::Published { kept, obsolete } => {
                durable.take_published(*kept, *obsolete);
                if let Err(Closed::Failed) = durable.name_checkpoints() {
                    self.accounts = Accounts::default();
                }
                Ok(())
            }
            CheckpointOutcome::Failed(error) => {
                durable.publishing = false;
                durable.rhythm.fail(&self.options);
                Err(error)
            }
            CheckpointOutcome::Removed { names, outcome } => {
                durable.publishing = false;
                if outcome.is_err() {
                    // Segments need not be kept here: each checkpoint lists them again.
                    durable.strays.extend(names.into_iter().filter(|name| is_checkpoint(name)));
                }
                outcome
            }
        }
    }

    /// Changes how long history is kept, from the next checkpoint on; `None` keeps all.
    pub fn set_history(&mut self, history: Option<Duration>) {
        self.options.history = history;
    }

    /// Why a checkpoint could not be written; returned once. The journal is unaffected.
    pub fn poll_fault(&mut self) -> Option<io::Error> {
        self.durable.as_mut()?.fault.take()
    }

    /// Begins a checkpoint now, even if none is due.
    pub fn checkpoint(&mut self) {
        if let Some(durable) = &mut self.durable {
            durable.rhythm.want();
            durable.advance_checkpoint(&self.accounts, &self.options, self.options.pause_accounts);
        }
    }

    /// Raises every account's session number by 2^32, so that no number is given out twice. A
    /// restored ledger needs this before anything else.
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

    /// An account's last number, last session and sum; `None` if it never had a session.
    pub fn standing(&self, id: &AccountId) -> Option<Standing> {
        self.account(id).map(|account| account.standing())
    }

    /// All accounts but those that ended.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountId, Account)> {
        self.accounts.iter()
    }

    /// At most `most` accounts from a position on: 0, or the `next` of another slice. Accounts keep
    /// their positions, so slice by slice each account that exists meanwhile comes once.
    pub fn accounts_from(&self, position: u64, most: usize) -> AccountSlice {
        self.accounts.slice(position, most)
    }

    /// The number of accounts but those that ended.
    pub fn accounts_len(&self) -> u64 {
        self.accounts.len() as u64
    }

    /// Sum, count, mean and extremes over all accounts, those that ended included. Costs the same
    /// however many there are.
    pub fn totals(&self) -> Totals {
        self.accounts.totals()
    }

    /// The lowest number that no classic account had.
    pub fn classic_next(&self) -> u64 {
        self.accounts.classic_next()
    }

    /// The newest batch and its chain value; `None` for a ledger in memory.
    pub fn head(&self) -> Option<(Batch, Chain)> {
        self.durable
            .as_ref()
            .map(|durable| (durable.journal.at().batch, durable.journal.at().chain))
    }

    /// The batch of the newest durable checkpoint.
    pub fn newest_checkpoint(&self) -> Option<Batch> {
        let kept = self.durable.as_ref()?.checkpoints.last()?;
        Some(kept.named.start)
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

    /// Takes over what was found in the folder. Checkpoints that agree with the journal will be
    /// named; those that do not are removed.
    fn adopt(
        &mut self,
        found: FoundLedger,
        names: &FolderNames,
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
            // Whether the file has this digest is checked before segments are deleted.
            if let Some(mark) = CheckpointMark::read(&*self.disk, named.start)? {
                self.checkpoints.push(KeptCheckpoint { mark, named: *named });
            }
        }
        let is_older = matches!(found.footing, Footing::Unproven(_));
        if let Footing::Unproven(named) = found.footing
            && let Some(mark) = CheckpointMark::read(&*self.disk, named.start)?
        {
            self.checkpoints.push(KeptCheckpoint { mark, named });
        }
        if is_older {
            let why = "an earlier release deleted what was before this checkpoint, and named none \
                       in its journal: its totals are taken as they are";
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

    fn take_published(&mut self, kept: KeptCheckpoint, obsolete: Obsolete) {
        self.checkpoints.push(kept);
        self.checkpoints.retain(|kept| !obsolete.names.contains(&kept.mark.name()));
        self.strays.retain(|name| !obsolete.names.contains(name));
        self.kept_from =
            self.kept_from.max(obsolete.base.map_or(0, |base| base.mark.start.segment));
        (self.obsolete, self.is_unnamed) = (obsolete.names, true);
    }

    /// Writes a batch that names the kept checkpoints and the first kept segment, if one is due;
    /// files are deleted only afterwards. It names all of them each time, since a reader that
    /// begins at the newest checkpoint reads no batch before it.
    fn name_checkpoints(&mut self) -> Result<(), Closed> {
        if !self.is_unnamed {
            return Ok(());
        }
        let newest = self.checkpoints.len().saturating_sub(NAMED_MAX);
        let kept = &self.checkpoints[newest..];
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
            self.work =
                self.publishing.then(|| CheckpointWork::remove(Arc::clone(&self.disk), names));
        }
        Ok(())
    }

    /// Appends a batch of the ledger's own. It has the time of the batch before, since no caller
    /// gave one.
    fn append_own(&mut self) -> Result<(), Closed> {
        self.journal.append(self.clock, self.journal.time())
    }

    /// Ends the classic accounts that an earlier process left open with its connections.
    fn end_classic(
        &mut self,
        accounts: &mut Accounts,
        options: &StoreOptions,
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
            // If there is no room, the frame waits and is written before any other.
            self.append_own()?;
        }
        Ok(())
    }

    /// Commits as many operations as one frame takes: reserves room, decides them, writes the
    /// frame.
    fn commit(
        &mut self,
        accounts: &mut Accounts,
        now: Timestamp,
        operations: &[Operation],
        options: &StoreOptions,
        outcomes: &mut Vec<OperationOutcome>,
    ) -> Result<(), Closed> {
        self.clock = now;
        let room = self
            .name_checkpoints()
            .and_then(|()| self.journal.reserve(now, bytes_max(operations, options)));
        // Reserving may have written a batch that waited for room.
        self.count(accounts);
        room?;
        decide(accounts, now, operations, options, Some(self.journal.records()), outcomes);
        let appended = self.journal.append(now, now);
        self.count(accounts);
        appended
    }

    /// Adds what was written since the last call to the distance to the next checkpoint.
    fn count(&mut self, accounts: &Accounts) {
        // A failed ledger has dropped its accounts and writes no checkpoint.
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

    /// Begins a checkpoint if one is due, and writes its next slice: its share since the last call,
    /// or `least` accounts if that is more. After a failure the older checkpoint stays valid.
    fn advance_checkpoint(&mut self, accounts: &Accounts, options: &StoreOptions, least: u32) {
        if self.journal.failure().is_some() {
            self.draft = None;
            return;
        }
        // Accounts in memory are ahead of the journal's end.
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

    fn give_up(&mut self, error: io::Error, options: &StoreOptions) {
        (self.draft, self.fault) = (None, Some(error));
        self.rhythm.fail(options);
        // Best effort, for its room: the next checkpoint replaces a file that stays.
        drop(self.disk.remove(NEW));
    }

    fn publish(&mut self, options: &StoreOptions) {
        let Some(draft) = self.draft.take() else { return };
        let kept: Vec<KeptCheckpoint> =
            self.checkpoints.iter().copied().chain([draft.kept()]).collect();
        // If the folder cannot be listed, the next checkpoint deletes its old segments.
        let segments = FolderNames::read(&*self.disk).map_or(Vec::new(), |names| names.segments);
        let mut obsolete = obsolete(&kept, &segments, self.journal.time(), options.history);
        obsolete.names.splice(..0, self.strays.iter().cloned());
        self.work = Some(draft.publish(Arc::clone(&self.disk), obsolete));
        self.publishing = true;
    }
}

/// Most checkpoints that one batch names, the newest. With `history` about ten are kept, without
/// it two.
const NAMED_MAX: usize = 16;

/// The most bytes that the records of operations can take in one frame.
fn bytes_max(operations: &[Operation], options: &StoreOptions) -> u64 {
    let mut bytes = 0;
    for operation in operations {
        // The frame takes no further record from here on.
        if bytes >= options.frame_bytes {
            break;
        }
        bytes += match operation {
            Operation::Open(_) => 2 * FIXED_BYTES_MAX,
            // A submission of more than `values_max` is refused and has no record.
            Operation::Add(submission) => {
                FIXED_BYTES_MAX + submission.amounts.len().min(options.values_max) * VALUE_BYTES_MAX
            }
            Operation::End(_) => FIXED_BYTES_MAX,
        };
    }
    // A frame that is not full may take one more record, of the greatest length.
    if bytes >= options.frame_bytes { options.frame_bytes_max() } else { bytes as u64 }
}

fn unavailable(operation: &Operation) -> OperationOutcome {
    match operation {
        Operation::Open(_) => OperationOutcome::Opened(Err(Refusal::Unavailable)),
        Operation::Add(_) => OperationOutcome::Decided(Err(Refusal::Unavailable)),
        Operation::End(_) => OperationOutcome::Ended(Err(Refusal::Unavailable)),
    }
}
