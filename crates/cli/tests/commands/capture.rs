//! Captures of real sessions: by server, client and relay; shown, decrypted, and in tshark.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::secure::fingerprint;
use crate::{Running, ddes_at, folder, output, peer, root, start, started};

/// Longer than anything that is in order takes, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn serve(home: &Path, flags: &[&str]) -> Running {
    let all = ["serve", "--json", "--allow-any", "--suite", "hybrid,ddes", "--listen"];
    started(ddes_at(home, &[&all[..], &["127.0.0.1:0"], flags].concat()))
}

/// Stops a server as systemd does, so that its capture is whole.
pub(crate) fn stop(mut server: Running) {
    let pid = Pid::from_child(&server.child);
    kill_process(pid, Signal::TERM).unwrap();
    let ended = Instant::now();
    while server.child.try_wait().unwrap().is_none() {
        assert!(ended.elapsed() < LONG, "the server does not stop");
        std::thread::yield_now();
    }
}

fn inspect(arguments: &[&str]) -> (i32, Vec<Value>, String) {
    let (code, out, error) =
        output(ddes_at(&folder(), &[&["inspect", "--json"], arguments].concat()));
    let lines = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (code, lines, error)
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// The decrypted fields of all frames: opcode, name, value.
fn decrypted(lines: &[Value]) -> Vec<(u64, String, Value)> {
    let frames = of(lines, "frame").into_iter();
    frames
        .flat_map(|frame| {
            let opcode = frame["opcode"].as_u64().unwrap();
            let fields = frame["plain"]["fields"].as_array().cloned().unwrap_or_else(Vec::new);
            fields.into_iter().map(move |field| {
                (opcode, field["name"].as_str().unwrap().to_owned(), field["value"].clone())
            })
        })
        .collect()
}

fn values(lines: &[Value], opcode: u64, name: &str) -> Vec<Value> {
    let all = decrypted(lines).into_iter();
    all.filter(|field| field.0 == opcode && field.1 == name).map(|field| field.2).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A session of each suite and of classic, captured by the server and by the clients.
struct Captured {
    server: PathBuf,
    clients: Vec<PathBuf>,
}

fn capture_sessions(secrets: bool) -> Captured {
    let home = folder();
    let file = home.join("server.pcapng");
    let mut flags = vec!["--classic", "--classic-wait-ms", "100", "--capture", text(&file)];
    flags.extend(secrets.then_some("--capture-secrets"));
    let server = serve(&home, &flags);
    let trust = fingerprint(&home);
    // A first contact would be a connection of its own in each capture.
    let (_, key, _) = output(ddes_at(&home, &["key", "show", "--server-key", "--quiet"]));
    let known = ["trust", "add", &server.address, key.trim()];
    let (code, _, error) = output(ddes_at(&home, &known));
    assert_eq!(code, 0, "{error}");
    let mut clients = Vec::new();
    for (name, arguments) in [
        ("hybrid", &["--suite", "hybrid", "--trust", &trust, "42", "-50"][..]),
        ("ddes", &["--suite", "ddes", "--trust", &trust, "42", "-50"]),
        ("classic", &["--classic", "42", "50"]),
    ] {
        let own = home.join(format!("{name}.pcapng"));
        let mut send = vec!["send", "--quiet", "--server", &server.address];
        send.extend(["--capture", text(&own)]);
        send.extend(secrets.then_some("--capture-secrets"));
        if name != "classic" {
            send.extend(["--as", name]);
        }
        let (code, _, error) = output(ddes_at(&home, &[&send[..], arguments].concat()));
        assert_eq!(code, 0, "{name}: {error}");
        clients.push(own);
    }
    stop(server);
    Captured { server: file, clients }
}

#[test]
fn a_capture_with_secrets_shows_the_integers_at_either_end() {
    let captured = capture_sessions(true);
    for file in captured.clients.iter().chain([&captured.server]) {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    for (stream, own) in (1..).zip(&captured.clients) {
        let number = stream.to_string();
        for arguments in [vec![text(own)], vec!["--stream", &number, text(&captured.server)]] {
            let (code, lines, error) = inspect(&arguments);
            assert_eq!(code, 0, "{arguments:?}: {error}");
            let conversation = of(&lines, "conversation")[0];
            assert_eq!(conversation["is_opened"], true, "{conversation}");
            assert_eq!(conversation["end"], "closed");
            let is_classic = conversation["wire"] == "classic";
            if is_classic {
                assert_eq!(values(&lines, 30, "integer"), ["42", "50"]);
                assert_eq!(values(&lines, 40, "sum"), ["42", "92"]);
            } else {
                let sent: Vec<Value> = values(&lines, 30, "values")
                    .iter()
                    .flat_map(|values| values.as_array().unwrap().clone())
                    .collect();
                assert_eq!(sent, ["42", "-50"]);
                assert_eq!(values(&lines, 50, "sum").last().unwrap(), "-8");
            }
            for frame in of(&lines, "frame") {
                for check in frame["checks"].as_array().unwrap() {
                    assert_eq!(check["passed"], true, "{frame}");
                }
            }
        }
    }
}

#[test]
fn a_capture_without_secrets_is_what_an_eavesdropper_sees() {
    let captured = capture_sessions(false);
    let (code, lines, error) = inspect(&[text(&captured.server)]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(of(&lines, "conversation").len(), 3);
    assert!(decrypted(&lines).is_empty());
    // Nothing secret is in the file: not the comments that hold it otherwise.
    let bytes = fs::read(&captured.server).unwrap();
    assert!(!bytes.windows(12).any(|window| window == b"ddes_secrets"));
    // Classic shows its token to everybody.
    let classic = of(&lines, "frame").into_iter().filter(|frame| frame["stream"] == 3);
    let fields = classic.flat_map(|frame| frame["fields"].as_array().unwrap().clone());
    let tokens: BTreeSet<String> = fields
        .filter(|field| field["name"] == "token")
        .map(|field| field["hex"].to_string())
        .collect();
    assert_eq!(tokens.len(), 1);
}

#[test]
fn secrets_of_another_session_are_said_and_nothing_is_decrypted() {
    let captured = capture_sessions(false);
    let file = folder().join("secrets");
    let wrong = "11".repeat(64);
    fs::write(
        &file,
        format!(
            "{{\"ddes_secrets\":1,\"role\":\"client\",\"dh\":\"{wrong}\",\"kem\":\"{wrong}\"}}\n"
        ),
    )
    .unwrap();
    let (code, lines, error) = inspect(&["--secrets", text(&file), text(&captured.clients[0])]);
    assert_eq!(code, 5, "{error}");
    assert!(lines.iter().any(|line| line.to_string().contains("of another session")), "{error}");
    assert!(decrypted(&lines).is_empty());
}

#[test]
fn the_relay_captures_any_client_and_any_server_without_secrets() {
    let home = folder();
    let file = home.join("relay.pcapng");
    let python = peer("peer/classic/server.py", &["--port", "0", "--group", "ffdhe2048"]);
    let server =
        start(python, |line| line.strip_prefix("listening ").map(|at| at.trim().to_owned()));
    let mut relay = started(ddes_at(
        &home,
        &[
            "capture",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--server",
            &server.address,
            "-o",
            text(&file),
            "--connections",
            "1",
        ],
    ));
    let (host, port) = relay.address.split_once(':').unwrap();
    let client = peer("peer/classic/client.py", &["--host", host, "--port", port, "42", "50"]);
    let (code, sums, error) = output(client);
    assert_eq!((code, sums.as_str()), (0, "42\n92\n"), "{error}");
    let began = Instant::now();
    while relay.child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < LONG, "the relay does not end after its one connection");
        std::thread::yield_now();
    }
    let (code, lines, error) = inspect(&[text(&file)]);
    assert_eq!(code, 0, "{error}");
    let opcodes: Vec<_> =
        of(&lines, "frame").iter().map(|frame| frame["opcode"].as_u64().unwrap()).collect();
    assert_eq!(opcodes[..9], [10, 10, 20, 30, 30, 40, 30, 30, 40]);
    assert_eq!(of(&lines, "conversation")[0]["server"], server.address);
}

#[test]
fn a_capture_that_fails_ends_no_session_and_says_so() {
    let home = folder();
    let server = serve(&home, &["--capture", "/dev/full"]);
    let trust = fingerprint(&home);
    let send = ["send", "--server", &server.address, "--trust", &trust];
    for round in ["42\n", "84\n"] {
        let (code, sum, error) =
            output(ddes_at(&home, &[&send[..], &["--capture", "/dev/full", "42"]].concat()));
        assert_eq!((code, sum.as_str()), (0, round), "{error}");
        assert!(error.contains("/dev/full cannot be written any more"), "{error}");
    }
    let folder = home.join("missing/file");
    let (code, _, error) =
        output(ddes_at(&home, &[&send[..], &["--capture", text(&folder), "42"]].concat()));
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("cannot write"), "{error}");
}

#[test]
fn a_capture_that_is_full_is_said_and_stays_readable() {
    let home = folder();
    let file = home.join("small.pcapng");
    let flags = ["--capture", text(&file), "--capture-max-bytes", "4096"];
    let server = serve(&home, &flags);
    let trust = fingerprint(&home);
    let send = ["send", "--quiet", "--server", &server.address, "--trust", &trust, "1"];
    for _ in 0..3 {
        let (code, _, error) = output(ddes_at(&home, &send));
        assert_eq!(code, 0, "{error}");
    }
    stop(server);
    assert!(fs::metadata(&file).unwrap().len() <= 4096);
    let (code, lines, error) = inspect(&[text(&file)]);
    assert_eq!(code, 0, "{error}");
    assert!(!of(&lines, "frame").is_empty());
}

/// What `inspect` says of a relay's capture, in JSON and for people, and what the relay said: it
/// wrote into a pipe that nobody read until its one connection had sent far more than waits.
fn of_a_slow_disk(ends: bool) -> (Vec<Value>, String, String) {
    const FRAMES: usize = 700;
    let home = folder();
    let (pipe, file) = (home.join("pipe"), home.join("slow.pcapng"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Without this the opening of a pipe waits for its writer.
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let mut reader = fs::OpenOptions::new().read(true).custom_flags(nonblock).open(&pipe).unwrap();
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = sink.local_addr().unwrap().to_string();
    let flags = ["capture", "--json", "--listen", "127.0.0.1:0", "--connections", "1"];
    let all = [&flags[..], &["--server", &server, "-o", text(&pipe)]].concat();
    let mut command = ddes_at(&home, &all);
    command.stderr(Stdio::piped());
    let mut relay = started(command);
    fcntl_setfl(&reader, OFlags::empty()).unwrap();
    let mut client = TcpStream::connect(&relay.address).unwrap();
    let mut peer = sink.accept().unwrap().0;
    let frame = [&30_u32.to_be_bytes()[..], &60_000_u32.to_be_bytes(), &vec![7; 60_000]].concat();
    let length = (FRAMES * frame.len()) as u64;
    let passed = std::thread::spawn(move || {
        let mut passed = Read::by_ref(&mut peer).take(length);
        assert_eq!(std::io::copy(&mut passed, &mut std::io::sink()).unwrap(), length);
        peer
    });
    for _ in 0..FRAMES {
        client.write_all(&frame).unwrap();
    }
    let ends_of_it = (client, passed.join().unwrap());
    if ends {
        drop(ends_of_it);
    } else {
        kill_process(Pid::from_child(&relay.child), Signal::INT).unwrap();
    }
    // Until the relay has ended.
    std::io::copy(&mut reader, &mut fs::File::create(&file).unwrap()).unwrap();
    let mut said = String::new();
    relay.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(relay.child.wait().unwrap().success(), "{said}");
    let few = ["--max-memory", "1048576", text(&file)];
    let (_, lines, _) = inspect(&few);
    let (_, shown, _) = output(ddes_at(&home, &[&["inspect"], &few[..]].concat()));
    (lines, shown, said)
}

#[test]
fn what_a_slow_disk_did_not_take_is_missed_at_the_end_of_its_conversation() {
    for ends in [true, false] {
        let (lines, shown, said) = of_a_slow_disk(ends);
        // A small piece may find room between two large ones that do not.
        let gaps = said.split("has a gap of ").skip(1);
        let bytes: u64 =
            gaps.map(|gap| gap.split(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert!(bytes > 1_000_000, "{ends}: {said}");
        let conversation = of(&lines, "conversation")[0];
        assert_eq!(conversation["missing_to_server"]["bytes"], bytes, "{ends}: {said}");
        assert_eq!(conversation["missing_to_server"]["is_end"], true, "{ends}");
        let nothing = serde_json::json!({"bytes": 0, "is_end": false});
        assert_eq!(conversation["missing_to_client"], nothing, "{ends}");
        let says = format!("not whole: {bytes} bytes from the client are missing, and its end");
        assert!(shown.contains(&says), "{ends}: {shown:.500}");
    }
}

#[test]
fn what_is_no_capture_is_refused_with_a_way_on() {
    let home = folder();
    let file = home.join("notes.txt");
    fs::write(&file, "hello").unwrap();
    for (arguments, code, word) in [
        (vec![text(&file)], 1, "neither a pcapng nor a pcap"),
        (vec!["/nowhere"], 1, "cannot read /nowhere"),
        (vec!["--secrets", text(&file), text(&file)], 2, "line 1"),
    ] {
        let (found, _, error) = output(ddes_at(&home, &[&["inspect"], &arguments[..]].concat()));
        assert_eq!(found, code, "{error}");
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_lines_fit_a_terminal_of_eighty_columns_and_have_no_control_characters() {
    let captured = capture_sessions(true);
    let (code, shown, error) = output(ddes_at(&folder(), &["inspect", text(&captured.server)]));
    assert_eq!(code, 0, "{error}");
    for line in shown.lines() {
        assert!(line.chars().count() <= 120, "{line}");
        assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
    }
    assert!(shown.contains("message 1: version, suite, ephemeral keys"), "{shown}");
    assert!(shown.contains("decrypted with its secrets"), "{shown}");
    assert!(!shown.contains("not whole"), "{shown}");
    // The keys of the records are not numbered: Key1 is another thing.
    assert!(shown.contains("record 0 under the first key of its direction"), "{shown}");
    assert!(!shown.contains("under key 1"), "{shown}");
}

/// Wireshark's own reader, if it is there; a test that cannot run says so.
fn tshark(arguments: &[&str]) -> Option<String> {
    let dissector = root().join("packaging/wireshark/ddes.lua");
    let script = format!("lua_script:{}", dissector.display());
    let mut command = Command::new("tshark");
    command.args(["-X", &script]).args(arguments).env("HOME", folder());
    match command.output() {
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{error}");
            assert!(!error.contains("Lua"), "{error}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            eprintln!("SKIPPED: tshark does not run ({error}): apt-get install tshark");
            None
        }
    }
}

/// The names and values of the fields that tshark found, in a packet's order.
fn found_by_tshark(file: &Path) -> Option<Vec<(String, String)>> {
    let json = tshark(&["-r", text(file), "-T", "json", "--no-duplicate-keys", "-J", "ddes"])?;
    let packets: Value = serde_json::from_str(&json).unwrap();
    let mut found = Vec::new();
    for packet in packets.as_array().unwrap() {
        collect(&packet["_source"]["layers"]["ddes"], &mut found);
    }
    Some(found)
}

fn collect(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let all = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                for value in all {
                    match value {
                        Value::String(text) => found.push((name.clone(), text)),
                        other => collect(&other, found),
                    }
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| collect(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn tshark_with_the_dissector_shows_what_inspect_shows() {
    let captured = capture_sessions(true);
    let Some(found) = found_by_tshark(&captured.server) else { return };
    let shown: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    for message in ddes_wire::schema::MESSAGES {
        let wire = match message.wire {
            ddes_wire::schema::Wire::Classic => "classic",
            ddes_wire::schema::Wire::V2 => "v2",
        };
        // No session here is refused.
        if message.name == "rejection" {
            continue;
        }
        let name = match message.suites {
            ddes_wire::schema::Suites::Ddes => format!("{}_ddes", message.name),
            _ => message.name.to_owned(),
        };
        for field in message.fields {
            let field = format!("ddes.{wire}.{name}.{}", field.name);
            assert!(shown.contains(field.as_str()), "{field} is not among {shown:?}");
        }
    }
    let of = |wanted: &str| -> Vec<&str> {
        let all = found.iter().filter(|(name, _)| name == wanted);
        all.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(of("ddes.v2.data.values"), ["42", "-50", "42", "-50"]);
    assert_eq!(of("ddes.classic.integer.integer"), ["42", "50"]);
    assert_eq!(of("ddes.classic.result.sum"), ["42", "92"]);
    assert!(of("ddes.v2.outcome.sum").contains(&"-8"));
    for check in ["ddes.check.tag", "ddes.check.hmac", "ddes.check.token", "ddes.check.padding"] {
        let all = of(check);
        assert!(!all.is_empty() && all.iter().all(|value| *value == "1"), "{check}: {all:?}");
    }
}

// Captures that a disk, a bound or another user stands in the way of.

/// Starts a relay before a server of this test that takes what comes; the relay and that server.
fn relay(file: &Path, flags: &[&str]) -> (Running, TcpListener) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let all = ["capture", "--json", "--listen", "127.0.0.1:0", "--server", &address, "-o"];
    (started(ddes_at(&folder(), &[&all[..], &[text(file)], flags].concat())), server)
}

#[test]
fn a_server_that_does_not_take_the_connection_is_waited_for_as_long_as_is_said() {
    let (_silent, full, _waiting) = crate::top::silent_and_full();
    let (address, home) = (full.local_addr().unwrap().to_string(), folder());
    let file = home.join("relayed.pcapng");
    let flags = ["capture", "--json", "--listen", "127.0.0.1:0", "--server", &address];
    let rest = ["-o", text(&file), "--connections", "1", "--timeout", "1"];
    let mut relay = started(ddes_at(&home, &[&flags[..], &rest].concat()));
    let begin = Instant::now();
    let client = TcpStream::connect(&relay.address).unwrap();
    let mut lines = String::new();
    relay.stdout.read_to_string(&mut lines).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    crate::json::fits("lines", &lines);
    let failed: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&failed["event"], &failed["what"]), (&"failed".into(), &"timeout".into()));
    drop(client);
}

/// Sends pieces through a relay, closes, and gives the line about the capture.
fn through(mut relay: Running, server: &TcpListener, pieces: &[&[u8]]) -> Value {
    let mut client = TcpStream::connect(&relay.address).unwrap();
    let (mut taken, _) = server.accept().unwrap();
    for piece in pieces {
        client.write_all(piece).unwrap();
        taken.read_exact(&mut vec![0; piece.len()]).unwrap();
    }
    drop((client, taken));
    let mut lines = String::new();
    relay.stdout.read_to_string(&mut lines).unwrap();
    serde_json::from_str(lines.lines().last().unwrap()).unwrap()
}

#[test]
fn an_old_capture_survives_a_start_that_fails() {
    let home = folder();
    let old = home.join("old.pcapng");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = crate::unused_address();
    let trust = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (arguments, code) in [
        (vec!["capture", "--listen", &address, "-o", text(&old)], 3),
        (vec!["send", "--server", &free, "--trust", trust, "--capture", text(&old), "1"], 3),
        (vec!["send", "--classic", "--server", &free, "--capture", text(&old), "1"], 3),
        (vec!["serve", "--allow-any", "--listen", &address, "--capture", text(&old)], 3),
        (
            vec!["serve", "--allow-any", "--listen", "127.0.0.1:0", "--http", &address]
                .into_iter()
                .chain(["--capture", text(&old)])
                .collect(),
            3,
        ),
    ] {
        fs::write(&old, "precious").unwrap();
        let (found, _, error) = output(ddes_at(&home, &arguments));
        assert_eq!(found, code, "{arguments:?}: {error}");
        assert_eq!(fs::read(&old).unwrap(), b"precious", "{arguments:?}");
        let names = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name());
        let made: Vec<_> =
            names.filter(|name| name.to_string_lossy().starts_with(".ddes-new")).collect();
        assert!(made.is_empty(), "{made:?}");
    }
}

#[test]
fn a_capture_is_a_file_of_ours_and_nobody_has_the_old_one_open() {
    let home = folder();
    let (file, link) = (home.join("capture.pcapng"), home.join("link.pcapng"));
    fs::write(&file, "of somebody else").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    fs::hard_link(&file, &link).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&file, Some(12345), Some(12345)).unwrap();
    } else {
        eprintln!("SKIPPED: only root can make a file of another user");
    }
    let mut reader = fs::File::open(&file).unwrap();
    let server = serve(&home, &["--capture", text(&file), "--capture-secrets"]);
    let trust = fingerprint(&home);
    let send = ["send", "--quiet", "--server", &server.address, "--trust", &trust, "1"];
    let (code, _, error) = output(ddes_at(&home, &send));
    assert_eq!(code, 0, "{error}");
    stop(server);
    let found = fs::metadata(&file).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!((found.uid(), found.nlink()), (rustix::process::geteuid().as_raw(), 1));
    let mut seen = String::new();
    reader.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "of somebody else");
    assert_eq!(fs::read(&link).unwrap(), b"of somebody else");
    let (code, lines, error) = inspect(&[text(&file)]);
    assert_eq!(code, 0, "{error}");
    assert!(!decrypted(&lines).is_empty());
}

#[test]
fn a_capture_follows_a_link_of_ours_and_no_link_of_another_user() {
    let home = folder();
    let (target, link) = (home.join("target.pcapng"), home.join("link.pcapng"));
    fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let (relay_to_target, server) = relay(&link, &["--connections", "1"]);
    through(relay_to_target, &server, &[&frame(10, &[1; 20])]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read(&target).unwrap().starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can make a link of another user");
        return;
    }
    fs::write(&target, "precious").unwrap();
    std::os::unix::fs::lchown(&link, Some(12345), Some(12345)).unwrap();
    let arguments = ["capture", "--listen", "127.0.0.1:0", "--connections", "1", "-o"];
    let (code, _, error) = output(ddes_at(&home, &[&arguments[..], &[text(&link)]].concat()));
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("uid 12345 made it lead to"), "{error}");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
}

fn frame(opcode: u32, body: &[u8]) -> Vec<u8> {
    [&opcode.to_be_bytes()[..], &(body.len() as u32).to_be_bytes(), body].concat()
}

#[test]
fn a_capture_at_its_bound_is_not_whole_and_has_the_ends_of_its_connections() {
    let file = folder().join("full.pcapng");
    let (relay_to_server, server) = relay(&file, &["--connections", "1", "--max-bytes", "4096"]);
    let line =
        through(relay_to_server, &server, &[&frame(10, b"-----BEGIN"), &frame(30, &[7; 20_000])]);
    assert_eq!((&line["event"], &line["is_whole"]), (&"captured".into(), &false.into()));
    // The key is none, which is a failed check.
    let (_, lines, error) = inspect(&[text(&file)]);
    assert_eq!(of(&lines, "conversation").len(), 1, "{error}");
    assert_eq!(of(&lines, "conversation")[0]["end"], "closed");
    assert_eq!(of(&lines, "frame").len(), 1);
    assert_eq!(of(&lines, "note")[0]["what"], "20008 bytes are missing in the capture");

    let file = folder().join("whole.pcapng");
    let (relay_to_server, server) = relay(&file, &["--connections", "1"]);
    let line = through(relay_to_server, &server, &[&frame(10, b"-----BEGIN")]);
    assert_eq!(line["is_whole"], true, "{line}");
}
