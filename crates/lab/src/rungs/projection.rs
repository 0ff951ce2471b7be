//! Rung 12: from the rate on this machine to whole keys.

use serde_json::{Value, json};

use crate::recover::projection::{
    KEY_BITS, by_collisions, seconds, with_tables_in_turn, with_whole_table, without_table,
};
use crate::recover::{self, Outcome, RecoverError};
use crate::search::{Stage, space};
use crate::{Lab, LabError, Trial};

const RUNG: u8 = 12;
/// Keys tried to measure the rate: enough for a fraction of a second in a release build.
const BITS_MAX: u32 = 26;
/// Cores of the laptop: an assumption, each as fast as one here.
const LAPTOP_CORES: f64 = 8.0;
/// One GeForce GTX 1080, hashcat 4.1.0, mode 14000 (DES, known plaintext): hashcat forum, "Trying
/// to crack 8 Byte DES key", March 2018.
const GPU_KEYS_PER_SEC: f64 = 21.4955e9;
/// The DES Cracker of 1998: EFF, "Cracking DES", O'Reilly, 1998: over 88 billion keys a second.
const MACHINE_OF_1998_KEYS_PER_SEC: f64 = 88e9;
/// log2 of entries that 1 TiB holds, at 8 bytes an entry.
const TEBIBYTE_ENTRIES_LOG2: f64 = 37.0;
/// log2 of the keys of ChaCha20.
const CHACHA_BITS: f64 = 256.0;

/// A machine and its DES operations a second.
struct Machine {
    name: &'static str,
    des_per_sec: f64,
    source: &'static str,
}

/// Measures this machine: two DES a trial, all threads.
fn measured(lab: &mut Lab<'_>) -> Result<f64, LabError> {
    let bits = lab.settings.bits.min(BITS_MAX);
    let what = "keys, to measure the rate";
    let stage = Stage { rung: RUNG, name: "rate", what, key1: None, first_only: false };
    // Whatever the target is, all keys are tried.
    let target: [u8; 24] = lab.seed.draw("rung 12/target");
    let unknown = space(&lab.seed.draw("rung 12/key"), bits);
    let begun = std::time::Instant::now();
    lab.search(&stage, |run, progress| -> Result<Outcome<_>, RecoverError> {
        recover::key1(&target, None, &unknown, run, progress)
    })?;
    Ok(bits_to_keys(bits) / begun.elapsed().as_secs_f64().max(1e-9))
}

fn bits_to_keys(bits: u32) -> f64 {
    f64::from(bits).exp2()
}

fn machines(lab: &Lab<'_>, keys_per_sec: f64) -> [Machine; 4] {
    let here = 2.0 * keys_per_sec;
    // At least one thread ran, or nothing would have been measured.
    let threads = u32::try_from(lab.settings.threads).map_or(f64::MAX, f64::from).max(1.0);
    [
        Machine {
            name: "this machine",
            des_per_sec: here,
            source: "measured just now, two DES a key",
        },
        Machine {
            name: "a laptop",
            des_per_sec: here / threads * LAPTOP_CORES,
            source: "assumption: 8 cores as fast as one here",
        },
        Machine {
            name: "one GPU (GTX 1080)",
            des_per_sec: GPU_KEYS_PER_SEC,
            source: "hashcat 4.1.0, mode 14000, hashcat forum, March 2018",
        },
        Machine {
            name: "the machine of 1998",
            des_per_sec: MACHINE_OF_1998_KEYS_PER_SEC,
            source: "EFF, Cracking DES, 1998: 88 billion keys a second",
        },
    ]
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    lab.scene("No session: arithmetic on a rate that is measured now, on this machine.");
    let keys_per_sec = measured(lab)?;
    lab.sees(format!(
        "{} keys a second on {} threads, two DES each.",
        short(keys_per_sec),
        lab.settings.threads
    ));
    let (whole, table) = (without_table(KEY_BITS), with_whole_table(KEY_BITS));
    lab.does(format!(
        "Rung 9 with all 56 bits unknown: 2^{:.1} DES at worst, half of it on average, no memory.",
        whole.des_log2
    ));
    let mut rows = Vec::new();
    for machine in machines(lab, keys_per_sec) {
        let secs = seconds(whole.des_log2 - 1.0, machine.des_per_sec);
        lab.gets(format!("{}: {} on average.", machine.name, time(secs)));
        rows.push(json!({
            "machine": machine.name,
            "des_per_sec": machine.des_per_sec,
            "source": machine.source,
            "rung_9_secs_on_average": secs,
        }));
    }
    lab.does(format!(
        "Rung 10: 2^{:.0} DES with a table of 2^{:.0} entries: {} exbibytes.",
        table.des_log2,
        table.entries_log2,
        // 8 bytes an entry, 2^60 bytes an exbibyte.
        (table.entries_log2 + 3.0 - 60.0).exp2()
    ));
    let in_turn = with_tables_in_turn(KEY_BITS, TEBIBYTE_ENTRIES_LOG2);
    let collisions = by_collisions(KEY_BITS, TEBIBYTE_ENTRIES_LOG2);
    lab.does(format!(
        "With 1 TiB instead: 2^{:.1} DES by tables in turn, 2^{:.1} by the collisions of van \
         Oorschot and Wiener (1999).",
        in_turn.des_log2, collisions.des_log2
    ));
    let here = 2.0 * keys_per_sec;
    lab.gets(format!("This machine, by collisions: {}.", time(seconds(collisions.des_log2, here))));
    lab.gets(format!(
        "Were it 112 bits: {} on this machine.",
        time(seconds(2.0 * KEY_BITS - 1.0, here))
    ));
    lab.lesson(
        "Double DES is worth about 57 bits, not 112: rung 9 makes it a little more than one DES \
         key. In 1998 one such key fell in 56 hours.",
    );
    let trial = if keys_per_sec.is_finite() && keys_per_sec > 0.0 {
        Trial::succeeded(format!(
            "56 bits in {} on a machine of 1998",
            time(seconds(whole.des_log2 - 1.0, MACHINE_OF_1998_KEYS_PER_SEC))
        ))
    } else {
        Trial::unexpected("the rate could not be measured")
    };
    let trial = trial.fact("keys_per_sec", keys_per_sec).fact("threads", lab.settings.threads);
    let trial = trial.fact("machines", Value::Array(rows));
    let trial = trial.fact("rung_9_des_log2", whole.des_log2);
    let trial = trial.fact("rung_10_des_log2", table.des_log2);
    let trial = trial.fact("rung_10_tebibyte_in_turn_des_log2", in_turn.des_log2);
    Ok(trial.fact("rung_10_tebibyte_collisions_des_log2", collisions.des_log2))
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    lab.scene("The same arithmetic for a recorded session of D-DDES/2.");
    let fastest = MACHINE_OF_1998_KEYS_PER_SEC;
    let table = with_whole_table(KEY_BITS);
    lab.sees(format!(
        "Suite ddes, for study: 2^{:.0} DES and a table read it, as rung 10 shows. Its totals stay \
         authentic.",
        table.des_log2
    ));
    lab.does(
        "Suite hybrid, the default: needs ChaCha20's key of 256 bits as well, and to get at the \
         keys otherwise both FFDHE-2048 and ML-KEM-768.",
    );
    let secs = seconds(CHACHA_BITS - 1.0, fastest);
    lab.gets(format!("2^255 trials on average: {} on a machine of 1998.", time(secs)));
    lab.stopped(
        "ChaCha20's keystream is added to that of Double DES, under independent keys: the sum is \
         as strong as the stronger of the two (P-05).",
    );
    // A billion billion years.
    let is_out_of_reach = secs > 1e18 * YEAR_SECS;
    let trial = if is_out_of_reach {
        Trial::stopped("a second cipher with a key of 256 bits", "P-05")
    } else {
        Trial::unexpected("it is within reach")
    };
    Ok(trial.fact("suite_ddes_des_log2", table.des_log2).fact("hybrid_trials_log2", CHACHA_BITS))
}

const YEAR_SECS: f64 = 365.25 * 24.0 * 3600.0;

/// A time in the largest unit of which there is at least one.
fn time(secs: f64) -> String {
    let units = [("years", YEAR_SECS), ("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)];
    let unit = units.iter().find(|(_, each)| secs >= *each);
    let (name, each) = unit.copied().unwrap_or(("seconds", 1.0));
    format!("{} {name}", short(secs / each))
}

/// A number of any size in a few characters.
fn short(number: f64) -> String {
    let words = [(1e12, "trillion"), (1e9, "billion"), (1e6, "million")];
    if number >= 1e15 {
        return format!("{number:.1e}");
    }
    match words.iter().find(|(from, _)| number >= *from) {
        Some((from, word)) => format!("{:.1} {word}", number / from),
        None if number >= 100.0 => format!("{number:.0}"),
        None => format!("{number:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_largest_unit() {
        assert_eq!(time(59.0), "59.0 seconds");
        assert_eq!(time(7200.0), "2.0 hours");
        assert_eq!(time(3.0 * YEAR_SECS), "3.0 years");
        assert_eq!(time(2e6 * YEAR_SECS), "2.0 million years");
    }

    /// EFF's machine takes 2^56 / 88e9 = 9.5 days for all keys of one DES.
    #[test]
    fn the_machine_of_1998_takes_days_for_one_key() {
        assert_eq!(time(seconds(56.0, MACHINE_OF_1998_KEYS_PER_SEC)), "9.5 days");
    }
}
