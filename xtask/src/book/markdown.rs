//! What of a page is prose, and what is code; and the front page of a crate as Markdown.

/// A line outside of code, or a whole block of code.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Prose(&'a str),
    /// A line of an indented block.
    Indented(&'a str),
    Fenced {
        open: &'a str,
        lines: Vec<&'a str>,
    },
}

pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    // Whether an indented line would begin or continue a block.
    let mut may_be_code = true;
    while let Some(line) = lines.next() {
        let is_indented = line.starts_with("    ");
        if line.trim_start().starts_with("```") && !(is_indented && may_be_code) {
            let inside = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            found.push(Part::Fenced { open: line, lines: inside });
            may_be_code = true;
        } else if is_indented && may_be_code {
            found.push(Part::Indented(line));
        } else {
            may_be_code = line.is_empty();
            found.push(Part::Prose(line));
        }
    }
    found
}

/// The documentation of a crate, without what rustdoc alone understands: links to items become
/// their names, and lines that examples hide are left out.
pub(super) fn front_page(name: &str, source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text: String =
        lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect();
    let mut page = format!("# {name}\n\n");
    for part in parts(&text) {
        match part {
            Part::Prose(line) => page += &without_items(line),
            Part::Indented(line) => page += line,
            Part::Fenced { open, lines } => {
                page += if open == "```" { "```rust" } else { open };
                let shown = lines.iter().filter(|line| **line != "#" && !line.starts_with("# "));
                shown.for_each(|line| page += &format!("\n{line}"));
                page += "\n```";
            }
        }
        page.push('\n');
    }
    page
}

/// Links to items, as their names in brackets or behind a text, as plain text.
fn without_items(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        shown += before;
        let Some((text, behind)) = after.split_once(']') else {
            shown.push('[');
            rest = after;
            continue;
        };
        let target = behind.strip_prefix('(').and_then(|behind| behind.split_once(')'));
        match target {
            Some((target, behind)) if is_item(target) => {
                shown += text;
                rest = behind;
            }
            None if text.starts_with('`') => {
                shown += text;
                rest = behind;
            }
            Some(_) | None => {
                shown += &format!("[{text}]");
                rest = behind;
            }
        }
    }
    shown + rest
}

fn is_item(target: &str) -> bool {
    target.chars().all(|letter| letter.is_alphanumeric() || "_:!()".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_prose() {
        let text = "one\n    still one\n\n    two\n\n```text\nthree\n```\nfour\n";
        let three = Part::Fenced { open: "```text", lines: vec!["three"] };
        let expected = [
            Part::Prose("one"),
            Part::Prose("    still one"),
            Part::Prose(""),
            Part::Indented("    two"),
            Part::Prose(""),
            three,
            Part::Prose("four"),
        ];
        assert_eq!(parts(text), expected);
    }

    #[test]
    fn a_front_page_has_no_link_to_an_item_and_no_hidden_line() {
        let source = "//! Use [`Client`], its [adding](Client::add), [docs](a.md).\n//!\n//! ```\n//! # hidden();\n//! #[shown]\n//! ```\n\nmod a;\n";
        assert_eq!(
            front_page("ddes-x", source),
            "# ddes-x\n\nUse `Client`, its adding, [docs](a.md).\n\n```rust\n#[shown]\n```\n"
        );
    }
}
