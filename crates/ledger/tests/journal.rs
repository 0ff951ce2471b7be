//! Journals that no ledger writes, each with checksums and chain as they have to be: what a batch
//! may say is looked at, not only whether it is whole. And the chain by its formula, computed here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and knows its numbers"
)]

#[allow(dead_code, reason = "the power cuts are another test's")]
mod strict;

use std::sync::Arc;

use ddes_ledger::store::{StoreError, StoreOptions};
use ddes_ledger::{
    AccountId, Ledger, Opening, Operation, OperationOutcome, Statement, Subject, Submission,
    Timestamp, audit,
};
use ddes_wire::{Amount, Sequence};
use sha2::{Digest, Sha256};
use strict::Strict;

const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes: 16 * 1024,
    frame_bytes: 1024,
    values_max: 16,
    checkpoint_bytes: u64::MAX,
    slice_accounts: 2,
    pause_accounts: 2,
    history: None,
};
const SEGMENT: &str = "journal-0000000001";
/// Where the frames of a segment begin, and the parts of one (docs/ledger.md).
const DATA: usize = 4096;
const FIELDS: usize = 24;
const HEADER: usize = FIELDS + 4 + 4 + 32;
const LEDGER: [u8; 16] = [7; 16];

fn time(secs: u64) -> Timestamp {
    Timestamp((1_800_000_000 + secs) * 1_000_000)
}

fn opened(ledger: &mut Ledger, now: u64) -> Opening {
    match ledger.commit(time(now), &[Operation::Open(AccountId::Identity([1; 32]))])[0] {
        OperationOutcome::Opened(Ok(opening)) => opening,
        outcome @ (OperationOutcome::Opened(_)
        | OperationOutcome::Decided(_)
        | OperationOutcome::Ended(_)) => {
            panic!("{outcome:?}")
        }
    }
}

/// A journal of an account: a session is opened, and each of `steps` is a batch: values, or another
/// session for none.
fn journal(steps: &[&[i64]]) -> Vec<u8> {
    let disk = Strict::default();
    let (mut ledger, _) = Ledger::open(Arc::new(disk.clone()), OPTIONS, LEDGER).unwrap();
    let (mut opening, mut next) = (opened(&mut ledger, 0), 1);
    for (step, now) in steps.iter().zip(1..) {
        if step.is_empty() {
            opening = opened(&mut ledger, now);
            continue;
        }
        let amounts = step.iter().map(|value| Amount::from(*value)).collect();
        let Opening { account, session, .. } = opening;
        let submission = Submission { account, session, first_seq: Sequence::new(next), amounts };
        assert!(matches!(
            ledger.commit(time(now), &[Operation::Add(submission)])[0],
            OperationOutcome::Decided(Ok(_))
        ));
        next += step.len() as u64;
    }
    disk.bytes(SEGMENT).unwrap()
}

/// The frames of a segment: offset, fields and payload of each.
fn frames(segment: &[u8]) -> Vec<(usize, [u8; FIELDS], Vec<u8>)> {
    let tag = &segment[DATA..DATA + 4];
    let (mut at, mut found) = (DATA, Vec::new());
    while segment.get(at..at + 4) == Some(tag) {
        let fields: [u8; FIELDS] = segment[at..at + FIELDS].try_into().unwrap();
        let length = u32::from_le_bytes(fields[4..8].try_into().unwrap()) as usize;
        found.push((at, fields, segment[at + HEADER..at + HEADER + length].to_vec()));
        at += HEADER + length;
    }
    found
}

/// SHA-256 of the chain before, the fields and the payload.
fn chain(before: [u8; 32], fields: &[u8], payload: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(before).chain_update(fields).chain_update(payload).finalize().into()
}

fn genesis() -> [u8; 32] {
    Sha256::new().chain_update(b"D-DDES/2 ledger").chain_update(LEDGER).finalize().into()
}

/// The segment with `payloads` in its frames, sealed as the ledger would have.
fn forged(segment: &[u8], payloads: &[&[u8]]) -> Strict {
    let (mut bytes, mut at, mut before) = (segment.to_vec(), DATA, genesis());
    let old = frames(segment);
    bytes[DATA..].fill(0);
    for (payload, (_, fields, _)) in payloads.iter().zip(&old) {
        let mut fields = *fields;
        fields[4..8].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        before = chain(before, &fields, payload);
        let sums = [crc32fast::hash(&fields).to_le_bytes(), crc32fast::hash(payload).to_le_bytes()];
        let frame = [&fields[..], &sums[0], &sums[1], &before, payload].concat();
        bytes[at..at + frame.len()].copy_from_slice(&frame);
        at += frame.len();
    }
    Strict::with(SEGMENT, &bytes)
}

fn open(disk: &Strict) -> Result<Ledger, StoreError> {
    Ledger::open(Arc::new(disk.clone()), OPTIONS, LEDGER).map(|(ledger, _)| ledger)
}

#[test]
fn the_chain_is_that_of_its_formula_over_time_and_payload() {
    let segment = journal(&[&[5], &[7, -2], &[]]);
    let mut before = genesis();
    let frames = frames(&segment);
    assert_eq!(frames.len(), 4);
    for (number, (at, fields, payload)) in frames.iter().enumerate() {
        assert_eq!(fields[8..16], (number as u64 + 1).to_le_bytes());
        assert_eq!(fields[16..], time(number as u64).0.to_le_bytes(), "batch {number}");
        before = chain(before, fields, payload);
        assert_eq!(segment[at + 32..at + HEADER], before, "batch {number}");
    }
    let head = open(&Strict::with(SEGMENT, &segment)).unwrap().head().unwrap();
    assert_eq!((head.0, head.1.0), (4, before));
}

/// A frame that may be torn has at most the bytes that the segment's header states.
#[test]
fn classic_accounts_that_were_left_under_way_end_in_frames_of_the_usual_size() {
    let disk = Strict::default();
    let (mut ledger, _) = Ledger::open(Arc::new(disk.clone()), OPTIONS, LEDGER).unwrap();
    for number in 0..40 {
        ledger.commit(time(0), &[Operation::Open(AccountId::Classic(number))]);
    }
    drop(ledger);
    disk.kill();
    let (ledger, opened) = Ledger::open(Arc::new(disk.clone()), OPTIONS, LEDGER).unwrap();
    assert_eq!((opened.ended.len(), ledger.accounts().count()), (40, 0));
    // 16 records of 64 bytes are in 1,024 bytes, whatever these take.
    assert_eq!(frames(&disk.bytes(SEGMENT).unwrap()).len(), 40 + 3);
}

/// What is forged is as good as what was written, where it says the same.
#[test]
fn a_journal_sealed_anew_opens() {
    let segment = journal(&[&[5], &[7]]);
    let frames = frames(&segment);
    let payloads: Vec<&[u8]> = frames.iter().map(|(_, _, payload)| &**payload).collect();
    let ledger = open(&forged(&segment, &payloads)).unwrap();
    assert_eq!(ledger.totals().sum.get(), 12);
}

/// `payload` in the place of the second batch's (`at` is 1) or another, of journals with the same
/// first ones.
fn refused(steps: &[&[i64]], at: usize, other: &[&[i64]], of: usize, says: &str) {
    let segment = journal(steps);
    let own = frames(&segment);
    let foreign = frames(&journal(other));
    let mut payloads: Vec<&[u8]> = own.iter().map(|(_, _, payload)| &**payload).collect();
    payloads[at] = &foreign[of].2;
    let disk = forged(&segment, &payloads);
    let error = open(&disk).map(|ledger| ledger.totals()).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
    let error = audit::verify(&disk, &[], &mut |_, _| {}).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn values_out_of_order_or_of_an_older_session_are_no_history() {
    // The first value a second time, the third in the place of the second, and one of a session
    // that was fenced off.
    refused(&[&[5], &[7]], 2, &[&[5], &[7]], 1, "out of order");
    refused(&[&[5], &[7]], 2, &[&[5], &[7], &[9]], 3, "out of order");
    refused(&[&[], &[5]], 2, &[&[5]], 1, "out of order");
}

#[test]
fn a_sum_that_is_not_that_of_the_values_is_no_history() {
    refused(&[&[5], &[7]], 2, &[&[6], &[7]], 2, "is not that of its values");
}

#[test]
fn a_session_that_does_not_follow_the_one_before_is_no_history() {
    refused(&[&[], &[]], 1, &[&[], &[]], 2, "does not follow the one before");
    refused(&[&[], &[]], 2, &[&[], &[]], 1, "does not follow the one before");
}

/// Behind the place where a torn batch can end nothing was ever written.
#[test]
fn anything_behind_the_longest_torn_batch_is_damage() {
    let segment = journal(&[&[5]]);
    let (at, _, payload) = frames(&segment).pop().unwrap();
    let end = at + HEADER + payload.len();
    for offset in [end + 3 * 1024, segment.len() - 1] {
        let mut bytes = segment.clone();
        bytes[offset] = 1;
        let opened = open(&Strict::with(SEGMENT, &bytes));
        assert!(matches!(opened, Err(StoreError::Damaged(_))), "{offset}: {opened:?}");
    }
    // Right behind the end it is a batch that a power cut tore.
    let mut bytes = segment.clone();
    bytes[end + 1] = 1;
    let disk = Strict::with(SEGMENT, &bytes);
    for was_torn in [true, false] {
        let (ledger, opened) = Ledger::open(Arc::new(disk.clone()), OPTIONS, LEDGER).unwrap();
        assert_eq!(
            (ledger.totals().count, opened.was_torn),
            (1, was_torn),
            "the first opening clears it away"
        );
    }
}

#[test]
fn a_statement_has_one_text() {
    let digits = "0123456789abcdef".repeat(4);
    let text = format!(
        "D-DDES/2 receipt\nledger: {digits}\naccount: {digits}\ncount: 7\nsum: -7\nbatch: 3\nchain: {digits}\ntime: 9\n"
    );
    assert_eq!(Statement::parse(&text).unwrap().to_string(), text);
    // Of an account in a database.
    let shared = text.replace("batch: 3", "entry: 3");
    let statement = Statement::parse(&shared).unwrap();
    assert!(matches!(statement.subject, Subject::Shared(_)) && statement.batch == 3);
    assert_eq!(statement.to_string(), shared);
    let checkpoint =
        text.replace("account: ", "checkpoint: ").replace("count", "accounts: 2\ncount");
    assert!(Statement::parse(&checkpoint).is_ok());
    assert!(Statement::parse(&checkpoint.replace("batch: 3", "entry: 3")).is_err());
    for (from, to) in [
        ("count: 7", "count: 07"),
        ("count: 7", "count: +7"),
        ("sum: -7", "sum: -07"),
        ("batch: 3", "batch: 003"),
        (&*digits, &*digits.to_uppercase()),
        ("time: 9\n", "time: 9"),
        ("time: 9\n", "time: 9\n\n"),
        ("time: 9\n", "time: 9\nnote: x\n"),
        ("receipt\n", "receipt \n"),
        ("receipt\n", "receipt\r\n"),
    ] {
        assert!(Statement::parse(&text.replacen(from, to, 1)).is_err(), "{from:?} {to:?}");
    }
}

#[test]
fn an_account_is_a_classic_number_or_64_digits() {
    let digits = "0123456789abcdef".repeat(4);
    assert_eq!(digits.parse::<AccountId>().unwrap().to_string(), digits);
    assert_eq!("classic/7".parse::<AccountId>(), Ok(AccountId::Classic(7)));
    for text in [
        &digits[1..],
        &digits[2..],
        &format!("{digits}0"),
        &format!("{digits}00"),
        &digits.replace("f", "g"),
        &digits.replace("01", "+1"),
        "classic/",
        "classic/-1",
        "",
    ] {
        assert!(text.parse::<AccountId>().is_err(), "{text}");
    }
}
