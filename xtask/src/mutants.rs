//! `cargo xtask mutants`: cargo-mutants changes one expression after the other and runs the tests
//! of its crate; what no test notices is a hole, or is accepted in `xtask/mutants.txt` with its
//! reason.
//!
//! It works in a copy of the tree under `target/mutants`, so nothing here is ever changed, and each
//! run continues where the last one was stopped. The bugs that the simulator must find are others:
//! `cargo xtask sim --mutants`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::process::Running;
use crate::shell::{self, root};
use crate::survivors::{Results, accepted};

const USAGE: &str = "\
usage: cargo xtask mutants [GROUP...] [--shard K/N] [--fresh]
       cargo xtask mutants --diff [COMMIT]";
/// The version of cargo-mutants.
const VERSION: &str = "27.1.0";
/// The time for the mutants in the lines of a change; the report names those not reached.
const DIFF_TIME_MAX: Duration = Duration::from_secs(180);
/// The time for cargo-mutants to restore what it changed.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);
/// A test run that takes longer than this, and several times as long as without the mutant, hangs.
const TEST_SECS: &str = "60";

/// A crate, or of a crate what a mistake in would hurt most.
struct Group {
    name: &'static str,
    /// As cargo-mutants and git take them.
    files: &'static [&'static str],
}

const GROUPS: &[Group] = &[
    Group {
        name: "cipher",
        files: &[
            "crates/cipher/src/function.rs",
            "crates/cipher/src/ecb.rs",
            "crates/cipher/src/weak.rs",
        ],
    },
    Group { name: "wire", files: &["crates/wire/src/**"] },
    Group { name: "identity", files: &["crates/identity/src/**"] },
    Group { name: "session", files: &["crates/session/src/**"] },
    Group { name: "ledger", files: &["crates/ledger/src/**"] },
    Group { name: "client", files: &["crates/client/src/**"] },
    Group {
        name: "server",
        files: &[
            "crates/server/src/endpoint.rs",
            "crates/server/src/endpoint/**",
            "crates/server/src/access.rs",
            "crates/server/src/access/**",
        ],
    },
];

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["--diff"] => diff(None),
        ["--diff", commit] => diff(Some(commit)),
        _ => whole(arguments),
    }
}

/// Every mutant of the groups named, or of all: hours.
fn whole(arguments: &[&str]) -> Result<(), String> {
    let (mut groups, mut shard, mut fresh) = (Vec::new(), None, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "--fresh" => fresh = true,
            "--shard" => shard = Some(*arguments.next().ok_or(USAGE)?),
            name => {
                let group = GROUPS.iter().find(|group| group.name == name);
                groups.push(group.ok_or_else(|| format!("no group '{name}'\n{USAGE}"))?);
            }
        }
    }
    if groups.is_empty() {
        groups.extend(GROUPS);
    }
    install()?;
    // A tree for each shard, so that several run side by side.
    let folder = folder().join(
        shard.map_or("whole".into(), |shard| format!("shard-{}", shard.replace('/', "-of-"))),
    );
    let _alone = lock(&folder)?;
    let tree = copy(&folder)?;
    let accepted = accepted()?;
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for group in groups {
        let output = folder.join(group.name);
        if fresh && output.exists() {
            fs::remove_dir_all(&output)
                .map_err(|error| format!("{}: {error}", output.display()))?;
        }
        fs::create_dir_all(&output).map_err(|error| format!("{}: {error}", output.display()))?;
        let mut command = tool(&tree, &folder.join("build"), &[group]);
        command.args(["--in-place", "--iterate", "--minimum-test-timeout", TEST_SECS]);
        command.arg("--output").arg(&output);
        if let Some(shard) = shard {
            command.args(in_shard(tool(&tree, &folder.join("build"), &[group]), shard)?);
        }
        let status =
            command.status().map_err(|error| format!("cannot run cargo-mutants: {error}"))?;
        let results = Results::read(&output.join("mutants.out"), &tree, &accepted)?;
        lines.push(results.line(group.name));
        failed.extend(results.missed);
        if !is_verdict(status.code()) {
            failed.push(format!("{}: cargo-mutants ended with {status}", group.name));
        }
    }
    println!(
        "| group | caught | missed | accepted | timed out | do not compile | caught or not compiled before |"
    );
    println!("|---|---|---|---|---|---|---|\n{}", lines.join("\n"));
    verdict(&failed)
}

/// Flags that name the mutants of a shard, each N-th: a sample of the whole group.
///
/// With `--shard` itself a run that continues would have other mutants: cargo-mutants leaves out
/// those that were caught before it deals the rest to the shards.
fn in_shard(mut list: Command, shard: &str) -> Result<Vec<String>, String> {
    list.args(["--list", "--shard", shard, "--sharding", "round-robin"]);
    let listed = text(list.output(), "cargo-mutants --list")?;
    Ok(listed.lines().flat_map(|name| ["--re".to_owned(), exactly(name)]).collect())
}

/// A regular expression for this text and no other.
fn exactly(text: &str) -> String {
    let mut escaped = String::from("^");
    for char in text.chars() {
        // No other mark: `\<` is no `<`, but the begin of a word.
        if r"\.+*?()|[]{}^$".contains(char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped + "$"
}

/// The mutants in the lines that differ from a commit, for a few minutes.
fn diff(commit: Option<&str>) -> Result<(), String> {
    let accepted = accepted()?;
    let Some(base) = commit.map(str::to_owned).or_else(base) else {
        println!("mutants: no commit to compare with, skipped");
        return Ok(());
    };
    let files: Vec<&str> = GROUPS.iter().flat_map(|group| group.files).copied().collect();
    let pathspecs: Vec<String> = files.iter().map(|file| format!(":(glob){file}")).collect();
    let pathspecs: Vec<&str> = pathspecs.iter().map(String::as_str).collect();
    let changes =
        git(&[&["diff", "--no-ext-diff", "--no-color", &base, "--"], &pathspecs[..]].concat())?;
    if changes.is_empty() {
        println!("mutants: nothing that they are made of differs from {base}");
        return Ok(());
    }
    install()?;
    let folder = folder().join("diff");
    let _alone = lock(&folder)?;
    let tree = copy(&folder)?;
    let patch = folder.join("changes.diff");
    fs::write(&patch, changes).map_err(|error| format!("{}: {error}", patch.display()))?;
    // What the tests were built from is there already.
    let build = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    let groups: Vec<&Group> = GROUPS.iter().collect();
    let command = || {
        let mut command = tool(&tree, &build, &groups);
        command.arg("--in-diff").arg(&patch);
        command
    };
    let listed = text(command().arg("--list").output(), "cargo-mutants --list")?;
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    if listed.is_empty() {
        println!("mutants: none in the lines that differ from {base}");
        return Ok(());
    }
    let mut running = command();
    // Whether the tests pass without a mutant, the step before this one has seen.
    running
        .args(["--in-place", "--baseline", "skip", "--timeout", TEST_SECS])
        .arg("--output")
        .arg(&folder);
    let child = running.spawn().map_err(|error| format!("cannot run cargo-mutants: {error}"))?;
    let code = bounded(Running(child))?;
    let results = Results::read(&folder.join("mutants.out"), &tree, &accepted)?;
    let reached = results.caught
        + results.unviable
        + results.timed_out
        + results.accepted
        + results.missed.len();
    println!("mutants: {} in the lines that differ from {base}, {reached} reached", listed.len());
    println!("{}", results.line("change"));
    match code {
        Some(code) if !is_verdict(Some(code)) => {
            Err(format!("cargo-mutants ended with exit code {code}"))
        }
        Some(_) | None => verdict(&results.missed),
    }
}

/// Its exit code; nothing where its time was up.
fn bounded(mut running: Running) -> Result<Option<i32>, String> {
    if let Ok(code) = running.wait(DIFF_TIME_MAX) {
        return Ok(code);
    }
    println!("mutants: {} s are over", DIFF_TIME_MAX.as_secs());
    // It ends the tests that it runs, which a SIGKILL would leave running.
    shell::run("kill", &["-INT", &running.0.id().to_string()], &[])?;
    running.wait(STOP_TIME_MAX).map(|_| None)
}

/// All caught, some missed, some timed out; anything else is no verdict on the tests.
fn is_verdict(code: Option<i32>) -> bool {
    matches!(code, Some(0 | 2 | 3))
}

fn verdict(failed: &[String]) -> Result<(), String> {
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("no test notices, and xtask/mutants.txt does not accept:\n{}", failed.join("\n")))
}

fn folder() -> PathBuf {
    root().join("target/mutants")
}

fn program() -> PathBuf {
    shell::tools().join("bin/cargo-mutants")
}

fn install() -> Result<(), String> {
    let version = Command::new(program()).args(["mutants", "--version"]).output();
    if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(VERSION))
    {
        return Ok(());
    }
    let tools = shell::tools().display().to_string();
    let install =
        ["install", "cargo-mutants", "--version", VERSION, "--locked", "--force", "--root", &tools];
    shell::run("cargo", &install, &[])
}

/// cargo-mutants over some groups, in `tree`.
fn tool(tree: &Path, build: &Path, groups: &[&Group]) -> Command {
    let mut command = Command::new(program());
    command.current_dir(tree).env("CARGO_TARGET_DIR", build).env("RUST_BACKTRACE", "0");
    command.args([
        "mutants",
        "--workspace",
        "--no-config",
        "--colors",
        "never",
        "--cargo-test-arg",
        "--tests",
    ]);
    command.args(groups.iter().flat_map(|group| group.files).flat_map(|file| ["--file", file]));
    command
}

/// Two runs in one tree would take each other's mutants for the source. Held until it is dropped.
fn lock(folder: &Path) -> Result<fs::File, String> {
    let path = folder.join("lock");
    let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| fault(&error))?;
    let file = fs::File::create(&path).map_err(|error| fault(&error))?;
    file.try_lock().map_err(|error| fault(&format!("another run is under way: {error}")))?;
    Ok(file)
}

/// The tree as it is, tracked or new; files that are equal keep their times, so that little is
/// built again.
fn copy(folder: &Path) -> Result<PathBuf, String> {
    let tree = folder.join("tree");
    let listed = git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    // Cargo reads the workspace's own .cargo too, since the copy lies in it.
    let names = listed.split('\0').filter(|name| !name.is_empty() && !name.starts_with(".cargo/"));
    let names: BTreeSet<PathBuf> =
        names.map(PathBuf::from).filter(|name| root().join(name).is_file()).collect();
    let fault = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    for name in &names {
        let (from, to) = (root().join(name), tree.join(name));
        let bytes = fs::read(&from).map_err(|error| fault(&from, error))?;
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        to.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| fault(&to, error))?;
        fs::copy(&from, &to).map_err(|error| fault(&to, error))?;
    }
    remove_others(&tree, &tree, &names).map_err(|error| fault(&tree, error))?;
    Ok(tree)
}

fn remove_others(tree: &Path, folder: &Path, names: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(tree, &path, names)?;
        } else if path.strip_prefix(tree).is_ok_and(|name| !names.contains(name)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Where this branch left the main one; on the main one the commit before. Nothing in a checkout
/// without history.
fn base() -> Option<String> {
    let head = git(&["rev-parse", "HEAD"]).ok()?;
    let mains = ["origin/HEAD", "origin/main", "origin/master", "main", "master"];
    let left = mains
        .iter()
        .find_map(|main| git(&["merge-base", "HEAD", main]).ok().filter(|base| *base != head));
    let base = left.or_else(|| git(&["rev-parse", "--verify", "--quiet", "HEAD~1"]).ok())?;
    Some(base.trim().to_owned())
}

fn git(arguments: &[&str]) -> Result<String, String> {
    text(Command::new("git").args(arguments).current_dir(root()).output(), "git")
}

fn text(output: std::io::Result<Output>, program: &str) -> Result<String, String> {
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{program}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::exactly;

    #[test]
    fn a_mutant_is_named_by_its_own_text_alone() {
        let name = "src/a.rs:1:2: replace f -> Option<u8> with Some(0) || *x";
        let expected = r"^src/a\.rs:1:2: replace f -> Option<u8> with Some\(0\) \|\| \*x$";
        assert_eq!(exactly(name), expected);
    }
}
