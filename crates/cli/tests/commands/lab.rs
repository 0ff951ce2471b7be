//! `ddes lab`: every rung against both wires, seeds, evidence, answers, searches that stop and go
//! on, and a newcomer's way from the README to a broken session.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
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
        assert_eq!(text(line).contains("lab hint: all but 8 bits"), is_reduced, "{line}");
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
            .map(|frame| frame["body"].as_str().unwrap().len())
            .collect::<Vec<_>>()
    };
    // 80 bytes each, in hexadecimal.
    assert_eq!(thirties(trial), [160, 160]);
    let (_, events, _) = run(&["3", "--only", "classic"]);
    assert_eq!(thirties(trials(&events)[0]), [160, 160]);
    // A place that cannot be written is an error, after the run.
    let (code, events, _) = run(&["1", "--only", "classic", "--evidence", "/dev/full"]);
    assert_eq!(code, 1);
    assert_eq!(trials(&events).len(), 1);
}

#[test]
fn answers_taken_from_the_runs_are_right_and_a_changed_one_is_wrong() {
    let (code, events, error) = run(&["all", "--seed", "anna", "--only", "classic"]);
    assert_eq!(code, 0, "{error}");
    let facts: BTreeMap<u64, Value> = trials(&events)
        .iter()
        .map(|trial| (trial["rung"].as_u64().unwrap(), trial["facts"].clone()))
        .collect();
    let frames = |rung: usize| trials(&events)[rung - 1]["seen_frames"].as_array().unwrap().clone();
    let pad_block = frames(2)
        .iter()
        .find(|frame| frame["opcode"] == 30 && frame["way"] == "to server")
        .map(|frame| frame["body"].as_str().unwrap()[48..64].to_owned());
    let number =
        |rung: u64, name: &str| facts[&rung][name].as_str().unwrap().parse::<i64>().unwrap();
    let sent: Vec<i64> = facts[&3]["sent_by_the_client"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_i64().unwrap())
        .collect();
    let answers = json!({
        "exercise-1": {"token": facts[&1]["token"], "known_blocks": 3},
        "exercise-2": {"equal": [1, 3], "pad_block": pad_block},
        "exercise-3": {"sum": number(3, "sum"), "overcount": number(3, "sum") - sent[0] - sent[1]},
        "exercise-4": {"votes": facts[&4]["read"], "distinct": 5},
        "exercise-5": {"server_holds": facts[&5]["server_holds"],
            "client_believes": facts[&5]["client_believes"]},
        "exercise-6": {"bytes_shown": facts[&8]["bytes_shown"],
            "sessions_ended": facts[&6]["sessions_ended"]},
        "exercise-7": {"different_primes": facts[&7]["different_primes"], "growth": 1024},
        "exercise-8": {"key1": facts[&9]["key1"], "key2": facts[&9]["key2"],
            "integers": facts[&9]["integers_read"]},
        "exercise-9": {"met_key1": facts[&10]["key1"], "met_key2": facts[&10]["key2"],
            "work_log2": 57, "half_memory": 2},
        "exercise-10": {"forged_sum": facts[&11]["sum"], "hmacs_most": 256,
            "lost": sum_of_rung_13(&events)},
    });
    let home = folder();
    let grade = |answers: &Value, seed: &str| {
        let path = home.join("answers.json");
        fs::write(&path, answers.to_string()).unwrap();
        let path = path.to_str().unwrap();
        output(ddes_at(&home, &["lab", "grade", path, "--seed", seed, "--json"]))
    };
    let (code, shown, error) = grade(&answers, "anna");
    assert_eq!(code, 0, "{shown} {error}");
    let (code, shown, _) = grade(&answers, "ben");
    assert_eq!(code, 1);
    assert!(shown.contains("\"wrong\"") && shown.contains("\"right\""));
    let mut changed = answers.clone();
    changed["exercise-3"]["sum"] = json!(number(3, "sum") + 1);
    let (code, shown, _) = grade(&changed, "anna");
    assert_eq!(code, 1);
    let marks: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wrong: Vec<_> = marks.iter().filter(|mark| mark["mark"] == "wrong").collect();
    assert_eq!((wrong.len(), &wrong[0]["question"]), (1, &json!("sum")));
}

/// The honest sum that the client heard in rung 13.
fn sum_of_rung_13(events: &[Value]) -> i64 {
    let said = events.iter().find(|event| {
        event["event"] == "said" && event["rung"] == 13 && event["voice"] == "client"
    });
    let text = said.unwrap()["text"].as_str().unwrap();
    let (_, sum) = text.trim_end_matches('.').rsplit_once(' ').unwrap();
    sum.parse().unwrap()
}

#[test]
fn the_form_for_answers_is_toml_with_every_question_and_filled_in_it_is_read() {
    let home = folder();
    let (code, form, error) = output(ddes_at(&home, &["lab", "grade"]));
    assert_eq!(code, 0, "{error}");
    assert_eq!(form.matches("[exercise-").count(), 10);
    let path = home.join("answers.toml");
    fs::write(&path, form.replace("# known_blocks = \"\"", "known_blocks = 3")).unwrap();
    let path = path.to_str().unwrap();
    let (code, shown, _) = output(ddes_at(&home, &["lab", "grade", path, "--seed", "anna"]));
    assert_eq!(code, 1);
    assert!(shown.contains("known_blocks     right"), "{shown}");
    assert!(shown.contains("token            missing"), "{shown}");
    // Not without the name that the answers belong to.
    let (code, _, error) = output(ddes_at(&home, &["lab", "grade", path]));
    assert_eq!(code, 2);
    assert!(error.contains("--seed"), "{error}");
    fs::write(home.join("answers.toml"), "[exercise-1]\ntokn = \"\"\n").unwrap();
    let (code, _, error) = output(ddes_at(&home, &["lab", "grade", path, "--seed", "anna"]));
    assert_eq!(code, 2);
    assert!(error.contains("exercise-1.tokn") && error.contains("token"), "{error}");
}

#[test]
fn what_cannot_be_run_is_refused_with_its_reason() {
    let home = folder();
    let file = home.join("not-a-search");
    fs::write(&file, "ddes lab, stopped search 1\nrung nine\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, expected) in [
        (&["lab", "run", "14"][..], "rungs are 1 to 13"),
        (&["lab", "run", "9", "--bits", "57"], "57"),
        (&["lab", "run", "10", "--memory", "1X"], "64M"),
        (&["lab", "run", "9", "--resume", file], "line 2"),
        (&["lab", "run", "9", "--resume", "/dev/null/none"], "Ctrl-C"),
        (&["lab", "run", "3", "--capture", file], "does not read captures"),
        (&["lab", "run", "1", "--capture", file], "neither a pcapng nor a pcap"),
        (&["lab", "run", "10", "--memory", "1", "--no-pause"], "at least"),
    ] {
        let (code, _, error) = output(ddes_at(&home, arguments));
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
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
fn a_capture_with_its_secrets_is_read_instead_of_a_live_session() {
    let home = folder();
    let server = classic(&home, &[]);
    let file = home.join("session.pcapng");
    let path = file.to_str().unwrap();
    let send = ["send", "--classic", "--server", &server.address, "--capture", path];
    let (code, _, error) =
        output(ddes_at(&home, &[&send[..], &["--capture-secrets", "7", "9", "7"]].concat()));
    assert_eq!(code, 0, "{error}");
    read_by_all_that_listen(path);
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
fn search(home: &Path, arguments: &[&str]) -> (std::process::Child, String) {
    let mut command: Command = ddes_at(home, &[&["lab", "run", "9"], arguments].concat());
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
        search(&home, &[&["--bits", "36", "--seed", "anna"], &only[..]].concat());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("Key1") && said.contains("a second"), "{said}");
    assert!(said.contains("ddes lab run 9 --resume lab-9.state"), "{said}");
    let state = fs::read_to_string(home.join("lab-9.state")).unwrap();
    assert!(state.contains("seed anna\nbits 36\n"), "{state}");
    let first = share(&said);
    let (mut child, said) = search(&home, &[&["--resume", "lab-9.state"], &only[..]].concat());
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
