//! What cargo-mutants found, and which survivors `xtask/mutants.txt` accepts.

use std::fs;
use std::path::Path;

use crate::shell::root;

/// A mutant as cargo-mutants names it, and the line that it changes: line numbers move, the line
/// itself seldom does.
#[derive(Debug, PartialEq, Eq)]
struct Mutant<'a> {
    file: &'a str,
    line: &'a str,
    change: &'a str,
}

/// What cargo-mutants wrote down.
pub(crate) struct Results {
    pub(crate) caught: usize,
    pub(crate) accepted: usize,
    pub(crate) timed_out: usize,
    pub(crate) unviable: usize,
    before: usize,
    /// By name, those that are not accepted.
    pub(crate) missed: Vec<String>,
}

impl Results {
    pub(crate) fn read(folder: &Path, tree: &Path, accepted: &str) -> Result<Self, String> {
        let lines = |file: &str| {
            // A file that is not there has none.
            let text = fs::read_to_string(folder.join(file)).unwrap_or_else(|_| String::new());
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        if !folder.is_dir() {
            return Err(format!("cargo-mutants left no {}", folder.display()));
        }
        let all = lines("missed.txt");
        let count = all.len();
        let missed: Vec<String> =
            all.into_iter().filter(|name| !is_accepted(name, tree, accepted)).collect();
        Ok(Self {
            caught: lines("caught.txt").len(),
            accepted: count - missed.len(),
            timed_out: lines("timeout.txt").len(),
            unviable: lines("unviable.txt").len(),
            before: lines("previously_caught.txt").len(),
            missed,
        })
    }

    pub(crate) fn line(&self, name: &str) -> String {
        let Self { caught, accepted, timed_out, unviable, before, missed } = self;
        format!(
            "| {name} | {caught} | {} | {accepted} | {timed_out} | {unviable} | {before} |",
            missed.len()
        )
    }
}

/// Whether `accepted` has the mutant `name`, which is `file:line:column: change`.
fn is_accepted(name: &str, tree: &Path, accepted: &str) -> bool {
    let mut parts = name.splitn(4, ':');
    let (Some(file), Some(number), Some(_), Some(change)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Ok(source) = fs::read_to_string(tree.join(file)) else { return false };
    let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let line = at.and_then(|at| source.lines().nth(at)).map_or("", str::trim);
    entries(accepted)
        .any(|entry| entry.mutant() == Some(Mutant { file, line, change: change.trim() }))
}

/// One survivor of `xtask/mutants.txt`.
struct Entry<'a>(&'a str);

impl<'a> Entry<'a> {
    fn field(&self, name: &str) -> Option<&'a str> {
        let field = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
        self.0.lines().find_map(field).filter(|value| !value.is_empty())
    }

    fn mutant(&self) -> Option<Mutant<'a>> {
        let (file, line, change) =
            (self.field("file")?, self.field("line")?, self.field("change")?);
        Some(Mutant { file, line, change })
    }
}

/// `name: value` lines, entries apart by blank lines.
fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let parts = text.split("\n\n").map(str::trim);
    parts.filter(|part| part.lines().any(|line| !line.starts_with('#'))).map(Entry)
}

/// The list; an error if an entry names no existing line or gives no reason.
pub(crate) fn accepted() -> Result<String, String> {
    let path = root().join("xtask/mutants.txt");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    for entry in entries(&text) {
        let fault = |why: &str| format!("xtask/mutants.txt: {why}:\n{}", entry.0);
        let Mutant { file, line, .. } =
            entry.mutant().ok_or_else(|| fault("file, line or change is not said"))?;
        entry.field("why").ok_or_else(|| fault("no reason"))?;
        let source =
            fs::read_to_string(root().join(file)).map_err(|_| fault("there is no such file"))?;
        if !source.lines().any(|candidate| candidate.trim() == line) {
            return Err(fault("there is no such line any more"));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# Why.\n\nfile: xtask/src/mutants.rs\nline: fn listed() {}\nchange: replace listed with ()\nwhy: it is empty\n";

    #[test]
    fn a_survivor_is_accepted_for_its_line_wherever_that_is_and_for_no_other_change() {
        let folder = std::env::temp_dir().join(format!("ddes-mutants-{}", std::process::id()));
        let file = folder.join("xtask/src/mutants.rs");
        assert!(fs::create_dir_all(folder.join("xtask/src")).is_ok());
        assert!(fs::write(&file, "\n    fn listed() {}\nfn other() {}\n").is_ok());
        let accepts = |name: &str| is_accepted(name, &folder, LIST);
        assert!(accepts("xtask/src/mutants.rs:2:5: replace listed with ()"));
        assert!(!accepts("xtask/src/mutants.rs:3:5: replace listed with ()"));
        assert!(!accepts("xtask/src/mutants.rs:2:5: replace listed with (1)"));
        assert!(!accepts("xtask/src/main.rs:2:5: replace listed with ()"));
        assert!(
            !accepts("xtask/src/mutants.rs:99:5: replace listed with ()")
                && !accepts("")
                && !accepts("a:0:b:c")
        );
        assert!(fs::remove_dir_all(folder).is_ok());
    }

    #[test]
    fn each_survivor_of_the_list_is_of_a_line_that_is_there_and_has_a_reason() {
        assert_eq!(accepted().err(), None);
    }
}
