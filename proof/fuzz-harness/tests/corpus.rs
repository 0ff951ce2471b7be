//! What the fuzzers have found worth keeping, replayed on the stable compiler.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use ddes_fuzz_harness::{
    capture, checkpoint, classic_pair, frames, identity, journal, opened, outbox, receipt, record,
    segment, v2_pair,
};

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut count = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        run(&std::fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 5, "{} holds {count} files", folder.display());
}

#[test]
fn frames_and_messages() {
    replay("frames", frames);
}

#[test]
fn identity_files() {
    replay("identity", identity);
}

#[test]
fn outboxes() {
    replay("outbox", outbox);
}

#[test]
fn classic_sessions() {
    replay("classic_pair", classic_pair);
}

#[test]
fn v2_sessions() {
    replay("v2_pair", v2_pair);
}

#[test]
fn journals() {
    replay("journal", journal);
}

#[test]
fn segments() {
    replay("segment", segment);
}

#[test]
fn checkpoints() {
    replay("checkpoint", checkpoint);
}

#[test]
fn records() {
    replay("record", record);
}

#[test]
fn receipts() {
    replay("receipt", receipt);
}

#[test]
fn captures() {
    replay("capture", capture);
}

#[test]
fn opened_captures() {
    replay("opened", opened);
}
