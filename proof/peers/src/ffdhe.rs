//! Finite-field Diffie-Hellman: our engines beside crypto-bigint and OpenSSL, on one core, in one
//! run.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use ddes_ffdhe::{EngineKind, Exponent, Group, NamedGroup};

use crate::report;

pub(crate) const COLUMNS: &[&str] =
    &["group", "engine", "key generation", "shared value", "OpenSSL's time / ours"];

/// The measured time has this many parts; each figure is their median.
const PARTS: usize = 9;

pub(crate) fn measure(name: NamedGroup, openssl_name: &str, time: Duration) -> Result<(), String> {
    let openssl = openssl(openssl_name, time)?;
    report::row(&[
        name.name().into(),
        "OpenSSL (`openssl speed`)".into(),
        "".into(),
        report::duration(openssl),
        "1.00".into(),
    ]);
    for (kind, engine) in [
        (EngineKind::Ifma, "ours, AVX-512 IFMA"),
        (EngineKind::Adx, "ours, MULX and ADX"),
        (EngineKind::A64, "ours, A64"),
        (EngineKind::Portable, "ours, portable"),
        (EngineKind::Oracle, "crypto-bigint"),
    ] {
        let Some(group) = Group::named(name).with_engine(kind) else {
            report::row(&[
                name.name().into(),
                engine.into(),
                "not on this processor".into(),
                "".into(),
                "".into(),
            ]);
            continue;
        };
        let exponent = || Exponent::from_entropy(&group, &[0x5a; 64]);
        let peer = exponent().public_value();
        let generation = median(time, || drop(black_box(exponent().public_value())))?;
        let shared = median(time, || drop(black_box(exponent().agree(&peer))))?;
        report::row(&[
            name.name().into(),
            engine.into(),
            report::duration(generation),
            report::duration(shared),
            format!("{:.2}", openssl.as_secs_f64() / shared.as_secs_f64()),
        ]);
    }
    Ok(())
}

/// In processor time, as `openssl speed` counts too: what else wants the core does not enter.
fn median(time: Duration, act: impl Fn()) -> Result<Duration, String> {
    act();
    let part = time / u32::try_from(PARTS).unwrap_or(1);
    let mut each = Vec::with_capacity(PARTS);
    for _ in 0..PARTS {
        let (start, before, mut count) = (Instant::now(), processor_time()?, 0_u32);
        while start.elapsed() < part || count == 0 {
            act();
            count += 1;
        }
        each.push((processor_time()? - before) / count);
    }
    each.sort();
    Ok(each[PARTS / 2])
}

/// This thread's, so far.
fn processor_time() -> Result<Duration, String> {
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let nanos = text.split_whitespace().next().and_then(|field| field.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| format!("{path} says {text:?}"))
}

/// One shared value, from `openssl speed -mr`: `+F…:bits:operations a second`.
fn openssl(name: &str, time: Duration) -> Result<Duration, String> {
    let seconds = time.as_secs().max(1).to_string();
    let output =
        Command::new("openssl").args(["speed", "-mr", "-seconds", &seconds, name]).output();
    let output = output.map_err(|error| format!("cannot run openssl (install it): {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        text.lines().rfind(|line| line.starts_with("+F")).ok_or("openssl speed says nothing")?;
    let rate = line
        .rsplit(':')
        .find_map(|field| field.trim().parse::<f64>().ok().filter(|rate| *rate > 1.0));
    let rate = rate.ok_or_else(|| format!("what does openssl mean by `{line}`?"))?;
    Ok(Duration::from_secs_f64(1.0 / rate))
}
