//! `ddes lab`: every rung against both wires, seeds, evidence, answers, searches that stop and go
//! on, and a newcomer's way from the README to a broken session.

mod captures;
mod course;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rexpect::session::{PtySession, spawn_command};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};

use crate::{Running, ddes_at, folder, output, peer, root, started};

/// The rule that stops each rung on D-DDES/2.
const RULES: [&str; 13] = [
    "P-08", "P-05", "P-08", "P-05", "P-15", "P-22", "P-28", "P-02", "P-05", "P-05", "P-08", "P-05",
    "P-34",
];
/// Rungs whose keys are reduced: their server says so in every line.
const WITH_HINTS: [u64; 3] = [9, 10, 11];

/// The events of a run with few unknown bits.
fn run(arguments: &[&str]) -> (i32, Vec<Value>, String) {
    let few = ["--json", "--no-pause", "--bits", "8", "--memory", "1M"];
    let arguments = [&["lab", "run"], arguments, &few].concat();
    let (code, shown, error) = output(ddes_at(&folder(), &arguments));
    let events = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (code, events, error)
}

fn trials(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["event"] == "trial").collect()
}

#[test]
fn every_rung_breaks_the_classic_wire_and_is_stopped_by_the_named_rule_on_the_other() {
    let (code, events, error) = run(&["all", "--seed", "test"]);
    assert_eq!(code, 0, "{error} {:?}", events.last());
    let trials = trials(&events);
    assert_eq!(trials.len(), 2 * RULES.len());
    for (pair, (number, rule)) in trials.chunks(2).zip((1_u64..).zip(RULES)) {
        let (classic, v2) = (pair[0], pair[1]);
        assert_eq!((&classic["rung"], &v2["rung"]), (&json!(number), &json!(number)));
        assert_eq!((&classic["wire"], &v2["wire"]), (&json!("classic"), &json!("v2")));
        assert_eq!(classic["verdict"]["outcome"], "succeeded", "{classic}");
        assert_eq!(v2["verdict"]["outcome"], "stopped", "{v2}");
        assert_eq!(v2["verdict"]["rule"], rule, "rung {number}");
        assert!(classic["as_expected"] == true && v2["as_expected"] == true);
    }
    let said = || events.iter().filter(|event| event["event"] == "said");
    let text = |event: &Value| event["text"].as_str().unwrap().to_owned();
    let servers: Vec<_> = said().filter(|event| event["voice"] == "server").collect();
    assert!(servers.len() > 40);
    for line in servers {
        let is_reduced = WITH_HINTS.contains(&line["rung"].as_u64().unwrap())
            // Nothing is searched there.
            && !(line["rung"] == 11 && line["wire"] == "v2");
        assert!(text(line).contains("127.0.0.1:") && text(line).contains("loopback only"));
        assert_eq!(text(line).contains("lab hint: all but the first 8 bits"), is_reduced, "{line}");
    }
    // What stopped each is told with its rule.
    for (number, rule) in (1_u64..).zip(RULES) {
        let mut stops =
            said().filter(|event| event["rung"] == number && event["voice"] == "stopped");
        assert!(stops.any(|stop| text(stop).contains(rule)), "rung {number}: {rule}");
    }
}

#[test]
fn a_seed_repeats_the_values_keys_and_token_and_another_gives_others() {
    let token = |seed: &str| {
        let (code, events, error) = run(&["1", "--only", "classic", "--seed", seed]);
        assert_eq!(code, 0, "{error}");
        trials(&events)[0]["facts"]["token"].as_str().unwrap().to_owned()
    };
    let anna = token("anna");
    assert_eq!(anna, token("anna"));
    assert_ne!(anna, token("ben"));
    assert_eq!(anna.len(), 32);
}

#[test]
fn evidence_is_a_file_with_the_frames_and_the_output_has_them_without_it() {
    let home = folder();
    let file = home.join("e.json");
    let path = file.to_str().unwrap();
    let (code, events, error) = run(&["3", "--only", "classic", "--evidence", path]);
    assert_eq!(code, 0, "{error}");
    assert!(trials(&events)[0].get("seen_frames").is_none());
    let evidence: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let trial = &evidence["trials"][0];
    assert_eq!(trial["verdict"]["outcome"], "succeeded");
    let thirties = |trial: &Value| {
        let frames = trial["seen_frames"].as_array().unwrap();
        frames
            .iter()
            .filter(|frame| frame["opcode"] == 30 && frame["way"] == "to server")
            .map(|frame| (frame["by"].clone(), frame["body"].as_str().unwrap().len()))
            .collect::<Vec<_>>()
    };
    // 80 bytes each, in hexadecimal; the copy is the attacker's.
    let expected = [("client", 160), ("attacker", 160), ("client", 160)];
    let expected = expected.map(|(by, length)| (json!(by), length));
    assert_eq!(thirties(trial), expected);
    let numbers = trial["seen_frames"].as_array().unwrap().iter().map(|frame| frame["n"].as_u64());
    assert!(numbers.eq((1..=trial["seen_frames"].as_array().unwrap().len() as u64).map(Some)));
    let (_, events, _) = run(&["3", "--only", "classic"]);
    assert_eq!(thirties(trials(&events)[0]), expected);
    // A folder that is not there is known before the run.
    let nowhere = home.join("nowhere/e.json");
    let (code, events, _) =
        run(&["1", "--only", "classic", "--evidence", nowhere.to_str().unwrap()]);
    assert_eq!((code, trials(&events).len()), (1, 0));
    // A place that cannot be written is an error, after the run.
    let (code, events, _) = run(&["1", "--only", "classic", "--evidence", "/dev/full"]);
    assert_eq!(code, 1);
    assert_eq!(trials(&events).len(), 1);
}

#[test]
fn what_cannot_be_run_is_refused_with_its_reason_and_a_next_step() {
    let home = folder();
    let file = home.join("not-a-search");
    fs::write(&file, "ddes lab, stopped search 1\nrung nine\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, expected) in [
        (&["lab", "run", "14"][..], "rungs are 1 to 13"),
        (&["lab", "run", "9", "--bits", "57"], "57"),
        (&["lab", "run", "10", "--memory", "1X"], "64M"),
        (&["lab", "run", "10", "--memory", "1"], "at least 64K"),
        (&["lab", "run", "9", "--capture", "x", "--hint1", "12", "--hint2", "34"], "16 hex"),
    ] {
        let (code, _, error) = output(ddes_at(&home, arguments));
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    for (arguments, expected) in [
        (&["lab", "run", "9", "--resume", file][..], "line 2"),
        (&["lab", "run", "9", "--resume", "/dev/null/none"], "Ctrl-C"),
        (&["lab", "run", "9", "--resume", file, "--bits", "9"], "takes no --bits"),
        (&["lab", "run", "9", "--resume", file, "--seed", "anna"], "takes no --seed"),
        (&["lab", "run", "1", "--capture", file], "neither a pcapng nor a pcap"),
        (&["lab", "run", "9", "--capture", "/nowhere/x.pcapng"], "cannot read"),
        (&["lab", "grade", "/nowhere/x.toml", "--seed", "anna"], "No such file"),
        (&["lab", "hand-out", "/nowhere/x.pcapng", "y.pcapng"], "cannot read"),
    ] {
        let (code, _, error) = output(ddes_at(&home, arguments));
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(expected) && error.contains("try:"), "{arguments:?}: {error}");
    }
}

/// A classic server, and more flags of it.
fn classic(home: &Path, flags: &[&str]) -> Running {
    let all = ["serve", "--json", "--classic", "--classic-wait-ms", "0", "--ledger", "memory"];
    started(ddes_at(home, &[&all[..], &["--listen", "127.0.0.1:0"], flags].concat()))
}

/// Every rung that listens, on this capture.
fn read_by_all_that_listen(capture: &str) {
    for rung in ["1", "2", "4", "9", "10", "11"] {
        let (code, events, error) = run(&[rung, "--only", "classic", "--capture", capture]);
        assert_eq!(code, 0, "rung {rung}: {error} {:?}", events.last());
        let trial = trials(&events)[0];
        assert_eq!(trial["verdict"]["outcome"], "succeeded", "{trial}");
        if ["9", "10"].contains(&rung) {
            assert_eq!(trial["facts"]["integers_read"], json!(["7", "9", "7"]));
        }
    }
}

#[test]
fn a_session_of_the_python_client_falls_as_well() {
    let home = folder();
    let file = home.join("session.pcapng");
    let path = file.to_str().unwrap();
    let server = classic(&home, &["--capture", path, "--capture-secrets"]);
    let port = server.address.rsplit(':').next().unwrap();
    let (code, shown, error) =
        output(peer("peer/classic/client.py", &["--port", port, "7", "9", "7"]));
    assert_eq!((code, &*shown), (0, "7\n16\n23\n"), "{error}");
    // Stopped in order, it has written all of it.
    let mut server = server;
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
    server.child.wait().unwrap();
    read_by_all_that_listen(path);
}

/// A search that goes on for hours, in a folder of its own, until it says how far it is.
fn search(home: &Path, rung: &str, arguments: &[&str]) -> (std::process::Child, String) {
    let mut command: Command = ddes_at(home, &[&["lab", "run", rung], arguments].concat());
    command.current_dir(home).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let progress = lines.next().unwrap().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    (child, format!("{progress}\n{}", rest.join("\n")))
}

/// The percentage of a line of progress.
fn share(progress: &str) -> f64 {
    let (before, _) = progress.split_once(" %").unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn ctrl_c_stops_a_search_which_goes_on_where_it_was() {
    let home = folder();
    let only = ["--only", "classic", "--no-pause"];
    let (mut child, said) =
        search(&home, "9", &[&["--bits", "36", "--seed", "anna"], &only[..]].concat());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("Key1") && said.contains("a second"), "{said}");
    assert!(said.contains("ddes lab run 9 --resume lab-9.state"), "{said}");
    assert!(!said.contains("--capture"), "{said}");
    let state = fs::read_to_string(home.join("lab-9.state")).unwrap();
    assert!(state.contains("seed anna\nbits 36\n"), "{state}");
    let first = share(&said);
    let (mut child, said) = search(&home, "9", &[&["--resume", "lab-9.state"], &only[..]].concat());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(share(&said) >= first, "{said}");
    let (code, _, error) = output({
        let mut command = ddes_at(&home, &["lab", "run", "10", "--resume", "lab-9.state"]);
        command.current_dir(&home);
        command
    });
    assert_eq!(code, 2);
    assert!(error.contains("rung 9"), "{error}");
}

/// A search in a capture is continued in that capture.
#[test]
fn what_continues_a_search_names_the_capture_and_the_hints() {
    let home = folder();
    let full = captures::captured(&home, true, "full one.pcapng", &["--capture-secrets"]);
    let hints = ["--hint1", "0000000000000000", "--hint2", "0000000000000000"];
    let search_in = ["--capture", &full, "--bits", "56", "--only", "classic", "--no-pause"];
    let (mut child, said) = search(&home, "9", &[&search_in[..], &hints].concat());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    let next = said.lines().find(|line| line.contains("--resume")).unwrap();
    assert!(next.contains(&format!("--capture '{full}'")), "{next}");
    assert!(next.contains("--hint1 0000000000000000 --hint2 0000000000000000"), "{next}");
}

/// The rate is measured for half a second, whatever is unknown, and the figures are those of the
/// sources.
#[test]
fn the_projection_is_of_a_rate_that_was_measured_and_names_its_sources() {
    let rate = |bits: &str| {
        let begun = Instant::now();
        let shown = output(ddes_at(
            &folder(),
            &["lab", "run", "12", "--only", "classic", "--json", "--bits", bits],
        ));
        assert_eq!(shown.0, 0, "{}", shown.2);
        assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
        shown.1
    };
    let (few, many) = (rate("8"), rate("40"));
    for shown in [few, many] {
        let events: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let facts = &trials(&events)[0]["facts"];
        let machines = facts["machines"].as_array().unwrap();
        let days = |machine: &Value, what: &str| machine[what].as_f64().unwrap() / 86_400.0;
        // 2^55 and 3 * 2^55 DES at 88e9 a second.
        let of_1998 = machines.last().unwrap();
        let (one, both) =
            (days(of_1998, "one_key_secs_on_average"), days(of_1998, "rung_9_secs_on_average"));
        assert!((one - 4.74).abs() < 0.01 && (both - 14.22).abs() < 0.01, "{one} {both}");
        for machine in machines {
            let source = machine["source"].as_str().unwrap();
            assert!(shown.contains(&format!("on average ({source})")), "{source}");
        }
        assert!(shown.contains("both keys of a session in 14.2 days"), "{shown}");
        // A debug build tries thousands a second on any machine.
        assert!(facts["keys_per_sec"].as_f64().unwrap() > 1000.0, "{facts}");
    }
}

/// What the memory of a meet in the middle is for is told: tables, their size, rate and time.
#[test]
fn the_dial_of_rung_10_shows_what_it_turns() {
    let facts = |memory: &str| {
        let meet = ["lab", "run", "10", "--only", "classic", "--json", "--bits", "16"];
        let threads = ["--threads", "1", "--memory", memory];
        let (code, shown, error) = output(ddes_at(&folder(), &[&meet[..], &threads].concat()));
        assert_eq!(code, 0, "{error}");
        let events: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (trials(&events)[0]["facts"].clone(), shown)
    };
    let (whole, told) = facts("16M");
    assert_eq!((&whole["tables"], &whole["keys_a_table"]), (&json!(1), &json!(1 << 16)));
    assert!(told.contains("one table of 65536 keys"), "{told}");
    let (part, told) = facts("64K");
    let tables = part["tables"].as_u64().unwrap();
    assert!(tables > 4 && tables * part["keys_a_table"].as_u64().unwrap() >= 1 << 16, "{part}");
    assert!(part["bytes_used"].as_u64().unwrap() <= 1 << 16, "{part}");
    assert!(told.contains(&format!("{tables} tables, one after the other")), "{told}");
    assert!(told.contains("keys in") && part["keys_per_sec"].as_f64().unwrap() > 0.0, "{told}");
}

const WAIT_MS: Option<u64> = Some(240_000);

fn on_a_terminal(mut command: Command) -> PtySession {
    command.env("TERM", "xterm").env_remove("CLICOLOR").env_remove("CLICOLOR_FORCE");
    let session = spawn_command(command, WAIT_MS).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(session.process().get_file_handle().unwrap(), size).unwrap();
    session
}

/// Without colours and other sequences.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // `ESC [ … letter`.
            rest.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            shown.push(c);
        }
    }
    shown
}

/// From the README's commands to a broken session, as a newcomer types them.
#[test]
fn a_newcomer_breaks_the_classic_wire_in_minutes_by_the_commands_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let commands: Vec<Vec<&str>> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("    ddes lab"))
        .map(|line| line.split('#').next().unwrap().split_whitespace().collect())
        .collect();
    assert!(commands.len() >= 3, "{commands:?}");
    let (home, begun) = (folder(), Instant::now());
    let mut seen = String::new();
    for arguments in commands {
        let mut command = ddes_at(&home, &[&["lab"], &arguments[..]].concat());
        command.current_dir(&home);
        let mut session = on_a_terminal(command);
        let mut shown = String::new();
        // It waits for Enter between the parts, and says so.
        if arguments.first() == Some(&"run") {
            shown += &session.exp_string("Press Enter").unwrap();
            session.send_line("").unwrap();
        }
        shown += &session.exp_eof().unwrap();
        let status = format!("{:?}", session.process().wait().unwrap());
        assert!(status.ends_with(", 0)"), "{arguments:?}: {status} {shown}");
        for line in plain(&shown).lines() {
            let line = line.rsplit('\r').next().unwrap();
            assert!(line.chars().count() <= 80, "{line}");
        }
        seen += &plain(&shown);
    }
    assert!(begun.elapsed() < Duration::from_secs(300), "{:?}", begun.elapsed());
    assert!(seen.contains("BROKEN: both keys of the session"), "{seen}");
    assert!(seen.contains("STOPPED (P-05)"), "{seen}");
}

#[test]
fn colours_are_for_terminals_that_have_them_and_respect_no_color() {
    for (name, is_coloured) in [("", true), ("NO_COLOR", false)] {
        let mut command = ddes_at(&folder(), &["lab", "run", "1", "--no-pause"]);
        command.env_remove("NO_COLOR");
        if !name.is_empty() {
            command.env(name, "1");
        }
        let mut session = on_a_terminal(command);
        let shown = session.exp_eof().unwrap();
        assert_eq!(
            shown.contains("\u{1b}[31"),
            is_coloured || shown.contains("\u{1b}[1m\u{1b}[31")
        );
        assert_eq!(shown.contains('\u{1b}'), is_coloured, "{shown:?}");
    }
}

/// The keys of a recorded session and its integers are for the eyes of who has the recording; and
/// what is read is not written over, by whatever name.
#[test]
fn evidence_of_a_recording_is_its_owners_and_replaces_nothing_that_is_read() {
    let home = folder();
    let full = captures::captured(&home, true, "full.pcapng", &["--capture-secrets"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let evidence = home.join("e.json");
    let to = ["--only", "classic", "--evidence", evidence.to_str().unwrap()];
    let (code, _, error) = run(&[&["9", "--capture", &full][..], &to].concat());
    assert_eq!((code, mode(&evidence)), (0, 0o600), "{error}");
    let refused = |arguments: &[&str]| {
        let (code, _, error) = output(ddes_at(&home, &[&["lab"], arguments].concat()));
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains("would replace what is read"), "{arguments:?}: {error}");
    };
    let before = fs::read(&full).unwrap();
    let other = home.join("other name");
    fs::hard_link(&full, &other).unwrap();
    for name in [Path::new(&full), &other] {
        refused(&["run", "1", "--capture", &full, "--evidence", name.to_str().unwrap()]);
    }
    let secrets = home.join("secrets");
    fs::write(&secrets, "").unwrap();
    let secrets = secrets.to_str().unwrap();
    let with = ["run", "1", "--capture", &full, "--secrets", secrets];
    refused(&[&with[..], &["--evidence", secrets]].concat());
    refused(&["run", "9", "--resume", secrets, "--evidence", secrets]);
    refused(&["hand-out", &full, other.to_str().unwrap()]);
    refused(&["hand-out", &full, secrets, "--secrets", secrets]);
    assert_eq!(fs::read(&full).unwrap(), before);
}

/// A device says that it has no bytes, and has no end.
#[test]
fn what_does_not_say_its_length_is_read_to_a_bound() {
    for arguments in [
        &["lab", "grade", "/dev/zero", "--seed", "anna"][..],
        &["lab", "run", "9", "--resume", "/dev/zero"],
    ] {
        let mut limited = Command::new("sh");
        let program = ddes_at(&folder(), arguments);
        limited.args(["-c", "ulimit -v 4000000; exec \"$@\"", "sh"]);
        limited.arg(program.get_program()).args(program.get_args());
        let (code, _, error) = output(limited);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains("it has more than"), "{error}");
    }
}

#[test]
fn what_a_state_says_is_checked_before_it_is_shown_or_believed() {
    let home = folder();
    let file = home.join("evil.state");
    let state = "ddes key recovery, state 1\ntask 00000000000000000000000000000000\npart 0\n";
    let resume = |seed: &str, bits: &str, stage: &str| {
        let head = format!("ddes lab, stopped search 1\nrung 9\nseed {seed}\nbits {bits}");
        let text = format!("{head}\nmemory 65536\nkey1 -\nstage {stage}\n{state}next 0\n");
        fs::write(&file, text).unwrap();
        output(ddes_at(&home, &["lab", "run", "9", "--resume", file.to_str().unwrap()]))
    };
    for (seed, bits, stage, line) in [
        ("\u{1b}[2J\u{1b}]0;title\u{7}", "8", "key1", "line 3"),
        ("anna", "4000000000", "key1", "line 4"),
        ("anna", "8", "key9", "line 7"),
    ] {
        let (code, shown, error) = resume(seed, bits, stage);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(line), "{error}");
        assert!(!format!("{shown}{error}").contains('\u{1b}'), "{shown}{error}");
    }
    let (code, _, error) = resume("anna", "8", "key1");
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("belongs to another search"), "{error}");
}

/// The half that was stopped is the one that goes on, from where it was.
#[test]
fn a_search_that_is_stopped_in_the_second_half_goes_on_there() {
    for (rung, stage) in [("9", "stage control\n"), ("10", "stage ddes\n")] {
        let home = folder();
        let file = format!("lab-{rung}.state");
        let state = || fs::read_to_string(home.join(&file)).unwrap();
        let field = |state: &str, name: &str| -> u64 {
            let line = state.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap().parse().unwrap()
        };
        // Small tables, so that the meet in the middle is soon behind its first.
        let many = ["--bits", "36", "--memory", "64K", "--seed", "anna"];
        let begin = [&many[..], &["--only", "v2", "--no-pause"]].concat();
        let (mut child, said) = search(&home, rung, &begin);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
        let first = state();
        assert!(first.contains(stage), "{first}");
        // Without a wire: it is the state's.
        let (mut child, said) = search(&home, rung, &["--resume", &file, "--no-pause"]);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
        let second = state();
        assert!(second.contains(stage), "{second}");
        let place = |state: &str| (field(state, "part"), field(state, "next"));
        assert!((0, 0) < place(&first) && place(&first) < place(&second), "{first}{second}");
        let words = ["lab", "run", rung, "--resume", &file, "--only", "classic"];
        let mut command = ddes_at(&home, &words);
        command.current_dir(&home);
        let (code, _, error) = output(command);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains("against D-DDES/2"), "{error}");
    }
}

/// What finds nothing must find something where something is, or it shows nothing.
#[test]
fn a_search_that_is_stopped_by_the_cipher_has_a_control() {
    let (code, events, error) = run(&["9", "--only", "v2", "--seed", "anna"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(trials(&events)[0]["facts"]["control_found"], true);
    let control = |event: &&Value| {
        event["text"].as_str().is_some_and(|text| text.starts_with("There it finds Key1: "))
    };
    assert_eq!(events.iter().filter(control).count(), 1);
    let home = folder();
    let v2 = captures::captured(&home, false, "v2.pcapng", &[]);
    for (arguments, is_known) in
        [(vec!["1", "--only", "v2"], true), (vec!["1", "--only", "v2", "--capture", &v2], false)]
    {
        let (code, events, error) = run(&arguments);
        assert_eq!(code, 0, "{error}");
        assert_eq!(trials(&events)[0]["facts"]["looked_for_the_token"], is_known);
        let told = events.iter().any(|event| {
            event["text"].as_str().is_some_and(|text| text.contains("is not checked"))
        });
        assert_eq!(told, !is_known);
    }
}

/// Rung 13 has ledgers in a folder of its own.
#[test]
fn a_signal_leaves_no_temporary_folder_behind() {
    let there = |home: &Path| {
        let mut names = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name());
        names.any(|name| name.to_string_lossy().starts_with("ddes-lab-"))
    };
    for signal in [Signal::INT, Signal::TERM] {
        let home = folder();
        let mut command = ddes_at(&home, &["lab", "run", "13", "--no-pause"]);
        command.env("TMPDIR", &*home).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while !there(&home) {
            assert_eq!(child.try_wait().unwrap(), None, "it ended without a folder");
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let code = child.wait().unwrap().code();
        assert!(!there(&home));
        assert_eq!(code, Some(130));
    }
}

/// Between the halves it is asked whether to go on, and Ctrl-C leaves.
#[test]
fn ctrl_c_leaves_between_the_halves() {
    let mut command = ddes_at(&folder(), &["lab", "run", "9", "--bits", "8"]);
    command.env_remove("NO_COLOR");
    let mut session = on_a_terminal(command);
    session.exp_string("Press Enter").unwrap();
    session.send_control('c').unwrap();
    let left = session.exp_eof().unwrap();
    assert!(!left.contains("Against"), "{left}");
}

/// A machine that has no more threads searches with those that there are, and stops when told.
#[test]
fn a_search_with_too_few_threads_runs_and_can_be_stopped() {
    let home = folder();
    let arguments = ["lab", "run", "9", "--bits", "44", "--threads", "64", "--only", "classic"];
    let program = ddes_at(&home, &arguments);
    let mut limited = Command::new("sh");
    // With stacks of 256 MiB there is room for fewer than ten threads: hundreds that are busy would
    // hold up other tests.
    limited.args(["-c", "ulimit -v 2500000; exec \"$@\"", "sh"]);
    limited.env("RUST_MIN_STACK", "268435456");
    limited.arg(program.get_program()).args(program.get_args()).arg("--no-pause");
    limited.current_dir(&home).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = limited.spawn().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    std::thread::spawn(move || lines.find_map(Result::ok).map(|line| sender.send(line)));
    let said = receiver.recv_timeout(Duration::from_secs(100));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let until = Instant::now() + Duration::from_secs(100);
    let code = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if Instant::now() > until => {
                child.kill().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(code, Some(130), "{said:?}");
    assert!(said.unwrap().contains("a second"));
}
