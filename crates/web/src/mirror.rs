//! A copy of all accounts, for lists that are sorted and searched.
//!
//! The copy exists only while somebody looks. The ledger gives it in slices of 4,096 accounts, at
//! most 50 a second, again and again: a million accounts are as new as five seconds.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ddes_ledger::{Account, AccountId, AccountSlice};
use ddes_wire::Amount;
use tokio::sync::Notify;

use crate::app::{App, lock};

/// The copy is dropped when nobody has asked for so long.
const KEPT: Duration = Duration::from_secs(60);
/// Between two slices, of which a second has 50 at most.
const SLICE_EVERY: Duration = Duration::from_millis(20);
/// Between two walks over all accounts.
const WALK_EVERY: Duration = Duration::from_secs(1);
/// How long a request waits for the first walk.
const FIRST_WALK_MAX: Duration = Duration::from_secs(2);

/// An account, in 80 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountRow {
    /// The public key of an identity. Of a classic account, its number in the first eight bytes.
    key: [u8; 32],
    pub(crate) count: u64,
    pub(crate) sum: i128,
    /// The low 64 bits of the least and the greatest value: an `i64` of an identity, a `u64` of a
    /// classic account. Zero without values.
    min: u64,
    max: u64,
    /// Seconds since 1970 of the first and the newest value. Zero without values.
    first_secs: u32,
    last_secs: u32,
}

/// Which kind a row is: it is not in the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum AccountKind {
    Identity,
    Classic,
}

impl AccountRow {
    fn new(id: &AccountId, account: &Account) -> Self {
        let mut key = [0; 32];
        match id {
            AccountId::Identity(bytes) => key = *bytes,
            AccountId::Classic(number) => key[..8].copy_from_slice(&number.to_be_bytes()),
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the high half follows from the low one and the kind"
        )]
        let low = |amount: Amount| amount.get() as u64;
        let (min, max) = account.extremes().map_or((0, 0), |(min, max)| (low(min), low(max)));
        let (first_secs, last_secs) = account.times().unwrap_or((0, 0));
        let (count, sum) = (account.count(), account.standing().sum.get());
        Self { key, count, sum, min, max, first_secs, last_secs }
    }

    /// The row of one account.
    pub(crate) fn of(id: &AccountId, account: &Account) -> (AccountKind, Self) {
        let kind = match id {
            AccountId::Identity(_) => AccountKind::Identity,
            AccountId::Classic(_) => AccountKind::Classic,
        };
        (kind, Self::new(id, account))
    }

    pub(crate) fn id(&self, kind: AccountKind) -> AccountId {
        match kind {
            AccountKind::Identity => AccountId::Identity(self.key),
            AccountKind::Classic => AccountId::Classic(self.classic_number()),
        }
    }

    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    pub(crate) fn classic_number(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.key;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The smallest and the greatest value; `None` without values.
    pub(crate) fn extremes(&self, kind: AccountKind) -> Option<(i128, i128)> {
        let amount = |bits: u64| match kind {
            AccountKind::Identity => bits.cast_signed().into(),
            AccountKind::Classic => bits.into(),
        };
        (self.count > 0).then(|| (amount(self.min), amount(self.max)))
    }

    /// When the first and the newest value came; `None` without values.
    pub(crate) fn times(&self) -> Option<(u32, u32)> {
        (self.count > 0).then_some((self.first_secs, self.last_secs))
    }

    #[allow(clippy::cast_precision_loss, reason = "a mean for people, as JSON's numbers are")]
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

/// The accounts as they were copied last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountRows {
    /// Each holds the identities of one slice.
    identities: Vec<Arc<[AccountRow]>>,
    classic: Arc<[AccountRow]>,
    /// Whether every account was copied at least once.
    pub(crate) is_complete: bool,
    /// Changes with the content.
    pub(crate) generation: u64,
    /// When the last walk over all accounts ended, or the last slice came before that.
    pub(crate) time: Option<SystemTime>,
}

impl AccountRows {
    pub(crate) fn len(&self) -> usize {
        self.identities.iter().map(|chunk| chunk.len()).sum::<usize>() + self.classic.len()
    }

    /// All of them, identities first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountKind, &AccountRow)> {
        let identities = self.identities.iter().flat_map(|chunk| chunk.iter());
        let classic = self.classic.iter().map(|row| (AccountKind::Classic, row));
        identities.map(|row| (AccountKind::Identity, row)).chain(classic)
    }

    /// The row at a place of [`Self::iter`].
    pub(crate) fn get(&self, place: usize) -> Option<(AccountKind, &AccountRow)> {
        // All chunks but the last are full.
        let size = self.identities.first().map_or(1, |chunk| chunk.len().max(1));
        let chunk = self.identities.get(place / size);
        if let Some(row) = chunk.and_then(|chunk| chunk.get(place % size)) {
            return Some((AccountKind::Identity, row));
        }
        let identities: usize = self.identities.iter().map(|chunk| chunk.len()).sum();
        let row = self.classic.get(place.checked_sub(identities)?)?;
        Some((AccountKind::Classic, row))
    }
}

/// The copy, and whether somebody looks.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    state: Mutex<MirrorState>,
    /// Somebody asked while nothing was copied.
    asked: Notify,
    /// A walk has ended.
    walked: Notify,
}

#[derive(Debug, Default)]
struct MirrorState {
    rows: AccountRows,
    asked_at: Option<Instant>,
}

impl Mirror {
    /// The accounts as they were copied last. Starts copying if nobody asked before, and waits a
    /// moment for the first walk.
    pub(crate) async fn rows(&self) -> AccountRows {
        self.rows_within(FIRST_WALK_MAX).await
    }

    /// The same, with a longer wait for the first walk.
    pub(crate) async fn rows_within(&self, patience: Duration) -> AccountRows {
        let complete = async {
            loop {
                let walked = self.walked.notified();
                let rows = self.look();
                if rows.is_complete {
                    return;
                }
                walked.await;
            }
        };
        tokio::select! {
            () = complete => {}
            // What there is by then is shown, and says that it is incomplete.
            () = tokio::time::sleep(patience) => {}
        }
        self.look()
    }

    fn look(&self) -> AccountRows {
        let mut state = lock(&self.state);
        state.asked_at = Some(Instant::now());
        self.asked.notify_one();
        state.rows.clone()
    }

    /// Copies accounts while somebody looks, for ever.
    pub(crate) async fn run(&self, app: &App) {
        loop {
            self.asked.notified().await;
            while self.is_watched() {
                if self.walk(app).await.is_none() {
                    // The loop has ended, or is overloaded.
                    tokio::time::sleep(WALK_EVERY).await;
                }
                tokio::time::sleep(WALK_EVERY).await;
            }
            *lock(&self.state) = MirrorState::default();
        }
    }

    fn is_watched(&self) -> bool {
        lock(&self.state).asked_at.is_some_and(|at| at.elapsed() < KEPT)
    }

    /// Copies all accounts once; `None` if the loop does not answer.
    async fn walk(&self, app: &App) -> Option<()> {
        let (mut from, mut walk) = (0, Walk::default());
        loop {
            let AccountSlice { accounts, next } = app.handle.accounts(from).await?;
            lock(&self.state).rows.take(&mut walk, &accounts);
            match next {
                Some(next) => from = next,
                None => break,
            }
            tokio::time::sleep(SLICE_EVERY).await;
        }
        lock(&self.state).rows.finish(walk);
        self.walked.notify_waiters();
        Some(())
    }
}

/// A walk over all accounts, as far as it has come.
#[derive(Debug, Default)]
struct Walk {
    /// The place of the next slice's identities.
    at: usize,
    /// The classic accounts: these come and go, and are replaced together.
    classic: Vec<AccountRow>,
    /// Whether something is different from the walk before.
    has_changed: bool,
}

impl AccountRows {
    /// Puts a slice's identities in their place, and its classic accounts aside. What is as it was
    /// stays: it is not copied, and lists of it are not sorted again.
    fn take(&mut self, walk: &mut Walk, accounts: &[(AccountId, Account)]) {
        let is_classic = |(id, _): &(AccountId, Account)| matches!(id, AccountId::Classic(_));
        let split = accounts.partition_point(|account| !is_classic(account));
        let (identities, others) = accounts.split_at(split);
        let row = |(id, account): &(AccountId, Account)| AccountRow::new(id, account);
        walk.classic.extend(others.iter().map(row));
        if identities.is_empty() {
            return;
        }
        let rows = identities.iter().map(row);
        match self.identities.get_mut(walk.at) {
            Some(old) if rows.clone().eq(old.iter().copied()) => {}
            Some(old) => {
                *old = rows.collect();
                walk.has_changed = true;
            }
            None => {
                self.identities.push(rows.collect());
                walk.has_changed = true;
            }
        }
        if !self.is_complete {
            self.generation += 1;
            self.time = Some(SystemTime::now());
        }
        walk.at += 1;
    }

    /// The walk has come to its end.
    fn finish(&mut self, walk: Walk) {
        if walk.classic != *self.classic {
            self.classic = walk.classic.into();
            self.generation += 1;
        } else if walk.has_changed {
            self.generation += 1;
        }
        self.is_complete = true;
        self.time = Some(SystemTime::now());
    }
}

const _: () = assert!(size_of::<AccountRow>() == 80);

#[cfg(test)]
mod tests {
    use ddes_ledger::{Ledger, Operation, OperationOutcome, Submission, Timestamp};
    use ddes_wire::Sequence;

    use super::*;

    /// Opens an account, if `first` is 1, and counts one value.
    fn count(ledger: &mut Ledger, id: AccountId, first: u64, value: u64) {
        let opened = ledger.commit(Timestamp(1), &[Operation::Open(id)]);
        let [OperationOutcome::Opened(Ok(opening))] = opened[..] else { panic!("{opened:?}") };
        let add = Submission {
            account: opening.account,
            session: opening.session,
            first_seq: Sequence::new(first),
            amounts: vec![Amount::from(value.cast_signed())].into(),
        };
        ledger.commit(Timestamp(2), &[Operation::Add(add)]);
    }

    fn walk(rows: &mut AccountRows, ledger: &Ledger) {
        let (mut from, mut walk) = (Some(0), Walk::default());
        while let Some(position) = from {
            let AccountSlice { accounts, next } = ledger.accounts_from(position, 4);
            rows.take(&mut walk, &accounts);
            from = next;
        }
        rows.finish(walk);
    }

    #[test]
    fn a_walk_copies_what_has_changed_and_keeps_the_rest() {
        let (mut ledger, mut rows) = (Ledger::in_memory(), AccountRows::default());
        for byte in 0..9 {
            count(&mut ledger, AccountId::Identity([byte; 32]), 1, byte.into());
        }
        count(&mut ledger, AccountId::Classic(3), 1, 70);
        walk(&mut rows, &ledger);
        let (first, sum) =
            (rows.clone(), |rows: &AccountRows| rows.iter().map(|(_, row)| row.sum).sum());
        assert_eq!((rows.len(), sum(&rows), rows.is_complete), (10, 36 + 70, true));

        walk(&mut rows, &ledger);
        assert_eq!(rows.generation, first.generation);
        let is_kept = |rows: &AccountRows, at: usize| {
            Arc::ptr_eq(&rows.identities[at], &first.identities[at])
        };
        assert!((0..3).all(|at| is_kept(&rows, at)) && Arc::ptr_eq(&rows.classic, &first.classic));

        count(&mut ledger, AccountId::Identity([5; 32]), 2, 1000);
        walk(&mut rows, &ledger);
        assert_eq!((rows.generation, sum(&rows)), (first.generation + 1, 1106_i128));
        assert_eq!([0, 1, 2].map(|at| is_kept(&rows, at)), [true, false, true]);
        assert!(Arc::ptr_eq(&rows.classic, &first.classic));

        let end = Operation::End(ddes_ledger::AccountNumber::Classic(3));
        ledger.commit(Timestamp(3), &[end]);
        walk(&mut rows, &ledger);
        assert_eq!((rows.generation, rows.len()), (first.generation + 2, 9));
    }
}
