//! docs/SUMMARY.md: the site's pages, in order.

use std::collections::BTreeSet;
use std::fs;

use super::{read, resolve};
use crate::shell::root;

const SUMMARY: &str = "docs/SUMMARY.md";
/// Its pages are below the page that says what they are; nobody has to list them.
const DECISIONS: &str = "docs/decisions/README.md";
/// Pages of docs/ that are not on the site, each with its reason.
const LEFT_OUT: &[(&str, &str)] = &[
    (SUMMARY, "it is the table of contents itself"),
    ("docs/teachers/answers.md", "students read the site"),
];

pub(crate) struct Contents {
    pub(crate) pages: Vec<Page>,
}

/// A page, in the order of the site.
pub(crate) struct Page {
    pub(crate) title: String,
    /// Its file in the repository.
    pub(crate) source: String,
    /// The heading of its part of the contents; none for the first page.
    pub(crate) part: Option<String>,
    /// The page that it is below, by its place.
    pub(crate) parent: Option<usize>,
}

impl Page {
    /// Its file among what mdBook takes. A folder's README is the folder's page, and a crate's
    /// front page is the crate's.
    pub(crate) fn staged(&self) -> String {
        let source = &self.source;
        let folder = ["README.md", "src/lib.rs"].iter().find_map(|end| source.strip_suffix(end));
        folder.map_or_else(|| source.clone(), |folder| format!("{folder}index.md"))
    }

    /// Its file on the site.
    pub(crate) fn address(&self) -> String {
        let staged = self.staged();
        staged.strip_suffix(".md").map_or(staged.clone(), |stem| format!("{stem}.html"))
    }
}

impl Contents {
    pub(crate) fn read() -> Result<Self, String> {
        let mut contents = Self { pages: parse(&read(SUMMARY)?)? };
        contents.add_decisions()?;
        contents.all_are_listed()?;
        Ok(contents)
    }

    /// The page of a file, or of a folder by its README.
    pub(crate) fn page(&self, path: &str) -> Option<&Page> {
        let folder = format!("{path}/README.md");
        self.pages.iter().find(|page| page.source == path || page.source == folder)
    }

    /// The pages directly below the one at `place`.
    pub(crate) fn below(&self, place: usize) -> impl Iterator<Item = (usize, &Page)> {
        self.pages.iter().enumerate().filter(move |(_, page)| page.parent == Some(place))
    }

    fn add_decisions(&mut self) -> Result<(), String> {
        let place = self.pages.iter().position(|page| page.source == DECISIONS);
        let place = place.ok_or_else(|| format!("{SUMMARY}: {DECISIONS} is missing"))?;
        let part = self.pages[place].part.clone();
        let mut added = Vec::new();
        for source in files("docs/decisions")?.into_iter().filter(|source| source != DECISIONS) {
            let text = read(&source)?;
            let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
            let title = title.ok_or_else(|| format!("{source}: it begins with no title"))?;
            added.push(Page {
                title: title.to_owned(),
                source,
                part: part.clone(),
                parent: Some(place),
            });
        }
        for page in &mut self.pages[place + 1..] {
            page.parent =
                page.parent.map(|parent| parent + if parent > place { added.len() } else { 0 });
        }
        drop(self.pages.splice(place + 1..place + 1, added));
        Ok(())
    }

    /// A page that no list has is found by nobody.
    fn all_are_listed(&self) -> Result<(), String> {
        let listed: BTreeSet<&str> = self.pages.iter().map(|page| &*page.source).collect();
        if listed.len() != self.pages.len() {
            return Err(format!("{SUMMARY}: a page is in it twice"));
        }
        let left_out = |file: &str| LEFT_OUT.iter().any(|(left, _)| *left == file);
        let mut missing = Vec::new();
        for folder in ["docs", "docs/course", "docs/teachers"] {
            missing.extend(
                files(folder)?
                    .into_iter()
                    .filter(|file| !listed.contains(&**file) && !left_out(file)),
            );
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("{SUMMARY} does not list: {}", missing.join(", ")))
    }
}

/// The Markdown files of one folder, by name.
fn files(folder: &str) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{folder}: {error}");
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            found.push(format!("{folder}/{name}"));
        }
    }
    found.sort();
    Ok(found)
}

fn parse(text: &str) -> Result<Vec<Page>, String> {
    let mut pages: Vec<Page> = Vec::new();
    let (mut part, mut above) = (None, None);
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
        if let Some(title) = line.strip_prefix("# ") {
            part = Some(title.to_owned());
            continue;
        }
        let entry = line.trim_start();
        let depth = (line.len() - entry.len()) / 2;
        let link = entry.strip_prefix("- ").unwrap_or(entry);
        let link = link.strip_prefix('[').and_then(|link| link.strip_suffix(')'));
        let source = link
            .and_then(|link| link.split_once("]("))
            .and_then(|(title, path)| Some((title, resolve(SUMMARY, path)?)));
        let Some((title, source)) = source.filter(|_| depth < 2) else {
            return Err(format!("{SUMMARY}:{}: neither a part nor a page: {line}", number + 1));
        };
        if depth == 0 {
            above = Some(pages.len());
        }
        pages.push(Page {
            title: title.to_owned(),
            source,
            part: part.clone(),
            parent: if depth == 0 { None } else { above },
        });
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_their_parts_and_the_pages_above_them() {
        let text = "# Contents\n\n[First](../README.md)\n\n# Use it\n\n- [Guide](guide.md)\n- [A course](course/README.md)\n  - [1. One](course/1.md)\n- [A crate](../crates/wire/src/lib.rs)\n";
        let pages = parse(text).unwrap();
        let seen: Vec<_> =
            pages.iter().map(|page| (page.address(), page.part.as_deref(), page.parent)).collect();
        let use_it = Some("Use it");
        assert_eq!(
            seen,
            [
                ("index.html".to_owned(), None, None),
                ("docs/guide.html".to_owned(), use_it, None),
                ("docs/course/index.html".to_owned(), use_it, None),
                ("docs/course/1.html".to_owned(), use_it, Some(2)),
                ("crates/wire/index.html".to_owned(), use_it, None),
            ]
        );
        assert!(parse("# Contents\n\nsome words\n").is_err());
    }
}
