//! Wheels for other machines: linked by zig against an old glibc, stripped, and looked at by
//! others' programs. That for aarch64 is built by Debian's compiler, as its standard library has to
//! be.
//!
//! zig puts an unwinder of its own into what it links. A thread that Python ends (pthread_exit, in
//! an interpreter that ends) is unwound by that of the C library, libgcc_s, through our frames: it
//! would call into the other one and crash. So the module is linked with libgcc_s, which comes
//! first.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{bin, folder, fresh, maturin, only_file};
use crate::debian::{self, CARGO, RUSTC};
use crate::process::output;
use crate::shell;

/// glibc 2.17, of the year 2012.
const COMPATIBILITY: &str = "manylinux2014";
const GLIBC: &str = "manylinux_2_17";

/// The processor that has no standard library in the usual toolchain.
pub(super) const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// The library that unwinds, for that processor.
const UNWINDER: &str = "/usr/aarch64-linux-gnu/lib/libgcc_s.so.1";
const LIBGCC: &str = "libgcc-s1-arm64-cross";

/// Builds the wheel for this processor or for a target's, and looks at it.
pub(super) fn make(target: Option<&str>) -> Result<PathBuf, String> {
    let environment = shell::tools().join("python-wheel");
    let tools = shell::environment(&environment, "python/requirements-wheel.txt")?;
    let out = fresh(made_in(target))?;
    let out_shown = out.display().to_string();
    let build = ["build", "--profile", "dist", "--zig", "--compatibility", COMPATIBILITY];
    let build = [&build[..], &["--out", &out_shown]].concat();
    match target {
        None => {
            let unwinder = output(Command::new("gcc").arg("-print-file-name=libgcc_s.so.1"))?;
            build_with(&tools, unwinder.trim(), &build, &[])?;
        }
        Some(AARCH64) => for_aarch64(&tools, &build)?,
        Some(other) => return Err(format!("wheels are for this processor and {AARCH64}: {other}")),
    }
    let wheel = only_file(&out)?;
    audit(&tools, &wheel)?;
    println!("made {}", wheel.display());
    Ok(wheel)
}

/// The folder that has the wheel for a target, and no other.
pub(super) fn made_in(target: Option<&str>) -> PathBuf {
    let name = target.map_or("wheel".to_owned(), |triple| format!("wheel-{triple}"));
    folder().join(name)
}

/// Runs maturin so that the module is linked with the library `unwinder`.
fn build_with(
    tools: &str,
    unwinder: &str,
    build: &[&str],
    environment: &[(&str, &str)],
) -> Result<(), String> {
    let linked = format!("link-arg={unwinder}");
    maturin(tools, &[build, &["--", "-C", &linked]].concat(), environment)
}

fn for_aarch64(tools: &str, build: &[&str]) -> Result<(), String> {
    debian::rust_with(&[LIBGCC])?;
    // Debian's cargo before rustup's, and the environment's Python before Debian's.
    let path = std::env::var("PATH").map_err(|error| format!("PATH: {error}"))?;
    let path = format!("{}:/usr/bin:{path}", bin(tools).display());
    let work = folder().join("foreign").display().to_string();
    let environment = [
        ("PATH", &*path),
        ("CARGO", CARGO),
        ("RUSTC", RUSTC),
        ("RUSTC_BOOTSTRAP", "1"),
        ("CARGO_TARGET_DIR", &work),
    ];
    let with_library = ["--target", AARCH64, "-Z", "build-std=std,panic_unwind"];
    build_with(tools, UNWINDER, &[build, &with_library].concat(), &environment)
}

/// Whether the wheel loads where its name says: its symbols are those of the old glibc and of
/// Python 3.9. And whether nothing is in it that only a debugger reads.
fn audit(tools: &str, wheel: &Path) -> Result<(), String> {
    let shown = wheel.display().to_string();
    let audit = |name: &str, arguments: &[&str]| {
        output(Command::new(bin(tools).join(name)).args(arguments).arg(wheel))
            .map_err(|why| format!("{name} of {shown}: {why}"))
    };
    let said = audit("auditwheel", &["show", "--json"])?;
    let tag = said.lines().find(|line| line.contains("\"overall_tag\""));
    if !tag.is_some_and(|tag| tag.contains(GLIBC)) {
        return Err(format!("{shown} needs more than {GLIBC}: {said}"));
    }
    if !said.contains("\"libgcc_s.so.1\"") {
        return Err(format!("{shown} has an unwinder of its own: {said}"));
    }
    audit("abi3audit", &["--strict"])?;
    let inside = fresh(folder().join("looked-at"))?;
    output(Command::new(tools).args(["-m", "zipfile", "-e"]).arg(wheel).arg(&inside))?;
    let module = inside.join("ddes/_ddes.abi3.so");
    let sections = output(Command::new("readelf").args(["--sections", "--wide"]).arg(&module))?;
    for unwanted in [".debug_", ".symtab"] {
        if sections.contains(unwanted) {
            return Err(format!("{shown} is not stripped: it has {unwanted}"));
        }
    }
    let size = |path: &Path| {
        let metadata = path.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<_, String>(metadata.len())
    };
    let (packed, unpacked) = (size(wheel)?, size(&module)?);
    println!("{GLIBC}, abi3, stripped: {packed} bytes, and {unpacked} of the module in it");
    Ok(())
}
