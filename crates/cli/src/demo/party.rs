//! The processes of the demo and what is known of them: who runs, and what each has counted.

use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::child::{Child, DemoMessage, Who};
use super::meter::{METERS, Meter};
use crate::args::HomeArgs;
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::keys;

/// A process that ends sooner after its start has failed.
const QUICK: Duration = Duration::from_secs(5);
/// So many failures in a row end the demo.
const FAILURES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Party {
    home: PathBuf,
    fingerprint: String,
    messages: SyncSender<DemoMessage>,
    pub(super) members: Vec<Member>,
    pub(super) server: Process,
    /// Where it listens, which stays the same when it is started again.
    pub(super) address: String,
    /// Where its page is.
    pub(super) http: String,
}

pub(super) struct Member {
    pub(super) meter: &'static Meter,
    pub(super) process: Process,
    pub(super) balance: PartyTotals,
    /// Whether it has a session.
    pub(super) is_open: bool,
    /// Whether it was started again and has not come back yet.
    pub(super) is_returning: bool,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PartyTotals {
    pub(super) count: u64,
    pub(super) sum: i128,
}

/// A process that is started again when it ends.
#[derive(Default)]
pub(super) struct Process {
    child: Option<Child>,
    started: Option<Instant>,
    failures: u32,
    /// The last error that it reported.
    pub(super) error: Option<String>,
}

impl Party {
    pub(super) fn new(home: &Path, messages: SyncSender<DemoMessage>) -> Result<Self, Failure> {
        let place = Home::find(&HomeArgs { home: Some(home.to_owned()) })?;
        let server_key = place.server_key();
        let (key, _) = place.key_or_new(&server_key, "ddes server", keys::no_passphrase)?;
        for meter in &METERS {
            // The server lets in the identities that it finds.
            let path = place.identity(meter.name)?;
            place.key_or_new(&path, meter.name, keys::no_passphrase)?;
        }
        let member = |meter| Member {
            meter,
            process: Process::default(),
            balance: PartyTotals::default(),
            is_open: false,
            is_returning: false,
        };
        Ok(Self {
            home: home.to_owned(),
            fingerprint: key.public().fingerprint(),
            messages,
            members: METERS.iter().map(member).collect(),
            server: Process::default(),
            address: "127.0.0.1:0".into(),
            http: "127.0.0.1:0".into(),
        })
    }

    pub(super) fn start_server(&mut self) -> Result<(), Failure> {
        let (listen, http) = (&self.address, &self.http);
        // No file of this machine has a say in the demo.
        let flags = format!(
            "serve --json --config /dev/null --listen {listen} --http {http} --drain-secs 3 \
             --end-with-input"
        );
        let flags: Vec<_> = flags.split(' ').collect();
        let child = Child::start(Who::Server, &self.home, &flags, &self.messages)?;
        self.server.begin(child);
        Ok(())
    }

    pub(super) fn start_member(&mut self, place: usize) -> Result<(), Failure> {
        let member = &mut self.members[place];
        let name = member.meter.name;
        let outbox = self.home.join("outboxes").join(name).display().to_string();
        let flags = ["demo-client", "--name", name, "--server", &self.address, "--outbox", &outbox];
        let flags = [&flags[..], &["--trust", &self.fingerprint]].concat();
        let child = Child::start(Who::Client(place), &self.home, &flags, &self.messages)?;
        member.process.begin(child);
        Ok(())
    }

    /// Whether this is the process that runs now, and not one before it.
    pub(super) fn is_current(&self, who: Who, pid: u32) -> bool {
        self.process(who).is_some_and(|process| process.pid() == Some(pid))
    }

    fn process(&self, who: Who) -> Option<&Process> {
        match who {
            Who::Server => Some(&self.server),
            Who::Client(place) => self.members.get(place).map(|member| &member.process),
        }
    }

    pub(super) fn totals(&self) -> PartyTotals {
        let add = |totals: PartyTotals, member: &Member| PartyTotals {
            count: totals.count + member.balance.count,
            sum: totals.sum + member.balance.sum,
        };
        self.members.iter().fold(PartyTotals::default(), add)
    }

    pub(super) fn signal_all(&self, signal: Signal) {
        let members = self.members.iter().map(|member| &member.process);
        for process in members.chain([&self.server]) {
            if let Some(child) = &process.child {
                child.signal(signal);
            }
        }
    }
}

impl Member {
    /// Takes over what it says it has counted; `Err`: that is not what it has sent.
    pub(super) fn take(&mut self, event: &Value) -> Result<(), Failure> {
        let digits = |name: &str| event[name].as_str().unwrap_or("");
        let (Ok(count), Ok(sum)) = (digits("count").parse(), digits("sum").parse()) else {
            return Err(Failure::new(Code::Integrity, "a client of the demo reports no total"));
        };
        let (name, expected) = (self.meter.name, self.meter.sum_of(count));
        if sum != expected || count < self.balance.count {
            let what = format!(
                "the total of {name} is wrong: {count} integers have the sum {expected}, and the \
                 server says {sum}"
            );
            return Err(Failure::new(Code::Integrity, what).cause("this must not happen"));
        }
        self.balance = PartyTotals { count, sum };
        Ok(())
    }
}

impl Process {
    fn begin(&mut self, child: Child) {
        (self.child, self.started, self.error) = (Some(child), Some(Instant::now()), None);
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::pid)
    }

    /// How it ended; fails if it does so again and again.
    pub(super) fn end(&mut self, name: &str) -> Result<String, Failure> {
        let end = self.child.take().map_or_else(|| "ended".into(), Child::end);
        let is_quick = self.started.is_some_and(|started| started.elapsed() < QUICK);
        self.failures = if is_quick { self.failures + 1 } else { 0 };
        if self.failures >= FAILURES_MAX {
            let failure = Failure::new(Code::No, format!("{name} {end}, again and again"));
            return Err(match self.error.take() {
                Some(error) => failure.cause(error),
                None => failure,
            });
        }
        thread::sleep(PAUSE * self.failures);
        Ok(end)
    }

    /// Ends it in its own way: at the end of its input, or at SIGTERM.
    pub(super) fn dismiss(&mut self, is_server: bool) {
        if let Some(child) = &mut self.child {
            child.close_input();
            if is_server {
                child.signal(Signal::TERM);
            }
        }
    }

    /// Once its output has ended.
    pub(super) fn forget(&mut self) {
        drop(self.child.take());
    }

    pub(super) fn type_line(&mut self, line: &str) {
        if let Some(child) = &mut self.child {
            child.type_line(line);
        }
    }
}
