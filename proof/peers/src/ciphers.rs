//! Double DES: our engines beside OpenSSL and the `des` crate, on one core, in one run.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use ddes_cipher::{Block, Des, DesKey, DoubleDes, Engine, Function};
use des::cipher::{BlockCipherEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::report;

const STREAM_COLUMNS: &[&str] = &["what", "MB/s", "of OpenSSL", "cycles a byte"];
const PART_COLUMNS: &[&str] = &[
    "engine",
    "full batch",
    "of it each pass",
    "of it both transpositions",
    "slicing and wiping of both keys",
    "1 block",
];
const RECORD_COLUMNS: &[&str] = &["what", "DDES", "DDESChaCha"];

/// The blocks encrypted at once: 16 KiB.
const BLOCKS: usize = 2048;

/// The first counter of some record.
const FIRST: u64 = 7 << 16;

/// The measured time has this many parts; each figure is their median.
const PARTS: u32 = 9;

pub(crate) fn measure(time: Duration) -> Result<(), String> {
    let clock = clock();
    println!(
        "\nThe clock is taken to be {:.2} GHz: a chain of multiplications and XORs of four cycles.",
        clock / 1e9
    );
    report::heading("Double DES: 16 KiB of keystream", STREAM_COLUMNS);
    streams(time, clock)?;
    report::heading("Double DES: what a batch consists of, in cycles", PART_COLUMNS);
    parts(time, clock);
    report::heading("One record of 48 bytes", RECORD_COLUMNS);
    records(time);
    Ok(())
}

fn keys() -> (DesKey, DesKey) {
    (DesKey::new(*b"first  k"), DesKey::new(*b"second k"))
}

fn streams(time: Duration, clock: f64) -> Result<(), String> {
    let bytes = (BLOCKS * size_of::<Block>()) as f64;
    let openssl = openssl(time)? / 2.0;
    let row = |what: &str, rate: f64| {
        report::row(&[
            what.into(),
            format!("{:.0}", rate / 1e6),
            format!("{:.2}", rate / openssl),
            format!("{:.2}", clock / rate),
        ]);
    };
    row("OpenSSL DES-ECB (`openssl speed`), halved", openssl);
    let (key1, key2) = keys();
    let (inner, outer) =
        (des::Des::new(key1.as_bytes().into()), des::Des::new(key2.as_bytes().into()));
    let mut blocks = vec![[0; 8]; BLOCKS];
    let crate_time = median(time, || {
        count(&mut blocks);
        for block in &mut blocks {
            inner.encrypt_block(block.into());
            outer.encrypt_block(block.into());
        }
        black_box(&blocks);
    });
    row("the `des` crate, twice", bytes / crate_time.as_secs_f64());
    for engine in engines() {
        let Some(double) = DoubleDes::with_engine(&key1, &key2, engine) else { continue };
        let time = median(time, || {
            double.encrypt_counters(FIRST, &mut blocks);
            black_box(&blocks);
        });
        row(&format!("ours, {engine:?}"), bytes / time.as_secs_f64());
    }
    Ok(())
}

/// Counter mode's input, of one record.
fn count(blocks: &mut [Block]) {
    for (counter, block) in (FIRST..).zip(blocks) {
        *block = counter.to_be_bytes();
    }
}

fn parts(time: Duration, clock: f64) {
    let (key1, key2) = keys();
    for engine in engines() {
        let (Some(double), Some(single)) =
            (DoubleDes::with_engine(&key1, &key2, engine), Des::with_engine(&key1, engine))
        else {
            continue;
        };
        let cycles = |act: &mut dyn FnMut()| median(time, act).as_secs_f64() * clock;
        let mut blocks = vec![[0; 8]; 5 * engine.blocks()];
        let five = cycles(&mut || double.encrypt(&mut blocks));
        let five_single = cycles(&mut || single.encrypt(&mut blocks));
        let full = cycles(&mut || double.encrypt(&mut blocks[..engine.blocks()]));
        let short = cycles(&mut || double.encrypt(&mut blocks[..1]));
        let full_single = cycles(&mut || single.encrypt(&mut blocks[..engine.blocks()]));
        // What a batch more costs; what a pass more costs such a batch; the rest is the
        // transpositions', and of a call the keys'.
        let batch = (five - full) / 4.0;
        let pass = batch - (five_single - full_single) / 4.0;
        report::row(&[
            format!("{engine:?}"),
            format!("{full:.0}"),
            format!("{pass:.0}"),
            format!("{:.0}", batch - 2.0 * pass),
            format!("{:.0}", full - batch),
            format!("{short:.0}"),
        ]);
    }
}

fn records(time: Duration) {
    const BURST: u64 = 80;
    let functions = [Function::Ddes, Function::DdesChaCha];
    let alone = functions.map(|function| {
        let (key, mut text, mut nonce) = (function.key(&[7; 32]), [0; 48], 0);
        median(time, || {
            nonce += 1;
            black_box(key.seal(nonce, &[0; 8], &mut text)).ok();
        })
    });
    let busy = functions.map(|function| {
        let (key, mut text, mut nonce) = (function.key(&[7; 32]), [0; 48], 0);
        let burst = median(time, || {
            let mut ahead = key.ahead(nonce, usize::MAX, text.len());
            for _ in 0..BURST {
                nonce += 1;
                if !ahead.covers(nonce, text.len()) {
                    ahead = key.ahead(nonce, usize::MAX, text.len());
                }
                black_box(key.seal_with(Some(&ahead), nonce, &[0; 8], &mut text)).ok();
            }
        });
        burst.div_f64(BURST as f64)
    });
    let (key1, key2) = keys();
    let (inner, outer) =
        (des::Des::new(key1.as_bytes().into()), des::Des::new(key2.as_bytes().into()));
    let (mut nonce, mut text) = (0_u64, [0_u8; 48]);
    let mac = Hmac::<Sha256>::new_from_slice(&[7; 32]);
    let theirs = median(time, || {
        nonce += 1;
        for (i, bytes) in (0..).zip(text.chunks_mut(8)) {
            let mut block = (nonce << 16 | i).to_be_bytes();
            inner.encrypt_block((&mut block).into());
            outer.encrypt_block((&mut block).into());
            bytes.iter_mut().zip(block).for_each(|(byte, key)| *byte ^= key);
        }
        if let Ok(mut mac) = mac.clone() {
            mac.update(&[0; 24]);
            mac.update(&text);
            black_box(mac.finalize());
        }
    });
    report::row(&["the `des` crate twice, HMAC".into(), nanos(theirs), String::new()]);
    report::row(&["ours, alone".into(), nanos(alone[0]), nanos(alone[1])]);
    report::row(&["ours, 80 in a busy session".into(), nanos(busy[0]), nanos(busy[1])]);
}

fn nanos(time: Duration) -> String {
    format!("{} ns", time.as_nanos())
}

pub(crate) fn engines() -> impl Iterator<Item = Engine> {
    Engine::ALL.into_iter().filter(|engine| engine.is_available())
}

/// Cycles a second, as this process gets them.
pub(crate) fn clock() -> f64 {
    const STEPS: u32 = 1 << 20;
    let mut x = 3_u64;
    let time = median(Duration::from_secs(2), || {
        for step in 0..STEPS {
            x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(step);
        }
        black_box(x);
    });
    f64::from(4 * STEPS) / time.as_secs_f64()
}

/// In this thread's time on a processor, as `openssl speed` and john's virtual rate count theirs.
pub(crate) fn median(time: Duration, mut act: impl FnMut()) -> Duration {
    act();
    let part = time / PARTS;
    let mut each: Vec<_> = (0..PARTS)
        .map(|_| {
            let (start, on_processor, mut count) = (Instant::now(), on_processor(), 0_u32);
            while start.elapsed() < part || count == 0 {
                (0..8).for_each(|_| act());
                count += 8;
            }
            let time = on_processor
                .zip(self::on_processor())
                .map(|(start, end)| end.saturating_sub(start));
            time.unwrap_or(start.elapsed()) / count
        })
        .collect();
    each.sort();
    each[each.len() / 2]
}

/// Linux's account of it, brought up to date at each of the clock's ticks.
fn on_processor() -> Option<Duration> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    account.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Bytes a second of one pass, from `openssl speed -mr`: `+F:…:DES-ECB:bytes a second`.
fn openssl(time: Duration) -> Result<f64, String> {
    let seconds = time.as_secs().max(1).to_string();
    let providers = ["-provider", "legacy", "-provider", "default"];
    let what = ["-mr", "-seconds", &seconds, "-bytes", "16384", "-evp", "des-ecb"];
    let text = output(Command::new("openssl").arg("speed").args(providers).args(what))?;
    let rate =
        text.lines().rfind(|line| line.starts_with("+F")).and_then(|line| line.rsplit(':').next());
    rate.and_then(|rate| rate.trim().parse().ok())
        .ok_or_else(|| format!("what does openssl mean by this?\n{text}"))
}

pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|error| format!("cannot run {program} (install it): {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
