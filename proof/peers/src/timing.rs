//! Whether time tells a secret: Welch's t-test on the durations of two classes of secrets, in the
//! manner of dudect (Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?", 2017). In
//! each group of samples one class is the fixed secret, the other a random one, new for each group;
//! a coin chooses for each sample.
//!
//! A processor takes a ten-thousandth less time for what it has done just before, to the bit; that
//! tells no secret, but as dudect has it only the fixed one comes again and again, and the test saw
//! it. So both classes repeat alike, each sample comes after an operation under yet another secret,
//! and the texts of a cipher are random: of 64 equal blocks each bit slice is all zeros or all
//! ones, and half of all intermediate values are what lay there before.
//!
//! A second coin, which chooses nothing, divides the same samples once more: what the machine does
//! by itself shows in that control too. A comparison that stops early goes first, and must be
//! found.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ddes_cipher::{DesKey, DoubleDes, Engine};
use ddes_ffdhe::{EngineKind, Exponent, Group, NamedGroup};

use crate::report;

pub(crate) const COLUMNS: &[&str] =
    &["what", "samples", "greatest |t|", "greatest |t| of the control", "below 4.5"];

/// Beyond this |t| the two classes are told apart.
const T_MAX: f64 = 4.5;

/// Samples of a group, all made before the first is measured, and how many of its first are left
/// out: neither secret has been there yet.
const GROUP: usize = 1_000;
const GROUP_START: usize = 20;

/// Durations above these parts of all are left out, one test each: interrupts drown small
/// differences.
const CROPS: [f64; 5] = [1.0, 0.99, 0.9, 0.7, 0.5];

type Secret = [u8; 32];

const FIXED: Secret = [0; 32];

/// Both coins are as likely one way as the other.
struct Sample {
    nanos: u32,
    is_random: bool,
    control: bool,
}

pub(crate) fn ffdhe(samples: usize) -> Result<(), String> {
    for (kind, name) in [
        (EngineKind::Ifma, "IFMA"),
        (EngineKind::Adx, "ADX"),
        (EngineKind::A64, "A64"),
        (EngineKind::Portable, "portable"),
    ] {
        let Some(group) = Group::named(NamedGroup::Ffdhe2048).with_engine(kind) else { continue };
        let exponent = |secret: &Secret| Ok(Exponent::from_entropy(&group, secret));
        let peer = Exponent::from_entropy(&group, &[9; 64]).public_value();
        row(&format!("FFDHE2048 shared value, {name}: exponent"), samples, exponent, |exponent| {
            let start = Instant::now();
            let shared = black_box(exponent.agree(&peer));
            let time = start.elapsed();
            drop(shared);
            time
        })?;
        row(
            &format!("FFDHE2048 key generation, {name}: exponent"),
            samples,
            exponent,
            |exponent| {
                let start = Instant::now();
                drop(black_box(exponent.public_value()));
                start.elapsed()
            },
        )?;
    }
    Ok(())
}

/// Sixty-four blocks are one pass of the portable engine and less than one of the others.
pub(crate) fn des(samples: usize) -> Result<(), String> {
    leak(samples / 10)?;
    for engine in Engine::ALL.into_iter().filter(|engine| engine.is_available()) {
        let make = |secret: &Secret| {
            let [key1, key2] = keys(secret);
            let double = DoubleDes::with_engine(&key1, &key2, engine).ok_or("an engine is gone")?;
            Ok((double, blocks()?))
        };
        row(
            &format!("Double DES, {engine:?}: both keys"),
            samples,
            make,
            |(double, mut blocks)| {
                let start = Instant::now();
                double.encrypt(&mut blocks);
                black_box(&blocks);
                start.elapsed()
            },
        )?;
    }
    Ok(())
}

/// What the test is there to find: beside all of Double DES, sixteen bytes compared with the fixed
/// secret's up to the first that differs.
fn leak(samples: usize) -> Result<(), String> {
    let make = |secret: &Secret| {
        let [key1, key2] = keys(secret);
        Ok((DoubleDes::new(&key1, &key2), *secret, blocks()?))
    };
    row(
        "Double DES and a leak, which must be found",
        samples,
        make,
        |(double, secret, mut blocks)| {
            let start = Instant::now();
            double.encrypt(&mut blocks);
            let mut bytes = secret.iter().zip(&FIXED).take(16);
            black_box(bytes.all(|(byte, fixed)| black_box(byte) == fixed));
            black_box(&blocks);
            start.elapsed()
        },
    )
}

fn keys(secret: &Secret) -> [DesKey; 2] {
    [0, 8].map(|at| DesKey::new(std::array::from_fn(|i| secret[at + i])))
}

fn blocks() -> Result<[[u8; 8]; 64], String> {
    let mut blocks = [[0; 8]; 64];
    fill(blocks.as_flattened_mut())?;
    Ok(blocks)
}

fn fill(bytes: &mut [u8]) -> Result<(), String> {
    getrandom::fill(bytes).map_err(|error| error.to_string())
}

fn row<T>(
    what: &str,
    samples: usize,
    make: impl Fn(&Secret) -> Result<T, String>,
    measure: impl Fn(T) -> Duration,
) -> Result<(), String> {
    let mut all = Vec::with_capacity(samples + GROUP);
    let (mut random, mut coins, mut others) = (FIXED, [0_u8; GROUP], [FIXED; GROUP]);
    while all.len() < samples {
        fill(&mut random)?;
        fill(&mut coins)?;
        fill(others.as_flattened_mut())?;
        let of_coin = |coin: &u8| if coin & 1 == 0 { FIXED } else { random };
        let pair = |(coin, other)| Ok((make(other)?, make(&of_coin(coin))?));
        let made: Vec<(T, T)> =
            coins.iter().zip(&others).map(pair).collect::<Result<_, String>>()?;
        let mut durations = [Duration::ZERO; GROUP];
        for (duration, (other, made)) in durations.iter_mut().zip(made) {
            measure(other);
            *duration = measure(made);
        }
        let sample = |(duration, coin): (&Duration, &u8)| Sample {
            nanos: u32::try_from(duration.as_nanos()).unwrap_or(u32::MAX),
            is_random: coin & 1 != 0,
            control: coin & 2 != 0,
        };
        all.extend(durations.iter().zip(&coins).skip(GROUP_START).map(sample));
    }
    all.truncate(samples);
    all.sort_unstable_by_key(|sample| sample.nanos);
    let t = greatest_t(&all, |sample| sample.is_random);
    report::row(&[
        what.into(),
        samples.to_string(),
        format!("{t:.2}"),
        format!("{:.2}", greatest_t(&all, |sample| sample.control)),
        if t < T_MAX { "yes" } else { "NO" }.into(),
    ]);
    Ok(())
}

/// Of samples sorted by duration, so that a crop, chosen whatever the class, is their beginning.
fn greatest_t(sorted: &[Sample], class: impl Fn(&Sample) -> bool) -> f64 {
    let t = |crop: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index below the length"
        )]
        let limit = sorted[((sorted.len() - 1) as f64 * crop) as usize].nanos;
        let kept = &sorted[..sorted.partition_point(|sample| sample.nanos <= limit)];
        let [a, b] = [false, true].map(|side| {
            moments(
                kept.iter()
                    .filter(|sample| class(sample) == side)
                    .map(|sample| f64::from(sample.nanos)),
            )
        });
        ((a.mean - b.mean) / (a.variance / a.count + b.variance / b.count).sqrt()).abs()
    };
    CROPS.into_iter().map(t).fold(0.0, f64::max)
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
