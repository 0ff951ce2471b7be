//! `ddes-sim`: runs seeds one after the other, and says which of them failed. `cargo xtask sim`
//! runs it once for each core.
//!
//! ```text
//! ddes-sim --from SEED --seeds N [--stride K] [--failures N] [--replay] [--mutant NAME] [--trace]
//! ```
//!
//! Standard output: `done 1` for each seed, `count N NAME` at the end, `failed SEED STEP WHAT` for
//! each failed seed; exit code 1 if there was one.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use ddes_sim::{Mutant, Run, run};

const USAGE: &str = "usage: ddes-sim --from SEED --seeds N [--stride K] [--failures N] [--replay] [--mutant NAME] [--trace]";
/// The run ends after this many failures, unless `--failures` sets another number.
const FAILURES_MAX: u64 = 5;

struct Arguments {
    from: u64,
    seeds: u64,
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
    let Arguments { from, seeds, stride, failures, replays, mutant, traces } = arguments;
    let mut tally = BTreeMap::new();
    let mut failed = 0;
    for nth in 0..seeds {
        let seed = from + nth * stride;
        let Ok(one) = catch_unwind(|| run(seed, base, mutant, traces)) else {
            println!("failed {seed} 0 it panicked");
            failed += 1;
            break;
        };
        if replays && run(seed, base, mutant, false).digest != one.digest {
            println!("failed {seed} 0 a second run of the seed went another way");
            failed += 1;
        }
        for (what, count) in &one.tally {
            *tally.entry(*what).or_insert(0) += count;
        }
        failed += u64::from(report(seed, &one));
        println!("done 1");
        if failed >= failures {
            break;
        }
    }
    for (what, count) in tally {
        println!("count {count} {what}");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the seed failed.
fn report(seed: u64, run: &Run) -> bool {
    let Some(failure) = &run.failure else { return false };
    println!("failed {seed} {} {}", failure.step, failure.violation);
    for line in &failure.trace {
        eprintln!("  {line}");
    }
    eprintln!("seed {seed}, step {}: {}", failure.step, failure.violation);
    true
}

fn arguments() -> Option<Arguments> {
    let mut all = Arguments {
        from: 1,
        seeds: 1,
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
            "--stride" => all.stride = given.next()?.parse().ok()?,
            "--mutant" => all.mutant = Some(Mutant::named(&given.next()?)?),
            "--replay" => all.replays = true,
            "--trace" => all.traces = true,
            _ => return None,
        }
    }
    Some(all)
}
