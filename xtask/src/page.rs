//! The page of `ddes serve`: whether its sources give the files of web/dist, byte for byte, and
//! whether it works in a browser.
//!
//! The server embeds web/dist, so that nobody needs Node to build it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::shell::{self, root};

/// Node's oldest release that runs the build and the tests.
const NODE_MIN: u32 = 20;

pub(crate) fn run() -> Result<(), String> {
    node()?;
    // Debian's package, as playwright's own browsers cannot be had everywhere.
    shell::installed("chromium", "chromium")?;
    no_hosts()?;
    npm(&["ci", "--no-progress"])?;
    npm(&["run", "--silent", "check"])?;
    rebuild()?;
    npm(&["test", "--silent"])
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

/// Builds beside web/dist, and compares. The build itself refuses what is too large.
fn rebuild() -> Result<(), String> {
    let (built, committed) = (root().join("target/page"), root().join("web/dist"));
    npm(&["run", "--silent", "build", "--", "--out", &built.display().to_string()])?;
    let (ours, theirs) = (names(&built)?, names(&committed)?);
    if let Some(name) = ours.symmetric_difference(&theirs).next() {
        return Err(format!("web/dist is not of these sources ({name}): `npm run build` in web/"));
    }
    for name in ours {
        if read(&built.join(&name))? != read(&committed.join(&name))? {
            return Err(format!(
                "web/dist/{name} is not of these sources: `npm run build` in web/"
            ));
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
