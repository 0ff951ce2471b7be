//! A ledger in a folder: it comes back as it was, and says so where it was changed.
//!
//! Long because each way in which a folder can be changed is a test over the same few helpers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ddes_ledger::audit::{self, View};
use ddes_ledger::store::{Damage, Disk, DiskFile, Folder, StoreError, StoreOptions};
use ddes_ledger::{
    AccountId, AccountNumber, Health, Ledger, Opened, Opening, Operation, OperationOutcome,
    Refusal, Statement, Subject, Submission, Timestamp,
};
use ddes_wire::{Amount, Amounts, Sequence, Total};

/// Small enough that a few hundred values go through all of it.
const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes: 16 * 1024,
    frame_bytes: 1024,
    values_max: 16,
    checkpoint_bytes: 4 * 1024,
    slice_accounts: 2,
    pause_accounts: 2,
    history: None,
};

/// All of the journal is read.
const WITHOUT_CHECKPOINTS: StoreOptions = StoreOptions { checkpoint_bytes: u64::MAX, ..OPTIONS };

/// A folder of one test, removed with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ddes-ledger-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(Folder::lock(&self.0).unwrap().unwrap())
    }

    fn open(&self) -> Result<(Ledger, Opened), StoreError> {
        self.open_with(OPTIONS)
    }

    fn open_with(&self, options: StoreOptions) -> Result<(Ledger, Opened), StoreError> {
        Ledger::open(self.disk(), options, [7; 16])
    }

    fn look(&self) -> Folder {
        Folder::look(&self.0).unwrap()
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

fn time(secs: u64) -> Timestamp {
    Timestamp((1_800_000_000 + secs) * 1_000_000)
}

fn identity(number: u8) -> AccountId {
    AccountId::Identity([number; 32])
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

fn add(opening: &Opening, first_seq: u64, amounts: &[i64]) -> Operation {
    let amounts = amounts.iter().map(|amount| Amount::from(*amount)).collect();
    let Opening { account, session, .. } = *opening;
    Operation::Add(Submission { account, session, first_seq: Sequence::new(first_seq), amounts })
}

/// Runs what a checkpoint has left to do.
fn settle(ledger: &mut Ledger) {
    while ledger.rest() {}
    while let Some(work) = ledger.poll_work() {
        ledger.handle_done(work.run()).unwrap();
    }
}

/// Runs what a checkpoint has left to do, if it is so far.
fn settle_once(ledger: &mut Ledger) {
    if let Some(work) = ledger.poll_work() {
        ledger.handle_done(work.run()).unwrap();
    }
}

/// 12 identities and a classic account, `rounds` values each in batches of three accounts,
/// checkpoints on the way.
fn fill(ledger: &mut Ledger, rounds: u64) {
    let openings: Vec<_> = (0..12).map(|number| open(ledger, identity(number))).collect();
    let classic = open(ledger, AccountId::Classic(ledger.classic_next()));
    for round in 0..rounds {
        for three in openings.chunks(3) {
            let adds = |opening: &Opening| {
                let seq = opening.proof.standing().last_seq.get() + round + 1;
                add(opening, seq, &[round as i64 * 1_000_003 - 7])
            };
            let batch: Vec<_> = three.iter().map(adds).collect();
            let outcomes = ledger.commit(time(round), &batch);
            assert!(
                outcomes.iter().all(|outcome| matches!(outcome, OperationOutcome::Decided(Ok(_)))),
                "{outcomes:?}"
            );
        }
        ledger.commit(time(round), &[add(&classic, round + 1, &[round as i64])]);
        if round % 16 == 15 {
            settle(ledger);
        }
    }
    ledger.commit(time(rounds), &[Operation::End(classic.account)]);
    settle(ledger);
}

type Picture = (Vec<(AccountId, ddes_ledger::Account)>, ddes_ledger::Totals);

fn picture(ledger: &Ledger) -> Picture {
    (ledger.accounts().collect(), ledger.totals())
}

#[test]
fn it_comes_back_as_it_was_however_often() {
    let place = Place::new();
    let mut model = Ledger::in_memory();
    for round in 1..=4 {
        let (mut ledger, opened) = place.open().unwrap();
        assert_eq!((opened.is_new, opened.was_torn, opened.notes.len()), (round == 1, false, 0));
        assert_eq!(picture(&ledger), picture(&model));
        fill(&mut ledger, 40);
        fill(&mut model, 40);
        assert_eq!(picture(&ledger), picture(&model));
        let batch = ledger.head().unwrap().0;
        assert_eq!(View::read(&place.look()).unwrap().batch, batch, "another process may look");
    }
    assert!(place.names("journal-").len() > 2 && place.names("checkpoint-").len() == 2);
    let verified = audit::verify(&place.look(), &[], &mut |_, _| {}).unwrap();
    assert_eq!(
        (verified.first, verified.values, verified.totals),
        (1, 4 * 40 * 13, model.totals())
    );
    assert_eq!(verified.checkpoints, 2);
}

/// What a ledger counts is its owner's alone to read.
#[test]
fn every_file_of_a_ledger_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (place, copy) = (Place::new(), Place::new());
    let (mut ledger, _) = place.open().unwrap();
    fill(&mut ledger, 50);
    audit::backup(&place.look(), &*copy.disk(), &mut |_, _| {}).unwrap();
    for path in [place.names(""), copy.names("")].concat() {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn a_second_process_is_kept_out() {
    let place = Place::new();
    let (ledger, _) = place.open().unwrap();
    assert!(Folder::lock(&place.0).unwrap().is_none());
    drop(ledger);
    assert!(Folder::lock(&place.0).unwrap().is_some());
}

/// Where a ledger of `rounds` ends: the last segment, and the offset behind its last frame, as the
/// damage of a longer one names it.
fn end_of(segment: &Path) -> usize {
    let bytes = fs::read(segment).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[test]
fn a_batch_torn_anywhere_is_none_and_the_ledger_goes_on() {
    let place = Place::new();
    let (mut ledger, _) = place.open().unwrap();
    let opening = open(&mut ledger, identity(1));
    ledger.commit(time(1), &[add(&opening, 1, &[42])]);
    drop(ledger);
    let segment = place.names("journal-").remove(0);
    let before = fs::read(&segment).unwrap();
    let start = end_of(&segment);
    let (mut ledger, _) = place.open().unwrap();
    ledger.commit(time(2), &[add(&opening, 2, &[50])]);
    drop(ledger);
    let whole = fs::read(&segment).unwrap();
    let end = end_of(&segment);
    for cut in start..end {
        // As after the crash: the frame up to here, and the superblocks from before it.
        let mut torn = before.clone();
        torn[start..cut].copy_from_slice(&whole[start..cut]);
        fs::write(&segment, &torn).unwrap();
        let (mut ledger, opened) = place.open().unwrap();
        assert_eq!((opened.was_torn, opened.batch), (cut > start, 2), "cut at {cut}");
        assert_eq!(ledger.standing(&identity(1)).unwrap().sum, Total::new(42));
        ledger.commit(time(2), &[add(&opening, 2, &[50])]);
        drop(ledger);
        let view = View::read(&place.look()).unwrap();
        assert_eq!(view.account(&identity(1)).unwrap().standing().sum, Total::new(92));
    }
}

/// P-34.
#[test]
fn each_bit_that_is_flipped_is_named_or_was_not_in_use() {
    let place = Place::new();
    let (mut ledger, _) = place.open_with(WITHOUT_CHECKPOINTS).unwrap();
    fill(&mut ledger, 8);
    let expected = picture(&ledger);
    drop(ledger);
    for (number, segment) in place.names("journal-").into_iter().enumerate() {
        let whole = fs::read(&segment).unwrap();
        let end = end_of(&segment);
        // All of the heads, and of the frames some of each.
        let used = |offset: &usize| {
            if *offset < 4096 { whole[*offset] != 0 } else { offset.is_multiple_of(23) }
        };
        for offset in (0..end).filter(used) {
            let mut bytes = whole.clone();
            bytes[offset] ^= 1 << (offset % 8);
            fs::write(&segment, &bytes).unwrap();
            let name = segment.file_name().unwrap().to_str().unwrap();
            let error = audit::verify(&place.look(), &[], &mut |_, _| {}).unwrap_err();
            let audit::VerifyError::Store(StoreError::Damaged(damage)) = error else {
                panic!("{error}")
            };
            assert_named(&damage, name, offset, number as u64);
            match place.open_with(WITHOUT_CHECKPOINTS) {
                Err(StoreError::Damaged(damage)) => {
                    assert_named(&damage, name, offset, number as u64);
                }
                // A superblock alone, of which there are two.
                Ok((ledger, opened)) => {
                    assert!((512..2048).contains(&offset), "offset {offset} of {name}");
                    assert!(
                        opened.notes.len() == 1 && opened.notes[0].file == name,
                        "{:?}",
                        opened.notes
                    );
                    assert_eq!(picture(&ledger), expected);
                }
                Err(error) => panic!("{error}"),
            }
            fs::write(&segment, &whole).unwrap();
        }
    }
}

/// The place is where the flip is, or the beginning of the frame that it is in.
fn assert_named(damage: &Damage, name: &str, offset: usize, number: u64) {
    assert_eq!(damage.file, name, "{damage}");
    assert!(
        damage.offset <= offset as u64 && damage.offset + 1500 > offset as u64,
        "{offset}: {damage}"
    );
    assert!(damage.batch > 0 || number == 0, "{damage}");
}

#[test]
fn a_tail_that_is_gone_is_missed() {
    let place = Place::new();
    let (mut ledger, _) = place.open_with(WITHOUT_CHECKPOINTS).unwrap();
    fill(&mut ledger, 8);
    drop(ledger);
    let segment = place.names("journal-").pop().unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = fs::read(&segment).unwrap();
    let end = end_of(&segment);
    for cut in (0..end).step_by(97) {
        fs::write(&segment, &whole[..cut]).unwrap();
        let Err(StoreError::Damaged(damage)) = place.open_with(WITHOUT_CHECKPOINTS) else {
            panic!("cut off at {cut}")
        };
        assert_eq!((damage.file.as_str(), damage.offset), (name.as_str(), cut as u64), "{damage}");
        if cut >= 4096 {
            let zeroed = [&whole[..cut], &vec![0; whole.len() - cut][..]].concat();
            fs::write(&segment, &zeroed).unwrap();
            let Err(StoreError::Damaged(damage)) = place.open_with(WITHOUT_CHECKPOINTS) else {
                panic!("zeroed from {cut}")
            };
            assert!(damage.file == name && damage.offset <= cut as u64, "{damage}");
        }
    }
    fs::remove_file(&segment).unwrap();
    let Err(StoreError::Damaged(damage)) = place.open_with(WITHOUT_CHECKPOINTS) else {
        panic!("without its last segment")
    };
    assert_eq!(damage.file, name);
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_and_to_the_journal() {
    let place = Place::new();
    let (mut ledger, _) = place.open().unwrap();
    fill(&mut ledger, 100);
    let expected = picture(&ledger);
    drop(ledger);
    let checkpoints = place.names("checkpoint-");
    assert_eq!(checkpoints.len(), 2);
    for (damaged, checkpoint) in checkpoints.iter().rev().enumerate() {
        let mut bytes = fs::read(checkpoint).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(checkpoint, bytes).unwrap();
        let (ledger, opened) = place.open().unwrap();
        assert_eq!(opened.notes.len(), damaged + 1);
        assert_eq!(picture(&ledger), expected);
        drop(ledger);
        let error = audit::verify(&place.look(), &[], &mut |_, _| {}).unwrap_err().to_string();
        assert!(error.contains("checkpoint-"), "{error}");
    }
}

#[test]
fn a_checkpoint_of_many_accounts_comes_seldom_and_goes_no_faster_than_the_journal() {
    const ACCOUNTS: u64 = 200;
    // A key and 60 bytes.
    const CHECKPOINT_BYTES: u64 = ACCOUNTS * 92;
    let place = Place::new();
    let options = StoreOptions { segment_bytes: 16 * 1024 * 1024, ..OPTIONS };
    let (mut ledger, _) = place.open_with(options).unwrap();
    let opening = open_many(&mut ledger, ACCOUNTS as u8);
    let mut seqs = 1..;
    let mut commits_until = |ledger: &mut Ledger, is_so: &mut dyn FnMut(&mut Ledger) -> bool| {
        while !is_so(ledger) {
            let seq = seqs.next().unwrap();
            ledger.commit(time(seq), &[add(&opening, seq, &[1])]);
        }
        // No other segment was begun.
        end_of(&place.names("journal-")[0]) as u64
    };
    let begun = commits_until(&mut ledger, &mut |_| !place.names("checkpoint.new").is_empty());
    let mut work = None;
    let written = commits_until(&mut ledger, &mut |ledger| {
        work = ledger.poll_work();
        work.is_some()
    });
    let beside = written - begun;
    assert!((CHECKPOINT_BYTES - 512..CHECKPOINT_BYTES + 512).contains(&beside), "{beside}");
    ledger.handle_done(work.unwrap().run()).unwrap();
    let next = commits_until(&mut ledger, &mut |_| !place.names("checkpoint.new").is_empty());
    assert!(
        (2 * CHECKPOINT_BYTES..2 * CHECKPOINT_BYTES + 512).contains(&(next - begun)),
        "{}",
        next - begun
    );
    let before = picture(&ledger);
    drop(ledger);
    let (ledger, opened) = place.open_with(options).unwrap();
    assert!(opened.checkpoint > 0);
    assert_eq!(picture(&ledger), before);
}

#[test]
fn a_checkpoint_ends_however_many_accounts_come_meanwhile() {
    let place = Place::new();
    let (mut ledger, _) = place.open().unwrap();
    let commit = |ledger: &mut Ledger, first: u16| {
        let opens: Vec<_> = (first..first + 100)
            .map(|number| {
                let [low, high] = number.to_le_bytes();
                let mut key = [low; 32];
                key[31] = high;
                Operation::Open(AccountId::Identity(key))
            })
            .collect();
        ledger.commit(time(0), &opens);
        ledger.poll_work()
    };
    assert!(commit(&mut ledger, 0).is_none());
    ledger.checkpoint();
    assert!(!place.names("checkpoint.new").is_empty());
    let work = (1..100).find_map(|hundred| commit(&mut ledger, 100 * hundred));
    assert!(work.is_some(), "10,000 accounts, and no checkpoint");
}

#[test]
fn a_file_filled_ahead_is_kept_while_another_is_made() {
    const ZEROS: u64 = 1 << 20;
    let place = Place::new();
    let disk = place.disk();
    disk.prepare("spare", ZEROS);
    disk.create("checkpoint.new", 0).unwrap();
    let spare = place.0.join("spare");
    while fs::metadata(&spare).map_or(0, |file| file.len()) < ZEROS {
        std::thread::yield_now();
    }
    // Whoever makes it anew gives it its name again.
    fs::remove_file(&spare).unwrap();
    assert_eq!(disk.create("spare", ZEROS).unwrap().len().unwrap(), ZEROS);
    assert!(!spare.exists());
}

#[test]
fn a_damaged_header_before_the_newest_checkpoint_is_named_with_its_first_batch() {
    let place = Place::new();
    let (mut ledger, _) = place.open().unwrap();
    fill(&mut ledger, 100);
    ledger.checkpoint();
    settle(&mut ledger);
    drop(ledger);
    let segments = place.names("journal-");
    let [.., before, last] = &segments[..] else { panic!("{segments:?}") };
    assert!(last > before);
    let mut bytes = fs::read(before).unwrap();
    let first = u64::from_le_bytes(bytes[48..56].try_into().unwrap());
    bytes[50] ^= 1;
    fs::write(before, bytes).unwrap();
    let Err(StoreError::Damaged(damage)) = place.open() else { panic!("it opens") };
    assert_eq!(
        (damage.file.as_str(), damage.offset),
        (before.file_name().unwrap().to_str().unwrap(), 0)
    );
    assert_eq!(damage.batch, first);
}

#[test]
fn a_checkpoint_that_rotted_is_no_beginning_and_deletes_nothing() {
    let options = StoreOptions { history: Some(Duration::ZERO), ..OPTIONS };
    let place = Place::new();
    let (mut ledger, _) = place.open_with(options).unwrap();
    fill(&mut ledger, 100);
    drop(ledger);
    // Its head says that replay begins in a segment far ahead.
    let newest = place.names("checkpoint-").pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes[35] ^= 0x10;
    fs::write(&newest, bytes).unwrap();
    let (mut ledger, opened) = place.open_with(options).unwrap();
    assert_eq!(opened.notes.len(), 1);
    ledger.commit(time(1_000), &[Operation::Open(identity(3))]);
    ledger.checkpoint();
    settle(&mut ledger);
    let expected = picture(&ledger);
    drop(ledger);
    let (ledger, _) = place.open_with(options).unwrap();
    assert_eq!(picture(&ledger), expected);
}

#[test]
fn history_is_dropped_by_its_age_and_totals_stay() {
    let place = Place::new();
    let options = StoreOptions { history: Some(Duration::from_secs(20)), ..OPTIONS };
    let (mut ledger, _) = place.open_with(options).unwrap();
    fill(&mut ledger, 200);
    let expected = picture(&ledger);
    drop(ledger);
    assert!(place.names("journal-0000000001").is_empty(), "{:?}", place.names(""));
    let verified = audit::verify(&place.look(), &[], &mut |_, _| {}).unwrap();
    assert!(verified.first > 1);
    assert_eq!(verified.totals, expected.1);
    let (ledger, opened) = place.open_with(options).unwrap();
    assert!(opened.checkpoint > 0);
    assert_eq!(picture(&ledger), expected);
}

#[test]
fn every_receipt_from_the_first_batch_on_holds_where_history_is_dropped() {
    let place = Place::new();
    let options = StoreOptions { history: Some(Duration::from_secs(20)), ..OPTIONS };
    let (mut ledger, _) = place.open_with(options).unwrap();
    let openings: Vec<_> = (0..12).map(|number| open(&mut ledger, identity(number))).collect();
    let mut receipts = Vec::new();
    for round in 0..100 {
        for opening in &openings {
            ledger.commit(time(round), &[add(opening, round + 1, &[7])]);
            // Of one that the checkpoint under way may have taken up later.
            receipts.extend(View::read(&place.look()).unwrap().statement(&identity(11)));
            settle_once(&mut ledger);
        }
    }
    drop(ledger);
    let first = audit::verify(&place.look(), &[], &mut |_, _| {}).unwrap().first;
    receipts.retain(|receipt| receipt.batch >= first);
    assert!(first > 1 && receipts.len() > 12, "{first}");
    audit::verify(&place.look(), &receipts, &mut |_, _| {}).unwrap();
}

#[test]
fn the_history_holds_every_value_and_its_number() {
    let place = Place::new();
    let (mut ledger, _) = place.open().unwrap();
    fill(&mut ledger, 30);
    drop(ledger);
    let mut sums = std::collections::BTreeMap::new();
    let history = audit::history::<()>(&place.look(), &mut |_, _| {}, &mut |counted| {
        let (seq, sum) = sums.entry(counted.account).or_insert((0, 0));
        (*seq, *sum) = (*seq + 1, *sum + counted.amount.get());
        assert_eq!((counted.seq.get(), counted.sum.get()), (*seq, *sum));
        Ok(())
    });
    assert_eq!(history.unwrap(), Ok(()));
    assert_eq!(sums.len(), 13);
    let stopped = audit::history(&place.look(), &mut |_, _| {}, &mut |_| Err("enough"));
    assert_eq!(stopped.unwrap(), Err("enough"));
}

#[test]
fn a_receipt_holds_as_long_as_the_history_and_a_false_one_does_not() {
    let place = Place::new();
    let (mut ledger, _) = place.open().unwrap();
    fill(&mut ledger, 30);
    drop(ledger);
    let look = place.look();
    let now = View::read(&look).unwrap().statement(&identity(3)).unwrap();
    let then = audit::statement_at(&look, &identity(3), Sequence::new(17)).unwrap().unwrap();
    let checkpoint = audit::checkpoint_statement(&look).unwrap().unwrap();
    assert!(matches!(checkpoint.subject, Subject::Checkpoint { accounts: 13, .. }));
    assert_eq!((now.count, then.count), (30, 17));
    fill(&mut place.open().unwrap().0, 30);
    let all = [now, then, checkpoint];
    audit::verify(&look, &all, &mut |_, _| {}).unwrap();
    for (i, statement) in all.iter().enumerate() {
        assert_eq!(Statement::parse(&statement.to_string()).as_ref(), Ok(statement));
        for change in [
            |false_one: &mut Statement| false_one.sum = Total::new(false_one.sum.get() + 1),
            |false_one: &mut Statement| false_one.count += 1,
            |false_one: &mut Statement| false_one.batch += 1,
            |false_one: &mut Statement| false_one.chain.0[31] ^= 1,
            |false_one: &mut Statement| false_one.time.0 += 1,
        ] {
            let mut false_ones = all.clone();
            change(&mut false_ones[i]);
            let error = audit::verify(&look, &false_ones, &mut |_, _| {}).unwrap_err();
            assert!(
                matches!(error, audit::VerifyError::Receipt { index, .. } if index == i),
                "{error}"
            );
        }
    }
    assert!(audit::statement_at(&look, &identity(3), Sequence::new(61)).unwrap().is_none());
}

#[test]
fn a_backup_is_a_ledger_and_a_restore_gives_no_session_number_twice() {
    let (place, copy) = (Place::new(), Place::new());
    let (mut ledger, _) = place.open().unwrap();
    fill(&mut ledger, 50);
    let expected = picture(&ledger);
    let before = open(&mut ledger, identity(5)).session;
    // Beside the process that writes.
    let batch = audit::backup(&place.look(), &*copy.disk(), &mut |_, _| {}).unwrap();
    assert_eq!(batch, ledger.head().unwrap().0);
    let again = audit::backup(&place.look(), &*copy.disk(), &mut |_, _| {});
    assert!(matches!(again, Err(StoreError::Taken)));
    audit::verify(&copy.look(), &[], &mut |_, _| {}).unwrap();
    let (mut restored, _) = copy.open().unwrap();
    assert_eq!(restored.totals(), expected.1);
    restored.raise(time(1000)).unwrap();
    assert_eq!(open(&mut restored, identity(5)).session.get(), before.get() + (1 << 32) + 1);
    assert_eq!(
        open(&mut restored, identity(77)).session.get(),
        (1 << 32) + 1,
        "one that the backup did not know"
    );
    let classic = AccountId::Classic(restored.classic_next());
    assert_eq!(
        open(&mut restored, classic).session.get(),
        1,
        "the only one of a classic account, as its server takes it to be"
    );
    drop(restored);
    let (mut restored, _) = copy.open().unwrap();
    assert_eq!(open(&mut restored, identity(5)).session.get(), before.get() + (1 << 32) + 2);
    // And from a checkpoint made since.
    fill(&mut restored, 50);
    drop(restored);
    let (mut restored, opened) = copy.open().unwrap();
    assert!(opened.checkpoint > batch, "{opened:?}");
    let late = open(&mut restored, identity(78)).session.get();
    assert_eq!(late, (1 << 32) + 1, "one that neither the backup nor the checkpoint knew");
    audit::verify(&copy.look(), &[], &mut |_, _| {}).unwrap();
}

#[test]
fn a_folder_takes_the_place_of_an_empty_one_and_stays_locked() {
    let (place, beside) = (Place::new(), Place::new());
    fill(&mut beside.open().unwrap().0, 3);
    let empty = Folder::lock(&place.0).unwrap().unwrap();
    let full = Folder::lock(&beside.0).unwrap().unwrap();
    assert_eq!((empty.is_empty().unwrap(), full.is_empty().unwrap()), (true, false));
    full.replace(&empty).unwrap();
    assert!(!beside.0.exists());
    assert!(
        Folder::lock(&place.0).unwrap().is_none(),
        "the lock that was held is the one that stands there"
    );
    drop(empty);
    assert!(!place.open().unwrap().1.is_new);

    // Into one that is not empty any more it does not go.
    let other = Place::new();
    let full = Folder::lock(&place.0).unwrap().unwrap();
    let taken = Folder::lock(&other.0).unwrap().unwrap();
    fs::write(other.0.join("file"), "").unwrap();
    assert!(full.replace(&taken).is_err());
    assert!(other.0.join("file").exists() && !place.names("journal-").is_empty());
}

#[test]
fn the_longest_submissions_fit_their_frames() {
    let place = Place::new();
    let options = StoreOptions::default();
    let (mut ledger, _) = place.open_with(options).unwrap();
    let classic = open(&mut ledger, AccountId::Classic(0));
    assert_eq!(classic.account, AccountNumber::Classic(0));
    let amounts: Amounts =
        std::iter::repeat_n(Amount::from(u64::MAX), options.values_max).collect();
    let batch: Vec<_> = (0..60_u64)
        .map(|i| Submission {
            account: classic.account,
            session: classic.session,
            first_seq: Sequence::new(i * options.values_max as u64 + 1),
            amounts: amounts.clone(),
        })
        .map(Operation::Add)
        .collect();
    let outcomes = ledger.commit(time(1), &batch);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, OperationOutcome::Decided(Ok(_)))));
    assert_eq!(ledger.health(), Health::Good);
    let expected = ledger.totals();
    drop(ledger);
    assert!(place.names("journal-").len() > 1);
    assert_eq!(place.open_with(options).unwrap().0.totals(), expected);
}

/// A folder whose disk is full, or fails, when it is told to.
#[derive(Debug)]
struct Moody {
    folder: Folder,
    mood: Arc<Mood>,
}

#[derive(Debug, Default)]
struct Mood {
    full: AtomicBool,
    sync_fails: AtomicBool,
    /// Bytes of the files that were announced, and of those that were created afterwards.
    announced: Mutex<Vec<u64>>,
    created: Mutex<Vec<u64>>,
}

#[derive(Debug)]
struct MoodyFile {
    file: Box<dyn DiskFile>,
    mood: Arc<Mood>,
}

impl Moody {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(MoodyFile { file, mood: Arc::clone(&self.mood) })
    }
}

impl Disk for Moody {
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.folder.open(name).map(|file| self.file(file))
    }
    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.folder.claim(name).map(|file| self.file(file))
    }
    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        if self.mood.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.mood.created.lock().unwrap().push(zeros);
        self.folder.create(name, zeros).map(|file| self.file(file))
    }
    fn stands(&self) -> io::Result<()> {
        self.folder.stands()
    }
    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.publish(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
    fn prepare(&self, _: &str, zeros: u64) {
        self.mood.announced.lock().unwrap().push(zeros);
    }
}

impl DiskFile for MoodyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, bytes)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        if self.mood.sync_fails.load(Ordering::Relaxed) {
            Err(io::Error::other("EIO"))
        } else {
            self.file.sync()
        }
    }
}

fn moody(place: &Place) -> (Ledger, Arc<Mood>) {
    let mood = Arc::new(Mood::default());
    let disk = Moody { folder: Folder::lock(&place.0).unwrap().unwrap(), mood: Arc::clone(&mood) };
    (Ledger::open(Arc::new(disk), OPTIONS, [7; 16]).unwrap().0, mood)
}

/// Each segment is larger than the one before, and is announced with its own size: a file of
/// another size would be made anew, while values wait.
#[test]
fn the_next_segment_is_announced_as_it_will_be_created() {
    let place = Place::new();
    let mood = Arc::new(Mood::default());
    let disk = Moody { folder: Folder::lock(&place.0).unwrap().unwrap(), mood: Arc::clone(&mood) };
    let options = StoreOptions { segment_bytes: 256 * 1024, checkpoint_bytes: u64::MAX, ..OPTIONS };
    let mut ledger = Ledger::open(Arc::new(disk), options, [7; 16]).unwrap().0;
    let opening = open(&mut ledger, identity(1));
    for seq in 1..600 {
        ledger.commit(time(1), &[add(&opening, seq, &[1])]);
    }
    let created = mood.created.lock().unwrap().clone();
    let mut announced = mood.announced.lock().unwrap().clone();
    announced.dedup();
    assert!(created.len() > 2 && created.is_sorted_by(|one, next| one < next), "{created:?}");
    // The first is there before there is anything to announce; the last may be still to come.
    assert!(announced.starts_with(&created[1..]), "{announced:?} {created:?}");
}

/// P-33.
#[test]
fn a_full_disk_refuses_and_takes_again_when_there_is_room() {
    let place = Place::new();
    let (mut ledger, mood) = moody(&place);
    let opening = open(&mut ledger, identity(1));
    mood.full.store(true, Ordering::Relaxed);
    let mut seq = 1;
    let refused = loop {
        match ledger.commit(time(1), &[add(&opening, seq, &[1])])[0] {
            OperationOutcome::Decided(Ok(_)) => seq += 1,
            outcome @ (OperationOutcome::Opened(_)
            | OperationOutcome::Decided(_)
            | OperationOutcome::Ended(_)) => {
                break outcome;
            }
        }
        assert!(seq < 10_000, "the segment has an end");
    };
    assert_eq!(refused, OperationOutcome::Decided(Err(Refusal::Unavailable)));
    assert_eq!(ledger.health(), Health::Full);
    // What is counted can be read; and nothing is half there.
    assert_eq!(ledger.standing(&identity(1)).unwrap().last_seq, Sequence::new(seq - 1));
    assert_eq!(
        ledger.commit(time(1), &[Operation::Open(identity(2))])[0],
        OperationOutcome::Opened(Err(Refusal::Unavailable))
    );
    assert!(ledger.account(&identity(2)).is_none());
    mood.full.store(false, Ordering::Relaxed);
    assert!(matches!(
        ledger.commit(time(2), &[add(&opening, seq, &[1])])[0],
        OperationOutcome::Decided(Ok(_))
    ));
    assert_eq!(ledger.health(), Health::Good);
    drop(ledger);
    assert_eq!(place.open().unwrap().0.standing(&identity(1)).unwrap().sum, Total::new(seq.into()));
    audit::verify(&place.look(), &[], &mut |_, _| {}).unwrap();
}

/// Opens so many accounts at once; the first of them.
fn open_many(ledger: &mut Ledger, count: u8) -> Opening {
    let opens: Vec<_> = (0..count).map(|number| Operation::Open(identity(number))).collect();
    match ledger.commit(time(0), &opens)[0] {
        OperationOutcome::Opened(Ok(opening)) => opening,
        outcome @ (OperationOutcome::Opened(_)
        | OperationOutcome::Decided(_)
        | OperationOutcome::Ended(_)) => {
            panic!("{outcome:?}")
        }
    }
}

#[test]
fn a_checkpoint_under_way_ends_on_a_full_disk_where_nothing_is_counted() {
    let place = Place::new();
    let (mut ledger, mood) = moody(&place);
    let opening = open_many(&mut ledger, 250);
    assert!(!place.names("checkpoint.new").is_empty());
    mood.full.store(true, Ordering::Relaxed);
    let mut seqs = 1..10_000;
    let refused = OperationOutcome::Decided(Err(Refusal::Unavailable));
    assert!(seqs.any(|seq| ledger.commit(time(1), &[add(&opening, seq, &[1])])[0] == refused));
    assert!(ledger.poll_work().is_none(), "it was over before the disk was full");
    let ended = (0..250).find_map(|_| {
        assert_eq!(ledger.commit(time(1), &[add(&opening, seqs.start, &[1])])[0], refused);
        ledger.poll_work()
    });
    ledger.handle_done(ended.unwrap().run()).unwrap();
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_told_and_tried_again_before_long() {
    let place = Place::new();
    let (mut ledger, mood) = moody(&place);
    mood.full.store(true, Ordering::Relaxed);
    let opening = open(&mut ledger, identity(1));
    ledger.checkpoint();
    assert_eq!(ledger.poll_fault().unwrap().kind(), io::ErrorKind::StorageFull);
    mood.full.store(false, Ordering::Relaxed);
    let commit = |ledger: &mut Ledger, seq| {
        ledger.commit(time(1), &[add(&opening, seq, &[1])]);
        assert!(ledger.poll_fault().is_none());
        !place.names("checkpoint.new").is_empty() || ledger.poll_work().is_some()
    };
    assert!(!commit(&mut ledger, 1), "at once");
    assert!(
        (2..20).any(|seq| commit(&mut ledger, seq)),
        "an eighth of 4 KiB is ten commits at most"
    );
}

/// P-33.
#[test]
fn after_a_failed_sync_nothing_is_written_and_nothing_claimed_by_this_process() {
    let place = Place::new();
    let (mut ledger, mood) = moody(&place);
    let opening = open(&mut ledger, identity(1));
    ledger.commit(time(1), &[add(&opening, 1, &[42])]);
    mood.sync_fails.store(true, Ordering::Relaxed);
    let unavailable = OperationOutcome::Decided(Err(Refusal::Unavailable));
    assert_eq!(ledger.commit(time(2), &[add(&opening, 2, &[50])])[0], unavailable);
    // It would succeed now, and prove nothing.
    mood.sync_fails.store(false, Ordering::Relaxed);
    assert_eq!(ledger.commit(time(3), &[add(&opening, 2, &[50])])[0], unavailable);
    assert!(matches!(ledger.health(), Health::Failed(_)));
    assert!(ledger.standing(&identity(1)).is_none());
    drop(ledger);
    // Whether the second was written is the disk's to say; the first was acknowledged.
    let standing = place.open().unwrap().0.standing(&identity(1)).unwrap();
    assert!(
        [(1, 42), (2, 92)].contains(&(standing.last_seq.get(), standing.sum.get())),
        "{standing:?}"
    );
}

#[test]
fn a_ledger_whose_disk_fails_after_a_checkpoint_was_named_refuses_what_comes() {
    let place = Place::new();
    let (mut ledger, mood) = moody(&place);
    let opening = open(&mut ledger, identity(1));
    ledger.checkpoint();
    let work = ledger.poll_work().unwrap();
    ledger.handle_done(work.run()).unwrap();
    mood.sync_fails.store(true, Ordering::Relaxed);
    assert!(!ledger.rest());
    assert!(matches!(ledger.health(), Health::Failed(_)));
    let refused = OperationOutcome::Decided(Err(Refusal::Unavailable));
    assert_eq!(ledger.commit(time(1), &[add(&opening, 1, &[1])]), [refused]);
}

#[test]
fn what_may_not_be_durable_is_neither_stated_nor_copied() {
    let place = Place::new();
    fill(&mut place.open().unwrap().0, 3);
    let mood = Arc::new(Mood::default());
    let disk = Moody { folder: place.look(), mood: Arc::clone(&mood) };
    assert!(View::read(&disk).unwrap().statement(&identity(1)).is_some());
    mood.sync_fails.store(true, Ordering::Relaxed);
    assert!(matches!(View::read(&disk), Err(StoreError::Disk { .. })));
    assert!(matches!(
        audit::statement_at(&disk, &identity(1), Sequence::new(1)),
        Err(StoreError::Disk { .. })
    ));
    let copy = Place::new();
    assert!(matches!(
        audit::backup(&disk, &*copy.disk(), &mut |_, _| {}),
        Err(StoreError::Disk { .. })
    ));
    assert!(copy.names("journal-").is_empty());
}
