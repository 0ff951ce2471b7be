//! `cargo xtask bench`: builds what is measured and what measures, and runs it.

use crate::shell;

/// Speed is measured in release builds only, by a program of its own.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    shell::run("cargo", &["build", "--release", "--package", "ddes"], &[])?;
    shell::installed("openssl", "openssl")?;
    if arguments.first() == Some(&"shared") {
        shell::postgresql()?;
    }
    shell::installed("/usr/sbin/john", "john")?;
    let command = ["run", "--quiet", "--release", "--package", "ddes-peers", "--"];
    shell::run(
        "cargo",
        &[&command[..], arguments].concat(),
        &[("DDES_PEER_PYTHON", &shell::python()?)],
    )
}

/// Needs Redis, but for its short form, which does without.
pub(crate) fn compare(arguments: &[&str]) -> Result<(), String> {
    if !arguments.contains(&"--short") {
        shell::installed("redis-server", "redis-server")?;
    }
    run(&[&["compare"], arguments].concat())
}
