//! Who can write the folder, and has no key: checkpoints that were edited, files that are gone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and knows its numbers"
)]

#[allow(dead_code, reason = "each test uses a part of it")]
mod place;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ddes_ledger::audit::{self, Footing, VerifyError, View};
use ddes_ledger::store::{self, Folder, StoreOptions};
use ddes_ledger::{AccountId, Ledger, Statement, Subject};
use place::{
    ALICE, BOB, OPTIONS, Place, TRIMMING, add, damage, fill, forge, go_on, ledger, open, seal,
    settle, sum, unnamed,
};
use sha2::{Digest, Sha256};

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

/// The batch in a checkpoint's name.
fn number(checkpoint: &Path) -> u64 {
    let name = checkpoint.file_name().unwrap().to_str().unwrap();
    name.strip_prefix("checkpoint-").unwrap().parse().unwrap()
}

#[test]
fn a_checkpoint_that_a_crash_left_unnamed_is_held_against_the_journal_and_named() {
    let (place, newest) = unnamed();
    place.verify(&[]).unwrap();
    let (ledger, opened) = place.open(OPTIONS).unwrap();
    // It is read from the one before, which is named.
    assert!((1..number(&newest)).contains(&opened.checkpoint), "{}", opened.checkpoint);
    assert!(
        opened.notes.iter().any(|note| note.why.ends_with("is named now")),
        "{:?}",
        opened.notes
    );
    drop(ledger);
    assert_eq!(place.open(OPTIONS).unwrap().1.checkpoint, number(&newest));
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

/// A file that is no checkpoint any longer does not stay for ever.
#[test]
fn a_checkpoint_that_cannot_be_read_goes_with_the_next_one() {
    let place = ledger(OPTIONS);
    let newest = place.names("checkpoint-").pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes[0] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let (mut ledger, opened) = place.open(OPTIONS).unwrap();
    assert!(newest.exists() && opened.checkpoint > 0);
    ledger.checkpoint();
    settle(&mut ledger);
    assert!(!newest.exists());
    drop(ledger);
    assert_eq!(place.verify(&[]).unwrap().checkpoints, 2);
}

/// Of a checkpoint that no batch names, each field of the head is compared, its time too: the
/// ledger goes on from there, and a batch of its own has that time.
#[test]
fn a_checkpoint_that_no_batch_names_is_not_believed_with_another_time() {
    const TIME: usize = 4 + 4 + 16;
    let (place, newest) = unnamed();
    let mut bytes = fs::read(&newest).unwrap();
    bytes[TIME] ^= 1;
    seal(&mut bytes);
    fs::write(&newest, bytes).unwrap();
    assert!(damage(place.verify(&[])).file.starts_with("checkpoint-"));
    let (_, opened) = place.open(OPTIONS).unwrap();
    assert!(
        opened.notes.iter().any(|note| note.why.ends_with("was removed")),
        "{:?}",
        opened.notes
    );
    assert!(!newest.exists());
}

/// The chain in a segment's header is where a reader begins once the segments before it are
/// deleted.
#[test]
fn a_segment_whose_header_names_another_history_is_damage() {
    const CHAIN: usize = 4 + 4 + 16 + 4 * 8;
    let place = ledger(OPTIONS);
    let second = &place.names("journal-")[1];
    let mut bytes = fs::read(second).unwrap();
    bytes[CHAIN] ^= 1;
    let sum = crc32fast::hash(&bytes[..CHAIN + 32]);
    bytes[CHAIN + 32..CHAIN + 36].copy_from_slice(&sum.to_le_bytes());
    fs::write(second, bytes).unwrap();
    // The first segment says that another one follows.
    let damage = damage(place.verify(&[]));
    assert!(
        damage.file == "journal-0000000001"
            && damage.why.ends_with("the next segment begins later"),
        "{damage}"
    );
}

/// What a crash or a careless hand left of a ledger is one too: nothing new begins in its place.
#[test]
fn a_folder_with_a_segment_or_a_checkpoint_holds_a_ledger() {
    let place = Place::new();
    let holds = || store::holds_ledger(&place.look()).unwrap();
    assert!(!holds());
    for name in ["lock", "spare", "checkpoint.new"] {
        fs::write(place.0.join(name), b"").unwrap();
        assert!(!holds(), "{name}");
    }
    for name in ["journal-0000000002", "checkpoint-00000000000000000007"] {
        fs::write(place.0.join(name), b"").unwrap();
        assert!(holds(), "{name}");
        fs::remove_file(place.0.join(name)).unwrap();
    }
}

/// The process ended between the next segment's name and the seal of the one before. The seal goes
/// where the older superblock is: if its write is torn, the newest one still holds.
#[test]
fn a_segment_that_a_crash_left_unsealed_is_sealed_at_the_next_opening() {
    const SECTOR: usize = 512;
    let place = ledger(StoreOptions { checkpoint_bytes: u64::MAX, ..OPTIONS });
    let [.., before, _] = &place.names("journal-")[..] else { panic!() };
    let mut bytes = fs::read(before).unwrap();
    // A superblock: the magic, then number, generation and durable batch, then whether it is
    // sealed, then the checksum.
    let generation = |bytes: &[u8], slot: usize| {
        u64::from_le_bytes(bytes[SECTOR * slot + 12..][..8].try_into().unwrap())
    };
    let is_sealed = |bytes: &[u8], slot: usize| bytes[SECTOR * slot + 28] == 1;
    let (newest, older) =
        if generation(&bytes, 1) > generation(&bytes, 2) { (1, 2) } else { (2, 1) };
    assert!(is_sealed(&bytes, newest) && !is_sealed(&bytes, older));
    let superblock = &mut bytes[SECTOR * newest..][..33];
    superblock[28] = 0;
    let sum = crc32fast::hash(&superblock[..29]);
    superblock[29..].copy_from_slice(&sum.to_le_bytes());
    fs::write(before, &bytes).unwrap();

    let (mut ledger, _) = place.open(OPTIONS).unwrap();
    let sealed = fs::read(before).unwrap();
    assert!(is_sealed(&sealed, older) && !is_sealed(&sealed, newest));
    assert_eq!(generation(&sealed, older), generation(&bytes, newest) + 1);
    // Unsealed, it would be damage once two others follow it.
    let segments = place.names("journal-").len();
    go_on(&mut ledger, 100..240);
    assert!(place.names("journal-").len() > segments + 1);
    drop(ledger);
    place.verify(&[]).unwrap();
    place.open(OPTIONS).unwrap();
}

/// The journal begins at a checkpoint that is as old as the history that is kept. Older ones go
/// with their segments, and those after it are an eighth of that time apart.
#[test]
fn checkpoints_go_with_the_history_that_they_begin() {
    let place = ledger(TRIMMING);
    let first = place.names("journal-").remove(0);
    let first = first.file_name().unwrap().to_str().unwrap().strip_prefix("journal-").unwrap();
    let first: u64 = first.parse().unwrap();
    let kept: Vec<_> = place
        .names("checkpoint-")
        .iter()
        .map(|file| {
            let bytes = fs::read(file).unwrap();
            let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            // Its time, in microseconds, and the segment where it starts.
            (number(24), number(32))
        })
        .collect();
    assert!(first > 1 && kept.len() > 2, "{first} {kept:?}");
    assert!(kept.iter().all(|(_, segment)| *segment >= first), "{first} {kept:?}");
    // But the newest two, which are kept whatever their distance.
    for pair in kept[..kept.len() - 2].windows(2) {
        assert!(pair[1].0 - pair[0].0 >= 20_000_000 / 8, "{kept:?}");
    }
}
