//! `cargo xtask bench`: builds what is measured and what measures, and runs it.

use crate::{python, shell};

/// Speed is measured in release builds only, by a program of its own.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    shell::run("cargo", &["build", "--release", "--package", "ddes"], &[])?;
    shell::installed("openssl", "openssl")?;
    if arguments.first() == Some(&"shared") {
        shell::postgresql()?;
    }
    shell::installed("/usr/sbin/john", "john")?;
    let mut environment = vec![("DDES_PEER_PYTHON", shell::python()?)];
    if arguments.first() == Some(&"python") {
        shell::installed("redis-server", "redis-server")?;
        environment.push(("DDES_BENCH_PYTHON", python::to_measure()?));
    }
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
    let command = ["run", "--quiet", "--release", "--package", "ddes-peers", "--"];
    shell::run("cargo", &[&command[..], arguments].concat(), &environment)
}

/// Needs Redis, but for its short form, which does without.
pub(crate) fn compare(arguments: &[&str]) -> Result<(), String> {
    if !arguments.contains(&"--short") {
        shell::installed("redis-server", "redis-server")?;
    }
    run(&[&["compare"], arguments].concat())
}
