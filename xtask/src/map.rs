//! Holds ARCHITECTURE.md to the code: each function, variant and file that it names exists.

/// Of each source file: its path, and its text.
pub(crate) struct Sources<'a>(pub(crate) &'a [(String, String)]);

impl Sources<'_> {
    /// What the map names and the code lacks.
    pub(crate) fn missing(&self, map: &str) -> Vec<String> {
        let mut missing: Vec<_> = spans(map)
            .filter_map(|span| span.split_once("::"))
            .filter(|(owner, item)| is_type(owner) && !self.has(owner, item))
            .map(|(owner, item)| {
                format!("ARCHITECTURE.md names `{owner}::{item}`, which is not there")
            })
            .collect();
        let words = map.split(|c: char| !(c.is_alphanumeric() || "_/.".contains(c)));
        let files = words.filter(|word| word.ends_with(".rs") && word.len() > 3);
        missing.extend(
            files
                .filter(|file| !self.0.iter().any(|(path, _)| is_below(path, file)))
                .map(|file| format!("ARCHITECTURE.md names {file}, which is not there")),
        );
        missing
    }

    /// Whether one file has the type, and a function or variant of that name.
    fn has(&self, owner: &str, item: &str) -> bool {
        let is_here = |text: &str| {
            let declared = [format!("fn {item}("), format!("fn {item}<"), format!("    {item}")];
            let owned = [" ", "<"].map(|before| format!("{before}{owner}"));
            let declares = if is_type(item) { &declared[2..] } else { &declared[..2] };
            owned.iter().any(|owned| text.contains(owned))
                && declares.iter().any(|declared| text.contains(declared))
        };
        self.0.iter().any(|(path, text)| path.ends_with(".rs") && is_here(text))
    }
}

/// What stands in backticks.
fn spans(map: &str) -> impl Iterator<Item = &str> {
    map.split('`').skip(1).step_by(2)
}

fn is_type(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(char::is_alphanumeric)
}

/// Whether a path ends with `file`, at the border of a folder; the map leaves out `src`.
fn is_below(path: &str, file: &str) -> bool {
    let path = path.replace("/src/", "/");
    path == file || path.ends_with(&format!("/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_a_variant_and_a_file_that_are_gone_are_found() {
        let text = "impl Endpoint {\n    pub fn poll(&self) {}\n}\nenum Action {\n    Wake,\n}\n";
        let sources = [("crates/server/src/endpoint.rs".to_owned(), text.to_owned())];
        let missing = |map| Sources(&sources).missing(map);
        assert!(missing("`Endpoint::poll`, `Action::Wake` in server/endpoint.rs").is_empty());
        assert_eq!(missing("`Endpoint::pull`, `Action::Sleep`, `Other::poll`, point.rs").len(), 4);
    }
}
