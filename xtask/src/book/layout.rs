//! Lays the pages out for mdBook, which takes none from outside of its folder. Each keeps its
//! place; its links lead to pages, or to copies of files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::contents::{Contents, Page};
use super::diagram;
use super::markdown::{Part, front_page, parts};
use super::{read, relative, resolve, write};
use crate::shell::root;

/// What browsers show as it is. All else is shown as text, whatever a server says that it is.
const SHOWN: &[&str] = &["png", "svg", "json"];

pub(super) fn lay_out(contents: &Contents, staged: &Path) -> Result<(), String> {
    for file in ["book.toml", "theme/index.hbs", "theme/favicon.svg"] {
        write(&staged.join(file), &read(&format!("docs/{file}"))?)?;
    }
    for file in ["theme/book.css", "theme/book.js", "theme/search.js"] {
        write(&staged.join(file), &read(&format!("docs/{file}"))?)?;
    }
    let pages = staged.join("src");
    write(&pages.join("SUMMARY.md"), &summary(contents))?;
    let mut files = BTreeMap::new();
    for (place, page) in contents.pages.iter().enumerate() {
        let mut text = Linked { contents, page, files: &mut files }.text(&markdown(page)?)?;
        // The repository lists a folder's files by itself.
        if page.source == "docs/decisions/README.md" {
            text.push('\n');
            for (_, below) in contents.below(place) {
                let link = relative(&page.staged(), &below.staged());
                text += &format!("- [{}]({link})\n", below.title);
            }
        }
        write(&pages.join(page.staged()), &text)?;
    }
    for (to, from) in files {
        copy(&root().join(&from), &pages.join(to))?;
    }
    Ok(())
}

/// For mdBook, which makes of it what comes before and after each page, and where a search looks.
fn summary(contents: &Contents) -> String {
    let mut text = String::from("# Contents\n");
    let mut part = &None;
    for page in &contents.pages {
        if page.part != *part {
            part = &page.part;
            text += &format!("\n# {}\n\n", part.as_deref().unwrap_or(""));
        }
        let bullet = match (&page.part, page.parent) {
            (None, _) => "\n",
            (Some(_), None) => "- ",
            (Some(_), Some(_)) => "  - ",
        };
        text += &format!("{bullet}[{}]({})\n", page.title, page.staged());
    }
    text
}

fn markdown(page: &Page) -> Result<String, String> {
    let text = read(&page.source)?;
    Ok(if page.source.ends_with(".rs") { front_page(&page.title, &text) } else { text })
}

/// A page on its way to the site.
struct Linked<'a> {
    contents: &'a Contents,
    page: &'a Page,
    /// What links lead to besides pages: the copy's path on the site, and the file's.
    files: &'a mut BTreeMap<String, String>,
}

impl Linked<'_> {
    fn text(&mut self, text: &str) -> Result<String, String> {
        let failed = |error: String| format!("{}: {error}", self.page.source);
        let mut laid_out = String::new();
        for part in parts(text) {
            match part {
                Part::Prose(line) => laid_out += &self.line(line).map_err(failed)?,
                Part::Indented(line) => laid_out += line,
                Part::Fenced { open, lines } => {
                    let drawn = match open {
                        "```text" => diagram::draw(&lines).map_err(failed)?,
                        _ => None,
                    };
                    laid_out += &drawn.unwrap_or_else(|| {
                        let end = &open[..open.len() - open.trim_start().len()];
                        format!("{open}\n{}\n{end}```", lines.join("\n"))
                    });
                }
            }
            laid_out.push('\n');
        }
        Ok(laid_out)
    }

    /// A line with its links. What stands in backticks is no link.
    fn line(&mut self, line: &str) -> Result<String, String> {
        let mut linked = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("](") {
            linked += before;
            linked += "](";
            rest = after;
            let is_code = linked.matches('`').count() % 2 == 1;
            if let Some((target, behind)) = after.split_once(')').filter(|_| !is_code) {
                linked += &self.target(target)?;
                linked.push(')');
                rest = behind;
            }
        }
        Ok(linked + rest)
    }

    fn target(&mut self, link: &str) -> Result<String, String> {
        if link.contains("://") || link.starts_with('#') {
            return Ok(link.to_owned());
        }
        let (path, place) =
            link.split_once('#').map_or((link, None), |(path, at)| (path, Some(at)));
        let dead = || format!("the link to {link} leads nowhere");
        let path = resolve(&self.page.source, path).ok_or_else(dead)?;
        let on_disk = root().join(&path);
        if !on_disk.exists() {
            return Err(dead());
        }
        let to = match self.page_of(&path, on_disk.is_dir()) {
            Some(page) => page.staged(),
            None if path.ends_with(".md") => {
                return Err(format!("{path} is not in docs/SUMMARY.md"));
            }
            None => self.copied(path),
        };
        let place = place.map_or(String::new(), |place| format!("#{place}"));
        Ok(relative(&self.page.staged(), &to) + &place)
    }

    /// A folder without a page is on that of the nearest folder above it, but the first page.
    fn page_of(&self, path: &str, is_folder: bool) -> Option<&Page> {
        let mut path = path;
        loop {
            let found = self.contents.page(path);
            if found.is_some() || !is_folder {
                return found;
            }
            path = path.rsplit_once('/')?.0;
        }
    }

    fn copied(&mut self, path: String) -> String {
        let is_shown = path.rsplit_once('.').is_some_and(|(_, end)| SHOWN.contains(&end));
        let to = if is_shown { path.clone() } else { format!("{path}.txt") };
        self.files.insert(to.clone(), path);
        to
    }
}

/// A folder becomes one file, of its files one after the other.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", from.display());
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap_or(to)).map_err(failed)?;
        return fs::copy(from, to).map(drop).map_err(failed);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(from).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort();
    let mut text = String::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let inside = fs::read_to_string(file).map_err(failed)?;
        text += &format!("==> {} <==\n\n{inside}\n", name.as_deref().unwrap_or(""));
    }
    write(to, &text)
}
