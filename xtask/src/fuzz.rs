//! `cargo xtask fuzz`: runs the fuzz targets, each for a while, and prints their progress.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::shell::{self, root};

const TARGETS: [&str; 12] = [
    "frames",
    "identity",
    "outbox",
    "classic_pair",
    "v2_pair",
    "journal",
    "segment",
    "checkpoint",
    "record",
    "receipt",
    "capture",
    "opened",
];
/// Where the targets are.
const FOLDER: &str = "proof/fuzz";
const SECS: u32 = 600;
/// An input that takes longer is a fault: every input has a bound.
const INPUT_SECS_MAX: u32 = 10;
/// The nightly compiler that libFuzzer needs; the project itself builds on the stable one.
const TOOLCHAIN: &str = "+nightly";

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let (targets, secs) = match arguments {
        [] => (TARGETS.to_vec(), SECS),
        ["--secs", secs] => (TARGETS.to_vec(), parse(secs)?),
        [target] => (vec![*target], SECS),
        [target, "--secs", secs] => (vec![*target], parse(secs)?),
        _ => return Err(format!("usage: cargo xtask fuzz [{}] [--secs N]", TARGETS.join(" | "))),
    };
    if shell::run("cargo", &[TOOLCHAIN, "fuzz", "--version"], &[]).is_err() {
        shell::run("rustup", &["toolchain", "install", "nightly", "--profile", "minimal"], &[])?;
        shell::run("cargo", &["install", "cargo-fuzz", "--locked"], &[])?;
    }
    println!("| target | executions | a second | edges covered | corpus |\n|---|---|---|---|---|");
    targets.into_iter().try_for_each(|target| fuzz(target, secs))
}

fn parse(secs: &str) -> Result<u32, String> {
    secs.parse().map_err(|_| format!("'{secs}' is no number of seconds"))
}

fn fuzz(target: &str, secs: u32) -> Result<(), String> {
    let mut command = Command::new("cargo");
    command
        .args([TOOLCHAIN, "fuzz", "run", "--fuzz-dir", FOLDER, target, "--"])
        .current_dir(root());
    command.arg(format!("-max_total_time={secs}")).arg(format!("-timeout={INPUT_SECS_MAX}"));
    command.args(["-print_final_stats=1", "-max_len=4096"]).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot run cargo fuzz: {error}"))?;
    let output = child.stderr.take().ok_or("cargo fuzz says nothing")?;
    let (mut last, mut status, mut tail) = (String::new(), Vec::new(), Vec::new());
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if line.contains(" cov: ") {
            last.clone_from(&line);
        } else if let Some(stat) = line.strip_prefix("stat::") {
            status.push(stat.to_owned());
        } else {
            tail.push(line);
        }
    }
    let ended = child.wait().map_err(|error| error.to_string())?;
    if !ended.success() {
        let from = tail.len().saturating_sub(40);
        return Err(format!(
            "{}\n{target} has found something: {FOLDER}/artifacts/{target}",
            tail[from..].join("\n")
        ));
    }
    let stat = |name: &str| {
        let found = status.iter().find_map(|stat| stat.strip_prefix(name));
        found.map_or("?", |rest| rest.trim_start_matches(':').trim()).to_owned()
    };
    let field = |name: &str| {
        let mut words = last.split_whitespace().skip_while(|word| *word != name);
        words.nth(1).unwrap_or("?").to_owned()
    };
    println!(
        "| {target} | {} | {} | {} | {} |",
        stat("number_of_executed_units"),
        stat("average_exec_per_sec"),
        field("cov:"),
        field("corp:")
    );
    Ok(())
}
