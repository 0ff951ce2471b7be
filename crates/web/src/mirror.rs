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
pub(crate) struct Row {
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
pub(crate) enum Kind {
    Identity,
    Classic,
}

impl Row {
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
    pub(crate) fn of(id: &AccountId, account: &Account) -> (Kind, Self) {
        let kind = match id {
            AccountId::Identity(_) => Kind::Identity,
            AccountId::Classic(_) => Kind::Classic,
        };
        (kind, Self::new(id, account))
    }

    pub(crate) fn id(&self, kind: Kind) -> AccountId {
        match kind {
            Kind::Identity => AccountId::Identity(self.key),
            Kind::Classic => AccountId::Classic(self.classic_number()),
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
    pub(crate) fn extremes(&self, kind: Kind) -> Option<(i128, i128)> {
        let amount = |bits: u64| match kind {
            Kind::Identity => bits.cast_signed().into(),
            Kind::Classic => bits.into(),
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
pub(crate) struct Rows {
    /// Each holds the identities of one slice.
    identities: Vec<Arc<[Row]>>,
    classic: Arc<[Row]>,
    /// Whether every account was copied at least once.
    pub(crate) is_complete: bool,
    /// Changes with the content.
    pub(crate) generation: u64,
    /// When the last walk over all accounts ended, or the last slice came before that.
    pub(crate) time: Option<SystemTime>,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.identities.iter().map(|chunk| chunk.len()).sum::<usize>() + self.classic.len()
    }

    /// All of them, identities first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Kind, &Row)> {
        let identities = self.identities.iter().flat_map(|chunk| chunk.iter());
        let classic = self.classic.iter().map(|row| (Kind::Classic, row));
        identities.map(|row| (Kind::Identity, row)).chain(classic)
    }

    /// The row at a place of [`Self::iter`].
    pub(crate) fn get(&self, place: usize) -> Option<(Kind, &Row)> {
        // All chunks but the last are full.
        let size = self.identities.first().map_or(1, |chunk| chunk.len().max(1));
        let chunk = self.identities.get(place / size);
        if let Some(row) = chunk.and_then(|chunk| chunk.get(place % size)) {
            return Some((Kind::Identity, row));
        }
        let identities: usize = self.identities.iter().map(|chunk| chunk.len()).sum();
        let row = self.classic.get(place.checked_sub(identities)?)?;
        Some((Kind::Classic, row))
    }
}

/// The copy, and whether somebody looks.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    state: Mutex<State>,
    /// Somebody asked while nothing was copied.
    asked: Notify,
    /// A walk has ended.
    walked: Notify,
}

#[derive(Debug, Default)]
struct State {
    rows: Rows,
    asked_at: Option<Instant>,
}

impl Mirror {
    /// The accounts as they were copied last. Starts copying if nobody asked before, and waits a
    /// moment for the first walk.
    pub(crate) async fn rows(&self) -> Rows {
        self.rows_within(FIRST_WALK_MAX).await
    }

    /// The same, with a longer wait for the first walk.
    pub(crate) async fn rows_within(&self, patience: Duration) -> Rows {
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
        // What there is by then is shown, and says that it is incomplete.
        tokio::time::timeout(patience, complete).await.unwrap_or(());
        self.look()
    }

    fn look(&self) -> Rows {
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
            *lock(&self.state) = State::default();
        }
    }

    fn is_watched(&self) -> bool {
        lock(&self.state).asked_at.is_some_and(|at| at.elapsed() < KEPT)
    }

    /// Copies all accounts once; `None` if the loop does not answer.
    async fn walk(&self, app: &App) -> Option<()> {
        let (mut from, mut at, mut classic) = (0, 0, Vec::new());
        loop {
            let AccountSlice { accounts, next } = app.handle.accounts(from).await?;
            self.take(&mut at, &accounts, &mut classic);
            match next {
                Some(next) => from = next,
                None => break,
            }
            tokio::time::sleep(SLICE_EVERY).await;
        }
        let mut state = lock(&self.state);
        let rows = &mut state.rows;
        rows.classic = classic.into();
        rows.is_complete = true;
        rows.generation += 1;
        rows.time = Some(SystemTime::now());
        drop(state);
        self.walked.notify_waiters();
        Some(())
    }

    /// Puts a slice's identities in their place, and its classic accounts aside: these come and go,
    /// and are replaced together.
    fn take(&self, at: &mut usize, accounts: &[(AccountId, Account)], classic: &mut Vec<Row>) {
        let is_classic = |(id, _): &(AccountId, Account)| matches!(id, AccountId::Classic(_));
        let split = accounts.partition_point(|account| !is_classic(account));
        let (identities, others) = accounts.split_at(split);
        let row = |(id, account): &(AccountId, Account)| Row::new(id, account);
        classic.extend(others.iter().map(row));
        if identities.is_empty() {
            return;
        }
        let chunk: Arc<[Row]> = identities.iter().map(row).collect();
        let mut state = lock(&self.state);
        let rows = &mut state.rows;
        match rows.identities.get_mut(*at) {
            Some(old) => *old = chunk,
            None => rows.identities.push(chunk),
        }
        if !rows.is_complete {
            rows.generation += 1;
            rows.time = Some(SystemTime::now());
        }
        *at += 1;
    }
}

const _: () = assert!(size_of::<Row>() == 80);
