//! `cargo xtask rot`: bits flip and tails vanish in a closed ledger; each must be named.

use crate::process::{self, clock, harness, option};

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let is_short = arguments.contains(&"--short");
    let (flips, cuts, megabytes) = if is_short { (50, 20, 6) } else { (1_000, 100, 100) };
    let flips = option(arguments, "--flips", flips)?.to_string();
    let cuts = option(arguments, "--cuts", cuts)?.to_string();
    let megabytes = option(arguments, "--megabytes", megabytes)?.to_string();
    let seed = option(arguments, "--seed", clock())?.to_string();
    process::build()?;
    println!("seed {seed}");
    print!("{}", harness(&["rot", &megabytes, &flips, &cuts, &seed, "honest"])?);
    match harness(&["rot", "6", "0", "0", &seed, "forged"]) {
        Ok(_) => Err("an older state that was put back passes: this harness proves nothing".into()),
        Err(said) => {
            let why = said
                .lines()
                .find(|line| line.starts_with("Forged, ") && line.ends_with("in silence"));
            println!("as a control: {}", why.ok_or(said.clone())?);
            Ok(())
        }
    }
}
