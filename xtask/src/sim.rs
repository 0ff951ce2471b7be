//! `cargo xtask sim`: worlds from seeds, of a ledger in a folder and of one that servers share in a
//! database, on every core; and whether bugs put in on purpose are found.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::shell;

const USAGE: &str = "usage: cargo xtask sim --seeds N [--from SEED] [--world folder|database] \
                     | --seed SEED [--world folder|database] | --short | --mutants [NAME...]";
/// In CI: each of them twice, in both worlds.
const SEEDS_SHORT: u64 = 60;
/// The number of seeds within which a mutant has to be found.
const SEEDS_MUTANT: u64 = 1_000;
const PROGRESS: Duration = Duration::from_secs(10);

const FOLDER: &[&str] = &["folder"];
const DATABASE: &[&str] = &["database"];
const BOTH: &[&str] = &["folder", "database"];

/// A bug that is put in on purpose, and the worlds that must find it, each for itself.
type Planted = (&'static str, &'static [&'static str]);

/// Bugs that the simulator has itself, by its flag.
const MUTANTS: &[Planted] = &[
    ("acknowledge-before-sync", FOLDER),
    ("checkpoint-before-segment", FOLDER),
    ("checkpoint-unsynced", FOLDER),
    ("warning-ignored", DATABASE),
];
/// Bugs in the rules of ledger, session, outbox and delivery, by `--cfg ddes_mutant`.
const MUTANTS_CFG: &[Planted] = &[
    ("checkpoint-unheld", FOLDER),
    ("commit-unchecked", DATABASE),
    ("count-twice", BOTH),
    ("covered-unchecked", BOTH),
    ("early-50", FOLDER),
    ("go-back-forgotten", FOLDER),
    ("loss-unnoticed", DATABASE),
    ("no-fencing", BOTH),
    ("outbox-unsynced", FOLDER),
    ("stale-verdict", DATABASE),
    ("sum-unheld", FOLDER),
    ("superseded-ignored", BOTH),
    ("swap-unconditional", DATABASE),
    ("swap-unfenced", DATABASE),
    ("torn-tail", FOLDER),
];

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| USAGE.to_owned());
    let (world, rest) = match arguments {
        [rest @ .., "--world", world] if BOTH.contains(world) => (Some(*world), rest),
        _ => (None, arguments),
    };
    match *rest {
        ["--seeds", seeds] => many(1, number(seeds)?, world, false),
        ["--seeds", seeds, "--from", from] | ["--from", from, "--seeds", seeds] => {
            many(number(from)?, number(seeds)?, world, false)
        }
        ["--seed", seed] => one(seed, world),
        // Those that every change goes through are the same for all.
        ["--short"] => many(1, SEEDS_SHORT, world, true),
        ["--mutants", ref names @ ..] if world.is_none() => mutants(names),
        _ => Err(USAGE.into()),
    }
}

fn many(from: u64, seeds: u64, world: Option<&str>, replays: bool) -> Result<(), String> {
    let program = build(None)?;
    let mut more = in_world(world);
    more.extend(replays.then_some("--replay"));
    let begin = Instant::now();
    let found = spread(&program, from, seeds, &more, true)?;
    let secs = begin.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = found.done as f64 / secs;
    for (what, count) in &found.counts {
        println!("{count:>12} {what}");
    }
    println!("{} seeds from {from} in {secs:.1} s, {rate:.1} a second", found.done);
    if found.failures.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}\nagain, line by line: cargo xtask sim --seed SEED --world WORLD",
        found.failures.join("\n")
    ))
}

fn in_world(world: Option<&str>) -> Vec<&str> {
    world.map_or_else(Vec::new, |world| vec!["--world", world])
}

fn one(seed: &str, world: Option<&str>) -> Result<(), String> {
    let program = build(None)?;
    let arguments = [&["--from", seed, "--trace"], &in_world(world)[..]].concat();
    shell::run(&program.display().to_string(), &arguments, &[])
}

/// Looks for the bugs of these names, or for all.
fn mutants(names: &[&str]) -> Result<(), String> {
    let all = || {
        let flagged = MUTANTS.iter().map(|planted| (planted, false));
        flagged.chain(MUTANTS_CFG.iter().map(|planted| (planted, true)))
    };
    if let Some(name) = names.iter().find(|name| all().all(|((known, _), _)| known != *name)) {
        return Err(format!("no mutant '{name}'\n{USAGE}"));
    }
    let plain = build(None)?;
    let mut missed = Vec::new();
    let is_meant = |name: &str| names.is_empty() || names.contains(&name);
    for ((mutant, worlds), is_cfg) in all().filter(|((name, _), _)| is_meant(name)) {
        let (program, flags) = if is_cfg {
            (build(Some(mutant))?, Vec::new())
        } else {
            (plain.clone(), vec!["--mutant", mutant])
        };
        for world in *worlds {
            let found = hunt(&program, &[&flags[..], &["--world", world]].concat())?;
            match found.failures.first() {
                Some(failure) => {
                    println!("{mutant}: found within {} seeds: {failure}", found.done);
                }
                None => missed.push(format!("{mutant} in the {world} world")),
            }
        }
    }
    // Under the simulator's own name there is the last mutant.
    build(None)?;
    if missed.is_empty() { Ok(()) } else { Err(format!("not found: {}", missed.join(", "))) }
}

fn hunt(program: &Path, more: &[&str]) -> Result<Found, String> {
    spread(program, 1, SEEDS_MUTANT, more, false)
}

/// The simulator; with a bug, as a copy of its own.
fn build(mutant: Option<&str>) -> Result<PathBuf, String> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or(shell::root().join("target"), PathBuf::from);
    // With the command, though it is not built: its features are those of the release build, whose
    // dependencies are used again.
    let packages = ["--package", "ddes", "--package", "ddes-sim", "--bin", "ddes-sim"];
    let cargo = [&["build", "--release", "--quiet"], &packages[..]].concat();
    let program = target.join("release/ddes-sim");
    let Some(mutant) = mutant else {
        shell::run("cargo", &cargo, &[])?;
        return Ok(program);
    };
    let copy = target.join("mutants").join(mutant);
    let wrapper = wrapper(&target, mutant)?;
    shell::run("cargo", &cargo, &[("RUSTC_WORKSPACE_WRAPPER", &wrapper)])?;
    fs::copy(&program, &copy).map_err(|error| format!("{}: {error}", copy.display()))?;
    Ok(copy)
}

/// The path of a compiler that sets the mutant's `cfg` in the crates of this workspace only.
/// RUSTFLAGS would build every dependency again for each mutant.
pub(crate) fn wrapper(target: &Path, mutant: &str) -> Result<String, String> {
    let folder = target.join("mutants");
    let path = folder.join(format!("{mutant}.sh"));
    let script = format!(
        "#!/bin/sh\nrustc=$1\nshift\nexec \"$rustc\" \"$@\" --cfg 'ddes_mutant=\"{mutant}\"'\n"
    );
    let written = fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, script))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

#[derive(Default)]
struct Found {
    /// Seeds that were run.
    done: u64,
    failures: Vec<String>,
    counts: BTreeMap<String, u64>,
}

/// Runs seeds on all cores, every n-th on each.
fn spread(
    program: &Path,
    from: u64,
    seeds: u64,
    more: &[&str],
    shows: bool,
) -> Result<Found, String> {
    let cores = thread::available_parallelism().map_or(1, usize::from) as u64;
    let (send, lines) = mpsc::channel();
    let mut children = Vec::new();
    for core in 0..cores.min(seeds) {
        let share = (seeds - core).div_ceil(cores);
        let mut command = Command::new(program);
        command.args(["--from", &(from + core).to_string(), "--seeds", &share.to_string()]);
        command.args(["--stride", &cores.to_string()]).args(more).stdout(Stdio::piped());
        if !shows {
            // What a failure looked like is of interest only where none was asked for.
            command.args(["--failures", "1"]).stderr(Stdio::null());
        }
        let mut child =
            command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let output = child.stdout.take().ok_or("it has no output")?;
        let send = send.clone();
        thread::spawn(move || {
            // Nobody listens any more once all have ended.
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(send.send(line)));
        });
        children.push(child);
    }
    drop(send);
    let mut found = Found::default();
    let mut shown = Instant::now();
    for line in lines {
        found.take(&line)?;
        if shows && shown.elapsed() > PROGRESS {
            shown = Instant::now();
            println!("{} of {seeds} seeds, {} failed", found.done, found.failures.len());
        }
    }
    for mut child in children {
        let status = child.wait().map_err(|error| error.to_string())?;
        if !status.success() && found.failures.is_empty() {
            return Err(format!("the simulator ended with {status}"));
        }
    }
    Ok(found)
}

impl Found {
    fn take(&mut self, line: &str) -> Result<(), String> {
        let number = |text: &str| {
            text.parse::<u64>().map_err(|error| format!("the simulator wrote '{line}': {error}"))
        };
        match line.split_once(' ') {
            Some(("done", count)) => self.done += number(count)?,
            Some(("failed", what)) => {
                let (world, what) = what.split_once(' ').unwrap_or(("", what));
                self.failures.push(format!("{world} world, seed {what}"));
            }
            Some(("count", rest)) => {
                let mut words = rest.splitn(3, ' ');
                let (world, count, what) = (words.next(), words.next(), words.next());
                let text = "a count without its name";
                let (Some(world), Some(count), Some(what)) = (world, count, what) else {
                    return Err(format!("the simulator wrote '{line}': {text}"));
                };
                *self.counts.entry(format!("{world}: {what}")).or_insert(0) += number(count)?;
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}
