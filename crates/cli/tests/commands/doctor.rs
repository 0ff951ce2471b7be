//! `ddes doctor`: what is in order, and what is not, each with a remedy.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::secure::serve;
use crate::{ddes_at, folder, output};

/// The exit code, all findings, and whatever was said on standard error.
fn doctor(home: &Path, flags: &[&str]) -> (i32, Vec<Value>, String) {
    let flags = [&["doctor", "--json", "--http", "off"], flags].concat();
    let (code, out, error) = output(ddes_at(home, &flags));
    let findings = out.lines().map(|line| serde_json::from_str(line).unwrap());
    (code, findings.collect(), error)
}

fn has(findings: &[Value], topic: &str, level: &str, text: &str) -> bool {
    findings.iter().any(|finding| {
        finding["topic"] == topic
            && finding["level"] == level
            && finding["text"].as_str().unwrap().contains(text)
    })
}

/// All paths below a folder, with what each has.
fn listing(folder: &Path) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        all.push((entry.path().display().to_string(), entry.metadata().unwrap().len()));
        if entry.path().is_dir() {
            all.extend(listing(&entry.path()));
        }
    }
    all.sort();
    all
}

#[test]
fn an_empty_home_is_in_order_and_stays_empty() {
    let home = folder();
    let (code, findings, error) = doctor(&home, &["--listen", "127.0.0.1:0"]);
    assert_eq!((code, error.as_str()), (0, ""), "{findings:?}");
    for (topic, level, text) in [
        ("ports", "ok", "is free"),
        ("limits", "ok", "core dumps"),
        ("key", "warn", "no key yet"),
        ("lists", "warn", "nobody may connect yet"),
        ("ledger", "ok", "is made at the first start"),
        ("disk", "ok", "MiB are free"),
        ("engine", "ok", "Double DES: "),
        ("engine", "ok", "Diffie-Hellman: "),
        ("kernel", "ok", "processors"),
        ("clock", "ok", "the wall clock says 2"),
        ("clock", "ok", "agree over"),
    ] {
        assert!(has(&findings, topic, level, text), "{topic} {text}: {findings:?}");
    }
    let disk = |finding: &&Value| finding["text"].as_str().is_some_and(|t| t.contains("20 writes"));
    assert!(findings.iter().any(|finding| disk(&finding)), "{findings:?}");
    let clock = |finding: &Value| finding["topic"] == "clock";
    assert_eq!(findings.iter().filter(|finding| clock(finding)).count(), 3);
    for finding in findings.iter().filter(|finding| finding["event"] == "finding") {
        assert_eq!(finding["level"] == "ok", finding["remedy"].is_null(), "{finding}");
    }
    let summary = findings.last().unwrap();
    assert_eq!((&summary["event"], &summary["failed"]), (&"doctor".into(), &0.into()));
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
}

#[test]
fn a_running_server_of_the_home_is_known_as_its_own_and_nothing_changes() {
    let home = folder();
    let server = serve(&home, &[]);
    let before = listing(&home);
    let (code, findings, _) = doctor(&home, &["--listen", &server.address]);
    assert_eq!(code, 0, "{findings:?}");
    assert!(has(&findings, "ports", "ok", "this home's server"), "{findings:?}");
    assert!(has(&findings, "ledger", "ok", "whole at its head: batch 0"), "{findings:?}");
    assert!(has(&findings, "key", "ok", "readable by its owner alone"), "{findings:?}");
    assert_eq!(listing(&home), before);
    // Another home's server on that port is no server of ours.
    let (code, findings, _) = doctor(&folder(), &["--listen", &server.address]);
    assert_eq!(code, 1);
    assert!(has(&findings, "ports", "fail", "another server has"), "{findings:?}");
}

#[test]
fn what_is_wrong_fails_with_a_remedy_and_shows_no_secret() {
    let home = folder();
    drop(serve(&home, &[]));
    let token = "0123456789abcdef".repeat(4);
    fs::write(home.join("http-token"), &token).unwrap();
    fs::write(home.join("authorized_keys"), "nonsense\n").unwrap();
    fs::write(home.join("known_servers"), "nonsense\n").unwrap();
    for open in ["http-token", "server_key"] {
        fs::set_permissions(home.join(open), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let segment = fs::read_dir(home.join("ledger")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    fs::write(&segment, [0x55; 8192]).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let page = TcpListener::bind("127.0.0.1:0").unwrap();
    let page = (page.local_addr().unwrap().to_string(), page);
    let http = ["--listen", &address, "--http", &page.0];
    let (code, out, _) = output(ddes_at(&home, &[&["doctor", "--json"], &http[..]].concat()));
    let findings: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(code, 1);
    for (topic, level, text) in [
        ("ports", "fail", "another program has"),
        ("ports", "fail", "where the page and metrics would be"),
        ("token", "fail", "is open to others (mode 644)"),
        ("key", "fail", "is open to others (mode 644)"),
        ("lists", "fail", "authorized_keys"),
        ("lists", "fail", "known_servers"),
        ("ledger", "fail", "is damaged"),
    ] {
        assert!(has(&findings, topic, level, text), "{topic} {text}: {out}");
    }
    let (code, text, error) = output(ddes_at(&home, &[&["doctor"], &http[..]].concat()));
    assert!(code == 1 && error.is_empty(), "{error}");
    assert!(
        text.contains("fail  key ") && text.contains("\n                try: chmod 600 "),
        "{text}"
    );
    assert!(text.lines().last().unwrap().ends_with(" failed"), "{text}");
    let key = fs::read_to_string(home.join("server_key")).unwrap();
    let secret = key.lines().nth(2).unwrap();
    for shown in [&out, &text] {
        assert!(!shown.contains(&token) && !shown.contains(secret), "{shown}");
    }
}

/// Root looks into the home of a service, whose user may put anything there.
#[test]
fn a_pipe_in_the_place_of_any_file_is_found_and_not_waited_for() {
    let home = folder();
    drop(serve(&home, &[]));
    fs::write(home.join("authorized_keys"), "").unwrap();
    fs::write(home.join("known_servers"), "").unwrap();
    fs::create_dir_all(home.join("identities")).unwrap();
    fs::write(home.join("identities/anna.pub"), "").unwrap();
    fs::write(home.join("http-token"), "").unwrap();
    let ledger = fs::read_dir(home.join("ledger")).unwrap().map(|entry| entry.unwrap());
    let ledger = ledger.map(|entry| format!("ledger/{}", entry.file_name().display()));
    let names = ["authorized_keys", "known_servers", "server_key", "server_key.pub", "http-token"];
    let names = names.into_iter().chain(["identities/anna.pub"]).map(str::to_owned);
    for name in names.chain(ledger) {
        fs::remove_file(home.join(&name)).unwrap();
        let (mode, kind) = (Mode::from_raw_mode(0o600), FileType::Fifo);
        mknodat(CWD, home.join(&name), kind, mode, 0).unwrap();
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_ddes"), "doctor", "--json", "--http", "off"]);
    command.args(["--listen", &address, "--home"]).arg(&home);
    let (code, out, error) = output(command);
    assert_eq!(code, 1, "{out} {error}");
    let findings: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (topic, text) in [
        ("token", "it is a pipe"),
        ("key", "it is a pipe"),
        ("lists", "authorized_keys: it is not a regular file"),
        ("lists", "anna.pub: it is not a regular file"),
        ("lists", "known_servers: it is a pipe"),
        ("ledger", ""),
    ] {
        assert!(has(&findings, topic, "fail", text), "{topic} {text}: {out}");
    }
}

#[test]
fn a_home_that_others_can_write_is_found_and_not_refused() {
    let home = folder();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
    let (code, findings, _) = doctor(&home, &["--listen", "127.0.0.1:0"]);
    assert_eq!(code, 1);
    assert!(has(&findings, "home", "fail", "can be written by others"), "{findings:?}");
}

#[test]
fn quiet_shows_what_needs_a_look_alone() {
    let home = folder();
    let flags = ["doctor", "--quiet", "--listen", "127.0.0.1:0", "--http", "off"];
    let (code, out, _) = output(ddes_at(&home, &flags));
    assert_eq!(code, 0);
    assert!(out.contains("warn  key") && !out.contains("ok    "), "{out}");
}

#[test]
fn it_looks_at_what_the_configuration_says() {
    let home = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let file = home.join("ddes.toml");
    let ledger = home.join("elsewhere");
    let text = format!(
        "listen = \"{address}\"\nledger = {ledger:?}\nmax_connections = 7\nhttp = \"off\"\n"
    );
    fs::write(&file, text).unwrap();
    let look = || {
        let mut command = ddes_at(&home, &["doctor", "--json"]);
        command.env("DDES_CONFIG", &file);
        let (code, out, _) = output(command);
        let all = out.lines().map(|line| serde_json::from_str(line).unwrap());
        (code, all.collect::<Vec<Value>>())
    };
    let (code, findings) = look();
    assert_eq!(code, 1);
    for (topic, level, text) in [
        ("config", "ok", "has no errors"),
        ("ports", "fail", &*format!("another program has {address}")),
        ("limits", "ok", "7 connections need"),
        ("ledger", "ok", "elsewhere is made at the first start"),
    ] {
        assert!(has(&findings, topic, level, text), "{topic} {text}: {findings:?}");
    }
    fs::write(&file, "max_conections = 7\nhttp = \"off\"\n").unwrap();
    let (code, findings) = look();
    assert_eq!(code, 1);
    assert!(has(&findings, "config", "fail", "unknown key 'max_conections'"), "{findings:?}");
}

#[test]
fn the_token_that_only_reads_is_looked_at_where_the_settings_name_one() {
    let home = folder();
    let path = home.join("read-token");
    fs::write(&path, "0".repeat(64)).unwrap();
    for (mode, level) in [(0o600, "ok"), (0o644, "fail")] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut doctor = ddes_at(&home, &["doctor", "--json", "--listen", "127.0.0.1:0"]);
        doctor.env("DDES_HTTP_READ_TOKEN", &path).env("DDES_HTTP", "127.0.0.1:0");
        let (_, out, _) = output(doctor);
        let is_it = |line: &str| line.contains("read-token") && line.contains("\"token\"");
        let found: Vec<_> = out.lines().filter(|line| is_it(line)).collect();
        assert_eq!(found.len(), 1, "{out}");
        assert!(found[0].contains(&format!("\"level\":\"{level}\"")), "{out}");
    }
}
