//! `cargo xtask package`: the Debian package, made by cargo-deb; with `--test`, its life in a clean
//! Debian that debootstrap makes and systemd-nspawn boots. `check` is the short part, for `test`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;
use crate::shell::{self, root};

const CARGO_DEB: &str = "3.8.0";
/// The Debian that the package is tested in.
const SUITE: &str = "bookworm";
/// What a machine has that runs services, beyond debootstrap's smallest set.
const INCLUDED: &str = "systemd,dbus,adduser";
/// A version before any other, for the upgrade.
const OLD_VERSION: &str = "0.0.1-1";
/// The most that `systemd-analyze security` may say, in tenths.
const EXPOSURE_MAX: &str = "25";
const COMPLETIONS: [(&str, &str); 4] =
    [("bash", "ddes.bash"), ("zsh", "ddes.zsh"), ("fish", "ddes.fish"), ("nushell", "ddes.nu")];
const SCRIPTS: [&str; 5] = [
    "packaging/debian/postinst",
    "packaging/debian/prerm",
    "packaging/debian/postrm",
    "packaging/test/outside.sh",
    "packaging/test/inside.sh",
];

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    if let Some(unknown) = arguments.iter().find(|flag| !["--debug", "--test"].contains(flag)) {
        return Err(format!("{unknown}: package takes --debug and --test"));
    }
    let profile = if arguments.contains(&"--debug") { "dev" } else { "dist" };
    shell::run("cargo", &["build", "--package", "ddes", "--profile", profile], &[])?;
    let built = if profile == "dev" { "debug" } else { profile };
    generate(&process::target().join(built).join("ddes"), &root())?;
    let debian = root().join("target/debian");
    fs::create_dir_all(&debian).map_err(|error| format!("{}: {error}", debian.display()))?;
    let version = format!("{}-{}", env!("CARGO_PKG_VERSION"), revision()?);
    let new = debian.join(format!("ddes_{version}_{}.deb", architecture()?));
    remove_packages(&debian)?;
    let old = root().join("target/package/old.deb");
    let is_test = arguments.contains(&"--test");
    let pack = |deb: &Path, version: &str| {
        let mut command = packing(profile, deb, version)?;
        process::output(command.current_dir(root())).map(drop)
    };
    // Before the new one: cargo-deb removes what it finds in its folder.
    if is_test {
        pack(&old, OLD_VERSION)?;
    }
    pack(&new, &version)?;
    println!("made {}", new.display());
    if is_test { live(&old, &new) } else { Ok(()) }
}

/// The package of a release: of `program`, which was built as `dist` in `tree`. The release sets
/// what it is made with.
pub(crate) fn of_release(
    tree: &Path,
    program: &Path,
    out: &Path,
    set: impl FnOnce(&mut Command),
) -> Result<(), String> {
    generate(program, tree)?;
    let version = format!("{}-1", env!("CARGO_PKG_VERSION"));
    let deb = out.join(format!("ddes_{version}_{}.deb", architecture()?));
    let mut command = packing("dist", &deb, &version)?;
    set(&mut command);
    process::output(&mut command).map(drop)
}

/// Manual pages and completions, as the program itself describes its command line.
fn generate(program: &Path, tree: &Path) -> Result<(), String> {
    let staging = tree.join("target/package");
    let man = staging.join("man");
    let failed = |error: std::io::Error| format!("{}: {error}", staging.display());
    if staging.exists() {
        fs::remove_dir_all(&staging).map_err(failed)?;
    }
    fs::create_dir_all(&man).map_err(failed)?;
    process::output(Command::new(program).args(["generate", "man"]).arg(&man))?;
    for (shell, file) in COMPLETIONS {
        let mut command = Command::new(program);
        let text = process::output(command.args(["generate", "completions", shell]))?;
        fs::write(staging.join(file), text).map_err(failed)?;
    }
    Ok(())
}

/// Grows with each commit, so that apt takes the next build for newer. Without a repository, the
/// first one.
fn revision() -> Result<String, String> {
    if !root().join(".git").exists() {
        return Ok("1".into());
    }
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%cd", "--date=format-local:%Y%m%d%H%M%S"]);
    let date = process::output(git.current_dir(root()).env("TZ", "UTC"))?;
    Ok(format!("1+git{}", date.trim()))
}

/// As dpkg names it, with which cargo-deb agrees.
fn architecture() -> Result<String, String> {
    let name = process::output(Command::new("dpkg").arg("--print-architecture"))?;
    Ok(name.trim().to_owned())
}

/// Earlier builds, so that `apt-get install ./ddes_*.deb` finds one.
fn remove_packages(folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

/// cargo-deb, to be run in a tree that has what it packs.
fn packing(profile: &str, deb: &Path, version: &str) -> Result<Command, String> {
    let mut command = Command::new(shell::cargo_tool("cargo-deb", CARGO_DEB)?);
    // Its warnings are of folders that it does not know.
    command.args(["--quiet", "--package", "ddes", "--no-build", "--profile", profile]);
    command.args(["--deb-version", version, "--output"]).arg(deb);
    Ok(command)
}

/// Installs, starts, uses, upgrades, removes and purges the package: packaging/test/inside.sh.
fn live(old: &Path, new: &Path) -> Result<(), String> {
    shell::installed("debootstrap", "debootstrap")?;
    shell::installed("systemd-nspawn", "systemd-container")?;
    let debian = debian()?;
    let work = std::env::temp_dir().join(format!("ddes-package-{}", std::process::id()));
    let failed = |error: std::io::Error| format!("{}: {error}", work.display());
    fs::create_dir_all(&work).map_err(failed)?;
    let paths: Vec<_> =
        [&debian, &work, old, new].iter().map(|path| path.display().to_string()).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let outside = ["--mount", "sh", "packaging/test/outside.sh"];
    shell::run("unshare", &[&outside[..], &paths].concat(), &[])
        .map_err(|why| format!("{why}\nwhat it left is in {}", work.display()))?;
    fs::remove_dir_all(&work).map_err(failed)
}

/// A small Debian, made once and kept with the other tools.
fn debian() -> Result<PathBuf, String> {
    let made = shell::tools().join(format!("debian-{SUITE}"));
    if !made.exists() {
        let making = made.with_extension("new");
        if making.exists() {
            fs::remove_dir_all(&making).map_err(|error| error.to_string())?;
        }
        let include = format!("--include={INCLUDED}");
        let folder = making.display().to_string();
        shell::run("debootstrap", &["--variant=minbase", &include, SUITE, &folder], &[])?;
        fs::rename(&making, &made).map_err(|error| error.to_string())?;
    }
    Ok(made)
}

/// The unit, the scripts, the rules: what needs no package.
pub(crate) fn check() -> Result<(), String> {
    shell::installed("systemd-analyze", "systemd")?;
    shell::installed("promtool", "prometheus")?;
    for script in SCRIPTS {
        shell::run("sh", &["-n", script], &[])?;
    }
    let folder = root().join("target/packaging");
    units(&folder)?;
    let (service, socket) = (folder.join("ddes.service"), folder.join("ddes.socket"));
    let (service, socket) = (service.display().to_string(), socket.display().to_string());
    shell::run("systemd-analyze", &["verify", "--man=no", &service, &socket], &[])?;
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let security = ["security", "--offline=true", "--no-pager", &threshold, &service];
    process::output(Command::new("systemd-analyze").args(security))?;
    shell::run("promtool", &["check", "rules", "packaging/prometheus/ddes.rules.yml"], &[])?;
    shell::run("promtool", &["test", "rules", "packaging/prometheus/ddes.rules.test.yml"], &[])
}

/// Copies of the units whose program is there: nothing is installed here.
fn units(folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    for unit in ["ddes.service", "ddes.socket"] {
        let text = fs::read_to_string(root().join("packaging").join(unit)).map_err(failed)?;
        let text = text.replace("=/usr/bin/ddes ", "=/bin/true ");
        fs::write(folder.join(unit), text).map_err(failed)?;
    }
    Ok(())
}
