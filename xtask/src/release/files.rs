//! The files of a release: copied, compared, listed, with their sums and notes.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

pub(super) const SUMS: &str = "SHA256SUMS";

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

pub(super) fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

/// A file or folder that need not be there.
pub(super) fn remove(path: &Path) -> Result<(), String> {
    let outcome = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match outcome {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn empty(folder: &Path) -> Result<(), String> {
    remove(folder)?;
    make(folder)
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let copied = fs::copy(from, to).map(drop);
    copied.map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

/// The files of a folder that has files alone.
pub(super) fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    names(from)?.iter().try_for_each(|name| copy(&from.join(name), &to.join(name)))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| failed(path, &error))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| failed(path, &error))
}

pub(super) fn read_text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| failed(path, &error))
}

/// The names in a folder that has files alone.
fn names(folder: &Path) -> Result<BTreeSet<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        Ok(entry.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

/// The one file whose name ends so.
pub(super) fn only(folder: &Path, end: &str) -> Result<PathBuf, String> {
    let mut found = names(folder)?.into_iter().filter(|name| name.ends_with(end));
    match (found.next(), found.next()) {
        (Some(name), None) => Ok(folder.join(name)),
        (None, _) => Err(format!("{} has no file *{end}", folder.display())),
        (Some(_), Some(_)) => Err(format!("{} has more than one file *{end}", folder.display())),
    }
}

/// Each file with its size.
pub(super) fn listing(folder: &Path) -> Result<String, String> {
    let mut lines = Vec::new();
    for name in names(folder)? {
        let path = folder.join(&name);
        let bytes = fs::metadata(&path).map_err(|error| failed(&path, &error))?.len();
        lines.push(format!("{bytes:>12}  {name}"));
    }
    Ok(lines.join("\n"))
}

/// Whether two folders have the same files.
pub(super) fn equal(one: &Path, two: &Path) -> Result<(), String> {
    let (ours, theirs) = (names(one)?, names(two)?);
    if let Some(name) = ours.symmetric_difference(&theirs).next() {
        return Err(format!("one of the builds has no {name}"));
    }
    let faults: Vec<_> =
        ours.iter().filter_map(|name| same_bytes(&one.join(name), &two.join(name)).err()).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

pub(super) fn same_bytes(one: &Path, two: &Path) -> Result<(), String> {
    let (ours, theirs) = (read(one)?, read(two)?);
    let pairs = || ours.iter().zip(&theirs);
    let Some(first) = pairs().position(|(a, b)| a != b) else {
        return match ours.len() == theirs.len() {
            true => Ok(()),
            false => Err(format!("{} and {} differ in length", one.display(), two.display())),
        };
    };
    let count = pairs().filter(|(a, b)| a != b).count();
    let (one, two) = (one.display(), two.display());
    Err(format!(
        "{one} and {two} differ in {count} bytes, first at {first}: `diffoscope` says what"
    ))
}

/// For `sha256sum --check`, which then reads them back.
pub(super) fn write_sums(folder: &Path) -> Result<(), String> {
    let mut sum = Command::new("sha256sum");
    let text = process::output(sum.args(names(folder)?).current_dir(folder))?;
    write(&folder.join(SUMS), text.as_bytes())?;
    let check = ["--check", "--strict", "--quiet", SUMS];
    process::output(Command::new("sha256sum").args(check).current_dir(folder)).map(drop)
}

/// What CHANGELOG.md says of the version, or of what is not released yet.
pub(super) fn notes(changes: &str, version: &str) -> Result<String, String> {
    let section = |title: &str| {
        let mut lines = changes.lines().skip_while(|line| *line != format!("## {title}"));
        lines.next()?;
        let lines: Vec<_> = lines.take_while(|line| !line.starts_with("## ")).collect();
        Some(lines.join("\n").trim().to_owned()).filter(|text| !text.is_empty())
    };
    let text = section(version).or_else(|| section("Unreleased"));
    let text = text.ok_or_else(|| format!("CHANGELOG.md has no section '## {version}'"))?;
    Ok(format!("# ddes {version}\n\n{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_of_the_version_else_of_what_is_not_released_and_never_of_an_older_one() {
        let changes = "# Changelog\n\n## Unreleased\n\n- new\n\n## 0.2.0\n\n- two\n### Sub\n- three\n\n## 0.1.0\n\n- one\n";
        assert_eq!(notes(changes, "0.2.0").unwrap(), "# ddes 0.2.0\n\n- two\n### Sub\n- three\n");
        assert_eq!(notes(changes, "0.1.0").unwrap(), "# ddes 0.1.0\n\n- one\n");
        assert_eq!(notes(changes, "0.3.0").unwrap(), "# ddes 0.3.0\n\n- new\n");
        assert!(notes("# Changelog\n\n## Unreleased\n\n## 0.1.0\n\n- one\n", "0.2.0").is_err());
    }

    #[test]
    fn a_byte_a_length_and_a_name_make_two_folders_differ() {
        let work = std::env::temp_dir().join(format!("ddes-files-{}", std::process::id()));
        let (one, two) = (work.join("one"), work.join("two"));
        for folder in [&one, &two] {
            make(folder).unwrap();
            write(&folder.join("a"), b"12345").unwrap();
        }
        assert_eq!(equal(&one, &two), Ok(()));
        for other in [&b"12344"[..], b"1234", b"123456"] {
            write(&two.join("a"), other).unwrap();
            assert!(equal(&one, &two).unwrap_err().contains("differ"), "{other:?}");
        }
        write(&two.join("a"), b"12345").unwrap();
        write(&two.join("b"), b"").unwrap();
        assert!(equal(&one, &two).unwrap_err().contains("has no b"));
        assert_eq!(only(&two, "b"), Ok(two.join("b")));
        write(&two.join("bb"), b"").unwrap();
        assert!(only(&two, "b").unwrap_err().contains("more than one"));
        assert!(only(&two, ".deb").unwrap_err().contains("no file *.deb"));
        write_sums(&one).unwrap();
        let sum = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5  a\n";
        assert_eq!(read_text(&one.join(SUMS)).unwrap(), sum);
        remove(&work).unwrap();
    }
}
