//! What mdBook's pages lack: the table of contents, with the headings of the page that is read, as
//! links that need no script. And what they have and nobody uses.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::contents::{Contents, Page};
use super::diagram::escaped;
use super::links::{files, referred};
use super::{relative, write};

/// Where index.hbs wants it.
const PLACE: &str = "<!-- contents -->";

pub(super) fn finish(contents: &Contents, site: &Path) -> Result<(), String> {
    for (place, page) in contents.pages.iter().enumerate() {
        let file = site.join(page.address());
        let html =
            fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        if html.matches(PLACE).count() != 1 {
            return Err(format!("{}: no place for the contents", page.address()));
        }
        let html = pictures(&html)
            .ok_or_else(|| format!("{}: a picture that is not as mdBook writes it", page.source))?;
        // A heading without words heads nothing.
        let html = html.replace("<th></th>", "<td></td>");
        let list = Navigation { contents, page, place }.html(&html)?;
        write(&file, &html.replace(PLACE, &list))?;
    }
    remove_unused(site)
}

/// mdBook writes each picture twice, one of them behind a box to tick. Once is enough, as a link to
/// the picture alone.
fn pictures(html: &str) -> Option<String> {
    let mut pieces = html.split("<label class=\"checkbox-label\">");
    let mut simple = pieces.next()?.to_owned();
    for piece in pieces {
        let (label, after) = piece.split_once("</label>")?;
        let picture = label.split_once("<img ")?.1.split_once('>')?.0;
        let source = picture.split_once("src=\"")?.1.split_once('"')?.0;
        simple += &format!("<a class=\"picture\" href=\"{source}\"><img {picture}></a>{after}");
    }
    Some(simple)
}

/// mdBook brings fonts, themes and scripts that this theme does not load.
fn remove_unused(site: &Path) -> Result<(), String> {
    let mut used = BTreeSet::new();
    for file in files(site)?.iter().filter(|file| file.ends_with(".html") && *file != "toc.html") {
        let html =
            fs::read_to_string(site.join(file)).map_err(|error| format!("{file}: {error}"))?;
        used.insert(file.clone());
        used.extend(referred(file, &html));
    }
    for file in files(site)?.iter().filter(|file| !used.contains(*file)) {
        fs::remove_file(site.join(file)).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}

/// The table of contents as one page has it.
struct Navigation<'a> {
    contents: &'a Contents,
    page: &'a Page,
    place: usize,
}

impl Navigation<'_> {
    fn html(&self, html: &str) -> Result<String, String> {
        let sections = sections(html).ok_or_else(|| {
            format!("{}: a heading that is not as mdBook writes it", self.page.source)
        })?;
        let mut list = String::new();
        let mut part = &None;
        let tops = self.contents.pages.iter().enumerate().filter(|(_, page)| page.parent.is_none());
        for (number, (place, page)) in tops.enumerate() {
            if number == 0 || page.part != *part {
                list += if number == 0 { "" } else { "</ul>\n" };
                part = &page.part;
                if let Some(title) = part {
                    list += &format!("<p class=\"part\">{}</p>\n", escaped(title));
                }
                list += "<ul>\n";
            }
            list += &self.entry(place, page, &sections);
        }
        Ok(list + "</ul>\n")
    }

    /// With what is below it, where the reader is there.
    fn entry(&self, place: usize, page: &Page, sections: &str) -> String {
        let mut entry = String::from("<li>");
        entry += &self.link(place, page);
        if place == self.place {
            entry += sections;
        }
        if place == self.place || self.page.parent == Some(place) {
            let mut below = self.contents.below(place).peekable();
            if below.peek().is_some() {
                entry += "\n<ul>\n";
                for (place, page) in below {
                    entry += &self.entry(place, page, sections);
                }
                entry += "</ul>\n";
            }
        }
        entry + "</li>\n"
    }

    fn link(&self, place: usize, page: &Page) -> String {
        let current = if place == self.place { " aria-current=\"page\"" } else { "" };
        let address = relative(&self.page.address(), &page.address());
        format!("<a href=\"{address}\"{current}>{}</a>", escaped(&page.title.replace('`', "")))
    }
}

/// The headings below the page's title, each as a link. A heading that is no link is not mdBook's.
fn sections(html: &str) -> Option<String> {
    let main = html.split_once("<main")?.1.split_once("</main>")?.0;
    let mut list = String::new();
    // The first heading is the title of the page.
    let mut is_first = true;
    for piece in main.split("<h").skip(1) {
        let Some(level @ ('1' | '2')) = piece.chars().next() else { continue };
        let inside = piece.split_once(&format!("</h{level}>"))?.0;
        let (id, link) = inside.split_once("id=\"")?.1.split_once('"')?;
        let name = plain(link.split_once('>')?.1);
        if !std::mem::take(&mut is_first) {
            list += &format!("<li><a href=\"#{id}\">{name}</a></li>\n");
        }
    }
    Some(match list.as_str() {
        "" => list,
        _ => format!("\n<ul class=\"sections\">\n{list}</ul>\n"),
    })
}

/// What stands between tags.
fn plain(html: &str) -> String {
    html.split('<')
        .enumerate()
        .map(|(place, piece)| match place {
            0 => piece,
            _ => piece.split_once('>').map_or("", |(_, text)| text),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_there_once() {
        let html = "<p><label class=\"checkbox-label\"><input type=\"checkbox\"><img src=\"a.png\" alt=\"A\"><span><img src=\"a.png\" alt=\"A\"></span></label></p>";
        assert_eq!(
            pictures(html).unwrap(),
            "<p><a class=\"picture\" href=\"a.png\"><img src=\"a.png\" alt=\"A\"></a></p>"
        );
        assert_eq!(pictures("<p>none</p>").unwrap(), "<p>none</p>");
    }

    #[test]
    fn headings_below_the_title_are_linked() {
        let html = "<main id=\"page\">\n<h1 id=\"a\"><a class=\"header\" href=\"#a\">A</a></h1>\n<h2 id=\"b\"><a class=\"header\" href=\"#b\">B <code>c</code></a></h2>\n<h3 id=\"d\"><a class=\"header\" href=\"#d\">D</a></h3></main>";
        assert_eq!(
            sections(html).unwrap(),
            "\n<ul class=\"sections\">\n<li><a href=\"#b\">B c</a></li>\n</ul>\n"
        );
        assert_eq!(sections("<main><h1 id=\"a\"><a href=\"#a\">A</a></h1></main>").unwrap(), "");
        assert!(sections("<main><h2>no link</h2></main>").is_none());
    }
}
