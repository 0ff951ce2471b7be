//! The project's chores: `cargo xtask test`, `tidy`, `book`, `bench`, `bench-compare`, `circuits`,
//! `faults`, `crash`, `power`, `rot`, `sim`, `shared`, `migrate`, `fleet`, `instructions`,
//! `loaded`, `mutants`, `fuzz`, `package`, `platforms`, `python`, `capi`, `semver`, `release`.
//! Knows none of our crates' insides.

mod bench;
mod book;
mod capi;
mod crash;
mod debian;
mod deny;
mod failpoints;
mod faults;
mod fleet;
mod fuzz;
mod hardships;
mod instructions;
mod loaded;
mod map;
mod migrate;
mod mutants;
mod package;
mod page;
mod platforms;
mod power;
mod process;
mod python;
mod release;
mod rot;
mod semver;
mod shared;
mod shell;
mod sim;
mod survivors;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--only STEP]   everything a change must pass; installs what it needs
  tidy                 the rules of style that a program can check
  book [--short]       the documentation as a site, in target/book, checked in a browser
  bench WHAT [--short] ddes beside its peers; `bench help` lists what there is
  bench-compare [--short] ddes beside Redis over TLS, tokio-rustls and the Python peer
  circuits COMMAND     search | list | write: logic circuits for the S-boxes
  faults [--short]     1 to 100,000 sent by a client that is killed and cut off at random
  crash [--short]      a server killed at random under many clients, its lock, list, files and folder taken away; `--failpoints`: at each kind of file call
  power [--short]      power cuts in what a real server wrote
  rot [--short]        bits that flip and tails that vanish in a ledger at rest
  sim --seeds N [--from SEED] [--world folder|database] | --seed SEED [--world ...] | --short | --mutants [NAME...]
                       worlds of clients, servers and ledger with every fault, from a seed
  shared [--secs N] | --mutants
                       servers that fight for accounts in a PostgreSQL, through proxies that break connections
  migrate [--accounts N]
                       a ledger of a million accounts goes from its folder into a PostgreSQL and back
  fleet [--short] [--only PHASE]... | --mutants [NAME...]
                       three servers on one ledger under Patroni, and clients that hop, while hosts, networks and disks fail; as root
  loaded [RUNS]        the tests ten times beside a load of 16
  instructions         callgrind's counts under several secrets: they must be the same
  mutants [GROUP...] [--shard K/N] [--fresh] | --diff [COMMIT]
                       changes that no test notices, all or in the lines of a change; see xtask/mutants.txt
  package [--debug] [--test]
                       the Debian package, in target/debian; its life in a clean Debian
  python [--wheel FILE | wheel [--target TRIPLE] | elsewhere | sdist]
                       tests the Python package, or a wheel of it; makes its wheel for other machines, in target/python, and tests it on other Pythons; or makes its source package
  platforms [--short]  aarch64 and s390x under an emulator; macOS and Windows by `cargo check`
  capi [--prefix DIR]  writes ddes.h; or installs the C library below DIR, with its pkg-config file
  semver               what a caller of ddes-client and ddes-wire would have to change, since the baseline
  release [--reproduce | --short | --alone FILE]
                       all files of a release, in target/release-VERSION; twice, and compared
  fuzz [TARGET] [--secs N]  each fuzz target for 10 minutes; needs the nightly compiler";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["test"] => test::run(None),
        ["test", "--only", step] => test::run(Some(step)),
        ["tidy"] => tidy::run(),
        ["book", ref rest @ ..] => book::run(rest),
        ["bench", ref rest @ ..] => bench::run(rest),
        ["bench-compare", ref rest @ ..] => bench::compare(rest),
        ["circuits", ref rest @ ..] => {
            let command = ["run", "--quiet", "--release", "--package", "ddes-circuits", "--"];
            shell::run("cargo", &[&command[..], rest].concat(), &[])
        }
        ["instructions"] => instructions::run(),
        ["faults", ref rest @ ..] => faults::run(rest),
        ["crash", ref rest @ ..] => crash::run(rest),
        ["power", ref rest @ ..] => power::run(rest),
        ["loaded", ref rest @ ..] => loaded::run(rest),
        ["rot", ref rest @ ..] => rot::run(rest),
        ["migrate", ref rest @ ..] => migrate::run(rest),
        ["sim", ref rest @ ..] => sim::run(rest),
        ["shared", ref rest @ ..] => shared::run(rest),
        ["fleet", ref rest @ ..] => fleet::run(rest),
        ["fuzz", ref rest @ ..] => fuzz::run(rest),
        ["package", ref rest @ ..] => package::run(rest),
        ["python", ref rest @ ..] => python::run(rest),
        ["platforms", ref rest @ ..] => platforms::run(rest),
        ["capi", ref rest @ ..] => capi::run(rest),
        ["semver"] => semver::run(),
        ["release", ref rest @ ..] => release::run(rest),
        ["mutants", ref rest @ ..] => mutants::run(rest),
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
