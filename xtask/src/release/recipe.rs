//! What each program of a release is built with. All that could depend on where or when it is built
//! is settled here: folders, times, the environment, and the name of the commit.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::source::{self, Commit};
use super::{files, tools};
use crate::debian::{self, CARGO, RUSTC};
use crate::{process, shell};

/// A program on musl, so that nothing of the machine is needed to start it.
pub(super) struct OneFile {
    /// How a release names it.
    pub(super) platform: &'static str,
    target: &'static str,
    linker: Linker,
    /// What runs it here, where that is an emulator: static itself, so that it runs alone.
    pub(super) emulator: Option<&'static str>,
}

/// What a static program is linked with.
enum Linker {
    /// gcc, with musl from Debian's musl-tools: for this processor.
    Gcc,
    /// zig, with which wheels are linked too: it brings musl for others.
    Zig,
}

pub(super) const X86_64: OneFile = OneFile {
    platform: "x86_64-linux-static",
    target: "x86_64-unknown-linux-musl",
    linker: Linker::Gcc,
    emulator: None,
};
pub(super) const AARCH64: OneFile = OneFile {
    platform: "aarch64-linux-static",
    target: "aarch64-unknown-linux-musl",
    linker: Linker::Zig,
    emulator: Some("qemu-aarch64-static"),
};
/// Of the program that uses the machine's libraries.
const DYNAMIC: &str = "x86_64-unknown-linux-gnu";

/// What links a program, and what finds the packages that a package depends on.
const PACKAGES: [&str; 5] = ["musl-tools", "gcc", "libc6-dev", "binutils", "dpkg-dev"];
/// Where musl-tools has what a program begins and ends with.
const MUSL: &str = "/usr/lib/x86_64-linux-musl";

/// What would reach the compiler past this file.
const FOREIGN: &[&str] = &[
    "AR",
    "CC",
    "CFLAGS",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "LDFLAGS",
    "LD_LIBRARY_PATH",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
];
/// And what begins so: cargo takes any of its settings from the environment.
const FOREIGN_SETTINGS: &[&str] =
    &["CARGO_BUILD_", "CARGO_ENCODED_", "CARGO_PROFILE_", "CARGO_TARGET_"];

/// zig knows its target by another name than the one that build scripts add.
const ZIG_CC: &str = r#"#!/bin/sh
for argument; do
    shift
    case "$argument" in --target=*) ;; *) set -- "$@" "$argument" ;; esac
done
exec 'PYTHON' -m ziglang cc -target aarch64-linux-musl "$@"
"#;

/// What `cargo xtask python` makes of the Python package, and in which folder.
const PYTHON: &[(&[&str], &str)] = &[
    (&["wheel"], "wheel"),
    (&["wheel", "--target", "aarch64-unknown-linux-gnu"], "wheel-aarch64-unknown-linux-gnu"),
    (&["sdist", "--untested"], "sdist"),
];

pub(super) struct Recipe {
    tree: PathBuf,
    commit: String,
    secs: String,
    /// Folders of this machine, each with what is written in its place.
    places: Vec<(PathBuf, &'static str)>,
}

impl Recipe {
    pub(super) fn new(tree: &Path, commit: &Commit) -> Result<Self, String> {
        debian::rust_with(&PACKAGES)?;
        let home = std::env::home_dir().ok_or("there is no home directory")?;
        let cargo = std::env::var_os("CARGO_HOME").map_or(home.join(".cargo"), PathBuf::from);
        let (commit, secs) = (commit.id.clone(), commit.secs.clone());
        // The last one that fits is taken, and each may lie in one before it.
        let places = vec![(home, "/home"), (cargo, "/cargo"), (tree.to_owned(), "/ddes")];
        Ok(Self { tree: tree.to_owned(), commit, secs, places })
    }

    /// What holds for every program that makes something of a release.
    pub(super) fn settle(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_foreign(name)) {
            command.env_remove(name);
        }
        command.env("CARGO_TARGET_DIR", self.tree.join("target")).env("CARGO_INCREMENTAL", "0");
        command.env("SOURCE_DATE_EPOCH", &self.secs).env("DDES_COMMIT", &self.commit);
        command.env("LC_ALL", "C").env("TZ", "UTC").current_dir(&self.tree);
    }

    /// A flag for each folder that is to have another name.
    fn renamed(&self, flag: &str) -> Vec<String> {
        self.places.iter().map(|(from, to)| format!("{flag}={}={to}", from.display())).collect()
    }

    /// The flags behind `cargo build` for a target.
    fn build(&self, command: &mut Command, target: &str, profile: &str, flags: &[String]) {
        let flags = [&self.renamed("--remap-path-prefix")[..], flags].concat();
        // A string of Rust is one of TOML, too.
        let flags: Vec<_> = flags.iter().map(|flag| format!("{flag:?}")).collect();
        let flags = format!("target.{target}.rustflags=[{}]", flags.join(","));
        command.args(["--locked", "--package", "ddes", "--profile", profile, "--config", &flags]);
        let of_c = format!("CFLAGS_{}", target.replace('-', "_"));
        command.env(of_c, self.renamed("-ffile-prefix-map").join(" "));
        self.settle(command);
    }

    /// The program that needs nothing but the kernel. Where it is only compared and tried, it does
    /// without the list of its dependencies.
    pub(super) fn one_file(
        &self,
        one_file: &OneFile,
        profile: &str,
        has_list: bool,
    ) -> Result<PathBuf, String> {
        let target = one_file.target;
        let mut command = match has_list {
            true => auditable()?,
            false => Command::new(CARGO),
        };
        command.args(["build", "--target", target, "-Z", "build-std=std,panic_unwind"]);
        if let Some(emulator) = one_file.emulator {
            shell::installed(emulator, "qemu-user-static")?;
        }
        let (flags, compiler) = match one_file.linker {
            Linker::Gcc => (self.gcc_flags()?, PathBuf::from("musl-gcc")),
            Linker::Zig => {
                let compiler = self.zig_compiler()?;
                (zig_flags(&compiler), compiler)
            }
        };
        self.build(&mut command, target, profile, &flags);
        let path = std::env::var("PATH").map_err(|error| format!("PATH: {error}"))?;
        command.env("PATH", format!("/usr/bin:{path}"));
        // The last is for what no stable release of a compiler does: building its library.
        command.env("CARGO", CARGO).env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1");
        command.env(format!("CC_{}", target.replace('-', "_")), compiler);
        run(&mut command)?;
        Ok(self.tree.join("target").join(target).join(profile).join("ddes"))
    }

    /// How a program is linked that is static, and still lies at another address each time it runs.
    /// musl-gcc cannot make one, so it is gcc, with what musl-gcc would name.
    fn gcc_flags(&self) -> Result<Vec<String>, String> {
        let link = self.tree.join("target/link");
        files::empty(&link)?;
        let (object, archive) = (link.join("unwind.o"), link.join("libddes_unwind.a"));
        let mut compile = Command::new("musl-gcc");
        compile.args(["-O2", "-fPIE", "-c", "packaging/static/unwind.c", "-o"]).arg(&object);
        run(compile.current_dir(&self.tree))?;
        run(Command::new("ar").arg("rcsD").arg(&archive).arg(&object))?;
        // The name by which Rust's library asks for what unwinds the stack, on musl.
        files::write(&link.join("libunwind.a"), b"GROUP(-lgcc_eh -lddes_unwind)\n")?;
        let gcc = |name: &str| {
            let path =
                process::output(Command::new("gcc").arg(format!("-print-file-name={name}")))?;
            Ok::<_, String>(path.trim().to_owned())
        };
        let (begin, end) = (gcc("crtbeginS.o")?, gcc("crtendS.o")?);
        Ok(vec![
            "-Clinker=gcc".into(),
            "-Clink-self-contained=no".into(),
            format!("-Lnative={}", link.display()),
            format!("-Lnative={MUSL}"),
            "-Clink-arg=-nostartfiles".into(),
            format!("-Zpre-link-args={MUSL}/rcrt1.o"),
            format!("-Zpre-link-args={MUSL}/crti.o"),
            format!("-Zpre-link-args={begin}"),
            format!("-Clink-arg={end}"),
            format!("-Clink-arg={MUSL}/crtn.o"),
        ])
    }

    /// zig as a C compiler and linker for aarch64 on musl.
    fn zig_compiler(&self) -> Result<PathBuf, String> {
        let environment = shell::tools().join("python-wheel");
        let python = shell::environment(&environment, "python/requirements-wheel.txt")?;
        let script = self.tree.join("target/link-aarch64");
        let text = ZIG_CC.replace("PYTHON", &python);
        files::write(&script, text.as_bytes())?;
        run(Command::new("chmod").arg("755").arg(&script))?;
        Ok(script)
    }

    /// The program that uses the machine's C library.
    pub(super) fn dynamic(&self) -> Result<PathBuf, String> {
        let mut command = auditable()?;
        command.arg("build");
        self.build(&mut command, DYNAMIC, "dist", &[]);
        run(&mut command)?;
        Ok(self.tree.join("target/dist/ddes"))
    }

    /// The Python package, as wheels and as its sources, by the command of the tree itself.
    pub(super) fn python(&self, out: &Path) -> Result<(), String> {
        let made = self.tree.join("target/python");
        for (arguments, folder) in PYTHON {
            let mut command = Command::new("cargo");
            command.args(["run", "--quiet", "--package", "xtask", "--", "python"]).args(*arguments);
            self.settle(&mut command);
            // maturin passes no --config of its caller's on; cargo divides this at white space.
            let flags = self.renamed("--remap-path-prefix").join(" ");
            for target in ["X86_64", "AARCH64"] {
                command.env(format!("CARGO_TARGET_{target}_UNKNOWN_LINUX_GNU_RUSTFLAGS"), &flags);
            }
            run(&mut command)?;
            self.unpacked_names_no_place(&files::only(&made.join(folder), "")?)?;
            files::copy_all(&made.join(folder), out)?;
        }
        Ok(())
    }

    /// The same as [`Recipe::names_no_place`] of each file in a wheel or in an archive of sources.
    fn unpacked_names_no_place(&self, archive: &Path) -> Result<(), String> {
        let inside = self.tree.join("target/python/inside");
        files::empty(&inside)?;
        let unpack = "import shutil, sys; shutil.unpack_archive(*sys.argv[1:])";
        let format = if archive.extension() == Some(OsStr::new("whl")) { "zip" } else { "gztar" };
        let mut python = Command::new("python3");
        process::output(python.args(["-c", unpack]).args([archive, &inside]).arg(format))?;
        let all = source::listing(&inside, Path::new(""))?;
        match all.is_empty() {
            true => Err(format!("{} is empty", archive.display())),
            false => all.iter().try_for_each(|name| self.names_no_place(&inside.join(name))),
        }
    }

    /// What is built in, as CycloneDX has it.
    pub(super) fn list_of_materials(&self, file: &Path) -> Result<(), String> {
        let mut command = Command::new(tools::cyclonedx()?);
        command.args(["cyclonedx", "--quiet", "--format", "json", "--target", X86_64.target]);
        command.args([
            "--override-filename",
            "release",
            "--manifest-path",
            "crates/cli/Cargo.toml",
        ]);
        self.settle(&mut command);
        run(&mut command)?;
        let text = files::read_text(&self.tree.join("crates/cli/release.json"))?;
        // Our own crates are named by their folders.
        let text = text.replace(&self.tree.display().to_string(), "/ddes");
        tools::is_whole_list("the list of materials", &text)?;
        files::write(file, text.as_bytes())?;
        self.names_no_place(file)
    }

    /// Whether a program holds no name of a folder of this machine.
    pub(super) fn names_no_place(&self, program: &Path) -> Result<(), String> {
        let bytes = files::read(program)?;
        for (place, _) in &self.places {
            let name = format!("{}/", place.display());
            if contains(&bytes, name.as_bytes()) {
                return Err(format!("{} contains {name}", program.display()));
            }
        }
        Ok(())
    }

    /// Whether a program, run by an emulator if there is one, says of which commit it is.
    pub(super) fn names_its_commit(
        &self,
        program: &Path,
        emulator: Option<&str>,
    ) -> Result<(), String> {
        let mut command = emulator.map_or_else(|| Command::new(program), Command::new);
        if emulator.is_some() {
            command.arg(program);
        }
        let said = process::output(command.args(["version", "--json"]))?;
        match said.contains(&format!("\"commit\":\"{}\"", self.commit)) {
            true => Ok(()),
            false => Err(format!("{} is not of {}: {said}", program.display(), self.commit)),
        }
    }
}

/// zig brings all that a program begins and ends with, and what unwinds the stack.
fn zig_flags(compiler: &Path) -> Vec<String> {
    vec![
        format!("-Clinker={}", compiler.display()),
        "-Clink-self-contained=no".into(),
        "-Ctarget-feature=+crt-static".into(),
    ]
}

/// cargo, so that a program contains the list of its dependencies.
fn auditable() -> Result<Command, String> {
    let mut command = Command::new(tools::auditable()?);
    command.arg("auditable");
    Ok(command)
}

fn is_foreign(name: &OsStr) -> bool {
    // A name that is not UTF-8 is none of these.
    let name = name.to_str().unwrap_or("");
    FOREIGN.contains(&name) || FOREIGN_SETTINGS.iter().any(|setting| name.starts_with(setting))
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_this_machine_is_found_wherever_it_stands() {
        assert!(contains(b"abc/d/e", b"/d/") && contains(b"/d/", b"/d/"));
        assert!(!contains(b"abc/d", b"/d/") && !contains(b"", b"/d/"));
    }

    #[test]
    fn settings_of_the_environment_are_foreign_and_where_tools_are_is_not() {
        for name in ["RUSTFLAGS", "CC", "CARGO_PROFILE_DIST_LTO", "CARGO_TARGET_DIR"] {
            assert!(is_foreign(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO", "CARGO_HOME", "RUSTUP_TOOLCHAIN", ""] {
            assert!(!is_foreign(OsStr::new(name)), "{name}");
        }
    }
}
