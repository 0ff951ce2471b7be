//! Worlds from a seed: clients with outboxes, endpoints, a network that fails, clocks of its own;
//! and a ledger in a folder, on a disk that fails, or one that several servers share in a database,
//! which fails as well.
//!
//! From bytes to ledger it runs what the server runs; what it has of its own is what the server's
//! drivers do with threads, sockets and clocks. One seed decides everything, so that a violated
//! invariant is seen again under its number. The model is TigerBeetle's VOPR
//! (docs/internals/vopr.md there).
//!
//! Pure: `base` is where its clock begins, and nothing else comes from outside.

mod client;
mod disk;
mod impostor;
mod link;
mod mishaps;
mod model;
mod network;
#[cfg(test)]
mod openings;
mod outbox;
mod plan;
mod power;
mod random;
mod scene;
mod server;
mod shared;
#[cfg(test)]
mod stored;
mod trace;
mod walker;
mod world;

use std::time::Instant;

pub use model::Violation;
pub use plan::Mutant;
pub use trace::Tally;

use scene::SimScene;

/// What became of a seed.
#[derive(Debug)]
pub struct Run {
    /// SHA-256 of everything that happened: equal for equal seeds.
    pub digest: [u8; 32],
    /// How often what happened.
    pub tally: Tally,
    /// The invariant that did not hold, the step, and the last lines of the trace.
    pub failure: Option<Failure>,
}

/// What failed in a run, and when.
#[derive(Debug)]
pub struct Failure {
    /// What does not hold.
    pub violation: Violation,
    /// The step in which that was noticed.
    pub step: u64,
    /// What happened before, oldest first.
    pub trace: Vec<String>,
}

/// The kinds of worlds. Each seed has one of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorldKind {
    /// One server with a ledger in a folder.
    Folder,
    /// Several servers that share a ledger in a database.
    Database,
}

impl WorldKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Folder, Self::Database];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Database => "database",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Runs the world of `seed`, whose clock begins at `base`; each line of its trace goes to standard
/// error where it `prints`.
pub fn run(kind: WorldKind, seed: u64, base: Instant, mutant: Option<Mutant>, prints: bool) -> Run {
    match kind {
        WorldKind::Folder => {
            let mut world = world::World::new(seed, base, mutant, prints);
            let outcome = world.run();
            finish(world.scene, outcome, Some(world.disk.counts()))
        }
        WorldKind::Database => {
            let mut world = shared::DatabaseWorld::new(seed, base, mutant, prints);
            let outcome = world.run();
            finish(world.scene, outcome, None)
        }
    }
}

fn finish(scene: SimScene, outcome: Result<(), Violation>, disk: Option<Tally>) -> Run {
    let SimScene { step, trace, clients, .. } = scene;
    let disks = clients.iter().map(|client| client.delivery.disk().counts());
    let counts: Vec<Tally> = disks.chain(disk).collect();
    let (digest, trace, mut tally) = trace.finish();
    for (what, count) in counts.into_iter().flatten() {
        *tally.entry(what).or_insert(0) += count;
    }
    let failure = outcome.err().map(|violation| Failure { violation, step, trace });
    Run { digest, tally, failure }
}
