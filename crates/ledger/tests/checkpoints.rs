//! Who can write the folder, and has no key: checkpoints that were edited, files that are gone. And
//! ledgers of the release that named no checkpoint.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ddes_ledger::audit::{self, Footing, Verified, VerifyError, View};
use ddes_ledger::store::{Chain, Damage, Disk, DiskFile, Folder, StoreError, StoreOptions};
use ddes_ledger::{
    AccountId, Ledger, Opened, Opening, Operation, OperationOutcome, Statement, Subject,
    Submission, Timestamp,
};
use ddes_wire::{Amount, Sequence, Total};
use sha2::{Digest, Sha256};

const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes: 16 * 1024,
    frame_bytes: 1024,
    values_max: 16,
    checkpoint_bytes: 4 * 1024,
    slice_accounts: 2,
    pause_accounts: 2,
    history: None,
};
const TRIMMING: StoreOptions = StoreOptions { history: Some(Duration::from_secs(20)), ..OPTIONS };
const ALICE: AccountId = AccountId::Identity([0; 32]);
const BOB: AccountId = AccountId::Identity([1; 32]);

/// A folder of one test, removed with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("ddes-checkpoints-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A ledger as the earlier release left it: for each file its name, its length, and its runs of
    /// bytes that are not zero.
    fn of_old(packed: &[u8]) -> Self {
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

    fn open(&self, options: StoreOptions) -> Result<(Ledger, Opened), StoreError> {
        Ledger::open(Arc::new(Folder::lock(&self.0).unwrap().unwrap()), options, [7; 16])
    }

    fn look(&self) -> Folder {
        Folder::look(&self.0).unwrap()
    }

    fn verify(&self, statements: &[Statement]) -> Result<Verified, VerifyError> {
        audit::verify(&self.look(), statements, &mut |_, _| {})
    }

    fn names(&self, prefix: &str) -> Vec<PathBuf> {
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
    }
}

const OLD: &[u8] = include_bytes!("old/whole.sparse");
const OLD_TRIMMED: &[u8] = include_bytes!("old/trimmed.sparse");

fn time(secs: u64) -> Timestamp {
    Timestamp((1_800_000_000 + secs) * 1_000_000)
}

fn settle(ledger: &mut Ledger) {
    while ledger.rest() {}
    while let Some(work) = ledger.poll_work() {
        ledger.handle_done(work.run()).unwrap();
    }
    ledger.rest();
}

fn open(ledger: &mut Ledger, id: AccountId) -> Opening {
    match ledger.commit(time(0), &[Operation::Open(id)])[0] {
        OperationOutcome::Opened(Ok(opening)) => opening,
        outcome @ (OperationOutcome::Opened(_)
        | OperationOutcome::Decided(_)
        | OperationOutcome::Ended(_)) => {
            panic!("{outcome:?}")
        }
    }
}

fn add(ledger: &mut Ledger, opening: &Opening, secs: u64, seq: u64, value: i64) {
    let Opening { account, session, .. } = *opening;
    let amounts = [Amount::from(value)].into_iter().collect();
    let add =
        Operation::Add(Submission { account, session, first_seq: Sequence::new(seq), amounts });
    let outcomes = ledger.commit(time(secs), &[add]);
    assert!(matches!(outcomes[..], [OperationOutcome::Decided(Ok(_))]), "{outcomes:?}");
}

/// Alice and Bob count 5,000 each and rest; Carol goes on for so many rounds.
fn fill(ledger: &mut Ledger, rounds: u64) {
    for id in [ALICE, BOB] {
        let opening = open(ledger, id);
        add(ledger, &opening, 0, 1, 5000);
    }
    go_on(ledger, 0..rounds);
}

fn go_on(ledger: &mut Ledger, rounds: std::ops::Range<u64>) {
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
fn forge(checkpoint: &Path, changes: &[i128]) {
    const FIRST: usize = 92 + 13;
    let mut bytes = fs::read(checkpoint).unwrap();
    assert_eq!(bytes[92], 1, "a slice");
    for (i, change) in changes.iter().enumerate() {
        // The slices here are of two: the key, and in the account 20 bytes before its sum.
        let sum = &mut bytes[FIRST + i * 92 + 32 + 20..][..16];
        let now = i128::from_le_bytes(sum.try_into().unwrap()) + change;
        sum.copy_from_slice(&now.to_le_bytes());
    }
    let end = bytes.len() - 32;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    fs::write(checkpoint, bytes).unwrap();
}

fn sum(ledger: &Ledger, id: &AccountId) -> i128 {
    ledger.standing(id).unwrap().sum.get()
}

fn damage<T>(result: Result<T, impl Into<VerifyError>>) -> Damage {
    match result.map_err(Into::into) {
        Err(VerifyError::Store(StoreError::Damaged(damage))) => damage,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it passes"),
    }
}

/// A ledger of either kind, closed.
fn ledger(options: StoreOptions) -> Place {
    let place = Place::new();
    let (mut ledger, _) = place.open(options).unwrap();
    fill(&mut ledger, 100);
    place
}

/// F-01 (a).
#[test]
fn an_edited_checkpoint_is_not_told_and_goes() {
    for options in [OPTIONS, TRIMMING] {
        let place = ledger(options);
        let newest = place.names("checkpoint-").pop().unwrap();
        forge(&newest, &[4000]);
        assert!(damage(place.verify(&[])).why.contains("checkpoint"));
        let view = View::read(&place.look()).unwrap();
        assert_eq!(view.account(&ALICE).unwrap().standing().sum.get(), 5000);
        let (ledger, opened) = place.open(options).unwrap();
        assert_eq!((sum(&ledger, &ALICE), sum(&ledger, &BOB)), (5000, 5000));
        assert!(
            opened.notes.iter().any(|note| note.why.ends_with("was removed")),
            "{:?}",
            opened.notes
        );
        assert!(!newest.exists());
        place.verify(&[]).unwrap();
    }
}

/// F-01 (b).
#[test]
fn a_sum_moved_between_accounts_passes_neither_verify_nor_a_receipt_where_history_was_trimmed() {
    let place = ledger(TRIMMING);
    let checkpoint = audit::checkpoint_statement(&place.look()).unwrap().unwrap();
    let verified = place.verify(std::slice::from_ref(&checkpoint)).unwrap();
    assert!(matches!(verified.footing, Footing::Named { .. }) && verified.first > 1);
    for file in place.names("checkpoint-") {
        forge(&file, &[4000, -4000]);
    }
    assert!(damage(place.verify(&[])).file.starts_with("checkpoint-"));
    assert!(
        damage(place.verify(std::slice::from_ref(&checkpoint))).file.starts_with("checkpoint-")
    );
    // No checkpoint is left to begin at, and the first segment is gone.
    assert!(place.open(TRIMMING).is_err());
    assert!(View::read(&place.look()).is_err());
}

#[test]
fn a_receipt_of_a_checkpoint_is_held_to_its_digest_also_of_the_base() {
    let place = ledger(TRIMMING);
    let Footing::Named { checkpoint: base, .. } = place.verify(&[]).unwrap().footing else {
        panic!()
    };
    let (mut ledger, _) = place.open(TRIMMING).unwrap();
    ledger.checkpoint();
    settle(&mut ledger);
    drop(ledger);
    let whole = audit::checkpoint_statement(&place.look()).unwrap().unwrap();
    assert_ne!(whole.batch, base.end);
    place.verify(std::slice::from_ref(&whole)).unwrap();
    let Subject::Checkpoint { accounts, mut digest } = whole.subject else { panic!() };
    digest[0] ^= 1;
    let false_one = Statement { subject: Subject::Checkpoint { accounts, digest }, ..whole };
    let Err(VerifyError::Receipt { why, .. }) = place.verify(&[false_one]) else { panic!() };
    assert!(why.contains("digest"), "{why}");
}

#[test]
fn a_receipt_names_its_ledger_and_older_ones_that_do_not_hold_still() {
    let place = ledger(OPTIONS);
    let statement = View::read(&place.look()).unwrap().statement(&ALICE).unwrap();
    assert_eq!(statement.ledger, Some(Sha256::digest([7; 16]).into()));
    assert_eq!(Statement::parse(&statement.to_string()).as_ref(), Ok(&statement));
    let older = Statement { ledger: None, ..statement.clone() };
    assert!(!older.to_string().contains("ledger:"));
    assert_eq!(Statement::parse(&older.to_string()).as_ref(), Ok(&older));
    let others = Statement { ledger: Some([9; 32]), ..statement.clone() };
    place.verify(&[statement, older]).unwrap();
    let Err(VerifyError::Receipt { why, .. }) = place.verify(&[others]) else { panic!() };
    assert!(why.contains("another ledger"), "{why}");
}

/// F5 of the hostile runs.
#[test]
fn another_ledgers_checkpoint_is_not_taken() {
    let (place, other) = (ledger(OPTIONS), Place::new());
    let disk = Arc::new(Folder::lock(&other.0).unwrap().unwrap());
    fill(&mut Ledger::open(disk, OPTIONS, [8; 16]).unwrap().0, 100);
    for file in place.names("checkpoint-") {
        fs::remove_file(file).unwrap();
    }
    for file in other.names("checkpoint-") {
        fs::copy(&file, place.0.join(file.file_name().unwrap())).unwrap();
    }
    damage(place.verify(&[]));
    let (mut ledger, opened) = place.open(OPTIONS).unwrap();
    assert_eq!((opened.checkpoint, sum(&ledger, &ALICE)), (0, 5000));
    go_on(&mut ledger, 100..102);
    let expected = ledger.totals();
    drop(ledger);
    assert_eq!(place.open(OPTIONS).unwrap().0.totals(), expected);
    place.verify(&[]).unwrap();
}

/// P-34.
#[test]
fn a_segment_that_is_gone_is_damage_wherever_it_was() {
    let place = ledger(OPTIONS);
    let segments = place.names("journal-");
    assert!(segments.len() > 4);
    for gone in [&segments[..1], &segments[..2], &segments[1..2], &segments[segments.len() - 1..]] {
        let kept: Vec<_> = gone.iter().map(|file| fs::read(file).unwrap()).collect();
        gone.iter().for_each(|file| fs::remove_file(file).unwrap());
        let last = gone.last().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(damage(place.verify(&[])).file, last);
        assert_eq!(damage(place.open(OPTIONS)).file, last);
        assert_eq!(damage(View::read(&place.look())).file, last);
        gone.iter().zip(kept).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    }
    place.verify(&[]).unwrap();
}

#[test]
fn more_segments_gone_from_the_front_than_their_age_allowed_are_damage() {
    let place = ledger(TRIMMING);
    fs::remove_file(&place.names("journal-")[0]).unwrap();
    damage(place.verify(&[]));
    damage(place.open(TRIMMING));
}

#[test]
fn a_segment_cut_before_the_newest_checkpoint_stops_the_opening() {
    let place = ledger(OPTIONS);
    let second = &place.names("journal-")[1];
    let bytes = fs::read(second).unwrap();
    fs::write(second, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(damage(place.open(OPTIONS)).file, "journal-0000000002");
}

#[test]
fn a_checkpoint_that_a_crash_left_unnamed_is_held_against_the_journal_and_named() {
    let place = Place::new();
    let (mut ledger, _) = place.open(OPTIONS).unwrap();
    fill(&mut ledger, 50);
    ledger.checkpoint();
    let work = std::iter::repeat_with(|| {
        ledger.rest();
        ledger.poll_work()
    });
    // It has its name, and nobody hears of it.
    drop(work.flatten().next().unwrap().run());
    let newest = place.names("checkpoint-").pop().unwrap();
    drop(ledger);
    place.verify(&[]).unwrap();
    let (ledger, opened) = place.open(OPTIONS).unwrap();
    assert!(
        opened.notes.iter().any(|note| note.why.ends_with("is named now")),
        "{:?}",
        opened.notes
    );
    drop(ledger);
    let named = format!("checkpoint-{:020}", place.open(OPTIONS).unwrap().1.checkpoint);
    assert_eq!(newest.file_name().unwrap().to_str().unwrap(), named);
}

#[test]
fn an_older_ledger_opens_is_checked_and_brought_forward() {
    let place = Place::of_old(OLD);
    let verified = place.verify(&[]).unwrap();
    assert_eq!(
        (verified.footing, verified.first, verified.checkpoints),
        (Footing::Beginning, 1, 2)
    );
    let (mut ledger, opened) = place.open(OPTIONS).unwrap();
    assert_eq!((opened.checkpoint, ledger.totals()), (0, verified.totals));
    assert_eq!(opened.notes.iter().filter(|note| note.why.ends_with("is named now")).count(), 2);
    assert_eq!(opened.ended.len(), 1, "the classic account of a process that is gone");
    go_on(&mut ledger, 100..160);
    let totals = ledger.totals();
    drop(ledger);
    let (ledger, opened) = place.open(OPTIONS).unwrap();
    assert!(opened.checkpoint > 0 && opened.notes.is_empty() && ledger.totals() == totals);
    place.verify(&[]).unwrap();
}

/// No digest in the journal tells: it is held against the journal itself, in every field behind its
/// accounts.
#[test]
fn of_an_older_ledger_a_checkpoint_edited_behind_its_accounts_is_not_believed() {
    let original = Place::of_old(OLD);
    let file = original.names("checkpoint-").pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    let (mut rest, end) = (92, bytes.len() - 32);
    while bytes[rest] == 1 {
        let identities = u32::from_le_bytes(bytes[rest + 9..rest + 13].try_into().unwrap());
        rest += 13 + 92 * identities as usize;
    }
    let expected = original.verify(&[]).unwrap().totals;
    // Nothing has ended here, so the last 32 bytes, least and greatest, say nothing.
    for at in (rest..end - 32).step_by(3) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let sum = Sha256::digest(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum);
        let place = Place::of_old(OLD);
        fs::write(place.names("checkpoint-").pop().unwrap(), &bytes).unwrap();
        let Err(error) = place.verify(&[]) else {
            panic!("byte {} of {} behind the accounts passes", at - rest, end - rest)
        };
        assert!(error.to_string().contains("checkpoint-"), "byte {at}: {error}");
        // One that claims to end behind the journal's own end says that batches are missing.
        if let Ok((ledger, opened)) = place.open(OPTIONS) {
            assert_eq!(ledger.totals(), expected, "byte {at}");
            assert_eq!(
                opened.notes.iter().filter(|note| note.why.ends_with("is named now")).count(),
                1
            );
        }
    }
}

#[test]
fn of_an_older_ledger_whose_beginning_was_deleted_it_is_said_that_nothing_proves_its_base() {
    let place = Place::of_old(OLD_TRIMMED);
    assert!(matches!(place.verify(&[]).unwrap().footing, Footing::Unproven(_)));
    let (mut ledger, opened) = place.open(TRIMMING).unwrap();
    assert!(matches!(opened.footing, Footing::Unproven(_)));
    assert!(
        opened.notes.iter().any(|note| note.why.contains("earlier release")),
        "{:?}",
        opened.notes
    );
    assert_eq!((sum(&ledger, &ALICE), sum(&ledger, &BOB)), (5000, 5000));
    go_on(&mut ledger, 100..160);
    drop(ledger);
    assert!(matches!(place.verify(&[]).unwrap().footing, Footing::Named { .. }));
    assert!(matches!(place.open(TRIMMING).unwrap().1.footing, Footing::Named { .. }));
}

/// What the earlier release stated of a checkpoint: here five identities in three slices, and a
/// classic account without a value.
fn stated_of_old(file: &Path, secs: u64) -> Statement {
    const REST: usize = 92 + 3 * 13 + 5 * 92;
    let bytes = fs::read(file).unwrap();
    let (mut count, mut sum) = (0, 0);
    for account in 0..5 {
        let packed = &bytes[92 + 13 * (1 + account / 2) + 92 * account + 32..][..60];
        count += u128::from(u64::from_le_bytes(packed[12..20].try_into().unwrap()));
        sum += i128::from_le_bytes(packed[20..36].try_into().unwrap());
    }
    assert_eq!(bytes[REST], 2);
    let digest = bytes[bytes.len() - 32..].try_into().unwrap();
    Statement {
        ledger: None,
        subject: Subject::Checkpoint { accounts: 6, digest },
        count,
        sum: Total::new(sum),
        batch: u64::from_le_bytes(bytes[REST + 1..REST + 9].try_into().unwrap()),
        chain: Chain(bytes[REST + 9..REST + 41].try_into().unwrap()),
        time: time(secs),
    }
}

/// Its base cannot be proven; a receipt of it can: the one of then holds while it is as it was, and
/// no longer.
#[test]
fn of_an_older_ledger_an_edited_base_does_not_pass_a_receipt_of_it() {
    let place = Place::of_old(OLD_TRIMMED);
    let base = place.names("checkpoint-").remove(0);
    // Its batch has the time of one of the rounds.
    let receipt = (0..60).map(|secs| stated_of_old(&base, secs));
    let receipt = receipt
        .into_iter()
        .find(|receipt| place.verify(std::slice::from_ref(receipt)).is_ok())
        .unwrap();
    for file in place.names("checkpoint-") {
        forge(&file, &[4000, -4000]);
    }
    // Nothing else shows it.
    assert!(matches!(place.verify(&[]).unwrap().footing, Footing::Unproven(_)));
    let Err(VerifyError::Receipt { why, .. }) = place.verify(&[receipt]) else {
        panic!("it holds")
    };
    assert!(why.contains("digest"), "{why}");
}

#[test]
fn a_ledger_of_this_release_does_not_pass_for_an_older_one() {
    let place = ledger(TRIMMING);
    let Footing::Named { checkpoint, .. } = place.verify(&[]).unwrap().footing else { panic!() };
    let base = place.0.join(format!("checkpoint-{:020}", checkpoint.start));
    forge(&base, &[4000, -4000]);
    for file in place.names("checkpoint-").iter().filter(|file| **file != base) {
        fs::remove_file(file).unwrap();
    }
    // Version 1 in every header, with its checksum.
    for file in place.names("journal-") {
        let mut bytes = fs::read(&file).unwrap();
        bytes[4] = 1;
        let sum = crc32fast::hash(&bytes[..88]);
        bytes[88..92].copy_from_slice(&sum.to_le_bytes());
        fs::write(&file, bytes).unwrap();
    }
    damage(place.verify(&[]));
    damage(place.open(TRIMMING));
}

/// F-20.
#[test]
fn classic_accounts_that_were_left_under_way_end_at_the_next_opening() {
    let place = Place::new();
    let (mut ledger, _) = place.open(OPTIONS).unwrap();
    let classic = open(&mut ledger, AccountId::Classic(0));
    add(&mut ledger, &classic, 0, 1, 42);
    let totals = ledger.totals();
    drop(ledger);
    let (ledger, opened) = place.open(OPTIONS).unwrap();
    assert!(opened.ended.iter().map(|(id, _)| *id).eq([AccountId::Classic(0)]));
    assert_eq!((ledger.accounts().count(), ledger.totals()), (0, totals));
    drop(ledger);
    assert!(place.open(OPTIONS).unwrap().1.ended.is_empty());
    place.verify(&[]).unwrap();
}

/// A folder whose ledger goes on each time a checkpoint is opened.
#[derive(Debug)]
struct Moving {
    folder: Folder,
    ledger: Mutex<(Ledger, u64)>,
}

impl Disk for Moving {
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let opened = self.folder.open(name);
        let (ledger, round) = &mut *self.ledger.lock().unwrap();
        if name.starts_with("checkpoint-") && *round < 130 {
            go_on(ledger, *round..*round + 6);
            *round += 6;
        }
        opened
    }
    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.folder.claim(name)
    }
    fn stands(&self) -> io::Result<()> {
        self.folder.stands()
    }
    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        self.folder.create(name, zeros)
    }
    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.publish(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
    fn prepare(&self, _: &str, _: u64) {}
}

/// F14 of the hostile runs.
#[test]
fn a_backup_is_made_beside_checkpoints_that_are_replaced_and_segments_that_are_deleted() {
    for options in [OPTIONS, TRIMMING] {
        let (place, copy) = (Place::new(), Place::new());
        let (mut ledger, _) = place.open(options).unwrap();
        fill(&mut ledger, 100);
        let from = Moving { folder: place.look(), ledger: Mutex::new((ledger, 100)) };
        let to = Folder::lock(&copy.0).unwrap().unwrap();
        audit::backup(&from, &to, &mut |_, _| {}).unwrap();
        drop(to);
        assert!(from.ledger.lock().unwrap().1 > 100);
        copy.verify(&[]).unwrap();
        copy.open(options).unwrap();
    }
}
