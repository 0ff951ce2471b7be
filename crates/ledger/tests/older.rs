//! Ledgers of the release that named no checkpoint.

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

use ddes_ledger::audit::{Footing, VerifyError};
use ddes_ledger::store::Chain;
use ddes_ledger::{Statement, Subject};
use ddes_wire::Total;
use place::{
    ALICE, BOB, OLD, OLD_TRIMMED, OPTIONS, Place, TRIMMING, damage, forge, go_on, ledger, seal,
    sum, time,
};

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
        seal(&mut bytes);
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
    // The other checkpoints agree with what follows the base, which itself nothing proves.
    let named = opened.notes.iter().filter(|note| note.why.ends_with("is named now"));
    let mut named: Vec<_> = named.map(|note| place.0.join(&note.file)).collect();
    named.sort();
    let others = &place.names("checkpoint-")[1..];
    assert!(!others.is_empty() && named == others, "{:?}", opened.notes);
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

/// The statement of a checkpoint, which has the time of one of the rounds.
fn receipt_of_old(place: &Place, file: &Path) -> Statement {
    let mut statements = (0..60).map(|secs| stated_of_old(file, secs));
    statements.find(|statement| place.verify(std::slice::from_ref(statement)).is_ok()).unwrap()
}

/// Its base cannot be proven; a receipt of it can: the one of then holds while it is as it was, and
/// no longer.
#[test]
fn of_an_older_ledger_an_edited_base_does_not_pass_a_receipt_of_it() {
    let place = Place::of_old(OLD_TRIMMED);
    let base = place.names("checkpoint-").remove(0);
    let receipt = receipt_of_old(&place, &base);
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

/// Nor does a receipt of a checkpoint after the base, with totals that agree and another digest.
#[test]
fn of_an_older_ledger_whose_beginning_was_deleted_a_receipt_of_another_file_does_not_hold() {
    let place = Place::of_old(OLD_TRIMMED);
    let newest = place.names("checkpoint-").pop().unwrap();
    let mut receipt = receipt_of_old(&place, &newest);
    let Subject::Checkpoint { digest, .. } = &mut receipt.subject else { panic!() };
    digest[0] ^= 1;
    let Err(VerifyError::Receipt { why, .. }) = place.verify(&[receipt]) else {
        panic!("it holds")
    };
    assert!(why.contains("digest"), "{why}");
}

/// Once a batch names the base, its file is held to that batch, also while every batch is in a
/// segment of the earlier release.
#[test]
fn an_older_ledger_that_was_brought_forward_does_not_pass_for_an_older_one() {
    let place = Place::of_old(OLD_TRIMMED);
    drop(place.open(TRIMMING).unwrap());
    assert!(matches!(place.verify(&[]).unwrap().footing, Footing::Named { .. }));
    for file in place.names("checkpoint-") {
        forge(&file, &[4000, -4000]);
    }
    damage(place.verify(&[]));
    damage(place.open(TRIMMING).map(drop));
}

/// This release made the next segment, and its process ended before the first batch: every batch
/// is still one of the earlier release.
#[test]
fn an_older_ledger_with_an_empty_segment_of_this_release_is_an_older_ledger() {
    const SEGMENT: u64 = 16 * 1024;
    let place = Place::of_old(OLD_TRIMMED);
    let verified = place.verify(&[]).unwrap();
    let newest = place.names("journal-").pop().unwrap();
    let before = fs::read(&newest).unwrap();
    let number = u64::from_le_bytes(before[24..32].try_into().unwrap()) + 1;
    let mut header = b"DdsJ".to_vec();
    header.extend(2_u32.to_le_bytes());
    header.extend(&before[8..24]);
    for field in [number, SEGMENT, 2048, verified.last + 1] {
        header.extend(field.to_le_bytes());
    }
    header.extend(verified.chain.0);
    header.extend(crc32fast::hash(&header).to_le_bytes());
    let mut bytes = vec![0; SEGMENT as usize];
    bytes[..header.len()].copy_from_slice(&header);
    for generation in 0..2 {
        let mut superblock = b"DdsS".to_vec();
        for field in [number, generation, verified.last] {
            superblock.extend(field.to_le_bytes());
        }
        superblock.push(0);
        superblock.extend(crc32fast::hash(&superblock).to_le_bytes());
        bytes[512 * (1 + generation as usize)..][..superblock.len()].copy_from_slice(&superblock);
    }
    fs::write(place.0.join(format!("journal-{number:010}")), bytes).unwrap();
    assert_eq!(place.verify(&[]).unwrap().footing, verified.footing);
    let (ledger, opened) = place.open(TRIMMING).unwrap();
    assert_eq!((opened.footing, ledger.totals()), (verified.footing, verified.totals));
}
