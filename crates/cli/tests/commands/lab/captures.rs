//! Captures instead of live sessions: with secrets, with hints, and of the wrong wire.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{classic, read_by_all_that_listen, run, trials};
use crate::{ddes_at, folder, output, started};

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

/// A capture of a classic session of 7, 9 and 7; or of D-DDES/2.
pub(super) fn captured(home: &Path, is_classic: bool, name: &str, flags: &[&str]) -> String {
    let path = home.join(name).to_str().unwrap().to_owned();
    if is_classic {
        let server = classic(home, &[]);
        let to = ["send", "--classic", "--server", &server.address, "--capture", &path];
        let (code, _, error) = output(ddes_at(home, &[&to[..], flags, &["7", "9", "7"]].concat()));
        assert_eq!(code, 0, "{error}");
        return path;
    }
    let own = folder();
    let serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--allow-any"];
    let server = started(ddes_at(&own, &serve));
    let trust = crate::secure::fingerprint(&own);
    let to = ["connect", "--server", &server.address, "--trust", &trust, "--capture", &path];
    // Each integer in a frame of its own.
    let mut connect = ddes_at(home, &[&to[..], flags].concat());
    let mut client =
        connect.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(b"7\n9\n7\n50\n").unwrap();
    let done = client.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path
}

/// What a teacher gives away holds no secrets, and with the line that is printed rungs 9, 10 and 11
/// find the keys.
#[test]
fn a_capture_that_is_handed_out_falls_by_its_hints_and_not_before() {
    let home = folder();
    let full = captured(&home, true, "full.pcapng", &["--capture-secrets"]);
    let copy = home.join("copy.pcapng").to_str().unwrap().to_owned();
    let hand_out = ["lab", "hand-out", &full, &copy, "--bits", "11", "--json"];
    let (code, shown, error) = output(ddes_at(&home, &hand_out));
    assert_eq!(code, 0, "{error}");
    let given: Value = serde_json::from_str(&shown).unwrap();
    let inspect = |file: &str| output(ddes_at(&home, &["inspect", "--json", "--keys", file])).1;
    let (of_full, of_copy) = (inspect(&full), inspect(&copy));
    assert!(of_full.contains("key1") && !of_copy.contains("key1"), "{of_copy}");
    let bytes = fs::read(&copy).unwrap();
    assert!(!bytes.windows(12).any(|part| part == b"ddes_secrets"));
    // The frames are the same.
    let bodies = |shown: &str| {
        let lines = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == "frame").map(|line| line["bytes"].clone()).collect()
    };
    let (one, other): (Vec<Value>, Vec<Value>) = (bodies(&of_full), bodies(&of_copy));
    assert!(one.len() >= 12 && one == other, "{one:?} {other:?}");
    let command = given["command"].as_str().unwrap();
    let words: Vec<_> = command.split(' ').skip(4).collect();
    assert!(command.starts_with("ddes lab run 9 --capture"), "{command}");
    for rung in ["9", "10", "11"] {
        let (code, shown, error) = output(ddes_at(
            &home,
            &[&["lab", "run", rung, "--only", "classic", "--json"], &words[..]].concat(),
        ));
        assert_eq!(code, 0, "rung {rung}: {error} {shown}");
        let events: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let trial = trials(&events)[0];
        assert_eq!(trial["verdict"]["outcome"], "succeeded", "{trial}");
        if rung != "11" {
            assert_eq!(trial["facts"]["integers_read"], json!(["7", "9", "7"]));
        }
    }
    // With fewer bits than are missing no key fits, and that is not the lab's fault. (By chance all
    // ten missing bits of both keys are 0 in one case of 2^20.)
    let mut fewer = words.clone();
    *fewer.last_mut().unwrap() = "1";
    let (code, _, error) =
        output(ddes_at(&home, &[&["lab", "run", "9", "--only", "classic"], &fewer[..]].concat()));
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("check --hint1, --hint2") && !error.contains("broken"), "{error}");
}

/// A copy without secrets, and the flags of the line that goes with it.
fn handed_out(home: &Path, full: &str) -> (String, Vec<String>) {
    let copy = home.join("copy.pcapng").to_str().unwrap().to_owned();
    let hand_out = ["lab", "hand-out", full, &copy, "--bits", "11", "--quiet"];
    let (code, line, error) = output(ddes_at(home, &hand_out));
    assert_eq!(code, 0, "{error}");
    let line = line.trim().strip_prefix("ddes lab run 9 ").unwrap();
    (copy, line.split(' ').map(str::to_owned).collect())
}

/// Rung 4 needs known integers, rung 10 uses them as a sieve.
#[test]
fn integers_that_are_known_stand_in_for_secrets_and_must_agree_with_them() {
    let home = folder();
    let full = captured(&home, true, "full.pcapng", &["--capture-secrets"]);
    let (copy, flags) = handed_out(&home, &full);
    let words: Vec<_> = flags.iter().map(String::as_str).collect();
    let known = |rung: &str, known: &str| {
        let which = ["lab", "run", rung, "--only", "classic", "--json", "--known", known];
        let (code, shown, error) = output(ddes_at(&home, &[&which[..], &words].concat()));
        assert_eq!(code, 0, "rung {rung}: {error}");
        let events: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (trials(&events)[0]["facts"].clone(), shown)
    };
    assert_eq!(known("4", "7,9").0["read"], json!(["7"]));
    let (facts, told) = known("10", "7");
    assert_eq!(facts["integers_read"], json!(["7", "9", "7"]));
    assert!(told.contains("Suppose that this integer is known: 7."), "{told}");
    let (code, _, error) = output(ddes_at(&home, &["lab", "run", "4", "--capture", &copy]));
    assert_eq!(code, 2);
    assert!(error.contains("--known"), "{error}");
    let (code, _, error) = output(ddes_at(&home, &["lab", "run", "9", "--capture", &copy]));
    assert_eq!(code, 2);
    assert!(error.contains("hand-out") && error.contains("try:"), "{error}");
    let full_known = ["lab", "run", "10", "--capture", &full, "--known", "8", "--only", "classic"];
    let (code, _, error) = output(ddes_at(&home, &full_known));
    assert_eq!(code, 2);
    assert!(error.contains("other integers"), "{error}");
}

#[test]
fn what_is_no_session_to_hand_out_is_refused_and_the_secrets_are_never_replaced() {
    let home = folder();
    let full = captured(&home, true, "full.pcapng", &["--capture-secrets"]);
    let (copy, _) = handed_out(&home, &full);
    let inspect = |file: &str| output(ddes_at(&home, &["inspect", "--json", "--keys", file])).1;
    let (code, _, error) = output(ddes_at(&home, &["lab", "hand-out", &full, &full]));
    assert_eq!(code, 2, "{error}");
    assert!(inspect(&full).contains("key1"));
    let (code, _, error) = output(ddes_at(&home, &["lab", "hand-out", &copy, "z.pcapng"]));
    assert_eq!(code, 2);
    assert!(error.contains("--capture-secrets"), "{error}");
}

/// As `ddes inspect` takes them: beside the capture.
#[test]
fn secrets_in_a_file_of_their_own_are_read_and_those_of_another_session_refused() {
    let home = folder();
    let full = captured(&home, true, "full.pcapng", &["--capture-secrets"]);
    let other = captured(&home, true, "other.pcapng", &["--capture-secrets"]);
    let copy = home.join("copy.pcapng").to_str().unwrap().to_owned();
    let (code, _, error) = output(ddes_at(&home, &["lab", "hand-out", &full, &copy]));
    assert_eq!(code, 0, "{error}");
    let secrets = |capture: &str, name: &str| {
        let bytes = fs::read(capture).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let begin = text.find("{\"ddes_secrets\"").unwrap();
        let line = &text[begin..=begin + text[begin..].find('}').unwrap()];
        let path = home.join(name);
        fs::write(&path, format!("{line}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (secrets(&full, "right"), secrets(&other, "wrong"));
    let read = |file: &str| run(&["9", "--only", "classic", "--capture", &copy, "--secrets", file]);
    let (code, events, error) = read(&right);
    assert_eq!(code, 0, "{error}");
    assert_eq!(trials(&events)[0]["facts"]["integers_read"], json!(["7", "9", "7"]));
    let (code, events, error) = read(&wrong);
    assert_eq!((code, trials(&events).len()), (5, 0), "{error}");
    let again = home.join("again.pcapng").to_str().unwrap().to_owned();
    let hand_out = ["lab", "hand-out", &copy, &again, "--secrets", &right];
    let (code, shown, error) = output(ddes_at(&home, &hand_out));
    assert_eq!(code, 0, "{error}");
    assert!(shown.contains("--hint1"), "{shown}");
}

/// A capture that nothing reads is a mistake, and a half that runs live beside one says so.
#[test]
fn a_capture_of_the_other_wire_is_not_replaced_in_silence() {
    let home = folder();
    let v2 = captured(&home, false, "v2.pcapng", &[]);
    let old = captured(&home, true, "classic.pcapng", &["--capture-secrets"]);
    for arguments in [
        &["9", "--capture", &v2][..],
        &["1", "--capture", &v2, "--only", "classic"],
        &["1", "--capture", &old, "--only", "v2"],
        &["3", "--capture", &old],
    ] {
        let (code, events, error) = run(arguments);
        assert_eq!((code, trials(&events).len()), (2, 0), "{arguments:?}: {error}");
        let error = events.last().unwrap();
        assert!(error["cause"].is_string() && error["next"].is_string(), "{error}");
    }
    for (capture, rung, wire) in [(&v2, "1", "v2"), (&old, "1", "classic"), (&old, "9", "classic")]
    {
        let (code, events, error) = run(&[rung, "--capture", capture]);
        assert_eq!(code, 0, "{error}");
        let said = |wire: &str| {
            let said = events.iter().filter(|event| event["event"] == "said");
            said.filter(|event| event["wire"] == wire)
                .any(|event| event["text"].as_str().unwrap().contains("what follows is live"))
        };
        for other in ["classic", "v2"] {
            assert_eq!(said(other), other != wire, "{rung} {other}: {events:?}");
        }
    }
}
