//! The same work by ddes and by what a user would take instead, in one run: rates, latencies,
//! processor time and memory, as ratios to Redis over TLS.
//!
//! In a round each entry of a table is measured once, one after the other, so that what else the
//! machine does meets all alike; a ratio is the median of the rounds' own.

use std::time::Duration;

use ddes_wire::v2::{GroupSize, Suite};

use crate::aim::{Aim, Wanted};
use crate::crowd;
use crate::figures::{Figures, median};
use crate::secure::{self, Peer};
use crate::server::{Kind, Server};
use crate::{cores, ours, rate, redis, report};

/// How much to measure.
pub(crate) struct Effort {
    rounds: usize,
    /// Of one measurement, and of the load before it.
    pub(crate) length: Duration,
    pub(crate) warm_up: Duration,
    /// Sessions opened one after the other.
    handshakes: u64,
    /// Sessions kept open to see what each holds.
    idle: u64,
    /// Sessions that wait while others work, and those.
    crowd: Option<(u64, u32)>,
    growth: &'static [u32],
    /// What served the opening of sessions is given back by then: each of the servers looks for
    /// that once a second.
    pub(crate) settle: Duration,
}

const LONG: Effort = Effort {
    rounds: 3,
    length: Duration::from_secs(3),
    warm_up: Duration::from_secs(1),
    handshakes: 2_000,
    idle: 2_000,
    crowd: Some((14_000, 1_000)),
    growth: &[10, 100, 1_000, 10_000],
    settle: Duration::from_secs(3),
};
const SHORT: Effort = Effort {
    rounds: 1,
    length: Duration::from_millis(200),
    warm_up: Duration::ZERO,
    handshakes: 20,
    idle: 50,
    crowd: None,
    growth: &[10],
    settle: Duration::ZERO,
};

const COLUMNS: &[&str] = &[
    "what",
    "sessions, frames or commands of each on the way",
    "values/s",
    "p50",
    "p99",
    "server CPU a value",
    "share of a core: server, load",
    "rate, of Redis",
    "p99, of Redis",
    "CPU, of Redis",
];

/// One value of ours at 50 sessions is to cost what it did of Redis' when the aim was set.
const CPU_OF_REDIS_MAX: f64 = 7.5 / 10.4;

const OURS: Peer = Peer::Ours(Suite::Hybrid(GroupSize::Bits2048));

const USAGE: &str =
    "usage: ddes-peers compare [counting | durable | handshake | memory | growth] [--short]";

type Part = fn(&Effort) -> Result<Vec<Aim>, String>;

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let (part, effort) = match arguments {
        [] => (None, &LONG),
        ["--short"] => (None, &SHORT),
        [part] => (Some(*part), &LONG),
        [part, "--short"] => (Some(*part), &SHORT),
        _ => return Err(USAGE.into()),
    };
    let parts: [(&str, Part); 5] = [
        ("counting", counting),
        ("durable", durable),
        ("handshake", handshake),
        ("memory", memory),
        ("growth", growth),
    ];
    if part.is_some_and(|part| parts.iter().all(|(name, _)| *name != part)) {
        return Err(USAGE.into());
    }
    cores::take()?;
    let load = std::fs::read_to_string("/proc/loadavg").map_err(|error| error.to_string())?;
    println!("\nLoad of the machine before: {}.", load.trim());
    if !redis::is_installed() {
        println!("Redis is not installed: without it.");
    }
    let mut aims = Vec::new();
    for (_, measure) in parts.iter().filter(|(name, _)| part.is_none_or(|part| part == *name)) {
        aims.extend(measure(effort)?);
    }
    Aim::table(&aims);
    Ok(())
}

/// What is asked of a server.
#[derive(Clone, Copy, PartialEq)]
enum Load {
    Redis { connections: u32, pipeline: u32 },
    Ours(ours::Load),
    Echo { clients: u32 },
    Classic { clients: u32 },
}

impl Load {
    fn ours(sessions: u32, batch: u16, pipeline: u32) -> Self {
        Self::Ours(ours::Load { sessions, batch, pipeline, rate: None })
    }

    /// The same of Redis.
    fn base(self) -> Self {
        let (connections, pipeline) = match self {
            Self::Redis { connections, pipeline } => (connections, pipeline),
            // Redis knows no frame of many values: these are its commands on the way.
            Self::Ours(load) if load.batch > 1 => (load.sessions, u32::from(load.batch)),
            Self::Ours(load) => (load.sessions, load.pipeline),
            Self::Echo { clients } | Self::Classic { clients } => (clients, 1),
        };
        Self::Redis { connections, pipeline }
    }

    fn shape(self) -> String {
        match self {
            Self::Ours(ours::Load { sessions, batch, pipeline, .. }) if batch > 1 => {
                format!("{sessions}, {pipeline} of {batch} values")
            }
            Self::Redis { connections: sessions, pipeline }
            | Self::Ours(ours::Load { sessions, pipeline, .. }) => {
                format!("{sessions}, {pipeline}")
            }
            Self::Echo { clients } | Self::Classic { clients } => format!("{clients}, 1"),
        }
    }

    fn measure(self, server: &Server, effort: &Effort) -> Result<Figures, String> {
        match self {
            Self::Redis { connections, pipeline } => {
                redis::load(server, connections, pipeline, effort.length)
            }
            Self::Ours(load) => ours::load(server, load, effort.length, effort.warm_up),
            Self::Echo { clients } => rate::echo(server, clients, effort.length),
            Self::Classic { clients } => rate::classic(server, clients, effort.length),
        }
    }
}

/// A row, as far as it is measured.
struct Entry<'a> {
    server: &'a Server,
    load: Load,
    rounds: Vec<Figures>,
}

struct Table<'a>(Vec<Entry<'a>>);

impl<'a> Table<'a> {
    /// Measures all entries and prints them.
    fn measure(
        title: &str,
        effort: &Effort,
        entries: impl IntoIterator<Item = (&'a Server, Load)>,
    ) -> Result<Self, String> {
        let new = |(server, load)| Entry { server, load, rounds: Vec::new() };
        let mut table = Self(entries.into_iter().map(new).collect());
        for _ in 0..effort.rounds {
            for entry in &mut table.0 {
                entry.rounds.push(entry.load.measure(entry.server, effort)?);
            }
        }
        report::heading(title, COLUMNS);
        table.0.iter().for_each(|entry| table.row(entry));
        Ok(table)
    }

    fn row(&self, entry: &Entry<'_>) {
        let middle = |of: fn(&Figures) -> f64| median(entry.rounds.iter().map(of).collect());
        let time = |of| {
            middle(of).map_or(String::new(), |secs| report::duration(Duration::from_secs_f64(secs)))
        };
        let percent =
            |of| middle(of).map_or(String::new(), |share| format!("{:.0} %", 100.0 * share));
        let ratio = |of| self.ratio(entry, of).map_or(String::new(), |ratio| format!("{ratio:.2}"));
        report::row(&[
            entry.server.kind.name().into(),
            entry.load.shape(),
            middle(|it| it.rate).map_or(String::new(), |rate| format!("{rate:.0}")),
            time(p50),
            time(p99),
            time(cpu),
            format!("{}, {}", percent(|it| it.server_share), percent(|it| it.load_share)),
            ratio(|it| it.rate),
            ratio(p99),
            ratio(cpu),
        ]);
    }

    fn find(&self, load: Load) -> Option<&Entry<'_>> {
        self.0.iter().find(|entry| entry.load == load)
    }

    /// To Redis at the same.
    fn ratio(&self, entry: &Entry<'_>, of: fn(&Figures) -> f64) -> Option<f64> {
        let pairs = entry.rounds.iter().zip(&self.find(entry.load.base())?.rounds);
        median(pairs.map(|(it, base)| of(it) / of(base)).collect())
    }

    fn ours(&self, load: Load, of: fn(&Figures) -> f64) -> Option<f64> {
        self.ratio(self.find(load)?, of)
    }
}

fn p50(figures: &Figures) -> f64 {
    figures.latency.map_or(f64::NAN, |latency| latency.0.as_secs_f64())
}

fn p99(figures: &Figures) -> f64 {
    figures.latency.map_or(f64::NAN, |latency| latency.1.as_secs_f64())
}

fn cpu(figures: &Figures) -> f64 {
    figures.cpu.as_secs_f64()
}

/// What both tables have: the cells of Redis, ours beside them, and many values in a frame.
fn cells<'a>(ours: &'a Server, redis: Option<&'a Server>) -> Vec<(&'a Server, Load)> {
    let mut entries = Vec::new();
    for (sessions, depth) in [(1, 1), (50, 1), (50, 64)] {
        entries.extend(
            redis.map(|server| (server, Load::Redis { connections: sessions, pipeline: depth })),
        );
        entries.push((ours, Load::ours(sessions, 1, depth)));
    }
    entries.push((ours, Load::ours(50, 64, 8)));
    entries
}

pub(crate) fn redis_server(kind: Kind) -> Result<Option<Server>, String> {
    redis::is_installed().then(|| cores::serve(kind)).transpose()
}

fn counting(effort: &Effort) -> Result<Vec<Aim>, String> {
    let (ours, redis) = (cores::serve(Kind::OursSecure)?, redis_server(Kind::Redis)?);
    let echo = cores::serve(Kind::RustlsEcho)?;
    let (python, stalling) =
        (cores::serve(Kind::PythonNoDelay)?, cores::serve(Kind::PythonNamedGroup)?);
    let mut entries = cells(&ours, redis.as_ref());
    entries.push((&echo, Load::Echo { clients: 50 }));
    for clients in [1, 50] {
        entries.push((&python, Load::Classic { clients }));
        entries.push((&stalling, Load::Classic { clients }));
    }
    let table = Table::measure("In memory", effort, entries)?;
    let fifty = Load::ours(50, 1, 1);
    Ok(vec![
        Aim {
            what: "server CPU a value in memory, 50 sessions, of Redis'",
            wanted: Wanted::AtMost(CPU_OF_REDIS_MAX),
            measured: table.ours(fifty, cpu),
        },
        Aim {
            what: "values/s in memory, 50 sessions, of Redis'",
            wanted: Wanted::AtLeast(1.3),
            measured: table.ours(fifty, |it| it.rate),
        },
    ])
}

fn durable(effort: &Effort) -> Result<Vec<Aim>, String> {
    let (ours, redis) = (cores::serve(Kind::OursDurable)?, redis_server(Kind::RedisDurable)?);
    let table = Table::measure("On disk before the answer", effort, cells(&ours, redis.as_ref()))?;
    let rate = |what, load, ratio| Aim {
        what,
        wanted: Wanted::AtLeast(ratio),
        measured: table.ours(load, |it| it.rate),
    };
    Ok(vec![
        rate("values/s on disk, 1 session, of Redis'", Load::ours(1, 1, 1), 1.5),
        rate("values/s on disk, 50 sessions, of Redis'", Load::ours(50, 1, 1), 1.5),
        Aim {
            what: "p99 on disk, 50 sessions, of Redis'",
            wanted: Wanted::AtMost(1.0),
            measured: table.ours(Load::ours(50, 1, 1), p99),
        },
        rate(
            "values/s on disk, 50 sessions, 64 frames, of Redis' 64 commands",
            Load::ours(50, 1, 64),
            1.5,
        ),
        rate(
            "values/s on disk, 50 sessions, frames of 64, of Redis' 64 commands",
            Load::ours(50, 64, 8),
            6.0,
        ),
    ])
}

fn handshake(effort: &Effort) -> Result<Vec<Aim>, String> {
    report::heading("A session with one value, over sockets", secure::COLUMNS);
    let measure =
        |peer: Peer| secure::sessions(peer, &cores::serve(peer.kind())?, effort.handshakes);
    let (ours, rustls) = (measure(OURS)?, measure(Peer::Rustls)?);
    Ok(vec![Aim {
        what: "server CPU a session of the suite hybrid, of rustls'",
        wanted: Wanted::AtMost(1.0),
        measured: Some(ours.as_secs_f64() / rustls.as_secs_f64()),
    }])
}

fn memory(effort: &Effort) -> Result<Vec<Aim>, String> {
    let peers: Vec<Peer> = [OURS, Peer::Rustls]
        .into_iter()
        .chain(redis::is_installed().then_some(Peer::Redis))
        .collect();
    report::heading("Idle sessions", secure::MEMORY_COLUMNS);
    let mut ours = None;
    for peer in &peers {
        let each = secure::memory(*peer, &cores::serve(peer.kind())?, effort.idle, effort.settle)?;
        ours.get_or_insert(each);
    }
    if let Some((idle, active)) = effort.crowd {
        report::heading("Some at work among many that wait", crowd::COLUMNS);
        for peer in peers {
            crowd::measure(peer, &cores::serve(peer.kind())?, idle, active, effort)?;
        }
    }
    Ok(vec![Aim { what: "KiB an idle session", wanted: Wanted::AtMost(2.5), measured: ours }])
}

fn growth(effort: &Effort) -> Result<Vec<Aim>, String> {
    let (ours, redis) = (cores::serve(Kind::OursSecure)?, redis_server(Kind::Redis)?);
    let mut entries = Vec::new();
    for sessions in effort.growth.iter().copied() {
        let base = Load::Redis { connections: sessions, pipeline: 1 };
        entries.extend(redis.as_ref().map(|server| (server, base)));
        entries.push((&ours, Load::ours(sessions, 1, 1)));
    }
    // Opening ten thousand takes longer than measuring them.
    let effort = Effort { rounds: effort.rounds.min(1), ..*effort };
    Table::measure("More and more sessions, in memory", &effort, entries)?;
    Ok(Vec::new())
}
