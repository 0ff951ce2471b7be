//! Key search on one core, beside John the Ripper, in one run. The unit is keys tried a second;
//! john says hashes of 25 DES.

use std::process::Command;
use std::time::Duration;

use ddes_cipher::{Engine, KeySearch, KeySpace, Passes};

use crate::ciphers::{clock, engines, median, output};
use crate::report;

const COLUMNS: &[&str] = &[
    "engine",
    "passes a key",
    "million keys/s",
    "million DES/s",
    "times john",
    "aim",
    "cycles a key",
    "cycles a batch",
];

pub(crate) fn measure(time: Duration) -> Result<(), String> {
    let clock = clock();
    println!(
        "\nThe clock is taken to be {:.2} GHz: a chain of multiplications and XORs of four cycles.",
        clock / 1e9
    );
    report::heading("Key search: all keys of a space, one known block", COLUMNS);
    let john = john(time)?;
    let count = |rate: f64| format!("{:.0}", rate / 1e6);
    let empty = String::new();
    report::row(&[
        "Debian's john, descrypt, 25 DES a hash".into(),
        "1".into(),
        empty.clone(),
        count(john),
        "1.00".into(),
        empty.clone(),
        format!("{:.2}", clock / john),
        empty,
    ]);
    // No key of it fits, but for one in 2^8 runs.
    let space = KeySpace::all();
    for engine in engines() {
        for (passes, des) in [(Passes::One, 1.0), (Passes::Two, 2.0)] {
            let search = KeySearch::new(passes, [1; 8], [2; 8]);
            let mut slice = 0;
            let time = median(time, || {
                search.scan(engine, &space, slice, &mut |_| {});
                slice += 1;
            });
            let rate = space.slice_keys() as f64 / time.as_secs_f64();
            report::row(&[
                format!("{engine:?}"),
                format!("{des:.0}"),
                count(rate),
                count(des * rate),
                format!("{:.2}", des * rate / john),
                aim(engine, des * rate / john),
                format!("{:.2}", clock / rate),
                format!("{:.0}", clock / rate * engine.blocks() as f64),
            ]);
        }
    }
    Ok(())
}

/// How many times john's rate is aimed at, and whether it was reached.
fn aim(engine: Engine, ratio: f64) -> String {
    let aim = match engine {
        Engine::Portable | Engine::Neon => return String::new(),
        Engine::Avx2 => 2.5,
        Engine::Avx512Vl | Engine::Avx512 => 5.0,
    };
    format!("{aim:.2}: {}", if ratio >= aim { "reached" } else { "missed" })
}

/// DES operations a second, from john's self-test: `Many salts:`, so many `K c/s real`, so many `K
/// c/s virtual`.
fn john(time: Duration) -> Result<f64, String> {
    let seconds = time.as_secs().max(1);
    // It runs as many threads as there are cores, unless told.
    let text = output(
        Command::new("/usr/sbin/john")
            .arg(format!("--test={seconds}"))
            .arg("--format=descrypt")
            .env("OMP_NUM_THREADS", "1"),
    )?;
    let line = text.lines().find_map(|line| line.strip_prefix("Many salts:"));
    let virtual_rate = line.and_then(|line| line.split(',').nth(1));
    let rate = virtual_rate.and_then(|rate| rate.split_whitespace().next()).and_then(|rate| {
        let (digits, unit) =
            rate.split_at(rate.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rate.len()));
        let unit = match unit {
            "K" => 1e3,
            "M" => 1e6,
            _ => 1.0,
        };
        digits.parse::<f64>().ok().map(|digits| digits * unit)
    });
    rate.map(|rate| 25.0 * rate).ok_or_else(|| format!("what does john mean by this?\n{text}"))
}
