//! All accounts, in memory, packed.

use std::collections::BTreeMap;

use ddes_wire::SessionNumber;

use crate::account::{Packed, RAISE_BITS};
use crate::index::Index;
use crate::{Account, AccountId, AccountNumber, Totals};

/// Accounts lie in chunks of so many, so that growth moves none of them.
const CHUNK: usize = 1024;

/// What lies in memory for each identity.
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
    /// Classic accounts under way: as many as there are connections.
    classic: BTreeMap<u64, Account>,
    /// Those that ended.
    ended: Totals,
    /// Above every classic number used.
    classic_next: u64,
    /// How often all session numbers were raised.
    raises: u32,
}

impl Accounts {
    /// Identities, all of them numbered below this.
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

    /// Reads what lies of accounts that will be asked for. They lie anywhere, so that each is a
    /// miss of all caches where there are many; here nothing waits for what is read, and several
    /// misses are under way at a time.
    pub(crate) fn touch(&self, numbers: impl Iterator<Item = AccountNumber>) {
        let mut seen = 0;
        for number in numbers {
            let AccountNumber::Identity(number) = number else { continue };
            if let Some(Slot { packed: Packed([first, .., last]), .. }) = self.slot(number) {
                seen ^= first ^ last;
            }
        }
        std::hint::black_box(seen);
    }

    /// Puts an account back; it exists.
    #[inline]
    pub(crate) fn put(&mut self, number: AccountNumber, account: &Account) {
        match number {
            AccountNumber::Identity(number) => {
                if let Some(slot) = self.slot_mut(number) {
                    slot.packed.set(account);
                }
            }
            AccountNumber::Classic(number) => {
                self.classic.insert(number, *account);
            }
        }
    }

    /// A new identity, which is not there yet; `None` beyond 2^32 - 1.
    pub(crate) fn add_identity(&mut self, key: [u8; 32]) -> Option<u32> {
        let account = Account::new(self.first_session());
        let number = self.restore(key, Packed::new(&account))?;
        let chunks = &self.chunks;
        self.index.insert(number, |number| key_in(chunks, number));
        Some(number)
    }

    /// A new classic account; `None` if its number was used before.
    pub(crate) fn add_classic(&mut self, number: u64) -> Option<Account> {
        if number < self.classic_next {
            return None;
        }
        self.classic_next = number.checked_add(1)?;
        // Its number is new, so its session 1 is too, whatever was restored.
        let account = Account::new(SessionNumber::NONE);
        self.classic.insert(number, account);
        Some(account)
    }

    /// A classic account is over.
    pub(crate) fn end_classic(&mut self, number: u64) -> Option<Account> {
        let account = self.classic.remove(&number)?;
        self.ended.include(&account);
        Some(account)
    }

    /// Raises all session numbers; `false`, with nothing changed, if one has no room.
    pub(crate) fn raise(&mut self) -> bool {
        let raised = |mut account: Account| account.raise().ok().map(|()| account);
        let all = self.chunks.iter().flatten().map(|slot| slot.packed.unpack(false));
        if !all.chain(self.classic.values().copied()).all(|account| raised(account).is_some()) {
            return false;
        }
        for slot in self.chunks.iter_mut().flatten() {
            if let Some(account) = raised(slot.packed.unpack(false)) {
                slot.packed = Packed::new(&account);
            }
        }
        for account in self.classic.values_mut() {
            *account = raised(*account).unwrap_or(*account);
        }
        self.raises += 1;
        true
    }

    /// Identities from number `from` to before `to`.
    pub(crate) fn range(&self, from: u32, to: u32) -> impl Iterator<Item = (&[u8; 32], &Packed)> {
        (from..to).filter_map(|number| self.slot(number)).map(|slot| (&slot.key, &slot.packed))
    }

    pub(crate) fn ended(&self) -> Totals {
        self.ended
    }

    /// Above every number that a classic account had.
    pub(crate) fn classic_next(&self) -> u64 {
        self.classic_next
    }

    /// Whether the identities from number `from` on are just these.
    pub(crate) fn agree(&self, from: u32, identities: &[([u8; 32], Packed)]) -> bool {
        (from..).zip(identities).all(|(number, (key, packed))| {
            self.slot(number).is_some_and(|slot| (slot.key, slot.packed) == (*key, *packed))
        })
    }

    /// All accounts, those that ended included, in totals.
    pub(crate) fn totals(&self) -> Totals {
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

    pub(crate) fn classic(&self) -> &BTreeMap<u64, Account> {
        &self.classic
    }

    pub(crate) fn raises(&self) -> u32 {
        self.raises
    }

    /// What a checkpoint says before its first identity.
    pub(crate) fn restore_raises(&mut self, raises: u32) {
        self.raises = raises;
    }

    /// An identity as a checkpoint holds it; none is found before [`Self::restore_rest`].
    pub(crate) fn restore(&mut self, key: [u8; 32], packed: Packed) -> Option<u32> {
        let number = self.count;
        self.count = number.checked_add(1)?;
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

    /// What a checkpoint says of everything but identities, which are all there.
    pub(crate) fn restore_rest(
        &mut self,
        classic: BTreeMap<u64, Account>,
        classic_next: u64,
        ended: Totals,
    ) {
        (self.classic, self.classic_next, self.ended) = (classic, classic_next, ended);
        let chunks = &self.chunks;
        self.index = Index::of(self.count, |number| key_in(chunks, number));
    }

    /// Bytes that the identities take, the index included.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Slot>() + self.index.bytes()
    }

    /// A new account's session number before its first session: no restore gives one out twice.
    fn first_session(&self) -> SessionNumber {
        SessionNumber::new(u64::from(self.raises) << RAISE_BITS)
    }

    #[inline]
    fn slot(&self, number: u32) -> Option<&Slot> {
        self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)
    }

    #[inline]
    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.chunks.get_mut(number as usize / CHUNK)?.get_mut(number as usize % CHUNK)
    }
}

/// Numbers in the index are of slots that exist.
fn key_in(chunks: &[Vec<Slot>], number: u32) -> &[u8; 32] {
    const NONE: [u8; 32] = [0; 32];
    let chunk = chunks.get(number as usize / CHUNK);
    chunk.and_then(|chunk| chunk.get(number as usize % CHUNK)).map_or(&NONE, |slot| &slot.key)
}
