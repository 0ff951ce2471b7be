//! Whether each link of the site leads somewhere: to a file, and to a place in it. Links that leave
//! the site are told, and nobody is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::resolve;

/// Attributes that name files: the last two are for theme/search.js.
const ATTRIBUTES: &[&str] = &[" href=\"", " src=\"", " data-engine=\"", " data-index=\""];

pub(super) struct Found {
    pub(super) pages: usize,
    pub(super) links: usize,
    pub(super) external: BTreeSet<String>,
}

pub(super) fn check(site: &Path) -> Result<Found, String> {
    let files: BTreeSet<String> = files(site)?.into_iter().collect();
    let mut pages = BTreeMap::new();
    for file in files.iter().filter(|file| file.ends_with(".html")) {
        let html =
            fs::read_to_string(site.join(file)).map_err(|error| format!("{file}: {error}"))?;
        pages.insert(file.clone(), html);
    }
    let places: BTreeMap<&str, BTreeSet<&str>> =
        pages.iter().map(|(file, html)| (&**file, values(html, " id=\"").collect())).collect();
    let mut found = Found { pages: pages.len(), links: 0, external: BTreeSet::new() };
    let mut faults = Vec::new();
    for (file, html) in &pages {
        faults.extend(loaded_from_elsewhere(html).map(|what| format!("{file}: loads {what}")));
        for link in links(html) {
            found.links += 1;
            if link.contains("://") {
                found.external.insert(link.to_owned());
            } else if let Err(why) = leads(file, link, &files, &places) {
                faults.push(format!("{file}: {link}: {why}"));
            }
        }
    }
    let reached = reached(&pages);
    faults.extend(
        pages
            .keys()
            .filter(|file| !reached.contains(*file))
            .map(|file| format!("{file}: no page links to it")),
    );
    if faults.is_empty() { Ok(found) } else { Err(faults.join("\n")) }
}

fn leads(
    file: &str,
    link: &str,
    files: &BTreeSet<String>,
    places: &BTreeMap<&str, BTreeSet<&str>>,
) -> Result<(), &'static str> {
    let (path, place) = link.split_once('#').map_or((link, None), |(path, at)| (path, Some(at)));
    let to = target(file, path).ok_or("leads out of the site")?;
    if !files.contains(&to) {
        return Err("no such file");
    }
    match place {
        Some(place) if !places.get(&*to).is_some_and(|places| places.contains(place)) => {
            Err("no such place in the page")
        }
        Some(_) | None => Ok(()),
    }
}

/// The file that a link leads to; a page links to itself by its places alone.
fn target(file: &str, path: &str) -> Option<String> {
    if path.is_empty() { Some(file.to_owned()) } else { resolve(file, path) }
}

/// The pages that a reader gets to from the first one.
fn reached(pages: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec!["index.html".to_owned()];
    while let Some(file) = next.pop() {
        if let Some(html) = pages.get(&file).filter(|_| reached.insert(file.clone())) {
            next.extend(referred(&file, html));
        }
    }
    reached
}

/// The files of the site that a page names.
pub(super) fn referred(file: &str, html: &str) -> Vec<String> {
    let local = links(html).filter(|link| !link.contains("://"));
    local.filter_map(|link| target(file, link.split('#').next().unwrap_or(link))).collect()
}

fn links(html: &str) -> impl Iterator<Item = &str> {
    ATTRIBUTES.iter().flat_map(|attribute| values(html, attribute))
}

fn values<'a>(html: &'a str, attribute: &'a str) -> impl Iterator<Item = &'a str> {
    html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next())
}

/// Scripts, styles and images of other hosts: the site is to work without a network.
fn loaded_from_elsewhere(html: &str) -> impl Iterator<Item = &str> {
    let tags = html.split('<').filter_map(|tag| tag.split('>').next());
    tags.filter(|tag| {
        ["script ", "link ", "img ", "iframe "].iter().any(|name| tag.starts_with(name))
    })
    .filter(|tag| tag.contains("://"))
}

/// All files below `folder`, by their paths in it.
pub(super) fn files(folder: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(inside) = folders.pop() {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.join(&inside).display());
        for entry in fs::read_dir(folder.join(&inside)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if inside.is_empty() { name } else { format!("{inside}/{name}") };
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            if is_folder { folders.push(path) } else { found.push(path) }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_dead_places_and_foreign_scripts_are_found() {
        let html = "<h2 id=\"here\"></h2><a href=\"b.html\"></a><a href=\"#here\"></a>";
        let files = ["docs/a.html".to_owned(), "docs/b.html".to_owned()].into();
        let places = BTreeMap::from([
            ("docs/a.html", values(html, " id=\"").collect()),
            ("docs/b.html", BTreeSet::new()),
        ]);
        let leads = |link| leads("docs/a.html", link, &files, &places);
        assert_eq!([leads("b.html"), leads("#here")], [Ok(()), Ok(())]);
        assert_eq!(leads("c.html"), Err("no such file"));
        assert_eq!(leads("b.html#here"), Err("no such place in the page"));
        assert_eq!(leads("../../a.html"), Err("leads out of the site"));
        assert_eq!(links(html).count(), 2);
        let foreign = "<script src=\"https://example.com/a.js\"></script><a href=\"https://b\">";
        assert_eq!(loaded_from_elsewhere(foreign).count(), 1);
    }

    #[test]
    fn a_page_that_nothing_links_to_is_found() {
        let page = |link: &str| format!("<a href=\"{link}\">");
        let pages = BTreeMap::from([
            ("index.html".to_owned(), page("docs/a.html#b")),
            ("docs/a.html".to_owned(), page("../index.html")),
            ("docs/lost.html".to_owned(), page("a.html")),
        ]);
        assert_eq!(reached(&pages), ["docs/a.html".to_owned(), "index.html".to_owned()].into());
    }
}
