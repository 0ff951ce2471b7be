//! Applies operations to accounts, and replays their records.

use ddes_wire::Amount;

use crate::accounts::Accounts;
use crate::store::{self, Record, Seen, Slices, StoreOptions, take};
use crate::{
    AccountId, AccountNumber, Opening, Operation, OperationOutcome, Proof, Refusal, Submission,
    Timestamp, Verdict,
};

/// The buffer for the records of a batch; `None` for a ledger in memory.
pub(crate) type RecordBuffer<'a> = Option<&'a mut Vec<u8>>;

/// Operations or records whose accounts are fetched together: they fit the L1 cache.
const GROUP: usize = 64;

/// Applies operations and appends their records, until the records fill a frame; one outcome for
/// each operation applied. In memory there is no such bound.
pub(crate) fn decide(
    accounts: &mut Accounts,
    now: Timestamp,
    operations: &[Operation],
    options: &StoreOptions,
    mut records: RecordBuffer<'_>,
    outcomes: &mut Vec<OperationOutcome>,
) {
    let len = |records: &RecordBuffer<'_>| records.as_ref().map_or(0, |records| records.len());
    let full = len(&records) + options.frame_bytes;
    for group in operations.chunks(GROUP) {
        accounts.prefetch(group.iter().filter_map(|operation| match operation {
            Operation::Add(submission) => Some(submission.account),
            Operation::Open(_) | Operation::End(_) => None,
        }));
        for operation in group {
            let records_of_one = records.as_deref_mut();
            outcomes.push(decide_one(accounts, now, operation, options.values_max, records_of_one));
            if len(&records) >= full {
                return;
            }
        }
    }
}

fn decide_one(
    accounts: &mut Accounts,
    now: Timestamp,
    operation: &Operation,
    values_max: usize,
    records: RecordBuffer<'_>,
) -> OperationOutcome {
    match operation {
        Operation::Open(id) => OperationOutcome::Opened(open(accounts, id, records)),
        Operation::Add(submission) => {
            OperationOutcome::Decided(add(accounts, now, submission, values_max, records))
        }
        Operation::End(account) => OperationOutcome::Ended(end(accounts, *account, records)),
    }
}

fn open(
    accounts: &mut Accounts,
    id: &AccountId,
    records: RecordBuffer<'_>,
) -> Result<Opening, Refusal> {
    let known = accounts.find(id);
    let number = match known {
        Some(number) => number,
        None => create(accounts, id)?,
    };
    let mut account = accounts.get(number).ok_or(Refusal::Malformed)?;
    let session = account.open_session()?;
    accounts.put(number, &account);
    if let Some(records) = records {
        if known.is_none() {
            store::put_account(records, id);
        }
        store::put_open(records, number, session);
    }
    Ok(Opening { account: number, session, proof: Proof::new(account.standing()) })
}

pub(crate) fn create(accounts: &mut Accounts, id: &AccountId) -> Result<AccountNumber, Refusal> {
    match id {
        AccountId::Identity(key) => {
            accounts.add_identity(*key).map(AccountNumber::Identity).ok_or(Refusal::Malformed)
        }
        AccountId::Classic(number) => accounts
            .add_classic(*number)
            .map(|_| AccountNumber::Classic(*number))
            .ok_or(Refusal::Malformed),
    }
}

fn add(
    accounts: &mut Accounts,
    now: Timestamp,
    submission: &Submission,
    values_max: usize,
    records: RecordBuffer<'_>,
) -> Verdict {
    // The ledger never gave out a number for which it has no account.
    let mut account = accounts.get(submission.account).ok_or(Refusal::Malformed)?;
    let fits = |amount: &Amount| match submission.account {
        AccountNumber::Identity(_) => i64::try_from(amount.get()).is_ok(),
        AccountNumber::Classic(_) => u64::try_from(amount.get()).is_ok(),
    };
    if submission.amounts.len() > values_max || !submission.amounts.iter().all(fits) {
        return Err(Refusal::Malformed);
    }
    let first_seq = account.standing().last_seq.forward(1)?;
    let fresh = account.apply(now, submission)?;
    if !fresh.is_empty() {
        accounts.put(submission.account, &account);
        if let Some(records) = records {
            let sum = account.standing().sum;
            store::put_add(records, submission.account, submission.session, first_seq, fresh, sum);
        }
    }
    Ok(Proof::new(account.standing()))
}

fn end(
    accounts: &mut Accounts,
    account: AccountNumber,
    records: RecordBuffer<'_>,
) -> Result<(), Refusal> {
    let AccountNumber::Classic(number) = account else { return Err(Refusal::Malformed) };
    accounts.end_classic(number).ok_or(Refusal::Malformed)?;
    if let Some(records) = records {
        store::put_end(records, account);
    }
    Ok(())
}

/// Applies the records of one batch that the checkpoint does not include, and passes each record to
/// `after` once it is applied. The error says which record cannot be right.
pub(crate) fn replay(
    accounts: &mut Accounts,
    slices: &Slices,
    seen: &Seen<'_>,
    after: &mut dyn FnMut(&Accounts, &Record),
) -> Result<(), String> {
    let (mut rest, mut group) = (seen.payload, Vec::with_capacity(GROUP));
    while !rest.is_empty() {
        while group.len() < GROUP && !rest.is_empty() {
            group.push(take(&mut rest).ok_or("a record cannot be read")?);
        }
        accounts.prefetch(group.iter().filter_map(|record| match record {
            Record::Add(added) => Some(added.account),
            Record::Account(_)
            | Record::Open { .. }
            | Record::End(_)
            | Record::Raise
            | Record::Raised { .. }
            | Record::Checkpoint(_)
            | Record::Trim(_) => None,
        }));
        for record in group.drain(..) {
            if !is_included(slices, seen.batch, &record) {
                replay_one(accounts, seen, &record)?;
            }
            after(accounts, &record);
        }
    }
    Ok(())
}

/// Whether the checkpoint that replay began with includes a record.
fn is_included(slices: &Slices, batch: store::Batch, record: &Record) -> bool {
    // No slice is as of a batch after the end.
    if batch > slices.end {
        return false;
    }
    let of = |account: &AccountNumber| match account {
        AccountNumber::Identity(number) => slices.of(*number),
        AccountNumber::Classic(_) => slices.end,
    };
    let included_to = match record {
        // The checkpoint includes all accounts that were created before its end.
        Record::Account(_) => slices.end,
        Record::Open { account, .. } | Record::Raised { account, .. } | Record::End(account) => {
            of(account)
        }
        Record::Add(added) => of(&added.account),
        // Written only while no checkpoint is being made.
        Record::Raise => 0,
        // These change no account.
        Record::Checkpoint(_) | Record::Trim(_) => 0,
    };
    batch <= included_to
}

fn replay_one(accounts: &mut Accounts, seen: &Seen<'_>, record: &Record) -> Result<(), String> {
    match record {
        Record::Account(id) => {
            if accounts.find(id).is_some() {
                return Err(format!("account {id} is made a second time"));
            }
            create(accounts, id).map(drop).map_err(|_| format!("account {id} cannot be made"))
        }
        Record::Open { account, session } => {
            let mut found = get(accounts, *account)?;
            if found.open_session() != Ok(*session) {
                return Err(format!(
                    "session {session} of {account:?} does not follow the one before"
                ));
            }
            accounts.put(*account, &found);
            Ok(())
        }
        Record::Raised { account, session } => {
            let mut found = get(accounts, *account)?;
            found.open_session_as(*session).ok_or_else(|| {
                format!("{account:?} is raised to session {session}, which is not beyond its own")
            })?;
            accounts.put(*account, &found);
            Ok(())
        }
        Record::Add(added) => {
            let mut account = get(accounts, added.account)?;
            let expected =
                account.standing().last_seq.forward(1).map_err(|error| error.to_string())?;
            if (added.session, added.first_seq) != (account.newest_session(), expected) {
                return Err(format!(
                    "value {} of {:?} is out of order",
                    added.first_seq, added.account
                ));
            }
            account
                .count_in(seen.time, added.session, &added.amounts)
                .map_err(|error| error.to_string())?;
            if account.standing().sum != added.sum {
                return Err(format!("the sum of {:?} is not that of its values", added.account));
            }
            accounts.put(added.account, &account);
            Ok(())
        }
        Record::End(AccountNumber::Classic(number)) => {
            accounts.end_classic(*number).map(drop).ok_or(format!("classic/{number} ends twice"))
        }
        Record::End(AccountNumber::Identity(number)) => Err(format!("identity {number} ends")),
        Record::Raise if accounts.raise() => Ok(()),
        Record::Raise => Err("session numbers leave their range".into()),
        Record::Checkpoint(named) if named.start <= named.end && named.end < seen.batch => Ok(()),
        Record::Checkpoint(named) => {
            Err(format!("checkpoint {} is named before its end", named.start))
        }
        Record::Trim(_) => Ok(()),
    }
}

fn get(accounts: &Accounts, number: AccountNumber) -> Result<crate::Account, String> {
    accounts.get(number).ok_or_else(|| format!("there is no account {number:?}"))
}
