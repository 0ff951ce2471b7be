//! `cargo xtask loaded`: the tests again and again while other threads are busy. A test that passes
//! on a quiet machine alone waits for a time, not for a condition.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::test;

const USAGE: &str = "usage: cargo xtask loaded [RUNS]";
const RUNS: u32 = 10;
/// The load average that the tests come on top of.
const BUSY: usize = 16;
/// What waits for other processes; the other steps compute.
const STEPS: [&str; 2] = ["peer", "tests"];

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let runs = match arguments {
        [] => RUNS,
        [runs] => runs.parse().map_err(|_| USAGE)?,
        _ => return Err(USAGE.into()),
    };
    let ends = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..BUSY)
        .map(|_| {
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    spin_loop();
                }
            })
        })
        .collect();
    let start = Instant::now();
    let outcome = (1..=runs).try_for_each(|number| {
        STEPS
            .iter()
            .try_for_each(|step| test::run(Some(step)))
            .map_err(|error| format!("run {number}: {error}"))?;
        println!("== {number} of {runs} runs passed, {:.0} s", start.elapsed().as_secs_f32());
        Ok(())
    });
    ends.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().map_err(|_| "a busy thread panicked")?;
    }
    outcome
}
