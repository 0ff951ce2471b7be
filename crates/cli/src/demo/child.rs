//! A process of the demo: this program again, which lives no longer than the demo does.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{self, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::failure::Failure;
use crate::streams::say;

/// A line of a child is at most so long.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Server,
    /// By its place among the meters.
    Client(usize),
}

/// What the demo waits for.
#[derive(Debug)]
pub(super) enum DemoMessage {
    /// A line of a child, the one with this process id.
    Said {
        who: Who,
        pid: u32,
        event: Value,
    },
    /// The end of its standard output.
    Gone {
        who: Who,
        pid: u32,
    },
    Signal(i32),
}

/// Killed when this is dropped.
pub(super) struct Child {
    process: process::Child,
}

impl Child {
    /// Starts this program with `arguments`. Nothing in the environment reaches its settings.
    pub(super) fn start(
        who: Who,
        home: &Path,
        arguments: &[&str],
        messages: &SyncSender<DemoMessage>,
    ) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::system("cannot start a process", &error);
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(arguments).arg("--home").arg(home);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"DDES_") {
                command.env_remove(name);
            }
        }
        // A group of its own: Ctrl-C is for the demo, which ends its processes in order.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Self { process: command.spawn().map_err(failed)? };
        let (pid, messages) = (child.pid(), messages.clone());
        if let Some(stdout) = child.process.stdout.take() {
            thread::Builder::new()
                .name("child".into())
                .spawn(move || read(stdout, who, pid, &messages))
                .map_err(failed)?;
        }
        Ok(child)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Writes a line to its console; one that is gone needs none.
    pub(super) fn type_line(&mut self, line: &str) {
        if let Some(stdin) = &mut self.process.stdin {
            use std::io::Write;
            drop(writeln!(stdin, "{line}"));
        }
    }

    /// Ends its standard input.
    pub(super) fn close_input(&mut self) {
        drop(self.process.stdin.take());
    }

    pub(super) fn signal(&self, signal: Signal) {
        match kill_process(Pid::from_child(&self.process), signal) {
            // One that is gone needs none: its number is not given anew before it is waited for.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => say(&format!("Process {} takes no signal: {error}", self.pid())),
        }
    }

    /// How it ended, once its standard output has.
    pub(super) fn end(mut self) -> String {
        // It may have closed its output and go on.
        drop(self.process.kill());
        self.process.wait().map_or_else(|error| error.to_string(), ended)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".into(),
    }
}

/// Reads to the end, so that the child never waits. A line that is no event is not for the demo.
fn read(stdout: ChildStdout, who: Who, pid: u32, messages: &SyncSender<DemoMessage>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let Ok(event) = serde_json::from_slice(&line) else { continue };
        if messages.send(DemoMessage::Said { who, pid, event }).is_err() {
            return;
        }
    }
    // The demo is over.
    drop(messages.send(DemoMessage::Gone { who, pid }));
}
