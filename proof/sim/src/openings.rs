//! Openings that rely on what is seen and is not durable. Each of these lost values that were
//! acknowledged, or left a ledger that did not open; seeds found them.

use std::sync::Arc;

use ddes_ledger::store::StoreOptions;
use ddes_ledger::{AccountId, Ledger, Operation, OperationOutcome, Submission, Timestamp};
use ddes_wire::{Amount, Sequence};

use crate::disk::SimDisk;
use crate::plan::DiskRates;
use crate::random::Random;

const ALICE: AccountId = AccountId::Identity([1; 32]);
/// In a million: each.
const ALWAYS: u64 = 1_000_000;
/// What a failure leaves is the disk's choice, so there are many.
const DISKS: u64 = 60;

fn open(disk: &SimDisk) -> Ledger {
    let options = StoreOptions {
        segment_bytes: 8192,
        frame_bytes: 1024,
        values_max: 16,
        checkpoint_bytes: u64::MAX,
        ..StoreOptions::default()
    };
    Ledger::open(Arc::new(disk.clone()), options, [7; 16]).unwrap().0
}

/// A session, and one value in it; whether the value is acknowledged.
fn add(ledger: &mut Ledger) -> bool {
    let outcome = ledger.commit(Timestamp(1), &[Operation::Open(ALICE)]).remove(0);
    let OperationOutcome::Opened(Ok(opening)) = outcome else { return false };
    let first_seq = Sequence::new(count(ledger) + 1);
    let (account, session) = (opening.account, opening.session);
    let submission =
        Submission { account, session, first_seq, amounts: [Amount::from(5_u64)].into() };
    matches!(
        ledger.commit(Timestamp(2), &[Operation::Add(submission)])[..],
        [OperationOutcome::Decided(Ok(_))]
    )
}

fn count(ledger: &Ledger) -> u64 {
    ledger.standing(&ALICE).map_or(0, |standing| standing.last_seq.get())
}

#[test]
fn what_a_failed_sync_lost_is_written_again_before_it_counts() {
    for seed in 0..DISKS {
        let disk = SimDisk::new(Random::new(seed), None);
        let mut ledger = open(&disk);
        assert!(add(&mut ledger));
        disk.set_rates(DiskRates { sync: ALWAYS, ..DiskRates::default() });
        assert!(!add(&mut ledger));
        disk.set_rates(DiskRates::default());
        disk.end_process();
        // Whoever sends again is told that it counts, and nothing is written for it.
        let counted = count(&open(&disk));
        disk.cut_power();
        assert_eq!(count(&open(&disk)), counted, "disk {seed}");
    }
}

#[test]
fn a_segment_whose_name_is_not_durable_takes_no_batch() {
    for seed in 0..DISKS {
        let disk = SimDisk::new(Random::new(seed), None);
        let mut ledger = open(&disk);
        disk.set_rates(DiskRates { publish: ALWAYS, ..DiskRates::default() });
        while add(&mut ledger) {}
        disk.set_rates(DiskRates::default());
        disk.end_process();
        let mut ledger = open(&disk);
        assert!(add(&mut ledger));
        let counted = count(&ledger);
        disk.cut_power();
        assert_eq!(count(&open(&disk)), counted, "disk {seed}");
    }
}

#[test]
fn a_batch_is_durable_before_a_superblock_says_so() {
    for seed in 0..DISKS {
        for calls in 0..40 {
            let disk = SimDisk::new(Random::new(seed), None);
            let mut ledger = open(&disk);
            assert!(add(&mut ledger));
            // The process is killed between the write of a batch and its sync; then the power goes
            // while the next one opens.
            disk.set_budget(Some(2));
            assert!(!add(&mut ledger));
            disk.end_process();
            disk.set_budget(Some(calls));
            let options = StoreOptions { segment_bytes: 8192, ..StoreOptions::default() };
            drop(Ledger::open(Arc::new(disk.clone()), options, [7; 16]));
            disk.cut_power();
            assert!(count(&open(&disk)) >= 1, "disk {seed}, call {calls}");
        }
    }
}
