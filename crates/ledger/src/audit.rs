//! Reading a ledger without writing it: the proof that it is whole, its history, and what a receipt
//! states. Another process may be writing it.

use std::io::ErrorKind;

use sha2::{Digest, Sha256};

use ddes_wire::{Amount, Sequence, SessionNumber, Total};

use crate::accounts::Accounts;
use crate::apply::replay;
pub use crate::base::Footing;
use crate::base::{Base, Found, Trail, find, oldest};
use crate::check::{Check, Point};
use crate::receipt::{Statement, Subject};
use crate::store::{
    Added, Batch, Chain, Checkpoint, Disk, Heads, Named, Names, Record, Seen, StoreError, Version,
    checkpoint_name, copy, remove_copy, segment_name, walk,
};
use crate::{Account, AccountId, Timestamp, Totals};

/// A ledger as it stands, read once.
#[derive(Debug)]
pub struct View {
    accounts: Accounts,
    /// SHA-256 of the ledger's id.
    pub ledger: [u8; 32],
    /// What its totals rest on.
    pub footing: Footing,
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
        let Found { accounts, ledger, footing, end, time, .. } =
            find(disk, &Names::read(disk)?, true)?;
        settle(disk, end.at.segment)?;
        let (ledger, batch, chain) = (name_of(&ledger), end.at.batch, end.at.chain);
        Ok(Self { accounts, ledger, footing, batch, chain, time })
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

/// What a receipt names a ledger by: SHA-256 of its id, from which nobody learns what its frames
/// begin with.
fn name_of(ledger: &[u8; 16]) -> [u8; 32] {
    Sha256::digest(ledger).into()
}

/// What [`verify`] found to be whole.
#[derive(Clone, Debug)]
pub struct Verified {
    /// SHA-256 of the ledger's id.
    pub ledger: [u8; 32],
    /// What the totals rest on beside the batches that are kept.
    pub footing: Footing,
    /// The oldest batch whose receipts can be held. Where the journal begins at a checkpoint, it is
    /// the one behind that checkpoint's last slice: accounts in it are newer than the batches
    /// before.
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

/// Recomputes every total from the oldest batch that is kept, and holds the chain, every
/// superblock, every checkpoint and the statements given to it.
pub fn verify(
    disk: &dyn Disk,
    statements: &[Statement],
    progress: Progress<'_>,
) -> Result<Verified, VerifyError> {
    let names = Names::read(disk)?;
    let whole = whole_bytes(disk, &names)?;
    let heads = Heads::read(disk, &names)?;
    let (base, footing) = oldest(disk, &names, &heads)?;
    let ledger = name_of(&base.ledger);
    let mut auditor = Auditor {
        checks: checks(disk, &names, &base, &footing)?,
        claims: Claims::new(statements, ledger, footing),
        base,
        trail: Trail::default(),
        values: 0,
        fault: None,
    };
    auditor.begin()?;
    let (start, least) = (auditor.base.start, auditor.base.slices.end);
    let walked = walk(disk, start, least, true, &mut |seen| {
        progress(seen.bytes, whole);
        auditor.hold(seen)
    });
    let end = match auditor.fault.take() {
        Some(fault) => return Err(fault),
        None => walked?,
    };
    let held = auditor.held()?;
    if let Some(note) = end.notes.into_iter().chain(heads.notes_before(start.segment)).next() {
        return Err(StoreError::Damaged(note).into());
    }
    auditor.claims.finish(&auditor.trail, &held)?;
    progress(whole, whole);
    let first = auditor.base.slices.end + 1;
    let (last, chain, totals) = (end.at.batch, end.at.chain, auditor.base.accounts.totals());
    let (values, checkpoints) = (auditor.values, held.len());
    Ok(Verified { ledger, footing, first, last, chain, values, totals, checkpoints })
}

/// Of every checkpoint behind the base. What is older begins nowhere any more.
fn checks(
    disk: &dyn Disk,
    names: &Names,
    base: &Base,
    footing: &Footing,
) -> Result<Vec<Check>, StoreError> {
    let is_newer = |batch: Batch| *footing == Footing::Beginning || batch > base.start.batch;
    let mut checks = Vec::new();
    for batch in names.checkpoints.iter().copied().filter(|batch| is_newer(*batch)) {
        let check = Check::open(disk, &base.ledger, batch)?;
        checks.push(check.ok_or_else(|| {
            Checkpoint::wrong(batch, "the checkpoint is damaged, or another ledger's")
        })?);
    }
    Ok(checks)
}

struct Auditor<'a> {
    base: Base,
    checks: Vec<Check>,
    claims: Claims<'a>,
    trail: Trail,
    values: u64,
    /// What is wrong, and not with the journal.
    fault: Option<VerifyError>,
}

impl Auditor<'_> {
    /// Before the first batch.
    fn begin(&mut self) -> Result<(), StoreError> {
        let Self { base, checks, claims, .. } = self;
        claims.hold_base(base);
        let point = Point::at(base.start, base.time);
        checks.iter_mut().try_for_each(|check| check.hold(&base.accounts, &point))
    }

    fn hold(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Self { base, checks, claims, trail, values, fault } = self;
        replay(&mut base.accounts, &base.slices, seen, &mut |accounts, record| {
            trail.take(seen, record);
            if let Record::Add(added) = record {
                *values += added.amounts.len() as u64;
                claims.hold_record(accounts, added, seen);
            }
        })?;
        claims.hold_batch(&base.accounts, seen, trail);
        let point = Point::behind(seen);
        if let Err(error) =
            checks.iter_mut().try_for_each(|check| check.hold(&base.accounts, &point))
        {
            *fault = Some(error.into());
            return Err("a checkpoint cannot be read".into());
        }
        Ok(())
    }

    /// Every checkpoint agrees with the journal, and is the file that batches name, if they name
    /// one.
    fn held(&self) -> Result<Vec<Named>, StoreError> {
        let held = |check: &Check| {
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

/// Statements, and whether the ledger holds them.
struct Claims<'a> {
    statements: &'a [Statement],
    states: Vec<Claim>,
    /// SHA-256 of the ledger's id.
    ledger: [u8; 32],
    footing: Footing,
}

/// What became of a statement.
#[derive(Clone, Copy)]
enum Claim {
    /// Nothing yet.
    Open,
    Held,
    /// It is held, if this is a checkpoint of the ledger.
    Of(Named),
}

impl<'a> Claims<'a> {
    fn new(statements: &'a [Statement], ledger: [u8; 32], footing: Footing) -> Self {
        Self { statements, states: vec![Claim::Open; statements.len()], ledger, footing }
    }

    /// A 40 states its account behind its own 30, which may be in the middle of a batch.
    fn hold_record(&mut self, accounts: &Accounts, added: &Added, seen: &Seen<'_>) {
        let id = accounts.id(added.account).map(Subject::Account);
        self.hold((seen.batch, seen.chain, seen.time), |statement| {
            let count = u128::from(added.first_seq.get()) + added.amounts.len() as u128 - 1;
            let holds = Some(statement.subject) == id
                && (statement.count, statement.sum) == (count, added.sum);
            holds.then_some(Claim::Held)
        });
    }

    fn hold_batch(&mut self, accounts: &Accounts, seen: &Seen<'_>, trail: &Trail) {
        // The earlier release named no checkpoint; where all is kept since the first batch, the
        // totals are proven without.
        let is_unnamed =
            seen.version == Version::One && trail.is_silent() && self.footing == Footing::Beginning;
        self.hold((seen.batch, seen.chain, seen.time), |statement| {
            let claim = standing(accounts, statement)?;
            Some(if is_unnamed { Claim::Held } else { claim })
        });
    }

    /// The base may be as of a batch that is not read.
    fn hold_base(&mut self, base: &Base) {
        if base.slices.end == base.start.batch {
            self.hold((base.start.batch, base.start.chain, base.time), |statement| {
                standing(&base.accounts, statement)
            });
        }
    }

    fn hold(
        &mut self,
        (batch, chain, time): (Batch, Chain, Timestamp),
        holds: impl Fn(&Statement) -> Option<Claim>,
    ) {
        for (statement, state) in self.statements.iter().zip(&mut self.states) {
            let is_there =
                (statement.batch, statement.chain, statement.time) == (batch, chain, time);
            let is_own = statement.ledger.is_none_or(|ledger| ledger == self.ledger);
            if is_there && is_own && matches!(state, Claim::Open) {
                *state = holds(statement).unwrap_or(Claim::Open);
            }
        }
    }

    /// `held` are the checkpoints that are kept and agree with the journal.
    fn finish(&self, trail: &Trail, held: &[Named]) -> Result<(), VerifyError> {
        for (index, (statement, state)) in self.statements.iter().zip(&self.states).enumerate() {
            let is_base = |named: &Named| match &self.footing {
                Footing::Beginning => false,
                Footing::Named { checkpoint, .. } | Footing::Unproven(checkpoint) => {
                    is_same(checkpoint, named)
                }
            };
            let is_named =
                |named: &Named| trail.all().chain(held).any(|there| is_same(there, named));
            let why = match state {
                Claim::Held => continue,
                Claim::Of(named) if is_base(named) || is_named(named) => continue,
                Claim::Of(_) => {
                    "no batch that is kept names a checkpoint of that digest: totals agree, accounts may not"
                }
                Claim::Open if statement.ledger.is_some_and(|ledger| ledger != self.ledger) => {
                    "it is of another ledger"
                }
                Claim::Open => {
                    "this ledger does not hold what it states: its batch is missing, older than what is kept, or another"
                }
            };
            return Err(VerifyError::Receipt { index, why: why.into() });
        }
        Ok(())
    }
}

/// Whether it is the checkpoint that a receipt speaks of, which does not state where it begins.
fn is_same(there: &Named, stated: &Named) -> bool {
    (there.end, there.digest) == (stated.end, stated.digest)
}

/// What holds if accounts stand as is stated.
fn standing(accounts: &Accounts, statement: &Statement) -> Option<Claim> {
    match statement.subject {
        Subject::Account(id) => {
            let account = accounts.find(&id).and_then(|number| accounts.get(number))?;
            let standing = account.standing();
            let stands =
                (statement.count, statement.sum) == (standing.last_seq.get().into(), standing.sum);
            stands.then_some(Claim::Held)
        }
        Subject::Checkpoint { accounts: count, digest } => {
            let totals = accounts.totals();
            let stands = (statement.count, statement.sum, count)
                == (totals.count, totals.sum, totals.accounts);
            stands.then_some(Claim::Of(Named { start: 0, end: statement.batch, digest }))
        }
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
    let (Base { mut accounts, slices, start, .. }, _) =
        oldest(disk, &names, &Heads::read(disk, &names)?)?;
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

/// The statement of the 40 that acknowledged the account's value number `seq`, also where more came
/// with it: the account behind the last of those; `None` if what is kept has no such value.
pub fn statement_at(
    disk: &dyn Disk,
    id: &AccountId,
    seq: Sequence,
) -> Result<Option<Statement>, StoreError> {
    let names = Names::read(disk)?;
    let (base, _) = oldest(disk, &names, &Heads::read(disk, &names)?)?;
    let Base { mut accounts, slices, start, ledger, .. } = base;
    let ledger = Some(name_of(&ledger));
    let mut found = None;
    let end = walk(disk, start, slices.end, true, &mut |seen| {
        replay(&mut accounts, &slices, seen, &mut |accounts, record| {
            let Record::Add(added) = record else { return };
            let last = added.first_seq.get() + added.amounts.len() as u64 - 1;
            let covers = added.first_seq <= seq && seq.get() <= last;
            if covers && accounts.id(added.account) == Some(*id) {
                let (subject, count) = (Subject::Account(*id), last.into());
                let Seen { batch, chain, time, .. } = *seen;
                found =
                    Some(Statement { ledger, subject, count, sum: added.sum, batch, chain, time });
            }
        })
    })?;
    settle(disk, end.at.segment)?;
    Ok(found)
}

/// What the newest checkpoint states that a batch names; `None` if there is none.
pub fn checkpoint_statement(disk: &dyn Disk) -> Result<Option<Statement>, StoreError> {
    let found = find(disk, &Names::read(disk)?, true)?;
    let Footing::Named { checkpoint: Named { start, end, digest }, .. } = found.footing else {
        return Ok(None);
    };
    let checkpoint =
        Checkpoint::read(disk, start)?.filter(|checkpoint| checkpoint.digest == digest);
    let checkpoint = checkpoint.ok_or_else(|| Checkpoint::damage(start))?;
    let Checkpoint { mut accounts, slices, mark, end_chain, ledger, .. } = checkpoint;
    let mut time = mark.time;
    // Each slice is as of a batch of its own: what came between it and the end is in the journal.
    let last = walk(disk, mark.start, end, true, &mut |seen| {
        if seen.batch > end {
            return Ok(());
        }
        time = seen.time;
        replay(&mut accounts, &slices, seen, &mut |_, _| {})
    })?;
    // With the batch that names it.
    settle(disk, last.at.segment)?;
    let totals = accounts.totals();
    let subject = Subject::Checkpoint { accounts: totals.accounts, digest };
    let (ledger, count, sum) = (Some(name_of(&ledger)), totals.count, totals.sum);
    Ok(Some(Statement { ledger, subject, count, sum, batch: end, chain: end_chain, time }))
}

/// So often a copy is begun anew because a file was deleted while it was made.
const COPIES_MAX: usize = 5;

/// Copies a ledger into an empty folder, also while it is being written: every batch that was
/// durable when this began, and those after it that were found whole. The newest batch copied.
pub fn backup(from: &dyn Disk, to: &dyn Disk, progress: Progress<'_>) -> Result<Batch, StoreError> {
    let taken = Names::read(to)?;
    if !taken.segments.is_empty() || !taken.checkpoints.is_empty() {
        return Err(StoreError::Taken);
    }
    let mut tries = COPIES_MAX;
    loop {
        tries -= 1;
        match copy_once(from, to, &mut *progress) {
            // Its age, or a newer checkpoint, had it deleted: what is kept now is copied.
            Err(StoreError::Disk { error, .. })
                if error.kind() == ErrorKind::NotFound && tries > 0 =>
            {
                remove_copy(to)?;
            }
            copied => return copied,
        }
    }
}

fn copy_once(from: &dyn Disk, to: &dyn Disk, progress: Progress<'_>) -> Result<Batch, StoreError> {
    let names = Names::read(from)?;
    let whole = whole_bytes(from, &names)?;
    let heads = Heads::read(from, &names)?;
    let (base, footing) = oldest(from, &names, &heads)?;
    let end = walk(from, base.start, base.slices.end, true, &mut |seen| {
        progress(seen.bytes, whole);
        Ok(())
    })?;
    settle(from, end.at.segment)?;
    // Those that began meanwhile are copied as well, and no segment is left out that was there:
    // what is copied says of no other one that it was deleted.
    copy(from, &names.checkpoints, heads.first(), &end.at, to)?;
    if footing != Footing::Beginning && !Names::read(to)?.checkpoints.contains(&base.start.batch) {
        let name = checkpoint_name(base.start.batch);
        return Err(StoreError::disk(&name)(ErrorKind::NotFound.into()));
    }
    Ok(end.at.batch)
}

/// The last batch that was found may be one that its writer has not synced yet: nobody is told of
/// it before it is durable.
fn settle(disk: &dyn Disk, segment: u64) -> Result<(), StoreError> {
    let name = segment_name(segment);
    match disk.open(&name).and_then(|file| file.sync()) {
        // What cannot be written, an image say, cannot be lost either; some file systems refuse to
        // sync it.
        Err(error)
            if !matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::InvalidInput) =>
        {
            Err(StoreError::disk(&name)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What a walk goes through at most. A head that is damaged is the walk's to find, which knows the
/// batch.
fn whole_bytes(disk: &dyn Disk, names: &Names) -> Result<u64, StoreError> {
    let len = |number: &u64| {
        let name = segment_name(*number);
        disk.open(&name).and_then(|file| file.len()).map_err(StoreError::disk(&name))
    };
    names.segments.iter().map(len).sum()
}
