//! What established sessions notice of those who do harm: their p99, beside that of the same
//! sessions when nobody does.
//!
//! In a round each harm is done once to a server of its own, one after the other, so that what else
//! the machine does meets all alike; a ratio is the median of the rounds' own. The sessions are
//! open before the harm begins, and send by the clock: what they wait is counted from when a frame
//! was due.

mod attack;
mod silent;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ddes_load::RunRecord;

use crate::aim::{Aim, Wanted};
use crate::figures::median;
use crate::server::{Kind, Server, cpu_of};
use crate::{cores, ours, report};

use attack::Harm;

const COLUMNS: &[&str] = &[
    "who does harm",
    "how much, a second",
    "connections of theirs, a second",
    "values/s of the established",
    "p50",
    "p99",
    "p99.9",
    "p99, of that without harm",
    "share of a core: server, load, harm",
    "server's memory at most",
    "sessions lost",
    "load was the limit",
];

/// How much to measure.
struct Effort {
    rounds: usize,
    length: Duration,
    /// Load before it; harm is done from a third of it on.
    warm_up: Duration,
    /// Values a second of all established sessions: about a quarter of what the server takes of
    /// them.
    rate: u32,
}

/// Long enough that who takes nothing is dropped within.
const LONG: Effort = Effort {
    rounds: 3,
    length: Duration::from_secs(12),
    warm_up: Duration::from_secs(3),
    rate: 10_000,
};
const SHORT: Effort =
    Effort { rounds: 1, length: Duration::from_secs(1), warm_up: Duration::ZERO, rate: 2_000 };

const SESSIONS: u32 = 50;
/// They are open by then.
const OPENING: Duration = Duration::from_millis(300);
const P99_MAX: f64 = 1.5;

const USAGE: &str = "usage: ddes-peers harm [handshakes | first-messages | slow-readers | slow-writers | silent | elsewhere] [--short] [-- FLAG...]
(flags of `ddes serve`)";

/// What one measurement came to.
struct Figures {
    record: RunRecord,
    /// Deeds, and connections, a second.
    deeds: f64,
    connections: f64,
    harm_share: f64,
    memory_kib: u64,
}

/// Of all rounds, by turns.
struct Row {
    harm: Option<Harm>,
    rounds: Vec<Figures>,
}

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let (arguments, flags) = match arguments.iter().position(|argument| *argument == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[][..]),
    };
    let (only, effort) = match arguments {
        [] => (None, &LONG),
        ["--short"] => (None, &SHORT),
        [which] => (Some(*which), &LONG),
        [which, "--short"] => (Some(*which), &SHORT),
        _ => return Err(USAGE.into()),
    };
    let harms = match only {
        None => Harm::ALL.to_vec(),
        Some(name) => vec![Harm::from_name(name).ok_or(USAGE)?],
    };
    cores::take()?;
    let load = std::fs::read_to_string("/proc/loadavg").map_err(|error| error.to_string())?;
    println!("\nLoad of the machine before: {}. Flags of the server: {flags:?}.", load.trim());
    let mut rows: Vec<Row> = [None]
        .into_iter()
        .chain(harms.into_iter().map(Some))
        .map(|harm| Row { harm, rounds: Vec::new() })
        .collect();
    for _ in 0..effort.rounds {
        for row in &mut rows {
            row.rounds.push(measure(row.harm, effort, flags)?);
        }
    }
    report::heading("Established sessions beside those who do harm", COLUMNS);
    rows.iter().for_each(|row| row.print(&rows));
    let aims: Vec<Aim> = rows.iter().filter_map(|row| row.aim(&rows)).collect();
    Aim::table(&aims);
    Ok(())
}

/// Fails too where a sum of the established sessions is not exact.
fn measure(harm: Option<Harm>, effort: &Effort, flags: &[&str]) -> Result<Figures, String> {
    let server = cores::serve_with(Kind::OursBounded, flags)?;
    let load = ours::Load { sessions: SESSIONS, batch: 1, pipeline: 64, rate: Some(effort.rate) };
    let run = ours::start(&server, load, effort.length, effort.warm_up)?;
    std::thread::sleep(OPENING.max(effort.warm_up / 3));
    let attackers = harm.map(|harm| Attackers::start(harm, &server)).transpose()?;
    let record = run.record()?;
    let memory_kib = server.peak_kib()?;
    let done = attackers.map(Attackers::stop).transpose()?;
    let [deeds, connections, harm_share] = done.unwrap_or([0.0; 3]);
    Ok(Figures { record, deeds, connections, harm_share, memory_kib })
}

/// The process of those who do harm; it is killed when this is dropped.
struct Attackers {
    process: Child,
}

impl Attackers {
    fn start(harm: Harm, server: &Server) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        // Of util-linux. Whatever else wants the core has it at once: the load, whose latencies are
        // measured, is not kept waiting.
        let mut command = Command::new("chrt");
        command
            .args(["--idle", "0"])
            .arg(program)
            .args(["attack", harm.name(), &server.address])
            .arg(&server.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let process =
            command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
        Ok(Self { process })
    }

    /// Deeds a second, connections a second, share of a core.
    fn stop(mut self) -> Result<[f64; 3], String> {
        let cpu = cpu_of(self.process.id())?;
        // Its end of input is its end.
        drop(self.process.stdin.take());
        let output = self.process.stdout.take().ok_or("those who do harm have no output")?;
        let said = std::io::read_to_string(output).map_err(|error| error.to_string())?;
        let numbers: Vec<f64> =
            said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [deeds, connections, seconds] = numbers[..] else {
            return Err(format!("those who do harm say '{said}'"));
        };
        Ok([deeds / seconds, connections / seconds, cpu.as_secs_f64() / seconds])
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("those who do harm do not stop: {error}");
        }
    }
}

/// This program in that role.
pub(crate) fn attack(name: &str, address: &str, folder: &Path) -> Result<(), String> {
    attack::run(Harm::from_name(name).ok_or(USAGE)?, address, folder)
}

impl Row {
    fn print(&self, all: &[Self]) {
        let middle = |of: fn(&Figures) -> f64| self.median(of).unwrap_or(f64::NAN);
        let time = |of| report::duration(Duration::from_secs_f64(middle(of) / 1e9));
        let percent = |of| format!("{:.0} %", 100.0 * middle(of));
        let (server, load) =
            (percent(server_share), percent(|it| it.record.generator.cpu_secs / it.record.seconds));
        let limits = self.rounds.iter().filter(|it| it.record.generator.was_limit).count();
        let lost: u64 = self.rounds.iter().map(|it| it.record.errors.lost).sum();
        report::row(&[
            self.harm.map_or("nobody", |harm| describe(harm).0).into(),
            self.harm.map_or(String::new(), |harm| {
                format!("{:.0} {}", middle(|it| it.deeds), describe(harm).1)
            }),
            self.harm.map_or(String::new(), |_| format!("{:.0}", middle(|it| it.connections))),
            format!("{:.0}", middle(|it| it.record.values_per_sec)),
            time(|it| it.record.latency.p50_ns as f64),
            time(p99),
            time(|it| it.record.latency.p99_9_ns as f64),
            self.ratio(all).map_or(String::new(), |ratio| format!("{ratio:.2}")),
            format!("{server}, {load}, {}", percent(|it| it.harm_share)),
            format!("{:.1} MiB", middle(|it| it.memory_kib as f64) / 1024.0),
            lost.to_string(),
            format!("{limits} of {} times", self.rounds.len()),
        ]);
    }

    fn aim(&self, all: &[Self]) -> Option<Aim> {
        let what = describe(self.harm?).2?;
        Some(Aim { what, wanted: Wanted::AtMost(P99_MAX), measured: self.ratio(all) })
    }

    fn median(&self, of: fn(&Figures) -> f64) -> Option<f64> {
        median(self.rounds.iter().map(of).collect())
    }

    /// Of p99, to that of the same round without harm.
    fn ratio(&self, all: &[Self]) -> Option<f64> {
        let calm = all.iter().find(|row| row.harm.is_none())?;
        median(self.rounds.iter().zip(&calm.rounds).map(|(it, calm)| p99(it) / p99(calm)).collect())
    }
}

fn p99(figures: &Figures) -> f64 {
    figures.record.latency.p99_ns as f64
}

fn server_share(figures: &Figures) -> f64 {
    let record = &figures.record;
    record.generator.server_cpu_secs.map_or(f64::NAN, |secs| secs / record.seconds)
}

/// Who does it, what is counted of it, and what is wanted.
fn describe(harm: Harm) -> (&'static str, &'static str, Option<&'static str>) {
    match harm {
        Harm::Handshakes => (
            "handshakes, each of a new identity, 32 at a time",
            "handshakes",
            Some("p99 of established sessions under a flood of handshakes, of theirs without"),
        ),
        Harm::FirstMessages => (
            "first messages, 64 at a time, each gone once answered",
            "first messages answered",
            Some("p99 under a flood of first messages, likewise"),
        ),
        Harm::SlowReaders => (
            "100 sessions that send and never read",
            "frames of one value, to its own system",
            Some("p99 beside 100 that never read, likewise"),
        ),
        Harm::SlowWriters => (
            "500 connections, a byte of a first message each 0.1 s",
            "bytes",
            Some("p99 beside 500 that send a byte at a time, likewise"),
        ),
        Harm::Silent => (
            "connections that never speak, 8,000 held",
            "connects",
            Some("p99 under 10,000 connects a second that never speak, likewise"),
        ),
        Harm::Elsewhere => {
            ("the same to a listener on the load's core, and none to the server", "connects", None)
        }
    }
}
