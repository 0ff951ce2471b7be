//! `cargo xtask instructions`: what callgrind counts for both engines, and for what is compared
//! with a secret, under several secrets. The counts must be the same for each.

use std::process::Command;

use crate::shell::{self, root};

/// Their remainders by 16 are the bytes that are wrong in a tag or a token: the first and the last
/// among them.
const SEEDS: [&str; 4] = ["16", "7", "100", "207"];

pub(crate) fn run() -> Result<(), String> {
    shell::run("cargo", &["build", "--release", "--package", "ddes-peers"], &[])?;
    shell::installed("valgrind", "valgrind")?;
    for what in ["double-des", "ffdhe", "tag", "token"] {
        let counts = SEEDS.iter().map(|seed| count(what, seed)).collect::<Result<Vec<_>, _>>()?;
        println!("{what}: {} instructions", counts.join(", "));
        if counts.iter().any(|count| *count != counts[0]) {
            return Err(format!("{what}: the count depends on the secret"));
        }
    }
    Ok(())
}

/// Instructions of the operation alone: valgrind says `Collected : N`.
fn count(what: &str, seed: &str) -> Result<String, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // Each by its name: what calls them must not be counted, inlined or not.
        .args(
            ["double_des", "ffdhe", "open", "token"]
                .map(|name| format!("--toggle-collect=ddes_peers::instructions::{name}")),
        )
        .arg(root().join("target/release/ddes-peers"))
        .args(["instructions", what, seed])
        .output()
        .map_err(|error| format!("cannot run valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find_map(|line| line.split_once("Collected : "));
    line.map(|(_, count)| count.trim().to_owned())
        .ok_or_else(|| format!("valgrind counted nothing:\n{text}"))
}
