//! All accounts, in memory, packed.

use std::collections::BTreeMap;

use ddes_wire::SessionNumber;

use crate::account::{Packed, RAISE_BITS};
use crate::index::Index;
use crate::{Account, AccountId, AccountNumber, Totals};

/// Accounts of a chunk. Growth adds a chunk and moves no account.
const CHUNK: usize = 1024;

/// The position of the first classic account, behind the positions of all possible identities.
const CLASSIC_FROM: u64 = 1 << 32;

/// Some of the accounts, and where to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSlice {
    /// Identities in the order they came, then classic accounts.
    pub accounts: Vec<(AccountId, Account)>,
    /// The position of the next account; `None` at the end.
    pub next: Option<u64>,
}

/// The memory of one identity.
#[derive(Clone, Debug)]
struct Slot {
    key: [u8; 32],
    packed: Packed,
}

#[derive(Debug, Default)]
pub(crate) struct Accounts {
    chunks: Vec<Vec<Slot>>,
    count: u32,
    index: Index,
    /// Open classic accounts: one for each classic connection.
    classic: BTreeMap<u64, Account>,
    /// Totals of the classic accounts that ended.
    ended: Totals,
    /// Totals of all accounts, those that ended included. Each change of an account changes them,
    /// so that nobody has to read all accounts.
    totals: Totals,
    /// The lowest classic number that was never used.
    classic_next: u64,
    /// How often all session numbers were raised.
    raises: u32,
}

impl Accounts {
    /// How many identities there are; they are numbered from 0.
    pub(crate) fn identities(&self) -> u32 {
        self.count
    }

    pub(crate) fn find(&self, id: &AccountId) -> Option<AccountNumber> {
        match id {
            AccountId::Identity(key) => self
                .index
                .find(key, |number| key_in(&self.chunks, number))
                .map(AccountNumber::Identity),
            AccountId::Classic(number) => {
                self.classic.contains_key(number).then_some(AccountNumber::Classic(*number))
            }
        }
    }

    pub(crate) fn id(&self, number: AccountNumber) -> Option<AccountId> {
        match number {
            AccountNumber::Identity(number) => {
                self.slot(number).map(|slot| AccountId::Identity(slot.key))
            }
            AccountNumber::Classic(number) => Some(AccountId::Classic(number)),
        }
    }

    #[inline]
    pub(crate) fn get(&self, number: AccountNumber) -> Option<Account> {
        match number {
            AccountNumber::Identity(number) => {
                self.slot(number).map(|slot| slot.packed.unpack(false))
            }
            AccountNumber::Classic(number) => self.classic.get(&number).copied(),
        }
    }

    /// Fetches accounts into the cache before they are used. Among many accounts each one is a
    /// cache miss; nothing here depends on what is read, so that several misses overlap.
    pub(crate) fn prefetch(&self, numbers: impl Iterator<Item = AccountNumber>) {
        let mut seen = 0;
        for number in numbers {
            let AccountNumber::Identity(number) = number else { continue };
            if let Some(Slot { packed: Packed([first, .., last]), .. }) = self.slot(number) {
                seen ^= first ^ last;
            }
        }
        std::hint::black_box(seen);
    }

    /// Replaces an account, which exists.
    // Without `always` the compiler calls it, which costs a commit a tenth.
    #[inline(always)]
    pub(crate) fn put(&mut self, number: AccountNumber, account: &Account) {
        let before = match number {
            AccountNumber::Identity(number) => {
                let packed = &mut self.slot_mut(number).packed;
                let before = packed.count_and_sum();
                packed.set(account);
                before
            }
            AccountNumber::Classic(number) => {
                let Some(held) = self.classic.get_mut(&number) else { return };
                let before = (held.count(), held.standing().sum);
                *held = *account;
                before
            }
        };
        self.totals.replace(before, account);
    }

    /// Adds an identity that has no account yet; `None` if there are 2^32 - 1.
    pub(crate) fn add_identity(&mut self, key: [u8; 32]) -> Option<u32> {
        let account = Account::new(self.first_session());
        let number = self.restore(key, Packed::new(&account))?;
        let chunks = &self.chunks;
        self.index.insert(number, |number| key_in(chunks, number));
        Some(number)
    }

    /// Adds a classic account; `None` if its number was used before.
    pub(crate) fn add_classic(&mut self, number: u64) -> Option<Account> {
        if number < self.classic_next {
            return None;
        }
        self.classic_next = number.checked_add(1)?;
        // Its number is new, so no session of it was given out before a restore.
        let account = Account::new(SessionNumber::NONE);
        self.classic.insert(number, account);
        self.totals.include(&account);
        Some(account)
    }

    /// Adds an account that a store outside holds, and that is not here yet; `None` if there are
    /// 2^32 - 1.
    pub(crate) fn load(&mut self, id: &AccountId, account: &Account) -> Option<AccountNumber> {
        match id {
            AccountId::Identity(key) => {
                let number = self.restore(*key, Packed::new(account))?;
                let chunks = &self.chunks;
                self.index.insert(number, |number| key_in(chunks, number));
                Some(AccountNumber::Identity(number))
            }
            AccountId::Classic(number) => {
                self.classic.insert(*number, *account);
                self.totals.include(account);
                Some(AccountNumber::Classic(*number))
            }
        }
    }

    /// Moves a classic account into the totals of those that ended; returns it.
    pub(crate) fn end_classic(&mut self, number: u64) -> Option<Account> {
        let account = self.classic.remove(&number)?;
        self.ended.include(&account);
        Some(account)
    }

    /// Raises all session numbers by 2^32; `false`, with nothing changed, if one would overflow.
    pub(crate) fn raise(&mut self) -> bool {
        let raised = |mut account: Account| account.raise().ok().map(|()| account);
        let all = self.chunks.iter().flatten().map(|slot| slot.packed.unpack(false));
        if !all.chain(self.classic.values().copied()).all(|account| raised(account).is_some()) {
            return false;
        }
        for slot in self.chunks.iter_mut().flatten() {
            let Some(account) = raised(slot.packed.unpack(false)) else { return false };
            slot.packed = Packed::new(&account);
        }
        for account in self.classic.values_mut() {
            let Some(raised) = raised(*account) else { return false };
            *account = raised;
        }
        self.raises += 1;
        true
    }

    /// The identities numbered from `from` up to and without `to`, which exist.
    pub(crate) fn range(&self, from: u32, to: u32) -> impl Iterator<Item = (&[u8; 32], &Packed)> {
        (from..to).map(|number| {
            let slot = &self.chunks[number as usize / CHUNK][number as usize % CHUNK];
            (&slot.key, &slot.packed)
        })
    }

    pub(crate) fn ended(&self) -> Totals {
        self.ended
    }

    /// The lowest number that no classic account had.
    pub(crate) fn classic_next(&self) -> u64 {
        self.classic_next
    }

    /// Whether the identities numbered from `from` on equal these: keys and packed accounts.
    pub(crate) fn holds(&self, from: u32, identities: &[([u8; 32], Packed)]) -> bool {
        (from..).zip(identities).all(|(number, (key, packed))| {
            self.slot(number).is_some_and(|slot| (slot.key, slot.packed) == (*key, *packed))
        })
    }

    /// The totals of all accounts, those that ended included.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// The same, added up anew: it reads every account.
    pub(crate) fn add_up(&self) -> Totals {
        let mut totals = self.ended;
        self.iter().for_each(|(_, account)| totals.include(&account));
        totals
    }

    /// Accounts that can be added to: identities in the order they came, then classic accounts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountId, Account)> {
        let identities = self.chunks.iter().flatten();
        let identities =
            identities.map(|slot| (AccountId::Identity(slot.key), slot.packed.unpack(false)));
        identities.chain(
            self.classic.iter().map(|(number, account)| (AccountId::Classic(*number), *account)),
        )
    }

    /// At most `most` accounts from a position on. Positions are stable: identities have their
    /// numbers, and classic accounts follow behind all possible identities.
    pub(crate) fn slice(&self, from: u64, most: usize) -> AccountSlice {
        let identities = u32::try_from(from).map_or(self.count..0, |from| from..self.count);
        let identities = identities.filter_map(|number| {
            let slot = self.slot(number)?;
            let account = slot.packed.unpack(false);
            Some((u64::from(number), (AccountId::Identity(slot.key), account)))
        });
        let classic = self.classic.range(from.saturating_sub(CLASSIC_FROM)..);
        let classic = classic.map(|(number, account)| {
            // A number this high takes more sessions than a server lives for.
            let position = CLASSIC_FROM.saturating_add(*number);
            (position, (AccountId::Classic(*number), *account))
        });
        let mut all = identities.chain(classic);
        let mut accounts = Vec::with_capacity(most.min(self.len()));
        accounts.extend(all.by_ref().take(most).map(|(_, account)| account));
        AccountSlice { accounts, next: all.next().map(|(position, _)| position) }
    }

    /// Accounts that can be added to.
    pub(crate) fn len(&self) -> usize {
        self.count as usize + self.classic.len()
    }

    pub(crate) fn classic(&self) -> &BTreeMap<u64, Account> {
        &self.classic
    }

    pub(crate) fn raises(&self) -> u32 {
        self.raises
    }

    /// Takes the number of raises from a checkpoint, before its identities are added.
    pub(crate) fn restore_raises(&mut self, raises: u32) {
        self.raises = raises;
    }

    /// Adds an identity from a checkpoint; [`Self::find`] finds none before [`Self::restore_rest`].
    pub(crate) fn restore(&mut self, key: [u8; 32], packed: Packed) -> Option<u32> {
        let number = self.count;
        self.count = number.checked_add(1)?;
        self.totals.include(&packed.unpack(false));
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(Slot { key, packed }),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Slot { key, packed });
                self.chunks.push(chunk);
            }
        }
        Some(number)
    }

    /// Takes from a checkpoint everything but the identities, which have all been added.
    pub(crate) fn restore_rest(
        &mut self,
        classic: BTreeMap<u64, Account>,
        classic_next: u64,
        ended: Totals,
    ) {
        classic.values().for_each(|account| self.totals.include(account));
        self.totals.merge(&ended);
        (self.classic, self.classic_next, self.ended) = (classic, classic_next, ended);
        let chunks = &self.chunks;
        self.index = Index::of(self.count, |number| key_in(chunks, number));
    }

    /// Bytes of heap that the identities take, the index included.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Slot>() + self.index.bytes()
    }

    /// A new account's session number before its first session: above all numbers that an account
    /// of the same key may have had before a restore.
    fn first_session(&self) -> SessionNumber {
        SessionNumber::new(u64::from(self.raises) << RAISE_BITS)
    }

    #[inline]
    fn slot(&self, number: u32) -> Option<&Slot> {
        self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)
    }

    #[inline]
    fn slot_mut(&mut self, number: u32) -> &mut Slot {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

/// The key of a number from the index, which holds numbers of existing slots only.
fn key_in(chunks: &[Vec<Slot>], number: u32) -> &[u8; 32] {
    &chunks[number as usize / CHUNK][number as usize % CHUNK].key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "random bits, as many as are needed")]

    use ddes_wire::{Amount, Total};

    use super::*;
    use crate::Timestamp;

    /// Xorshift64 (Marsaglia, 2003).
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    fn count(accounts: &mut Accounts, number: AccountNumber, value: Amount) {
        let mut account = accounts.get(number).unwrap();
        let session = account.newest_session();
        // One value of an account whose sum is full is refused, and changes nothing.
        let counted = account.count_in(Timestamp(1_000_000), session, &[value]);
        if counted.is_ok() {
            accounts.put(number, &account);
        }
    }

    #[test]
    fn the_totals_are_what_adding_up_all_accounts_gives_after_every_change() {
        let (mut accounts, mut state) = (Accounts::default(), 0x9e37_79b9_7f4a_7c15_u64);
        let mut full = Account::new(SessionNumber::NONE);
        let most = [Amount::from(i64::MAX), Amount::from(i64::MIN)];
        full.count_in(Timestamp(7_000_000), SessionNumber::NONE, &most).unwrap();
        let mut packed = Packed::new(&full);
        // Three sums of 2^127 - 1: that of all of them is beyond 128 bits.
        packed.0[20..36].copy_from_slice(&i128::MAX.to_le_bytes());
        for byte in 0..3 {
            accounts.restore([byte; 32], packed).unwrap();
        }
        let ended = Totals { accounts: 5, count: 9, sum: Total::new(-4), ..Totals::default() };
        let classic = BTreeMap::from([(3, full)]);
        accounts.restore_rest(classic, 4, ended);
        assert_eq!((accounts.totals().accounts, accounts.totals().count), (9, 3 * 2 + 2 + 9));
        for step in 0..2000 {
            let drawn = random(&mut state);
            let identity = AccountNumber::Identity((drawn >> 32) as u32 % accounts.count);
            let classic = accounts.classic.keys().next_back().copied();
            match drawn % 8 {
                0 => _ = accounts.add_identity(std::array::from_fn(|at| (drawn >> at) as u8)),
                1 => _ = accounts.add_classic(accounts.classic_next),
                2 => _ = classic.and_then(|number| accounts.end_classic(number)),
                3 => _ = accounts.raise(),
                4 | 5 => {
                    if let Some(number) = classic {
                        count(&mut accounts, AccountNumber::Classic(number), drawn.into());
                    }
                }
                _ => count(&mut accounts, identity, drawn.cast_signed().into()),
            }
            assert_eq!(accounts.totals(), accounts.add_up(), "step {step}");
        }
        assert!(accounts.totals().count > 500 && accounts.totals().accounts > 300);
    }
}
