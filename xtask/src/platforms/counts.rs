//! How many instructions an exponentiation takes on a processor that is only emulated. An emulator
//! says nothing of time, but what it executes can be counted.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::toolchain::{Foreign, Toolchain};
use crate::process::Running;

/// Each exponentiates in constant time, so that one more takes as many instructions as the last.
const ENGINES: [&str; 3] = ["a64", "portable", "crypto-bigint"];
const EXAMPLE: &str = "exponentiate";

/// Prints a row for each engine; an error if our own takes more than crypto-bigint.
pub(super) fn compare(toolchain: &Toolchain, foreign: &Foreign) -> Result<(), String> {
    let build = ["build", "--release", "--quiet", "--package", "ddes-ffdhe", "--example", EXAMPLE];
    toolchain.cargo(foreign.triple, &build, &[])?;
    let mut counts = Vec::new();
    for engine in ENGINES {
        // The difference leaves out what is done once.
        let [one, two] = ["1", "2"].map(|rounds| executed(toolchain, foreign, engine, rounds));
        let (one, two) = (one?, two?);
        counts.push(two.checked_sub(one).ok_or(format!("{engine}: {one}, then {two}"))?);
    }
    println!("| engine | instructions of a shared value of ffdhe2048 | of crypto-bigint's |");
    println!("|---|---|---|");
    let [ours, _, peer] = counts[..] else {
        return Err("there are as many counts as engines".into());
    };
    for (engine, count) in ENGINES.iter().zip(&counts) {
        println!("| {engine} | {count} | {:.2} |", *count as f64 / peer as f64);
    }
    match ours <= peer {
        true => Ok(()),
        false => Err(format!("ours takes {ours} instructions, and crypto-bigint {peer}")),
    }
}

/// The instructions of the whole program: the emulator writes a line for each.
fn executed(
    toolchain: &Toolchain,
    foreign: &Foreign,
    engine: &str,
    rounds: &str,
) -> Result<u64, String> {
    let log = ["-singlestep", "-d", "exec,nochain"];
    let mut program =
        toolchain.emulated_with(foreign, &log, &format!("release/examples/{EXAMPLE}"));
    program.args([engine, rounds]).stdin(Stdio::null()).stderr(Stdio::piped());
    let failed = |error: std::io::Error| format!("{}: {error}", foreign.emulator);
    let mut running = program.spawn().map(Running).map_err(failed)?;
    let mut log = BufReader::new(running.0.stderr.take().ok_or("the emulator has no log")?);
    let (mut count, mut line) = (0, Vec::new());
    while log.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        if line.starts_with(b"Trace ") {
            count += 1;
        } else {
            print!("{}", String::from_utf8_lossy(&line));
        }
        line.clear();
    }
    let status = running.0.wait().map_err(failed)?;
    if status.success() { Ok(count) } else { Err(format!("{EXAMPLE} {engine}: {status}")) }
}
