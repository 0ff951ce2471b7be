//! What is on disk before a word leaves, as strace tells it: of an outbox before a 30, of a ledger
//! before a 40.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use std::io::Write;

use crate::exactly_once::World;
use crate::files::{can, has};
use crate::secure::fingerprint;
use crate::{ddes_at, folder, output, started};

const CALLS: &str = "trace=openat,pwrite64,write,writev,sendto,sendmsg,renameat,renameat2,fsync,fdatasync,ftruncate";
/// Superblocks stand before the frames of a segment: they are evidence, and written at leisure.
const FRAMES_FROM: u64 = 4096;

/// One call on a file, in order.
#[derive(Debug, PartialEq)]
enum Call {
    Write {
        path: String,
        offset: u64,
    },
    Sync(String),
    Rename {
        folder: String,
        from: String,
        to: String,
    },
    /// Bytes leave for the peer.
    Send,
}

/// The path of the `nth` descriptor of a call, as `-y` shows it.
fn described(line: &str, nth: usize) -> Option<&str> {
    line.split('<').nth(nth + 1)?.split('>').next()
}

/// What strace writes at the end of a call's first half, where another thread's call comes between
/// the halves.
const CUT: &str = " <unfinished ...>";

/// The calls of a trace. Of a call in two halves, bytes leave at the first and are durable at the
/// second.
struct Trace {
    calls: Vec<Call>,
    /// Syncs that have begun, by their threads.
    begun: HashMap<String, Call>,
}

impl Trace {
    fn read(&mut self, line: &str) {
        let Some((thread, line)) = line.split_once(' ') else { return };
        let line = line.trim_start();
        if line.starts_with("<... ") {
            let synced = self.begun.remove(thread);
            self.calls.extend(synced.filter(|_| !line.contains(" = -1 ")));
            return;
        }
        match parse(line.trim_end_matches(CUT)) {
            Some(call @ Call::Sync(_)) if line.ends_with(CUT) => {
                self.begun.insert(thread.to_owned(), call);
            }
            call => self.calls.extend(call),
        }
    }
}

/// A whole call, or its first half.
fn parse(line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    // What failed changed nothing.
    if line.contains(" = -1 ") {
        return None;
    }
    let path = described(line, 0)?.to_owned();
    let is_socket = ["TCP", "socket:"].iter().any(|kind| path.starts_with(kind));
    match name {
        "sendto" | "sendmsg" | "write" | "writev" if is_socket => Some(Call::Send),
        "pwrite64" => {
            let inside =
                line.split(" = ").next().and_then(|call| call.strip_suffix(')')).unwrap_or(line);
            let offset = inside.rsplit(", ").next().unwrap().parse();
            Some(Call::Write { path, offset: offset.unwrap_or_else(|_| panic!("{line}")) })
        }
        "fsync" | "fdatasync" => Some(Call::Sync(path)),
        "renameat" | "renameat2" => {
            let mut names = rest.split('"').skip(1).step_by(2).map(str::to_owned);
            Some(Call::Rename { folder: path, from: names.next()?, to: names.next()? })
        }
        _ => None,
    }
}

fn calls(log: &Path) -> Vec<Call> {
    let mut trace = Trace { calls: Vec::new(), begun: HashMap::new() };
    fs::read_to_string(log).unwrap().lines().for_each(|line| trace.read(line));
    trace.calls
}

fn strace(log: &Path) -> Command {
    let mut command = Command::new("strace");
    // A path is told whole; what is written is of no interest.
    command.args(["-f", "--seccomp-bpf", "-y", "-s", "0", "-qq", "-e", CALLS, "-o"]).arg(log);
    command
}

/// What is written in `folder` and not yet durable, as the calls go on.
#[derive(Default)]
struct Unsynced {
    files: HashSet<String>,
    names: bool,
}

impl Unsynced {
    /// Nothing gets a name before it is durable.
    fn note(&mut self, call: &Call, in_folder: &str, is_evidence: impl Fn(&str, u64) -> bool) {
        match call {
            Call::Write { path, offset }
                if path.starts_with(in_folder) && !is_evidence(path, *offset) =>
            {
                self.files.insert(path.clone());
            }
            Call::Sync(path) if path == in_folder => self.names = false,
            Call::Sync(path) => drop(self.files.remove(path)),
            Call::Rename { folder, from, to } if folder == in_folder => {
                let path = format!("{in_folder}/{from}");
                assert!(!self.files.contains(&path), "{from} is named {to} before it is durable");
                self.names = true;
            }
            Call::Write { .. } | Call::Rename { .. } | Call::Send => {}
        }
    }
}

#[test]
fn a_call_in_two_halves_is_read_as_the_whole_one() {
    let trace = "\
1 pwrite64(5</l/journal-1>, \"\"..., 512, 0 <unfinished ...>
2 fdatasync(5</l/journal-1> <unfinished ...>
3 sendto(7<TCP:[1]>, \"\"..., 9, MSG_NOSIGNAL, NULL, 0 <unfinished ...>
1 <... pwrite64 resumed>)  = 512
2 <... fdatasync resumed>)  = 0
3 <... sendto resumed>)  = 9
2 fsync(5</l> <unfinished ...>
2 <... fsync resumed>)  = -1 EIO (Input/output error)
1 pwrite64(5</l/journal-1>, \"\"..., 512, 8192) = 512
";
    let mut read = Trace { calls: Vec::new(), begun: HashMap::new() };
    trace.lines().for_each(|line| read.read(line));
    let journal = "/l/journal-1".to_owned();
    let expected = [
        Call::Write { path: journal.clone(), offset: 0 },
        Call::Send,
        Call::Sync(journal.clone()),
        Call::Write { path: journal, offset: 8192 },
    ];
    assert_eq!(read.calls, expected);
}

#[test]
fn an_outbox_is_durable_before_anything_is_sent_and_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    if !can("strace", has("strace")) {
        return;
    }
    let world = World::new();
    let log = folder().join("trace");
    let plain = world.send("outbox", &["1", "2", "3"]);
    let mut traced = strace(&log);
    traced.arg(plain.get_program()).args(plain.get_args()).env("DDES_HOME", &world.home);
    let (code, _, error) = output(traced);
    assert_eq!(code, 0, "{error}");
    let outbox = fs::canonicalize(world.home.join("outbox")).unwrap();
    let (mut unsynced, mut sends, mut writes) = (Unsynced::default(), 0, 0);
    for call in calls(&log) {
        // Where it stands with the ledger is told again by the next 20.
        unsynced.note(&call, outbox.to_str().unwrap(), |path, _| path.ends_with("/marks"));
        match call {
            Call::Send => {
                sends += 1;
                assert!(
                    unsynced.files.is_empty() && !unsynced.names,
                    "{:?} is not durable",
                    unsynced.files
                );
            }
            Call::Write { .. } => writes += 1,
            Call::Sync(_) | Call::Rename { .. } => {}
        }
    }
    // Messages 1 and 4, three 30s and a 50; owner, states and values.
    assert!(sends >= 6 && writes >= 6, "{sends} sends, {writes} writes");
    for file in fs::read_dir(&outbox).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }
}

#[test]
fn a_ledger_is_durable_before_anything_is_acknowledged() {
    if !can("strace", has("strace")) {
        return;
    }
    let (home, log) = (folder(), folder().join("trace"));
    let mut traced = strace(&log);
    traced.arg(env!("CARGO_BIN_EXE_ddes")).args(["serve", "--json", "--listen", "127.0.0.1:0"]);
    // Other tests may ask what answers at the usual HTTP address. That would be a sent word too.
    traced.args(["--http", "off", "--segment-bytes", "1048576"]).env("DDES_HOME", &home);
    let mut server = started(traced);
    let (trust, address) = (fingerprint(&home), server.address.clone());
    let send = |values: &[&str]| {
        let flags = ["send", "--server", &address, "--trust", &trust];
        let mut command = ddes_at(&home, &[&flags[..], values].concat());
        let numbers: String = (0..200_000).map(|number| format!("{number}\n")).collect();
        let file = folder().join("numbers");
        fs::write(&file, numbers).unwrap();
        command.stdin(fs::File::open(file).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (code, _, error) = output(command);
        assert_eq!(code, 0, "{error}");
    };
    // One at a time: nothing is written while something else is acknowledged. A client gives
    // several integers in several frames, if it is slow.
    ["1", "2", "3"].iter().for_each(|value| send(&[value]));
    let alone = calls(&log).len();
    send(&["-"]);
    server.child.stdin.as_mut().unwrap().write_all(b"exit\n").unwrap();
    assert!(server.child.wait().unwrap().success());
    let ledger = fs::canonicalize(home.join("ledger")).unwrap();
    let (mut unsynced, mut renames) = (Unsynced::default(), 0);
    for (place, call) in calls(&log).into_iter().enumerate() {
        unsynced.note(&call, ledger.to_str().unwrap(), |path, offset| {
            path.contains("/journal-") && offset < FRAMES_FROM
        });
        match &call {
            Call::Send if place < alone => {
                assert!(unsynced.files.is_empty(), "{:?} is not durable", unsynced.files);
            }
            // A segment's name is durable before a batch goes there.
            Call::Write { path, offset }
                if path.contains("/journal-") && *offset >= FRAMES_FROM =>
            {
                assert!(!unsynced.names, "{path} may lose its name");
            }
            Call::Rename { .. } => renames += 1,
            Call::Send | Call::Write { .. } | Call::Sync(_) => {}
        }
    }
    assert!(renames >= 2 && alone > 6, "{renames} segments, {alone} calls");
}
