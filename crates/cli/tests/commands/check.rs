//! `ddes check`: as containers and Nagios run it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::secure::{fingerprint, serve};
use crate::{ddes_at, folder, output};

fn check(home: &Path, flags: &[&str]) -> (i32, String, String) {
    output(ddes_at(home, &[&["check"], flags].concat()))
}

/// An HTTP server that answers once.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 1024];
        let count = stream.read(&mut asked).unwrap();
        let head = String::from_utf8_lossy(&asked[..count]).to_ascii_lowercase();
        assert!(head.starts_with("get /readyz http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nhost: 127.0.0.1:"), "{head}");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

#[test]
fn a_server_that_proves_its_key_is_healthy_and_no_session_is_opened() {
    let home = folder();
    let server = serve(&home, &[]);
    let trust = fingerprint(&home);
    let flags = ["--server", &server.address];
    let (code, out, error) = check(&home, &flags);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(
        out,
        format!("{} proves a key that this home does not know {trust}\n", server.address)
    );
    let (code, out, _) = check(&home, &[&flags[..], &["--trust", &trust, "--json"]].concat());
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &object["event"], &object["outcome"]), (0, &"check".into(), &"ok".into()));
    assert_eq!((&object["is_known"], &object["fingerprint"]), (&true.into(), &trust.into()));
    assert!(object["took_ms"].as_u64().unwrap() < 10_000);
    let (code, out, _) = check(&home, &[&flags[..], &["--nagios"]].concat());
    assert!(code == 0 && out.starts_with("DDES OK - 127.0.0.1:"), "{out}");
    assert!(out.contains(" | time=0.") && out.ends_with("s;;;0;10\n"), "{out}");
    // Nothing was made, and nobody had a session.
    assert!(!home.join("identities").exists() && !home.join("known_servers").exists());
    let (_, totals, _) = output(ddes_at(&home, &["ledger", "totals", "--json"]));
    let totals: Value = serde_json::from_str(&totals).unwrap();
    assert_eq!(totals["accounts"], 0);
}

#[test]
fn a_key_that_is_not_the_known_one_is_critical() {
    let home = folder();
    let server = serve(&home, &[]);
    let flags = ["--server", &server.address];
    let (code, _, error) = check(&home, &[&flags[..], &["--trust", crate::secure::OTHER]].concat());
    assert!(
        code == 4 && error.contains(&format!("--trust says {}", crate::secure::OTHER)),
        "{error}"
    );
    let (_, another, _) = output(ddes_at(&folder(), &["key", "new", "-q"]));
    let add = ["trust", "add", "-q", &server.address, another.trim()];
    assert_eq!(output(ddes_at(&home, &add)).0, 0);
    let (code, _, error) = check(&home, &flags);
    assert!(code == 4 && error.contains("HAS CHANGED"), "{error}");
    let (code, out, error) = check(&home, &[&flags[..], &["--nagios"]].concat());
    assert_eq!((code, error.as_str()), (2, ""));
    assert!(out.starts_with("DDES CRITICAL - THE KEY OF ") && out.lines().count() == 1, "{out}");
}

#[test]
fn a_server_that_is_not_there_or_says_nothing_has_the_usual_exit_codes_and_nagios_its_own() {
    let home = folder();
    let bound = || TcpListener::bind("127.0.0.1:0").unwrap();
    let nothing = bound().local_addr().unwrap().to_string();
    let listener = bound();
    let hangs = listener.local_addr().unwrap().to_string();
    for (server, code) in [(&nothing, 3), (&hangs, 6)] {
        let flags = ["--server", server, "--timeout", "1"];
        let (own, out, error) = check(&home, &flags);
        assert!(own == code && out.is_empty() && error.starts_with("error: "), "{own} {error}");
        let (nagios, out, error) = check(&home, &[&flags[..], &["--nagios"]].concat());
        assert_eq!((nagios, error.as_str()), (2, ""));
        assert!(out.starts_with("DDES CRITICAL - "), "{out}");
    }
}

#[test]
fn on_a_port_of_another_program_it_advises_no_flag_that_it_lacks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the other side has read it.
        drop(stream.read(&mut [0; 4096]));
    });
    let (code, _, error) = check(&folder(), &["--server", &address]);
    other.join().unwrap();
    assert!(code != 0 && error.contains("--server HOST:PORT"), "{code} {error}");
    assert!(!error.contains("--classic"), "{error}");
}

#[test]
fn it_asks_one_port_and_the_server_that_all_commands_use_is_no_second_one() {
    let home = folder();
    let ready = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"ready\":true}";
    let url = answering(ready);
    let (code, out, error) = check(&home, &["--http", &url, "--server", "127.0.0.1:1"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("--server and --http ask two ports"), "{error}");
    assert!(error.contains("Usage: ddes check "), "{error}");
    let both = ["--http", &url, "--server", "127.0.0.1:1", "--json"];
    let object: Value = serde_json::from_str(&check(&home, &both).1).unwrap();
    assert_eq!((&object["event"], &object["exit_code"]), (&"error".into(), &2.into()));
    let (code, out, _) = check(&home, &[&both[..4], &["--nagios"]].concat());
    assert!(code == 3 && out.starts_with("DDES UNKNOWN - --server and --http"), "{code} {out}");
    // Nobody has asked so far. A variable and a port alone are as for other commands.
    let port = url.rsplit(':').next().unwrap();
    let mut command = ddes_at(&home, &["check", "--http", port]);
    command.env("DDES_SERVER", "127.0.0.1:1").env("DDES_HTTP", "127.0.0.1:1");
    let (code, out, error) = output(command);
    assert_eq!((code, out), (0, format!("{port} is ready\n")), "{error}");
    // Without --http it is the server's own port, whatever DDES_HTTP says.
    let mut command = ddes_at(&home, &["check"]);
    command.env("DDES_SERVER", "127.0.0.1:1").env("DDES_HTTP", answering(ready));
    let (code, _, error) = output(command);
    assert!(code == 3 && error.contains("127.0.0.1:1"), "{code} {error}");
}

#[test]
fn quiet_says_nothing_to_people_and_programs_have_their_object() {
    let ready = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"ready\":true}";
    let quiet = |flags: &[&str]| {
        check(&folder(), &[&["--quiet", "--http", &answering(ready)], flags].concat())
    };
    assert_eq!(quiet(&[]), (0, String::new(), String::new()));
    let (code, out, _) = quiet(&["--json"]);
    assert!(code == 0 && out.contains("\"outcome\":\"ok\""), "{out}");
}

#[test]
fn a_command_line_that_is_wrong_is_unknown_to_nagios_and_not_critical() {
    let (code, out, _) = check(&folder(), &["--nagios", "--timeout", "x"]);
    assert!(code == 3 && out.starts_with("DDES UNKNOWN - "), "{code} {out}");
    assert_eq!(check(&folder(), &["--timeout", "x"]).0, 2);
}

#[test]
fn readiness_over_http_is_ready_draining_or_not_ready() {
    let home = folder();
    let ready = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"ready\":true}";
    let draining =
        "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":false,\"reasons\":[\"draining\"]}";
    let full =
        "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":false,\"reasons\":[\"ledger_full\"]}";
    let stranger = "HTTP/1.1 401 Unauthorized\r\n\r\n{}";
    for (answer, own, nagios, part) in [
        (ready, 0, 0, "is ready"),
        (draining, 1, 1, "is not ready: draining"),
        (full, 1, 2, "is not ready: ledger_full"),
        (stranger, 1, 3, "gives no answer to strangers (401)"),
        ("SSH-2.0-x\r\n", 3, 2, "what came is not HTTP"),
    ] {
        let (code, out, error) = check(&home, &["--http", &answering(answer)]);
        assert!(code == own && (out + &error).contains(part), "{answer}: {code} {error}");
        let (code, out, _) = check(&home, &["--nagios", "--http", &answering(answer)]);
        assert!(code == nagios && out.contains(part) && out.lines().count() == 1, "{code} {out}");
    }
    let (code, _, error) = check(&home, &["--http", "https://127.0.0.1"]);
    assert!(code == 2 && error.contains("only http://"), "{error}");
}
