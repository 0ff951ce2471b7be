//! When checkpoints begin and end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and knows its numbers"
)]

#[allow(dead_code, reason = "each test uses a part of it")]
mod place;

use ddes_ledger::store::StoreOptions;
use ddes_ledger::{AccountId, Ledger};
use place::{ALICE, OPTIONS, Place, add, open, settle};

/// A segment holds more than a checkpoint's distance, so that no other event comes between.
const ROOMY: StoreOptions = StoreOptions { segment_bytes: 1024 * 1024, ..OPTIONS };

/// Adds values until a checkpoint is durable; how many it took.
fn until_a_checkpoint(ledger: &mut Ledger) -> u64 {
    let before = ledger.newest_checkpoint();
    let alice = open(ledger, ALICE);
    for count in 1..1000 {
        let seq = ledger.standing(&ALICE).unwrap().last_seq.get() + 1;
        add(ledger, &alice, 0, seq, 3);
        settle(ledger);
        if ledger.newest_checkpoint() != before {
            return count;
        }
    }
    panic!("no checkpoint");
}

/// What was written before a process ended counts: a server that restarts often makes checkpoints
/// too.
#[test]
fn an_opening_does_not_put_a_checkpoint_off() {
    let place = Place::new();
    let (mut ledger, _) = place.open(ROOMY).unwrap();
    let whole = until_a_checkpoint(&mut ledger);
    assert!(whole > 20, "{whole}");
    let place = Place::new();
    let (mut ledger, _) = place.open(ROOMY).unwrap();
    let alice = open(&mut ledger, ALICE);
    for seq in 1..=whole / 2 {
        add(&mut ledger, &alice, 0, seq, 3);
        settle(&mut ledger);
    }
    drop(ledger);
    let (mut ledger, _) = place.open(ROOMY).unwrap();
    let rest = until_a_checkpoint(&mut ledger);
    // The session that is opened anew is a record too.
    assert!(
        (whole / 2 - 3..=whole / 2 + 3).contains(&rest),
        "{whole} in one process, {rest} after half"
    );
}

/// Whoever wants a checkpoint while one is made does not begin it anew.
#[test]
fn a_checkpoint_that_is_wanted_over_and_over_ends() {
    let place = Place::new();
    let (mut ledger, _) = place.open(ROOMY).unwrap();
    let alice = open(&mut ledger, ALICE);
    for number in 10..50 {
        open(&mut ledger, AccountId::Identity([number; 32]));
    }
    let work = (1..60).find_map(|seq| {
        add(&mut ledger, &alice, 0, seq, 3);
        ledger.checkpoint();
        ledger.poll_work()
    });
    // Nor does the next one begin before it is named.
    let work = work.unwrap();
    let seq = ledger.standing(&ALICE).unwrap().last_seq.get() + 1;
    add(&mut ledger, &alice, 0, seq, 3);
    ledger.checkpoint();
    while ledger.rest() {}
    assert!(ledger.poll_work().is_none());
    ledger.handle_done(work.run()).unwrap();
    settle(&mut ledger);
    drop(ledger);
    assert_eq!(place.verify(&[]).unwrap().checkpoints, 2);
}
