//! The rules of "Exactly once", each against a ledger in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and knows its numbers"
)]

use ddes_ledger::{AccountId, Ledger, Refusal, Submission};
use ddes_wire::{Amount, Sequence, SessionNumber, Total};

const ALICE: AccountId = AccountId::Identity([1; 32]);
const BOB: AccountId = AccountId::Identity([2; 32]);

fn submission(account: AccountId, session: SessionNumber, first_seq: u64, amounts: &[i64]) -> Submission {
    let amounts = amounts.iter().map(|amount| Amount::from(*amount)).collect();
    Submission { account, session, first_seq: Sequence::new(first_seq), amounts }
}

/// Commits one submission; `(last_seq, sum)` if it was applied.
fn commit(ledger: &mut Ledger, submission: Submission) -> Result<(u64, i128), Refusal> {
    let verdict = ledger.commit(&[submission])[0];
    verdict.map(|receipt| (receipt.standing().last_seq.get(), receipt.standing().sum.get()))
}

#[test]
fn each_account_keeps_a_sum_of_its_own() {
    let mut ledger = Ledger::in_memory();
    let alice = ledger.open_session(ALICE).unwrap().session;
    let bob = ledger.open_session(BOB).unwrap().session;
    assert_eq!(commit(&mut ledger, submission(ALICE, alice, 1, &[42])), Ok((1, 42)));
    assert_eq!(commit(&mut ledger, submission(BOB, bob, 1, &[-7])), Ok((1, -7)));
    assert_eq!(commit(&mut ledger, submission(ALICE, alice, 2, &[50])), Ok((2, 92)));
    assert_eq!(ledger.standing(&BOB).unwrap().sum, Total::new(-7));
}

#[test]
fn a_value_sent_again_is_skipped_even_beside_a_new_one() {
    let mut ledger = Ledger::in_memory();
    let session = ledger.open_session(ALICE).unwrap().session;
    assert_eq!(commit(&mut ledger, submission(ALICE, session, 1, &[10, 20])), Ok((2, 30)));
    assert_eq!(commit(&mut ledger, submission(ALICE, session, 1, &[10, 20])), Ok((2, 30)));
    assert_eq!(commit(&mut ledger, submission(ALICE, session, 1, &[10, 20, 3])), Ok((3, 33)));
}

#[test]
fn a_gap_changes_nothing() {
    let mut ledger = Ledger::in_memory();
    let session = ledger.open_session(ALICE).unwrap().session;
    let gap = Refusal::Gap { expected: Sequence::new(1) };
    assert_eq!(commit(&mut ledger, submission(ALICE, session, 2, &[10])), Err(gap));
    assert_eq!(commit(&mut ledger, submission(ALICE, session, 1, &[10])), Ok((1, 10)));
}

#[test]
fn an_older_session_may_not_add() {
    let mut ledger = Ledger::in_memory();
    let older = ledger.open_session(ALICE).unwrap().session;
    let newer = ledger.open_session(ALICE).unwrap().session;
    let superseded = Refusal::Superseded { newest: newer };
    assert_eq!(commit(&mut ledger, submission(ALICE, older, 1, &[10])), Err(superseded));
    assert_eq!(commit(&mut ledger, submission(ALICE, newer, 1, &[10])), Ok((1, 10)));
    assert_eq!(ledger.standing(&ALICE).unwrap().last_session, newer);
}

#[test]
fn an_account_remembers_its_total_across_sessions() {
    let mut ledger = Ledger::in_memory();
    let first = ledger.open_session(ALICE).unwrap();
    commit(&mut ledger, submission(ALICE, first.session, 1, &[42, 50])).unwrap();
    let second = ledger.open_session(ALICE).unwrap();
    assert!(second.session > first.session);
    assert_eq!(second.receipt.standing().sum, Total::new(92));
    assert_eq!(second.receipt.standing().last_session, first.session);
}

#[test]
fn malformed_numbering_changes_nothing() {
    let mut ledger = Ledger::in_memory();
    let session = ledger.open_session(ALICE).unwrap().session;
    for (first_seq, amounts) in [(0, &[1_i64][..]), (1, &[]), (u64::MAX, &[1, 2])] {
        let verdict = commit(&mut ledger, submission(ALICE, session, first_seq, amounts));
        assert_eq!(verdict, Err(Refusal::Malformed), "first_seq {first_seq}");
    }
    assert_eq!(ledger.standing(&ALICE).unwrap().last_seq, Sequence::NONE);
}

#[test]
fn a_session_the_ledger_never_opened_is_refused() {
    let mut ledger = Ledger::in_memory();
    let verdict = commit(&mut ledger, submission(BOB, SessionNumber::new(1), 1, &[1]));
    assert_eq!(verdict, Err(Refusal::Malformed));
}

#[test]
fn extreme_values_of_both_profiles_sum_exactly() {
    let mut ledger = Ledger::in_memory();
    let session = ledger.open_session(ALICE).unwrap().session;
    let amounts = vec![Amount::from(i64::MIN), Amount::from(u64::MAX), Amount::from(u64::MAX)];
    let submission = Submission { account: ALICE, session, first_seq: Sequence::new(1), amounts };
    let expected = i128::from(i64::MIN) + 2 * i128::from(u64::MAX);
    assert_eq!(commit(&mut ledger, submission), Ok((3, expected)));
}
