//! A ledger that goes to another store and comes back: what every store agrees on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and knows its numbers"
)]

#[allow(dead_code, reason = "each test uses a part of it")]
mod place;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;

use ddes_ledger::audit::{self, HeldBy, VerifyError, View};
use ddes_ledger::shared::{Audited, HistoryEntry, RowKey, SharedRow};
use ddes_ledger::store::{Folder, StoreOptions};
use ddes_ledger::{
    AccountChange, AccountId, Arrival, ArrivalError, ChangesError, ImportError, Ledger, Operation,
    Restored, Statement, Subject, changes,
};
use ddes_wire::{Amount, Sequence, SessionNumber, Total};
use place::{ALICE, BOB, OPTIONS, Place, TRIMMING, add, fill, open, time};

const CLASSIC: AccountId = AccountId::Classic(5);

/// All accounts of a ledger in a database, as rows and entries.
#[derive(Default)]
struct Rows(BTreeMap<RowKey, (Option<SharedRow>, Vec<HistoryEntry>)>);

impl Rows {
    fn take(&mut self, change: &AccountChange) {
        let (row, entries) = self.0.entry(RowKey::from(&change.id)).or_default();
        let (after, entry) = row.unwrap_or(SharedRow::new(change.id)).changed(change).unwrap();
        *row = Some(after);
        entries.push(entry);
    }

    fn of(place: &Place) -> Self {
        let mut rows = Self::default();
        let departure = changes(&place.look(), &mut |_, _| {}, &mut |change| {
            rows.take(&change);
            Ok::<_, Infallible>(())
        });
        for raised in departure.unwrap().raised() {
            let (id, account) = raised.unwrap();
            let standing = account.standing();
            rows.take(&AccountChange {
                id,
                time: time(1000),
                session: account.newest_session(),
                first_seq: standing.last_seq.forward(1).unwrap(),
                amounts: Vec::new(),
                sum: standing.sum,
            });
        }
        rows
    }

    fn row(&self, id: &AccountId) -> SharedRow {
        self.0[&RowKey::from(id)].0.unwrap()
    }

    fn entries(&self) -> impl Iterator<Item = &HistoryEntry> {
        self.0.values().flat_map(|(_, entries)| entries)
    }

    fn changes(&self) -> Vec<AccountChange> {
        self.entries().map(|entry| entry.change().unwrap()).collect()
    }
}

/// A ledger with two identities, one of which was raised between two sessions, and a classic
/// account that is over.
fn source() -> Place {
    let place = Place::new();
    let (mut ledger, _) = place.open(OPTIONS).unwrap();
    let alice = open(&mut ledger, ALICE);
    add(&mut ledger, &alice, 10, 1, -5);
    let classic = open(&mut ledger, CLASSIC);
    add(&mut ledger, &classic, 11, 1, 40);
    ledger.raise(time(12)).unwrap();
    let alice = open(&mut ledger, ALICE);
    add(&mut ledger, &alice, 13, 2, 7);
    open(&mut ledger, BOB);
    assert_eq!(ledger.commit(time(14), &[Operation::End(classic.account)]).len(), 1);
    place
}

fn arrive(to: &Place, changes: &[AccountChange]) -> Result<Restored, ArrivalError> {
    let mut arrival = Arrival::begin(&to.0, [7; 16])?;
    changes.iter().try_for_each(|change| arrival.take(time(2000), change))?;
    arrival.complete(time(2000), &mut |_, _| {})?.settle()
}

fn held(place: &Place, by: HeldBy, statement: &Statement) -> bool {
    let verified =
        audit::verify_by(&place.look(), std::slice::from_ref(statement), by, &mut |_, _| {});
    match verified {
        Ok(_) => true,
        Err(VerifyError::Receipt { .. }) => false,
        Err(VerifyError::Store(error)) => panic!("{error}"),
    }
}

fn staging(place: &Place) -> std::path::PathBuf {
    format!("{}.migrating", place.0.display()).into()
}

#[test]
fn every_account_and_its_history_come_back_as_they_were() {
    let (from, to) = (source(), Place::new());
    let rows = Rows::of(&from);
    for (row, entries) in rows.0.values() {
        let row = row.unwrap();
        let mut audited = Audited::new(row.id);
        entries.iter().for_each(|entry| audited.take(entry).unwrap());
        audited.compare(&row).unwrap();
    }
    // Raised once while it was counted in, and once because it left.
    assert_eq!(rows.row(&ALICE).account.newest_session().get(), (2 << 32) + 2);
    assert_eq!(rows.row(&CLASSIC).account.standing().sum.get(), 40);

    let verified = arrive(&to, &rows.changes()).unwrap().verified;
    let (before, after) = (View::read(&from.look()).unwrap(), View::read(&to.look()).unwrap());
    assert_eq!((verified.totals, before.ledger), (before.totals(), after.ledger));
    assert_eq!(verified.totals.sum.get(), 42);
    for id in [ALICE, BOB] {
        let (own, account) = (before.account(&id).unwrap(), after.account(&id).unwrap());
        assert_eq!(own.standing(), account.standing());
        assert_eq!((own.extremes(), own.times()), (account.extremes(), account.times()));
    }
    // And a third time, because it came back.
    let (mut ledger, opened) = to.open(StoreOptions::default()).unwrap();
    assert_eq!(ledger.account(&ALICE).unwrap().newest_session().get(), (3 << 32) + 2);
    assert_eq!(open(&mut ledger, ALICE).session.get(), (3 << 32) + 3);
    assert_eq!((opened.ended.len(), ledger.account(&CLASSIC)), (1, None));
    assert!(!staging(&to).exists());
}

#[test]
fn what_was_cut_off_goes_on_and_counts_nothing_twice() {
    let from = source();
    let rows = Rows::of(&from);
    let with_classic = rows.changes();
    let without: Vec<AccountChange> =
        with_classic.iter().filter(|change| change.id != CLASSIC).cloned().collect();
    for all in [without, with_classic] {
        for cut in (1..all.len()).step_by(3).chain([all.len()]) {
            let to = Place::new();
            let mut arrival = Arrival::begin(&to.0, [7; 16]).unwrap();
            assert!(!arrival.goes_on);
            for change in &all[..cut] {
                arrival.take(time(2000), change).unwrap();
            }
            drop(arrival);
            // Nobody takes a part for a ledger.
            assert!(to.names("journal-").is_empty());
            // A classic account ends when a ledger is opened: with one, it begins anew.
            let goes_on = all[..cut].iter().all(|change| change.id != CLASSIC);
            let arrival = Arrival::begin(&to.0, [7; 16]).unwrap();
            assert_eq!(arrival.goes_on, goes_on, "{cut}");
            drop(arrival);
            let verified = arrive(&to, &all).unwrap().verified;
            let count: usize = all.iter().map(|change| change.amounts.len()).sum();
            assert_eq!(verified.totals.count, count as u128, "{cut}");
            assert_eq!(verified.values, count as u64);
        }
    }
}

#[test]
fn a_folder_with_the_beginning_of_another_ledger_is_not_gone_on_with() {
    let to = Place::new();
    drop(Arrival::begin(&to.0, [8; 16]).unwrap());
    let error = Arrival::begin(&to.0, [7; 16]).map(drop).unwrap_err();
    assert!(matches!(&error, ArrivalError::Other(left) if *left == staging(&to)), "{error}");
    fs::remove_dir_all(staging(&to)).unwrap();
    // A machine that crashed has written what nobody synced, or not.
    let mut arrival = Arrival::begin(&to.0, [7; 16]).unwrap();
    for change in Rows::of(&source()).changes() {
        arrival.take(time(0), &change).unwrap();
    }
    drop(arrival);
    let segment = staging(&to).join("journal-0000000001");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4096 + 70] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert!(!Arrival::begin(&to.0, [7; 16]).unwrap().goes_on);
}

#[test]
fn receipts_of_before_hold_after_each_move_and_false_ones_do_not() {
    let (from, to) = (source(), Place::new());
    let rows = Rows::of(&from);
    let of_folder = View::read(&from.look()).unwrap().statement(&ALICE).unwrap();
    assert_eq!((of_folder.count, of_folder.sum.get()), (2, 2));
    let of_classic =
        Statement { subject: Subject::Account(CLASSIC), count: 1, ..of_folder.clone() };
    let of_classic = Statement { sum: Total::new(40), ..of_classic };
    arrive(&to, &rows.changes()).unwrap();
    for statement in [&of_folder, &of_classic] {
        assert!(held(&to, HeldBy::Total, statement) && !held(&to, HeldBy::Batch, statement));
        let moved = |statement: &Statement| {
            rows.entries().any(|entry| entry.change().unwrap().amounts_to(statement))
        };
        assert!(moved(statement));
        for wrong in [
            Statement { count: 3, ..statement.clone() },
            Statement { count: u128::MAX, ..statement.clone() },
            Statement { sum: Total::new(3), ..statement.clone() },
            Statement { subject: Subject::Account(BOB), ..statement.clone() },
        ] {
            assert!(!held(&to, HeldBy::Total, &wrong) && !moved(&wrong), "{wrong:?}");
        }
        let other = Statement { ledger: Some([0; 32]), ..statement.clone() };
        assert!(!held(&to, HeldBy::Total, &other));
    }

    // Of an entry: its chain follows from the journal.
    for entry in rows.entries() {
        let count = u128::from(entry.first_seq.get()) + u128::from(entry.count) - 1;
        let statement = Statement {
            ledger: of_folder.ledger,
            subject: Subject::Shared(entry.id),
            count,
            sum: entry.sum,
            batch: entry.number,
            chain: entry.chain,
            time: entry.time,
        };
        assert!(held(&to, HeldBy::Batch, &statement), "{entry:?}");
        let mut chain = entry.chain;
        chain.0[31] ^= 1;
        for wrong in [
            Statement { chain, ..statement.clone() },
            Statement { sum: Total::new(entry.sum.get() + 1), ..statement.clone() },
            Statement { count: count + 1, ..statement.clone() },
            Statement { batch: entry.number + 1, ..statement.clone() },
        ] {
            assert!(!held(&to, HeldBy::Batch, &wrong) && !entry.holds(&wrong), "{wrong:?}");
        }
    }
}

/// With a value in the middle of an entry, where one that came before or behind is of another.
#[test]
fn a_receipt_in_the_middle_of_an_entry_holds_for_its_own_values() {
    let change = AccountChange {
        id: BOB,
        time: time(1),
        session: SessionNumber::new(1),
        first_seq: Sequence::new(1),
        amounts: Vec::new(),
        sum: Total::new(0),
    };
    let (row, opening) = SharedRow::new(BOB).changed(&change).unwrap();
    let amounts = [3_i64, -1, 10].map(Amount::from).to_vec();
    let change = AccountChange { amounts, sum: Total::new(12), ..change };
    let (_, entry) = row.changed(&change).unwrap();
    for (entry, holds) in [(opening, vec![(0, 0)]), (entry, vec![(1, 3), (2, 2), (3, 12)])] {
        for (count, sum) in [0, 1, 2, 3, 4]
            .iter()
            .flat_map(|count| [-1, 0, 2, 3, 12].iter().map(move |sum| (*count, *sum)))
        {
            let statement = Statement {
                ledger: None,
                subject: Subject::Shared(BOB),
                count,
                sum: Total::new(sum),
                batch: entry.number,
                chain: entry.chain,
                time: entry.time,
            };
            assert_eq!(entry.holds(&statement), holds.contains(&(count, sum)), "{count} {sum}");
        }
    }
}

#[test]
fn what_does_not_follow_is_not_taken() {
    let place = Place::new();
    let (mut ledger, _) = place.open(OPTIONS).unwrap();
    let alice = open(&mut ledger, ALICE);
    add(&mut ledger, &alice, 1, 1, 5);
    let change = |session: u64, first_seq: u64, values: &[i64], sum: i128| AccountChange {
        id: ALICE,
        time: time(2),
        session: SessionNumber::new(session),
        first_seq: Sequence::new(first_seq),
        amounts: values.iter().map(|value| Amount::from(*value)).collect(),
        sum: Total::new(sum),
    };
    for (wrong, why) in [
        (change(1, 3, &[1], 6), "missing before"),
        (change(2, 2, &[1], 6), "newest session"),
        (change(1, 2, &[1], 7), "not that of its values"),
        (change(2, 3, &[], 5), "missing before"),
        (change(1 << 48, 2, &[], 5), "too high"),
        (change(1, 2, &[1; 2000], 2005), "longer than a batch"),
    ] {
        let error = ledger.import(time(3), &wrong).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(ledger.standing(&ALICE).unwrap().sum.get(), 5);
    }
    assert_eq!(ledger.import(time(3), &change(1, 2, &[1], 6)), Ok(true));
    for again in [change(1, 2, &[1], 6), change(1, 1, &[5], 5), change(1, 3, &[], 6)] {
        assert_eq!(ledger.import(time(3), &again), Ok(false));
    }
    assert_eq!(
        Ledger::in_memory().import(time(3), &change(1, 1, &[], 0)),
        Err(ImportError::Unavailable)
    );
    drop(ledger);
    assert_eq!(place.verify(&[]).unwrap().totals.sum.get(), 6);
}

/// Of what was dropped by its age there are totals only.
#[test]
fn a_ledger_whose_history_was_trimmed_does_not_move() {
    let place = Place::new();
    let (mut ledger, _) = place.open(TRIMMING).unwrap();
    fill(&mut ledger, 100);
    drop(ledger);
    let first = place.verify(&[]).unwrap().first;
    assert!(first > 1);
    let folder = Folder::look(&place.0).unwrap();
    let read = changes(&folder, &mut |_, _| {}, &mut |_| Ok::<_, Infallible>(()));
    assert!(matches!(read, Err(ChangesError::Trimmed(from)) if from == first), "{read:?}");
}
