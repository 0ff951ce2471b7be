//! The wheels where others install them: on the oldest and on a new Python, each with the C library
//! of its own Debian, and on aarch64 under an emulator. The tests of the package run there.
//!
//! Nothing is installed on this machine: Debian's packages are unpacked into a folder of the user's
//! cache, whichever release and processor they are for.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::wheels::{self, AARCH64};
use super::{TESTS, folder, fresh, install, only_file, server, tools};
use crate::process::output;
use crate::shell::{self, root};

/// A release of Debian, and the Python that it has.
struct DebianPython {
    suite: &'static str,
    architecture: &'static str,
    version: &'static str,
    /// Where its libraries are, below its folder.
    libraries: &'static [&'static str],
    /// What loads its programs, in the first of these folders.
    loader: &'static str,
    /// A wheel's processor, as its name has it.
    processor: &'static str,
    /// What runs its programs, and Debian's package of that; none on this processor.
    emulator: Option<(&'static str, &'static str)>,
}

const PYTHONS: [DebianPython; 3] = [
    DebianPython {
        suite: "bullseye",
        architecture: "amd64",
        version: "3.9",
        libraries: &["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"],
        loader: "ld-2.31.so",
        processor: "x86_64",
        emulator: None,
    },
    DebianPython {
        suite: "trixie",
        architecture: "amd64",
        version: "3.13",
        libraries: &["usr/lib/x86_64-linux-gnu"],
        loader: "ld-linux-x86-64.so.2",
        processor: "x86_64",
        emulator: None,
    },
    DebianPython {
        suite: "bookworm",
        architecture: "arm64",
        version: "3.11",
        libraries: &["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"],
        loader: "ld-linux-aarch64.so.1",
        processor: "aarch64",
        emulator: Some(("qemu-aarch64", "qemu-user")),
    },
];

/// Makes what a test starts by `sys.executable` the program that runs the tests.
const STARTED: &str = "import os, sys\nsys.executable = os.environ['DDES_TEST_PYTHON']\n";

pub(super) fn run() -> Result<(), String> {
    let (tools, server) = (tools()?, server()?);
    for python in &PYTHONS {
        let target = python.emulator.map(|_| AARCH64);
        let made_in = wheels::made_in(target);
        let wheel = match made_in.exists() {
            true => only_file(&made_in)?,
            false => wheels::make(target)?,
        };
        let begin = Instant::now();
        python.test(&tools, &wheel, &server)?;
        let took = begin.elapsed().as_secs_f32();
        println!("{}: the tests of the package passed in {took:.0} s", python.name());
    }
    Ok(())
}

impl DebianPython {
    fn name(&self) -> String {
        format!("Python {} of {} on {}", self.version, self.suite, self.processor)
    }

    fn test(&self, tools: &str, wheel: &Path, server: &str) -> Result<(), String> {
        let debian = self.unpacked()?;
        let work = fresh(folder().join(format!("elsewhere-{}-{}", self.suite, self.architecture)))?;
        let package = work.join("package");
        let platform = format!("manylinux2014_{}", self.processor);
        let shown = [package.display().to_string(), wheel.display().to_string()];
        let for_it = ["--platform", &platform, "--python-version", self.version];
        let found = ["--only-binary", ":all:", "--no-deps", "--no-index", "--target"];
        let given = [&shown[0][..], &shown[1]];
        install(tools, tools, &[&for_it[..], &found, &given].concat())?;
        write(&package.join("sitecustomize.py"), STARTED)?;
        let program = self.program(&debian, &work)?.display().to_string();
        let environment = [
            ("DDES", server),
            ("DDES_TEST_PYTHON", &program),
            ("PYTHONPATH", &shown[0]),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ];
        shell::run(&program, &TESTS, &environment).map_err(|why| format!("{}: {why}", self.name()))
    }

    /// A program that is its interpreter.
    fn program(&self, debian: &Path, work: &Path) -> Result<PathBuf, String> {
        let python = debian.join("usr/bin").join(format!("python{}", self.version));
        let Some((emulator, package)) = self.emulator else { return Ok(python) };
        shell::installed(emulator, package)?;
        let script = work.join("python");
        let (debian, python) = (debian.display(), python.display());
        write(&script, &format!("#!/bin/sh\nexec {emulator} -L {debian} {python} \"$@\"\n"))?;
        output(Command::new("chmod").arg("755").arg(&script))?;
        Ok(script)
    }

    /// The folder of its packages, made once.
    fn unpacked(&self) -> Result<PathBuf, String> {
        let name = format!("{}-{}-python{}", self.suite, self.architecture, self.version);
        let made = shell::cache("pythons")?.join(name);
        if made.exists() {
            return Ok(made);
        }
        let making = made.with_extension("new");
        fresh(making.clone())?;
        for package in self.download(&making.join("apt"))? {
            output(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&making))?;
        }
        if self.emulator.is_none() {
            self.bind(&making, &made)?;
        }
        let failed = |error: std::io::Error| format!("{}: {error}", making.display());
        fs::remove_dir_all(making.join("apt")).map_err(failed)?;
        fs::rename(&making, &made).map_err(failed)?;
        Ok(made)
    }

    /// The packages of the interpreter and of all that it needs, by an apt that knows of no other
    /// package and keeps all of its files in `folder`.
    fn download(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        let (lists, packages) = (folder.join("lists"), folder.join("cache/archives"));
        for folder in [&lists, &packages] {
            let partial = folder.join("partial");
            fs::create_dir_all(&partial).map_err(|error| format!("{partial:?}: {error}"))?;
        }
        let (sources, status) = (folder.join("sources.list"), folder.join("status"));
        write(&sources, &format!("deb {} {} main\n", mirror()?, self.suite))?;
        write(&status, "")?;
        let settings = [
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=/nonexistent".into(),
            format!("Dir::State::Lists={}", lists.display()),
            format!("Dir::State::Status={}", status.display()),
            format!("Dir::Cache={}", folder.join("cache").display()),
            format!("APT::Architecture={}", self.architecture),
            format!("APT::Architectures={}", self.architecture),
        ];
        let apt = |arguments: &[&str]| {
            let mut apt = Command::new("apt-get");
            apt.args(settings.iter().flat_map(|setting| ["-o", &**setting]));
            output(apt.arg("--quiet").args(arguments))
        };
        apt(&["update"])?;
        let python = format!("python{}", self.version);
        apt(&["install", "--yes", "--download-only", "--no-install-recommends", &python])?;
        let failed = |error: std::io::Error| format!("{}: {error}", packages.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(&packages).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension() == Some(OsStr::new("deb")) {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Lets the interpreter in `making`, which will be in `made`, use its own C library: that of
    /// this machine may be older.
    fn bind(&self, making: &Path, made: &Path) -> Result<(), String> {
        shell::installed("patchelf", "patchelf")?;
        let below = |folder: &&str| made.join(folder).display().to_string();
        let libraries: Vec<_> = self.libraries.iter().map(below).collect();
        let python = making.join("usr/bin").join(format!("python{}", self.version));
        let first = libraries.first().ok_or("it has no libraries")?;
        let mut patch = Command::new("patchelf");
        patch.args(["--set-interpreter", &format!("{first}/{}", self.loader)]);
        // Also for the libraries of its modules.
        patch.args(["--force-rpath", "--set-rpath", &libraries.join(":")]);
        output(patch.arg(python)).map(drop)
    }
}

/// Where this machine has its Debian from.
fn mirror() -> Result<String, String> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(CODENAME) $(REPO_URI)"]);
    targets.args(["Identifier: Packages", "Origin: Debian", "Component: main"]);
    let all = output(targets.current_dir(root()))?;
    // Updates and mended packages are of suites with a dash.
    let main = all.lines().filter_map(|line| line.split_once(' '));
    let main = main.into_iter().find(|(suite, _)| !suite.contains('-'));
    main.map(|(_, from)| from.to_owned()).ok_or_else(|| "apt has no packages of Debian".into())
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
