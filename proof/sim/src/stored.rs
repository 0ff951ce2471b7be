//! Outboxes whose disk fails at a chosen call: what was stored is there afterwards, and the file
//! still opens.

use std::path::Path;
use std::sync::Arc;

use ddes_client::outbox::{InputMark, JournalError, Outbox, OutboxOwner, TakeError};
use ddes_identity::SigningKey;
use ddes_wire::v2::Welcome;
use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};

use crate::disk::SimDisk;
use crate::plan::DiskRates;
use crate::power::Outage;
use crate::random::Random;

/// In a million: each.
const ALWAYS: u64 = 1_000_000;
/// What a failure leaves is the disk's choice, so there are many.
const DISKS: u64 = 40;
/// More calls than a whole life of [`live`] makes.
const CALLS: u64 = 40;

fn open(disk: &SimDisk) -> Result<Outbox, JournalError> {
    let key = SigningKey::from_seed(&[3; 32]).public();
    let owner = OutboxOwner { key, server: "a:1".parse().unwrap() };
    Outbox::open_on(Arc::new(disk.clone()), Path::new("outbox"), &owner)
}

fn take(outbox: &mut Outbox, values: &[i64]) -> Result<(), TakeError> {
    outbox.take(values, InputMark::default())
}

/// Session `session` opens; the ledger counts `last_seq` values, all of them 1.
fn admit(outbox: &mut Outbox, session: u64, last_seq: u64) -> Result<(), JournalError> {
    let standing = Standing {
        last_seq: Sequence::new(last_seq),
        last_session: SessionNumber::new(session - 1),
        sum: Total::new(last_seq.into()),
    };
    let (token, session) = (Token::new([7; 16]), SessionNumber::new(session));
    let welcome = Welcome { token, session, standing, idle_millis: 60_000, values_max: 100 };
    outbox.admit(&welcome, false, None).map(Result::unwrap)
}

fn end(disk: &SimDisk, outage: Outage) {
    disk.set_rates(DiskRates::default());
    match outage {
        Outage::Power => disk.cut_power(),
        Outage::Kill | Outage::Stop => disk.end_process(),
    }
}

fn count(outbox: &Outbox) -> usize {
    usize::try_from(outbox.confirmed().get()).unwrap() + outbox.pending()
}

/// Takes 3 values, then 100, then 1, until the disk fails; how many were stored.
fn live(disk: &SimDisk, stored: &mut usize) -> Result<(), TakeError> {
    let mut outbox = open(disk)?;
    assert!(count(&outbox) >= *stored, "{} of {stored} values are there", count(&outbox));
    for values in [&[1; 3][..], &[1; 100], &[1]] {
        take(&mut outbox, values)?;
        *stored = count(&outbox);
    }
    Ok(())
}

#[test]
fn what_is_stored_is_there_whatever_call_the_power_goes_in() {
    for seed in 0..DISKS {
        for calls in 0..CALLS {
            let disk = SimDisk::new(Random::new(seed), None);
            let (mut stored, mut random) = (0, Random::new(calls));
            for life in 0..4 {
                disk.set_budget((life < 3).then(|| random.below(calls + 1)));
                let lived = live(&disk, &mut stored);
                // Of a mark nobody knows that it was not written.
                assert!(lived.is_ok() || disk.is_off(), "disk {seed}, {calls} calls: {lived:?}");
                end(&disk, Outage::draw(&mut random));
            }
            disk.cut_power();
            assert!(count(&open(&disk).unwrap()) >= stored, "disk {seed}, {calls} calls");
        }
    }
}

#[test]
fn what_a_failed_sync_lost_is_written_again_before_anything_follows_it() {
    for seed in 0..DISKS {
        let disk = SimDisk::new(Random::new(seed), None);
        let mut outbox = open(&disk).unwrap();
        take(&mut outbox, &[1]).unwrap();
        disk.set_rates(DiskRates { sync: ALWAYS, ..DiskRates::default() });
        assert!(matches!(
            take(&mut outbox, &[1]),
            Err(TakeError::Journal(JournalError::Io { .. }))
        ));
        end(&disk, Outage::Kill);
        let mut outbox = open(&disk).unwrap();
        let stored = count(&outbox);
        take(&mut outbox, &[1; 100]).unwrap();
        end(&disk, Outage::Power);
        assert_eq!(count(&open(&disk).unwrap()), stored + 100, "disk {seed}");
    }
}

/// A program that is told at once how many values wait may tell others.
#[test]
fn what_an_opening_finds_is_durable_when_it_returns() {
    for seed in 0..DISKS {
        let disk = SimDisk::new(Random::new(seed), None);
        let mut outbox = open(&disk).unwrap();
        take(&mut outbox, &[1]).unwrap();
        // The record is written, and the process is killed before the sync.
        disk.set_budget(Some(2));
        take(&mut outbox, &[1; 100]).unwrap_err();
        end(&disk, Outage::Kill);
        let found = count(&open(&disk).unwrap());
        end(&disk, Outage::Power);
        assert_eq!(count(&open(&disk).unwrap()), found, "disk {seed}");
    }
}

#[test]
fn a_journal_whose_name_is_not_durable_takes_no_value() {
    for seed in 0..DISKS {
        let disk = SimDisk::new(Random::new(seed), None);
        disk.set_rates(DiskRates { publish: ALWAYS, ..DiskRates::default() });
        assert!(matches!(open(&disk), Err(JournalError::Io { .. })));
        end(&disk, Outage::Kill);
        take(&mut open(&disk).unwrap(), &[1]).unwrap();
        end(&disk, Outage::Power);
        assert_eq!(count(&open(&disk).unwrap()), 1, "disk {seed}");
    }
}

/// Otherwise the long record's end could stand behind the short one's beginning, as if the end of a
/// whole record were missing.
#[test]
fn a_torn_end_is_gone_before_the_next_record_is_written() {
    for seed in 0..8 * DISKS {
        let disk = SimDisk::new(Random::new(seed), None);
        let mut outbox = open(&disk).unwrap();
        take(&mut outbox, &[1]).unwrap();
        disk.set_rates(DiskRates { write: ALWAYS, ..DiskRates::default() });
        take(&mut outbox, &[1; 400]).unwrap_err();
        end(&disk, Outage::Kill);
        let mut outbox = open(&disk).unwrap();
        let stored = count(&outbox);
        // The power goes in the write, or in the sync after it.
        disk.set_budget(Some(1 + seed % 2));
        take(&mut outbox, &[1; 200]).unwrap_err();
        end(&disk, Outage::Power);
        let found = open(&disk).map(|outbox| count(&outbox));
        let found = found.unwrap_or_else(|error| panic!("disk {seed}: {error}"));
        assert!(found == stored || found == stored + 200, "disk {seed}");
    }
}

/// As above, where the end was torn by a lack of room, and the same process goes on.
#[test]
fn what_had_no_room_is_gone_before_the_next_record_is_written() {
    for seed in 0..20 * DISKS {
        let disk = SimDisk::new(Random::new(seed), None);
        let mut outbox = open(&disk).unwrap();
        take(&mut outbox, &[1]).unwrap();
        // What is allocated is not written in its place, and finds no new room now and then.
        disk.set_rates(DiskRates { copies_on_write: true, ..DiskRates::default() });
        disk.set_full(true);
        let full = loop {
            if let Err(error) = take(&mut outbox, &[1; 300]) {
                break error;
            }
        };
        assert!(matches!(full, TakeError::Journal(JournalError::Full(_))), "{full}");
        disk.set_full(false);
        let stored = count(&outbox);
        // The power goes in the write, or in the sync after it.
        disk.set_budget(Some(1 + seed % 2));
        take(&mut outbox, &[1; 100]).unwrap_err();
        end(&disk, Outage::Power);
        let found = open(&disk).map(|outbox| count(&outbox));
        let found = found.unwrap_or_else(|error| panic!("disk {seed}: {error}"));
        assert!(found == stored || found == stored + 100, "disk {seed}: {found} of {stored}");
    }
}

#[test]
fn a_rewritten_file_is_durable_before_it_has_the_name() {
    for seed in 0..DISKS {
        for calls in 0..CALLS {
            let disk = SimDisk::new(Random::new(seed), None);
            let mut outbox = open(&disk).unwrap();
            for _ in 0..20 {
                take(&mut outbox, &[1; 100]).unwrap();
            }
            admit(&mut outbox, 1, 0).unwrap();
            // Full, so that room is worth a rewriting, which the reserve makes possible.
            disk.set_full(true);
            while take(&mut outbox, &[1; 400]).is_ok() {}
            let (stored, before) = (count(&outbox), disk.content("journal").unwrap().len());
            disk.set_budget(Some(calls));
            let last = Sequence::new(stored as u64 - 5);
            let confirmed = outbox.confirm(last, Total::new(last.get().into()));
            if !disk.is_off() {
                assert_eq!(confirmed.unwrap(), Ok(()));
                assert!(disk.content("journal").unwrap().len() < before);
            }
            end(&disk, Outage::Power);
            disk.set_full(false);
            assert_eq!(count(&open(&disk).unwrap()), stored, "disk {seed}, {calls} calls");
        }
    }
}

/// As `ddes send` reports it.
#[test]
fn a_full_disk_and_an_unreadable_file_are_reported_and_change_nothing() {
    let disk = SimDisk::new(Random::new(1), None);
    let mut outbox = open(&disk).unwrap();
    take(&mut outbox, &[1; 3]).unwrap();
    disk.set_full(true);
    let full = loop {
        if let Err(error) = take(&mut outbox, &[1; 400]) {
            break error;
        }
    };
    assert_eq!(full.to_string(), "the outbox outbox cannot grow: no room");
    let stored = count(&outbox);
    end(&disk, Outage::Kill);
    disk.set_rates(DiskRates { read: ALWAYS, ..DiskRates::default() });
    let error = open(&disk).unwrap_err();
    assert_eq!(error.to_string(), "the outbox outbox: simulated: a read fails");
    disk.set_rates(DiskRates::default());
    assert_eq!(count(&open(&disk).unwrap()), stored);
}
