//! Outboxes that were copied back, changed, cut off or full, inputs that end early, and connections
//! that are not what they seem (P-26, P-29, P-30).

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ddes_client::outbox::inspect;
use ddes_identity::{Namespace, SigningKey, read_private};
use ddes_session::v2::noise::{Entropy, respond};
use ddes_session::v2::record::Sealer;
use ddes_session::v2::{ClientConfig, ClientEvent, ClientSession, prologue, protocol};
use ddes_wire::frame::{self, Opcode};
use ddes_wire::v2::{BODY_MAX, Farewell, GroupSize, Hello, Reason, Scope, Suite};
use ddes_wire::{Sequence, Total};
use zeroize::Zeroizing;

use crate::exactly_once::World;
use crate::{ddes_at, output};

/// With these lines on standard input, as a pipe.
fn piped(mut command: Command, lines: &str) -> (i32, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses before it reads has closed it.
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap_or(());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn pending(outbox: &Path) -> Vec<i64> {
    inspect(&std::fs::read(outbox.join("journal")).unwrap()).unwrap().pending
}

/// A sender whose input stays open, and how it says what counted.
struct Open {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl World {
    /// `ddes send --outbox OUTBOX -` with an input that stays open.
    fn open(&self, outbox: &str) -> Open {
        let mut command = self.send(outbox, &["-"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Open { child, said }
    }
}

impl Open {
    fn give(&mut self, lines: &str) {
        self.child.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    }

    fn end(mut self) -> (i32, String, String) {
        drop(self.child.stdin.take());
        let mut error = String::new();
        self.said.read_to_string(&mut error).unwrap();
        let output = self.child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), error)
    }
}

/// The folder was copied while a session was open; the original went on in it; the copy takes other
/// integers under its numbers.
#[test]
fn a_snapshot_put_back_with_other_integers_stops_with_5_and_keeps_them() {
    let world = World::new();
    let (outbox, snapshot) = (world.home.join("outbox"), world.home.join("snapshot"));
    let input = world.home.join("input");
    let mut sender = world.open("outbox");
    sender.give("1\n2\n");
    // `ddes total` would end its session.
    let until = Instant::now() + Duration::from_secs(20);
    while !outbox.join("journal").exists() || !is_counted(&outbox, 2) {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    copy(&outbox, &snapshot);
    sender.give("3\n4\n");
    assert_eq!(sender.end().0, 0);
    assert_eq!(world.total("default"), ("4".into(), "10".into()));
    for values in ["500\n600\n", "500\n600\n700\n"] {
        std::fs::remove_dir_all(&outbox).unwrap();
        copy(&snapshot, &outbox);
        // A file, which is stored before a connection is tried; of a pipe less may be read by then.
        std::fs::write(&input, values).unwrap();
        let mut send = world.send("outbox", &["--fresh", "-"]);
        send.stdin(File::open(&input).unwrap());
        let (code, _, error) = output(send);
        assert_eq!((code, error.contains("put back from a copy")), (5, true), "{error}");
        assert_eq!(
            pending(&outbox).last(),
            values.lines().last().map(|last| last.parse().unwrap()).as_ref(),
            "{error}"
        );
        let (code, ..) = output(world.send("outbox", &[]));
        assert_eq!(code, 5, "and so it does again");
    }
    assert_eq!(world.total("default"), ("4".into(), "10".into()));
}

/// The marks say so while it runs: the journal's states do not, before the next session.
fn is_counted(outbox: &Path, count: u64) -> bool {
    let Ok(marks) = std::fs::read(outbox.join("marks")) else { return false };
    marks.chunks(512).any(|slot| slot.starts_with(&count.to_be_bytes()))
}

fn taken_offline(world: &World, flags: &[&str], lines: &str) -> PathBuf {
    let folder = world.home.join("outbox");
    let absent = [
        "send",
        "--server",
        "127.0.0.1:1",
        "--retry-secs",
        "1",
        "--outbox",
        folder.to_str().unwrap(),
    ];
    let (code, _, error) =
        piped(ddes_at(&world.home, &[&absent[..], flags, &["-"]].concat()), lines);
    assert_eq!(code, 3, "{error}");
    folder
}

fn flush(world: &World, folder: &Path) -> (i32, String, String) {
    let flags = [
        "send",
        "--server",
        "127.0.0.1:1",
        "--retry-secs",
        "0",
        "--outbox",
        folder.to_str().unwrap(),
    ];
    output(ddes_at(&world.home, &flags))
}

#[test]
fn a_flipped_bit_in_an_outbox_stops_with_5_and_changes_nothing() {
    let world = World::new();
    let folder = taken_offline(&world, &[], "10\n20\n30\n");
    taken_offline(&world, &["--fresh"], "40\n50\n");
    let mut journal = std::fs::read(folder.join("journal")).unwrap();
    let at = journal.windows(8).position(|bytes| bytes == 20_i64.to_be_bytes()).unwrap();
    journal[at + 7] ^= 1;
    std::fs::write(folder.join("journal"), &journal).unwrap();
    let (code, _, error) = flush(&world, &folder);
    assert_eq!((code, error.contains("is damaged")), (5, true), "{error}");
    assert!(std::fs::read(folder.join("journal")).unwrap() == journal);
}

#[test]
fn a_torn_end_is_cut_and_said() {
    let world = World::new();
    let folder = taken_offline(&world, &[], "10\n");
    taken_offline(&world, &["--fresh"], "20\n");
    // As a power cut leaves it: the marks are lost, the record is torn.
    std::fs::remove_file(folder.join("marks")).unwrap();
    let journal = File::options().write(true).open(folder.join("journal")).unwrap();
    journal.set_len(journal.metadata().unwrap().len() - 5).unwrap();
    let (code, _, error) = flush(&world, &folder);
    assert_eq!((code, error.contains("torn by a crash")), (3, true), "{error}");
    assert_eq!(pending(&folder), [10]);
}

/// Answers each connection's first message, and seals a 50 in the place of message 3. He has no
/// key.
fn impostor(text: &'static str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) =
        (listener.local_addr().unwrap().to_string(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            lie(stream.unwrap(), text);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, count)
}

fn lie(mut stream: TcpStream, text: &str) {
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    let first = loop {
        if let Some(first) = frame::split(&heard, BODY_MAX).unwrap() {
            break first.body.to_vec();
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0);
        heard.extend(&buffer[..count]);
    };
    let hello = Hello::decode(&first).unwrap();
    let suite = hello.suite;
    let response =
        respond(&protocol(suite), &prologue(suite), &entropy(9), hello.noise, &[]).unwrap();
    let (reason, scope, text) = (Reason::NotAuthorized, Scope::Session, text.to_owned());
    let farewell = Farewell { reason, scope, last_seq: Sequence::NONE, sum: Total::ZERO, text };
    let head = frame::Header { opcode: 10, length: response.message.len() as u32 }.encode();
    let mut bytes = [&head[..], &response.message].concat();
    let mut sealed = Vec::new();
    let mut sealer = Sealer::new(protocol(suite).cipher, response.finished.to_client);
    sealer.seal(Opcode::Disconnect, &farewell.encode(), &mut sealed).unwrap();
    bytes.extend(sealed);
    stream.write_all(&bytes).unwrap();
}

fn entropy(seed: u8) -> Entropy {
    Entropy { dh: Zeroizing::new(vec![seed; 64]), kem: Zeroizing::new([seed; 64]) }
}

#[test]
fn a_sealed_50_from_who_has_no_key_is_unproven_and_tried_again() {
    let world = World::new();
    let (address, connections) = impostor("run ddes trust rm");
    let folder = world.home.join("outbox");
    let arguments = [
        "send",
        "--server",
        &address,
        "--retry-secs",
        "4",
        "--outbox",
        folder.to_str().unwrap(),
        "1",
    ];
    let begin = Instant::now();
    let (code, _, error) = output(ddes_at(&world.home, &arguments));
    assert_eq!((code, begin.elapsed() >= Duration::from_secs(4)), (3, true), "{error}");
    assert!(connections.load(Ordering::SeqCst) >= 3, "{error}");
    assert!(error.contains("unauthenticated reason: run ddes trust rm"), "{error}");
    assert!(!error.contains("the server ended the session"), "{error}");
}

/// A connection of this identity that is slow: its message 4 is held back.
struct Ghost {
    stream: TcpStream,
    session: ClientSession,
}

impl Ghost {
    fn meet(world: &World) -> Self {
        let key = std::fs::read(world.home.join("identities/default")).unwrap();
        let key: SigningKey = read_private(&key, None).unwrap();
        let mut stream = TcpStream::connect(&world.server.address).unwrap();
        let (suite, long) = (Suite::Hybrid(GroupSize::Bits2048), Duration::from_secs(60));
        let config = ClientConfig { suite, handshake: long, reply: long };
        let mut session = ClientSession::new(config, Instant::now(), entropy(5));
        let mut buffer = [0; 4096];
        loop {
            if let Some(work) = session.poll_work() {
                session.handle_done(Instant::now(), work.run());
            }
            match session.poll_event() {
                Some(ClientEvent::ServerProven { .. }) => break,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            let pending = session.pending().to_vec();
            if !pending.is_empty() {
                stream.write_all(&pending).unwrap();
                session.sent(Instant::now(), pending.len());
                let count = stream.read(&mut buffer).unwrap();
                session.handle_bytes(Instant::now(), &buffer[..count]);
            } else if session.poll_timeout().is_some() && !session_works(&mut session) {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0);
                session.handle_bytes(Instant::now(), &buffer[..count]);
            }
        }
        let claim = session.claim(&key.public()).unwrap();
        let signature = key.sign(Namespace::Client, &claim);
        session.prove(Instant::now(), &key.public(), signature).unwrap();
        Self { stream, session }
    }

    /// Message 4 arrives.
    fn arrive(&mut self) {
        self.stream.write_all(self.session.pending()).unwrap();
    }
}

fn session_works(session: &mut ClientSession) -> bool {
    match session.poll_work() {
        Some(work) => {
            session.handle_done(Instant::now(), work.run());
            true
        }
        None => false,
    }
}

/// Chaos F8: a message 4 that was late on a connection given up long ago opens a newer session.
#[test]
fn a_client_superseded_by_its_own_ghost_goes_on() {
    let world = World::new();
    assert_eq!(output(world.send("outbox", &["1"])).0, 0);
    let mut ghost = Ghost::meet(&world);
    let mut sender = world.open("outbox");
    sender.give("2\n");
    let until = Instant::now() + Duration::from_secs(8);
    while !is_counted(&world.home.join("outbox"), 2) {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    ghost.arrive();
    let mut line = String::new();
    sender.said.read_line(&mut line).unwrap();
    assert!(line.contains("a newer session") && line.contains("trying again in 1"), "{line}");
    sender.give("3\n");
    let begin = Instant::now();
    let (code, sum, error) = sender.end();
    assert_eq!((code, sum.as_str()), (0, "6\n"), "{error}");
    assert!(begin.elapsed() > Duration::from_secs(9));
    assert_eq!(world.total("default"), ("3".into(), "6".into()));
}

#[test]
fn a_prompt_superseded_by_its_own_ghost_goes_on() {
    let world = World::new();
    assert_eq!(output(world.send("outbox", &["1"])).0, 0);
    let mut ghost = Ghost::meet(&world);
    let mut connect =
        ddes_at(&world.home, &["connect", "--json", "-q", "--server", &world.server.address]);
    let mut connect = connect.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(connect.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut event =
        |name: &str| said.find(|line| line.contains(&format!("\"event\":\"{name}\""))).unwrap();
    event("ready");
    ghost.arrive();
    let line = event("lost");
    assert!(line.contains("a newer session"), "{line}");
    connect.stdin.as_mut().unwrap().write_all(b"5\n50\n").unwrap();
    assert!(event("result").contains("\"sum\":\"6\""));
    assert_eq!(connect.wait().unwrap().code(), Some(0));
}

#[test]
fn a_finished_input_is_never_resumed_and_the_same_again_is_a_new_one() {
    let world = World::new();
    assert_eq!(piped(world.send("outbox", &["-"]), "1\n2\n").0, 0);
    // Killed before it had begun: the outbox knows of the finished one only.
    for lines in ["1\n2\n", "1\n2\n3\n4\n"] {
        let (code, _, error) = piped(world.send("outbox", &["--resume", "-"]), lines);
        assert_eq!((code, error.contains("there is no input to resume")), (1, true), "{error}");
    }
    assert_eq!(world.total("default"), ("2".into(), "3".into()));
    assert_eq!(piped(world.send("outbox", &["-"]), "1\n2\n").0, 0);
    assert_eq!(world.total("default"), ("4".into(), "6".into()));
}

/// A pipe that never says anything: the run is killed when it has begun its input and taken
/// nothing.
#[test]
fn an_input_that_was_begun_and_not_taken_is_resumed_from_its_first_line() {
    let world = World::new();
    assert_eq!(piped(world.send("outbox", &["-"]), "1\n2\n").0, 0);
    let finished = std::fs::read(world.home.join("outbox/journal")).unwrap().len();
    let mut sender = world.open("outbox");
    let until = Instant::now() + Duration::from_secs(20);
    while std::fs::metadata(world.home.join("outbox/journal")).unwrap().len() as usize == finished {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(1));
    }
    sender.child.kill().unwrap();
    sender.child.wait().unwrap();
    let (code, _, error) = piped(world.send("outbox", &["--resume", "-"]), "1\n2\n3\n");
    assert_eq!((code, world.total("default")), (0, ("5".into(), "9".into())), "{error}");
}

/// A file with a wrong line counts nothing, and leaves nothing that is in the way of the right one.
#[test]
fn an_input_that_was_refused_is_no_input_that_was_cut_off() {
    let world = World::new();
    let file = world.home.join("file");
    let send = |lines: &str, flags: &[&str]| {
        std::fs::write(&file, lines).unwrap();
        let mut command = world.send("outbox", &[flags, &["-"]].concat());
        command.stdin(File::open(&file).unwrap());
        output(command)
    };
    assert_eq!(send("1\nx\n", &[]).0, 2);
    assert_eq!(send("1\n2\n", &[]).0, 0);
    assert_eq!(send("1\nx\n", &[]).0, 2);
    assert_eq!(send("1\n2\n", &["--resume"]).0, 0);
    assert_eq!(world.total("default"), ("4".into(), "6".into()));
}

#[test]
fn the_same_command_with_adopt_works_after_the_refusal_that_names_it() {
    let world = World::new();
    assert_eq!(output(world.send("outbox", &["1", "2", "3"])).0, 0);
    let (code, _, error) = output(world.send("new", &["4", "5"]));
    assert_eq!((code, error.contains("--adopt")), (5, true), "{error}");
    let (code, _, error) = output(world.send("new", &["--adopt", "4", "5"]));
    assert_eq!((code, world.total("default")), (0, ("5".into(), "15".into())), "{error}");
    // Another input is not what that try took.
    assert_eq!(output(world.send("third", &["6"])).0, 5);
    let (code, _, error) = output(world.send("third", &["--adopt", "7"]));
    assert_eq!((code, error.contains("are not those the outbox took")), (1, true), "{error}");
}

/// SIGXFSZ: the limit on the size of files is a full disk, and not the end of the process.
#[test]
fn an_outbox_at_the_limit_of_file_sizes_says_so_and_delivers_what_it_holds() {
    let world = World::new();
    let numbers: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    let folder = world.home.join("outbox");
    let command = |server: &str, arguments: &str| {
        let mut command = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_ddes");
        // 100 KiB, in blocks of 512 bytes.
        let line = format!(
            "ulimit -f 200; exec {program} send --retry-secs 2 --server {server} --outbox {} {arguments}",
            folder.display()
        );
        command.args(["-c", &line]).env("DDES_HOME", &world.home);
        command
    };
    // While the server is away some of it is taken, and then there is no room.
    let (code, _, error) = piped(command("127.0.0.1:1", "-"), &numbers);
    assert_eq!(code, 3, "{error}");
    let held = pending(&folder).len();
    assert!((1..20_000).contains(&held), "{held}");
    std::fs::remove_dir_all(&folder).unwrap();
    // With the server there, what is delivered makes room for the rest.
    let (code, sum, error) = piped(command(&world.server.address, "-"), &numbers);
    assert_eq!((code, sum.as_str()), (0, "200010000\n"), "{error}");
}

/// The lines before a typo are counted. Whatever the messages advise then counts each line once.
#[test]
fn an_input_that_is_corrected_behind_what_was_taken_counts_each_line_once_whatever_is_advised() {
    let world = World::new();
    let (code, _, error) = piped(world.send("outbox", &["-"]), "1\nx\n2\n");
    assert_eq!(
        (code, error.contains("correct that line, and the same command with --resume")),
        (2, true),
        "{error}"
    );
    let corrected = world.home.join("corrected");
    std::fs::write(&corrected, "1\n3\n2\n").unwrap();
    let from_file = |flags: &[&str]| {
        let mut command = world.send("outbox", &[flags, &["-"]].concat());
        command.stdin(File::open(&corrected).unwrap());
        output(command)
    };
    let (code, _, error) = from_file(&[]);
    assert_eq!((code, error.contains("--resume goes on behind them")), (1, true), "{error}");
    let (code, _, error) = from_file(&["--fresh"]);
    assert_eq!((code, error.contains("--resume goes on behind them")), (1, true), "{error}");
    let (code, sum, error) = from_file(&["--resume"]);
    assert_eq!((code, sum.as_str()), (0, "6\n"), "{error}");
    assert_eq!(world.total("default"), ("3".into(), "6".into()));
}

#[test]
fn another_input_that_begins_as_the_cut_off_one_did_is_said_to_count_again() {
    let world = World::new();
    assert_eq!(piped(world.send("outbox", &["-"]), "1\nx\n").0, 2);
    let (code, _, error) = output(world.send("outbox", &["--fresh", "1", "2"]));
    assert_eq!(
        (code, error.contains("--outbox DIR --fresh without integers ends it")),
        (1, true),
        "{error}"
    );
    let (code, _, error) = piped(world.send("outbox", &["--fresh", "-"]), "y\n");
    assert_eq!(
        (code, error.contains("Every line of this input counts besides")),
        (2, true),
        "{error}"
    );
    assert_eq!(piped(world.send("outbox", &["-"]), "1\nx\n").0, 2);
    let (code, ..) = output(world.send("outbox", &["--fresh"]));
    assert_eq!(code, 0);
    let (code, _, error) = output(world.send("outbox", &["1", "2"]));
    assert_eq!((code, world.total("default")), (0, ("4".into(), "5".into())), "{error}");
}

/// The guide's own order: first without an outbox, then with one.
#[test]
fn a_new_outbox_goes_on_by_itself_from_what_this_home_alone_has_counted_without_one() {
    let world = World::new();
    let plain = |value: &str| {
        output(ddes_at(&world.home, &["send", "--server", &world.server.address, value]))
    };
    for (value, sum) in [("42", "42\n"), ("50", "92\n")] {
        let (code, said, error) = plain(value);
        assert_eq!((code, said.as_str()), (0, sum), "{error}");
    }
    let (code, said, error) = output(world.send("outbox", &["8"]));
    assert_eq!(
        (code, said.as_str(), error.contains("continues from there")),
        (0, "100\n", true),
        "{error}"
    );
    // Of what an outbox has counted another one is not told to go on.
    let (code, _, error) = output(world.send("another", &["1"]));
    assert_eq!((code, error.contains("--adopt")), (5, true), "{error}");
    assert_eq!(plain("1").0, 0);
    assert_eq!(output(world.send("third", &["1"])).0, 5);
    assert_eq!(world.total("default"), ("4".into(), "101".into()));
}

/// One plain `send` of its identity does not make an outbox useless, whatever of it was in doubt.
#[test]
fn an_outbox_in_use_goes_on_behind_what_this_home_has_counted_without_it() {
    let world = World::new();
    let plain = |value: &str| {
        output(ddes_at(&world.home, &["send", "--server", &world.server.address, value]))
    };
    assert_eq!(output(world.send("outbox", &["1"])).0, 0);
    for value in ["10", "20"] {
        assert_eq!(plain(value).0, 0);
    }
    let (code, said, error) = output(world.send("outbox", &["2"]));
    assert_eq!((code, said.as_str()), (0, "33\n"), "{error}");
    assert!(error.contains("2 integers were sent from this home without this outbox"), "{error}");
    // Whether the integers of a sender that is killed had counted or not.
    for (value, sum) in [("100", "1133\n"), ("100", "2233\n"), ("100", "3333\n")] {
        let before = world.total("default");
        let mut sender = world.open("outbox");
        sender.give("500\n500\n");
        while pending(&world.home.join("outbox")).is_empty() && world.total("default") == before {
            std::thread::yield_now();
        }
        sender.child.kill().unwrap();
        sender.child.wait().unwrap();
        assert_eq!(plain(value).0, 0);
        let (code, said, error) = piped(world.send("outbox", &["--resume", "-"]), "500\n500\n");
        assert_eq!((code, said.as_str()), (0, sum), "{error}");
    }
}

/// Nothing of the outbox is in doubt, so a word is enough: the message names it.
#[test]
fn an_outbox_in_use_goes_on_behind_another_home_only_when_it_is_told_to() {
    let world = World::new();
    assert_eq!(output(world.send("outbox", &["1"])).0, 0);
    let flags = ["send", "--server", &world.server.address, "10"];
    let (code, _, error) = output(ddes_at(&world.elsewhere(), &flags));
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = output(world.send("outbox", &["2"]));
    assert_eq!((code, error.contains("the same command with --adopt")), (5, true), "{error}");
    let (code, said, error) = output(world.send("outbox", &["--adopt", "2"]));
    assert_eq!((code, said.as_str()), (0, "13\n"), "{error}");
}

/// The identity's key is on another machine too.
#[test]
fn a_new_outbox_does_not_go_on_by_itself_where_anybody_else_has_counted() {
    let world = World::new();
    let send = |home: &Path| {
        let flags = ["send", "--server", &world.server.address, "1"];
        assert_eq!(output(ddes_at(home, &flags)).0, 0);
    };
    send(&world.home);
    send(&world.elsewhere());
    send(&world.home);
    assert_eq!(output(world.send("outbox", &["1"])).0, 5);
    assert_eq!(world.total("default").0, "3");
}

/// A server that is away leaves no doubt about the first integer: it is stored, and that is said.
#[test]
fn what_is_sent_to_a_server_that_is_away_is_stored_and_said_to_be() {
    let mut world = World::new();
    assert_eq!(output(world.send("outbox", &["1"])).0, 0);
    world.server.child.kill().unwrap();
    world.server.child.wait().unwrap();
    for value in 900..910 {
        let mut send = world.send("outbox", &["--retry-secs", "0", "--fresh"]);
        send.arg(value.to_string());
        let (code, _, error) = output(send);
        assert_eq!(code, 3, "{error}");
        assert!(error.contains("in the outbox and not counted yet"), "{error}");
    }
    let stored: Vec<i64> = (900..910).collect();
    assert_eq!(pending(&world.home.join("outbox")), stored);
}
