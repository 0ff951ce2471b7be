//! P-30: an outbox that fills its disk. In a process of its own: it starts others, and what is
//! locked meanwhile is theirs too for a moment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use ddes_client::outbox::{InputMark, JournalError, Outbox, OutboxOwner, TakeError};
use ddes_identity::SigningKey;
use ddes_wire::v2::Welcome;
use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};

fn owner() -> OutboxOwner {
    OutboxOwner { key: SigningKey::from_seed(&[3; 32]).public(), server: "a:1".parse().unwrap() }
}

fn mark(lines: u64) -> InputMark {
    InputMark { lines, digest: [7; 32] }
}

/// Nothing was counted, and that session is new.
fn open_session(outbox: &mut Outbox, session: u64) {
    let (last_seq, last_session, sum) = (Sequence::NONE, SessionNumber::NONE, Total::ZERO);
    let standing = Standing { last_seq, last_session, sum };
    let (token, session) = (Token::new([7; 16]), SessionNumber::new(session));
    let welcome = Welcome { token, session, standing, idle_millis: 60_000, values_max: 100 };
    outbox.admit(&welcome, false, None).unwrap().unwrap();
}

/// A file system of its own, as small as that; gone with it. Only root has one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(bytes: u32) -> Option<Self> {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("small-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(&folder);
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

#[test]
fn an_outbox_that_fills_its_disk_delivers_what_it_holds_and_then_takes_again() {
    let Some(disk) = SmallDisk::new(1 << 20) else {
        eprintln!("SKIPPED: only root can mount a small disk");
        return;
    };
    let folder = disk.0.join("outbox");
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    let mut taken = 0_u64;
    let full = loop {
        match outbox.take(&[1; 1000], mark(taken)) {
            Ok(()) => taken += 1000,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, TakeError::Journal(JournalError::Full(_))), "{full}");
    assert_eq!((outbox.pending() as u64, taken > 50_000), (taken, true));
    // Others take the rest.
    let filler = std::fs::write(disk.0.join("filler"), vec![0; 1 << 20]).unwrap_err();
    assert_eq!(filler.kind(), std::io::ErrorKind::StorageFull);
    drop(outbox);
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!(outbox.pending() as u64, taken);
    // A hundred sessions without any progress, and it can still open one and deliver.
    for session in 1..=100 {
        open_session(&mut outbox, session);
        outbox.session_ended();
    }
    open_session(&mut outbox, 101);
    for counted in (500..=taken).step_by(500) {
        outbox.confirm(Sequence::new(counted), Total::new(counted.into())).unwrap().unwrap();
    }
    assert!(std::fs::metadata(folder.join("journal")).unwrap().len() < 64 * 1024);
    outbox.take(&[2; 1000], mark(1)).unwrap();
    drop(outbox);
    let outbox = Outbox::open(&folder, &owner()).unwrap();
    assert_eq!((outbox.confirmed(), outbox.pending()), (Sequence::new(taken), 1000));
}
