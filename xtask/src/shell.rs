//! Running other programs from the root of the workspace.

use std::fmt::Display;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::output;

/// The root folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Where programs go that take minutes to build: in the user's cache, so that each checkout need
/// not build them again.
pub(crate) fn tools() -> PathBuf {
    let cache =
        std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    cache.map_or_else(|| root().join("target/tools"), |cache| cache.join("ddes-xtask"))
}

/// A folder beside them, made if there is none: for what takes minutes to build and rarely changes.
pub(crate) fn cache(name: &str) -> Result<PathBuf, String> {
    let folder = tools().join(name);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// Waits until no other run holds the file `path`, and holds it until what is returned is dropped.
pub(crate) fn hold(path: &Path) -> Result<File, String> {
    let failed = |error: &dyn Display| format!("{}: {error}", path.display());
    let file = File::create(path).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            println!("waiting: another run holds {}", path.display());
            file.lock().map_err(|error| failed(&error))?;
        }
        Err(TryLockError::Error(error)) => return Err(failed(&error)),
    }
    Ok(file)
}

/// Runs `program` to its end; an error names the command.
pub(crate) fn run(
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<(), String> {
    run_in(&root(), program, arguments, environment)
}

/// The same from another folder.
pub(crate) fn run_in(
    folder: &Path,
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<(), String> {
    let shown = format!("{program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().copied()).current_dir(folder);
    let status = command.status().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed: {status}")) }
}

/// The Python of the project's own virtual environment, made and filled when
/// `peer/requirements.txt` changed.
pub(crate) fn python() -> Result<String, String> {
    environment(&root().join(".venv"), "peer/requirements.txt")
}

/// The Python of a virtual environment, made and filled when its `requirements` changed.
pub(crate) fn environment(folder: &Path, requirements: &str) -> Result<String, String> {
    let python = folder.join("bin/python").display().to_string();
    let wanted = std::fs::read_to_string(root().join(requirements))
        .map_err(|error| format!("{requirements}: {error}"))?;
    let stamp = folder.join("requirements.installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    virtual_environment(folder, &[])?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run(&python, &[&install[..], &[requirements]].concat(), &[])?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(python)
}

/// Makes a virtual environment, with flags of `python3 -m venv`.
pub(crate) fn virtual_environment(folder: &Path, flags: &[&str]) -> Result<(), String> {
    let folder = folder.display().to_string();
    let make = [&["-m", "venv"], flags, &[&*folder]].concat();
    if run("python3", &make, &[]).is_ok() {
        return Ok(());
    }
    install(&["python3-venv"])?;
    run("python3", &make, &[])
}

/// A program of this version from crates.io, made once and kept with the other tools.
pub(crate) fn cargo_tool(name: &str, version: &str) -> Result<String, String> {
    let folder = tools().join(format!("{name}-{version}"));
    let program = folder.join("bin").join(name).display().to_string();
    if !Path::new(&program).exists() {
        let folder = folder.display().to_string();
        let install = ["install", "--quiet", "--locked", "--version", version, "--root", &folder];
        run("cargo", &[&install[..], &[name]].concat(), &[])?;
    }
    Ok(program)
}

/// `program`, from Debian's `package` if it is not there.
pub(crate) fn installed(program: &str, package: &str) -> Result<(), String> {
    // No flag is harmless to all of them; whatever this prints, at whatever exit code, shows that
    // it is there.
    match Command::new(program).arg("-?").output() {
        Ok(_) => Ok(()),
        Err(_) => install(&[package]),
    }
}

/// Debian's packages, those that are missing: for what has no program to look for.
pub(crate) fn packages(names: &[&str]) -> Result<(), String> {
    let missing: Vec<_> = names.iter().copied().filter(|name| !has_package(name)).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

fn has_package(name: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", name]);
    output(&mut query).is_ok_and(|status| status == "installed")
}

fn install(names: &[&str]) -> Result<(), String> {
    match apt_install(names) {
        Ok(()) => Ok(()),
        // The machine's list of packages may be old, or none.
        Err(_) => newest_packages(names),
    }
}

/// Debian's packages in the newest release that there is now.
pub(crate) fn newest_packages(names: &[&str]) -> Result<(), String> {
    run("apt-get", &["update"], &[])?;
    apt_install(names)
}

fn apt_install(names: &[&str]) -> Result<(), String> {
    // Another program may be installing something.
    let flags = ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
    run("apt-get", &[&flags[..], names].concat(), &[])
}

/// The same for a package with a service, which is not to run: a policy for the time of the
/// installation forbids it, where the machine has none of its own.
pub(crate) fn installed_idle(program: &str, package: &str) -> Result<(), String> {
    if Command::new(program).arg("--version").output().is_ok() {
        return Ok(());
    }
    let policy = Path::new("/usr/sbin/policy-rc.d");
    if policy.exists() {
        return installed(program, package);
    }
    let failed = |error: std::io::Error| format!("{}: {error}", policy.display());
    std::fs::write(policy, "#!/bin/sh\nexit 101\n").map_err(failed)?;
    run("chmod", &["755", &policy.display().to_string()], &[])?;
    let outcome = installed(program, package);
    std::fs::remove_file(policy).map_err(failed)?;
    outcome
}

/// PostgreSQL's server, whose programs are not on the path.
pub(crate) fn postgresql() -> Result<(), String> {
    let releases = std::fs::read_dir("/usr/lib/postgresql");
    let is_there = releases.is_ok_and(|releases| {
        releases.flatten().any(|release| release.path().join("bin/postgres").exists())
    });
    match is_there {
        true => Ok(()),
        false => install(&["postgresql"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_run_holds_another_waits_for() {
        let path = std::env::temp_dir().join(format!("ddes-hold-{}", std::process::id()));
        let first = hold(&path).unwrap();
        let (ready, is_held) = std::sync::mpsc::channel();
        let other = path.clone();
        let second = std::thread::spawn(move || {
            let held = hold(&other).unwrap();
            ready.send(()).unwrap();
            held
        });
        let early = is_held.recv_timeout(std::time::Duration::from_millis(50));
        assert!(early.is_err(), "two runs hold it");
        drop(first);
        is_held.recv().unwrap();
        drop(second.join().unwrap());
        std::fs::remove_file(path).unwrap();
    }
}
