//! `cargo xtask platforms`: other processors under an emulator, other systems by a compiler's
//! check.
//!
//! The usual toolchain has the standard library of this system alone. Debian's rustc-web and its
//! source build it for the others (`-Z build-std`); qemu-user runs what comes out.

mod counts;
mod interop;
mod toolchain;

use std::time::Instant;

use toolchain::{Foreign, Toolchain};

const USAGE: &str = "usage: cargo xtask platforms [--short]";

const AARCH64: Foreign = Foreign {
    name: "aarch64 Linux",
    triple: "aarch64-unknown-linux-gnu",
    linker: "aarch64-linux-gnu-gcc",
    emulator: "qemu-aarch64",
    libraries: "/usr/aarch64-linux-gnu",
    packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
};

/// Big-endian.
const S390X: Foreign = Foreign {
    name: "s390x Linux",
    triple: "s390x-unknown-linux-gnu",
    linker: "s390x-linux-gnu-gcc",
    emulator: "qemu-s390x",
    libraries: "/usr/s390x-linux-gnu",
    packages: &["gcc-s390x-linux-gnu", "libc6-dev-s390x-cross"],
};

/// What computes, and what has bytes in an order.
const CORE: &[&str] = &["ddes-cipher", "ddes-ffdhe", "ddes-wire", "ddes-ledger"];

/// The rest below a client's sockets.
const SESSION: &[&str] = &["ddes-identity", "ddes-session"];

/// Files of tests that the short form leaves out, and why.
const LONG: &[(&str, &str)] = &[
    ("moved", "hundreds of moves, each cut off at every call"),
    ("power", "a ledger cut off at every call"),
    ("shared", "thousands of transactions of servers that fight"),
    ("store", "thousands of entries, written and read again in many orders"),
];

/// The other files of tests of [`CORE`].
const QUICK: &[&str] = &[
    "agreement",
    "checkpoints",
    "engines",
    "folder",
    "groups",
    "journal",
    "known_answers",
    "live",
    "older",
    "pace",
    "rules",
    "schema",
    "search",
    "secrets",
    "slices",
    "tables",
    "wire",
];

/// Single tests that are not run under an emulator, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "bases_whose_carries_ripple",
        "eighty exponentiations on each engine; modulus64.rs holds the carries limb by limb",
    ),
    (
        "it_finds_what_was_entered_and_nothing_else",
        "60,000 entries of a table, each looked for twice",
    ),
];

/// Searches and exponentiations of one test: an emulator takes ten to fifty times as long.
const FEW_ROUNDS: (&str, &str) = ("DDES_ROUNDS", "1");

/// The systems of clients that nothing here can run.
const CHECKED: &[(&str, &str)] = &[
    ("macOS on aarch64", "aarch64-apple-darwin"),
    ("Windows on x86-64", "x86_64-pc-windows-msvc"),
];

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let is_short = match arguments {
        [] => false,
        ["--short"] => true,
        _ => return Err(USAGE.into()),
    };
    let foreign: &[&Foreign] = if is_short { &[&AARCH64] } else { &[&AARCH64, &S390X] };
    match Toolchain::install(foreign) {
        Ok(()) => {}
        // A machine of CI may have no way to Debian's packages. Whoever asks for all hears an
        // error.
        Err(why) if is_short => {
            println!("!! LEFT OUT: nothing was tested on another processor: {why}");
            return Ok(());
        }
        Err(why) => return Err(why),
    }
    let toolchain = Toolchain::new()?;
    println!("left out under the emulator:");
    for (test, why) in LEFT_OUT.iter().chain(if is_short { LONG } else { &[] }) {
        println!("  {test}: {why}");
    }
    let mut table = Table::default();
    let files: Vec<&str> = match is_short {
        true => QUICK.iter().flat_map(|file| ["--test", *file]).collect(),
        false => vec!["--tests"],
    };
    table.take(AARCH64.name, "tests of cipher, ffdhe, wire, ledger", || {
        tests(&toolchain, &AARCH64, CORE, &files)
    });
    table.take(AARCH64.name, "send and serve", || interop::send_and_serve(&toolchain, &AARCH64));
    if !is_short {
        table.take(AARCH64.name, "the Python peer, both ways", || {
            interop::python(&toolchain, &AARCH64)
        });
        table.take(AARCH64.name, "tests of identity, session", || {
            tests(&toolchain, &AARCH64, SESSION, &files)
        });
        table.take(AARCH64.name, "instructions of an exponentiation", || {
            counts::compare(&toolchain, &AARCH64)
        });
        table.take(S390X.name, "tests of cipher, ffdhe, wire, ledger", || {
            tests(&toolchain, &S390X, CORE, &files)
        });
        for (name, triple) in CHECKED {
            table.take(name, "cargo check of client and cli", || check(&toolchain, triple));
        }
    }
    table.end()
}

fn tests(
    toolchain: &Toolchain,
    foreign: &Foreign,
    packages: &[&str],
    files: &[&str],
) -> Result<(), String> {
    let mut arguments = vec!["test", "--quiet", "--lib"];
    arguments.extend(files);
    arguments.extend(packages.iter().flat_map(|package| ["--package", package]));
    arguments.push("--");
    arguments.extend(LEFT_OUT.iter().flat_map(|(test, _)| ["--skip", test]));
    toolchain.cargo(foreign.triple, &arguments, &[FEW_ROUNDS])
}

fn check(toolchain: &Toolchain, triple: &str) -> Result<(), String> {
    let arguments = ["check", "--quiet", "--package", "ddes-client", "--package", "ddes"];
    // Nothing is linked, so that what build scripts compile of C is not needed; this compiles none.
    toolchain.cargo(triple, &arguments, &[("CC", "true"), ("AR", "true")])
}

/// What was asked, and what came out.
#[derive(Default)]
struct Table(Vec<(String, Result<(), String>)>);

impl Table {
    fn take(&mut self, platform: &str, what: &str, ask: impl FnOnce() -> Result<(), String>) {
        println!("== {platform}: {what}");
        let start = Instant::now();
        let outcome = ask();
        if let Err(why) = &outcome {
            println!("{why}");
        }
        let took = format!("{:.0} s", start.elapsed().as_secs_f32());
        let said = if outcome.is_ok() { "passed" } else { "FAILED" };
        self.0.push((format!("| {platform} | {what} | {said} | {took} |"), outcome));
    }

    /// Prints all of it; an error if anything failed.
    fn end(self) -> Result<(), String> {
        println!("| platform | what | outcome | took |\n|---|---|---|---|");
        for (row, _) in &self.0 {
            println!("{row}");
        }
        let failed = self.0.iter().filter(|(_, outcome)| outcome.is_err()).count();
        if failed == 0 { Ok(()) } else { Err(format!("platforms: {failed} of them failed")) }
    }
}
