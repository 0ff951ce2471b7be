//! P-30: the calls by which an outbox's folder and files become durable, in their order, as strace
//! sees them. What the simulator's disk takes for granted of the real one is held to it here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use ddes_client::outbox::{InputMark, Outbox, OutboxOwner};
use ddes_identity::SigningKey;

/// Where the process under strace lives.
const PLACE: &str = "DDES_TEST_TRACED_IN";
const CALLS: &str = "trace=?mkdir,?mkdirat,pwrite64,ftruncate,fdatasync,fsync,?renameat,?renameat2";

/// What is to be seen, in the folder that both of these are in.
const EXPECTED: &[&str] = &[
    // A new outbox in new folders: each name is durable before there is anything in it.
    "mkdir new",
    "fsync .",
    "mkdir new/outbox",
    "fsync new",
    "pwrite64 new/outbox/journal.new",
    "fdatasync new/outbox/journal.new",
    "renameat journal",
    "fsync new/outbox",
    // What it takes, and the evidence of it.
    "pwrite64 new/outbox/journal",
    "fdatasync new/outbox/journal",
    "pwrite64 new/outbox/marks",
    // Opened again.
    "fdatasync new/outbox/journal",
    // Opened without the evidence: the last record, and the name.
    "pwrite64 new/outbox/journal",
    "fdatasync new/outbox/journal",
    "fsync new/outbox",
    // Opened with a torn end.
    "ftruncate new/outbox/journal",
    "pwrite64 new/outbox/journal",
    "fdatasync new/outbox/journal",
    "fsync new/outbox",
    // A folder that another process has made, perhaps a moment ago.
    "fsync .",
    "pwrite64 made/journal.new",
    "fdatasync made/journal.new",
    "renameat journal",
    "fsync made",
];

fn open(folder: &Path) -> Outbox {
    let key = SigningKey::from_seed(&[3; 32]).public();
    let owner = OutboxOwner { key, server: "a:1".parse().unwrap() };
    Outbox::open(folder, &owner).unwrap()
}

/// What the traced process does.
fn live(place: &Path) {
    let folder = place.join("new/outbox");
    open(&folder).take(&[1, 2], InputMark::default()).unwrap();
    drop(open(&folder));
    std::fs::remove_file(folder.join("marks")).unwrap();
    drop(open(&folder));
    let mut bytes = std::fs::read(folder.join("journal")).unwrap();
    bytes.extend([0; 7]);
    std::fs::write(folder.join("journal"), bytes).unwrap();
    drop(open(&folder));
    drop(open(&place.join("made")));
}

/// A line of strace's as `call path`; `None` if the call failed.
fn call_of(line: &str, place: &Path) -> Option<String> {
    let (head, arguments) = line.split_once('(')?;
    let name = head.rsplit(' ').next()?;
    let name = name.strip_suffix("at2").map_or(name.to_owned(), |name| format!("{name}at"));
    line.ends_with(" = 0").then_some(()).or_else(|| name.starts_with("pwrite").then_some(()))?;
    let path = match &*name {
        "mkdir" | "mkdirat" | "renameat" => arguments.rsplit('"').nth(1)?,
        _ => arguments.split(['<', '>']).nth(1)?,
    };
    let inside = Path::new(path).strip_prefix(place).map_or(path.into(), Path::to_path_buf);
    let inside = if inside == Path::new("") { PathBuf::from(".") } else { inside };
    Some(format!("{} {}", name.replace("mkdirat", "mkdir"), inside.display()))
}

#[test]
fn every_name_and_every_byte_is_synced_before_it_is_relied_on() {
    if let Some(place) = std::env::var_os(PLACE) {
        return live(Path::new(&place));
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sync-{}", std::process::id()));
    std::fs::create_dir_all(place.join("made")).unwrap();
    let place = place.canonicalize().unwrap();
    let trace = place.join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-e", CALLS, "-o"]).arg(&trace);
    strace.arg(std::env::current_exe().unwrap()).arg("--test-threads=1").env(PLACE, &place);
    let Ok(output) = strace.output() else {
        eprintln!("SKIPPED: strace is not installed");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = std::fs::read_to_string(trace).unwrap();
    let found: Vec<_> = trace.lines().filter_map(|line| call_of(line, &place)).collect();
    assert_eq!(found, EXPECTED);
    std::fs::remove_dir_all(place).unwrap();
}
