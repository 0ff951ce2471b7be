//! The page and the metrics of `ddes serve`: where they are, who may act, and how they end.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Running, ddes_at, folder, output};

const LONG: Duration = Duration::from_secs(60);

/// A server with its page on a free port.
pub(crate) struct Served {
    pub(crate) running: Running,
    http: String,
}

pub(crate) fn serve(home: &Path, flags: &[&str]) -> Served {
    let all =
        [&["serve", "--json", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"], flags].concat();
    let mut http = String::new();
    let running = crate::start(ddes_at(home, &all), |line| {
        let event: Value = serde_json::from_str(line).unwrap();
        http = event["http"].as_str().unwrap().to_owned();
        Some(event["addr"].as_str().unwrap().to_owned())
    });
    Served { running, http }
}

impl Served {
    /// Status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.http
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Asks again while the server is overloaded, as its answer says.
    pub(crate) fn get(&self, path: &str) -> Value {
        let start = Instant::now();
        loop {
            let (status, body) = self.ask("GET", path, "");
            if status != 503 || start.elapsed() > LONG {
                assert_eq!(status, 200, "{path}: {body}");
                return serde_json::from_str(&body).unwrap();
            }
        }
    }

    /// The next line of the server with this name.
    fn event(&mut self, name: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.running.stdout.read_line(&mut line).unwrap() > 0, "no {name}");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }
}

#[test]
fn the_page_agrees_with_the_commands_and_the_token_of_the_home_lets_in() {
    let home = folder();
    let served = serve(&home, &[]);
    let trust = crate::secure::fingerprint(&home);
    let server = served.running.address.clone();
    let send = ["send", "-q", "--server", &server, "--trust", &trust, "40", "2"];
    assert_eq!(output(ddes_at(&home, &send)).1, "40\n42\n");
    let (_, totals, _) = output(ddes_at(&home, &["ledger", "totals", "--json"]));
    let totals: Value = serde_json::from_str(&totals).unwrap();
    let start = Instant::now();
    // The page's totals are half a second old at most.
    while served.get("/api/v1/totals")["count"] != "2" {
        assert!(start.elapsed() < LONG);
    }
    let shown = served.get("/api/v1/totals");
    for name in ["accounts", "count", "sum", "mean", "min", "max"] {
        let command = &totals[name];
        let command = command.as_str().map_or_else(|| command.to_string(), str::to_owned);
        assert_eq!(shown[name], command, "{name}");
    }
    assert_eq!(served.get("/api/v1/accounts")["accounts"][0]["name"], "default");
    let path = home.join("http-token");
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(&path).unwrap();
    let verify = |token: &str| {
        let headers = format!("Authorization: Bearer {token}\r\nX-Ddes-Action: 1\r\n");
        served.ask("POST", "/api/v1/ledger/verify", &headers).0
    };
    assert_eq!([verify(&"0".repeat(64)), verify(token.trim())], [401, 202]);
    while served.get("/api/v1/ledger")["last_verification"]["outcome"] != "whole" {
        assert!(start.elapsed() < LONG);
    }
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    let home = folder();
    drop(serve(&home, &[]));
    let token = home.join("http-token");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    for http in [&["--http", "127.0.0.1:0"][..], &[]] {
        let all = [&["serve", "--listen", "127.0.0.1:0"], http].concat();
        let mut command = ddes_at(&home, &all);
        command.env_remove("DDES_HTTP");
        let (code, _, error) = output(command);
        assert!(code == 4 && error.contains("http-token is open to others (mode 644)"), "{error}");
        assert!(error.contains("chmod 600"), "{error}");
    }
    // Without a page there is nothing to let in.
    let off = ddes_at(&home, &["serve", "--json", "--listen", "127.0.0.1:0", "--http", "off"]);
    let running = crate::start(off, |line| {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["http"].is_null());
        Some(event["addr"].as_str().unwrap().to_owned())
    });
    drop(running);
}

#[test]
fn a_token_that_only_reads_is_made_kept_and_refused_where_it_is_no_secret_or_may_act() {
    let home = folder();
    let path = home.join("read-token");
    let flags = ["--http-read-token", path.to_str().unwrap()];
    let served = serve(&home, &flags);
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    let token = text.trim();
    assert!(token.len() == 64 && text != std::fs::read_to_string(home.join("http-token")).unwrap());
    let ask = |method: &str, path: &str, headers: &str| {
        // As from another machine.
        let proxied = format!("X-Forwarded-For: 192.0.2.1\r\n{headers}");
        served.ask(method, path, &proxied)
    };
    let bearer = format!("Authorization: Bearer {token}\r\nX-Ddes-Action: 1\r\n");
    assert_eq!(ask("GET", "/metrics", "").0, 401);
    assert_eq!(ask("GET", "/metrics", &bearer).0, 200);
    assert_eq!(ask("GET", "/api/v1/accounts", &bearer).0, 200);
    for path in ["/api/v1/stop", "/api/v1/sessions/end-all", "/api/v1/ledger/verify"] {
        let (status, body) = ask("POST", path, &bearer);
        assert!(status == 403 && body.contains("may read, not act"), "{path}: {body}");
    }
    // It is in no line, and in no answer; where it is kept is.
    let (_, config) = ask("GET", "/api/v1/config", &bearer);
    assert!(config.contains("http_read_token") && !config.contains(token), "{config}");
    drop(served);
    let again = serve(&home, &flags);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    drop(again);
    // Where nobody asked for a page either: without this token it would be another one.
    let refused = |part: &str| {
        let mut command = ddes_at(&home, &["serve", "--listen", "127.0.0.1:0", flags[0], flags[1]]);
        command.env_remove("DDES_HTTP");
        let (code, _, error) = output(command);
        assert!(code == 4 && error.contains(part) && error.contains("  try:"), "{code} {error}");
        assert!(!error.contains(token), "{error}");
    };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    refused("is open to others (mode 640)");
    std::fs::write(&path, "short\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    refused("holds no token");
    std::fs::copy(home.join("http-token"), &path).unwrap();
    refused("holds the token that may act");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("read-token");
}

#[test]
fn plain_http_for_other_machines_is_refused_and_both_ways_out_are_named() {
    let home = folder();
    let all = ["serve", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:5580"];
    let (code, _, error) = output(ddes_at(&home, &all));
    assert_eq!(code, 2, "{error}");
    for hint in ["plain HTTP", "--http-plain", "--http 127.0.0.1:5580", "ssh -L"] {
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_only_if_it_was_asked_for() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = taken.local_addr().unwrap().to_string();
    let (code, _, error) =
        output(ddes_at(&folder(), &["serve", "--listen", "127.0.0.1:0", "--http", &http]));
    assert!(code == 3 && error.contains(&http) && error.contains("127.0.0.1:0"), "{error}");
    let (home, start) = (folder(), Instant::now());
    while !starts_without_its_page(&home) {
        assert!(start.elapsed() < LONG, "the usual port is free each time, though it was taken");
    }
}

/// Whether a server whose usual port is taken says so. It is taken by this, or by somebody else,
/// who may let it go before the server asks for it.
fn starts_without_its_page(home: &Path) -> bool {
    let usual = TcpListener::bind("127.0.0.1:5580");
    let mut command = ddes_at(home, &["serve", "--json", "--listen", "127.0.0.1:0"]);
    command.env_remove("DDES_HTTP");
    let mut server = crate::start(command, |line| {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["event"], "listening");
        Some(event["http"].to_string())
    });
    let has_page = server.address != "null";
    assert!(!(has_page && usual.is_ok()), "{}", server.address);
    let mut line = String::new();
    while !has_page && !line.contains("\"http_off\"") {
        line.clear();
        assert!(server.stdout.read_line(&mut line).unwrap() > 0, "it ended");
    }
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
    assert!(server.child.wait().unwrap().success());
    !has_page
}

#[test]
fn the_console_gives_links_and_only_the_console() {
    let home = folder();
    let mut served = serve(&home, &[]);
    served.running.child.stdin.as_mut().unwrap().write_all(b"link\n").unwrap();
    let line = served.event("link");
    let link = line["link"].as_str().unwrap();
    let path = link.strip_prefix(&format!("http://{}", served.http)).unwrap();
    assert_eq!((served.ask("GET", path, "").0, served.ask("GET", path, "").0), (303, 403));
}

#[test]
fn doctor_tells_the_page_of_this_home_from_another_homes_and_reads_its_servers_limits() {
    let (home, other) = (folder(), folder());
    let (served, elsewhere) = (serve(&home, &[]), serve(&other, &[]));
    let doctor = |listen: &str, http: &str| {
        output(ddes_at(&home, &["doctor", "--json", "--listen", listen, "--http", http]))
    };
    let (code, out, _) = doctor(&served.running.address, &served.http);
    let pid = format!("the running server (process {})", served.running.child.id());
    assert!(code == 0 && out.contains("is this home's server's") && out.contains(&pid), "{out}");
    let (code, out, _) = doctor(&served.running.address, &elsewhere.http);
    let key = crate::secure::fingerprint(&other);
    assert!(code == 1 && out.contains(&format!("another server, with the key {key}")), "{out}");
}

#[test]
fn tail_prints_each_event_as_it_happens_and_comes_back_after_a_restart() {
    let home = folder();
    let served = serve(&home, &[]);
    let flags = ["tail", "--json", "--timeout", "60", "--http", &served.http];
    let mut tail = ddes_at(&home, &flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let tail = tail.as_mut().unwrap();
    let mut lines = std::io::BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut until = |name: &str| loop {
        let line = lines.next().unwrap_or_else(|| panic!("no {name}")).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["schema_version"], 2, "{line}");
        if event["event"] == name {
            return event;
        }
    };
    assert_eq!(until("following")["http"], *served.http);
    let send = |address: &str| {
        let trust = crate::secure::fingerprint(&home);
        let send = ["send", "-q", "--server", address, "--trust", &trust, "5"];
        assert_eq!(output(ddes_at(&home, &send)).0, 0);
    };
    send(&served.running.address);
    let admitted = until("admitted");
    assert!(admitted["session"].is_string() && admitted["peer"].is_string(), "{admitted}");
    assert_eq!(until("ended")["cause"], "bye");
    let http = served.http.clone();
    drop(served);
    let again = ["serve", "--json", "--listen", "127.0.0.1:0", "--http", &http];
    let again = crate::started(ddes_at(&home, &again));
    assert_eq!(until("following")["http"], *http);
    send(&again.address);
    until("admitted");
    tail.kill().unwrap();
    tail.wait().unwrap();
    drop(again);
    let (code, _, error) = output(ddes_at(&home, &["tail", "--http", &http]));
    assert!(code == 3 && error.contains("cannot reach"), "{code} {error}");
}

/// As a service has none.
#[test]
fn a_server_without_a_console_gives_its_links_to_whoever_owns_its_home() {
    let home = folder();
    let served = serve(&home, &[]);
    let (code, link, talk) = output(ddes_at(&home, &["link"]));
    assert!(code == 0 && talk.contains("once, within 10 minutes"), "{talk}");
    let path = link.trim().strip_prefix(&format!("http://{}", served.http)).unwrap();
    assert_eq!((served.ask("GET", path, "").0, served.ask("GET", path, "").0), (303, 403));
    let (code, out, talk) = output(ddes_at(&home, &["link", "--json"]));
    let line: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && line["link"].as_str().unwrap().contains("/login?code="), "{out}");
    assert_eq!((talk.as_str(), line["pid"].as_u64()), ("", Some(served.running.child.id().into())));
    drop(served);
    let (code, _, error) = output(ddes_at(&home, &["link"]));
    assert!(code == 1 && error.contains("no server of this home runs"), "{error}");
    let without = crate::secure::serve(&home, &[]);
    let (code, _, error) = output(ddes_at(&home, &["link"]));
    assert!(code == 1 && error.contains("has no page"), "{error}");
    drop(without);
}

#[test]
fn the_configuration_is_shown_reloaded_and_refused_with_its_line() {
    let home = folder();
    let file = home.join("ddes.toml");
    std::fs::write(&file, "idle_secs = 300\n").unwrap();
    let served = serve(&home, &["--config", file.to_str().unwrap(), "--drain-secs", "7"]);
    let token = std::fs::read_to_string(home.join("http-token")).unwrap();
    let act = |method: &str, path: &str, body: &str| {
        let headers = format!(
            "Authorization: Bearer {}\r\nX-Ddes-Action: 1\r\nContent-Type: \
             application/json\r\nContent-Length: {}\r\n\r\n{body}",
            token.trim(),
            body.len()
        );
        served.ask(method, path, &headers)
    };
    let entry = |key: &str| {
        let config = served.get("/api/v1/config");
        let entries = config["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["key"] == key).unwrap().clone();
        (entry["value"].clone(), entry["origin"].clone(), entry["where"].clone())
    };
    let place = format!("{}:1", file.display());
    assert_eq!(entry("idle_secs"), ("300".into(), "file".into(), place.into()));
    assert_eq!(entry("drain_secs"), ("7".into(), "flag".into(), "--drain-secs".into()));
    assert_eq!(served.get("/api/v1/overview")["server"]["idle_secs"], 300);
    std::fs::write(&file, "idle_secs = 200\nmax_connections = 50\n").unwrap();
    let (status, reloaded) = act("POST", "/api/v1/config/reload", "");
    let reloaded: Value = serde_json::from_str(&reloaded).unwrap();
    assert_eq!(status, 200, "{reloaded}");
    assert_eq!(reloaded["changed"][0]["to"], "200");
    let overview = served.get("/api/v1/overview");
    assert_eq!(overview["server"]["idle_secs"], 200);
    assert_eq!(overview["sessions"]["max"], 50);
    std::fs::write(&file, "\nidle_secs = 0\n").unwrap();
    let (status, refused) = act("POST", "/api/v1/config/reload", "");
    assert!(status == 422 && refused.contains("ddes.toml:2"), "{status} {refused}");
    assert_eq!(entry("idle_secs").0, "200");
    assert_eq!(act("PUT", "/api/v1/log", "{\"level\":\"warn\"}").0, 200);
    assert_eq!(entry("log_level").1, "operator");
}

#[test]
fn a_server_that_drains_is_not_ready_while_it_still_answers() {
    let home = folder();
    let mut served = serve(&home, &["--drain-secs", "3600"]);
    let trust = crate::secure::fingerprint(&home);
    let server = served.running.address.clone();
    // A session that holds the drain up: its client is stopped.
    let args = ["connect", "--server", &server, "--trust", &trust];
    let mut client = ddes_at(&home, &args);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while served.get("/api/v1/overview")["sessions"]["open"] != 1 {
        assert!(start.elapsed() < LONG);
    }
    assert_eq!(served.ask("GET", "/readyz", "").0, 200);
    kill_process(Pid::from_child(&client), Signal::STOP).unwrap();
    kill_process(Pid::from_child(&served.running.child), Signal::TERM).unwrap();
    served.event("shutting_down");
    let (status, body) = served.ask("GET", "/readyz", "");
    assert!(status == 503 && body.contains("draining"), "{body}");
    assert_eq!(served.ask("GET", "/livez", "").0, 200);
    kill_process(Pid::from_child(&client), Signal::CONT).unwrap();
    assert!(served.running.child.wait().unwrap().success());
    drop(client.kill());
    drop(client.wait());
}
