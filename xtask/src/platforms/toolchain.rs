//! Debian's compiler for the web, which can build the standard library from its source, and the
//! linkers and emulators of other processors.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{self, CARGO, RUSTC};
use crate::release::source::copy_as_they_are;
use crate::shell;

const EMULATORS: &str = "qemu-user";

/// Dependencies and the standard library are built for few tests. But for the big integers, to
/// which the tests of exponentiations compare.
const QUICKER: [&str; 4] = [
    "--config",
    "profile.dev.package.\"*\".opt-level=1",
    "--config",
    "profile.dev.package.crypto-bigint.opt-level=2",
];

/// Another processor that an emulator runs.
pub(super) struct Foreign {
    pub(super) name: &'static str,
    pub(super) triple: &'static str,
    pub(super) linker: &'static str,
    pub(super) emulator: &'static str,
    /// Where its C library is.
    pub(super) libraries: &'static str,
    pub(super) packages: &'static [&'static str],
}

pub(super) struct Toolchain {
    /// The standard libraries are in it, so it outlives this checkout.
    target: PathBuf,
    /// A copy of the sources, the same folder for each checkout. cargo judges by times and by names
    /// below the workspace: of two checkouts with one target folder, it would take the programs of
    /// the other for those of this one.
    sources: PathBuf,
    /// No other checkout builds while this is held.
    _held: File,
}

impl Toolchain {
    /// Installs what is missing; an error says why it is not to be had.
    pub(super) fn install(foreign: &[&Foreign]) -> Result<(), String> {
        let mut wanted = vec![EMULATORS];
        wanted.extend(foreign.iter().flat_map(|foreign| foreign.packages));
        debian::rust_with(&wanted)
    }

    pub(super) fn new() -> Result<Self, String> {
        let number = &*debian::version()?;
        let all = shell::cache("platforms")?;
        let held = shell::hold(&all.join("lock"))?;
        remove_others(&all, &[number, "lock", "sources"])?;
        let sources = all.join("sources");
        copy_as_they_are(&sources)?;
        Ok(Self { target: all.join(number), sources, _held: held })
    }

    /// Runs cargo for a target, to its end.
    pub(super) fn cargo(
        &self,
        triple: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<(), String> {
        let Some((command, rest)) = arguments.split_first() else {
            return Err("cargo needs a command".into());
        };
        let mut cargo = Command::new(CARGO);
        cargo.arg(command).args(["--target", triple, "-Z", "build-std=std,panic_unwind"]);
        cargo.args(QUICKER);
        // Each dependency is built once, whichever of our crates are asked for.
        cargo.args(["-Z", "feature-unification"]).args(rest);
        cargo.current_dir(&self.sources).env("CARGO_RESOLVER_FEATURE_UNIFICATION", "workspace");
        cargo.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1").env("PATH", path());
        cargo.env("CARGO_TARGET_DIR", &self.target).env_remove("RUSTFLAGS");
        // Half of the size, and of the time for linking; and code that an emulator need not run
        // unoptimised.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "false").env("CARGO_INCREMENTAL", "0");
        cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        for foreign in [&super::AARCH64, &super::S390X] {
            let name = foreign.triple.replace('-', "_").to_uppercase();
            cargo.env(format!("CARGO_TARGET_{name}_LINKER"), foreign.linker);
            cargo.env(
                format!("CARGO_TARGET_{name}_RUNNER"),
                format!("{} -L {}", foreign.emulator, foreign.libraries),
            );
        }
        cargo.envs(environment.iter().copied());
        let status = cargo.status().map_err(|error| format!("cannot run {CARGO}: {error}"))?;
        let shown = arguments.join(" ");
        if status.success() {
            Ok(())
        } else {
            Err(format!("`cargo {shown}` for {triple}: {status}"))
        }
    }

    /// A program of the tests' profile, under the emulator.
    pub(super) fn emulated(&self, foreign: &Foreign, program: &str) -> Command {
        self.emulated_with(foreign, &[], &format!("debug/{program}"))
    }

    /// A program that was built, below the target's folder, under the emulator with its `flags`.
    pub(super) fn emulated_with(
        &self,
        foreign: &Foreign,
        flags: &[&str],
        program: &str,
    ) -> Command {
        let mut command = Command::new(foreign.emulator);
        command.args(["-L", foreign.libraries]).args(flags);
        command.arg(self.target.join(foreign.triple).join(program));
        command
    }
}

/// `/usr/bin` first: what cargo calls by name is of the same release.
fn path() -> OsString {
    let mut path = OsString::from("/usr/bin");
    if let Some(others) = std::env::var_os("PATH") {
        path.push(":");
        path.push(others);
    }
    path
}

/// What another release has built is of no use to this one.
fn remove_others(folder: &Path, kept: &[&str]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !kept.iter().any(|name| entry.file_name() == *name) {
            fs::remove_dir_all(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
