//! Whether time tells a secret: Welch's t-test on the durations of two classes of secrets, in the manner of dudect (Reparaz, Balasch and Verbauwhede, "Dude, is my
//! code constant time?", 2017). One class is one fixed secret, the other random ones; which comes next is random, and all are made before the measurement.

use std::hint::black_box;
use std::time::Instant;

use ddes_cipher::{DesKey, DoubleDes, Engine};
use ddes_ffdhe::{EngineKind, Exponent, Group, NamedGroup};

use crate::report;

pub(crate) const COLUMNS: &[&str] = &["what", "samples", "greatest |t|", "below 4.5"];

/// Beyond this |t| the two classes are told apart.
const T_MAX: f64 = 4.5;

/// Secrets made at a time.
const PREPARED: usize = 10_000;

/// Durations above these parts of all are left out, one test each: interrupts drown small differences.
const CROPS: [f64; 5] = [1.0, 0.99, 0.9, 0.7, 0.5];

pub(crate) fn ffdhe(samples: usize) -> Result<(), String> {
    for (kind, name) in
        [(EngineKind::Ifma, "IFMA"), (EngineKind::Adx, "ADX"), (EngineKind::Portable, "portable")]
    {
        let Some(group) = Group::named(NamedGroup::Ffdhe2048).with_engine(kind) else { continue };
        let peer = Exponent::from_entropy(&group, &[9; 64]).public_value();
        row(&format!("FFDHE2048 shared value, {name}: exponent"), samples, |secret| {
            let exponent = Exponent::from_entropy(&group, secret);
            let start = Instant::now();
            let shared = black_box(exponent.agree(&peer));
            let nanos = start.elapsed().as_nanos();
            drop(shared);
            nanos
        })?;
        row(&format!("FFDHE2048 key generation, {name}: exponent"), samples, |secret| {
            let exponent = Exponent::from_entropy(&group, secret);
            let start = Instant::now();
            drop(black_box(exponent.public_value()));
            start.elapsed().as_nanos()
        })?;
    }
    Ok(())
}

/// Sixty-four blocks are one pass of the portable engine and less than one of the others.
pub(crate) fn des(samples: usize) -> Result<(), String> {
    for engine in Engine::ALL.into_iter().filter(|engine| engine.is_available()) {
        row(&format!("Double DES, {engine:?}: both keys"), samples, |secret| {
            let (mut key1, mut key2) = ([0; 8], [0; 8]);
            key1.copy_from_slice(&secret[..8]);
            key2.copy_from_slice(&secret[8..16]);
            let double = DoubleDes::with_engine(&DesKey::new(key1), &DesKey::new(key2), engine);
            let mut blocks = [[5; 8]; 64];
            let start = Instant::now();
            if let Some(double) = &double {
                double.encrypt(&mut blocks);
            }
            black_box(&blocks);
            start.elapsed().as_nanos()
        })?;
    }
    Ok(())
}

fn row(what: &str, samples: usize, mut measure: impl FnMut(&[u8]) -> u128) -> Result<(), String> {
    let mut random = vec![0; 33 * PREPARED];
    let mut classes = [Vec::new(), Vec::new()];
    for done in (0..samples).step_by(PREPARED) {
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        // Both classes' secrets lie in the same memory: one that is always in the first cache would be a class of its own.
        for sample in random.chunks_exact_mut(33).filter(|sample| sample[0] & 1 == 0) {
            sample[1..].fill(0);
        }
        for sample in random.chunks_exact(33).take(samples - done) {
            let (choice, secret) = sample.split_at(1);
            let class = usize::from(choice[0] & 1);
            let nanos = measure(secret);
            classes[class].push(nanos as f64);
        }
    }
    let mut all: Vec<f64> = classes.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let greatest = CROPS
        .iter()
        .map(|crop| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an index below the length"
            )]
            let limit = all[((all.len() - 1) as f64 * crop) as usize];
            let [a, b] =
                classes.each_ref().map(|class| moments(class.iter().copied().filter(|t| *t <= limit)));
            ((a.mean - b.mean) / (a.variance / a.count + b.variance / b.count).sqrt()).abs()
        })
        .fold(0.0, f64::max);
    report::row(&[
        what.into(),
        samples.to_string(),
        format!("{greatest:.2}"),
        if greatest < T_MAX { "yes" } else { "NO" }.into(),
    ]);
    Ok(())
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

fn moments(values: impl Iterator<Item = f64>) -> Moments {
    // Welford's.
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    Moments { count, mean, variance: squares / (count - 1.0) }
}
