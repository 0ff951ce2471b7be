//! D-DDES/2: meeting a server, being let in, being refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Running, ddes_at, folder, output, peer, start, started, unused_address};

/// At a port that the system gives nobody: a client of another test whose server is gone, and which
/// tries again, would take a place here.
pub(crate) fn serve(home: &Path, flags: &[&str]) -> Running {
    let address = unused_address();
    started(ddes_at(home, &[&["serve", "--json", "--listen", &address], flags].concat()))
}

/// A fingerprint of no key here.
pub(crate) const OTHER: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub(crate) fn fingerprint(home: &Path) -> String {
    let (_, shown, _) = output(ddes_at(home, &["key", "show", "--server-key", "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["fingerprint"].as_str().unwrap().to_owned()
}

/// A client that knows what the server's operator told it.
fn send(home: &Path, server: &Running, trust: &str, arguments: &[&str]) -> (i32, String, String) {
    let flags = ["send", "--quiet", "--server", &server.address, "--trust", trust];
    output(ddes_at(home, &[&flags, arguments].concat()))
}

#[test]
fn each_identity_of_the_home_keeps_a_sum_that_goes_on() {
    let home = folder();
    let server = serve(&home, &[]);
    let trust = fingerprint(&home);
    for (name, values, sums) in [
        ("anna", ["42", "50"], "42\n92\n"),
        ("bert", ["1", "-3"], "1\n-2\n"),
        ("anna", ["0", "8"], "92\n100\n"),
    ] {
        let (code, out, error) =
            send(&home, &server, &trust, &[&["--as", name][..], &values].concat());
        assert_eq!((code, out.as_str()), (0, sums), "{error}");
    }
    let (code, total, _) =
        output(ddes_at(&home, &["total", "--as", "anna", "--json", "--server", &server.address]));
    let total: serde_json::Value = serde_json::from_str(&total).unwrap();
    assert_eq!((code, &total["sum"], &total["count"]), (0, &"100".into(), &"4".into()));
    assert_eq!(total["schema_version"], 2);
}

#[test]
fn every_suite_that_a_server_lists_is_served() {
    let home = folder();
    let suites = ["hybrid", "hybrid-3072", "hybrid-4096", "ddes", "ddes-3072", "ddes-4096"];
    let server = serve(&home, &["--suite", &suites.join(",")]);
    let trust = fingerprint(&home);
    for (i, suite) in suites.iter().enumerate() {
        let (code, out, error) = send(&home, &server, &trust, &["--suite", suite, "5"]);
        assert_eq!((code, out), (0, format!("{}\n", 5 * (i + 1))), "{error}");
    }
}

/// In two pseudo-terminals, as a newcomer meets it: the question, the sums, and where they go on.
#[test]
fn a_person_is_shown_the_fingerprint_and_asked_and_the_sum_outlives_the_client() {
    let home = folder();
    let wait_ms = Some(20_000);
    let serve = ddes_at(&home, &["serve", "--listen", "127.0.0.1:0"]);
    let mut server = rexpect::session::spawn_command(serve, wait_ms).unwrap();
    let (_, address) = server.exp_regex(r"127\.0\.0\.1:[0-9]+").unwrap();
    let (_, shown) = server.exp_regex(r"SHA256:[A-Za-z0-9+/]{43}").unwrap();
    let connect = || {
        let connect = ddes_at(&home, &["connect", "--server", &address]);
        rexpect::session::spawn_command(connect, wait_ms).unwrap()
    };

    let mut client = connect();
    client.exp_string(&shown).unwrap();
    client.exp_string("[y/N]").unwrap();
    client.send_line("n").unwrap();
    client.exp_string("is not trusted").unwrap();
    client.exp_eof().unwrap();

    let mut client = connect();
    client.exp_string("[y/N]").unwrap();
    client.send_line("y").unwrap();
    client.exp_string("Enter opcode").unwrap();
    client.send_line("30").unwrap();
    client.exp_string("Enter an integer").unwrap();
    client.send_line("42").unwrap();
    client.exp_string("Result: 42").unwrap();
    client.send_line("30 50").unwrap();
    client.exp_string("Result: 92").unwrap();
    client.send_line("50").unwrap();
    client.exp_string("Session ended").unwrap();
    client.exp_eof().unwrap();

    let mut client = connect();
    client.exp_string("2 integers, sum 92").unwrap();
    client.send_line("8").unwrap();
    client.exp_string("Result: 100").unwrap();
    server.send_line("exit").unwrap();
    client.exp_string("shutting down").unwrap();
    client.exp_eof().unwrap();
    server.exp_eof().unwrap();
}

#[test]
fn what_a_newcomer_can_meet_says_what_happened_and_what_to_do() {
    let home = folder();
    let server = serve(&home, &[]);
    let trust = fingerprint(&home);
    let client = |home: &Path, flags: &[&str]| {
        output(ddes_at(home, &[&["send", "--server", &server.address], flags, &["5"]].concat()))
    };
    let check = |(code, out, error): (i32, String, String), expected: i32, parts: &[&str]| {
        assert_eq!((code, out.as_str()), (expected, ""), "{error}");
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    };

    // Nobody to ask.
    check(
        client(&home, &[]),
        4,
        &["is not known yet", "--trust SHA256:", "ddes key show --server-key"],
    );
    // Another server than the one meant.
    check(
        client(&home, &["--trust", OTHER]),
        4,
        &[&format!("and --trust says {OTHER}"), "Nothing was sent"],
    );
    // An identity of another home.
    let stranger = folder();
    check(
        client(&stranger, &["--trust", &trust]),
        4,
        &["does not let this identity in", "ddes authorize 'ssh-ed25519 "],
    );
    // A suite that the server does not take.
    check(
        client(&home, &["--trust", &trust, "--suite", "ddes"]),
        3,
        &["suite is not taken", "ddes serve --suite"],
    );
    // A server with another key at the same address.
    let other = include_str!("another-server.pub").trim();
    let (added, ..) = output(ddes_at(&home, &["trust", "add", &server.address, other]));
    assert_eq!(added, 0);
    let refused = client(&home, &["--trust", &trust]);
    check(refused, 4, &["HAS CHANGED", "Nothing was sent", "ddes trust rm"]);
    // A server that speaks only the original's wire, and one that is not there.
    let classic = serve(&home, &["--classic", "--classic-wait-ms", "0", "--ledger", "memory"]);
    let refused = output(ddes_at(&home, &["send", "--server", &classic.address, "5"]));
    check(refused, 3, &["does not speak D-DDES/2", "--classic"]);
    check(
        output(ddes_at(&home, &["send", "--server", "127.0.0.1:1", "5"])),
        3,
        &["refused the connection", "ddes serve"],
    );
}

/// It would be told that the right server is the wrong one.
#[test]
fn a_key_may_be_named_by_its_line_or_file_and_what_is_no_key_is_a_mistake_of_usage() {
    let home = folder();
    let server = serve(&home, &[]);
    let (_, line, _) = output(ddes_at(&home, &["key", "show", "--server-key", "--quiet"]));
    let file = home.join("server_key.pub");
    for key in [line.trim(), file.to_str().unwrap()] {
        let client = folder();
        for command in ["check", "total"] {
            let from = if command == "check" { &client } else { &home };
            let flags = [command, "--server", &server.address, "--trust", key];
            let (code, out, error) = output(ddes_at(from, &flags));
            assert_eq!(code, 0, "{command} {key}: {out} {error}");
        }
    }
    for unfit in ["foo", "SHA256:abc", "ssh-ed25519 AAAA"] {
        for command in ["check", "total"] {
            let flags = [command, "--server", &server.address, "--trust", unfit];
            let (code, _, error) = output(ddes_at(&home, &flags));
            assert!(code == 2 && error.contains("--trust"), "{command} {unfit}: {code} {error}");
        }
    }
}

#[test]
fn a_key_is_let_in_while_the_server_runs_and_loses_its_session_when_it_is_removed() {
    let (home, guest) = (folder(), folder());
    let server = serve(&home, &[]);
    let trust = fingerprint(&home);
    let (_, shown, _) = output(ddes_at(&guest, &["key", "new", "default", "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let key = shown["key"].as_str().unwrap();
    assert_eq!(send(&guest, &server, &trust, &["5"]).0, 4);
    assert_eq!(output(ddes_at(&home, &["authorize", key, "--name", "guest"])).0, 0);
    assert_eq!(send(&guest, &server, &trust, &["5"]).1, "5\n");

    let connect = ["connect", "--json", "--server", &server.address];
    let mut client = ddes_at(&guest, &connect);
    let mut child =
        client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let stdin = child.stdin.take();
    assert_eq!(output(ddes_at(&home, &["authorize", "rm", "guest"])).0, 0);
    assert_eq!(child.wait().unwrap().code(), Some(4));
    drop(stdin);
    assert_eq!(send(&guest, &server, &trust, &["5"]).0, 4);
}

#[test]
fn an_expired_key_and_a_list_that_others_can_write_let_nobody_in() {
    use std::os::unix::fs::PermissionsExt;
    let (home, guest) = (folder(), folder());
    let server = serve(&home, &[]);
    let trust = fingerprint(&home);
    let (_, shown, _) = output(ddes_at(&guest, &["key", "new", "--quiet"]));
    let authorize = |expires: &str| {
        output(ddes_at(&home, &["authorize", shown.trim(), "--expires", expires])).0
    };
    assert_eq!((authorize("20200101Z"), send(&guest, &server, &trust, &["5"]).0), (0, 4));
    assert_eq!((authorize("20990101Z"), send(&guest, &server, &trust, &["5"]).0), (0, 0));
    let list = home.join("authorized_keys");
    std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(send(&guest, &server, &trust, &["5"]).0, 4);
    assert_eq!(authorize("tomorrow"), 2);
}

/// P-22 on real sockets.
#[test]
fn an_operator_ends_every_session_and_nobody_else_can() {
    let home = folder();
    let server = serve(&home, &[]);
    let trust = fingerprint(&home);
    assert_eq!(send(&home, &server, &trust, &["--as", "ops", "1"]).0, 0);
    let connect = |name: &str| {
        let flags = ["connect", "--json", "--server", &server.address, "--as", name];
        start(ddes_at(&home, &flags), |line| line.contains("\"ready\"").then(String::new))
    };
    let mut client = connect("anna");
    let mut pretender = connect("ops");
    pretender.child.stdin.as_mut().unwrap().write_all(b"50 all\n").unwrap();
    assert_eq!(pretender.child.wait().unwrap().code(), Some(4));
    let key = home.join("identities/ops.pub");
    assert_eq!(
        output(ddes_at(&home, &["authorize", key.to_str().unwrap(), "--role", "operator"])).0,
        0
    );
    let mut operator = connect("ops");
    operator.child.stdin.as_mut().unwrap().write_all(b"50 all\n").unwrap();
    assert_eq!(operator.child.wait().unwrap().code(), Some(0));
    assert_eq!(client.child.wait().unwrap().code(), Some(0));
}

/// The list is what it says now, not what it said when a session opened.
#[test]
fn an_operator_who_is_demoted_ends_nobody_else() {
    let home = folder();
    let mut server = serve(&home, &[]);
    let trust = fingerprint(&home);
    for name in ["anna", "ops"] {
        assert_eq!(send(&home, &server, &trust, &["--as", name, "1"]).0, 0);
    }
    let key = home.join("identities/ops.pub");
    let authorize = |role: &str| {
        assert_eq!(
            output(ddes_at(&home, &["authorize", key.to_str().unwrap(), "--role", role])).0,
            0
        );
    };
    authorize("operator");
    let connect = |name: &str| {
        let flags = ["connect", "--json", "--server", &server.address, "--as", name];
        start(ddes_at(&home, &flags), |line| line.contains("\"ready\"").then(String::new))
    };
    let (mut client, mut operator) = (connect("anna"), connect("ops"));
    authorize("client");
    let mut line = String::new();
    while !line.contains("\"regranted\"") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut server.stdout, &mut line).unwrap() > 0);
    }
    operator.child.stdin.as_mut().unwrap().write_all(b"50 all\n").unwrap();
    assert_eq!(operator.child.wait().unwrap().code(), Some(4));
    client.child.stdin.as_mut().unwrap().write_all(b"5\n50\n").unwrap();
    assert_eq!(client.child.wait().unwrap().code(), Some(0));
    assert_eq!(send(&home, &server, &trust, &["--as", "anna", "1"]).1, "7\n");
}

#[test]
fn a_list_that_cannot_be_read_or_is_written_in_place_locks_nobody_out() {
    let (home, guest) = (folder(), folder());
    let server = serve(&home, &[]);
    let trust = fingerprint(&home);
    let (_, shown, _) = output(ddes_at(&guest, &["key", "new", "--quiet"]));
    assert_eq!(output(ddes_at(&home, &["authorize", shown.trim()])).0, 0);
    assert_eq!(send(&guest, &server, &trust, &["5"]).1, "5\n");
    let list = home.join("authorized_keys");
    let text = std::fs::read(&list).unwrap();
    // A read that fails: of a folder, as of a file without a descriptor left.
    std::fs::remove_file(&list).unwrap();
    std::fs::create_dir(&list).unwrap();
    assert_eq!(send(&guest, &server, &trust, &["5"]).1, "10\n");
    std::fs::remove_dir(&list).unwrap();
    std::fs::write(&list, b"").unwrap();
    assert_eq!(send(&guest, &server, &trust, &["5"]).1, "15\n");
    std::fs::write(&list, text).unwrap();
    assert_eq!(send(&guest, &server, &trust, &["5"]).1, "20\n");
}

#[test]
fn an_existing_key_serves_as_an_identity_with_a_passphrase_and_through_an_agent() {
    let home = folder();
    let server = serve(&home, &["--allow-any"]);
    let trust = fingerprint(&home);
    let key = home.join("id_ed25519");
    let key = key.to_str().unwrap();
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "a secret", "-C", "me", "-f", key]);
    assert!(make.status().unwrap().success());

    let (code, _, error) = send(&home, &server, &trust, &["--key", key, "5"]);
    assert_eq!((code, error.contains("--passphrase-fd")), (4, true), "{error}");
    std::fs::write(home.join("secret"), "a secret\n").unwrap();
    std::fs::write(home.join("wrong"), "another\n").unwrap();
    // Its beginning is the passphrase, and a part of a line is none.
    std::fs::write(home.join("long"), format!("a secret{}", "\n".repeat(5_000))).unwrap();
    for (file, expected) in [("wrong", 4), ("long", 2), ("secret", 0)] {
        let script = format!(
            "exec {} send -q --server {} --trust {trust} --key {key} --passphrase-fd 3 5 3<{}",
            env!("CARGO_BIN_EXE_ddes"),
            server.address,
            home.join(file).display()
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("DDES_HOME", &home);
        let (code, _, error) = output(shell);
        assert_eq!(code, expected, "{error}");
    }

    // The agent ends with its command.
    let script = format!(
        "printf '#!/bin/sh\\necho a secret\\n' >{0}/ask && chmod +x {0}/ask && SSH_ASKPASS={0}/ask SSH_ASKPASS_REQUIRE=force ssh-add -q {key} && {1} send -q --server {2} --trust {trust} --key {key}.pub 5",
        home.display(),
        env!("CARGO_BIN_EXE_ddes"),
        server.address
    );
    let mut agent = Command::new("ssh-agent");
    agent.args(["sh", "-c", &script]).env("DDES_HOME", &home);
    let (code, out, error) = output(agent);
    assert_eq!((code, out.as_str()), (0, "10\n"), "{error}");

    std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, _, error) = send(&home, &server, &trust, &["--key", key, "5"]);
    assert_eq!((code, error.contains("chmod 600")), (4, true), "{error}");
}

/// P-31: who speaks first decides.
#[test]
fn one_port_serves_both_wires() {
    let home = folder();
    let server = serve(&home, &["--classic", "--classic-wait-ms", "2000"]);
    let trust = fingerprint(&home);
    assert_eq!(send(&home, &server, &trust, &["42", "50"]).1, "42\n92\n");
    let (host, port) = server.address.split_once(':').unwrap();
    let (code, sums, _) =
        output(peer("peer/classic/client.py", &["--host", host, "--port", port, "42", "50"]));
    assert_eq!((code, sums.as_str()), (0, "42\n92\n"));
}

/// P-28.
#[test]
fn a_flood_from_one_address_hears_that_there_are_too_many() {
    let home = folder();
    let server = serve(&home, &["--max-unproven", "2"]);
    let trust = fingerprint(&home);
    assert_eq!(send(&home, &server, &trust, &["1"]).0, 0);
    let silent: Vec<_> = (0..2).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    let (code, _, error) = send(&home, &server, &trust, &["1"]);
    assert_eq!((code, error.contains("have not proven an identity")), (3, true), "{error}");
    drop(silent);
    let full = serve(&home, &["--max-connections", "1", "--ledger", "memory"]);
    let connect =
        ["connect", "--json", "--as", "one", "--server", &full.address, "--trust", &trust];
    let one = start(ddes_at(&home, &connect), |line| line.contains("\"ready\"").then(String::new));
    let (code, _, error) = send(&home, &full, &trust, &["1"]);
    assert_eq!((code, error.contains("connections are open already")), (3, true), "{error}");
    drop(one);
}

/// What forty connections at once hear to a message 1 of the suite `ddes`.
fn forty_hear(server: &Running) -> Vec<String> {
    let hello = [&[0, 0, 0, 10, 0, 0, 1, 2, 2, 2][..], &[0; 255], &[3]].concat();
    let connect = |_| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.write_all(&hello).unwrap();
        stream
    };
    let all: Vec<_> = (0..40).map(connect).collect();
    let hear = |mut stream: TcpStream| {
        let mut heard = [0; 128];
        let count = stream.read(&mut heard).unwrap();
        String::from_utf8_lossy(&heard[..count]).into_owned()
    };
    all.into_iter().map(hear).collect()
}

/// P-28: two pass, and then one each second.
#[test]
fn an_address_that_is_too_fast_hears_so_and_is_let_in_later() {
    let home = folder();
    let server = serve(&home, &["--max-connects-per-sec", "1"]);
    let heard = forty_hear(&server);
    assert!(
        heard.iter().any(|text| text.contains("connects more than 1 times a second")),
        "{heard:?}"
    );
    let trust = fingerprint(&home);
    assert_eq!(send(&home, &server, &trust, &["--retry-secs", "60", "42"]).1, "42\n");

    let flags = ["--suite", "ddes", "--max-handshakes-per-sec", "1", "--ledger", "memory"];
    let server = serve(&home, &flags);
    let heard = forty_hear(&server);
    assert!(
        heard.iter().any(|text| text.contains("begins too many handshakes a second")),
        "{heard:?}"
    );
    assert!(heard.iter().any(|text| text.starts_with("\0\0\0\n")), "{heard:?}");
    let flags = ["--suite", "ddes", "--retry-secs", "60", "42"];
    assert_eq!(send(&home, &server, &trust, &flags).1, "42\n");
}

/// P-25 on real sockets.
#[test]
fn the_newest_session_of_an_identity_is_the_only_one() {
    let home = folder();
    let server = serve(&home, &[]);
    let trust = fingerprint(&home);
    assert_eq!(send(&home, &server, &trust, &["42"]).0, 0);
    let connect = ddes_at(&home, &["connect", "--json", "--server", &server.address]);
    let mut older = start(connect, |line| line.contains("\"ready\"").then(String::new));
    let _typing = older.child.stdin.take();
    assert_eq!(send(&home, &server, &trust, &["50"]).1, "92\n");
    // It connects once more, since the newer one might be its own ghost, and finds another writer
    // (P-29).
    assert_eq!(older.child.wait().unwrap().code(), Some(5));
}

const SUITES: [&str; 6] =
    ["hybrid", "hybrid-3072", "hybrid-4096", "ddes", "ddes-3072", "ddes-4096"];

#[test]
fn the_python_client_gets_its_sums_from_our_server_in_every_suite() {
    let home = folder();
    let server = serve(&home, &["--suite", &SUITES.join(",")]);
    let (host, port) = server.address.split_once(':').unwrap();
    let (_, server_key, _) = output(ddes_at(&home, &["key", "show", "--server-key", "--quiet"]));
    for suite in SUITES {
        assert_eq!(output(ddes_at(&home, &["key", "new", suite])).0, 0);
        let key = home.join("identities").join(suite);
        let flags =
            ["--host", host, "--port", port, "--suite", suite, "--key", key.to_str().unwrap()];
        let rest = ["--server-key", server_key.trim(), "42", "50"];
        let (code, sums, error) =
            output(peer("peer/ddes2/client.py", &[&flags[..], &rest].concat()));
        assert_eq!((code, sums.as_str()), (0, "42\n92\n"), "{suite}: {error}");
    }
    // And one that it does not let in.
    let stranger = folder();
    output(ddes_at(&stranger, &["key", "new"]));
    let key = stranger.join("identities/default");
    let flags = ["--host", host, "--port", port, "--key", key.to_str().unwrap(), "--server-key"];
    let (code, _, error) =
        output(peer("peer/ddes2/client.py", &[&flags[..], &[server_key.trim(), "1"]].concat()));
    assert_eq!((code, error.contains("not authorized")), (1, true), "{error}");
}

#[test]
fn our_client_gets_its_sums_from_the_python_server_in_every_suite() {
    let home = folder();
    let suites: Vec<_> = SUITES.iter().flat_map(|suite| ["--suite", suite]).collect();
    let mut key = String::new();
    let command = peer("peer/ddes2/server.py", &[&["--port", "0"][..], &suites].concat());
    let server = start(command, |line| {
        if let Some(line) = line.strip_prefix("key ") {
            key = line.trim().to_owned();
        }
        line.strip_prefix("listening ").map(|address| address.trim().to_owned())
    });
    assert_eq!(output(ddes_at(&home, &["trust", "add", &server.address, &key])).0, 0);
    let outbox = home.join("outbox");
    for (i, suite) in SUITES.iter().enumerate() {
        let flags = [
            "send",
            "-q",
            "--server",
            &server.address,
            "--suite",
            suite,
            "--outbox",
            outbox.to_str().unwrap(),
        ];
        let (code, sums, error) = output(ddes_at(&home, &[&flags[..], &["42", "50"]].concat()));
        let before = 92 * i;
        assert_eq!(
            (code, sums),
            (0, format!("{}\n{}\n", before + 42, before + 92)),
            "{suite}: {error}"
        );
    }
}
