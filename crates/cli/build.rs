//! What `ddes version` says of its build: the commit, the target and the compiler. Only this crate,
//! the last one, is built again when the commit changes.

use std::path::Path;
use std::process::Command;

/// Names the commit of sources without a repository: an archive, a container, a release.
const COMMIT: &str = "DDES_COMMIT";
/// Where the manifest lies in its repository.
const PLACE: &str = "crates/cli/";

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={COMMIT}");
    let commit = match std::env::var(COMMIT) {
        Ok(named) if !named.is_empty() => Some(checked(&named)?),
        Ok(_) | Err(_) => checked_out(),
    };
    // Empty where nobody says it.
    println!("cargo:rustc-env=DDES_BUILD_COMMIT={}", commit.as_deref().unwrap_or(""));
    println!("cargo:rustc-env=DDES_BUILD_TARGET={}", variable("TARGET")?);
    println!("cargo:rustc-env=DDES_BUILD_RUSTC={}", compiler()?);
    Ok(())
}

fn checked(commit: &str) -> Result<String, String> {
    let is_commit =
        (7..=64).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_commit {
        true => Ok(commit.to_ascii_lowercase()),
        false => {
            Err(format!("{COMMIT} is '{commit}': give 7 to 64 hexadecimal digits, or nothing"))
        }
    }
}

/// The commit that is checked out here, and when to ask again. `None` without git and without a
/// repository of this project: an archive may be unpacked inside of another one.
fn checked_out() -> Option<String> {
    if git(&["rev-parse", "--show-prefix"])? != PLACE {
        return None;
    }
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // The log of HEAD has a line for each commit; without it the branch's own file changes.
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name])?;
        // Of a file that is not there cargo would say at each build that it has changed.
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--verify", "HEAD"])
}

/// What git prints here; `None` where it fails or is not installed.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// As `1.95.0`. Its own full line has a date, which says no more.
fn compiler() -> Result<String, String> {
    let rustc = variable("RUSTC")?;
    let output = Command::new(&rustc).arg("--version").output();
    let output = output.map_err(|error| format!("{rustc}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).map(str::to_owned);
    version.ok_or_else(|| format!("{rustc} --version says '{}'", text.trim()))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
