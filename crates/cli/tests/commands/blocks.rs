//! The blocks of code in the documentation: each command in it is run by a test, or its page says
//! why not, in a comment that readers do not see:
//!
//! ```text
//! <!-- not run: it needs a disk of its own -->
//!
//!     fdisk /dev/sda
//! ```
//!
//! A block is commands if it is indented, or fenced as `sh`, `bash`, `console` or as nothing. All
//! else is fenced with what it is: `text`, `toml`, `json`, `python`.

use std::fs;
use std::path::Path;

use crate::root;
use crate::{guide, pages, transcript};

/// Pages whose blocks are not commands for a reader, each with its reason.
const RECORDS: &[(&str, &str)] = &[
    ("docs/decisions/", "what was run when something was decided"),
    ("ARCHITECTURE.md", "arrows between crates"),
];
/// What is not the project's own, or not a page.
const NOT_OURS: &[&str] = &["target", "node_modules", ".git", ".venv", "corpus"];
const REASON: &str = "<!-- not run: ";

pub(crate) struct Block {
    /// Where it begins.
    pub(crate) line: usize,
    /// The heading that it is below.
    pub(crate) section: String,
    /// What its fence says; an indented block has none.
    pub(crate) info: String,
    /// Why no test runs it.
    pub(crate) reason: Option<String>,
    lines: Vec<String>,
}

impl Block {
    fn is_commands(&self) -> bool {
        ["", "sh", "bash", "console"].contains(&&*self.info)
    }

    /// Its commands, each with what its comment says that it prints.
    pub(crate) fn commands(&self) -> Vec<(String, Option<String>)> {
        let mut found: Vec<(String, Option<String>)> = Vec::new();
        let mut is_open = false;
        for line in &self.lines {
            let (code, comment) = line.split_once("  #").unwrap_or((line, ""));
            let (code, says) = (code.trim_end(), comment.trim().strip_prefix("prints "));
            if is_open {
                let last = found.last_mut().unwrap();
                last.0 = format!("{}\n{code}", last.0);
            } else {
                found.push((code.to_owned(), says.map(str::to_owned)));
            }
            let whole = &found.last().unwrap().0;
            is_open = whole.ends_with('\\') || (whole.starts_with("for ") && code != "done");
        }
        found.retain(|(line, _)| !line.is_empty());
        found
    }
}

pub(crate) fn is_run(block: &Block) -> bool {
    block.is_commands() && block.reason.is_none()
}

pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut section, mut reason, mut may_begin) = (String::new(), None, true);
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let mut block = Block {
            line: number + 1,
            section: section.clone(),
            info: String::new(),
            reason: None,
            lines: Vec::new(),
        };
        if let Some(info) = line.trim_start().strip_prefix("```") {
            info.clone_into(&mut block.info);
            let inside =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            block.lines = inside.map(|line| line.get(indent..).unwrap_or("").to_owned()).collect();
        } else if indent >= 4 && may_begin {
            block.lines.push(line[indent..].to_owned());
            while let Some((_, more)) =
                lines.next_if(|(_, more)| more.starts_with("    ") || more.is_empty())
            {
                block.lines.push(more.get(indent..).unwrap_or("").to_owned());
            }
        } else {
            if let Some(title) = line.strip_prefix('#').filter(|_| indent == 0) {
                section = title.trim_start_matches('#').trim().to_owned();
            }
            if let Some(why) = line.trim_start().strip_prefix(REASON) {
                reason = why.strip_suffix(" -->").map(str::to_owned);
            } else if !line.is_empty() {
                reason = None;
            }
            may_begin = line.is_empty();
            continue;
        }
        block.reason = reason.take();
        may_begin = true;
        found.push(block);
    }
    found
}

/// The documentation's files, by their paths from the root.
fn markdown(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if !NOT_OURS.contains(&&*name) {
                markdown(&entry.path(), found);
            }
        } else if name.ends_with(".md") {
            let path = entry.path();
            found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// What is wrong with a page's blocks, by their lines.
fn faults(page: &str, text: &str) -> Vec<String> {
    let is_read = guide::READ.contains(&page) || pages::READ.contains(&page);
    let mut found = Vec::new();
    for block in blocks(text).iter().filter(|block| block.is_commands()) {
        let is_run =
            if block.info == "console" { transcript::READ.contains(&page) } else { is_read };
        if !is_run && block.reason.is_none() {
            found.push(format!(
                "{page}:{}: no test runs this, and no comment says why: see crates/cli/tests/commands/blocks.rs",
                block.line
            ));
        }
        if block.reason.as_ref().is_some_and(|reason| reason.len() < 10) {
            found.push(format!("{page}:{}: that is no reason", block.line));
        }
    }
    found
}

#[test]
fn each_command_of_the_documentation_is_run_or_says_why_not() {
    let (mut files, mut found, mut count) = (Vec::new(), Vec::new(), 0);
    markdown(&root(), &mut files);
    for page in
        files.iter().filter(|page| !RECORDS.iter().any(|(start, _)| page.starts_with(start)))
    {
        let text = fs::read_to_string(root().join(page)).unwrap();
        found.extend(faults(page, &text));
        count += blocks(&text).iter().filter(|block| is_run(block)).count();
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(count > 50, "{count} blocks in {files:?}");
    for page in guide::READ.iter().chain(pages::READ) {
        assert!(files.iter().any(|file| file == page), "{page} is not there");
    }
}

#[test]
fn a_new_block_without_a_test_or_a_reason_is_found() {
    let new = "# A\n\nText:\n\n    ddes new\n";
    assert_eq!(faults("docs/new.md", new).len(), 1);
    assert_eq!(faults("docs/guide.md", new).len(), 0);
    let reason = "<!-- not run: it needs a disk of its own -->\n\n";
    assert_eq!(faults("docs/new.md", &format!("{reason}    ddes new\n")).len(), 0);
    assert_eq!(
        faults("docs/new.md", &format!("{reason}    ddes new\n\nMore:\n\n    ddes newer\n")).len(),
        1
    );
    assert_eq!(faults("docs/new.md", "<!-- not run: no -->\n\n    ddes new\n").len(), 1);
    assert_eq!(faults("docs/guide.md", "```console\n$ ddes new\n```\n").len(), 1);
    assert_eq!(faults("docs/new.md", "```sh\nddes new\n```\n\n```toml\na = 1\n```\n").len(), 1);
}

#[test]
fn commands_have_their_comments_and_go_on_over_lines() {
    let text = "1. One:\n\n        ddes a  # prints 1, then 2\n        ddes b \\\n          c\n\n    for x in y; do\n      z\n    done\n";
    let found = blocks(text);
    assert_eq!(found.len(), 1);
    let commands = found[0].commands();
    assert_eq!(commands[0], ("ddes a".to_owned(), Some("1, then 2".to_owned())));
    assert_eq!(commands[1], ("ddes b \\\n  c".to_owned(), None));
    let looped = blocks("    for x in y; do\n      z\n    done\n    ddes d\n");
    assert_eq!(looped[0].commands()[0].0, "for x in y; do\n  z\ndone");
    assert_eq!(looped[0].commands()[1].0, "ddes d");
}
