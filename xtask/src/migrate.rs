//! `cargo xtask migrate`: a ledger of many accounts goes into a PostgreSQL and back.

use std::fs;

use crate::process::{self, harness, option, program, target};
use crate::shell;

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let accounts = option(arguments, "--accounts", 1_000_000)?.to_string();
    process::build()?;
    shell::postgresql()?;
    let folder = target().join("tmp").join(format!("migrate-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (ddes, place) = (program("ddes").display().to_string(), folder.display().to_string());
    let said = harness(&["migrate", &ddes, &place, &accounts]);
    let removed = fs::remove_dir_all(&folder).map_err(|error| format!("{place}: {error}"));
    print!("{}", said?);
    removed
}
