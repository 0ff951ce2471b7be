//! The Python package: built by maturin, installed into a clean environment as a user does, and
//! tested there; and what benchmarks and releases need of it.

mod elsewhere;
mod wheels;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, output};
use crate::shell::{self, root};

const USAGE: &str = "usage: cargo xtask python [--wheel FILE | wheel [--target TRIPLE] | elsewhere | sdist [--untested]]";

/// What .cargo/config.toml says to every program that cargo runs here, and users have not.
const OF_THE_WORKSPACE: [&str; 3] =
    ["PYO3_BUILD_EXTENSION_MODULE", "PYO3_CONFIG_FILE", "CARGO_TARGET_DIR"];

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        [] => test(None),
        ["--wheel", file] => test(Some(Path::new(file))),
        ["wheel"] => wheels::make(None).map(drop),
        ["wheel", "--target", triple] => wheels::make(Some(triple)).map(drop),
        ["elsewhere"] => elsewhere::run(),
        ["sdist"] => test_sdist(&sdist()?),
        ["sdist", "--untested"] => sdist().map(drop),
        _ => Err(USAGE.into()),
    }
}

/// The tests of the package, of its types, and of the examples in its documentation; with a wheel
/// that is there already, or with one that is made for them.
fn test(wheel: Option<&Path>) -> Result<(), String> {
    let tools = tools()?;
    let server = server()?;
    let wheel = match wheel {
        Some(wheel) => std::path::absolute(wheel).map_err(|error| error.to_string())?,
        // What the tests have built of it is used again.
        None => self::wheel(&tools, "dev")?,
    };
    let python = installed(&tools, "test", &wheel)?;
    shell::run(&python, &TESTS, &[("DDES", &server)])?;
    types(&tools, &wheel)
}

const TESTS: [&str; 5] = ["-m", "unittest", "discover", "-s", "python/tests"];

/// The program that the tests count at.
fn server() -> Result<String, String> {
    shell::run("cargo", &["build", "--release"], &[])?;
    Ok(root().join(process::target()).join("release/ddes").display().to_string())
}

/// Makes the source package.
fn sdist() -> Result<PathBuf, String> {
    let folder = fresh(folder().join("sdist"))?;
    maturin(&tools()?, &["sdist", "--out", &folder.display().to_string()], &[])?;
    let sdist = only_file(&folder)?;
    println!("made {}", sdist.display());
    Ok(sdist)
}

/// Whether it builds where nothing else of ours is, and does what the pages say.
fn test_sdist(sdist: &Path) -> Result<(), String> {
    let server = server()?;
    let clean = folder().join("sdist-test");
    shell::virtual_environment(&clean, &["--clear"])?;
    let python = clean.join("bin/python").display().to_string();
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).arg(sdist);
    // Not below the workspace, whose .cargo/config.toml cargo would find.
    pip.current_dir(std::env::temp_dir());
    for name in OF_THE_WORKSPACE {
        pip.env_remove(name);
    }
    output(&mut pip)?;
    let examples = [&TESTS[..], &["-p", "test_docs.py"]].concat();
    shell::run(&python, &examples, &[("DDES", &server)])
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
    maturin(tools, &build, &[])?;
    only_file(&folder)
}

/// Runs maturin where pyproject.toml is, with its environment's programs found first.
fn maturin(tools: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let path = std::env::var("PATH").map_err(|error| format!("PATH: {error}"))?;
    let path = format!("{}:{path}", bin(tools).display());
    let environment = [&[("PATH", &*path)], environment].concat();
    let maturin = bin(tools).join("maturin").display().to_string();
    shell::run_in(&root().join("python"), &maturin, arguments, &environment)
}

/// The folder of an environment's programs.
fn bin(python: &str) -> &Path {
    // It is the path of a file.
    Path::new(python).parent().unwrap_or(Path::new(""))
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
