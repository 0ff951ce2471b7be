//! The commands as a user runs them, against each other and against the Python peers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and knows its numbers"
)]

mod addresses;
mod bench;
mod blocks;
mod calc;
mod capture;
mod causes;
mod check;
mod classic;
mod config;
mod demo;
mod doctor;
mod durability;
mod exactly_once;
mod explain;
mod failover;
mod fake_api;
mod files;
mod fleet_keys;
mod floods;
mod generate;
mod glass;
mod guide;
mod http;
mod injected_faults;
mod input_faults;
mod json;
mod lab;
mod ledger;
mod library;
mod locks;
mod lost_ledger;
mod migrate;
mod outboxes;
mod output_faults;
mod packaging;
mod pages;
mod postgres;
mod reader;
mod secure;
mod shown;
mod stops;
mod strangers;
mod systemd;
mod terminals;
mod top;
mod transcript;
mod version;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A process that is killed when its test ends.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A new folder for keys, trust and outboxes.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// An address of this machine that nobody listens on, and that stays so until whoever asked for it
/// listens there. The system chooses ports from 32,768 on (`ip_local_port_range`), for all that run
/// meanwhile.
fn unused_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        // Other processes of tests begin elsewhere.
        let port = 10_000 + (std::process::id() * 31 + next) % 20_000;
        let address = format!("127.0.0.1:{port}");
        if std::net::TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// `ddes` with its keys and trust in `home`.
fn ddes_at(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddes"));
    command.args(arguments).env("DDES_HOME", home);
    if arguments.first() == Some(&"serve") {
        // One port is not enough for all servers; tests of the page name another.
        command.env("DDES_HTTP", "off");
    }
    command
}

fn started(command: Command) -> Running {
    start(command, |line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        (event["event"] == "listening").then(|| event["addr"].as_str().unwrap().to_owned())
    })
}

fn start(mut command: Command, mut address: impl FnMut(&str) -> Option<String>) -> Running {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut running = Running { child, stdout, address: String::new() };
    let mut said = String::new();
    loop {
        let mut line = String::new();
        assert!(
            running.stdout.read_line(&mut line).unwrap() > 0,
            "it ended before it was ready: {said}"
        );
        if let Some(address) = address(&line) {
            running.address = address;
            return running;
        }
        said.push_str(&line);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `cargo xtask test` names the Python that has the peer's libraries.
fn peer(program: &str, arguments: &[&str]) -> Command {
    let python = std::env::var("DDES_PEER_PYTHON")
        .unwrap_or_else(|_| root().join(".venv/bin/python").display().to_string());
    let mut command = Command::new(python);
    command.arg(program).args(arguments).current_dir(root());
    command
}

/// Copies a program that is run at once. A copy that this process wrote would be "busy" while a
/// child that another test's thread is starting still has the file open.
fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} is not copied", from.display());
}

fn output(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}
