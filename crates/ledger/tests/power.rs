//! The power goes after every single call of the disk, and of what was not synced every part is
//! left or lost in turn: whatever was acknowledged is there, the ledger is whole, and it goes on
//! (docs/ledger.md has the table).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    reason = "a test fails by panicking, and knows its numbers"
)]

#[allow(dead_code, reason = "whole files are another test's")]
mod strict;

use std::collections::BTreeMap;
use std::sync::Arc;

use ddes_ledger::audit;
use ddes_ledger::store::{StoreError, StoreOptions};
use ddes_ledger::{AccountId, Ledger, Opening, Operation, OperationOutcome, Submission, Timestamp};
use ddes_wire::{Amount, Sequence, Standing};
use strict::{ALL, Left, Stop, Strict};

/// Small enough that a few dozen batches go through several segments and checkpoints.
const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes: 8 * 1024,
    frame_bytes: 1024,
    values_max: 16,
    checkpoint_bytes: 2 * 1024,
    slice_accounts: 2,
    pause_accounts: 2,
    history: None,
};
const ACCOUNTS: u8 = 5;

/// What each account was told.
type Told = BTreeMap<AccountId, Standing>;

fn time(secs: u64) -> Timestamp {
    Timestamp((1_800_000_000 + secs) * 1_000_000)
}

fn identity(number: u8) -> AccountId {
    AccountId::Identity([number; 32])
}

/// The value with this number, in every account.
fn value(number: u64) -> i64 {
    (number as i64 * 7_919) % 1_000 - 300
}

fn sum(count: u64) -> i128 {
    (1..=count).map(|number| i128::from(value(number))).sum()
}

fn open(ledger: &mut Ledger, id: AccountId, told: &mut Told) -> Option<Opening> {
    match ledger.commit(time(0), &[Operation::Open(id)])[0] {
        OperationOutcome::Opened(Ok(opening)) => {
            told.insert(id, opening.proof.standing());
            Some(opening)
        }
        OperationOutcome::Opened(Err(_)) => None,
        OperationOutcome::Decided(_) | OperationOutcome::Ended(_) => {
            panic!("an opening is answered as one")
        }
    }
}

/// Values for all accounts at once: those that are next for each; whether they were acknowledged.
fn add(ledger: &mut Ledger, openings: &[Opening], count: u64, now: u64, told: &mut Told) -> bool {
    let of = |opening: &Opening, id: u8| {
        let last = told.get(&identity(id)).map_or(0, |standing| standing.last_seq.get());
        let amounts = (last + 1..=last + count).map(|number| Amount::from(value(number))).collect();
        let Opening { account, session, .. } = *opening;
        Operation::Add(Submission { account, session, first_seq: Sequence::new(last + 1), amounts })
    };
    let batch: Vec<_> = openings.iter().zip(0..).map(|(opening, id)| of(opening, id)).collect();
    let outcomes = ledger.commit(time(now), &batch);
    let mut all = true;
    for (outcome, id) in outcomes.iter().zip(0..) {
        match outcome {
            OperationOutcome::Decided(Ok(proof)) => {
                told.insert(identity(id), proof.standing());
            }
            OperationOutcome::Decided(Err(_)) => all = false,
            OperationOutcome::Opened(_) | OperationOutcome::Ended(_) => {
                panic!("values are answered as such")
            }
        }
    }
    all
}

/// One life: opens, counts through segments and checkpoints, rests now and then. Ends early where
/// the disk does.
fn live(disk: &Strict, batches: u64, told: &mut Told) -> Result<(), StoreError> {
    let (mut ledger, _) = Ledger::open(Arc::new(disk.clone()), OPTIONS, [7; 16])?;
    let mut openings = Vec::new();
    for id in 0..ACCOUNTS {
        let Some(opening) = open(&mut ledger, identity(id), told) else { return Ok(()) };
        openings.push(opening);
    }
    for batch in 0..batches {
        // Of any length, so that frames end anywhere in a segment.
        if !add(&mut ledger, &openings, 1 + batch * 5 % 13, batch, told) {
            return Ok(());
        }
        if batch % 4 == 3 {
            ledger.rest();
        }
        if let Some(work) = ledger.poll_work() {
            // A checkpoint that cannot be written harms nothing.
            ledger.handle_done(work.run()).unwrap_or(());
        }
    }
    while ledger.rest() {}
    Ok(())
}

/// Everything told is there, and adds up.
fn check(disk: &Strict, told: &Told, what: &str) {
    let (ledger, _) = Ledger::open(Arc::new(disk.clone()), OPTIONS, [7; 16])
        .unwrap_or_else(|error| panic!("{what}: it does not open: {error}"));
    for (id, told) in told {
        let found = ledger.standing(id).unwrap_or_else(|| panic!("{what}: {id} is gone"));
        assert!(
            found.last_seq >= told.last_seq,
            "{what}: {id}: {told:?} was told, {found:?} is there"
        );
        assert_eq!(found.sum.get(), sum(found.last_seq.get()), "{what}: {id}");
    }
    drop(ledger);
    if let Err(error) = audit::verify(disk, &[], &mut |_, _| {}) {
        panic!("{what}: it does not verify: {error}");
    }
}

/// How many calls a whole life makes.
fn calls(batches: u64) -> usize {
    let disk = Strict::default();
    live(&disk, batches, &mut Told::new()).unwrap();
    disk.calls()
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_after_any_call() {
    for calls in 0..calls(40) {
        for left in ALL {
            let (disk, mut told) = (Strict::default(), Told::new());
            disk.stop_after(calls, Stop::Power);
            drop(live(&disk, 40, &mut told));
            disk.cut(left);
            check(&disk, &told, &format!("power gone at call {calls}, left {left:?}"));
            // And it goes on from there, once more with nothing left of what is not synced.
            live(&disk, 3, &mut told).unwrap();
            disk.cut(Left::Nothing);
            check(&disk, &told, &format!("power gone at call {calls}, left {left:?}, and again"));
        }
    }
}

/// The opening after a power cut is itself cut off at any call.
#[test]
fn an_opening_that_is_cut_off_at_any_call_loses_nothing() {
    let whole = calls(14);
    // Without a cut the process was killed: what it wrote is seen, and is not durable.
    let before = [None, Some(Left::Everything), Some(Left::TornWrites), Some(Left::LastWrites)];
    let cases = before
        .into_iter()
        .flat_map(|first| [Left::Nothing, Left::LastWrites].map(|second| (first, second)));
    for (left, then) in cases {
        for first in whole - 20..whole {
            for second in 0.. {
                let (disk, mut told) = (Strict::default(), Told::new());
                disk.stop_after(first, Stop::Power);
                drop(live(&disk, 14, &mut told));
                left.map_or_else(|| disk.kill(), |left| disk.cut(left));
                disk.stop_after(second, Stop::Power);
                let ended = live(&disk, 0, &mut told);
                let is_over = ended.is_ok() && told.len() == usize::from(ACCOUNTS);
                disk.cut(then);
                check(
                    &disk,
                    &told,
                    &format!(
                        "{left:?} left at call {first}, {then:?} at call {second} of the opening"
                    ),
                );
                if is_over {
                    break;
                }
            }
        }
    }
}

/// After a sync that failed the system takes what it could not write for written. The process ends;
/// the next one reads it, tells it, and then the power goes.
#[test]
fn what_is_read_after_a_failed_sync_is_durable_before_it_is_told() {
    for calls in 0..calls(20) {
        let (disk, mut told) = (Strict::default(), Told::new());
        disk.stop_after(calls, Stop::Sync);
        drop(live(&disk, 20, &mut told));
        disk.kill();
        live(&disk, 0, &mut told).unwrap();
        disk.cut(Left::Nothing);
        check(&disk, &told, &format!("a sync failed at call {calls}"));
    }
}

/// Whatever its length and wherever the last one ended, a frame has room in its segment, header and
/// all: the disk here refuses a write beyond the end.
#[test]
fn a_frame_never_crosses_the_end_of_its_segment() {
    for shift in 0..180 {
        let disk = Strict::default();
        let options = StoreOptions { checkpoint_bytes: u64::MAX, ..OPTIONS };
        let (mut ledger, _) = Ledger::open(Arc::new(disk.clone()), options, [7; 16]).unwrap();
        let opening = open(&mut ledger, AccountId::Classic(0), &mut Told::new()).unwrap();
        let mut next = 1;
        let mut add = |amounts: Vec<Amount>| {
            let (first_seq, count) = (Sequence::new(next), amounts.len() as u64);
            next += count;
            let Opening { account, session, .. } = opening;
            Operation::Add(Submission {
                account,
                session,
                first_seq,
                amounts: amounts.into_iter().collect(),
            })
        };
        // Values of one byte, and then the longest there are.
        for count in [shift / 16 * 16 / 12, shift % 12] {
            for chunk in vec![Amount::from(0_u64); count].chunks(16) {
                ledger.commit(time(1), &[add(chunk.to_vec())]);
            }
        }
        for batch in 0..70 {
            let outcomes = ledger.commit(time(batch), &[add(vec![Amount::from(u64::MAX); 16])]);
            assert!(matches!(outcomes[0], OperationOutcome::Decided(Ok(_))), "{outcomes:?}");
        }
        let totals = ledger.totals();
        drop(ledger);
        assert_eq!(Ledger::open(Arc::new(disk), options, [7; 16]).unwrap().0.totals(), totals);
    }
}

/// A copy is whole once it is said to be made, also if the power goes then.
#[test]
fn a_backup_is_durable_when_it_is_made() {
    let (disk, mut told) = (Strict::default(), Told::new());
    live(&disk, 40, &mut told).unwrap();
    let copy = Strict::default();
    audit::backup(&disk, &copy, &mut |_, _| {}).unwrap();
    copy.cut(Left::Nothing);
    check(&copy, &told, "the backup");
}

/// A superblock names the newest durable batch after 16 that none names, and at the first rest.
#[test]
fn a_superblock_is_written_after_sixteen_batches_without_one_and_at_a_rest() {
    const SUPERBLOCKS: std::ops::Range<u64> = 1..4096;
    let (disk, mut told) = (Strict::default(), Told::new());
    let options = StoreOptions { segment_bytes: 1 << 20, checkpoint_bytes: u64::MAX, ..OPTIONS };
    let (mut ledger, _) = Ledger::open(Arc::new(disk.clone()), options, [7; 16]).unwrap();
    let opening = open(&mut ledger, identity(0), &mut told).unwrap();
    let superblocks =
        || disk.journal_writes().into_iter().filter(|at| SUPERBLOCKS.contains(at)).count();
    ledger.rest();
    let before = superblocks();
    for batch in 0..16 {
        assert!(add(&mut ledger, &[opening], 1, batch, &mut told));
        assert_eq!(superblocks(), before, "batch {batch}");
    }
    assert!(add(&mut ledger, &[opening], 1, 17, &mut told));
    assert_eq!(superblocks(), before + 1);
    ledger.rest();
    assert_eq!(superblocks(), before + 2);
    ledger.rest();
    assert_eq!(superblocks(), before + 2, "nothing new to name");
}
