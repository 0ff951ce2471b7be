//! The sources of a release in a folder of their own, so that nothing else gets into it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::files;
use crate::process;
use crate::shell::root;

/// What a release is made of, and when that was.
pub(super) struct Commit {
    pub(super) id: String,
    /// Seconds since 1970, as SOURCE_DATE_EPOCH has them: no file of a release has a later time.
    pub(super) secs: String,
}

impl Commit {
    pub(super) fn newest() -> Result<Self, String> {
        let git = |format: &str| {
            let mut git = Command::new("git");
            git.args(["log", "-1", format]).current_dir(root());
            process::output(&mut git).map(|text| text.trim().to_owned())
        };
        Ok(Self { id: git("--format=%H")?, secs: git("--format=%ct")? })
    }

    /// For sources that are in no commit. The same at all times: nothing is built again for it.
    pub(super) fn unnamed() -> Self {
        Self { id: "0".repeat(40), secs: "946684800".into() }
    }
}

/// What the commit has, and nothing of what is here besides.
pub(super) fn export(commit: &Commit, tree: &Path) -> Result<(), String> {
    let mut git = Command::new("git");
    git.args(["archive", "--format=tar", &commit.id]).current_dir(root()).stdout(Stdio::piped());
    let mut archive = git.spawn().map_err(|error| format!("cannot run git archive: {error}"))?;
    let bytes = archive.stdout.take().ok_or("git archive has no output")?;
    let staging = tree.with_extension("new");
    files::empty(&staging)?;
    let mut tar = Command::new("tar");
    let unpacked = process::output(tar.arg("-x").arg("-C").arg(&staging).stdin(bytes));
    let status = archive.wait().map_err(|error| error.to_string())?;
    unpacked?;
    if !status.success() {
        return Err(format!("git archive of {}: {status}", commit.id));
    }
    take_over(&staging, tree, &listing(&staging, Path::new(""))?)?;
    files::remove(&staging)
}

/// The files of this folder that git knows or would add.
pub(crate) fn copy_as_they_are(tree: &Path) -> Result<(), String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let names = process::output(git.current_dir(root()))?;
    let names = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    // One that was deleted here is in git's list until that is committed.
    let names = names.filter(|name| root().join(name).is_file()).collect();
    take_over(&root(), tree, &names)
}

/// Makes `tree` hold the files `names` of `from`, and no others but what was built. A file that is
/// there already keeps its time, so that cargo builds what changed.
fn take_over(from: &Path, tree: &Path, names: &BTreeSet<PathBuf>) -> Result<(), String> {
    files::make(tree)?;
    for name in listing(tree, Path::new(""))?.difference(names) {
        files::remove(&tree.join(name))?;
    }
    for name in names {
        let (old, new) = (tree.join(name), from.join(name));
        let read = |path: &Path| fs::read(path).map_err(|error| failed(path, &error));
        let bytes = read(&new)?;
        if !old.is_file() || read(&old)? != bytes {
            files::make(old.parent().unwrap_or(tree))?;
            files::copy(&new, &old)?;
        }
    }
    Ok(())
}

/// The files below a folder, without what is built in it.
pub(super) fn listing(folder: &Path, below: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut all = BTreeSet::new();
    let path = folder.join(below);
    for entry in fs::read_dir(&path).map_err(|error| failed(&path, &error))? {
        let entry = entry.map_err(|error| failed(&path, &error))?;
        let name = below.join(entry.file_name());
        let kind = entry.file_type().map_err(|error| failed(&name, &error))?;
        if name == Path::new("target") {
            continue;
        }
        match kind.is_dir() {
            true => all.extend(listing(folder, &name)?),
            false => _ = all.insert(name),
        }
    }
    Ok(all)
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_takes_what_changed_and_keeps_what_was_built() {
        let work = std::env::temp_dir().join(format!("ddes-source-{}", std::process::id()));
        let (from, tree) = (work.join("from"), work.join("tree"));
        let names = |names: &[&str]| names.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        files::make(&from.join("a")).unwrap();
        files::write(&from.join("a/b"), b"1").unwrap();
        files::write(&from.join("c"), b"2").unwrap();
        take_over(&from, &tree, &names(&["a/b", "c"])).unwrap();
        files::make(&tree.join("target")).unwrap();
        files::write(&tree.join("target/built"), b"3").unwrap();
        let time = |path: &str| fs::metadata(tree.join(path)).unwrap().modified().unwrap();
        let before = (time("a/b"), time("c"));
        files::write(&from.join("c"), b"4").unwrap();
        take_over(&from, &tree, &names(&["c"])).unwrap();
        assert_eq!(listing(&tree, Path::new("")).unwrap(), names(&["c"]));
        assert_eq!(fs::read(tree.join("c")).unwrap(), b"4");
        assert!(tree.join("target/built").exists() && time("c") >= before.1);
        let unchanged = time("c");
        take_over(&from, &tree, &names(&["a/b", "c"])).unwrap();
        assert_eq!(time("c"), unchanged);
        files::remove(&work).unwrap();
    }
}
