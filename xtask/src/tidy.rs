//! `cargo xtask tidy`: the rules of style that a program can check, each with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::map::Sources;
use crate::shell::root;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
const COMMENT_COLUMNS_MAX: usize = 100;
const ARCHITECTURE_LINES_MAX: usize = 150;

/// Which of our crates a crate may use. Arrows point inwards only.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("cipher", &[]),
    ("ffdhe", &[]),
    ("identity", &["wire"]),
    ("ledger", &["wire"]),
    ("ledger-postgres", &["wire", "ledger"]),
    ("session", &["wire", "cipher", "ffdhe", "identity"]),
    ("capture", &["wire", "cipher", "ffdhe", "identity", "session"]),
    ("explain", &["wire", "cipher", "ffdhe", "identity", "session", "capture"]),
    ("server", &["wire", "session", "ledger", "identity"]),
    ("client", &["wire", "session", "identity"]),
    ("capi", &["client", "wire"]),
    ("load", &["client", "wire", "session", "identity"]),
    ("python", &["client", "wire"]),
    ("web", &["wire", "ledger", "server", "identity"]),
    ("lab", &["wire", "cipher", "ffdhe", "identity", "session", "ledger", "server", "capture"]),
    ("page", &["wire", "ffdhe", "identity", "session", "ledger", "capture"]),
    (
        "cli",
        &[
            "wire",
            "session",
            "ledger",
            "server",
            "client",
            "load",
            "cipher",
            "ffdhe",
            "identity",
            "web",
            "capture",
            "explain",
            "lab",
            "ledger-postgres",
        ],
    ),
];

/// What proves the product, and which of our crates each of them may use. Nothing depends on these.
const PROOF: &[(&str, &[&str])] = &[
    ("circuits", &[]),
    ("fuzz", &["fuzz-harness"]),
    (
        "fuzz-harness",
        &["wire", "cipher", "ffdhe", "identity", "ledger", "session", "client", "capture"],
    ),
    ("harness", &["wire", "identity", "session", "ledger", "ledger-postgres", "client"]),
    (
        "peers",
        &[
            "wire",
            "cipher",
            "ffdhe",
            "identity",
            "ledger",
            "ledger-postgres",
            "session",
            "server",
            "client",
            "load",
        ],
    ),
    ("sim", &["wire", "session", "ledger", "server", "client", "identity"]),
];

/// Crates with an asynchronous driver, and those of proof/ that run one.
const MAY_USE_TOKIO: &[&str] =
    &["server", "client", "web", "cli", "ledger-postgres", "harness", "peers"];

/// Crates that take time, randomness and bytes as arguments.
const PURE: &[&str] = &[
    "crates/wire",
    "crates/cipher",
    "crates/ffdhe",
    "crates/identity",
    "crates/ledger",
    "crates/session",
    "crates/capture",
    "crates/explain",
    "proof/sim",
];

/// What a line must not hold, outside tests, and why. Written in halves, or this file would hold
/// it.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("let _", " = ", "a dropped Result hides a failure; name what is dropped and why"),
    ("unwrap_or_", "default()", "an impossible branch deserves a name, a likely one a decision"),
    ("TO", "DO", "an issue is the place for what is left to do"),
    ("FIX", "ME", "an issue is the place for what is left to do"),
];

/// The leaf files that may hold `unsafe`: each has a safe twin that a test holds it to. The rest is
/// kept from it by the workspace's lints.
const UNSAFE_FILES: &[&str] = &[
    "crates/cipher/src/bitslice/neon.rs",
    "crates/capi/src/exported.rs",
    "crates/cipher/src/bitslice/rounds.rs",
    "crates/cipher/src/bitslice/x86.rs",
    "crates/cli/src/closed.rs",
    "crates/cli/src/doctor/ntp.rs",
    "crates/cli/src/serve/activation.rs",
    "crates/ffdhe/src/a64.rs",
    "crates/ffdhe/src/adx.rs",
    "crates/ffdhe/src/ifma.rs",
    "crates/server/src/slice.rs",
];

/// What writes to standard output or standard error, and panics or is silent if they take nothing.
const WRITES: &[&str] = &["print!(", "println!(", "stdout().lock()", "stderr().lock()"];

/// Where one machine keeps things. In halves, as above.
const MACHINE_PATHS: &[(&str, &str)] = &[("/ro", "ot/"), ("/ho", "me/"), ("/wo", "rk/")];

pub(crate) fn run() -> Result<(), String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot list the files: {error}"))?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found = Vec::new();
    let mut rules = Rules::default();
    let (mut map, mut sources) = (String::new(), Vec::new());
    for file in listing.lines() {
        // What a fuzzer makes is not prose.
        if file.starts_with("proof/fuzz/corpus/") {
            continue;
        }
        let Ok(text) = fs::read_to_string(root().join(file)) else { continue };
        found.extend(check(file, &text).into_iter().map(|what| format!("{file}: {what}")));
        rules.read(file, &text);
        if file == "ARCHITECTURE.md" {
            map = text;
        } else if file.ends_with(".rs") {
            sources.push((file.to_owned(), text));
        }
    }
    found.extend(rules.faults());
    found.extend(Sources(&sources).missing(&map));
    for pure in PURE {
        if !root().join(pure).join("clippy.toml").is_file() {
            found.push(format!("{pure}: a pure crate's clippy.toml bans clocks and sockets"));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

/// The numbered rules of PROTOCOL.md, and who cites them.
#[derive(Default)]
struct Rules {
    stated: BTreeSet<String>,
    cited: BTreeMap<String, String>,
    tested: BTreeSet<String>,
}

impl Rules {
    fn read(&mut self, file: &str, text: &str) {
        if file == "PROTOCOL.md" {
            let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
            self.stated.extend(rows.flat_map(|row| rules(row.split(' ').next().unwrap_or(""))));
        } else if file.ends_with(".rs") {
            self.cited.extend(rules(text).into_iter().map(|rule| (rule, file.to_owned())));
            if is_test(file) {
                self.tested.extend(rules(text));
            }
        }
    }

    fn faults(&self) -> Vec<String> {
        let unknown = self.cited.iter().filter(|(rule, _)| !self.stated.contains(*rule));
        let untested = self.stated.difference(&self.tested);
        unknown
            .map(|(rule, file)| format!("{file}: cites {rule}, which PROTOCOL.md does not state"))
            .chain(untested.map(|rule| {
                format!("PROTOCOL.md: no test names {rule}; an untested rule is a wish")
            }))
            .collect()
    }
}

/// The rules that a text names, as `C-07` or `C-02 to C-05`.
fn rules(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut last: Option<(char, u32, usize)> = None;
    for (at, _) in text.match_indices('-') {
        let (before, after) = (&text[..at], &text[at + 1..]);
        let mut letters = before.chars().rev();
        let Some(letter) = letters.next().filter(|letter| ['C', 'P'].contains(letter)) else {
            continue;
        };
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        if digits.len() != 2 || letters.next().is_some_and(char::is_alphanumeric) {
            continue;
        }
        let Ok(number) = digits.parse::<u32>() else { continue };
        let first = match last {
            Some((of, from, end)) if of == letter && &text[end..at - 1] == " to " => from,
            _ => number,
        };
        found.extend((first..=number).map(|number| format!("{letter}-{number:02}")));
        last = Some((letter, number, at + 3));
    }
    found
}

/// Everything wrong with one file.
fn check(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if file.ends_with(".rs") {
        found.extend(check_rust(file, text));
    }
    if file.ends_with("Cargo.toml") {
        found.extend(check_manifest(file, text));
    }
    if file == "Cargo.toml" && !release_checks_overflow(text) {
        found.push(
            "[profile.release] has overflow-checks = true: a count that wraps must not go on"
                .into(),
        );
    }
    if file.ends_with(".md") {
        found.extend(check_prose(file, text));
    }
    if file.ends_with(".rs")
        && text.contains(concat!("ow(unsafe", "_code"))
        && !UNSAFE_FILES.contains(&file)
    {
        found.push("unsafe lives in named leaf files only (tidy's UNSAFE_FILES)".into());
    }
    let is_vector = file.starts_with("vectors/") && file.ends_with(".txt");
    if is_vector && !text.lines().any(|line| line.starts_with("expect:")) {
        found.push("a vector says what to expect: `expect: …`".into());
    }
    for place in MACHINE_PATHS.iter().map(|(front, back)| format!("{front}{back}")) {
        if text.contains(&place) {
            found.push(format!("`{place}`: paths of one machine mean nothing on another"));
        }
    }
    if text.lines().any(|line| line.ends_with(' ') || line.ends_with('\t')) {
        found.push("a line ends in white space".into());
    }
    found
}

fn check_rust(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or(file);
    if ["utils", "common", "helpers", "types", "manager"].contains(&stem) {
        found.push(format!("`{stem}` says nothing; name the file after what it knows"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX && !text.contains("//! Long because") {
        found.push(format!(
            "{lines} lines: divide it by what it knows, or argue in a line `//! Long because …`"
        ));
    }
    if !is_test(file) {
        for (number, line) in text.lines().enumerate() {
            for (front, back, why) in FORBIDDEN {
                if line.contains(&format!("{front}{back}")) {
                    found.push(format!("line {}: `{front}{back}`: {why}", number + 1));
                }
            }
        }
    }
    let is_product = file.starts_with("crates/") && file.contains("/src/");
    for write in WRITES.iter().filter(|write| is_product && text.contains(**write)) {
        found.push(format!(
            "`{write}`: one place writes (crates/cli/src/streams.rs): a full disk is an error there, and no panic"
        ));
    }
    let includes = |line: &str| line.contains("#[path") || line.contains("include");
    if file.starts_with("crates/")
        && text.lines().any(|line| includes(line) && line.contains("../proof/"))
    {
        found.push("nothing depends on proof/: a file that both need belongs to a crate".into());
    }
    found.extend(wide_comments(file, text));
    if is_product {
        found.extend(unargued_fallbacks(text));
    }
    found.extend(long_functions(text).into_iter().map(|(line, length)| {
        format!(
            "line {line}: a function of {length} lines, at most {FUNCTION_LINES_MAX} can be read in one look"
        )
    }));
    found
}

/// What hides a failure, or a branch that cannot happen, behind a value. In halves, as above.
const FALLBACKS: &[&str] = &["0)", "())", "&[])", "&mut [])", "MAX)"];
/// A fallback has its reason in a comment at most so many lines above it.
const REASON_LINES: usize = 5;

fn unargued_fallbacks(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().take_while(|line| !line.contains("#[cfg(test)]")).collect();
    let is_fallback = |line: &str| {
        line.split(concat!(".unwrap", "_or(")).skip(1).any(|rest| {
            let value = rest.split_inclusive(')').next().unwrap_or("");
            let value = if rest.starts_with("())") { "())" } else { value };
            FALLBACKS.iter().any(|end| value == *end || (*end == "MAX)" && value.ends_with(end)))
        })
    };
    let is_argued = |at: usize| {
        let above = lines.get(at.saturating_sub(REASON_LINES)..=at);
        above.is_some_and(|above| above.iter().any(|line| line.contains("//")))
    };
    let unargued =
        lines.iter().enumerate().filter(|(at, line)| is_fallback(line) && !is_argued(*at));
    unargued
        .map(|(at, _)| {
            format!("line {}: a fallback without its reason in a comment: fail, or say why", at + 1)
        })
        .collect()
}

/// rustfmt wraps code and leaves comments. Layouts with columns of their own may be wider, and what
/// the search for circuits writes is not read line by line.
fn wide_comments(file: &str, text: &str) -> Vec<String> {
    let is_written_by_circuits = file.starts_with("proof/circuits/")
        || ["two.rs", "_of_two.rs", "_of_three.rs"].iter().any(|end| file.ends_with(end));
    // A row of a table is one line.
    let is_row = |line: &str| line.trim_start().starts_with("//! |");
    let is_layout =
        |line: &str| line.contains("||") || line.trim_start().contains("    ") || is_row(line);
    let is_wide = |line: &str| {
        let is_comment = line.trim_start().starts_with("//");
        is_comment && line.chars().count() > COMMENT_COLUMNS_MAX && !is_layout(line)
    };
    let wide =
        text.lines().enumerate().filter(|(_, line)| !is_written_by_circuits && is_wide(line));
    wide.map(|(at, _)| {
        format!("line {}: a comment over {COMMENT_COLUMNS_MAX} columns wide", at + 1)
    })
    .collect()
}

fn is_test(file: &str) -> bool {
    file.contains("/tests/")
}

/// First line and length of each function that is too long, in text that rustfmt wrote.
fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let is_function = [
            "fn ",
            "pub fn ",
            "pub(crate) fn ",
            "pub(super) fn ",
            "async fn ",
            "pub async fn ",
            "pub(crate) async fn ",
            "pub(super) async fn ",
        ]
        .iter()
        .any(|prefix| code.starts_with(prefix))
            // A trait's function has no body of its own.
            && !code.ends_with(';');
        let end = format!("{indent}}}");
        // The signature of a trait's function may end on a line of its own.
        let declared = format!("{indent}) -> ");
        let is_end =
            |line: &&str| **line == *end || (line.starts_with(&declared) && line.ends_with(';'));
        let length = lines[start..].iter().position(is_end).map_or(0, |last| last + 1);
        if is_function && length > FUNCTION_LINES_MAX {
            found.push((start + 1, length));
        }
    }
    found
}

/// Arrows between crates, of which none leads to proof/; tokio where it may be used; clap in cli
/// only.
fn check_manifest(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for used in used_anywhere(text) {
        let ours = used.strip_prefix("ddes-");
        if file == "xtask/Cargo.toml" && ours.is_some() {
            found.push(format!("xtask must not use {used}: it starts programs"));
        }
        if file.starts_with("crates/") && PROOF.iter().any(|(name, _)| ours == Some(*name)) {
            found.push(format!("{used} is in proof/: nothing depends on proof/"));
        }
    }
    let (rows, name) = match file.split('/').collect::<Vec<_>>()[..] {
        ["crates", name, "Cargo.toml"] => (ARROWS, name),
        ["proof", name, "Cargo.toml"] => (PROOF, name),
        _ => return found,
    };
    let Some((_, allowed)) = rows.iter().find(|(known, _)| *known == name) else {
        return vec![format!("crate {name} has no row in tidy's table of arrows")];
    };
    let is_program = |header: &str| {
        header == "[dependencies]"
            || header.starts_with("[target.") && header.ends_with(".dependencies]")
    };
    for used in section(text, is_program) {
        if let Some(ours) = used.strip_prefix("ddes-").filter(|ours| !allowed.contains(ours)) {
            found.push(format!("{name} must not use {ours}: arrows point inwards only"));
        }
        if used == "tokio" && !MAY_USE_TOKIO.contains(&name) {
            found.push(format!("{name} must not use tokio: it is on the pure side of the line"));
        }
        if used == "clap" && name != "cli" {
            found.push(format!("{name} must not use clap: the command line is cli's"));
        }
    }
    found
}

/// The crates that any section of dependencies names: also those of tests, and of one target.
fn used_anywhere(text: &str) -> Vec<&str> {
    section(text, |header| header.ends_with("dependencies]"))
}

/// The crates that the sections with such a header name.
fn section(text: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut is_inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            is_inside = is_wanted(line);
            // `[dependencies.NAME]` is a section of one crate.
            let own = line.trim_end_matches(']').rsplit_once('.');
            found.extend(
                own.filter(|(table, _)| is_wanted(&format!("{table}]"))).map(|(_, name)| name),
            );
        } else if is_inside {
            found.extend(line.split(['.', ' ', '=']).next());
        }
    }
    found
}

/// Whether the profile itself says so; engines may be left out by name.
fn release_checks_overflow(text: &str) -> bool {
    let profile = text.lines().skip_while(|line| *line != "[profile.release]").skip(1);
    profile.take_while(|line| !line.starts_with('[')).any(|line| line == "overflow-checks = true")
}

fn check_prose(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if file == "ARCHITECTURE.md" && text.lines().count() > ARCHITECTURE_LINES_MAX {
        found.push(format!("more than {ARCHITECTURE_LINES_MAX} lines: it is a map, not the land"));
    }
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
        let is_local = !target.is_empty() && !target.contains("://");
        if is_local && !root().join(folder).join(target).exists() {
            found.push(format!("the link to `{target}` leads nowhere"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_found_and_a_short_one_is_not() {
        let body = "    x();\n".repeat(FUNCTION_LINES_MAX);
        assert_eq!(
            long_functions(&format!("fn long() {{\n{body}}}\n")),
            [(1, FUNCTION_LINES_MAX + 2)]
        );
        assert!(long_functions("fn short() {\n    x();\n}\n").is_empty());
    }

    #[test]
    fn an_arrow_that_points_outwards_is_found() {
        let manifest = "[dependencies]\nddes-session.workspace = true\ntokio = \"1\"\n\n[dev-dependencies]\nclap = \"4\"\n";
        assert_eq!(check("crates/wire/Cargo.toml", manifest).len(), 2);
        assert!(check("crates/server/Cargo.toml", manifest).is_empty());
        let of_one_system = "[target.'cfg(unix)'.dependencies]\nddes-session.workspace = true\n";
        assert_eq!(check("crates/wire/Cargo.toml", of_one_system).len(), 1);
    }

    #[test]
    fn whoever_depends_on_proof_is_found() {
        let manifest =
            "[dependencies]\n\n[dev-dependencies]\nddes-sim = { path = \"../../proof/sim\" }\n";
        assert_eq!(check("crates/server/Cargo.toml", manifest).len(), 1);
        assert!(check("proof/sim/Cargo.toml", manifest).is_empty());
        let table = "[dev-dependencies.ddes-sim]\npath = \"../../proof/sim\"\n";
        assert_eq!(check("crates/server/Cargo.toml", table).len(), 1);
        let included = "#[path = \"../../../proof/sim/src/random.rs\"]\nmod random;\n";
        assert_eq!(check("crates/server/src/a.rs", included).len(), 1);
        assert!(check("proof/sim/src/a.rs", included).is_empty());
        let program = "[dependencies]\nddes-wire.workspace = true\n";
        assert_eq!(check("xtask/Cargo.toml", program).len(), 1);
    }

    #[test]
    fn a_release_that_lets_counts_wrap_is_found() {
        assert!(check("Cargo.toml", "[profile.release]\noverflow-checks = true\n").is_empty());
        let other = "[profile.release]\n\n[profile.release.package.x]\noverflow-checks = true\n";
        assert_eq!(check("Cargo.toml", other).len(), 1);
    }

    #[test]
    fn forbidden_words_are_found_outside_tests() {
        for (front, back, _) in FORBIDDEN {
            let line = format!("    {front}{back}\n");
            assert_eq!(
                check("crates/x/src/a.rs", &line)
                    .iter()
                    .filter(|what| what.contains("line 1"))
                    .count(),
                1
            );
            assert!(
                check("crates/x/tests/a.rs", &line).iter().all(|what| !what.contains("line 1"))
            );
        }
    }

    #[test]
    fn what_writes_beside_the_one_place_is_found() {
        for line in
            ["eprintln!(\"x\")", "print!(\"x\")", "io::stdout().lock()", "std::io::stderr().lock()"]
        {
            assert_eq!(check("crates/cli/src/a.rs", &format!("    {line};\n")).len(), 1, "{line}");
            assert!(check("proof/sim/src/a.rs", &format!("    {line};\n")).is_empty());
            assert!(check("crates/cli/tests/a.rs", &format!("    {line};\n")).is_empty());
        }
    }

    #[test]
    fn rules_are_found_singly_and_in_ranges() {
        assert_eq!(
            rules("(rule C-07), C-09 to C-11; AC-12, C-1"),
            ["C-07", "C-09", "C-09", "C-10", "C-11"]
        );
    }

    #[test]
    fn a_rule_without_a_test_and_a_citation_without_a_rule_are_found() {
        let mut rules = Rules::default();
        rules.read("PROTOCOL.md", "| C-01 | one |\n| C-02 | two, see C-03 |\n");
        rules.read("crates/x/tests/a.rs", "//! C-01.");
        rules.read("crates/x/src/a.rs", "//! C-04.");
        let faults = rules.faults().join("\n");
        assert!(faults.contains("cites C-04") && faults.contains("names C-02"), "{faults}");
        assert_eq!(rules.faults().len(), 2);
    }

    #[test]
    fn empty_names_dead_links_and_trailing_blanks_are_found() {
        assert_eq!(check("crates/x/src/utils.rs", "").len(), 1);
        assert_eq!(check("docs/a.md", "see [it](nowhere.md)\n").len(), 1);
        assert_eq!(check("docs/a.md", "blank \n").len(), 1);
    }

    #[test]
    fn a_fallback_without_a_reason_and_a_wide_comment_are_found() {
        let fallback = concat!("let a = b.unwrap", "_or(0);\n");
        assert_eq!(check("crates/x/src/a.rs", fallback).len(), 1);
        assert!(check("crates/x/src/a.rs", &format!("// It is none.\n{fallback}")).is_empty());
        let other = concat!("let a = b.unwrap", "_or(c);\n");
        assert!(check("crates/x/src/a.rs", other).is_empty());
        assert_eq!(
            check("crates/x/src/a.rs", &format!("// {}\n", "a ".repeat(60).trim())).len(),
            1
        );
    }

    #[test]
    fn a_file_without_an_argument_for_its_length_is_found() {
        let long = "x\n".repeat(FILE_LINES_MAX + 1);
        assert_eq!(check("crates/x/src/a.rs", &long).len(), 1);
        assert!(
            check("crates/x/src/a.rs", &format!("//! Long because it is a table.\n{long}"))
                .is_empty()
        );
    }
}
