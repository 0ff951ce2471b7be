//! Key recovery by hand: makes a session's messages under random keys, and recovers the keys from
//! them.
//!
//! ```text
//! cargo run --release -p ddes-lab --example recover -- rate [ENGINE]
//! cargo run --release -p ddes-lab --example recover -- keys BITS
//! cargo run --release -p ddes-lab --example recover -- meet BITS MEBIBYTES
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is run by hand")]

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use ddes_cipher::{KeySearch, Passes};
use ddes_lab::recover::{
    self, DesKey, Engine, KeySpace, PAD, Pair, SearchOutcome, SearchProgress, SearchRun,
};
use des::cipher::{BlockCipherEncrypt, KeyInit};
use hmac::Mac;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["rate"] => rates(""),
        ["rate", engine] => rates(engine),
        ["keys", bits] => keys(bits.parse()?)?,
        ["meet", bits, mebibytes] => meet(bits.parse()?, mebibytes.parse()?)?,
        _ => return Err("usage: recover rate [ENGINE] | keys BITS | meet BITS MEBIBYTES".into()),
    }
    Ok(())
}

/// The best of several turns, on one thread.
fn rates(only: &str) {
    const SLICES: u64 = 60;
    let space = KeySpace::all();
    let engines = Engine::ALL.into_iter().filter(|engine| engine.is_available());
    for engine in engines.filter(|engine| format!("{engine:?}").contains(only)) {
        for passes in [Passes::One, Passes::Two] {
            let search = KeySearch::new(passes, [1; 8], [2; 8]);
            let times = (0..5).map(|part| {
                let start = on_processor();
                for slice in 0..SLICES {
                    search.scan(engine, &space, SLICES * part + slice, &mut |_| {});
                }
                (on_processor() - start) / SLICES as f64
            });
            let best = times.fold(f64::INFINITY, f64::min);
            let rate = space.slice_keys() as f64 / best / 1e6;
            println!("{engine:?}, {passes:?}: {rate:.0} million keys/s");
        }
    }
}

/// Seconds that this thread was on a processor: other work on the machine does not count.
fn on_processor() -> f64 {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat");
    let nanos = account.ok().and_then(|account| account.split(' ').next()?.parse::<f64>().ok());
    nanos.map_or(f64::NAN, |nanos| nanos / 1e9)
}

struct Session {
    key1: DesKey,
    key2: DesKey,
    token: [u8; 16],
}

impl Session {
    fn random(rng: &mut fastrand::Rng) -> Self {
        let mut key = || DesKey::new(rng.u64(..).to_be_bytes());
        Self { key1: key(), key2: key(), token: rng.u128(..).to_be_bytes() }
    }

    fn double(inner: &DesKey, outer: &DesKey, text: &mut [u8]) {
        for key in [inner, outer] {
            let des = des::Des::new(key.as_bytes().into());
            for block in text.as_chunks_mut::<8>().0 {
                des.encrypt_block(block.into());
            }
        }
    }

    fn message20(&self) -> [u8; 24] {
        let mut text = [8; 24];
        text[..16].copy_from_slice(&self.token);
        Self::double(&self.key1, &self.key1, &mut text);
        text
    }

    fn body30(&self, number: u64) -> Result<[u8; 80], Box<dyn Error>> {
        let mut body = [8; 80];
        body[..8].copy_from_slice(&number.to_be_bytes());
        body[8..24].copy_from_slice(b"not a real UUID.");
        Self::double(&self.key1, &self.key2, &mut body[..32]);
        body[32..48].copy_from_slice(&self.token);
        let mut mac = <hmac::Hmac<sha2::Sha256> as KeyInit>::new_from_slice(self.key2.as_bytes())?;
        mac.update(&body[..48]);
        body[48..].copy_from_slice(&mac.finalize().into_bytes());
        Ok(body)
    }
}

/// `bits` unknown bits at random places.
fn unknown(rng: &mut fastrand::Rng, bits: usize) -> u64 {
    let mut places: Vec<u32> = (0..56).collect();
    rng.shuffle(&mut places);
    places.iter().take(bits).fold(0, |mask, place| mask | 1 << place)
}

fn show(progress: &SearchProgress) -> ControlFlow<()> {
    let SearchProgress { tried, of, keys_per_second, elapsed, .. } = *progress;
    eprint!(
        "\r{:5.1} % of 2^{:.1}, {:.0} million keys/s, {:.1} s   ",
        100.0 * tried as f64 / of as f64,
        (of as f64).log2(),
        keys_per_second / 1e6,
        elapsed.as_secs_f64()
    );
    ControlFlow::Continue(())
}

fn keys(bits: usize) -> Result<(), Box<dyn Error>> {
    let mut rng = fastrand::Rng::new();
    let session = Session::random(&mut rng);
    // All keys are tried: the time at worst.
    let run = SearchRun { first_only: false, ..SearchRun::all_cores() };
    let space = KeySpace::around(&session.key1, unknown(&mut rng, bits));
    let start = Instant::now();
    let message = session.message20();
    let found = recover::key1(&message, Some(&session.token), &space, &run, &mut show)?;
    eprintln!();
    let SearchOutcome::Done(found) = found else { return Err("stopped".into()) };
    println!("Key1: {} found in {:.1} s", found.len(), start.elapsed().as_secs_f64());
    let [key1] = &found[..] else { return Err("one key was hidden".into()) };
    let space = KeySpace::around(&session.key2, unknown(&mut rng, bits));
    let start = Instant::now();
    let found = recover::key2(key1, &session.body30(42)?, &space, &run, &mut show)?;
    eprintln!();
    let SearchOutcome::Done(found) = found else { return Err("stopped".into()) };
    let is_it = found.iter().any(|key| key.as_bytes() == session.key2.as_bytes());
    println!("Key2: found with its parity: {is_it}, in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn meet(bits: usize, mebibytes: u64) -> Result<(), Box<dyn Error>> {
    let mut rng = fastrand::Rng::new();
    let session = Session::random(&mut rng);
    let body = session.body30(42)?;
    let block = |i: usize| std::array::from_fn(|byte| body[8 * i + byte]);
    let pairs = [
        Pair { plaintext: PAD, ciphertext: block(3) },
        Pair { plaintext: 42_u64.to_be_bytes(), ciphertext: block(0) },
    ];
    let [space1, space2] =
        [&session.key1, &session.key2].map(|key| KeySpace::around(key, unknown(&mut rng, bits)));
    let run = SearchRun { first_only: false, ..SearchRun::all_cores() };
    let start = Instant::now();
    let found = recover::meet(&pairs, &space1, &space2, mebibytes << 20, &run, &mut show)?;
    eprintln!();
    let SearchOutcome::Done(found) = found else { return Err("stopped".into()) };
    println!("{} found in {:.1} s", found.len(), start.elapsed().as_secs_f64());
    let is_it = found.iter().any(|(key1, key2)| {
        key1.bits() == session.key1.bits() && key2.bits() == session.key2.bits()
    });
    println!("the session's keys: {is_it}");
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or(""));
    Ok(())
}
