//! Reading a ledger without writing it: the proof that it is whole, its history, and what a receipt states. Another process may be writing it.

use std::io::ErrorKind;

use ddes_wire::{Amount, Sequence, SessionNumber, Total};

use crate::accounts::Accounts;
use crate::apply::replay;
use crate::ledger::{Base, Found, find};
use crate::receipt::{Statement, Subject};
use crate::store::{
    Added, Batch, Chain, Checkpoint, Disk, Names, Part, Reader, Record, Seen, StoreError, copy, segment_name,
    walk,
};
use crate::{Account, AccountId, Timestamp, Totals};

/// A ledger as it stands, read once.
#[derive(Debug)]
pub struct View {
    accounts: Accounts,
    /// The newest batch.
    pub batch: Batch,
    /// The chain with it.
    pub chain: Chain,
    /// Its time.
    pub time: Timestamp,
}

impl View {
    /// Reads the newest checkpoint and the journal after it.
    pub fn read(disk: &dyn Disk) -> Result<Self, StoreError> {
        let Found { accounts, end, time, .. } = find(disk, &Names::read(disk)?, true)?;
        settle(disk, end.at.segment)?;
        Ok(Self { accounts, batch: end.at.batch, chain: end.at.chain, time })
    }

    /// An account; `None` if it never had a session, or ended.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        self.accounts.get(self.accounts.find(id)?)
    }

    /// All accounts but those that ended.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountId, Account)> {
        self.accounts.iter()
    }

    /// Over all accounts, those that ended included.
    pub fn totals(&self) -> Totals {
        self.accounts.totals()
    }

    /// Where an account stands with the newest batch; `None` if it never had a session, or ended.
    pub fn statement(&self, id: &AccountId) -> Option<Statement> {
        let standing = self.account(id)?.standing();
        Some(Statement {
            subject: Subject::Account(*id),
            count: standing.last_seq.get().into(),
            sum: standing.sum,
            batch: self.batch,
            chain: self.chain,
            time: self.time,
        })
    }
}

/// What [`verify`] found to be whole.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The oldest batch whose receipts can be held. Where the journal begins at a checkpoint, it is the one behind that checkpoint's last slice: accounts in it are newer than the
    /// batches before.
    pub first: Batch,
    /// The newest one.
    pub last: Batch,
    /// The chain with it.
    pub chain: Chain,
    /// Values counted in those batches.
    pub values: u64,
    /// Over all accounts.
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
        /// Which of those given.
        index: usize,
        /// What is wrong.
        why: String,
    },
}

/// How far a reader has come, in bytes of the journal, of so many in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Recomputes every total from the oldest batch that is kept, and holds the chain, every superblock, every checkpoint and the statements given to it.
pub fn verify(
    disk: &dyn Disk,
    statements: &[Statement],
    progress: Progress<'_>,
) -> Result<Verified, VerifyError> {
    let names = Names::read(disk)?;
    let whole = whole_bytes(disk, &names)?;
    let base = oldest(disk, &names)?;
    let first = base.start.batch + 1;
    let newer = names.checkpoints.iter().filter(|batch| **batch >= first);
    let mut auditor =
        Auditor { base, checks: Vec::new(), claims: Claims::new(statements), values: 0, fault: None };
    for batch in newer {
        let reader = Reader::open(disk, *batch)?.ok_or_else(|| Checkpoint::damage(*batch));
        auditor.checks.push(Check {
            batch: *batch,
            reader: reader.map_err(StoreError::Damaged)?,
            part: None,
            is_held: false,
        });
    }
    let (start, least) = (auditor.base.start, auditor.base.slices.end);
    let walked = walk(disk, start, least, true, &mut |seen| {
        progress(seen.bytes, whole);
        auditor.hold(seen)
    });
    let end = match auditor.fault.take() {
        Some(fault) => return Err(fault),
        None => walked?,
    };
    let unheld = auditor.checks.iter().find(|check| !check.is_held);
    if let Some(check) = unheld {
        return Err(StoreError::Damaged(Checkpoint::damage(check.batch)).into());
    }
    if let Some(note) = end.notes.into_iter().next() {
        return Err(StoreError::Damaged(note).into());
    }
    auditor.claims.finish()?;
    progress(whole, whole);
    let first = auditor.base.slices.end + 1;
    let (last, chain, totals) = (end.at.batch, end.at.chain, auditor.base.accounts.totals());
    Ok(Verified { first, last, chain, values: auditor.values, totals, checkpoints: auditor.checks.len() })
}

struct Auditor<'a> {
    base: Base,
    checks: Vec<Check>,
    claims: Claims<'a>,
    values: u64,
    /// What is wrong, and not with the journal.
    fault: Option<VerifyError>,
}

impl Auditor<'_> {
    fn hold(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Self { base, checks, claims, values, fault } = self;
        replay(&mut base.accounts, &base.slices, seen, &mut |accounts, record| {
            if let Record::Add(added) = record {
                *values += added.amounts.len() as u64;
                claims.hold_record(accounts, added, seen);
            }
        })?;
        claims.hold_batch(&base.accounts, seen);
        for check in checks {
            if let Err(error) = check.hold(&base.accounts, seen) {
                *fault = Some(error.into());
                return Err("a checkpoint does not hold".into());
            }
        }
        Ok(())
    }
}

/// A checkpoint, read beside the journal.
struct Check {
    batch: Batch,
    reader: Reader,
    /// Read, and not due yet.
    part: Option<Part>,
    is_held: bool,
}

impl Check {
    /// Every part as of this batch against the accounts that the journal gives.
    fn hold(&mut self, accounts: &Accounts, seen: &Seen<'_>) -> Result<(), StoreError> {
        while !self.is_held && seen.batch >= self.batch {
            let part = match self.part.take() {
                Some(part) => Some(part),
                None => self.reader.next().map_err(StoreError::disk("a checkpoint"))?,
            };
            let damage = || StoreError::Damaged(Checkpoint::damage(self.batch));
            let part = part.ok_or_else(damage)?;
            let batch = match &part {
                Part::Slice { batch, .. } => *batch,
                Part::Rest(rest) => rest.batch,
            };
            if batch > seen.batch {
                self.part = Some(part);
                return Ok(());
            }
            let agrees = match &part {
                Part::Slice { identities, .. } => accounts.agree(identities),
                Part::Rest(rest) => {
                    self.is_held = true;
                    rest.chain == seen.chain
                        && rest.classic == *accounts.classic()
                        && (rest.classic_next, rest.ended) == (accounts.classic_next(), accounts.ended())
                }
            };
            if batch < seen.batch || !agrees {
                return Err(damage());
            }
        }
        Ok(())
    }
}

/// Statements, and whether the ledger holds them.
struct Claims<'a> {
    statements: &'a [Statement],
    held: Vec<bool>,
}

impl<'a> Claims<'a> {
    fn new(statements: &'a [Statement]) -> Self {
        Self { statements, held: vec![false; statements.len()] }
    }

    /// A 40 states its account behind its own 30, which may be in the middle of a batch.
    fn hold_record(&mut self, accounts: &Accounts, added: &Added, seen: &Seen<'_>) {
        let id = accounts.id(added.account).map(Subject::Account);
        self.hold(seen, |statement| {
            let count = u128::from(added.first_seq.get()) + added.amounts.len() as u128 - 1;
            Some(statement.subject) == id && (statement.count, statement.sum) == (count, added.sum)
        });
    }

    fn hold_batch(&mut self, accounts: &Accounts, seen: &Seen<'_>) {
        self.hold(seen, |statement| match &statement.subject {
            Subject::Account(id) => {
                let standing = accounts
                    .find(id)
                    .and_then(|number| accounts.get(number))
                    .map(|account| account.standing());
                standing.is_some_and(|standing| {
                    (statement.count, statement.sum) == (standing.last_seq.get().into(), standing.sum)
                })
            }
            Subject::Checkpoint { accounts: count, .. } => {
                let totals = accounts.totals();
                (statement.count, statement.sum, *count) == (totals.count, totals.sum, totals.accounts)
            }
        });
    }

    fn hold(&mut self, seen: &Seen<'_>, holds: impl Fn(&Statement) -> bool) {
        for (statement, held) in self.statements.iter().zip(&mut self.held) {
            if statement.batch == seen.batch && !*held {
                *held = (statement.chain, statement.time) == (seen.chain, seen.time) && holds(statement);
            }
        }
    }

    fn finish(&self) -> Result<(), VerifyError> {
        let index = self.held.iter().position(|held| !held);
        let Some(index) = index else { return Ok(()) };
        let why = "this ledger does not hold what it states: its batch is missing, older than what is kept, or another".into();
        Err(VerifyError::Receipt { index, why })
    }
}

/// One value that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// When.
    pub time: Timestamp,
    /// In which batch.
    pub batch: Batch,
    /// Where.
    pub account: AccountId,
    /// By which session.
    pub session: SessionNumber,
    /// Its number.
    pub seq: Sequence,
    /// The value.
    pub amount: Amount,
    /// The account's sum with it.
    pub sum: Total,
}

/// Gives every value that is kept to `each`, oldest first; an error of `each` ends it.
pub fn history<E>(
    disk: &dyn Disk,
    progress: Progress<'_>,
    each: &mut dyn FnMut(&Counted) -> Result<(), E>,
) -> Result<Result<(), E>, StoreError> {
    let names = Names::read(disk)?;
    let whole = whole_bytes(disk, &names)?;
    let Base { mut accounts, slices, start, .. } = oldest(disk, &names)?;
    let mut refused = None;
    let walked = walk(disk, start, slices.end, true, &mut |seen| {
        progress(seen.bytes, whole);
        let each = &mut *each;
        replay(&mut accounts, &slices, seen, &mut |accounts, record| {
            if let (Record::Add(added), None) = (record, &refused) {
                refused = values(accounts, added, seen, each).err();
            }
        })?;
        if refused.is_some() { Err("ended by the reader".into()) } else { Ok(()) }
    });
    match (refused, walked) {
        (Some(error), _) => Ok(Err(error)),
        (None, walked) => walked.map(|_| Ok(())),
    }
}

fn values<E>(
    accounts: &Accounts,
    added: &Added,
    seen: &Seen<'_>,
    each: &mut dyn FnMut(&Counted) -> Result<(), E>,
) -> Result<(), E> {
    let Some(account) = accounts.id(added.account) else { return Ok(()) };
    // From the sum after them back to the one before.
    let all = added.amounts.iter().fold(0_i128, |all, amount| all.wrapping_add(amount.get()));
    let mut sum = added.sum.get().wrapping_sub(all);
    for (seq, amount) in (added.first_seq.get()..).zip(&added.amounts) {
        sum = sum.wrapping_add(amount.get());
        let (session, seq, sum) = (added.session, Sequence::new(seq), Total::new(sum));
        each(&Counted { time: seen.time, batch: seen.batch, account, session, seq, amount: *amount, sum })?;
    }
    Ok(())
}

/// The statement that a 40 made: the account behind its value number `last_seq`; `None` if no 40 of what is kept can have said so.
pub fn statement_at(
    disk: &dyn Disk,
    id: &AccountId,
    last_seq: Sequence,
) -> Result<Option<Statement>, StoreError> {
    let names = Names::read(disk)?;
    let Base { mut accounts, slices, start, .. } = oldest(disk, &names)?;
    let mut found = None;
    let end = walk(disk, start, slices.end, true, &mut |seen| {
        replay(&mut accounts, &slices, seen, &mut |accounts, record| {
            let Record::Add(added) = record else { return };
            let last = added.first_seq.get() + added.amounts.len() as u64 - 1;
            if last == last_seq.get() && accounts.id(added.account) == Some(*id) {
                let (subject, count) = (Subject::Account(*id), last.into());
                let Seen { batch, chain, time, .. } = *seen;
                found = Some(Statement { subject, count, sum: added.sum, batch, chain, time });
            }
        })
    })?;
    settle(disk, end.at.segment)?;
    Ok(found)
}

/// What the newest checkpoint states; `None` if there is none.
pub fn checkpoint_statement(disk: &dyn Disk) -> Result<Option<Statement>, StoreError> {
    let Some(batch) = Names::read(disk)?.checkpoints.last().copied() else { return Ok(None) };
    let checkpoint = Checkpoint::read(disk, batch)?.ok_or_else(|| Checkpoint::damage(batch))?;
    let Checkpoint { mut accounts, slices, mark, end_chain, digest, .. } = checkpoint;
    let (end, mut time) = (slices.end, mark.time);
    // Each slice is as of a batch of its own: what came between it and the end is in the journal.
    walk(disk, mark.start, end, true, &mut |seen| {
        if seen.batch > end {
            return Ok(());
        }
        time = seen.time;
        replay(&mut accounts, &slices, seen, &mut |_, _| {})
    })?;
    let totals = accounts.totals();
    let subject = Subject::Checkpoint { accounts: totals.accounts, digest };
    let (count, sum) = (totals.count, totals.sum);
    Ok(Some(Statement { subject, count, sum, batch: end, chain: end_chain, time }))
}

/// Copies a ledger into an empty folder, also while it is being written: every batch that was durable when this began, and those after it that were found whole. The
/// newest batch copied.
pub fn backup(from: &dyn Disk, to: &dyn Disk, progress: Progress<'_>) -> Result<Batch, StoreError> {
    let taken = Names::read(to)?;
    if !taken.segments.is_empty() || !taken.checkpoints.is_empty() {
        return Err(StoreError::Taken);
    }
    let names = Names::read(from)?;
    let whole = whole_bytes(from, &names)?;
    let base = oldest(from, &names)?;
    let end = walk(from, base.start, base.slices.end, true, &mut |seen| {
        progress(seen.bytes, whole);
        Ok(())
    })?;
    settle(from, end.at.segment)?;
    // A segment may have begun meanwhile.
    copy(from, &Names { checkpoints: names.checkpoints, ..Names::read(from)? }, &end.at, to)?;
    Ok(end.at.batch)
}

/// Where the oldest batch that is kept can be understood: the beginning of all, or the checkpoint that the journal now begins at.
fn oldest(disk: &dyn Disk, names: &Names) -> Result<Base, StoreError> {
    let first = *names.segments.first().ok_or(StoreError::Missing)?;
    if first == 1 {
        return Base::genesis(disk);
    }
    let mut damage = None;
    for batch in &names.checkpoints {
        match Checkpoint::read(disk, *batch)? {
            Some(checkpoint) if checkpoint.mark.start.segment >= first => return Ok(Base::of(checkpoint)),
            Some(_) => {}
            None => damage = damage.or(Some(Checkpoint::damage(*batch))),
        }
    }
    Err(damage.map_or(StoreError::Missing, StoreError::Damaged))
}

/// The last batch that was found may be one that its writer has not synced yet: nobody is told of it before it is durable.
fn settle(disk: &dyn Disk, segment: u64) -> Result<(), StoreError> {
    let name = segment_name(segment);
    match disk.open(&name).and_then(|file| file.sync()) {
        // What cannot be written, an image say, cannot be lost either; some file systems refuse to sync it.
        Err(error) if !matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::InvalidInput) => {
            Err(StoreError::disk(&name)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What a walk goes through at most. A head that is damaged is the walk's to find, which knows the batch.
fn whole_bytes(disk: &dyn Disk, names: &Names) -> Result<u64, StoreError> {
    let len = |number: &u64| {
        let name = segment_name(*number);
        disk.open(&name).and_then(|file| file.len()).map_err(StoreError::disk(&name))
    };
    names.segments.iter().map(len).sum()
}
