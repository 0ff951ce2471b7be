//! `cargo xtask test`: what CI runs.

use std::io::ErrorKind;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::shell::{self, python};
use crate::tidy;
use crate::{
    bench, book, capi, crash, deny, faults, mutants, package, page, platforms, power, python, rot,
    sim,
};

const TESTS_PER_CORE: usize = 4;

/// A step's name, and what it does.
type Step = (&'static str, fn() -> Result<(), String>);

const STEPS: &[Step] = &[
    ("fmt", || shell::run("cargo", &["fmt", "--all", "--check"], &[])),
    ("tidy", tidy::run),
    ("clippy", || {
        shell::run(
            "cargo",
            &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
            &[],
        )
    }),
    ("doc", || {
        shell::run(
            "cargo",
            &["doc", "--workspace", "--no-deps", "--quiet"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        )
    }),
    ("deny", deny::run),
    ("peer", || shell::run(&python()?, &["-m", "unittest", "discover", "-s", "peer"], &[])),
    ("page", page::run),
    // The documentation as a site: dead links, the search, a part of its pages in a browser.
    ("book", || book::run(&["--short"])),
    // The commands are tested as a user runs them: from a release build.
    ("build", capi::build),
    ("tests", || {
        // Keys and signatures are checked against OpenSSH's own.
        shell::installed("ssh-keygen", "openssh-client")?;
        // And what is synced before a command says that it is there.
        shell::installed("strace", "strace")?;
        // Manual pages are rendered, and completions read by their shells.
        shell::installed("groff", "groff")?;
        shell::installed("zsh", "zsh")?;
        // Captures are read with Wireshark's own reader.
        shell::installed("tshark", "tshark")?;
        shell::installed("fish", "fish")?;
        // A ledger that several servers share is in a database that the tests start.
        shell::postgresql()?;
        // What failed tests left is there until the next run.
        remove_folders_of_tests()?;
        let environment = [("DDES_PEER_PYTHON", &*python()?), ("RUST_TEST_THREADS", &threads())];
        shell::run("cargo", &["test", "--workspace"], &environment)
    }),
    ("packaging", package::check),
    // The wheel, installed as a user does, against the server of the release build.
    ("python", || python::run(&[])),
    ("capi", capi::check),
    // As in a build that .cargo/config.toml does not reach: RUSTFLAGS of the environment take the
    // place of its flags.
    ("plain", || {
        let flags = [("RUSTFLAGS", "--cfg ddes_plain_build"), ("CARGO_TARGET_DIR", "target/plain")];
        shell::run("cargo", &["test", "--package", "ddes-identity"], &flags)
    }),
    // In the lines of this change, for three minutes at most.
    ("mutants", || mutants::run(&["--diff"])),
    ("faults", || faults::run(&["--short"])),
    ("crash", || crash::run(&["--short"])),
    ("failpoints", || crash::run(&["--short", "--failpoints"])),
    ("power", || power::run(&["--short"])),
    ("rot", || rot::run(&["--short"])),
    ("sim", || sim::run(&["--short"])),
    // On an emulated aarch64: what computes, the ledger, and a server with its client.
    ("platforms", || platforms::run(&["--short"])),
    // Whether the benchmarks run, not what they measure.
    ("bench", || {
        bench::run(&["classic", "--short"])?;
        bench::run(&["secure", "--short"])?;
        bench::run(&["ffdhe", "--short"])?;
        bench::run(&["ciphers", "--short"])?;
        bench::run(&["ledger", "--short"])?;
        bench::run(&["shared", "--short"])?;
        bench::run(&["soak", "--short"])?;
        bench::run(&["endpoint", "--short"])?;
        bench::run(&["harm", "--short"])?;
        bench::compare(&["--short"])
    }),
];

/// How many tests run side by side. Most of them wait for another process for most of their time:
/// with one for each core, half of the machine is idle.
fn threads() -> String {
    std::env::var("RUST_TEST_THREADS").unwrap_or_else(|_| {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        (cores * TESTS_PER_CORE).to_string()
    })
}

/// Each run leaves a gigabyte in them. They stay until the next run, for whoever looks for what a
/// failed test left.
fn remove_folders_of_tests() -> Result<(), String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let folder = target.unwrap_or_else(|| shell::root().join("target")).join("tmp");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Far longer than any step takes, cold and on a busy machine: a test that hangs is to fail by
/// name.
const STEP_MAX: Duration = Duration::from_secs(30 * 60);

fn run_step((name, step): &'static Step) -> Result<(), String> {
    println!("== {name}");
    let start = Instant::now();
    let (done, watched) = channel::<()>();
    std::thread::spawn(move || {
        if let Err(RecvTimeoutError::Timeout) = watched.recv_timeout(STEP_MAX) {
            eprintln!(
                "error: {name}: not done after {} minutes: what is it waiting for?",
                STEP_MAX.as_secs() / 60
            );
            std::process::exit(1);
        }
    });
    let outcome = step();
    drop(done);
    outcome.map_err(|error| format!("{name}: {error}"))?;
    println!("== {name} took {:.1} s", start.elapsed().as_secs_f32());
    Ok(())
}

pub(crate) fn run(only: Option<&str>) -> Result<(), String> {
    let names: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
    match only {
        None => STEPS.iter().try_for_each(run_step),
        Some(wanted) => {
            let step = STEPS.iter().find(|(name, _)| *name == wanted);
            run_step(
                step.ok_or_else(|| format!("no step '{wanted}'; there are {}", names.join(", ")))?,
            )
        }
    }
}
