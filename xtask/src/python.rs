//! The Python package: built by maturin, installed into a clean environment as a user does, and
//! tested there; and what benchmarks and releases need of it.

use std::path::{Path, PathBuf};

use crate::process;
use crate::shell::{self, root};

/// The Python that most wheels are for.
const COMPATIBILITY: &str = "manylinux2014";

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        [] => test(),
        ["wheel"] => release(&[]),
        ["wheel", "--target", triple] => release(&["--target", triple]),
        ["sdist"] => {
            let tools = tools()?;
            let folder = fresh(folder().join("sdist"))?;
            maturin(&tools, &["sdist", "--out", &folder.display().to_string()])?;
            println!("made {}", only_file(&folder)?.display());
            Ok(())
        }
        _ => Err("usage: cargo xtask python [wheel [--target TRIPLE] | sdist]".into()),
    }
}

/// The tests of the package, of its types, and of the examples in its documentation.
fn test() -> Result<(), String> {
    let tools = tools()?;
    shell::run("cargo", &["build", "--release"], &[])?;
    // What the tests have built of it is used again.
    let wheel = wheel(&tools, "dev")?;
    let python = installed(&tools, "test", &wheel)?;
    let server = root().join(process::target()).join("release/ddes").display().to_string();
    let discover = ["-m", "unittest", "discover", "-s", "python/tests"];
    shell::run(&python, &discover, &[("DDES", &server)])?;
    types(&tools, &wheel)
}

/// Whether the types are sound, and the stubs are those of the module.
fn types(tools: &str, wheel: &Path) -> Result<(), String> {
    install(tools, tools, &["--no-deps", "--force-reinstall", &wheel.display().to_string()])?;
    let package = root().join("python");
    shell::run_in(&package, tools, &["-m", "mypy", "--no-error-summary"], &[])?;
    // Beside the folder of the sources: it is the installed package that is compared.
    let settings = package.join("pyproject.toml").display().to_string();
    let compare = ["-m", "mypy.stubtest", "ddes", "--mypy-config-file", &settings];
    shell::run_in(&folder(), tools, &compare, &[])
}

/// A Python with the package as a release has it, and what it is measured beside.
pub(crate) fn to_measure() -> Result<String, String> {
    let tools = tools()?;
    let python = installed(&tools, "bench", &wheel(&tools, "release")?)?;
    install(&tools, &python, &["-r", "python/requirements-bench.txt"])?;
    Ok(python)
}

/// A wheel for other machines: linked by zig against an old glibc, stripped.
fn release(flags: &[&str]) -> Result<(), String> {
    let folder = shell::tools().join("python-wheel");
    let tools = shell::environment(&folder, "python/requirements-wheel.txt")?;
    let wheels = fresh(self::folder().join("wheel"))?;
    let wheels_shown = wheels.display().to_string();
    let build = ["build", "--profile", "dist", "--zig", "--compatibility", COMPATIBILITY];
    maturin(&tools, &[&build[..], &["--out", &wheels_shown], flags].concat())?;
    println!("made {}", only_file(&wheels)?.display());
    Ok(())
}

/// What builds and checks the package.
fn tools() -> Result<String, String> {
    shell::environment(&shell::tools().join("python"), "python/requirements.txt")
}

fn folder() -> PathBuf {
    root().join(process::target()).join("python")
}

/// The wheel for this machine.
fn wheel(tools: &str, profile: &str) -> Result<PathBuf, String> {
    let folder = fresh(folder().join(format!("wheel-{profile}")))?;
    let shown = folder.display().to_string();
    let build = ["build", "--profile", profile, "--compatibility", "linux", "--out", &shown];
    maturin(tools, &build)?;
    only_file(&folder)
}

/// Runs maturin where pyproject.toml is, with its environment's programs found first.
fn maturin(tools: &str, arguments: &[&str]) -> Result<(), String> {
    let bin = Path::new(tools).parent().unwrap_or(Path::new("")).display().to_string();
    let path = std::env::var("PATH").map_err(|error| format!("PATH: {error}"))?;
    let maturin = format!("{bin}/maturin");
    let environment = [("PATH", &*format!("{bin}:{path}"))];
    shell::run_in(&root().join("python"), &maturin, arguments, &environment)
}

/// A Python that has the wheel and nothing else.
fn installed(tools: &str, name: &str, wheel: &Path) -> Result<String, String> {
    let folder = folder().join(name);
    shell::virtual_environment(&folder, &["--clear", "--without-pip"])?;
    let python = folder.join("bin/python").display().to_string();
    install(tools, &python, &["--no-deps", "--no-index", &wheel.display().to_string()])?;
    Ok(python)
}

/// Installs into the environment of `python` with the pip of the tools'.
fn install(tools: &str, python: &str, arguments: &[&str]) -> Result<(), String> {
    let pip = ["-m", "pip", "--python", python, "install", "--quiet"];
    shell::run(tools, &[&pip[..], &["--disable-pip-version-check"], arguments].concat(), &[])
}

/// An empty folder.
fn fresh(folder: PathBuf) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(failed)?;
    }
    std::fs::create_dir_all(&folder).map_err(failed)?;
    Ok(folder)
}

fn only_file(folder: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files = std::fs::read_dir(folder).map_err(failed)?;
    let first = files.next().ok_or(format!("{} is empty", folder.display()))?.map_err(failed)?;
    match files.next() {
        None => Ok(first.path()),
        Some(_) => Err(format!("{} has more than one file", folder.display())),
    }
}
