//! The programs that a release is made and read with, each of one version, in the user's cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;
use crate::shell;

/// Puts the list of dependencies into a program.
const AUDITABLE: (&str, &str) = ("cargo-auditable", "0.7.5");
/// Reads it back.
const AUDIT_INFO: (&str, &str) = ("rust-audit-info", "0.5.4");
/// Writes the list of materials.
const CYCLONEDX: (&str, &str) = ("cargo-cyclonedx", "0.5.9");
/// A program of ours has more dependencies than this: fewer, and the list is not whole.
const DEPENDENCIES_MIN: usize = 100;

pub(super) fn auditable() -> Result<PathBuf, String> {
    shell::cargo_tool(AUDITABLE.0, AUDITABLE.1).map(PathBuf::from)
}

pub(super) fn cyclonedx() -> Result<PathBuf, String> {
    shell::cargo_tool(CYCLONEDX.0, CYCLONEDX.1).map(PathBuf::from)
}

/// Whether whoever has the program alone reads from it what it was made from.
pub(super) fn lists_its_dependencies(program: &Path) -> Result<(), String> {
    let reader = shell::cargo_tool(AUDIT_INFO.0, AUDIT_INFO.1)?;
    let list = process::output(Command::new(reader).arg(program))?;
    is_whole_list(&program.display().to_string(), &list)
}

/// Whether a list in JSON can be that of the whole program.
pub(super) fn is_whole_list(owner: &str, list: &str) -> Result<(), String> {
    // One program writes spaces behind colons, and another one does not.
    let list = list.replace("\": ", "\":");
    let count = list.matches("\"name\":").count();
    match count > DEPENDENCIES_MIN && list.contains("\"name\":\"ddes-cipher\"") {
        true => Ok(()),
        false => Err(format!("{owner} lists {count} dependencies: {list}")),
    }
}
