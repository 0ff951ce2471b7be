//! Agrees on a shared value with ffdhe2048 a number of times on one engine: a program whose
//! instructions an emulator can count.
//!
//! Usage: exponentiate a64|portable|crypto-bigint ROUNDS

use std::process::ExitCode;

use ddes_ffdhe::{EngineKind, Exponent, Group, NamedGroup};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match exponentiate(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn exponentiate(arguments: &[String]) -> Result<(), String> {
    let [engine, rounds] = arguments else {
        return Err("usage: exponentiate a64|portable|crypto-bigint ROUNDS".into());
    };
    let kind = match engine.as_str() {
        "a64" => EngineKind::A64,
        "portable" => EngineKind::Portable,
        "crypto-bigint" => EngineKind::Oracle,
        _ => return Err(format!("'{engine}' is no engine")),
    };
    let rounds: u32 = rounds.parse().map_err(|_| format!("'{rounds}' is no number of rounds"))?;
    let group = Group::named(NamedGroup::Ffdhe2048);
    let group = group.with_engine(kind).ok_or("this processor does not have that engine")?;
    let peer = Exponent::from_entropy(&group, &[9; 64]).public_value();
    for _ in 0..rounds {
        let exponent = Exponent::from_entropy(&group, &[0x5a; 64]);
        std::hint::black_box(exponent.agree(&peer)).map_err(|error| error.to_string())?;
    }
    Ok(())
}
