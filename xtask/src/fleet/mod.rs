//! `cargo xtask fleet`: three servers behind HAProxy on one ledger, in PostgreSQL under Patroni
//! with etcd and a synchronous standby, and clients with outboxes that hop between the servers.
//! Servers, hosts, networks, standbys and disks fail by turns; then every sum and count must be
//! exact, the ledger whole, and the receipts that were given out on the way must hold.
//!
//! All of it is on this machine, as root: each host is a network namespace. Nothing of it is left.

mod checks;
mod database;
mod mishaps;
mod mutants;
mod network;
mod servers;
mod watch;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{self, Couriers, HARNESS, World, program};
use crate::{process::target, shell};
use checks::Receipts;
use database::Database;
use mishaps::{PHASES, Phase};
use network::{Network, Switch};
use servers::{Route, Servers};
use watch::Watch;

const USAGE: &str = "usage: cargo xtask fleet [--short] [--only PHASE]... | --mutants [NAME...]";
const CLIENTS: (usize, usize) = (500, 60);
/// Each client's, each second.
const VALUES_PER_SEC: u64 = 4;
const CHUNK_MAX: u64 = 32;
const PAUSE_MS: u64 = 1_000;
/// How long a client stays at a server, about.
const HOP_SECS: (u64, u64) = (60, 8);
/// Clients wait for up to 30 s before they try again. On a busy machine many handshakes take longer
/// than they may (P-23), and begin anew after another wait.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(600);

const DATABASE: &str = "ddes";

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    if let ["--mutants", names @ ..] = arguments {
        install()?;
        return mutants::run(names);
    }
    let mut is_short = false;
    let mut only = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--short" => is_short = true,
            "--only" => only.push(named(rest.next().ok_or(USAGE)?)?),
            _ => return Err(USAGE.into()),
        }
    }
    install()?;
    process::build()?;
    let begin = Instant::now();
    let run = FleetRun { clients: CLIENTS, hop_secs: HOP_SECS, is_short, logs: "fleet" };
    let mut fleet = Fleet::start(&run, &program("ddes"))?;
    println!("{:4.0} s: {}", begin.elapsed().as_secs_f32(), fleet.database.versions());
    let outcome = fleet.drive(&only, begin).and_then(|()| fleet.finish(begin));
    fleet.end(outcome)
}

fn named(name: &str) -> Result<&'static Phase, String> {
    PHASES.iter().find(|phase| phase.name == name).ok_or_else(|| {
        let names: Vec<_> = PHASES.iter().map(|phase| phase.name).collect();
        format!("there is no phase {name}: {}", names.join(", "))
    })
}

/// What there is in Debian. None of it is to run as a service of this machine.
fn install() -> Result<(), String> {
    shell::postgresql()?;
    let packages = [
        ("patroni", "patroni"),
        ("etcd", "etcd-server"),
        ("haproxy", "haproxy"),
        ("pgbouncer", "pgbouncer"),
    ];
    for (program, package) in packages {
        shell::installed_idle(program, package)?;
    }
    Ok(())
}

/// What clients say of their sessions, with the second: what a run that failed is understood by.
struct ClientLog {
    begin: Instant,
    file: File,
}

impl ClientLog {
    fn new(logs: &Path) -> Result<Self, String> {
        let file = File::create(logs.join("clients"));
        let file = file.map_err(|error| format!("the log of the clients: {error}"))?;
        Ok(Self { begin: Instant::now(), file })
    }

    fn hear(&self, line: &str) {
        // A full disk must not end the clients.
        drop(writeln!(&self.file, "{:.1} {line}", self.begin.elapsed().as_secs_f32()));
    }
}

/// How many clients, and how restless they are: in a whole run, and in a short one.
struct FleetRun {
    clients: (usize, usize),
    hop_secs: (u64, u64),
    is_short: bool,
    /// The folder of their logs.
    logs: &'static str,
}

impl FleetRun {
    fn of<T>(&self, (whole, short): (T, T)) -> T {
        if self.is_short { short } else { whole }
    }
}

/// Copies: what is built meanwhile must not change what runs.
struct Programs {
    /// Of the servers.
    server: PathBuf,
    /// Of the checks.
    ddes: PathBuf,
    harness: PathBuf,
}

impl Programs {
    fn copy(folder: &Path, server: &Path) -> Result<Self, String> {
        let copied = |from: &Path, name: &str| {
            let to = folder.join(name);
            let copy = std::fs::copy(from, &to);
            copy.map_err(|error| format!("{}: {error}", from.display())).map(|_| to)
        };
        Ok(Self {
            server: copied(server, "server-program")?,
            ddes: copied(&program("ddes"), "ddes-program")?,
            harness: copied(&program(HARNESS), HARNESS)?,
        })
    }
}

/// All of it.
pub(crate) struct Fleet {
    is_short: bool,
    clients: usize,
    /// The clients' end of the world, with the key of all servers.
    world: World,
    couriers: Arc<Mutex<Couriers>>,
    feeds: Arc<AtomicBool>,
    watch: Watch,
    servers: Servers,
    database: Database,
    /// How often a primary was promoted with a reason.
    failovers: u64,
    receipts: Receipts,
    logs: PathBuf,
    programs: Programs,
    /// Last: what is on it ends first.
    network: Network,
}

impl Fleet {
    /// `server` is the program of the servers.
    fn start(run: &FleetRun, server: &Path) -> Result<Self, String> {
        let logs = target().join(run.logs);
        if logs.exists() {
            std::fs::remove_dir_all(&logs)
                .map_err(|error| format!("{}: {error}", logs.display()))?;
        }
        std::fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
        let clients = run.of(run.clients);
        // Whatever fails from here on, its end cleans up.
        let network = Network::new()?;
        let world = World::at(network.folder.join("clients"))?;
        let programs = Programs::copy(&network.folder, server)?;
        println!("the logs are in {}", logs.display());
        let mut database = Database::start(&network, &logs)?;
        network.add("c", 40, &[Switch::Front])?;
        let watch = Watch::new();
        let outboxes = network.folder.join("outboxes");
        let hop = format!("hopping:{}", run.of(run.hop_secs));
        let mut command = network.on("c", &programs.harness);
        command.args(["couriers", &servers::front(), &world.key]).arg(&outboxes);
        command.args([clients.to_string(), CHUNK_MAX.to_string(), PAUSE_MS.to_string(), hop]);
        let (hears, log) = (watch.clone(), ClientLog::new(&logs)?);
        let couriers = Couriers::start(&mut command, &outboxes, clients, move |line| {
            hears.hear(line);
            log.hear(line);
        })?;
        let list = world.home.join("authorized_keys");
        std::fs::copy(couriers.list()?, list)
            .map_err(|error| format!("authorized_keys: {error}"))?;
        let servers = Servers::new(&network, &logs, &world, &programs.harness)?;
        database.whole(&network)?;
        let mut fleet = Self {
            is_short: run.is_short,
            clients,
            world,
            couriers: Arc::new(Mutex::new(couriers)),
            feeds: Arc::new(AtomicBool::new(true)),
            watch,
            servers,
            database,
            failovers: 0,
            receipts: Receipts::new(),
            logs,
            programs,
            network,
        };
        fleet.database.make(&fleet.network, DATABASE, &mut fleet.ledger())?;
        let server = fleet.programs.server.clone();
        fleet.servers.start_all(&fleet.network, &server, DATABASE)?;
        fleet.feed();
        Ok(fleet)
    }

    /// `ddes`, where it reaches the database, with the clients' home.
    fn ledger(&self) -> Command {
        let mut command = self.network.on("pool", &self.programs.ddes);
        command.env("DDES_HOME", &self.world.home);
        command
    }

    fn couriers(&self) -> MutexGuard<'_, Couriers> {
        self.couriers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the clients something to send each second, from a thread.
    fn feed(&self) {
        let (couriers, feeds) = (Arc::clone(&self.couriers), Arc::clone(&self.feeds));
        thread::spawn(move || {
            while feeds.load(Ordering::SeqCst) {
                // Clients that have ended are noticed in `Fleet::check`.
                drop(couriers.lock().unwrap_or_else(PoisonError::into_inner).more(VALUES_PER_SEC));
                thread::sleep(Duration::from_secs(1));
            }
        });
    }

    /// Clients and servers must all be there.
    fn check(&mut self) -> Result<(), String> {
        {
            let mut couriers = self.couriers();
            if couriers.has_ended()? {
                return Err(format!("the clients ended by themselves:\n{}", couriers.said()));
            }
        }
        self.servers.check()
    }

    /// Waits, as long as all are there.
    fn wait(&mut self, time: Duration) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            self.check()?;
            let rest = time.saturating_sub(begin.elapsed());
            if rest.is_zero() {
                return Ok(());
            }
            thread::sleep(rest.min(Duration::from_millis(200)));
        }
    }

    /// Waits until each client has confirmed what it had been given when this began.
    fn caught_up(&mut self) -> Result<(), String> {
        let (begin, goal) = (Instant::now(), self.couriers().goal);
        loop {
            self.wait(Duration::from_millis(100))?;
            let confirmed = self.couriers().confirmed();
            let behind = confirmed.iter().filter(|confirmed| **confirmed < goal).count();
            if behind == 0 {
                return Ok(());
            }
            if begin.elapsed() > CAUGHT_UP_MAX {
                let behind = confirmed.iter().enumerate().filter(|(_, has)| **has < goal);
                let behind: Vec<_> =
                    behind.map(|(client, has)| format!("{client} has {has}")).collect();
                return Err(format!("not all clients get to {goal}: {}", behind.join(", ")));
            }
        }
    }

    fn drive(&mut self, only: &[&'static Phase], begin: Instant) -> Result<(), String> {
        self.caught_up()?;
        println!(
            "{:4.0} s: {} clients are in, and {} values of each are counted",
            begin.elapsed().as_secs_f32(),
            self.clients,
            self.couriers().goal
        );
        let all: Vec<&'static Phase> = PHASES.iter().collect();
        let phases = if only.is_empty() { &all[..] } else { only };
        for phase in phases {
            let (whole, short) = phase.times;
            let times = match (self.is_short, only.is_empty()) {
                (true, true) => short,
                // Asked for by name.
                (true, false) => short.max(1),
                (false, _) => whole,
            };
            for round in 0..times {
                self.phase(phase, round, begin)?;
            }
        }
        Ok(())
    }

    fn phase(&mut self, phase: &Phase, round: usize, begin: Instant) -> Result<(), String> {
        let in_phase = |why: String| format!("{}: {why}", phase.name);
        if self.servers.route != phase.route {
            self.route(phase.route).map_err(in_phase)?;
        }
        self.watch.begin();
        let note = (phase.mishap)(self, round).map_err(in_phase)?;
        self.caught_up().map_err(in_phase)?;
        let seen = self.watch.now();
        println!("{:4.0} s: {}: {note}", begin.elapsed().as_secs_f32(), phase.name);
        println!("        {seen}");
        self.receipt().map_err(in_phase)?;
        self.unasked().map_err(in_phase)
    }

    /// Servers start anew with another way to their database.
    fn route(&mut self, route: Route) -> Result<(), String> {
        if route == Route::Pooled {
            self.servers.route = route;
            self.servers.restart_pooler(&self.network, &self.logs)?;
            let said = self.servers.refusal(&self.network, 0)?;
            println!("        without the role's settings: {}", said.trim());
            let settings = self.servers.role_settings();
            self.database.sql(&self.network, DATABASE, &settings)?;
            self.servers.restart_pooler(&self.network, &self.logs)?;
        }
        self.servers.reroute(&self.network, route)?;
        self.caught_up()
    }

    /// Whether Patroni changed the primary although nothing had happened to it.
    fn unasked(&mut self) -> Result<(), String> {
        self.database.whole(&self.network)?;
        let more = self.database.timeline.saturating_sub(1 + self.failovers);
        if more > 0 {
            println!("        {more} promotions that nobody asked for: this machine is too busy");
            self.failovers += more;
        }
        Ok(())
    }

    /// Stops feeding, waits until all is counted, and compares everything.
    fn finish(&mut self, begin: Instant) -> Result<(), String> {
        self.feeds.store(false, Ordering::SeqCst);
        let (code, goal, said) = {
            let mut couriers = self.couriers();
            let code = couriers.finish(CAUGHT_UP_MAX)?;
            (code, couriers.goal, couriers.said())
        };
        if code != Some(0) {
            return Err(format!("the clients ended with {code:?}:\n{said}"));
        }
        println!("{:4.0} s: the clients have sent all", begin.elapsed().as_secs_f32());
        self.compare(goal)?;
        println!("{:4.0} s: all is exact", begin.elapsed().as_secs_f32());
        Ok(())
    }

    /// Ends all of it; keeps the logs.
    fn end(self, outcome: Result<(), String>) -> Result<(), String> {
        self.feeds.store(false, Ordering::SeqCst);
        let kept = self.servers.keep_logs(&self.logs);
        let logs = self.logs.clone();
        drop(self);
        let outcome = outcome.map_err(|why| format!("{why}\nthe logs are in {}", logs.display()));
        outcome.and(kept)
    }
}
