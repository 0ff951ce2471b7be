//! Controls: servers with a bug put in on purpose must be found out by the same clients and checks.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::servers::Route;
use super::{Fleet, FleetRun};
use crate::process::{self, target};
use crate::{shell, sim};

const MUTANTS: &[&str] =
    &["commit-unchecked", "stale-verdict", "swap-unconditional", "swap-unfenced"];
const CLIENTS: usize = 60;
/// Clients that leave superseded sessions behind all the time.
const HOP_SECS: u64 = 3;
/// How long servers have a bug before all is compared.
const LIFE: Duration = Duration::from_secs(60);
/// What the clients or the checks say that have found one. Anything else is another failure.
const NOTICED: [&str; 8] = [
    "it has lost what it stated to be durable",
    "was told the sum",
    "which was superseded, was answered",
    "the ledger says that the values",
    "the ledger went back",
    "the ledger is at value",
    "has added values up to",
    "ledger verify: ",
];

/// Those with these names; all without any.
pub(crate) fn run(names: &[&str]) -> Result<(), String> {
    if let Some(unknown) = names.iter().find(|name| !MUTANTS.contains(name)) {
        return Err(format!("there is no mutant {unknown}: {}", MUTANTS.join(", ")));
    }
    process::build()?;
    let mut missed = Vec::new();
    for mutant in MUTANTS.iter().filter(|name| names.is_empty() || names.contains(name)) {
        let program = build(mutant)?;
        let begin = Instant::now();
        let run = FleetRun {
            clients: (CLIENTS, CLIENTS),
            hop_secs: (HOP_SECS, HOP_SECS),
            is_short: true,
            logs: "fleet-mutants",
        };
        let mut fleet = Fleet::start(&run, &program)?;
        let outcome = fleet.suffer(begin);
        match fleet.end(outcome) {
            Ok(()) => missed.push(*mutant),
            Err(why) if NOTICED.iter().any(|noticed| why.contains(noticed)) => {
                let why =
                    why.lines().find(|line| NOTICED.iter().any(|noticed| line.contains(noticed)));
                // There is such a line: the arm's condition found it.
                println!(
                    "{mutant}: found after {} s: {}",
                    begin.elapsed().as_secs(),
                    why.unwrap_or("").trim()
                );
            }
            Err(why) => return Err(format!("{mutant}: {why}")),
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not found: {}", missed.join(", "))) }
}

/// A copy of the program with the bug, of the debug build, which takes less time. Cargo tells the
/// next build that it is another one.
fn build(mutant: &str) -> Result<PathBuf, String> {
    let wrapper = sim::wrapper(&target(), mutant)?;
    let cargo = ["build", "--quiet", "--workspace", "--bin", "ddes"];
    shell::run("cargo", &cargo, &[("RUSTC_WORKSPACE_WRAPPER", &wrapper)])?;
    let copy = target().join("mutants").join(format!("ddes-{mutant}"));
    fs::copy(target().join("debug/ddes"), &copy)
        .map_err(|error| format!("{}: {error}", copy.display()))?;
    Ok(copy)
}

impl Fleet {
    fn suffer(&mut self, begin: Instant) -> Result<(), String> {
        self.servers.reroute(&self.network, Route::Lossy)?;
        self.servers.lose(20)?;
        self.wait(LIFE)?;
        self.servers.lose(0)?;
        self.caught_up()?;
        self.finish(begin)
    }
}
