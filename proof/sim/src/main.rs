//! `ddes-sim`: runs seeds one after the other, and says which of them failed. `cargo xtask sim`
//! runs it once for each core.
//!
//! ```text
//! ddes-sim --from SEED --seeds N [--world folder|database] [--stride K] [--failures N] [--replay]
//!          [--mutant NAME] [--trace]
//! ```
//!
//! Each seed is run in both kinds of world, unless one is named. Standard output: `done 1` for each
//! seed, `count WORLD N NAME` at the end, `failed WORLD SEED STEP WHAT` for each failed seed; exit
//! code 1 if there was one.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use ddes_sim::{Mutant, Run, WorldKind, run};

const USAGE: &str = "usage: ddes-sim --from SEED --seeds N [--world folder|database] [--stride K] [--failures N] [--replay] [--mutant NAME] [--trace]";
/// The run ends after this many failures, unless `--failures` sets another number.
const FAILURES_MAX: u64 = 5;

struct Arguments {
    from: u64,
    seeds: u64,
    worlds: Vec<WorldKind>,
    stride: u64,
    failures: u64,
    replays: bool,
    mutant: Option<Mutant>,
    traces: bool,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    #[allow(
        clippy::disallowed_methods,
        reason = "an Instant can be had from the clock only; the world counts from it"
    )]
    let base = Instant::now();
    let Arguments { from, seeds, worlds, stride, failures, replays, mutant, traces } = arguments;
    let mut tally = BTreeMap::new();
    let mut failed = 0;
    'seeds: for nth in 0..seeds {
        let seed = from + nth * stride;
        for world in &worlds {
            let name = world.name();
            let Ok(one) = catch_unwind(|| run(*world, seed, base, mutant, traces)) else {
                println!("failed {name} {seed} 0 it panicked");
                failed += 1;
                break 'seeds;
            };
            if replays && run(*world, seed, base, mutant, false).digest != one.digest {
                println!("failed {name} {seed} 0 a second run of the seed went another way");
                failed += 1;
            }
            for (what, count) in &one.tally {
                *tally.entry((name, *what)).or_insert(0) += count;
            }
            failed += u64::from(report(name, seed, &one));
        }
        println!("done 1");
        if failed >= failures {
            break;
        }
    }
    for ((world, what), count) in tally {
        println!("count {world} {count} {what}");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the seed failed.
fn report(world: &str, seed: u64, run: &Run) -> bool {
    let Some(failure) = &run.failure else { return false };
    println!("failed {world} {seed} {} {}", failure.step, failure.violation);
    for line in &failure.trace {
        eprintln!("  {line}");
    }
    eprintln!("{world} world, seed {seed}, step {}: {}", failure.step, failure.violation);
    true
}

fn arguments() -> Option<Arguments> {
    let mut all = Arguments {
        from: 1,
        seeds: 1,
        worlds: WorldKind::ALL.to_vec(),
        stride: 1,
        failures: FAILURES_MAX,
        replays: false,
        mutant: None,
        traces: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        match name.as_str() {
            "--from" => all.from = given.next()?.parse().ok()?,
            "--seeds" => all.seeds = given.next()?.parse().ok()?,
            "--failures" => all.failures = given.next()?.parse().ok()?,
            "--world" => all.worlds = vec![WorldKind::named(&given.next()?)?],
            "--stride" => all.stride = given.next()?.parse().ok()?,
            "--mutant" => all.mutant = Some(Mutant::named(&given.next()?)?),
            "--replay" => all.replays = true,
            "--trace" => all.traces = true,
            _ => return None,
        }
    }
    Some(all)
}
