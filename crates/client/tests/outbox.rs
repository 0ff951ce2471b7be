//! P-29, P-30: what an outbox keeps, and what it notices.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ddes_client::outbox::{
    InputMark, JournalError, Objection, Outbox, OutboxOwner, TAKE_MAX, TakeError, inspect,
    journal_of,
};
use ddes_identity::SigningKey;
use ddes_wire::v2::Welcome;
use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("outbox-{}-{count}", std::process::id()))
}

fn owner() -> OutboxOwner {
    OutboxOwner { key: SigningKey::from_seed(&[3; 32]).public(), server: "a:1".parse().unwrap() }
}

fn mark(lines: u64) -> InputMark {
    InputMark { lines, digest: [lines as u8; 32] }
}

/// A 20: the session's number, and the ledger's last number, whose it is, and its sum.
fn welcome(session: u64, last_seq: u64, last_session: u64, sum: i128) -> Welcome {
    Welcome {
        token: Token::new([7; 16]),
        session: SessionNumber::new(session),
        standing: Standing {
            last_seq: Sequence::new(last_seq),
            last_session: SessionNumber::new(last_session),
            sum: Total::new(sum),
        },
        idle_millis: 60_000,
        values_max: 100,
    }
}

fn admit(
    outbox: &mut Outbox,
    session: u64,
    last_seq: u64,
    last_session: u64,
    sum: i128,
) -> Result<(), Objection> {
    outbox.admit(&welcome(session, last_seq, last_session, sum), false, None).unwrap()
}

fn confirm(outbox: &mut Outbox, last_seq: u64, sum: i128) -> Result<(), Objection> {
    outbox.confirm(seq(last_seq), Total::new(sum)).unwrap()
}

/// As `cp -a` does.
fn copy(from: &Path) -> PathBuf {
    let to = folder();
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    to
}

/// A power cut may lose what was not synced.
fn lose_marks(folder: &Path) {
    std::fs::remove_file(folder.join("marks")).unwrap();
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
    admit(&mut outbox, 4, 0, 0, 0).unwrap();
    confirm(&mut outbox, 1, 1).unwrap();
    drop(outbox);
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!((outbox.pending(), outbox.confirmed()), (2, seq(1)));
    assert_eq!(outbox.values(seq(2), 10), [-2, i64::MIN]);
    assert_eq!(outbox.values(seq(3), 10), [i64::MIN]);
    assert_eq!(outbox.input(), (mark(5), true));
    outbox.finish_input().unwrap();
    drop(outbox);
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!(outbox.input(), (mark(5), false));
    // The next one begins at its first line.
    outbox.begin_input().unwrap();
    drop(outbox);
    let begun = (InputMark::default(), true);
    assert_eq!(Outbox::open(&folder, &owner()).unwrap().input(), begun);
}

#[test]
fn one_process_at_a_time_and_one_owner() {
    let folder = folder();
    let held = Outbox::open(&folder, &owner()).unwrap();
    assert!(matches!(Outbox::open(&folder, &owner()), Err(JournalError::Locked(_))));
    drop(held);
    let other = OutboxOwner { server: "b:1".parse().unwrap(), ..owner() };
    assert!(matches!(Outbox::open(&folder, &other), Err(JournalError::Foreign { .. })));
}

#[test]
fn the_journal_cut_at_each_byte_keeps_whole_takings_only() {
    let folder = folder();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    admit(&mut outbox, 1, 0, 0, 0).unwrap();
    let journal = folder.join("journal");
    let begin = std::fs::metadata(&journal).unwrap().len() as usize;
    for i in 0..3 {
        outbox.take(&[10 * i, 10 * i + 1], mark(2 * i as u64 + 2)).unwrap();
    }
    drop(outbox);
    lose_marks(&folder);
    let whole = std::fs::read(&journal).unwrap();
    for length in begin..=whole.len() {
        std::fs::write(&journal, &whole[..length]).unwrap();
        let outbox = Outbox::open(&folder, &owner()).unwrap();
        let record = (whole.len() - begin) / 3;
        let takings = (length - begin) / record;
        assert_eq!(outbox.torn_bytes(), (length - begin) % record, "{length}");
        assert_eq!(
            (outbox.pending(), outbox.input().0.lines),
            (2 * takings, 2 * takings as u64),
            "{length}"
        );
        drop(outbox);
        // What was torn off is gone, so that what follows is not lost behind it.
        let mut outbox = Outbox::open(&folder, &owner()).unwrap();
        outbox.take(&[99], mark(99)).unwrap();
        drop(outbox);
        assert_eq!(Outbox::open(&folder, &owner()).unwrap().pending(), 2 * takings + 1);
        lose_marks(&folder);
    }
}

/// As a file system leaves it that has the length and not all bytes.
#[test]
fn the_journal_cut_at_each_byte_and_filled_with_zeros_keeps_whole_takings_only() {
    let (first, second) = ([10, 11, 12], [20, 21]);
    let (whole, ends) = journal_of(&owner(), [7; 16], &[&first, &second]);
    for length in ends[1]..whole.len() {
        let mut bytes = whole[..length].to_vec();
        bytes.resize(whole.len(), 0);
        if bytes == whole {
            continue;
        }
        let found = inspect(&bytes).unwrap();
        assert_eq!(
            (&found.pending[..], found.torn),
            (&first[..], whole.len() - ends[1]),
            "{length}"
        );
        // With anything behind it, it was whole once.
        bytes.extend(&whole[ends[1]..]);
        inspect(&bytes).unwrap_err();
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
    assert!(
        matches!(&error, JournalError::Damaged { why, .. } if why.contains("at byte")),
        "{error}"
    );
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
    admit(&mut outbox, 1, 0, 0, 0).unwrap();
    let (mut taken, mut sum) = (0, 0);
    for round in 0..100 {
        outbox.take(&vec![round; TAKE_MAX], mark(round as u64)).unwrap();
        taken += TAKE_MAX as u64;
        sum += i128::from(round) * TAKE_MAX as i128;
        confirm(&mut outbox, taken - 5, sum - 5 * i128::from(round)).unwrap();
    }
    outbox.finish_input().unwrap();
    assert!(std::fs::metadata(folder.join("journal")).unwrap().len() < 5_000_000);
    drop(outbox);
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!(
        (outbox.confirmed(), outbox.values(seq(taken - 4), 9)),
        (seq(taken - 5), vec![99; 5])
    );
    assert_eq!(outbox.input(), (mark(99), false));
    assert_eq!(admit(&mut outbox, 2, taken, 1, sum), Ok(()));
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
    admit(&mut outbox, 1, u64::MAX, 0, 0).unwrap();
    assert!(matches!(outbox.take(&[1], mark(0)), Err(TakeError::Overflow)));
    // Values that would have to take numbers beyond the last.
    let mut outbox = Outbox::in_memory();
    outbox.take(&[1, 2], mark(0)).unwrap();
    let objection = admit(&mut outbox, 1, u64::MAX - 1, 0, 0);
    assert_eq!(objection, Err(Objection::Beyond { last_seq: seq(u64::MAX - 1), sent: seq(0) }));
}

/// What a ledger says at a 20, and what the outbox says to it, after values 1 to 3 were sent in
/// session 5 and 2 of them confirmed.
#[test]
fn each_duty_at_20() {
    let after = || {
        let folder = folder();
        let mut outbox = Outbox::open(&folder, &owner()).unwrap();
        outbox.take(&[1, 2, 3], mark(3)).unwrap();
        admit(&mut outbox, 5, 0, 0, 0).unwrap();
        confirm(&mut outbox, 2, 3).unwrap();
        outbox.session_ended();
        outbox
    };
    assert_eq!(admit(&mut after(), 6, 2, 5, 3), Ok(()));
    assert_eq!(admit(&mut after(), 6, 3, 5, 6), Ok(()));
    assert_eq!(
        admit(&mut after(), 6, 1, 5, 1),
        Err(Objection::WentBack { last_seq: seq(1), confirmed: seq(2) })
    );
    assert_eq!(
        admit(&mut after(), 6, 4, 5, 9),
        Err(Objection::Beyond { last_seq: seq(4), sent: seq(3) })
    );
    assert_eq!(
        admit(&mut after(), 7, 3, 6, 6),
        Err(Objection::AnotherWriter { session: SessionNumber::new(6), last_seq: seq(3) })
    );
    // Whoever it was, nothing was added.
    assert_eq!(admit(&mut after(), 7, 2, 6, 3), Ok(()));
    let (session, newest) = (SessionNumber::new(5), SessionNumber::new(5));
    assert_eq!(
        admit(&mut after(), 5, 2, 5, 3),
        Err(Objection::SessionWentBack { session, newest })
    );
    // Other values under the numbers of ours.
    let (sum, expected) = (Total::new(7), Total::new(6));
    assert_eq!(
        admit(&mut after(), 6, 3, 5, 7),
        Err(Objection::Sum { last_seq: seq(3), sum, expected })
    );
    let (sum, expected) = (Total::new(4), Total::new(3));
    assert_eq!(
        admit(&mut after(), 6, 2, 5, 4),
        Err(Objection::Sum { last_seq: seq(2), sum, expected })
    );
    // An objection changes nothing.
    let mut outbox = after();
    admit(&mut outbox, 6, 1, 5, 1).unwrap_err();
    assert_eq!((outbox.confirmed(), outbox.pending()), (seq(2), 1));
}

#[test]
fn each_duty_at_40_and_50() {
    let after = || {
        let mut outbox = Outbox::in_memory();
        outbox.take(&[1, 2], mark(2)).unwrap();
        admit(&mut outbox, 5, 0, 0, 0).unwrap();
        outbox.take(&[3], mark(3)).unwrap();
        confirm(&mut outbox, 1, 1).unwrap();
        outbox
    };
    assert_eq!(confirm(&mut after(), 1, 1), Ok(()));
    assert_eq!(confirm(&mut after(), 3, 6), Ok(()));
    let (last_seq, sum, expected) = (seq(2), Total::new(4), Total::new(3));
    let mut outbox = after();
    assert_eq!(confirm(&mut outbox, 2, 4), Err(Objection::Sum { last_seq, sum, expected }));
    assert_eq!((outbox.confirmed(), outbox.pending()), (seq(1), 2));
    let beyond = Objection::Beyond { last_seq: seq(4), sent: seq(3) };
    assert_eq!(confirm(&mut after(), 4, 10), Err(beyond));
    assert_eq!(
        confirm(&mut after(), 0, 0),
        Err(Objection::WentBack { last_seq: seq(0), confirmed: seq(1) })
    );
}

/// A session was open when the folder was copied; the original counted five more in it; the copy
/// takes others under their numbers, before it hears anything.
#[test]
fn a_copy_put_back_that_takes_other_values_objects_and_keeps_them() {
    let original = folder();
    let mut outbox = Outbox::open(&original, &owner()).unwrap();
    outbox.take(&[5], mark(1)).unwrap();
    admit(&mut outbox, 5, 0, 0, 0).unwrap();
    confirm(&mut outbox, 1, 5).unwrap();
    let copied = copy(&original);
    outbox.take(&[1, 1, 1, 1, 1], mark(6)).unwrap();
    assert_eq!(outbox.values(seq(2), 9), [1; 5]);
    confirm(&mut outbox, 6, 10).unwrap();
    // Fewer, as many and more.
    for count in [0, 1, 5, 6] {
        let again = copy(&copied);
        let mut outbox = Outbox::open(&again, &owner()).unwrap();
        outbox.take(&vec![100; count], mark(9)).unwrap();
        let beyond = Objection::Beyond { last_seq: seq(6), sent: seq(1) };
        assert_eq!(admit(&mut outbox, 6, 6, 5, 10), Err(beyond), "{count}");
        assert_eq!(outbox.pending(), count);
        drop(outbox);
        // And so it does again.
        let mut outbox = Outbox::open(&again, &owner()).unwrap();
        assert_eq!((admit(&mut outbox, 7, 6, 5, 10), outbox.pending()), (Err(beyond), count));
    }
}

/// A machine goes on from a snapshot of its memory: for the process its session is still open, and
/// what it takes counts as sent.
#[test]
fn a_machine_set_back_with_its_memory_is_told_by_the_sum() {
    let mut outbox = Outbox::open(&folder(), &owner()).unwrap();
    admit(&mut outbox, 5, 0, 0, 0).unwrap();
    outbox.take(&[100, 200, 300], mark(3)).unwrap();
    outbox.session_ended();
    // Before it was set back it had sent 7 and 8 under these numbers.
    let (sum, expected) = (Total::new(15), Total::new(300));
    assert_eq!(
        admit(&mut outbox, 6, 2, 5, 15),
        Err(Objection::Sum { last_seq: seq(2), sum, expected })
    );
    assert_eq!(outbox.pending(), 3);
}

#[test]
fn values_go_out_only_once_they_are_noted_as_sent() {
    let mut outbox = Outbox::open(&folder(), &owner()).unwrap();
    outbox.take(&[1, 2], mark(2)).unwrap();
    assert!(outbox.values(seq(1), 9).is_empty());
    admit(&mut outbox, 5, 0, 0, 0).unwrap();
    outbox.take(&[3], mark(3)).unwrap();
    assert_eq!(outbox.values(seq(1), 9), [1, 2, 3]);
    outbox.session_ended();
    outbox.take(&[4], mark(4)).unwrap();
    assert_eq!(outbox.values(seq(1), 9), [1, 2, 3]);
}

#[test]
fn any_bit_flipped_in_an_outbox_is_damage_and_nothing_is_lost() {
    let whole = folder();
    let mut outbox = Outbox::open(&whole, &owner()).unwrap();
    admit(&mut outbox, 1, 0, 0, 0).unwrap();
    outbox.take(&[10, 20, 30], mark(3)).unwrap();
    outbox.take(&[40, 50], mark(5)).unwrap();
    drop(outbox);
    let journal = std::fs::read(whole.join("journal")).unwrap();
    for at in 0..journal.len() {
        let mut bytes = journal.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(whole.join("journal"), &bytes).unwrap();
        let error = Outbox::open(&whole, &owner()).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "byte {at}: {error}");
        assert!(
            std::fs::read(whole.join("journal")).unwrap() == bytes,
            "byte {at}: it was changed"
        );
    }
}

/// Without the marks, as after a power cut: only the last record can have been torn.
#[test]
fn a_whole_record_behind_a_broken_one_is_damage() {
    let whole = folder();
    let mut outbox = Outbox::open(&whole, &owner()).unwrap();
    let begin = std::fs::metadata(whole.join("journal")).unwrap().len() as usize;
    outbox.take(&[10, 20, 30], mark(3)).unwrap();
    let last = std::fs::metadata(whole.join("journal")).unwrap().len() as usize;
    outbox.take(&[40, 50], mark(5)).unwrap();
    drop(outbox);
    lose_marks(&whole);
    let journal = std::fs::read(whole.join("journal")).unwrap();
    for at in begin..last {
        let mut bytes = journal.clone();
        bytes[at] ^= 1;
        std::fs::write(whole.join("journal"), &bytes).unwrap();
        let error = Outbox::open(&whole, &owner()).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "byte {at}: {error}");
    }
    // And one that is missing in the middle.
    std::fs::write(whole.join("journal"), [&journal[..begin], &journal[last..]].concat()).unwrap();
    let error = Outbox::open(&whole, &owner()).unwrap_err();
    assert!(
        matches!(&error, JournalError::Damaged { why, .. } if why.contains("follow")),
        "{error}"
    );
}

#[test]
fn an_end_that_was_durable_and_is_missing_is_damage() {
    let whole = folder();
    let mut outbox = Outbox::open(&whole, &owner()).unwrap();
    let begin = std::fs::metadata(whole.join("journal")).unwrap().len();
    outbox.take(&[10, 20, 30], mark(3)).unwrap();
    drop(outbox);
    let journal = std::fs::OpenOptions::new().write(true).open(whole.join("journal")).unwrap();
    journal.set_len(begin).unwrap();
    let error = Outbox::open(&whole, &owner()).unwrap_err();
    assert!(
        matches!(&error, JournalError::Damaged { why, .. } if why.contains("durable")),
        "{error}"
    );
}

#[test]
fn an_outbox_whose_lock_was_removed_still_has_one_process() {
    let folder = folder();
    let held = Outbox::open(&folder, &owner()).unwrap();
    std::fs::remove_file(folder.join("lock")).unwrap();
    assert!(matches!(Outbox::open(&folder, &owner()), Err(JournalError::Locked(_))));
    // The same file in another folder, without its lock.
    let linked = self::folder();
    std::fs::create_dir(&linked).unwrap();
    std::fs::hard_link(folder.join("journal"), linked.join("journal")).unwrap();
    assert!(matches!(Outbox::open(&linked, &owner()), Err(JournalError::Locked(_))));
    drop(held);
    Outbox::open(&folder, &owner()).unwrap();
}

#[test]
fn an_outbox_folder_that_was_moved_takes_its_values_along_and_writes_into_no_other() {
    let (folder, moved) = (folder(), folder());
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    admit(&mut outbox, 1, 0, 0, 0).unwrap();
    std::fs::rename(&folder, &moved).unwrap();
    let other = Outbox::open(&folder, &owner()).unwrap();
    let untouched = std::fs::read(folder.join("journal")).unwrap();
    outbox.take(&[1, 2], mark(2)).unwrap();
    // Enough to write the file anew: that would give a name, and the path leads elsewhere.
    let mut error = None;
    for round in 0..100_u64 {
        if let Err(TakeError::Journal(why)) = outbox.take(&vec![0; TAKE_MAX], mark(3)) {
            error = Some(why);
            break;
        }
        let last = 2 + (round + 1) * TAKE_MAX as u64;
        if let Err(why) = outbox.confirm(seq(last), Total::new(3)) {
            error = Some(why);
            break;
        }
    }
    assert!(matches!(error, Some(JournalError::Moved(_))), "{error:?}");
    assert!(std::fs::read(folder.join("journal")).unwrap() == untouched);
    drop((outbox, other));
    assert!(Outbox::open(&moved, &owner()).unwrap().confirmed() > seq(2));
}

#[test]
fn a_journal_replaced_while_it_is_in_use_takes_nothing_more() {
    let folder = folder();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    std::fs::rename(folder.join("journal"), folder.join("was")).unwrap();
    std::fs::copy(folder.join("was"), folder.join("journal")).unwrap();
    let error = outbox.take(&[1], mark(1)).unwrap_err();
    assert!(matches!(error, TakeError::Journal(JournalError::Moved(_))), "{error}");
    assert_eq!(outbox.pending(), 0);
}

/// Made by the first version: 5 counted, 10, 20 and 30 taken while a session was open, then 40 and
/// 50.
fn of_the_first_format() -> PathBuf {
    let folder = folder();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("journal"), include_bytes!("first-format.journal")).unwrap();
    folder
}

#[test]
fn a_new_outbox_goes_on_from_a_history_when_told_to_and_once() {
    let folder = folder();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    outbox.take(&[8, 9], mark(2)).unwrap();
    let (last_seq, sum) = (seq(3), Total::new(6));
    assert_eq!(admit(&mut outbox, 4, 3, 2, 6), Err(Objection::History { last_seq, sum }));
    outbox.admit(&welcome(4, 3, 2, 6), true, None).unwrap().unwrap();
    assert_eq!((outbox.values(seq(4), 9), outbox.confirmed()), (vec![8, 9], seq(3)));
    // From now on it is not new, whatever it is told.
    let gone = outbox.admit(&welcome(5, 0, 0, 0), true, None).unwrap();
    assert_eq!(gone, Err(Objection::WentBack { last_seq: seq(0), confirmed: seq(3) }));
    drop(outbox);
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!((outbox.values(seq(4), 9), outbox.is_new()), (vec![8, 9], false));
    // Its sum is that of the history, and goes on from there.
    assert_eq!(admit(&mut outbox, 5, 4, 4, 14), Ok(()));
    assert!(matches!(confirm(&mut outbox, 5, 24), Err(Objection::Sum { .. })));
    assert_eq!(confirm(&mut outbox, 5, 23), Ok(()));
}

#[test]
fn an_outbox_of_the_first_format_is_read_written_anew_and_goes_on() {
    let folder = of_the_first_format();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!(
        (outbox.confirmed(), outbox.pending(), outbox.input()),
        (seq(1), 5, (mark(6), true))
    );
    assert!(
        std::fs::read(folder.join("journal"))
            .unwrap()
            .windows(16)
            .any(|bytes| bytes == b"D-DDES/2 outbox2")
    );
    drop(outbox);
    outbox = Outbox::open(&folder, &owner()).unwrap();
    // Before its first session it takes the ledger's word for the sum; all that it had given out
    // may have been sent.
    let mut again = Outbox::open(&copy(&folder), &owner()).unwrap();
    assert_eq!(
        admit(&mut again, 6, 7, 5, 0),
        Err(Objection::Beyond { last_seq: seq(7), sent: seq(6) })
    );
    assert_eq!(admit(&mut outbox, 6, 2, 5, 15), Ok(()));
    assert!(matches!(confirm(&mut outbox, 3, 34), Err(Objection::Sum { .. })));
    assert_eq!(confirm(&mut outbox, 6, 155), Ok(()));
}

#[test]
fn a_flipped_bit_in_an_outbox_of_the_first_format_is_damage() {
    let folder = of_the_first_format();
    let whole = std::fs::read(folder.join("journal")).unwrap();
    // In the values 10, 20 and 30; behind them are 40 and 50.
    let at = whole.windows(8).position(|bytes| bytes == 20_i64.to_be_bytes()).unwrap();
    let mut bytes = whole.clone();
    bytes[at + 7] ^= 1;
    std::fs::write(folder.join("journal"), &bytes).unwrap();
    assert!(matches!(Outbox::open(&folder, &owner()), Err(JournalError::Damaged { .. })));
    assert_eq!(std::fs::read(folder.join("journal")).unwrap(), bytes);
    // A torn end is one.
    std::fs::write(folder.join("journal"), &whole[..whole.len() - 3]).unwrap();
    let outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!((outbox.pending(), outbox.torn_bytes() > 0), (3, true));
}

#[test]
fn a_new_outboxs_folder_and_its_parents_are_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let top = folder();
    let deep = top.join("a/b/outbox");
    drop(Outbox::open(&deep, &owner()).unwrap());
    for made in [&top, &top.join("a"), &top.join("a/b"), &deep] {
        assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
    }
    for file in ["journal", "marks", "lock"] {
        assert_eq!(std::fs::metadata(deep.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
