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

use ddes_ledger::{
    AccountId, AccountNumber, Ledger, Opening, Operation, OperationOutcome, Refusal, Submission,
    Timestamp,
};
use ddes_wire::{Amount, Sequence, SessionNumber, Total};

const ALICE: AccountId = AccountId::Identity([1; 32]);
const BOB: AccountId = AccountId::Identity([2; 32]);
const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn open(ledger: &mut Ledger, account: AccountId) -> Opening {
    match ledger.commit(NOW, &[Operation::Open(account)])[0] {
        OperationOutcome::Opened(opening) => opening.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn submission(opening: &Opening, first_seq: u64, amounts: &[i64]) -> Submission {
    let amounts = amounts.iter().map(|amount| Amount::from(*amount)).collect();
    let Opening { account, session, .. } = *opening;
    Submission { account, session, first_seq: Sequence::new(first_seq), amounts }
}

/// Commits one submission; `(last_seq, sum)` if it was applied.
fn commit(ledger: &mut Ledger, submission: Submission) -> Result<(u64, i128), Refusal> {
    match ledger.commit(NOW, &[Operation::Add(submission)])[0] {
        OperationOutcome::Decided(verdict) => {
            verdict.map(|proof| (proof.standing().last_seq.get(), proof.standing().sum.get()))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_account_keeps_a_sum_of_its_own() {
    let mut ledger = Ledger::in_memory();
    let alice = open(&mut ledger, ALICE);
    let bob = open(&mut ledger, BOB);
    assert_eq!(commit(&mut ledger, submission(&alice, 1, &[42])), Ok((1, 42)));
    assert_eq!(commit(&mut ledger, submission(&bob, 1, &[-7])), Ok((1, -7)));
    assert_eq!(commit(&mut ledger, submission(&alice, 2, &[50])), Ok((2, 92)));
    assert_eq!(ledger.standing(&BOB).unwrap().sum, Total::new(-7));
}

#[test]
fn a_value_sent_again_is_skipped_even_beside_a_new_one() {
    let mut ledger = Ledger::in_memory();
    let session = open(&mut ledger, ALICE);
    assert_eq!(commit(&mut ledger, submission(&session, 1, &[10, 20])), Ok((2, 30)));
    assert_eq!(commit(&mut ledger, submission(&session, 1, &[10, 20])), Ok((2, 30)));
    assert_eq!(commit(&mut ledger, submission(&session, 1, &[10, 20, 3])), Ok((3, 33)));
}

#[test]
fn a_gap_changes_nothing() {
    let mut ledger = Ledger::in_memory();
    let session = open(&mut ledger, ALICE);
    let gap = Refusal::Gap { expected: Sequence::new(1) };
    assert_eq!(commit(&mut ledger, submission(&session, 2, &[10])), Err(gap));
    assert_eq!(commit(&mut ledger, submission(&session, 1, &[10])), Ok((1, 10)));
}

#[test]
fn an_older_session_may_not_add() {
    let mut ledger = Ledger::in_memory();
    let older = open(&mut ledger, ALICE);
    let newer = open(&mut ledger, ALICE);
    let superseded = Refusal::Superseded { newest: newer.session };
    assert_eq!(commit(&mut ledger, submission(&older, 1, &[10])), Err(superseded));
    assert_eq!(commit(&mut ledger, submission(&newer, 1, &[10])), Ok((1, 10)));
    assert_eq!(ledger.standing(&ALICE).unwrap().last_session, newer.session);
}

#[test]
fn an_account_remembers_its_total_across_sessions() {
    let mut ledger = Ledger::in_memory();
    let first = open(&mut ledger, ALICE);
    commit(&mut ledger, submission(&first, 1, &[42, 50])).unwrap();
    let second = open(&mut ledger, ALICE);
    assert!(second.session > first.session);
    assert_eq!(second.proof.standing().sum, Total::new(92));
    assert_eq!(second.proof.standing().last_session, first.session);
}

#[test]
fn malformed_numbering_changes_nothing() {
    let mut ledger = Ledger::in_memory();
    let session = open(&mut ledger, ALICE);
    for (first_seq, amounts) in [(0, &[1_i64][..]), (1, &[]), (u64::MAX, &[1, 2])] {
        let verdict = commit(&mut ledger, submission(&session, first_seq, amounts));
        assert_eq!(verdict, Err(Refusal::Malformed), "first_seq {first_seq}");
    }
    assert_eq!(ledger.standing(&ALICE).unwrap().last_seq, Sequence::NONE);
}

#[test]
fn an_account_the_ledger_never_gave_out_is_refused() {
    let mut ledger = Ledger::in_memory();
    for account in [AccountNumber::Identity(0), AccountNumber::Classic(7)] {
        let (session, first_seq) = (SessionNumber::new(1), Sequence::new(1));
        let submission =
            Submission { account, session, first_seq, amounts: vec![Amount::from(1_i64)].into() };
        assert_eq!(commit(&mut ledger, submission), Err(Refusal::Malformed));
    }
}

#[test]
fn extreme_values_of_both_profiles_sum_exactly() {
    let mut ledger = Ledger::in_memory();
    let alice = open(&mut ledger, ALICE);
    let expected = 2 * i128::from(i64::MIN) + i128::from(i64::MAX);
    assert_eq!(
        commit(&mut ledger, submission(&alice, 1, &[i64::MIN, i64::MIN, i64::MAX])),
        Ok((3, expected))
    );
    assert_eq!(
        ledger.account(&ALICE).unwrap().extremes(),
        Some((Amount::from(i64::MIN), Amount::from(i64::MAX)))
    );
    let classic = open(&mut ledger, AccountId::Classic(1));
    let mut most = submission(&classic, 1, &[0, 0]);
    most.amounts = vec![Amount::from(u64::MAX); 2].into();
    assert_eq!(commit(&mut ledger, most), Ok((2, 2 * i128::from(u64::MAX))));
    let classic = ledger.account(&AccountId::Classic(1)).unwrap();
    assert_eq!(classic.extremes(), Some((Amount::from(u64::MAX), Amount::from(u64::MAX))));
}

#[test]
fn a_value_of_the_other_wire_is_refused() {
    let mut ledger = Ledger::in_memory();
    let (alice, classic) = (open(&mut ledger, ALICE), open(&mut ledger, AccountId::Classic(1)));
    let mut beyond = submission(&alice, 1, &[0]);
    beyond.amounts = vec![Amount::from(u64::MAX)].into();
    assert_eq!(commit(&mut ledger, beyond), Err(Refusal::Malformed));
    assert_eq!(commit(&mut ledger, submission(&classic, 1, &[-1])), Err(Refusal::Malformed));
}

#[test]
fn a_classic_account_that_ended_stays_in_the_totals_and_its_number_is_used_up() {
    let mut ledger = Ledger::in_memory();
    let id = AccountId::Classic(3);
    let classic = open(&mut ledger, id);
    commit(&mut ledger, submission(&classic, 1, &[40, 2])).unwrap();
    let ended = ledger.commit(NOW, &[Operation::End(classic.account)])[0];
    assert_eq!(ended, OperationOutcome::Ended(Ok(())));
    assert_eq!(commit(&mut ledger, submission(&classic, 3, &[1])), Err(Refusal::Malformed));
    let again = ledger.commit(NOW, &[Operation::Open(id)])[0];
    assert_eq!(again, OperationOutcome::Opened(Err(Refusal::Malformed)));
    let alice = open(&mut ledger, ALICE);
    commit(&mut ledger, submission(&alice, 1, &[-1])).unwrap();
    let totals = ledger.totals();
    assert_eq!((totals.accounts, totals.count, totals.sum), (2, 3, Total::new(41)));
    assert_eq!(totals.extremes(), Some((Amount::from(-1_i64), Amount::from(40_i64))));
    assert_eq!(totals.mean().unwrap(), "13.666");
    assert_eq!(ledger.classic_next(), 4);
}

#[test]
fn operations_of_one_batch_see_those_before_them() {
    let mut ledger = Ledger::in_memory();
    let first = open(&mut ledger, ALICE);
    let batch = [
        Operation::Add(submission(&first, 1, &[1])),
        Operation::Add(submission(&first, 2, &[2])),
        Operation::Open(ALICE),
        Operation::Add(submission(&first, 3, &[4])),
    ];
    let outcomes = ledger.commit(NOW, &batch);
    let OperationOutcome::Opened(Ok(second)) = outcomes[2] else { panic!("{outcomes:?}") };
    assert_eq!(second.proof.standing().sum, Total::new(3));
    let superseded = Refusal::Superseded { newest: second.session };
    assert_eq!(outcomes[3], OperationOutcome::Decided(Err(superseded)));
}

#[test]
fn an_account_states_when_its_first_and_its_newest_value_came_and_nothing_before_the_first() {
    let mut ledger = Ledger::in_memory();
    let alice = open(&mut ledger, ALICE);
    assert_eq!(ledger.account(&ALICE).unwrap().times(), None);
    for (seq, micros) in [(1, 7_000_001), (2, 8_000_000), (3, 9_999_999)] {
        let add = Operation::Add(submission(&alice, seq, &[5]));
        let decided = ledger.commit(Timestamp(NOW.0 + micros), &[add])[0];
        assert!(matches!(decided, OperationOutcome::Decided(Ok(_))), "{decided:?}");
    }
    let times = (1_800_000_007, 1_800_000_009);
    assert_eq!(ledger.account(&ALICE).unwrap().times(), Some(times));
}
