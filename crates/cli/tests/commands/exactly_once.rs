//! Outboxes: every integer counts exactly once, and what would miscount is noticed (P-29, P-30).

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Running, ddes_at, folder, output, started};

const COUNT: u64 = 20_000;
const SUM: u64 = COUNT * (COUNT + 1) / 2;
/// A journal longer than this has its first record of values whole: 8,192 of them, and what stands
/// before.
const TAKEN_BYTES: u64 = 66_000;

/// A home, a server that its identities may use, and a folder for files.
pub(crate) struct World {
    pub(crate) home: PathBuf,
    pub(crate) server: Running,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = folder();
        // It is served there again.
        let server = serve(&home, &crate::unused_address());
        let world = Self { home, server };
        let (_, shown, _) =
            output(ddes_at(&world.home, &["key", "show", "--server-key", "--quiet"]));
        let added = ["trust", "add", &world.server.address, shown.trim()];
        assert_eq!(output(ddes_at(&world.home, &added)).0, 0);
        world
    }

    pub(crate) fn send(&self, outbox: &str, arguments: &[&str]) -> Command {
        let folder = self.home.join(outbox);
        let flags =
            ["send", "--server", &self.server.address, "--outbox", folder.to_str().unwrap()];
        ddes_at(&self.home, &[&flags[..], arguments].concat())
    }

    pub(crate) fn total(&self, identity: &str) -> (String, String) {
        let total = ["total", "--json", "--as", identity, "--server", &self.server.address];
        let (_, total, _) = output(ddes_at(&self.home, &total));
        let total: serde_json::Value = serde_json::from_str(&total).unwrap();
        (total["count"].as_str().unwrap().into(), total["sum"].as_str().unwrap().into())
    }

    /// Another home with the same identity, which knows the server.
    pub(crate) fn elsewhere(&self) -> PathBuf {
        let elsewhere = folder();
        // Some identity is there only once it was used.
        assert_eq!(output(ddes_at(&self.home, &["total", "--server", &self.server.address])).0, 0);
        for name in ["identities", "known_servers"] {
            let copied =
                Command::new("cp").arg("-rp").arg(self.home.join(name)).arg(&elsewhere).status();
            assert!(copied.unwrap().success());
        }
        elsewhere
    }

    fn numbers(&self) -> PathBuf {
        let path = self.home.join("numbers");
        let lines: String = (1..=COUNT).map(|number| format!("{number}\n")).collect();
        std::fs::write(&path, lines).unwrap();
        path
    }
}

fn serve(home: &Path, listen: &str) -> Running {
    started(ddes_at(home, &["serve", "--json", "--frame-values", "50", "--listen", listen]))
}

fn from(mut command: Command, file: &Path) -> Command {
    command.stdin(File::open(file).unwrap());
    command
}

#[test]
fn killed_at_any_point_and_resumed_it_counts_each_integer_once() {
    let world = World::new();
    let numbers = world.numbers();
    // Seeded: 1 ms, 5 ms, 9 ms … into its life, well into the sending.
    for wait in (0..12).map(|i| Duration::from_millis(1 + 4 * i)) {
        let mut sender = from(world.send("outbox", &["--resume", "-q", "-"]), &numbers);
        let mut sender = sender.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(wait);
        sender.kill().unwrap();
        sender.wait().unwrap();
    }
    let (code, sum, error) = output(from(world.send("outbox", &["--resume", "-q", "-"]), &numbers));
    // The last of them may have come to its end before it was killed.
    let is_done = code == 1 && error.contains("there is no input to resume");
    assert!(is_done || (code, sum) == (0, format!("{SUM}\n")), "{error}");
    assert_eq!(world.total("default"), (COUNT.to_string(), SUM.to_string()));
    // It came to its end, so there is nothing to resume.
    assert_eq!(output(from(world.send("outbox", &["--resume", "-q", "-"]), &numbers)).0, 1);
    assert_eq!(world.total("default"), (COUNT.to_string(), SUM.to_string()));
}

#[test]
fn an_input_that_was_cut_off_is_neither_sent_again_nor_mixed_with_another() {
    let world = World::new();
    assert_eq!(output(world.send("outbox", &["1", "2"])).0, 0);
    // A server that is not there: the integers are taken and not delivered.
    let absent = || {
        let folder = world.home.join("offline");
        ddes_at(
            &world.home,
            &[
                "send",
                "--server",
                "127.0.0.1:1",
                "--retry-secs",
                "0",
                "--outbox",
                folder.to_str().unwrap(),
                "--resume",
                "7",
                "8",
            ],
        )
    };
    for _ in 0..2 {
        let (code, _, error) = output(absent());
        assert_eq!((code, error.contains("refused the connection")), (3, true), "{error}");
        assert!(error.contains("ddes serve"), "{error}");
    }

    // Cut off in the middle of its input.
    let numbers = world.numbers();
    let mut sender = world.send("cut", &["-q", "--as", "cut", "-"]);
    let mut sender = sender.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let text = std::fs::read(&numbers).unwrap();
    sender.stdin.as_mut().unwrap().write_all(&text[..text.len() / 2]).unwrap();
    while !std::fs::metadata(world.home.join("cut/journal"))
        .is_ok_and(|journal| journal.len() > TAKEN_BYTES)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    sender.kill().unwrap();
    sender.wait().unwrap();
    let (code, _, error) = output(from(world.send("cut", &["-q", "--as", "cut", "-"]), &numbers));
    assert_eq!((code, error.contains("--resume")), (1, true), "{error}");
    let other = world.home.join("other");
    std::fs::write(&other, "5\n".repeat(COUNT as usize)).unwrap();
    let (code, _, error) =
        output(from(world.send("cut", &["-q", "--as", "cut", "--resume", "-"]), &other));
    assert_eq!((code, error.contains("are not those the outbox took")), (1, true), "{error}");
    let (code, ..) =
        output(from(world.send("cut", &["-q", "--as", "cut", "--resume", "-"]), &numbers));
    assert_eq!((code, world.total("cut").1), (0, SUM.to_string()));
}

/// P-32: the server's process ends at any moment, and what it acknowledged is there when it starts
/// again.
#[test]
fn a_killed_server_goes_on_from_what_it_acknowledged() {
    let mut world = World::new();
    let address = world.server.address.clone();
    for round in 1..=3_u32 {
        assert_eq!(output(world.send("outbox", &["1", "2", "3"])).0, 0);
        world.server.child.kill().unwrap();
        world.server.child.wait().unwrap();
        world.server = serve(&world.home, &address);
        assert_eq!(world.total("default"), ((3 * round).to_string(), (6 * round).to_string()));
    }
    let second = output(ddes_at(&world.home, &["serve", "--json", "--listen", "127.0.0.1:0"]));
    assert_eq!(
        (second.0, second.1.contains("in use by another process")),
        (1, true),
        "{}",
        second.1
    );
}

#[test]
fn a_ledger_that_was_set_back_is_noticed() {
    let mut world = World::new();
    assert_eq!(output(world.send("outbox", &["1", "2", "3"])).0, 0);
    let address = world.server.address.clone();
    world.server.child.kill().unwrap();
    world.server.child.wait().unwrap();
    std::fs::remove_dir_all(world.home.join("ledger")).unwrap();
    let anew = ["serve", "--json", "--new-ledger", "--listen", &address];
    world.server = started(ddes_at(&world.home, &anew));
    let (code, _, error) = output(world.send("outbox", &["4"]));
    assert_eq!((code, error.contains("the ledger went back")), (5, true), "{error}");
    assert_eq!(world.total("default"), ("0".into(), "0".into()));
}

#[test]
fn a_lost_outbox_is_noticed_and_a_new_one_goes_on_when_told_to() {
    let world = World::new();
    assert_eq!(output(world.send("outbox", &["1", "2", "3"])).0, 0);
    let (code, _, error) = output(world.send("new", &["4"]));
    assert_eq!((code, error.contains("--adopt")), (5, true), "{error}");
    assert_eq!(world.total("default").1, "6");
    // The same command again, whether or not that run had taken the integer before it was refused.
    let (code, _, error) = output(world.send("new", &["--adopt", "4"]));
    assert_eq!((code, world.total("default").1.as_str()), (0, "10"), "{error}");
    // The old one has missed a value.
    let (code, _, error) = output(world.send("outbox", &["5"]));
    assert_eq!((code, error.contains("which is not of this outbox")), (5, true), "{error}");
    assert_eq!(world.total("default").1, "10");
}

#[test]
fn two_processes_on_one_identity_are_noticed() {
    let mut world = World::new();
    let mut pipe = world.send("outbox", &["-q", "-"]);
    let mut pipe =
        pipe.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    pipe.stdin.as_mut().unwrap().write_all(b"1\n").unwrap();
    let mut said = (&mut world.server.stdout).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("\"token_shared\"")), "its session is open");
    let (code, _, error) = output(world.send("outbox", &["2"]));
    assert_eq!((code, error.contains("in use by another process")), (1, true), "{error}");
    // From another home it supersedes the one that has the outbox, which comes back once, in case
    // that was its own ghost, and finds another writer.
    let elsewhere = world.elsewhere();
    let (code, ..) =
        output(ddes_at(&elsewhere, &["send", "-q", "--server", &world.server.address, "10"]));
    assert_eq!(code, 0);
    pipe.stdin.as_mut().unwrap().write_all(b"3\n").unwrap();
    let ended = pipe.wait_with_output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    let says_so = error.contains("which is not of this outbox");
    assert_eq!((ended.status.code(), says_so), (Some(5), true), "{error}");
    // Whether or not its own value was counted before, the other's is not its own.
    let (code, _, error) = output(world.send("outbox", &[]));
    assert_eq!((code, error.contains("Nothing was sent")), (5, true), "{error}");
}

/// The same from the home of the outbox is no other writer: it goes on behind what that home has
/// counted.
#[test]
fn a_sender_that_its_own_home_supersedes_goes_on() {
    let mut world = World::new();
    let mut pipe = world.send("outbox", &["-q", "-"]);
    let mut pipe =
        pipe.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    pipe.stdin.as_mut().unwrap().write_all(b"1\n").unwrap();
    let mut said = (&mut world.server.stdout).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("\"token_shared\"")), "its session is open");
    let (code, ..) =
        output(ddes_at(&world.home, &["send", "-q", "--server", &world.server.address, "10"]));
    assert_eq!(code, 0);
    pipe.stdin.as_mut().unwrap().write_all(b"3\n").unwrap();
    let ended = pipe.wait_with_output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(
        (ended.status.code(), world.total("default")),
        (Some(0), ("3".into(), "14".into())),
        "{error}"
    );
}

#[test]
fn an_outbox_belongs_to_one_identity_at_one_server() {
    let world = World::new();
    assert_eq!(output(world.send("outbox", &["1"])).0, 0);
    let (code, _, error) = output(world.send("outbox", &["--as", "other", "2"]));
    assert_eq!((code, error.contains("is of identity")), (2, true), "{error}");
}
