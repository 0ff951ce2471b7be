//! Rows and entries, and the chain of an account.

use std::cmp::Ordering;
use std::fmt;

use ddes_wire::{Amount, OverflowError, Sequence, SessionNumber, Total, saturating};
use sha2::{Digest, Sha256};

use crate::receipt::{Statement, Subject};
use crate::store::{Chain, put_amounts, take_amounts};
use crate::{Account, AccountChange, AccountId, Timestamp};

/// An account's name in the database: 32 bytes of an identity, or the 8 of a classic account.
/// Ordered as the database orders bytes, so that all servers lock rows in one order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    len: u8,
    bytes: [u8; 32],
}

impl RowKey {
    /// The bytes of the column `account`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The account of these bytes; `None` unless they are 8 or 32.
    pub fn parse(bytes: &[u8]) -> Option<AccountId> {
        match bytes.len() {
            32 => bytes.try_into().ok().map(AccountId::Identity),
            8 => bytes.try_into().ok().map(|number| AccountId::Classic(u64::from_be_bytes(number))),
            _ => None,
        }
    }
}

impl From<&AccountId> for RowKey {
    fn from(id: &AccountId) -> Self {
        let mut bytes = [0; 32];
        match id {
            AccountId::Identity(key) => Self { len: 32, bytes: *key },
            AccountId::Classic(number) => {
                bytes[..8].copy_from_slice(&number.to_be_bytes());
                Self { len: 8, bytes }
            }
        }
    }
}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The chain of an account before its first entry.
pub fn genesis(id: &AccountId) -> Chain {
    let hash =
        Sha256::new().chain_update(b"D-DDES/2 account").chain_update(RowKey::from(id).as_bytes());
    Chain(hash.finalize().into())
}

/// An account as the database holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedRow {
    /// Whose it is.
    pub id: AccountId,
    /// The entries in its history.
    pub version: u64,
    /// The chain after the last of them.
    pub chain: Chain,
    /// What they add up to.
    pub account: Account,
}

impl SharedRow {
    /// An account without entries.
    pub fn new(id: AccountId) -> Self {
        Self { id, version: 0, chain: genesis(&id), account: Account::default() }
    }

    /// The row with a session number that is 2^32 further on, and the entry that says so: an
    /// opening. An error if there are no such numbers left.
    pub fn raised(&self, now: Timestamp) -> Result<(Self, HistoryEntry), OverflowError> {
        let mut account = self.account;
        account.raise()?;
        let standing = account.standing();
        let change = AccountChange {
            id: self.id,
            time: now,
            session: account.newest_session(),
            first_seq: standing.last_seq.forward(1)?,
            amounts: Vec::new(),
            sum: standing.sum,
        };
        let entry = self.entry(&change);
        let row = Self { version: entry.number, chain: entry.chain, account, ..*self };
        Ok((row, entry))
    }

    /// The row after a change that another store states, and the entry that says so. An error if
    /// the change cannot follow.
    pub fn changed(&self, change: &AccountChange) -> Result<(Self, HistoryEntry), EntryError> {
        let entry = self.entry(change);
        let mut audited = Audited { row: *self };
        audited.take(&entry)?;
        Ok((audited.row, entry))
    }

    /// A change as the next entry.
    fn entry(&self, change: &AccountChange) -> HistoryEntry {
        let mut entry = HistoryEntry {
            id: self.id,
            number: self.version + 1,
            time: change.time,
            session: change.session,
            first_seq: change.first_seq,
            count: 0,
            amounts: Vec::new(),
            sum: change.sum,
            chain: self.chain,
        };
        entry.put(&change.amounts);
        entry.chain = entry.chain_after(&self.chain);
        entry
    }
}

/// One change of an account: a session was opened, or values were counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Whose it is.
    pub id: AccountId,
    /// Its number in the account's history: 1, 2, 3 … without a gap.
    pub number: u64,
    /// When it was decided, by the server's clock.
    pub time: Timestamp,
    /// The session that was opened, or that sent the values.
    pub session: SessionNumber,
    /// The number of the first value; of an opening, the number that is next.
    pub first_seq: Sequence,
    /// How many values; 0 for an opening.
    pub count: u32,
    /// The values, as a record `add` has them.
    pub amounts: Vec<u8>,
    /// The account's sum after it.
    pub sum: Total,
    /// The account's chain after it.
    pub chain: Chain,
}

impl HistoryEntry {
    /// The chain after this entry, if `before` is the one before it.
    ///
    /// `SHA-256(before ‖ account ‖ number ‖ time ‖ session ‖ first_seq ‖ count ‖ amounts ‖ sum)`,
    /// numbers little-endian: 64 bits, `count` 32, `sum` 128.
    pub fn chain_after(&self, before: &Chain) -> Chain {
        let hash = Sha256::new()
            .chain_update(before.0)
            .chain_update(RowKey::from(&self.id).as_bytes())
            .chain_update(self.number.to_le_bytes())
            .chain_update(self.time.0.to_le_bytes())
            .chain_update(self.session.get().to_le_bytes())
            .chain_update(self.first_seq.get().to_le_bytes())
            .chain_update(self.count.to_le_bytes())
            .chain_update(&self.amounts)
            .chain_update(self.sum.get().to_le_bytes());
        Chain(hash.finalize().into())
    }

    /// Its values; `None` if the bytes are not those of as many as it says.
    pub fn values(&self) -> Option<Vec<Amount>> {
        take_amounts(&self.amounts, self.count)
    }

    /// The change that it states; `None` if its values cannot be read.
    pub fn change(&self) -> Option<AccountChange> {
        let Self { id, time, session, first_seq, sum, .. } = *self;
        Some(AccountChange { id, time, session, first_seq, amounts: self.values()?, sum })
    }

    /// Whether an account stood as a receipt states with this entry, or with a value of it.
    pub fn holds(&self, statement: &Statement) -> bool {
        let is_there = statement.subject == Subject::Shared(self.id)
            && (statement.batch, statement.chain, statement.time)
                == (self.number, self.chain, self.time);
        is_there && self.stood(statement)
    }

    /// Whether an account had this count and sum with this entry, or with a value of it.
    fn stood(&self, statement: &Statement) -> bool {
        let next = u128::from(self.first_seq.get()) + u128::from(self.count);
        let Some(count) = statement.count.checked_add(1) else { return false };
        // The values after the stated one.
        let Some(later) = next.checked_sub(count) else { return false };
        let Some(values) = self.values() else { return false };
        let is_of_this = later == 0 || later < values.len() as u128;
        let rest = values.iter().rev().zip(0..later).map(|(value, _)| value.get());
        is_of_this && rest.fold(self.sum.get(), i128::wrapping_sub) == statement.sum.get()
    }

    /// A batch has far fewer values than 2^32, where the count would stop and verifying would fail.
    pub(super) fn put(&mut self, amounts: &[Amount]) {
        self.count = self.count.saturating_add(saturating::to_u32(amounts.len() as u64));
        put_amounts(&mut self.amounts, amounts);
    }
}

/// Why an entry cannot follow those before it, or a row is not what its entries give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("account {account}, entry {entry}: {why}")]
pub struct EntryError {
    /// Whose it is.
    pub account: AccountId,
    /// Its number.
    pub entry: u64,
    /// Which check failed, for people.
    pub why: &'static str,
}

/// One account, computed anew from its entries.
#[derive(Clone, Copy, Debug)]
pub struct Audited {
    row: SharedRow,
}

impl Audited {
    /// Before the first entry.
    pub fn new(id: AccountId) -> Self {
        Self { row: SharedRow::new(id) }
    }

    /// What the entries so far give.
    pub fn row(&self) -> &SharedRow {
        &self.row
    }

    /// Takes the next entry of the account, and checks everything that it states.
    pub fn take(&mut self, entry: &HistoryEntry) -> Result<(), EntryError> {
        let wrong = |why| EntryError { account: self.row.id, entry: entry.number, why };
        if entry.id != self.row.id {
            return Err(wrong("it is another account's"));
        }
        if entry.number != self.row.version + 1 {
            return Err(wrong("its number does not follow the one before: entries are missing"));
        }
        let mut account = self.row.account;
        let next = account.standing().last_seq.forward(1).map_err(|_| wrong("it overflows"))?;
        if entry.first_seq != next {
            return Err(wrong("its first value does not follow the one before"));
        }
        let values = entry.values().ok_or_else(|| wrong("its values cannot be read"))?;
        if values.is_empty() {
            account
                .open_session_as(entry.session)
                .ok_or_else(|| wrong("its session does not follow the one before"))?;
        } else if entry.session != account.newest_session() {
            return Err(wrong("its values are not of the newest session"));
        } else {
            account
                .count_in(entry.time, entry.session, &values)
                .map_err(|_| wrong("its sum leaves its range"))?;
        }
        if entry.sum != account.standing().sum {
            return Err(wrong("its sum is not that of the values up to it"));
        }
        if entry.chain != entry.chain_after(&self.row.chain) {
            return Err(wrong("its chain is not that of the entries up to it"));
        }
        self.row = SharedRow { version: entry.number, chain: entry.chain, account, ..self.row };
        Ok(())
    }

    /// Whether the row is what the entries give.
    pub fn compare(&self, row: &SharedRow) -> Result<(), EntryError> {
        let wrong = |why| Err(EntryError { account: row.id, entry: row.version, why });
        if row.version < self.row.version {
            wrong("the account's row has fewer entries than its history")
        } else if row.version > self.row.version {
            wrong("the account's row has more entries than its history: entries are missing")
        } else if row.chain != self.row.chain {
            wrong("the account's row has another chain than its history")
        } else if *row != self.row {
            wrong("the account's row is not what its history adds up to")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Computed by Python's hashlib from the text of the decision, not by this program.
    #[test]
    fn the_chain_is_as_the_decision_has_it() {
        let id = AccountId::Identity(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        let before = genesis(&id);
        assert_eq!(
            hex(&before.0),
            "b87dd51689e360c3c1c74dc960e19e5cc5f571c95b16b3d30b2eff6e33008379"
        );
        let mut entry = HistoryEntry {
            id,
            number: 7,
            time: Timestamp(1_700_000_000_000_001),
            session: SessionNumber::new(3),
            first_seq: Sequence::new(11),
            count: 0,
            amounts: Vec::new(),
            sum: Total::new(-5),
            chain: Chain([0; 32]),
        };
        entry.put(&[Amount::from(-1_i64), Amount::from(300_i64)]);
        assert_eq!(hex(&entry.amounts), "01d804");
        assert_eq!(
            hex(&entry.chain_after(&before).0),
            "6222d6f5596f713631c32f54f11828d39a5b3a82f4906fc08deb0b4dcaa9f6bf"
        );
        let classic = AccountId::Classic(0x0102_0304_0506_0708);
        assert_eq!(hex(RowKey::from(&classic).as_bytes()), "0102030405060708");
        assert_eq!(
            hex(&genesis(&classic).0),
            "9ce69b1db069e2063639cb2ecba7b9ffde54f8ced698563b4d8c2030e83ff4f1"
        );
        for id in [id, classic] {
            assert_eq!(RowKey::parse(RowKey::from(&id).as_bytes()), Some(id));
        }
        assert_eq!(RowKey::parse(&[0; 31]), None);
    }

    /// It is an entry as any other, and what follows it is checked from there.
    #[test]
    fn a_raised_account_verifies_and_its_next_session_is_beyond_the_old_ones() {
        let id = AccountId::Identity([7; 32]);
        let (row, entry) = SharedRow::new(id).raised(Timestamp(5)).unwrap();
        assert_eq!(row.account.newest_session().get(), 1 << 32);
        let mut audited = Audited::new(id);
        audited.take(&entry).unwrap();
        audited.compare(&row).unwrap();
        let (row, entry) = row.raised(Timestamp(6)).unwrap();
        assert_eq!((row.version, row.account.newest_session().get()), (2, 2 << 32));
        audited.take(&entry).unwrap();
        audited.compare(&row).unwrap();
    }
}
