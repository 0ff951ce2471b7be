//! P-29, P-30: what an outbox keeps, and what it notices.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ddes_client::outbox::{JournalError, Mark, Objection, Outbox, Owner, TAKE_MAX, TakeError};
use ddes_identity::SigningKey;
use ddes_wire::v2::Welcome;
use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("outbox-{}-{count}", std::process::id()))
}

fn owner() -> Owner {
    Owner { key: SigningKey::from_seed(&[3; 32]).public(), server: "a:1".into() }
}

fn mark(lines: u64) -> Mark {
    Mark { lines, digest: [lines as u8; 32] }
}

/// A 20: the session's number, and the ledger's last number and whose it is.
fn welcome(session: u64, last_seq: u64, last_session: u64) -> Welcome {
    Welcome {
        token: Token::new([7; 16]),
        session: SessionNumber::new(session),
        standing: Standing {
            last_seq: Sequence::new(last_seq),
            last_session: SessionNumber::new(last_session),
            sum: Total::new(6),
        },
        idle_millis: 60_000,
        values_max: 100,
    }
}

fn admit(outbox: &mut Outbox, session: u64, last_seq: u64, last_session: u64) -> Result<(), Objection> {
    outbox.admit(&welcome(session, last_seq, last_session), false).unwrap()
}

fn seq(number: u64) -> Sequence {
    Sequence::new(number)
}

#[test]
fn what_was_taken_and_not_confirmed_is_there_again() {
    let folder = folder();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    outbox.begin_input().unwrap();
    outbox.take(&[1, -2], mark(2)).unwrap();
    outbox.take(&[i64::MIN], mark(5)).unwrap();
    admit(&mut outbox, 4, 0, 0).unwrap();
    outbox.confirm(seq(1)).unwrap();
    drop(outbox);
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!((outbox.pending(), outbox.confirmed()), (2, seq(1)));
    assert_eq!(outbox.values(seq(2), 10), [-2, i64::MIN]);
    assert_eq!(outbox.values(seq(3), 10), [i64::MIN]);
    assert_eq!(outbox.input(), (mark(5), true));
    outbox.finish_input().unwrap();
    drop(outbox);
    assert_eq!(Outbox::open(&folder, &owner()).unwrap().input(), (mark(5), false));
}

#[test]
fn one_process_at_a_time_and_one_owner() {
    let folder = folder();
    let held = Outbox::open(&folder, &owner()).unwrap();
    assert!(matches!(Outbox::open(&folder, &owner()), Err(JournalError::Locked(_))));
    drop(held);
    let other = Owner { server: "b:1".into(), ..owner() };
    assert!(matches!(Outbox::open(&folder, &other), Err(JournalError::Foreign { .. })));
}

#[test]
fn the_journal_cut_at_each_byte_keeps_whole_takings_only() {
    let folder = folder();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    admit(&mut outbox, 1, 0, 0).unwrap();
    let journal = folder.join("journal");
    let begin = std::fs::metadata(&journal).unwrap().len() as usize;
    for i in 0..3 {
        outbox.take(&[10 * i, 10 * i + 1], mark(2 * i as u64 + 2)).unwrap();
    }
    drop(outbox);
    let whole = std::fs::read(&journal).unwrap();
    for length in begin..=whole.len() {
        std::fs::write(&journal, &whole[..length]).unwrap();
        let outbox = Outbox::open(&folder, &owner()).unwrap();
        let takings = (length - begin) / ((whole.len() - begin) / 3);
        assert_eq!((outbox.pending(), outbox.input().0.lines), (2 * takings, 2 * takings as u64), "{length}");
        drop(outbox);
        // What was torn off is gone, so that what follows is not lost behind it.
        let mut outbox = Outbox::open(&folder, &owner()).unwrap();
        outbox.take(&[99], mark(99)).unwrap();
        drop(outbox);
        assert_eq!(Outbox::open(&folder, &owner()).unwrap().pending(), 2 * takings + 1);
    }
}

#[test]
fn damage_far_from_the_end_is_refused_and_named() {
    let folder = folder();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    for i in 0..40 {
        outbox.take(&vec![7; TAKE_MAX], mark(i)).unwrap();
    }
    drop(outbox);
    let journal = folder.join("journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[2000] ^= 1;
    std::fs::write(&journal, &bytes).unwrap();
    let error = Outbox::open(&folder, &owner()).unwrap_err();
    assert!(matches!(&error, JournalError::Damaged { why, .. } if why.contains("at byte")), "{error}");
    // Any other file is no outbox, and is left as it is.
    for other in [&b""[..], b"hello", &bytes[1..]] {
        std::fs::write(&journal, other).unwrap();
        assert!(matches!(Outbox::open(&folder, &owner()), Err(JournalError::Damaged { .. })));
        assert_eq!(std::fs::read(&journal).unwrap(), other);
    }
}

#[test]
fn a_journal_of_confirmed_values_is_written_anew_and_says_the_same() {
    let folder = folder();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    admit(&mut outbox, 1, 0, 0).unwrap();
    let mut taken = 0;
    for round in 0..100 {
        outbox.take(&vec![round; TAKE_MAX], mark(round as u64)).unwrap();
        taken += TAKE_MAX as u64;
        outbox.confirm(seq(taken - 5)).unwrap();
    }
    outbox.finish_input().unwrap();
    assert!(std::fs::metadata(folder.join("journal")).unwrap().len() < 5_000_000);
    drop(outbox);
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!((outbox.confirmed(), outbox.values(seq(taken - 4), 9)), (seq(taken - 5), vec![99; 5]));
    assert_eq!(outbox.input(), (mark(99), false));
    assert_eq!(admit(&mut outbox, 2, taken, 1), Ok(()));
}

#[test]
fn bounds_are_refused_and_change_nothing() {
    let mut outbox = Outbox::in_memory();
    assert!(matches!(outbox.take(&vec![0; TAKE_MAX + 1], mark(0)), Err(TakeError::TooMany)));
    for _ in 0..128 {
        outbox.take(&vec![0; TAKE_MAX], mark(0)).unwrap();
    }
    assert!(matches!(outbox.take(&[1], mark(0)), Err(TakeError::Full)));
    let mut outbox = Outbox::in_memory();
    admit(&mut outbox, 1, u64::MAX, 0).unwrap();
    assert!(matches!(outbox.take(&[1], mark(0)), Err(TakeError::Overflow)));
    // Values that would have to take numbers beyond the last.
    let mut outbox = Outbox::in_memory();
    outbox.take(&[1, 2], mark(0)).unwrap();
    let objection = admit(&mut outbox, 1, u64::MAX - 1, 0);
    assert_eq!(objection, Err(Objection::Beyond { last_seq: seq(u64::MAX - 1), highest: seq(2) }));
}

/// What a ledger says at a 20, and what the outbox says to it, after values 1 to 3 were sent in session 5 and 2 of them confirmed.
#[test]
fn each_duty_at_20() {
    let after = || {
        let folder = folder();
        let mut outbox = Outbox::open(&folder, &owner()).unwrap();
        outbox.take(&[1, 2, 3], mark(3)).unwrap();
        admit(&mut outbox, 5, 0, 0).unwrap();
        outbox.confirm(seq(2)).unwrap();
        outbox
    };
    assert_eq!(admit(&mut after(), 6, 2, 5), Ok(()));
    assert_eq!(admit(&mut after(), 6, 3, 5), Ok(()));
    assert_eq!(
        admit(&mut after(), 6, 1, 5),
        Err(Objection::WentBack { last_seq: seq(1), confirmed: seq(2) })
    );
    assert_eq!(admit(&mut after(), 6, 4, 5), Err(Objection::Beyond { last_seq: seq(4), highest: seq(3) }));
    assert_eq!(
        admit(&mut after(), 7, 3, 6),
        Err(Objection::AnotherWriter { session: SessionNumber::new(6), last_seq: seq(3) })
    );
    // Whoever it was, nothing was added.
    assert_eq!(admit(&mut after(), 7, 2, 6), Ok(()));
    let (session, newest) = (SessionNumber::new(5), SessionNumber::new(5));
    assert_eq!(admit(&mut after(), 5, 2, 5), Err(Objection::SessionWentBack { session, newest }));
    // An objection changes nothing.
    let mut outbox = after();
    admit(&mut outbox, 6, 1, 5).unwrap_err();
    assert_eq!((outbox.confirmed(), outbox.pending()), (seq(2), 1));
}

#[test]
fn a_new_outbox_goes_on_from_a_history_when_told_to_and_once() {
    let folder = folder();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    outbox.take(&[8, 9], mark(2)).unwrap();
    let (last_seq, sum) = (seq(3), Total::new(6));
    assert_eq!(admit(&mut outbox, 4, 3, 2), Err(Objection::History { last_seq, sum }));
    outbox.admit(&welcome(4, 3, 2), true).unwrap().unwrap();
    assert_eq!((outbox.values(seq(4), 9), outbox.confirmed()), (vec![8, 9], seq(3)));
    // From now on it is not new, whatever it is told.
    let gone = outbox.admit(&welcome(5, 0, 0), true).unwrap();
    assert_eq!(gone, Err(Objection::WentBack { last_seq: seq(0), confirmed: seq(3) }));
    drop(outbox);
    let outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!((outbox.values(seq(4), 9), outbox.is_new()), (vec![8, 9], false));
}
