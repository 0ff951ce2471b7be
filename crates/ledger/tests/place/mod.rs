//! Ledgers in folders of their own, of this release and of the one before.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ddes_ledger::audit::{self, Verified, VerifyError};
use ddes_ledger::store::{Damage, Folder, StoreError, StoreOptions};
use ddes_ledger::{
    AccountId, Ledger, Opened, Opening, Operation, OperationOutcome, Statement, Submission,
    Timestamp,
};
use ddes_wire::{Amount, Sequence};
use sha2::{Digest, Sha256};

pub(crate) const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes: 16 * 1024,
    frame_bytes: 1024,
    values_max: 16,
    checkpoint_bytes: 4 * 1024,
    slice_accounts: 2,
    pause_accounts: 2,
    history: None,
};
pub(crate) const TRIMMING: StoreOptions =
    StoreOptions { history: Some(Duration::from_secs(20)), ..OPTIONS };
pub(crate) const ALICE: AccountId = AccountId::Identity([0; 32]);
pub(crate) const BOB: AccountId = AccountId::Identity([1; 32]);

/// A folder of one test, removed with it.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ddes-place-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A ledger as the earlier release left it: for each file its name, its length, and its runs of
    /// bytes that are not zero.
    pub(crate) fn of_old(packed: &[u8]) -> Self {
        fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
            rest.split_off(..count).unwrap()
        }
        fn word(rest: &mut &[u8]) -> usize {
            u32::from_le_bytes(take(rest, 4).try_into().unwrap()) as usize
        }
        let (place, mut rest) = (Self::new(), packed);
        while !rest.is_empty() {
            let length = take(&mut rest, 1)[0].into();
            let name = std::str::from_utf8(take(&mut rest, length)).unwrap();
            let mut bytes = vec![0; word(&mut rest)];
            for _ in 0..word(&mut rest) {
                let (offset, length) = (word(&mut rest), word(&mut rest));
                bytes[offset..offset + length].copy_from_slice(take(&mut rest, length));
            }
            fs::write(place.0.join(name), bytes).unwrap();
        }
        place
    }

    pub(crate) fn open(&self, options: StoreOptions) -> Result<(Ledger, Opened), StoreError> {
        Ledger::open(Arc::new(Folder::lock(&self.0).unwrap().unwrap()), options, [7; 16])
    }

    pub(crate) fn look(&self) -> Folder {
        Folder::look(&self.0).unwrap()
    }

    pub(crate) fn verify(&self, statements: &[Statement]) -> Result<Verified, VerifyError> {
        audit::verify(&self.look(), statements, &mut |_, _| {})
    }

    pub(crate) fn names(&self, prefix: &str) -> Vec<PathBuf> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix));
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
        // What a move that was cut off leaves beside it.
        drop(fs::remove_dir_all(format!("{}.migrating", self.0.display())));
    }
}

pub(crate) const OLD: &[u8] = include_bytes!("../old/whole.sparse");
pub(crate) const OLD_TRIMMED: &[u8] = include_bytes!("../old/trimmed.sparse");

pub(crate) fn time(secs: u64) -> Timestamp {
    Timestamp((1_800_000_000 + secs) * 1_000_000)
}

pub(crate) fn settle(ledger: &mut Ledger) {
    while ledger.rest() {}
    while let Some(work) = ledger.poll_work() {
        ledger.handle_done(work.run()).unwrap();
    }
    ledger.rest();
}

pub(crate) fn open(ledger: &mut Ledger, id: AccountId) -> Opening {
    match ledger.commit(time(0), &[Operation::Open(id)])[0] {
        OperationOutcome::Opened(Ok(opening)) => opening,
        outcome @ (OperationOutcome::Opened(_)
        | OperationOutcome::Decided(_)
        | OperationOutcome::Ended(_)) => {
            panic!("{outcome:?}")
        }
    }
}

pub(crate) fn add(ledger: &mut Ledger, opening: &Opening, secs: u64, seq: u64, value: i64) {
    let Opening { account, session, .. } = *opening;
    let amounts = [Amount::from(value)].into_iter().collect();
    let add =
        Operation::Add(Submission { account, session, first_seq: Sequence::new(seq), amounts });
    let outcomes = ledger.commit(time(secs), &[add]);
    assert!(matches!(outcomes[..], [OperationOutcome::Decided(Ok(_))]), "{outcomes:?}");
}

/// Alice and Bob count 5,000 each and rest; Carol goes on for so many rounds.
pub(crate) fn fill(ledger: &mut Ledger, rounds: u64) {
    for id in [ALICE, BOB] {
        let opening = open(ledger, id);
        add(ledger, &opening, 0, 1, 5000);
    }
    go_on(ledger, 0..rounds);
}

pub(crate) fn go_on(ledger: &mut Ledger, rounds: std::ops::Range<u64>) {
    let carol = open(ledger, AccountId::Identity([2; 32]));
    for round in rounds {
        for _ in 0..4 {
            let seq = ledger.standing(&AccountId::Identity([2; 32])).unwrap().last_seq.get() + 1;
            add(ledger, &carol, round, seq, 3);
        }
        settle(ledger);
    }
}

/// Adds to the sums of the first identities of a checkpoint, and makes its own checksum right
/// again.
pub(crate) fn forge(checkpoint: &Path, changes: &[i128]) {
    const FIRST: usize = 92 + 13;
    let mut bytes = fs::read(checkpoint).unwrap();
    assert_eq!(bytes[92], 1, "a slice");
    for (i, change) in changes.iter().enumerate() {
        // The slices here are of two: the key, and in the account 20 bytes before its sum.
        let sum = &mut bytes[FIRST + i * 92 + 32 + 20..][..16];
        let now = i128::from_le_bytes(sum.try_into().unwrap()) + change;
        sum.copy_from_slice(&now.to_le_bytes());
    }
    seal(&mut bytes);
    fs::write(checkpoint, bytes).unwrap();
}

/// Makes a checkpoint's own checksum right again.
pub(crate) fn seal(checkpoint: &mut [u8]) {
    let end = checkpoint.len() - 32;
    let digest = Sha256::digest(&checkpoint[..end]);
    checkpoint[end..].copy_from_slice(&digest);
}

pub(crate) fn sum(ledger: &Ledger, id: &AccountId) -> i128 {
    ledger.standing(id).unwrap().sum.get()
}

pub(crate) fn damage<T>(result: Result<T, impl Into<VerifyError>>) -> Damage {
    match result.map_err(Into::into) {
        Err(VerifyError::Store(StoreError::Damaged(damage))) => damage,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it passes"),
    }
}

/// A ledger of either kind, closed.
pub(crate) fn ledger(options: StoreOptions) -> Place {
    let place = Place::new();
    let (mut ledger, _) = place.open(options).unwrap();
    fill(&mut ledger, 100);
    place
}

/// A closed ledger whose newest checkpoint has its name in the folder and in no batch, since the
/// process ended between the two; and that checkpoint.
pub(crate) fn unnamed() -> (Place, PathBuf) {
    let place = Place::new();
    let (mut ledger, _) = place.open(OPTIONS).unwrap();
    fill(&mut ledger, 50);
    leave_unnamed(ledger);
    let newest = place.names("checkpoint-").pop().unwrap();
    (place, newest)
}

/// Ends the process when a checkpoint has its name and nobody has heard of it.
pub(crate) fn leave_unnamed(mut ledger: Ledger) {
    ledger.checkpoint();
    let work = std::iter::repeat_with(|| {
        ledger.rest();
        ledger.poll_work()
    });
    drop(work.flatten().next().unwrap().run());
}
