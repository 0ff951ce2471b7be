//! A world from a seed: clients with outboxes, endpoints over one ledger, a network and a disk that
//! fail, clocks of its own.
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
#[cfg(test)]
mod stored;
mod trace;
mod walker;
mod world;

use std::time::Instant;

pub use model::Violation;
pub use plan::Mutant;
pub use trace::Tally;

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

/// Runs the world of `seed`, whose clock begins at `base`; each line of its trace goes to standard
/// error where it `prints`.
pub fn run(seed: u64, base: Instant, mutant: Option<Mutant>, prints: bool) -> Run {
    let mut world = world::World::new(seed, base, mutant, prints);
    let outcome = world.run();
    let scene::SimScene { step, trace, clients, .. } = world.scene;
    let disks = clients.iter().map(|client| client.delivery.disk()).chain([&world.disk]);
    let counts: Vec<Tally> = disks.map(|disk| disk.counts()).collect();
    let (digest, trace, mut tally) = trace.finish();
    for (what, count) in counts.into_iter().flatten() {
        *tally.entry(what).or_insert(0) += count;
    }
    let failure = outcome.err().map(|violation| Failure { violation, step, trace });
    Run { digest, tally, failure }
}
