//! Accounts read in slices, while others open and end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and looks at what it is about"
)]

use std::collections::HashSet;

use ddes_ledger::{AccountId, AccountNumber, Ledger, Operation, OperationOutcome, Timestamp};

fn identity(number: u64) -> AccountId {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    AccountId::Identity(key)
}

fn open(ledger: &mut Ledger, accounts: impl Iterator<Item = AccountId>) {
    let operations: Vec<_> = accounts.map(Operation::Open).collect();
    for outcome in ledger.commit(Timestamp(0), &operations) {
        assert!(matches!(outcome, OperationOutcome::Opened(Ok(_))), "{outcome:?}");
    }
}

fn end(ledger: &mut Ledger, number: u64) {
    let operation = Operation::End(AccountNumber::Classic(number));
    let outcome = ledger.commit(Timestamp(0), &[operation]).remove(0);
    assert_eq!(outcome, OperationOutcome::Ended(Ok(())));
}

/// All accounts, in slices of `most`; `between` changes the ledger after each slice.
fn walk(ledger: &mut Ledger, most: usize, mut between: impl FnMut(&mut Ledger)) -> Vec<AccountId> {
    let (mut found, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let slice = ledger.accounts_from(from, most);
        assert!(slice.accounts.len() == most || slice.next.is_none());
        for (id, account) in &slice.accounts {
            assert_eq!(ledger.account(id), Some(*account));
        }
        found.extend(slice.accounts.into_iter().map(|(id, _)| id));
        next = slice.next;
        between(ledger);
    }
    found
}

/// A key of 32 bytes and a packed account of 60 each; with the index and room to grow, not four
/// times that.
#[test]
fn the_memory_of_identities_is_what_their_number_says() {
    let mut ledger = Ledger::default();
    let begin = ledger.memory_bytes();
    open(&mut ledger, (0..10_000).map(identity));
    let each = (ledger.memory_bytes() - begin) / 10_000;
    assert!((92..4 * 92).contains(&each), "{each}");
}

#[test]
fn slices_of_any_size_hold_every_account_once_and_in_order() {
    let mut ledger = Ledger::in_memory();
    assert_eq!(walk(&mut ledger, 4096, |_| {}), []);
    open(&mut ledger, (0..1500).map(identity));
    open(&mut ledger, (0..30).map(AccountId::Classic));
    let all: Vec<_> = ledger.accounts().map(|(id, _)| id).collect();
    assert_eq!((all.len(), ledger.accounts_len()), (1530, 1530));
    for most in [1, 7, 1023, 1024, 1499, 1500, 1501, 1529, 1530, 1531] {
        assert_eq!(walk(&mut ledger, most, |_| {}), all, "slices of {most}");
    }
    // Positions behind the last account, and behind all possible ones.
    for from in [(1 << 32) + 30, u64::MAX] {
        assert_eq!(ledger.accounts_from(from, 10).accounts, []);
    }
}

#[test]
fn accounts_that_open_and_end_meanwhile_leave_no_gap_and_cause_no_repeat() {
    let mut ledger = Ledger::in_memory();
    open(&mut ledger, (0..10_000).map(identity));
    open(&mut ledger, (0..500).map(AccountId::Classic));
    let (mut opened, mut ended) = (10_000, 0);
    let found = walk(&mut ledger, 512, |ledger| {
        open(ledger, (opened..opened + 10).map(identity));
        open(ledger, std::iter::once(AccountId::Classic(500 + ended)));
        end(ledger, ended);
        (opened, ended) = (opened + 10, ended + 1);
    });
    let set: HashSet<_> = found.iter().copied().collect();
    assert_eq!(set.len(), found.len());
    assert!((0..10_000).map(identity).all(|id| set.contains(&id)));
    // Those that neither opened nor ended meanwhile.
    assert!((ended..500).map(AccountId::Classic).all(|id| set.contains(&id)));
    // An account in whose place a slice was to continue has ended: it continues behind it.
    let slice = ledger.accounts_from((1 << 32) + ended - 1, 1);
    assert_eq!(slice.accounts[0].0, AccountId::Classic(ended));
}
