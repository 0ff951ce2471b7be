//! P-29: the bounds of an outbox's files, and what a power cut may leave of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ddes_client::outbox::{InputMark, Outbox, OutboxOwner, TAKE_MAX, inspect, journal_of};
use ddes_identity::SigningKey;

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("outbox-files-{}-{count}", std::process::id()))
}

fn owner() -> OutboxOwner {
    OutboxOwner { key: SigningKey::from_seed(&[3; 32]).public(), server: "a:1".parse().unwrap() }
}

/// The longest record, of which not even the head arrived. One byte more is no such record.
#[test]
fn the_longest_record_may_be_torn_and_nothing_longer() {
    let (mut bytes, ends) = journal_of(&owner(), [7; 16], &[&[10], &[i64::MIN; TAKE_MAX]]);
    bytes[ends[1]..][..8].fill(0xff);
    let found = inspect(&bytes).unwrap();
    assert_eq!((&found.pending[..], found.torn), (&[10][..], bytes.len() - ends[1]));
    bytes.push(0);
    inspect(&bytes).unwrap_err();
}

/// A power cut in the middle of writing a mark leaves the one before it.
#[test]
fn a_mark_never_takes_the_place_of_the_newest_one() {
    let folder = folder();
    drop(Outbox::open(&folder, &owner()).unwrap());
    let slots = || {
        let mut bytes = std::fs::read(folder.join("marks")).unwrap();
        bytes.resize(1024, 0);
        [bytes[..512].to_vec(), bytes[512..].to_vec()]
    };
    let mut written = Vec::new();
    for value in 0..6 {
        let before = slots();
        let mut outbox = Outbox::open(&folder, &owner()).unwrap();
        outbox.take(&[value], InputMark::default()).unwrap();
        drop(outbox);
        let after = slots();
        let changed: Vec<usize> = (0..2).filter(|slot| before[*slot] != after[*slot]).collect();
        assert_eq!(changed.len(), 1, "one at a time");
        written.extend(changed);
    }
    assert!(written.windows(2).all(|pair| pair[0] != pair[1]), "{written:?}");
}

/// Whatever wrote it, it is not read to its end.
#[test]
fn a_file_longer_than_any_outbox_is_refused() {
    let folder = folder();
    drop(Outbox::open(&folder, &owner()).unwrap());
    let journal = std::fs::File::options().write(true).open(folder.join("journal")).unwrap();
    // Zeros that take no room on the disk, but would in a copy of it.
    journal.set_len(1 << 30).unwrap();
    let error = Outbox::open(&folder, &owner()).unwrap_err().to_string();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(error.contains("it has more than 109051904 bytes"), "{error}");
}
