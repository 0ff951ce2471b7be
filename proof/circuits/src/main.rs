//! Searches the circuits, and writes what crates/cipher compiles. `cargo xtask circuits` builds and
//! runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ddes_circuits::search::{Basis, Outcome, Pool};
use ddes_circuits::{Circuit, assembly, assembly_of_each, assembly_of_part, source, target};

const USAGE: &str = "\
usage: ddes-circuits COMMAND

  search two|three SECONDS [SEED]   each S-box for so long, on all cores; keeps what is smaller
                                    than in proof/circuits/found
  list                              gates of what was found
  write                             crates/cipher/src/bitslice/{two,{round,sbox,part}_of_{two,three}}.rs, from what was found";

/// A search begins anew after this long, in another part of the space.
const RESTART: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["search", basis, seconds] => search(basis, seconds, "1"),
        ["search", basis, seconds, seed] => search(basis, seconds, seed),
        ["list"] => list(),
        ["write"] => write(),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn search(basis: &str, seconds: &str, seed: &str) -> Result<(), String> {
    let (folder, basis) = match basis {
        "two" => ("two", Basis::Two),
        "three" => ("three", Basis::Three),
        _ => return Err(USAGE.to_owned()),
    };
    let time = Duration::from_secs(number(seconds)?);
    let seed: u64 = number(seed)?;
    let boxes = Mutex::new(0..8_usize);
    let next = || boxes.lock().ok().and_then(|mut boxes| boxes.next());
    let work = || -> Result<(), String> {
        while let Some(sbox) = next() {
            one(basis, folder, sbox, time, seed)?;
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread died".to_owned())?)
    })
}

/// One S-box, from a new start every [`RESTART`].
fn one(basis: Basis, folder: &str, sbox: usize, time: Duration, seed: u64) -> Result<(), String> {
    let file = file(folder, sbox);
    let mut known = read(&file).map_or(usize::MAX, |circuit| circuit.gates.len());
    let start = Instant::now();
    let mut turn = 0;
    while start.elapsed() < time {
        let mut pool = Pool::new(basis, sbox, seed.wrapping_mul(1_000_003) + turn);
        turn += 1;
        let began = Instant::now();
        while start.elapsed() < time && began.elapsed() < RESTART {
            let Outcome::Whole { gates } = pool.step() else { continue };
            let Some(circuit) = pool.best().filter(|_| gates < known) else { continue };
            assert_eq!(
                circuit.tables(),
                [0, 1, 2, 3].map(|bit| target(sbox, bit)),
                "S{}",
                sbox + 1
            );
            fs::write(&file, circuit.to_string())
                .map_err(|error| format!("{}: {error}", file.display()))?;
            known = gates;
            println!("{folder} S{}: {gates} gates after {} s", sbox + 1, start.elapsed().as_secs());
        }
    }
    Ok(())
}

fn list() -> Result<(), String> {
    for folder in ["two", "three"] {
        let gates: Vec<usize> = (0..8)
            .map(|sbox| read(&file(folder, sbox)).map(|circuit| circuit.gates.len()))
            .collect::<Result<_, _>>()?;
        println!("{folder}: {gates:?}, {:.2} on average", gates.iter().sum::<usize>() as f64 / 8.0);
    }
    Ok(())
}

fn write() -> Result<(), String> {
    let [two, three] = ["two", "three"].map(|folder| {
        let circuits: Vec<Circuit> =
            (0..8).map(|sbox| read(&file(folder, sbox))).collect::<Result<_, _>>()?;
        circuits.try_into().map_err(|_| "eight S-boxes".to_owned())
    });
    let (two, three): ([Circuit; 8], [Circuit; 8]) = (two?, three?);
    for (name, text) in [
        ("two", source(&two)),
        ("round_of_two", assembly(Basis::Two, &two)),
        ("round_of_three", assembly(Basis::Three, &three)),
        ("sbox_of_two", assembly_of_each(Basis::Two, &two)),
        ("sbox_of_three", assembly_of_each(Basis::Three, &three)),
        ("part_of_two", assembly_of_part(Basis::Two, &two)),
        ("part_of_three", assembly_of_part(Basis::Three, &three)),
    ] {
        let path = format!("../../crates/cipher/src/bitslice/{name}.rs");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<Circuit, String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    Circuit::from_str(&text).map_err(|error| format!("{name}: {error}"))
}

fn file(folder: &str, sbox: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("found")
        .join(folder)
        .join(format!("s{}.txt", sbox + 1))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is no number"))
}
