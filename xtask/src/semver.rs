//! `cargo xtask semver`: what a caller of ddes-client and ddes-wire would have to change, compared
//! with the last release; before the first one, with the commit that xtask/semver-baseline.txt
//! names. A change that breaks callers needs another version, or another commit in that file and a
//! word in CHANGELOG.md (docs/stability.md).

use std::process::Command;

use crate::process::output;
use crate::shell::{self, root};

const VERSION: &str = "0.51.0";
const BASELINE: &str = "xtask/semver-baseline.txt";

pub(crate) fn run() -> Result<(), String> {
    let baseline = baseline()?;
    println!("compared with {baseline}");
    let program = shell::cargo_tool("cargo-semver-checks", VERSION)?;
    let packages = ["--package", "ddes-client", "--package", "ddes-wire"];
    let check = ["semver-checks", "check-release", "--baseline-rev", &baseline];
    shell::run(&program, &[&check[..], &packages].concat(), &[])
}

/// The newest release, else what the file names.
fn baseline() -> Result<String, String> {
    let mut describe = Command::new("git");
    describe.args(["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]).current_dir(root());
    if let Ok(tag) = output(&mut describe) {
        return Ok(tag.trim().to_owned());
    }
    let text = std::fs::read_to_string(root().join(BASELINE))
        .map_err(|error| format!("{BASELINE}: {error}"))?;
    let commit = text.lines().find(|line| !line.starts_with('#'));
    commit.map(|line| line.trim().to_owned()).ok_or_else(|| format!("{BASELINE} names no commit"))
}
