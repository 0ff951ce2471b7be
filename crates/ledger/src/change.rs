//! A ledger as a row of changes, each of one account: what a ledger in a folder and one in a
//! database both state, so that one can become the other.

use ddes_wire::{Amount, Sequence, SessionNumber, Standing, Total};

use crate::accounts::Accounts;
use crate::apply::replay;
use crate::audit::{Footing, ReadProgress, View, whole_bytes};
use crate::base::{Base, oldest};
use crate::receipt::{Statement, Subject, name_of};
use crate::store::{Batch, Disk, FolderNames, Heads, Record, Seen, StoreError, walk};
use crate::{Account, AccountId, Timestamp, Totals};

/// One change of an account: a session was opened, or values were counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// Whose it is.
    pub id: AccountId,
    /// When it was decided.
    pub time: Timestamp,
    /// The session that was opened, or that sent the values.
    pub session: SessionNumber,
    /// The number of the first value; of an opening, the number that is next.
    pub first_seq: Sequence,
    /// The values; none of an opening.
    pub amounts: Vec<Amount>,
    /// The account's sum after it.
    pub sum: Total,
}

impl AccountChange {
    /// Whether an account that stands so has this change already: sessions and numbers only grow.
    pub fn is_in(&self, newest_session: SessionNumber, standing: &Standing) -> bool {
        if self.amounts.is_empty() {
            self.session <= newest_session
        } else {
            self.first_seq <= standing.last_seq
        }
    }

    /// Whether the account stood as a receipt states with this change. Not in the middle of it: a
    /// ledger in a folder states an account after all of a request. Times are not compared: a
    /// receipt has that of the newest batch, and a clock may have been set back.
    pub fn amounts_to(&self, statement: &Statement) -> bool {
        let next = u128::from(self.first_seq.get()) + self.amounts.len() as u128;
        statement.subject == Subject::Account(self.id)
            && (statement.count.checked_add(1), statement.sum) == (Some(next), self.sum)
    }

    /// The change that a record states of an account; `None` if it changes none, or is of an
    /// account that is not there. `accounts` stand as after the record.
    pub(crate) fn of_record(accounts: &Accounts, seen: &Seen<'_>, record: &Record) -> Option<Self> {
        let time = seen.time;
        match record {
            Record::Open { account, session } | Record::Raised { account, session } => {
                let standing = accounts.get(*account)?.standing();
                Some(Self {
                    id: accounts.id(*account)?,
                    time,
                    session: *session,
                    first_seq: standing.last_seq.forward(1).ok()?,
                    amounts: Vec::new(),
                    sum: standing.sum,
                })
            }
            Record::Add(added) => Some(Self {
                id: accounts.id(added.account)?,
                time,
                session: added.session,
                first_seq: added.first_seq,
                amounts: added.amounts.to_vec(),
                sum: added.sum,
            }),
            Record::Account(_)
            | Record::End(_)
            | Record::Raise
            | Record::Checkpoint(_)
            | Record::Trim(_) => None,
        }
    }
}

/// Why the changes of a ledger were not all read.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError<E> {
    /// The ledger cannot be read, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What came before this batch is no longer kept.
    #[error("its history begins at batch {0}")]
    Trimmed(Batch),
    /// Whoever was to take them could not.
    #[error("the reader stopped")]
    Stopped(E),
}

/// A ledger whose changes were all read, and what it amounts to.
#[derive(Debug)]
pub struct Departure {
    /// The ledger's id.
    pub ledger: [u8; 16],
    was_raised: bool,
    view: View,
}

impl Departure {
    /// The totals over all accounts, those that ended included.
    pub fn totals(&self) -> Totals {
        self.view.totals()
    }

    /// Each identity's account as another store must have it: with a session number that is 2^32
    /// further on, so that none is given out twice. An error of an account that has none left.
    pub fn raised(&self) -> impl Iterator<Item = Result<(AccountId, Account), AccountId>> {
        let identities = self.view.accounts().filter(|(id, _)| is_identity(id));
        identities.map(|(id, account)| raised(account).map(|account| (id, account)).ok_or(id))
    }

    /// Whether session numbers were raised for all accounts at once, those included that nobody
    /// knows any more.
    pub fn was_raised(&self) -> bool {
        self.was_raised
    }

    /// Whether an account of another store is what this ledger says. Of a classic account that
    /// ended, a ledger in a folder keeps its share of the totals only.
    pub fn holds(&self, id: &AccountId, account: &Account) -> bool {
        match self.view.account(id) {
            Some(own) if is_identity(id) => raised(own).is_some_and(|own| own == *account),
            Some(own) => own == *account,
            None => !is_identity(id),
        }
    }
}

fn is_identity(id: &AccountId) -> bool {
    match id {
        AccountId::Identity(_) => true,
        // Its number is new in each session: it is opened once.
        AccountId::Classic(_) => false,
    }
}

fn raised(mut account: Account) -> Option<Account> {
    account.raise().ok().map(|()| account)
}

/// Passes every change of a ledger to `each`, in the order in which they happened. Nothing may
/// write the ledger meanwhile.
pub fn changes<E>(
    disk: &dyn Disk,
    progress: ReadProgress<'_>,
    each: &mut dyn FnMut(AccountChange) -> Result<(), E>,
) -> Result<Departure, ChangesError<E>> {
    let names = FolderNames::read(disk)?;
    let whole = whole_bytes(disk, &names)?;
    let (base, footing) = oldest(disk, &names, &Heads::read(disk, &names)?)?;
    let Base { mut accounts, slices, start, ledger, mut time } = base;
    if footing != Footing::Beginning {
        return Err(ChangesError::Trimmed(slices.end + 1));
    }
    let mut stopped = None;
    let walked = walk(disk, start, slices.end, false, &mut |seen| {
        progress(seen.bytes, whole);
        time = seen.time;
        replay(&mut accounts, &slices, seen, &mut |accounts, record| {
            if stopped.is_none()
                && let Some(change) = AccountChange::of_record(accounts, seen, record)
            {
                stopped = each(change).err();
            }
        })?;
        if stopped.is_some() { Err("ended by the reader".into()) } else { Ok(()) }
    });
    if let Some(error) = stopped {
        return Err(ChangesError::Stopped(error));
    }
    let (end, was_raised) = (walked?.at, accounts.raises() > 0);
    let view = View::of(accounts, name_of(&ledger), footing, (end.batch, end.chain, time));
    Ok(Departure { ledger, was_raised, view })
}
