//! Reads a ledger without writing it: verifies it, lists its history, and gives the statements for
//! receipts. Another process may be writing it.

mod statements;

use std::io::ErrorKind;

use ddes_wire::{Amount, Sequence, SessionNumber, Total};

pub use self::statements::HeldBy;
use self::statements::StatementChecks;
use crate::accounts::Accounts;
use crate::apply::replay;
pub use crate::base::Footing;
use crate::base::{Base, FoundLedger, Trail, find, oldest};
use crate::check::{JournalPoint, LedgerCheck};
pub use crate::receipt::name_of;
use crate::receipt::{Statement, Subject};
use crate::store::{
    Added, Batch, Chain, Checkpoint, Disk, FolderNames, Heads, NamedCheckpoint, Record, Seen,
    StoreError, checkpoint_name, copy, remove_copy, segment_name, walk,
};
use crate::{Account, AccountId, Timestamp, Totals};

/// The state of a ledger, read once.
#[derive(Debug)]
pub struct View {
    accounts: Accounts,
    /// SHA-256 of the ledger's id.
    pub ledger: [u8; 32],
    /// The evidence for its totals, in addition to the kept batches.
    pub footing: Footing,
    /// The newest batch in the journal.
    pub batch: Batch,
    /// The chain value of that batch.
    pub chain: Chain,
    /// The time of that batch.
    pub time: Timestamp,
}

impl View {
    /// Reads the newest checkpoint and the journal after it.
    pub fn read(disk: &dyn Disk) -> Result<Self, StoreError> {
        let FoundLedger { accounts, ledger, footing, end, time, .. } =
            find(disk, &FolderNames::read(disk)?, true)?;
        sync_segment(disk, end.at.segment)?;
        let (ledger, batch, chain) = (name_of(&ledger), end.at.batch, end.at.chain);
        Ok(Self { accounts, ledger, footing, batch, chain, time })
    }

    pub(crate) fn of(
        accounts: Accounts,
        ledger: [u8; 32],
        footing: Footing,
        (batch, chain, time): (Batch, Chain, Timestamp),
    ) -> Self {
        Self { accounts, ledger, footing, batch, chain, time }
    }

    /// An account; `None` if it never had a session, or ended.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        self.accounts.get(self.accounts.find(id)?)
    }

    /// All accounts but those that ended.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountId, Account)> {
        self.accounts.iter()
    }

    /// The totals over all accounts, those that ended included.
    pub fn totals(&self) -> Totals {
        self.accounts.totals()
    }

    /// The statement of an account as of the newest batch; `None` if it never had a session, or
    /// ended.
    pub fn statement(&self, id: &AccountId) -> Option<Statement> {
        let standing = self.account(id)?.standing();
        Some(Statement {
            ledger: Some(self.ledger),
            subject: Subject::Account(*id),
            count: standing.last_seq.get().into(),
            sum: standing.sum,
            batch: self.batch,
            chain: self.chain,
            time: self.time,
        })
    }
}

/// The name of the ledger in a folder, as receipts and [`View`] have it. Reads the heads of its
/// segments alone.
pub fn name(disk: &dyn Disk) -> Result<[u8; 32], StoreError> {
    id(disk).map(|id| name_of(&id))
}

/// The id of the ledger in a folder, which its copies have too.
pub fn id(disk: &dyn Disk) -> Result<[u8; 16], StoreError> {
    Heads::read(disk, &FolderNames::read(disk)?).map(|heads| heads.ledger())
}

/// The result of [`verify`] for a ledger that passes.
#[derive(Clone, Debug)]
pub struct Verified {
    /// SHA-256 of the ledger's id.
    pub ledger: [u8; 32],
    /// The evidence for the totals, in addition to the kept batches.
    pub footing: Footing,
    /// The oldest batch whose receipts can be checked. If the journal begins at a checkpoint, it is
    /// the batch after the checkpoint's end: the checkpoint does not hold accounts as of earlier
    /// batches.
    pub first: Batch,
    /// The newest batch in the journal.
    pub last: Batch,
    /// The chain value of that batch.
    pub chain: Chain,
    /// Values counted in those batches.
    pub values: u64,
    /// The totals over all accounts.
    pub totals: Totals,
    /// Checkpoints that agree with the journal.
    pub checkpoints: usize,
}

/// Why a ledger does not pass.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A receipt states something else than the ledger holds.
    #[error("receipt {}: {why}", .index + 1)]
    Receipt {
        /// Its index among the statements given.
        index: usize,
        /// What the ledger holds instead, for people.
        why: String,
    },
}

/// Receives a reader's progress: the bytes of the journal read so far, and all of them.
pub type ReadProgress<'a> = &'a mut dyn FnMut(u64, u64);

/// Recomputes every total from the oldest kept batch on, and checks the chain, every superblock,
/// every checkpoint and the given statements, which it must hold by their batches.
pub fn verify(
    disk: &dyn Disk,
    statements: &[Statement],
    progress: ReadProgress<'_>,
) -> Result<Verified, VerifyError> {
    verify_by(disk, statements, HeldBy::Batch, progress)
}

/// As [`verify`], for a ledger that may have been moved between stores since the statements were
/// made.
pub fn verify_by(
    disk: &dyn Disk,
    statements: &[Statement],
    held_by: HeldBy,
    progress: ReadProgress<'_>,
) -> Result<Verified, VerifyError> {
    let names = FolderNames::read(disk)?;
    let whole = whole_bytes(disk, &names)?;
    let heads = Heads::read(disk, &names)?;
    let (base, footing) = oldest(disk, &names, &heads)?;
    let ledger = name_of(&base.ledger);
    let mut auditor = Auditor {
        checks: checks(disk, &names, &base, &footing)?,
        statements: StatementChecks::new(statements, ledger, footing, held_by),
        base,
        trail: Trail::default(),
        values: 0,
        fault: None,
    };
    auditor.begin()?;
    let (start, least) = (auditor.base.start, auditor.base.slices.end);
    let walked = walk(disk, start, least, true, &mut |seen| {
        progress(seen.bytes, whole);
        auditor.check(seen)
    });
    let end = match auditor.fault.take() {
        Some(fault) => return Err(fault),
        None => walked?,
    };
    let agreeing = auditor.checkpoints()?;
    if let Some(note) = end.notes.into_iter().chain(heads.notes_before(start.segment)).next() {
        return Err(StoreError::Damaged(note).into());
    }
    auditor.statements.finish(&auditor.trail, &agreeing)?;
    progress(whole, whole);
    let first = auditor.base.slices.end + 1;
    let (last, chain, totals) = (end.at.batch, end.at.chain, auditor.base.accounts.add_up());
    let (values, checkpoints) = (auditor.values, agreeing.len());
    Ok(Verified { ledger, footing, first, last, chain, values, totals, checkpoints })
}

/// A check of every checkpoint after the base. Older ones begin in segments that are deleted.
fn checks(
    disk: &dyn Disk,
    names: &FolderNames,
    base: &Base,
    footing: &Footing,
) -> Result<Vec<LedgerCheck>, StoreError> {
    let is_newer = |batch: Batch| *footing == Footing::Beginning || batch > base.start.batch;
    let mut checks = Vec::new();
    for batch in names.checkpoints.iter().copied().filter(|batch| is_newer(*batch)) {
        let check = LedgerCheck::open(disk, &base.ledger, batch)?;
        checks.push(check.ok_or_else(|| {
            Checkpoint::wrong(batch, "the checkpoint is damaged, or another ledger's")
        })?);
    }
    Ok(checks)
}

struct Auditor<'a> {
    base: Base,
    checks: Vec<LedgerCheck>,
    statements: StatementChecks<'a>,
    trail: Trail,
    values: u64,
    /// An error that is not the journal's, and ends the walk.
    fault: Option<VerifyError>,
}

impl Auditor<'_> {
    /// Checks what can be checked before the first batch.
    fn begin(&mut self) -> Result<(), StoreError> {
        let Self { base, checks, statements, .. } = self;
        statements.check_base(base);
        let point = JournalPoint::at(base.start, base.time);
        checks.iter_mut().try_for_each(|check| check.compare(&base.accounts, &point))
    }

    /// Replays a batch, and checks the checkpoints and statements as of it.
    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Self { base, checks, statements, trail, values, fault } = self;
        let base_end = base.slices.end;
        replay(&mut base.accounts, &base.slices, seen, &mut |accounts, record| {
            trail.take(seen, record);
            if let Record::Add(added) = record {
                *values += added.amounts.len() as u64;
                statements.check_record(accounts, added, seen);
            }
            // What the base includes was not replayed, and the account is further on.
            if seen.batch > base_end {
                statements.check_change(accounts, record, seen);
            }
        })?;
        statements.check_batch(&base.accounts, seen, trail);
        let point = JournalPoint::behind(seen);
        if let Err(error) =
            checks.iter_mut().try_for_each(|check| check.compare(&base.accounts, &point))
        {
            *fault = Some(error.into());
            return Err("a checkpoint cannot be read".into());
        }
        Ok(())
    }

    /// The checkpoints, if each agrees with the journal, and is the file that batches name if they
    /// name one.
    fn checkpoints(&self) -> Result<Vec<NamedCheckpoint>, StoreError> {
        let held = |check: &LedgerCheck| {
            let named = check.held().ok_or_else(|| check.damage())?.named;
            if self.trail.names(&named).is_none() && self.trail.names_another(named.start) {
                let why = "the checkpoint is not the one that the journal names: it was changed";
                return Err(Checkpoint::wrong(named.start, why));
            }
            Ok(named)
        };
        self.checks.iter().map(held).collect::<Result<_, _>>().map_err(StoreError::Damaged)
    }
}

/// One value that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The time of its batch.
    pub time: Timestamp,
    /// The batch that counted it.
    pub batch: Batch,
    /// The account in which it counts.
    pub account: AccountId,
    /// The session that sent it.
    pub session: SessionNumber,
    /// Its number in the account.
    pub seq: Sequence,
    /// The value that was counted.
    pub amount: Amount,
    /// The account's sum after it.
    pub sum: Total,
}

/// Passes every kept value to `each`, oldest first. An error of `each` ends the walk and is the
/// inner result.
pub fn history<E>(
    disk: &dyn Disk,
    progress: ReadProgress<'_>,
    each: &mut dyn FnMut(&Counted) -> Result<(), E>,
) -> Result<Result<(), E>, StoreError> {
    let names = FolderNames::read(disk)?;
    let whole = whole_bytes(disk, &names)?;
    let (Base { mut accounts, slices, start, .. }, _) =
        oldest(disk, &names, &Heads::read(disk, &names)?)?;
    let (mut refused, mut is_unknown) = (None, false);
    let walked = walk(disk, start, slices.end, true, &mut |seen| {
        progress(seen.bytes, whole);
        let each = &mut *each;
        replay(&mut accounts, &slices, seen, &mut |accounts, record| {
            if let (Record::Add(added), None) = (record, &refused) {
                match accounts.id(added.account) {
                    Some(account) => refused = values(account, added, seen, each).err(),
                    None => is_unknown = true,
                }
            }
        })?;
        if is_unknown {
            return Err("values of an account that does not exist".into());
        }
        if refused.is_some() { Err("ended by the reader".into()) } else { Ok(()) }
    });
    match (refused, walked) {
        (Some(error), _) => Ok(Err(error)),
        (None, walked) => walked.map(|_| Ok(())),
    }
}

/// Passes each value of a record to `each`.
fn values<E>(
    account: AccountId,
    added: &Added,
    seen: &Seen<'_>,
    each: &mut dyn FnMut(&Counted) -> Result<(), E>,
) -> Result<(), E> {
    // The record has the sum after the values; subtracting them gives the sum before.
    let all = added.amounts.iter().fold(0_i128, |all, amount| all.wrapping_add(amount.get()));
    let mut sum = added.sum.get().wrapping_sub(all);
    for (at, amount) in (0_u64..).zip(&added.amounts) {
        sum = sum.wrapping_add(amount.get());
        // What the base includes was not replayed, so that any number may stand there.
        let seq = Sequence::new(added.first_seq.get().wrapping_add(at));
        let (session, sum) = (added.session, Total::new(sum));
        each(&Counted {
            time: seen.time,
            batch: seen.batch,
            account,
            session,
            seq,
            amount: *amount,
            sum,
        })?;
    }
    Ok(())
}

/// The statement of the 40 that acknowledged the account's value number `seq`. If several values
/// came together, it states the account after the last of them. `None` if the kept batches do not
/// hold the value.
pub fn statement_at(
    disk: &dyn Disk,
    id: &AccountId,
    seq: Sequence,
) -> Result<Option<Statement>, StoreError> {
    let names = FolderNames::read(disk)?;
    let (base, _) = oldest(disk, &names, &Heads::read(disk, &names)?)?;
    let Base { mut accounts, slices, start, ledger, .. } = base;
    let ledger = Some(name_of(&ledger));
    let mut found = None;
    let end = walk(disk, start, slices.end, true, &mut |seen| {
        replay(&mut accounts, &slices, seen, &mut |accounts, record| {
            let Record::Add(added) = record else { return };
            // What the base includes was not replayed, so that any number may stand there.
            let next = u128::from(added.first_seq.get()) + added.amounts.len() as u128;
            let Some(last) = next.checked_sub(1) else { return };
            let covers = added.first_seq <= seq && u128::from(seq.get()) <= last;
            if covers && accounts.id(added.account) == Some(*id) {
                let (subject, count) = (Subject::Account(*id), last);
                let Seen { batch, chain, time, .. } = *seen;
                found =
                    Some(Statement { ledger, subject, count, sum: added.sum, batch, chain, time });
            }
        })
    })?;
    sync_segment(disk, end.at.segment)?;
    Ok(found)
}

/// The statement of the newest checkpoint that a batch names; `None` if there is none.
pub fn checkpoint_statement(disk: &dyn Disk) -> Result<Option<Statement>, StoreError> {
    let found = find(disk, &FolderNames::read(disk)?, true)?;
    let Footing::Named { checkpoint: NamedCheckpoint { start, end, digest }, .. } = found.footing
    else {
        return Ok(None);
    };
    let checkpoint =
        Checkpoint::read(disk, start)?.filter(|checkpoint| checkpoint.digest == digest);
    let checkpoint = checkpoint.ok_or_else(|| Checkpoint::damage(start))?;
    let Checkpoint { mut accounts, slices, mark, end_chain, ledger, .. } = checkpoint;
    let mut time = mark.time;
    // Each slice is as of its own batch. The journal has what came between it and the end.
    let last = walk(disk, mark.start, end, true, &mut |seen| {
        if seen.batch > end {
            return Ok(());
        }
        time = seen.time;
        replay(&mut accounts, &slices, seen, &mut |_, _| {})
    })?;
    // Including the batch that names it.
    sync_segment(disk, last.at.segment)?;
    let totals = accounts.totals();
    let subject = Subject::Checkpoint { accounts: totals.accounts, digest };
    let (ledger, count, sum) = (Some(name_of(&ledger)), totals.count, totals.sum);
    Ok(Some(Statement { ledger, subject, count, sum, batch: end, chain: end_chain, time }))
}

/// Attempts to copy a ledger whose files are deleted meanwhile.
const COPIES_MAX: usize = 5;

/// Copies a ledger into an empty folder, also while another process writes it: every batch that was
/// durable when this began, and complete batches after those. Returns the newest batch copied.
pub fn backup(
    from: &dyn Disk,
    to: &dyn Disk,
    progress: ReadProgress<'_>,
) -> Result<Batch, StoreError> {
    let taken = FolderNames::read(to)?;
    if !taken.segments.is_empty() || !taken.checkpoints.is_empty() {
        return Err(StoreError::Taken);
    }
    let mut tries = COPIES_MAX;
    loop {
        tries -= 1;
        match copy_once(from, to, &mut *progress) {
            // A file was deleted by its age, or for a newer checkpoint. The copy starts again.
            Err(StoreError::Disk { error, .. })
                if error.kind() == ErrorKind::NotFound && tries > 0 =>
            {
                remove_copy(to)?;
            }
            copied => return copied,
        }
    }
}

fn copy_once(
    from: &dyn Disk,
    to: &dyn Disk,
    progress: ReadProgress<'_>,
) -> Result<Batch, StoreError> {
    let names = FolderNames::read(from)?;
    let whole = whole_bytes(from, &names)?;
    let heads = Heads::read(from, &names)?;
    let (base, footing) = oldest(from, &names, &heads)?;
    let end = walk(from, base.start, base.slices.end, true, &mut |seen| {
        progress(seen.bytes, whole);
        Ok(())
    })?;
    sync_segment(from, end.at.segment)?;
    // Segments that began meanwhile are copied too. All segments are copied, since the copied
    // journal does not record that any of them was deleted.
    copy(from, &names.checkpoints, heads.first(), &end.at, to)?;
    if footing != Footing::Beginning
        && !FolderNames::read(to)?.checkpoints.contains(&base.start.batch)
    {
        let name = checkpoint_name(base.start.batch);
        return Err(StoreError::disk(&name)(ErrorKind::NotFound.into()));
    }
    Ok(end.at.batch)
}

/// Syncs a segment: its writer may not have synced the last batch that was found, and nothing may
/// be reported before it is durable.
fn sync_segment(disk: &dyn Disk, segment: u64) -> Result<(), StoreError> {
    let name = segment_name(segment);
    match disk.open(&name).and_then(|file| file.sync()) {
        // What is read-only, like an image, cannot be lost. Some file systems refuse to sync it.
        Err(error)
            if !matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::InvalidInput) =>
        {
            Err(StoreError::disk(&name)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The bytes that a walk reads at most: of all segments. Damage is left for the walk to find.
pub(crate) fn whole_bytes(disk: &dyn Disk, names: &FolderNames) -> Result<u64, StoreError> {
    let len = |number: &u64| {
        let name = segment_name(*number);
        disk.open(&name).and_then(|file| file.len()).map_err(StoreError::disk(&name))
    };
    names.segments.iter().map(len).sum()
}
