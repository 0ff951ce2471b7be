//! Takes what another store has counted already.

use ddes_wire::SessionNumber;

use super::Ledger;
use crate::apply::create;
use crate::store::{FIXED_BYTES_MAX, VALUE_BYTES_MAX, put_account, put_add, put_open, put_raised};
use crate::{Account, AccountChange, Timestamp};

/// Why a change was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It cannot follow what the ledger has of the account.
    #[error("account {account}: {why}")]
    Misplaced {
        /// Whose it is, for people.
        account: String,
        /// What does not fit.
        why: &'static str,
    },
    /// The ledger cannot be written: its disk is full or failed, or it is in memory.
    #[error("the ledger cannot be written")]
    Unavailable,
}

impl Ledger {
    /// Takes a change that another store states, as a batch with the change's time; `now` is the
    /// time by which a full disk is tried again. Whether it was taken: `false` if it is there
    /// already, so that what was cut off can be begun again.
    ///
    /// One change is one record, so that the account's chain in a ledger that servers share can be
    /// computed from the journal.
    pub fn import(&mut self, now: Timestamp, change: &AccountChange) -> Result<bool, ImportError> {
        let wrong = |why| ImportError::Misplaced { account: change.id.to_string(), why };
        let known = self.accounts.find(&change.id);
        let before = known.and_then(|number| self.accounts.get(number));
        if before.is_some_and(|own| change.is_in(own.newest_session(), &own.standing())) {
            return Ok(false);
        }
        // One that is not there yet has counted nothing.
        let before = before.unwrap_or(Account::new(SessionNumber::NONE));
        let account = change.after(&before).map_err(wrong)?;
        let durable = self.durable.as_mut().ok_or(ImportError::Unavailable)?;
        let bytes = (3 * FIXED_BYTES_MAX + change.amounts.len() * VALUE_BYTES_MAX) as u64;
        if bytes > self.options.frame_bytes_max() {
            return Err(wrong("one of its changes is longer than a batch"));
        }
        durable.journal.reserve(now, bytes).map_err(|_| ImportError::Unavailable)?;
        let number = match known {
            Some(number) => number,
            None => {
                create(&mut self.accounts, &change.id).map_err(|_| wrong("it cannot be made"))?
            }
        };
        self.accounts.put(number, &account);
        let records = durable.journal.records();
        if known.is_none() {
            put_account(records, &change.id);
        }
        if !change.amounts.is_empty() {
            let (session, first) = (change.session, change.first_seq);
            put_add(records, number, session, first, &change.amounts, change.sum);
        } else if before.newest_session().next() == Ok(change.session) {
            put_open(records, number, change.session);
        } else {
            put_raised(records, number, change.session);
        }
        durable.journal.append(now, change.time).map_err(|_| ImportError::Unavailable)?;
        Ok(true)
    }

    /// Whether an import that was cut off may go on here. Classic accounts end when a ledger is
    /// opened, and what is raised takes no more of its old sessions.
    pub(crate) fn takes_more(&self) -> bool {
        self.accounts.raises() == 0 && self.accounts.classic_next() == 0
    }
}

impl AccountChange {
    /// The account after this change, or why it cannot follow.
    fn after(&self, before: &Account) -> Result<Account, &'static str> {
        let mut account = *before;
        let next = account.standing().last_seq.forward(1).map_err(|_| "it overflows")?;
        if self.first_seq != next {
            return Err("values are missing before this change, or it overlaps them");
        }
        if self.amounts.is_empty() {
            account.open_session_as(self.session).ok_or("its session number is too high")?;
        } else if self.session != account.newest_session() {
            return Err("its values are not of the newest session");
        } else {
            account
                .count_in(self.time, self.session, &self.amounts)
                .map_err(|_| "its sum leaves its range")?;
        }
        if account.standing().sum == self.sum {
            Ok(account)
        } else {
            Err("its sum is not that of its values")
        }
    }
}
