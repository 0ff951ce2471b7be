//! `cargo xtask capi`: the C API. It writes `ddes.h`; `--prefix DIR` installs libraries, header and
//! pkg-config file. `check`, for `test`: whether the header is that of the sources, and programs in
//! C that use both libraries under AddressSanitizer and valgrind against a real server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{self, Random, Running, World, output};
use crate::shell::{self, root};

const CBINDGEN: &str = "0.29.4";
const USAGE: &str = "usage: cargo xtask capi [--prefix DIR]";
const HEADER: &str = "crates/capi/include/ddes.h";
/// What a program needs beside libddes.a, on Linux.
const PRIVATE: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";
/// The shared library's file, the name that programs remember, and the one that linkers look for.
const SHARED: [&str; 3] = ["libddes.so.", "libddes.so.0", "libddes.so"];

/// The integers of the example that is killed: 1 to this.
const LAST: u64 = 6_000;
const KILLS: usize = 5;
/// It is killed after at most so many.
const ADDED_MAX: usize = 400;

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        [] => header(&root().join(HEADER)),
        ["--prefix", folder] => {
            let build = ["build", "--release", "--package", "ddes-capi"];
            shell::run("cargo", &build, &[])?;
            let prefix = std::path::absolute(folder).map_err(|error| error.to_string())?;
            install(&prefix)?;
            println!("installed in {}", prefix.display());
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

/// Writes the header as the sources are now.
fn header(to: &Path) -> Result<(), String> {
    let cbindgen = shell::cargo_tool("cbindgen", CBINDGEN)?;
    let to = to.display().to_string();
    let made = ["--quiet", "--config", "crates/capi/cbindgen.toml", "--output", &to];
    shell::run(&cbindgen, &[&made[..], &["crates/capi"]].concat(), &[])
}

/// Puts what was built below `prefix`, as pkg-config knows it. The libraries are without what only
/// a debugger reads; the static one keeps the names by which a linker finds its parts.
fn install(prefix: &Path) -> Result<(), String> {
    let built = process::target().join("release");
    let (lib, include) = (prefix.join("lib"), prefix.join("include"));
    let failed = |error: std::io::Error| format!("{}: {error}", prefix.display());
    fs::create_dir_all(lib.join("pkgconfig")).map_err(failed)?;
    fs::create_dir_all(&include).map_err(failed)?;
    fs::copy(root().join(HEADER), include.join("ddes.h")).map_err(failed)?;
    let [file, remembered, plain] = SHARED;
    let file = format!("{file}{}", env!("CARGO_PKG_VERSION"));
    // A program may have the old file in its memory: it is replaced, not overwritten.
    for (name, of, unneeded) in
        [("libddes.a", "libddes.a", "--strip-debug"), (&*file, "libddes.so", "--strip-unneeded")]
    {
        let name = lib.join(name);
        remove(&name)?;
        let mut strip = Command::new("strip");
        strip.args([unneeded, "-o"]).arg(&name).arg(built.join(of));
        output(&mut strip).map_err(|why| format!("strip of {of}: {why}"))?;
    }
    for (name, leads_to) in [(remembered, &*file), (plain, remembered)] {
        remove(&lib.join(name))?;
        std::os::unix::fs::symlink(leads_to, lib.join(name)).map_err(failed)?;
    }
    let text = fs::read_to_string(root().join("crates/capi/ddes.pc.in")).map_err(failed)?;
    let text = text
        .replace("@PREFIX@", &prefix.display().to_string())
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@PRIVATE@", PRIVATE);
    fs::write(lib.join("pkgconfig/ddes.pc"), text).map_err(failed)
}

fn remove(file: &Path) -> Result<(), String> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", file.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The release build of the command and of the library for C: together, as they share their
/// dependencies.
pub(crate) fn build() -> Result<(), String> {
    let packages = ["--package", "ddes", "--package", "ddes-capi"];
    shell::run("cargo", &[&["build", "--release"][..], &packages].concat(), &[])
}

/// A step of `cargo xtask test`.
pub(crate) fn check() -> Result<(), String> {
    shell::installed("gcc", "gcc")?;
    shell::installed("pkg-config", "pkg-config")?;
    shell::installed("valgrind", "valgrind")?;
    let work = root().join("target/capi");
    fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    is_current(&work)?;
    build()?;
    let prefix = work.join("prefix");
    install(&prefix)?;
    let programs = Programs::compile(&work, &prefix)?;
    let world = World::new("capi")?;
    let outcome = programs.live(&world);
    world.end(outcome)
}

fn is_current(work: &Path) -> Result<(), String> {
    let made = work.join("ddes.h");
    header(&made)?;
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    if read(&made)? == read(&root().join(HEADER))? {
        Ok(())
    } else {
        Err(format!("{HEADER} is not of these sources: `cargo xtask capi` writes it"))
    }
}

/// A compiled program, and how it runs.
struct Program {
    name: &'static str,
    is_static: bool,
    is_sanitized: bool,
}

struct Programs {
    work: PathBuf,
    prefix: PathBuf,
    /// What AddressSanitizer is asked for.
    sanitizer: String,
}

/// Each source against both libraries: as it is, which valgrind runs, and with sanitizers.
const PROGRAMS: [Program; 6] = [
    Program { name: "count", is_static: false, is_sanitized: false },
    Program { name: "count", is_static: false, is_sanitized: true },
    Program { name: "count", is_static: true, is_sanitized: true },
    Program { name: "misuse", is_static: true, is_sanitized: false },
    Program { name: "misuse", is_static: true, is_sanitized: true },
    Program { name: "misuse", is_static: false, is_sanitized: true },
];

impl Program {
    fn file(&self) -> String {
        let library = if self.is_static { "static" } else { "shared" };
        let how = if self.is_sanitized { "-sanitized" } else { "" };
        format!("{}-{library}{how}", self.name)
    }

    fn source(&self) -> String {
        let folder = if self.name == "count" { "examples" } else { "tests" };
        format!("crates/capi/{folder}/{}.c", self.name)
    }
}

impl Programs {
    fn compile(work: &Path, prefix: &Path) -> Result<Self, String> {
        let found = |flags: &[&str]| {
            let mut pkg_config = Command::new("pkg-config");
            pkg_config.args(flags).arg("ddes");
            pkg_config.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
            output(&mut pkg_config)
        };
        let shared = found(&["--cflags", "--libs"])?;
        // Where both libraries are, a linker takes the shared one unless it is told the file.
        let fixed = found(&["--static", "--cflags", "--libs"])?.replace("-lddes", "-l:libddes.a");
        for program in &PROGRAMS {
            let mut gcc = Command::new("gcc");
            gcc.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-O1"]);
            if program.is_sanitized {
                gcc.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
            }
            gcc.arg("-o").arg(work.join(program.file())).arg(program.source()).arg("-pthread");
            let flags = if program.is_static { &fixed } else { &shared };
            gcc.args(flags.split_whitespace()).current_dir(root());
            output(&mut gcc).map_err(|why| format!("{}: {why}", program.file()))?;
        }
        let sanitizer = sanitizer(work)?;
        Ok(Self { work: work.to_owned(), prefix: prefix.to_owned(), sanitizer })
    }

    fn live(&self, world: &World) -> Result<(), String> {
        let mut server = world.serve(&mut Command::new(process::program("ddes")), &[])?;
        if !server.listens()? {
            return Err(format!("the server does not start:\n{}", server.said.text()));
        }
        for program in &PROGRAMS {
            if program.name == "misuse" {
                self.misuse(world, program)?;
            } else {
                self.count(world, program)?;
            }
        }
        self.killed(world)?;
        self.bound(world)
    }

    /// A new identity, and what a program needs of it: address, private file, fingerprint.
    fn identity(&self, world: &World, name: &str) -> Result<[String; 3], String> {
        ddes(world, &["key", "new", name])?;
        let key = world.home.join("identities").join(name).display().to_string();
        let shown = ddes(world, &["key", "show", "--server-key", "--json"])?;
        let trust = shown.split('"').find(|text| text.starts_with("SHA256:"));
        Ok([world.address.clone(), key, trust.ok_or("the server has no fingerprint")?.into()])
    }

    /// The program as it is run: one without sanitizers by valgrind.
    fn command(&self, program: &Program) -> Command {
        let path = self.work.join(program.file());
        let mut command = if program.is_sanitized {
            Command::new(path)
        } else {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
            // Not what is "possibly lost": the name that Rust gives to the main thread, and the
            // stacks that the C library keeps.
            let kinds = ["--errors-for-leak-kinds=definite,indirect"];
            valgrind.args(kinds).args(["--show-leak-kinds=definite,indirect"]);
            valgrind.arg(path);
            valgrind
        };
        command
            .env("ASAN_OPTIONS", &self.sanitizer)
            .env("LD_LIBRARY_PATH", self.prefix.join("lib"));
        command
    }

    fn misuse(&self, world: &World, program: &Program) -> Result<(), String> {
        let name = program.file();
        let folder = world.home.join(format!("outboxes-{name}"));
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let mut command = self.command(program);
        command.args(self.identity(world, &name)?).arg(&folder);
        output(&mut command).map_err(|why| format!("{name}: {why}"))?;
        println!("{name}: each mistake is a status");
        Ok(())
    }

    /// As many as a slow machine does in a second under valgrind.
    fn count(&self, world: &World, program: &Program) -> Result<(), String> {
        let name = program.file();
        let mut command = self.command(program);
        command.args(self.identity(world, &name)?).arg(world.home.join(format!("outbox-{name}")));
        let said = output(command.arg("100")).map_err(|why| format!("{name}: {why}"))?;
        agree(world, &name, &said, 100)
    }

    /// The example is killed in the middle of its adds, again and again.
    fn killed(&self, world: &World) -> Result<(), String> {
        let program = &PROGRAMS[0];
        let arguments = self.identity(world, "killed")?;
        let outbox = world.home.join("outbox-killed");
        let command = || {
            let mut command = Command::new(self.work.join(program.file()));
            command.env("LD_LIBRARY_PATH", self.prefix.join("lib"));
            command.args(&arguments).arg(&outbox).arg(LAST.to_string());
            command
        };
        let mut random = Random(process::clock() | 1);
        let mut added = 0;
        for kill in 1..=KILLS {
            let mut child = command();
            child.stdout(Stdio::piped());
            let mut child = child.spawn().map(Running).map_err(|error| error.to_string())?;
            let mut lines = BufReader::new(child.0.stdout.take().ok_or("no output")?).lines();
            for line in lines.by_ref().take(1 + random.index(ADDED_MAX)) {
                let line = line.map_err(|error| error.to_string())?;
                let number = line.strip_prefix("added ").and_then(|number| number.parse().ok());
                let number = number.ok_or_else(|| format!("kill {kill}: it says {line}"))?;
                if number <= added {
                    return Err(format!("kill {kill}: {number} is added a second time"));
                }
                added = number;
            }
            // Killed before its pipe is closed.
            drop(child);
            drop(lines);
        }
        let said = output(&mut command()).map_err(|why| format!("the last run: {why}"))?;
        println!("killed {KILLS} times, the last time after {added} of {LAST}");
        agree(world, "killed", &said, LAST)
    }

    /// Another language, by the header alone.
    fn bound(&self, world: &World) -> Result<(), String> {
        let mut python = Command::new(shell::python()?);
        python
            .arg(root().join("crates/capi/tests/bind.py"))
            .arg(self.prefix.join("lib/libddes.so"));
        let total = output(python.args(self.identity(world, "bound")?))?;
        println!("bound by ctypes: {}", total.trim());
        Ok(())
    }
}

/// The program's last line and the command's answer, with the sum of 1 to `last`.
fn agree(world: &World, identity: &str, said: &str, last: u64) -> Result<(), String> {
    let sum = last * (last + 1) / 2;
    let expected = format!("{last} integers, sum {sum}");
    let line = said.lines().last().unwrap_or("");
    let trust = ddes(world, &["key", "show", "--server-key", "--quiet"])?;
    ddes(world, &["trust", "add", &world.address, trust.trim()])?;
    let total = ddes(world, &["total", "--as", identity, "--server", &world.address])?;
    if line == expected && total.trim() == sum.to_string() {
        println!("{identity}: {line}; `ddes total` prints {}", total.trim());
        Ok(())
    } else {
        Err(format!("{identity}: {line}, and `ddes total` prints {total}; the sum is {sum}"))
    }
}

fn ddes(world: &World, arguments: &[&str]) -> Result<String, String> {
    output(Command::new(process::program("ddes")).args(arguments).env("DDES_HOME", &world.home))
}

/// Whether LeakSanitizer finds a leak here: it cannot where something traces processes.
fn sanitizer(work: &Path) -> Result<String, String> {
    let (source, program) = (work.join("leak.c"), work.join("leak"));
    let text = "#include <stdlib.h>\nint main(void) { volatile char *p = malloc(7); p = 0; return p != 0; }\n";
    fs::write(&source, text).map_err(|error| error.to_string())?;
    output(Command::new("gcc").args(["-fsanitize=address", "-o"]).arg(&program).arg(&source))?;
    let said = output(&mut Command::new(&program));
    if said.is_err_and(|said| said.contains("detected memory leaks")) {
        return Ok("detect_leaks=1".into());
    }
    println!("LeakSanitizer does not run here: leaks are found by valgrind alone");
    Ok("detect_leaks=0".into())
}
