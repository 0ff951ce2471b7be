//! `cargo xtask shared`: a ledger that several servers share, in a PostgreSQL, for longer than its
//! test takes; and whether bugs put in on purpose are found.

use std::process::Command;

use crate::shell::{self, root};
use crate::sim;

const USAGE: &str = "usage: cargo xtask shared [--secs N] | --mutants";

/// Bugs in what a lane decides and sends, by `--cfg ddes_mutant`.
const MUTANTS: &[&str] =
    &["commit-unchecked", "stale-verdict", "swap-unconditional", "swap-unfenced"];
/// How long servers fight with a bug: the least frequent one shows in some seconds.
const SECS_MUTANT: &str = "20";

/// What a test says that has noticed one: wrong answers, or a lane that finds its history changed.
const NOTICED: [&str; 2] = ["violations", "LostHistory"];

const TEST: &[&str] = &["test", "--package", "ddes-ledger-postgres", "--test", "fight"];
/// The same on a database in memory.
const IN_MEMORY: &[&str] = &["test", "--package", "ddes-ledger", "--test", "shared", "--", "fight"];

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    shell::postgresql()?;
    match arguments {
        [] => shell::run("cargo", &[TEST, &["--", "--nocapture"]].concat(), &[]),
        ["--secs", secs] => {
            let shown = [TEST, &["--", "--nocapture"]].concat();
            shell::run("cargo", &shown, &[("DDES_PG_SECS", secs)])
        }
        ["--mutants"] => mutants(),
        _ => Err(USAGE.into()),
    }
}

fn mutants() -> Result<(), String> {
    let target = root().join("target/mutants/shared");
    let mut missed = Vec::new();
    for mutant in MUTANTS {
        let wrapper = sim::wrapper(&target, mutant)?;
        let folder = target.display().to_string();
        let environment =
            [("CARGO_TARGET_DIR", folder.as_str()), ("RUSTC_WORKSPACE_WRAPPER", wrapper.as_str())];
        // What does not build is no bug that was found.
        shell::run("cargo", &[TEST, &["--no-run", "--quiet"]].concat(), &environment)?;
        for test in [IN_MEMORY, TEST] {
            let test = Command::new("cargo")
                .args(test)
                .envs(environment)
                .env("DDES_PG_SECS", SECS_MUTANT)
                .current_dir(root())
                .output()
                .map_err(|error| format!("cannot run cargo: {error}"))?;
            // And not because it was too slow, say.
            let said = String::from_utf8_lossy(&test.stdout);
            let is_noticed = NOTICED.iter().any(|noticed| said.contains(noticed));
            if test.status.success() || !is_noticed {
                missed.push(*mutant);
            } else {
                println!("{mutant}: found");
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not found: {}", missed.join(", "))) }
}
