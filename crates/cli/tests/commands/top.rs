//! `ddes top`: what it shows of a server, the keys, and that the terminal is given back.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rexpect::process::Signal;
use serde_json::{Value, json};

use crate::fake_api::{FakeApi, error, ok, overview, session, sessions};
use crate::glass::Glass;
use crate::secure::fingerprint;
use crate::{ddes_at, folder, output, start};

const NAMES: [&str; 3] = ["kitchen", "gate", "turbine"];

/// Three sessions that can be sorted and filtered.
fn answer(request: &crate::fake_api::Request) -> (u16, Vec<u8>) {
    let path = &*request.path;
    match path.split(['?', '/']).nth(3).unwrap() {
        "overview" => ok(&overview()),
        "sessions" if request.method == "POST" => ok(&json!({"ended": 1})),
        "sessions" => {
            let mut rows: Vec<_> = (1..)
                .zip(NAMES)
                .filter(|(_, name)| {
                    let filter = path.split("q=").nth(1).unwrap().split('&').next().unwrap();
                    name.contains(filter)
                })
                .map(|(id, name)| session(id, Some(name), &(id * 1000).to_string()))
                .collect();
            if path.contains("order=desc") {
                rows.reverse();
            }
            ok(&sessions(&rows))
        }
        "wire" if path.contains("after=") => ok(&ladder(&[])),
        "wire" => ok(&ladder(&[
            frame(0, "in", 10, "key 1 of 4", false),
            frame(1, "out", 10, "key 2 of 4", false),
            frame(2, "in", 30, "data", true),
        ])),
        "security" => ok(&json!({
            "reasons": [{"reason": "bad_hmac", "count": 9, "last_minute": 1, "text": "Changed."}],
            "networks": [{"network": "192.0.2.0/24", "failures": 9,
                "last_at": "2026-11-29T11:59:00.000Z", "reasons": {"bad_hmac": 9}}],
            "limits": [{"name": "connections", "limit": 4096, "used": 4}]})),
        _ => error(404, "there is no such thing"),
    }
}

fn frame(seq: u64, direction: &str, opcode: u64, name: &str, encrypted: bool) -> Value {
    json!({"seq": seq, "at": "2026-11-29T12:00:00.000Z", "micros_since_open": seq * 1500,
        "direction": direction, "opcode": opcode, "name": name, "bytes": 61,
        "encrypted": encrypted, "note": format!("The purpose of {name}."),
        "seen": format!("The length of {name}.")})
}

fn ladder(frames: &[Value]) -> Value {
    json!({"id": 1, "peer": "192.0.2.7:40001", "profile": "v2", "from_start": true,
        "ended": null, "dropped": 0, "frames": frames})
}

fn top(api: &FakeApi, flags: &[&str]) -> Command {
    let address = format!("http://{}", api.address);
    ddes_at(&folder(), &[&["top", "--http", &address], flags].concat())
}

fn screen(api: &FakeApi, columns: u16, rows: u16) -> Glass {
    Glass::start(&top(api, &[]), columns, rows)
}

fn order(shown: &str) -> Vec<&'static str> {
    let mut places: Vec<_> =
        NAMES.iter().filter_map(|name| Some((shown.find(name)?, *name))).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, name)| name).collect()
}

#[test]
fn it_draws_sorts_filters_explains_and_quits() {
    let api = FakeApi::start(answer);
    let mut glass = screen(&api, 80, 24);
    let shown = glass.shows("turbine");
    for part in [
        "ddes 0.1.0 at 127.0.0.1:5566, up 3 h 12 min",
        "live",
        "OK  All is in order.",
        "values/s  103",
        "3 open, 1 unproven, 4 of 4,096 connections",
        "p50 412 µs, p99 1.90 ms, 0 queued",
        "sum -98,765,432,109,876,543,210, 1,234,567 values, 4 accounts",
        "7 not authorized (+2), 1 bad hmac",
        "▲#",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert_eq!(order(&shown), NAMES);
    assert!(glass.is_alternate && !glass.has_cursor && !glass.is_cooked() && glass.colours > 0);
    glass.press("r");
    glass.until("the reverse", |shown| order(shown) == ["turbine", "gate", "kitchen"]);
    glass.press("s");
    glass.shows("▲name");
    glass.press("sss");
    glass.shows("▼sum");
    glass.press("/gat");
    glass.until("the filter", |shown| order(shown) == ["gate"] && shown.contains("filter: gat"));
    glass.press("\r");
    glass.shows("filter 'gat'");
    glass.press("\x1b");
    glass.until("all", |shown| order(shown).len() == 3);
    glass.press("?");
    let shown = glass.shows("The page:");
    assert!(shown.contains(&format!("http://{}", api.address)), "{shown}");
    glass.press("x\t");
    glass.shows("192.0.2.0/24");
    glass.press("\t");
    glass.shows("kitchen");
    glass.press("q");
    let end = glass.end();
    assert!(end.starts_with("Some(Exited(") && end.ends_with(", 0))"), "{end}");
    assert!(!glass.is_alternate && glass.has_cursor && glass.is_cooked());
    assert!(glass.foreign.is_empty(), "{:?}", glass.foreign);
}

#[test]
fn enter_shows_the_messages_of_a_session_and_what_each_is_for() {
    let api = FakeApi::start(answer);
    let mut glass = screen(&api, 80, 24);
    glass.shows("kitchen");
    glass.press("\r");
    let shown = glass.shows("The purpose of data.");
    for part in ["messages of #1", "key 1 of 4", "in the clear", "The length of data."] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    glass.press("k");
    glass.shows("The purpose of key 2 of 4.");
    let asks = |path: &String| path == "GET /api/v1/wire/1?after=2";
    glass.until("what is new", |_| api.paths().iter().any(asks));
    glass.press("\x1b");
    glass.until("the sessions", |shown| order(shown).len() == 3);
}

#[test]
fn e_ends_the_chosen_session_after_a_yes() {
    let api = FakeApi::start(answer);
    let mut glass = screen(&api, 80, 24);
    glass.shows("turbine");
    let ends = || api.paths().iter().filter(|path| path.ends_with("/end")).cloned().collect();
    // Down: by letter, as an arrow is the beginning of an Esc.
    glass.press("je");
    glass.shows("End session #2 (gate)? y or n");
    glass.press("n");
    glass.shows("? help");
    let none: Vec<String> = ends();
    assert!(none.is_empty(), "{none:?}");
    glass.press("\x1b[Be");
    glass.shows("End session #3 (turbine)?");
    glass.press("y");
    glass.shows("session #3 is ended");
    let ended: Vec<String> = ends();
    assert_eq!(ended, ["POST /api/v1/sessions/3/end"]);
}

#[test]
fn without_a_token_nothing_is_ended_and_with_one_it_is_sent() {
    let home = folder();
    let api = FakeApi::start(|request| {
        let is_known = request.head.contains("uthorization: Bearer 00ff\r\n");
        match request.path.split(['?', '/']).nth(3).unwrap() {
            "overview" => {
                let mut overview = overview();
                overview["can_act"] = is_known.into();
                ok(&overview)
            }
            _ => answer(request),
        }
    });
    let start = |flags: &[&str]| {
        let http = api.address.to_string();
        let mut glass =
            Glass::start(&ddes_at(&home, &[&["top", "--http", &http], flags].concat()), 80, 24);
        glass.shows("kitchen");
        glass.press("e");
        glass
    };
    start(&[]).shows("needs the server's token: --token-file FILE");
    let token = home.join("http-token");
    std::fs::write(&token, "00ff\n").unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let file = token.display().to_string();
    start(&["--token-file", &file]).shows("End session #1");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let (code, _, said) = output(top(&api, &["--once", "--token-file", &file]));
    assert!(code == 4 && said.contains("open to others (mode 640)"), "{code} {said}");
}

/// Any user of the machine may have taken the port.
#[test]
fn the_token_of_the_home_is_sent_to_no_port_but_that_of_its_running_server() {
    let home = folder();
    let api = FakeApi::start(answer);
    let http = api.address.to_string();
    let tokens = || {
        assert_eq!(output(ddes_at(&home, &["top", "--http", &http, "--once"])).0, 0);
        let mut requests = api.requests.lock().unwrap();
        let heads = requests.drain(..).map(|request| request.head.to_ascii_lowercase());
        heads.map(|head| head.contains("authorization:")).collect::<Vec<_>>()
    };
    let token = home.join("http-token");
    std::fs::write(&token, format!("{}\n", "00ff".repeat(16))).unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(tokens(), [false, false]);
    // Nor while a server of the home has its page elsewhere, or none.
    for http in ["127.0.0.1:0", "off"] {
        let flags = ["serve", "--json", "--listen", "127.0.0.1:0", "--http", http];
        let server = start(ddes_at(&home, &flags), |line| {
            let event: Value = serde_json::from_str(line).unwrap();
            Some(event["addr"].as_str().unwrap().to_owned())
        });
        assert_eq!(tokens(), [false, false]);
        drop(server);
    }
}

#[test]
fn a_snapshot_and_the_json_have_the_numbers_of_the_api() {
    let api = FakeApi::start(answer);
    let (code, shown, _) = output(top(&api, &["--once"]));
    assert_eq!(code, 0);
    for part in ["103, at most 12", "-98,765,432,109,876,543,210", "p99 1.90 ms", "3 sessions"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert_eq!(order(&shown), NAMES);
    assert!(!shown.contains('\x1b'));
    // A pipe has no use for a screen.
    assert_eq!(output(top(&api, &[])).1, shown);
    let (code, line, _) = output(top(&api, &["--once", "--json"]));
    let line: Value = serde_json::from_str(&line).unwrap();
    let mut expected = overview();
    // As everywhere else in the output of commands.
    expected["totals"]["accounts"] = 4.into();
    assert_eq!((code, line["event"].as_str()), (0, Some("top")));
    assert_eq!(line["overview"]["totals"], expected["totals"]);
    assert_eq!(line["overview"]["rates"], expected["rates"]);
    assert_eq!(line["page"]["sessions"][2]["sum"], "3000");
}

#[test]
fn a_server_its_ledger_and_what_is_shown_of_it_agree() {
    let home = folder();
    let mut http = String::new();
    let flags = ["serve", "--json", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let server = start(ddes_at(&home, &flags), |line| {
        let event: Value = serde_json::from_str(line).unwrap();
        http = event["http"].as_str()?.to_owned();
        Some(event["addr"].as_str().unwrap().to_owned())
    });
    let trust = fingerprint(&home);
    let send = ["send", "--quiet", "--server", &server.address, "--trust", &trust];
    assert_eq!(output(ddes_at(&home, &[&send[..], &["1000", "-7", "50"]].concat())).0, 0);
    let (_, totals, _) = output(ddes_at(&home, &["ledger", "totals", "--json"]));
    let totals: Value = serde_json::from_str(&totals).unwrap();
    assert_eq!(totals["sum"], "1043");
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let (code, line, said) =
            output(ddes_at(&home, &["top", "--http", &http, "--json", "--once"]));
        assert_eq!(code, 0, "{said}");
        let line: Value = serde_json::from_str(&line).unwrap();
        let overview = &line["overview"];
        // What the loop publishes may be a quarter of a second old.
        if overview["totals"]["count"] == "3" {
            for name in ["count", "sum"] {
                assert_eq!(overview["totals"][name], totals[name]);
            }
            // The token of the home gives the right to act.
            assert_eq!(overview["can_act"], true);
            break;
        }
        assert!(Instant::now() < until, "{line}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let shown = output(ddes_at(&home, &["top", "--http", &http, "--once"])).1;
    assert!(shown.contains("sum 1,043, 3 values, 1 account"), "{shown}");
}

#[test]
fn a_server_that_is_gone_is_said_and_one_that_is_back_is_shown_again() {
    let boot = Arc::new(AtomicUsize::new(1));
    let number = Arc::clone(&boot);
    let answer = Arc::new(move |request: &crate::fake_api::Request| {
        if !request.path.contains("overview") {
            return answer(request);
        }
        let mut overview = overview();
        overview["server"]["boot"] = number.load(Ordering::SeqCst).to_string().into();
        ok(&overview)
    });
    let api = FakeApi::start_at(crate::unused_address().parse().unwrap(), answer.clone());
    let address = api.address;
    let mut glass = screen(&api, 80, 24);
    glass.shows("live");
    drop(api);
    let shown = glass.shows("STALE");
    assert!(shown.contains(" old") && shown.contains("kitchen"), "{shown}");
    boot.fetch_add(1, Ordering::SeqCst);
    let api = FakeApi::start_at(address, answer);
    glass.until("it is back", |shown| {
        shown.contains("live") && shown.contains("the server has restarted")
    });
    drop(api);
    // Whoever begins then is told what to do.
    let mut begin = ddes_at(&folder(), &["top", "--once", "--http"]);
    begin.arg(address.to_string());
    let (code, _, said) = output(begin);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("ddes serve") && said.contains(&format!("--http {address}")), "{said}");
}

#[test]
fn numbers_that_stand_still_are_marked() {
    let api = FakeApi::start(answer);
    screen(&api, 80, 24).shows("the server's numbers do not move");
}

/// Each replaces a part of an answer.
fn hostile() -> Vec<(&'static str, Value)> {
    vec![
        ("/server", json!(null)),
        ("/server/uptime_secs", json!("soon")),
        ("/server/uptime_secs", json!(-1e300)),
        ("/server/version", json!("\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}x\n\n\n")),
        ("/health/text", json!("\u{1b}[?1049l".repeat(10_000))),
        ("/health/level", json!("ß".repeat(500))),
        ("/sessions/open", json!(u64::MAX)),
        ("/sessions/open", json!(-1)),
        ("/rates/values_per_sec", json!(1e308)),
        ("/commit/p50_micros", json!(-1e308)),
        ("/totals/sum", json!("9".repeat(100_000))),
        ("/totals/sum", json!("1e9")),
        ("/refusals", json!([{"reason": "\u{1b}c", "count": 1, "last_minute": u64::MAX}])),
        ("/history/values_per_sec", json!([1e308, -1e308, null, 0.0])),
        ("/history/values_per_sec", json!(vec![1; 100_000])),
        ("/history", json!([[[[[]]]]])),
    ]
}

#[test]
fn a_hostile_answer_neither_ends_in_a_panic_nor_reaches_the_terminal_raw() {
    for (place, value) in hostile() {
        let changed = value.clone();
        let api = FakeApi::start(move |request| {
            let mut overview = overview();
            *overview.pointer_mut(place).unwrap() = changed.clone();
            let wide = session(u64::MAX, Some("\u{1b}[31m漢字漢字\u{202e}é\u{301}"), "-1");
            let rows = vec![wide; 3];
            if request.path.contains("overview") { ok(&overview) } else { ok(&sessions(&rows)) }
        });
        for flags in [&["--once"][..], &["--once", "--json"]] {
            let (code, shown, said) = output(top(&api, flags));
            assert!([0, 3].contains(&code), "{place} {code} {said}");
            let is_plain = |text: &str| !text.contains(['\x1b', '\x07', '\u{202e}', '\u{9b}']);
            assert!(is_plain(&shown) && is_plain(&said), "{place}: {shown:?} {said:?}");
        }
        let mut glass = screen(&api, 50, 20);
        let shown = glass.until("a screen or an error", |shown| {
            shown.contains("live") || shown.contains("error:") || shown.contains("try:")
        });
        if shown.contains("live") {
            glass.press("q");
        }
        glass.end();
        assert!(glass.foreign.is_empty(), "{place}: {:?}", glass.foreign);
        assert!(!glass.is_alternate && glass.is_cooked());
    }
}

#[test]
fn what_is_not_the_api_is_an_error() {
    let bodies: [(u16, Vec<u8>); 5] = [
        (200, b"<html>\x1b[2J</html>".to_vec()),
        (200, vec![b'['; 1_000_000]),
        (200, vec![b' '; 5 * 1024 * 1024]),
        (302, b"{}".to_vec()),
        error(403, "no\u{1b}[2J: log in"),
    ];
    for (status, body) in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
        let api = FakeApi::start(move |_| (status, body.clone()));
        let (code, _, said) = output(top(&api, &["--once"]));
        assert_eq!(code, if status == 403 { 4 } else { 3 }, "{shown}: {said}");
        assert!(!said.contains('\x1b') && said.contains("try:"), "{said}");
    }
    let mut https = ddes_at(&folder(), &["top", "--http", "https://localhost:1"]);
    https.env("COLUMNS", "300");
    let (code, _, said) = output(https);
    assert!(code == 2 && said.contains("ssh -L"), "{said}");
}

#[test]
fn it_fits_any_window_and_needs_no_colours() {
    let api = FakeApi::start(answer);
    let mut command = top(&api, &[]);
    command.env("NO_COLOR", "1");
    let mut glass = Glass::start(&command, 40, 20);
    let shown = glass.shows("turbine");
    for part in ["live", "OK", "103", "3 open", "p50 412 µs", "? help"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    for (columns, rows) in [(1, 1), (7, 3), (20, 8), (300, 4), (40, 20)] {
        glass.resize(columns, rows);
        // The last is Esc in its long form: Esc itself and a key behind it are Alt and that key.
        for key in ["?", "x", "\t", "\t", "\r", "\x1b[27u"] {
            glass.press(key);
        }
    }
    glass.shows("turbine");
    assert_eq!(glass.colours, 0);
    glass.press("q");
    glass.end();
}

#[test]
fn a_key_that_comes_with_a_new_size_counts() {
    let api = FakeApi::start(answer);
    let mut glass = screen(&api, 80, 24);
    glass.shows("live");
    for round in 0..300 {
        glass.resize(81 + round % 2, 24);
        glass.press("?");
        glass.shows("any key closes this");
        glass.press("x");
        glass.until("all of it", |shown| !shown.contains("any key"));
    }
    glass.press("q");
    glass.end();
}

#[test]
fn a_signal_ends_it_with_the_terminal_as_it_was() {
    let api = FakeApi::start(answer);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let mut glass = screen(&api, 80, 24);
        glass.shows("live");
        glass.session.process_mut().signal(signal).unwrap();
        let end = glass.end();
        assert!(end.starts_with("Some(Signaled("), "{signal:?} {end}");
        assert!(!glass.is_alternate && glass.has_cursor && glass.is_cooked(), "{signal:?}");
    }
    let mut glass = screen(&api, 80, 24);
    glass.shows("live");
    glass.press("\x03");
    let end = glass.end();
    assert!(end.contains("SIGINT") && glass.is_cooked(), "{end}");
}

#[test]
fn ctrl_z_suspends_and_fg_draws_it_again() {
    let api = FakeApi::start(answer);
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env("PS1", "SHELL> ").env("DDES_HOME", folder());
    let mut glass = Glass::start(&bash, 80, 24);
    glass.shows("SHELL>");
    let program = env!("CARGO_BIN_EXE_ddes");
    glass.press(&format!("clear; {program} top --http {}\r", api.address));
    for _ in 0..3 {
        glass.until("a screen", |shown| shown.contains("live") && shown.contains("kitchen"));
        assert!(glass.is_alternate && !glass.is_cooked());
        glass.press("\x1a");
        glass.shows("Stopped");
        assert!(!glass.is_alternate && glass.has_cursor);
        glass.press("clear; fg\r");
    }
    glass.until("a screen", |shown| shown.contains("live") && shown.contains("kitchen"));
    glass.press("q");
    glass.shows("SHELL>");
    glass.press("exit\r");
    glass.end();
}

#[test]
fn json_goes_on_once_a_second_and_over_a_restart() {
    use std::io::{BufRead, BufReader};
    let api = FakeApi::start_at(crate::unused_address().parse().unwrap(), Arc::new(answer));
    let address = api.address;
    let mut command = top(&api, &["--json"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut event = || {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        line["event"].as_str().unwrap().to_owned()
    };
    let begin = Instant::now();
    assert_eq!([event(), event(), event()], ["top", "top", "top"]);
    assert!(begin.elapsed() >= Duration::from_millis(1900));
    drop(api);
    while event() != "away" {}
    let api = FakeApi::start_at(address, Arc::new(answer));
    assert_eq!(event(), "top");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(api);
}

/// A port on which connections are taken and nothing is answered, and one where they wait, with
/// those that fill its queue.
pub(crate) fn silent_and_full() -> (TcpListener, TcpListener, Vec<TcpStream>) {
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let address = full.local_addr().unwrap();
    let short = Duration::from_millis(300);
    let waiting = std::iter::from_fn(|| TcpStream::connect_timeout(&address, short).ok()).collect();
    (TcpListener::bind("127.0.0.1:0").unwrap(), full, waiting)
}

#[test]
fn the_first_answer_is_waited_for_as_long_as_is_said_and_no_longer() {
    let (silent, full, waiting) = silent_and_full();
    for (listener, flags) in
        [(&silent, &["--once"][..]), (&full, &["--once"]), (&silent, &["--json"])]
    {
        let address = listener.local_addr().unwrap().to_string();
        let all = [&["top", "--http", &address, "--timeout", "1"], flags].concat();
        let begin = Instant::now();
        let (code, out, error) = output(ddes_at(&folder(), &all));
        assert!(begin.elapsed() >= Duration::from_secs(1));
        assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
        assert_eq!(code, 6, "{out}{error}");
        let said = out + &error;
        for part in ["did not answer in time", "cause", "--timeout SECS to wait longer"] {
            assert!(said.contains(part), "{flags:?}: {said}");
        }
    }
    drop(waiting);
    // One that is slow is waited for.
    let slow = FakeApi::start(|request| {
        std::thread::sleep(Duration::from_millis(1500));
        answer(request)
    });
    assert_eq!(output(top(&slow, &["--once", "--timeout", "60"])).0, 0);
    // One limit for both requests of the first answer.
    let (code, _, error) = output(top(&slow, &["--once", "--timeout", "2"]));
    assert_eq!(code, 6, "{error}");
    // Where nobody listens there is nothing to wait for.
    let nobody = crate::unused_address();
    let begin = Instant::now();
    let (code, _, error) =
        output(ddes_at(&folder(), &["top", "--once", "--http", &nobody, "--timeout", "60"]));
    assert!(code == 3 && begin.elapsed() < Duration::from_secs(30), "{code} {error}");
}
