//! The page of `ddes serve` and those of `ddes explain`: whether their sources give the files of
//! web/dist and web/explain/dist, byte for byte, and whether they work in a browser.
//!
//! The server and the command embed these files, so that nobody needs Node to build them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::shell::{self, root};

/// Node's oldest release that runs the build and the tests.
const NODE_MIN: u32 = 20;

pub(crate) fn run() -> Result<(), String> {
    tools()?;
    no_hosts()?;
    npm(&["ci", "--no-progress"])?;
    npm(&["run", "--silent", "check"])?;
    rebuild("build", "target/page", "web/dist")?;
    rebuild("build-explain", "target/page-explain", "web/explain/dist")?;
    tested()
}

/// Node, and a browser.
fn tools() -> Result<(), String> {
    node()?;
    // Debian's package, as playwright's own browsers cannot be had everywhere. The shell is the
    // same engine without windows of its own, which take as much time again.
    // Where it is not to be had, the browser itself does.
    shell::installed("chromium-headless-shell", "chromium-headless-shell")
        .or_else(|_| shell::installed("chromium", "chromium"))
}

/// What tests of other pages need to look at them: `run` has mostly put it there before.
pub(crate) fn browser() -> Result<(), String> {
    tools()?;
    if root().join("web/node_modules/axe-core/package.json").exists() {
        return Ok(());
    }
    npm(&["ci", "--no-progress"])
}

/// The page beside a mock of its server; and pages of sessions that the command itself captures,
/// with what a printer makes of them.
fn tested() -> Result<(), String> {
    shell::installed("pdftotext", "poppler-utils")?;
    // As the tests of the commands have it: another choice of packages has other features, and
    // then half of the dependencies are built once more.
    let build = ["test", "--quiet", "--workspace", "--no-run", "--test", "commands"];
    shell::run("cargo", &build, &[])?;
    let ddes = root().join("target/debug/ddes").display().to_string();
    let arguments = ["--prefix", "web", "run", "--silent", "test-all"];
    shell::run("npm", &arguments, &[("DDES", &ddes)])
}

/// Debian's Node, where there is none; too old a one is an error that says so.
fn node() -> Result<(), String> {
    shell::installed("node", "nodejs")?;
    shell::installed("npm", "npm")?;
    let output = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|error| format!("cannot run `node --version`: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    match major {
        Some(major) if NODE_MIN <= major => Ok(()),
        Some(_) | None => {
            Err(format!("the page needs Node {NODE_MIN} or newer, here is {version}"))
        }
    }
}

/// A lock that names where its packages were fetched from works only there.
fn no_hosts() -> Result<(), String> {
    let lock = read(&root().join("web/package-lock.json"))?;
    if String::from_utf8_lossy(&lock).contains("\"resolved\"") {
        return Err("web/package-lock.json names a registry: npm reads web/.npmrc only if it is \
                    run in web/, so run `npm install` there again"
            .to_owned());
    }
    Ok(())
}

/// Builds beside what is committed, and compares. The build itself refuses what is too large.
fn rebuild(script: &str, beside: &str, dist: &str) -> Result<(), String> {
    let (built, committed) = (root().join(beside), root().join(dist));
    npm(&["run", "--silent", script, "--", "--out", &built.display().to_string()])?;
    let (ours, theirs) = (names(&built)?, names(&committed)?);
    let other = |what: &str| format!("{what} is not of these sources: `npm run {script}` in web/");
    if let Some(name) = ours.symmetric_difference(&theirs).next() {
        return Err(other(&format!("{dist} ({name})")));
    }
    for name in ours {
        if read(&built.join(&name))? != read(&committed.join(&name))? {
            return Err(other(&format!("{dist}/{name}")));
        }
    }
    Ok(())
}

fn names(folder: &Path) -> Result<BTreeSet<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries
        .map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn npm(arguments: &[&str]) -> Result<(), String> {
    shell::run("npm", &[&["--prefix", "web"], arguments].concat(), &[])
}
