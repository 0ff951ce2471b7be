//! Rung 12: from the rate on this machine to whole keys.

use std::time::Duration;

use serde_json::{Value, json};

use crate::recover;
use crate::recover::projection::{
    KEY_BITS, by_collisions, seconds, with_tables_in_turn, with_whole_table, without_table,
};
use crate::search::{short, space};
use crate::{Lab, LabError, Trial};

/// How long the rate is measured.
const MEASURED: Duration = Duration::from_millis(500);
/// Bits of the keys that are tried meanwhile: more than any machine tries in that time.
const MEASURED_BITS: u32 = 48;
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
struct ProjectedMachine {
    name: &'static str,
    des_per_sec: f64,
    source: &'static str,
}

/// Measures this machine: two DES a trial, all threads.
fn measured(lab: &mut Lab<'_>) -> Result<f64, LabError> {
    // Whatever the target is, the keys are tried all the same.
    let target: [u8; 24] = lab.seed.draw("rung 12/target");
    let unknown = space(&lab.seed.draw("rung 12/key"), MEASURED_BITS);
    let what = "keys, to measure the rate";
    lab.measure(what, MEASURED, |run, progress| {
        recover::key1(&target, None, &unknown, run, progress)
    })
}

fn machines(lab: &Lab<'_>, keys_per_sec: f64) -> [ProjectedMachine; 4] {
    let here = 2.0 * keys_per_sec;
    // At least one thread ran, or nothing would have been measured.
    let threads = u32::try_from(lab.settings.threads).map_or(f64::MAX, f64::from).max(1.0);
    [
        ProjectedMachine {
            name: "this machine",
            des_per_sec: here,
            source: "measured just now, two DES a key",
        },
        ProjectedMachine {
            name: "a laptop",
            des_per_sec: here / threads * LAPTOP_CORES,
            source: "an assumption: 8 cores, each as fast as one here",
        },
        ProjectedMachine {
            name: "one GPU of 2016, GeForce GTX 1080",
            des_per_sec: GPU_KEYS_PER_SEC,
            source: "21.5 billion keys a second: hashcat 4.1.0, mode 14000, hashcat forum, March \
                     2018",
        },
        ProjectedMachine {
            name: "the machine of 1998",
            des_per_sec: MACHINE_OF_1998_KEYS_PER_SEC,
            source: "88 billion keys a second: EFF, Cracking DES, O'Reilly 1998",
        },
    ]
}

/// What one key and both take on each machine: told, and for the evidence.
fn rows(lab: &mut Lab<'_>, keys_per_sec: f64, both_log2: f64) -> Vec<Value> {
    let mut rows = Vec::new();
    for machine in machines(lab, keys_per_sec) {
        let ProjectedMachine { name, des_per_sec, source } = machine;
        let one = seconds(KEY_BITS - 1.0, des_per_sec);
        let both = seconds(both_log2 - 1.0, des_per_sec);
        lab.gets(format!(
            "{name}: {} for one DES key, {} for both keys, on average ({source}).",
            time(one),
            time(both)
        ));
        rows.push(json!({
            "machine": name,
            "des_per_sec": des_per_sec,
            "source": source,
            "one_key_secs_on_average": one,
            "rung_9_secs_on_average": both,
        }));
    }
    rows
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    lab.scene("No session: arithmetic on a rate that is measured now, on this machine.");
    let keys_per_sec = measured(lab)?;
    lab.sees(format!(
        "{} keys a second on {} threads, two DES each. A search ends a DES at the first bits that \
         differ: a whole DES takes longer, so what follows is the least time.",
        short(keys_per_sec),
        lab.settings.threads
    ));
    let (whole, table) = (without_table(KEY_BITS), with_whole_table(KEY_BITS));
    lab.does(format!(
        "One DES key: 2^56 DES at worst. Both keys of a session, as in rung 9 with all 56 bits \
         unknown: 2^{:.1} DES at worst, and no memory. On average half of each.",
        whole.des_log2
    ));
    let rows = rows(lab, keys_per_sec, whole.des_log2);
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
        "Were it a key of 112 bits: {} on this machine, on average.",
        time(seconds(2.0 * KEY_BITS - 1.0, here))
    ));
    lab.lesson(
        "Double DES is worth about 57 bits, not 112: rung 9 makes it a little more than one DES \
         key. In July 1998 the machine of that year found one DES key in 56 hours.",
    );
    let trial = if keys_per_sec.is_finite() && keys_per_sec > 0.0 {
        Trial::succeeded(format!(
            "both keys of a session in {} on average, on the machine of 1998",
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

    /// EFF's machine takes 2^56 / 88e9 s = 9.5 days for all keys of one DES, and three times as
    /// long for the two DES of Key1 and the one of Key2.
    #[test]
    fn the_machine_of_1998_takes_days_for_one_key_and_thrice_that_for_both() {
        let days = |log2| time(seconds(log2, MACHINE_OF_1998_KEYS_PER_SEC));
        assert_eq!(days(56.0), "9.5 days");
        assert_eq!(days(55.0), "4.7 days");
        assert_eq!(days(without_table(KEY_BITS).des_log2), "28.4 days");
        assert_eq!(days(without_table(KEY_BITS).des_log2 - 1.0), "14.2 days");
    }
}
