//! `cargo xtask book`: the documentation as a site, in target/book.
//!
//! The pages stay as they are in the repository, where their links lead to files. Before mdBook,
//! `layout` puts them into one folder, with links that lead to pages. After it, `finish` gives each
//! page the table of contents and removes what no page uses, and `links` looks for dead ends. Then
//! web/book looks at the site in a browser.

mod contents;
mod diagram;
mod finish;
mod layout;
mod links;
mod markdown;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::root;
use crate::{page, process, shell};
use contents::Contents;

const MDBOOK: &str = "0.5.4";

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    if let Some(unknown) = arguments.iter().find(|flag| **flag != "--short") {
        return Err(format!("{unknown}: book takes --short"));
    }
    let site = build()?;
    page::browser()?;
    let pages = if arguments.is_empty() { "all" } else { "some" };
    let site = site.display().to_string();
    let script = ["--prefix", "web", "run", "--silent", "test-book"];
    shell::run("npm", &script, &[("BOOK", &site), ("BOOK_PAGES", pages)])
}

/// The site's folder, all of whose links lead somewhere.
fn build() -> Result<PathBuf, String> {
    let contents = Contents::read()?;
    let (staged, site) = (process::target().join("book-pages"), process::target().join("book"));
    for folder in [&staged, &site] {
        remove(folder)?;
    }
    layout::lay_out(&contents, &staged)?;
    let (from, to) = (staged.display().to_string(), site.display().to_string());
    shell::run(&installed()?, &["build", &from, "--dest-dir", &to], &[("MDBOOK_LOG", "warn")])?;
    finish::finish(&contents, &site)?;
    let found = links::check(&site)?;
    println!("{} pages, {} links; beyond the site:", found.pages, found.links);
    found.external.iter().for_each(|link| println!("  {link}"));
    println!("made {}", site.join("index.html").display());
    Ok(site)
}

/// mdBook from its source, once for each version: its programs for other systems, its server and
/// its watcher are left out.
fn installed() -> Result<String, String> {
    let folder = shell::tools().join(format!("mdbook-{MDBOOK}"));
    let program = folder.join("bin/mdbook");
    let wanted = format!("mdbook v{MDBOOK}");
    let found = Command::new(&program).arg("--version").output();
    if found.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == wanted) {
        return Ok(program.display().to_string());
    }
    println!("building mdBook {MDBOOK}, once");
    let folder = folder.display().to_string();
    let install = ["install", "--quiet", "--locked", "--force", "--root", &folder];
    let what = ["--version", MDBOOK, "--no-default-features", "--features", "search", "mdbook"];
    shell::run("cargo", &[&install[..], &what].concat(), &[])?;
    Ok(program.display().to_string())
}

fn remove(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A file of the repository, by its path from the root.
fn read(file: &str) -> Result<String, String> {
    fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))
}

/// Writes a file whose folder may not be there yet.
fn write(file: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    fs::create_dir_all(file.parent().unwrap_or(file)).map_err(failed)?;
    fs::write(file, text).map_err(failed)
}

/// `path` without `.` and `..`, from the folder of `file`; none if it leads out of the root.
fn resolve(file: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// How `file` names `target`, both from the root.
fn relative(file: &str, target: &str) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (file.split('/').collect(), target.split('/').collect());
    let folders = &from[..from.len() - 1];
    let shared = folders.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n("..", folders.len() - shared);
    up.chain(to[shared..].iter().copied()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_and_made_relative_again() {
        assert_eq!(resolve("docs/course/a.md", "../../README.md").as_deref(), Some("README.md"));
        assert_eq!(resolve("docs/a.md", "./images/b.png").as_deref(), Some("docs/images/b.png"));
        assert_eq!(resolve("a.md", "../b.md"), None);
        assert_eq!(relative("docs/course/a.md", "README.md"), "../../README.md");
        assert_eq!(relative("docs/a.md", "docs/b.md"), "b.md");
        assert_eq!(relative("a.md", "docs/b.md"), "docs/b.md");
    }
}
