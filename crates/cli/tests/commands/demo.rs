//! `ddes demo`: that what is killed comes back with its totals, and that nothing stays.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::folder;
use crate::glass::Glass;

/// Longer than anything that is in order takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

struct Demo {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    started: Value,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // In order, or its processes and its folder would stay.
        if self.child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
            self.child.wait().unwrap();
        }
    }
}

fn command(temporary: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddes"));
    command.args(["demo", "--no-open"]).args(flags).env("TMPDIR", temporary);
    // None of these is meant for the processes of a demo.
    command.env("DDES_LISTEN", "192.0.2.1:1").env("DDES_LEDGER", "memory");
    command.env("DDES_HOME", temporary.join("not-there")).env("DDES_AS", "nobody");
    command.env("DDES_HTTP", "off");
    command
}

impl Demo {
    fn start(temporary: &Path) -> Self {
        let mut command = command(temporary, &["--json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut demo = Self { child, lines, started: Value::Null };
        demo.started = demo.event("started");
        demo
    }

    fn next(&mut self) -> Option<Value> {
        self.lines.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    }

    fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("it ended before '{name}'"));
            if event["event"] == name {
                return event;
            }
            assert_ne!(event["event"], "error", "{event}");
        }
    }

    /// The next line that counts more than `count`.
    fn tick_above(&mut self, count: u64) -> Value {
        loop {
            let tick = self.event("tick");
            if number(&tick["count"]) > count {
                return tick;
            }
        }
    }

    /// All processes but the demo's own.
    fn pids(&self) -> Vec<Pid> {
        let clients = self.started["clients"].as_array().unwrap();
        let pids = clients.iter().map(|client| &client["pid"]).chain([&self.started["pid"]]);
        pids.map(pid).collect()
    }

    fn home(&self) -> PathBuf {
        self.started["home"].as_str().unwrap().into()
    }

    fn end(&mut self, signal: Signal) -> Value {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let ended = self.event("ended");
        assert_eq!(self.event("removed")["home"], self.started["home"]);
        assert!(self.next().is_none());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        ended
    }
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

fn pid(value: &Value) -> Pid {
    Pid::from_raw(value.as_i64().unwrap().try_into().unwrap()).unwrap()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The processes whose environment names a folder: whatever a demo starts has it from the demo.
fn processes_with(folder: &Path) -> Vec<String> {
    let named = folder.as_os_str().as_bytes();
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let has = |process: &PathBuf| {
        // Others end meanwhile.
        std::fs::read(process.join("environ"))
            .is_ok_and(|text| text.split(|byte| *byte == 0).any(|entry| entry.ends_with(named)))
    };
    processes.filter(has).map(|process| process.display().to_string()).collect()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn its_link_opens_the_page_once() {
    let temporary = folder();
    let mut demo = Demo::start(&temporary);
    let link = demo.started["link"].as_str().unwrap().to_owned();
    let http = demo.started["http"].as_str().unwrap().to_owned();
    let path = link.strip_prefix(&format!("http://{http}")).unwrap();
    let first = get(&http, path);
    assert!(first.starts_with("HTTP/1.1 30") && first.contains("ddes_session_"), "{first}");
    assert!(get(&http, path).starts_with("HTTP/1.1 403"));
    let overview = get(&http, "/api/v1/overview");
    assert!(overview.starts_with("HTTP/1.1 200") && overview.contains("\"totals\""), "{overview}");
    assert_eq!(demo.end(Signal::TERM)["ledger_agrees"], true);
}

#[test]
fn whatever_is_killed_comes_back_with_exact_totals() {
    let temporary = folder();
    let mut demo = Demo::start(&temporary);
    demo.tick_above(100);
    kill_process(pid(&demo.started["pid"]), Signal::KILL).unwrap();
    let again = demo.event("server_restarted");
    assert!(again["end"].as_str().unwrap().contains("signal 9"), "{again}");
    let back = demo.event("server_returned");
    let [before, after] = ["before", "after"].map(|name| number(&back[name]["count"]));
    assert!(before >= 100 && after >= before, "{back}");
    demo.tick_above(after);
    for client in demo.started["clients"].as_array().unwrap().clone() {
        kill_process(pid(&client["pid"]), Signal::KILL).unwrap();
        assert_eq!(demo.event("client_restarted")["client"], client["name"]);
        assert_eq!(demo.event("client_returned")["client"], client["name"]);
    }
    let count = number(&demo.event("tick")["count"]);
    let ended = {
        demo.tick_above(count);
        demo.end(Signal::INT)
    };
    // Each sum is checked against its count by the demo itself; the ledger is asked once more.
    assert_eq!(ended["ledger_agrees"], true, "{ended}");
    assert!(is_empty(&temporary));
}

#[test]
fn each_signal_leaves_no_process_and_no_folder() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let temporary = folder();
        let mut demo = Demo::start(&temporary);
        let (pids, home) = (demo.pids(), demo.home());
        assert!(processes_with(&temporary).len() > pids.len());
        assert!(home.starts_with(&temporary) && home.join("ledger").is_dir());
        demo.end(signal);
        assert!(is_empty(&temporary), "{signal:?}");
        for pid in pids {
            assert!(test_kill_process(pid).is_err(), "{signal:?}: a process is left");
        }
        // The system may have given its ports to others meanwhile.
        let left = processes_with(&temporary);
        assert!(left.is_empty(), "{signal:?}: processes {left:?} are left");
    }
}

#[test]
fn a_demo_that_is_killed_leaves_no_process() {
    let temporary = folder();
    let mut demo = Demo::start(&temporary);
    let pids = demo.pids();
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    until("a process goes on without the demo", || {
        pids.iter().all(|pid| test_kill_process(*pid).is_err())
    });
    std::fs::remove_dir_all(demo.home()).unwrap();
}

#[test]
fn it_ends_after_its_duration_also_in_a_pipe_that_nobody_reads() {
    let temporary = folder();
    let mut plain = command(&temporary, &["--duration", "1"]);
    let output = plain.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in
        ["kitchen", "11 integers a second", "kill -9", "The ledger says the same", "Removed"]
    {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(!said.contains('\x1b') && is_empty(&temporary), "{said}");
    let mut unread = command(&temporary, &["--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(unread.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"started\""));
    drop(lines);
    assert_eq!(unread.wait().unwrap().code(), Some(141));
    assert!(is_empty(&temporary));
}

#[test]
fn on_a_terminal_it_says_what_happens_and_ctrl_c_removes_everything() {
    let temporary = folder();
    let mut glass = Glass::start(&command(&temporary, &[]), 80, 24);
    let shown = glass.shows("| turbine ");
    for part in ["kitchen", "90 integers a second", "/login?code=", "kill -9", "Ctrl-C"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    glass.press("\x03");
    let end = glass.end();
    assert!(end.starts_with("Some(Exited(") && end.ends_with(", 0))"), "{end}");
    let shown = glass.text();
    assert!(shown.contains("The ledger says the same.") && shown.contains("Removed "), "{shown}");
    assert!(is_empty(&temporary) && glass.is_cooked());
    assert!(glass.foreign.is_empty(), "{:?}", glass.foreign);
}
