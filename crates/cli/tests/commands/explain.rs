//! `ddes explain`: pages of sessions that were captured, and each of their calculations by its own
//! line of `ddes calc` and of Python.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::calc::shell;
use crate::secure::{fingerprint, serve};
use crate::{ddes_at, folder, output};

/// The integers of each session: one of them twice.
const ACT: [&str; 3] = ["42", "50", "42"];

/// A home with a capture of the same act on both wires.
struct Site {
    home: PathBuf,
}

impl Site {
    fn new() -> Self {
        let home = folder();
        let server = serve(&home, &["--classic", "--allow-any", "--ledger", "memory"]);
        let trust = fingerprint(&home);
        let site = Self { home };
        let to = ["--server", &server.address, "--capture-secrets", "--quiet"];
        let classic = site.path("classic.pcapng");
        let send = [&["send", "--classic", "--capture", &classic], &to[..], &ACT];
        site.done(&send.concat());
        let hybrid = site.path("hybrid.pcapng");
        let send = [&["send", "--trust", &trust, "--capture", &hybrid], &to[..], &ACT];
        site.done(&send.concat());
        site
    }

    fn path(&self, file: &str) -> String {
        self.home.join(file).display().to_string()
    }

    fn done(&self, words: &[&str]) -> String {
        let (code, out, error) = output(ddes_at(&self.home, words));
        assert_eq!(code, 0, "{words:?}: {error}");
        out
    }

    fn page(&self, name: &str, words: &[&str]) -> String {
        let page = self.path(name);
        self.done(&[&["explain", "-o", &page], words].concat());
        std::fs::read_to_string(page).unwrap()
    }
}

/// A calculation as the page shows it.
struct Card {
    anchor: String,
    results: Vec<String>,
    command: String,
    python: String,
    /// How many of the results Python prints.
    python_results: usize,
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text:.200}"));
    rest.split_once(to).unwrap().0
}

fn plain(html: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(html.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn cards(page: &str) -> Vec<Card> {
    page.split("<details class=\"calc").skip(1).map(card).collect()
}

fn card(html: &str) -> Card {
    let html = html.split("</details>").next().unwrap();
    let line = |kind: &str| {
        plain(between(
            between(html, &format!("data-kind=\"{kind}\""), "</pre>"),
            "<code>",
            "</code>",
        ))
    };
    let results = html.split("data-result=\"").skip(1);
    Card {
        anchor: between(html, "id=\"", "\"").to_owned(),
        results: results.map(|rest| rest.split('"').next().unwrap().to_owned()).collect(),
        command: line("shell"),
        python: line("python"),
        python_results: between(html, "data-results=\"", "\"").parse().unwrap(),
    }
}

#[test]
fn each_calculation_of_a_page_gives_the_same_result_by_its_line_and_in_python() {
    let site = Site::new();
    for (file, at_least) in [("classic", 16), ("hybrid", 25)] {
        let page = site.page(&format!("{file}.html"), &[&site.path(&format!("{file}.pcapng"))]);
        let cards = cards(&page);
        assert!(cards.len() >= at_least, "{file}: {} calculations", cards.len());
        // D-DDES/2 encrypts by a keystream, and this is how it is made, block by block.
        let streams = cards.iter().filter(|card| card.command.starts_with("ddes calc counter "));
        assert_eq!(streams.count() > 5, file == "hybrid", "{file}");
        for Card { anchor, results, command, python, python_results } in &cards {
            let (code, out, error) = output(shell(&format!("{command} -q")));
            assert_eq!(code, 0, "{anchor}: {command}: {error}");
            assert_eq!(out.lines().collect::<Vec<_>>(), *results, "{anchor}: {command}");
            let (code, out, error) = output(shell(python));
            assert_eq!(code, 0, "{anchor}: {python}: {error}");
            let expect = &results[results.len() - python_results..];
            assert_eq!(out.trim_end(), expect.join("\n"), "{anchor}: {python}");
        }
        assert!(page.contains("✓ the same as") && !page.contains("✗ not the same as"), "{file}");
        assert!(!page.contains("<li class=\"bad\">"), "{file}: a check fails");
    }
}

#[test]
fn a_page_is_one_file_that_names_no_other_and_is_the_same_each_time() {
    let site = Site::new();
    let (classic, hybrid) = (site.path("classic.pcapng"), site.path("hybrid.pcapng"));
    let page = site.page("a.html", &[&classic, "--compare", &hybrid]);
    assert_eq!(page, site.page("b.html", &[&classic, "--compare", &hybrid]));
    for foreign in ["http://", "https://", "src=", "url(", "@import", "style=\"", "onclick"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("The same act on both wires") && page.contains("id=\"other-frame-1\""));
    let ids: Vec<&str> =
        page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len(), "an address names one thing");
    for target in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(unique.contains(&target), "#{target} leads nowhere");
    }
    let mode =
        |name: &str| std::fs::metadata(site.home.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("a.html"), 0o600, "whoever has it reads the session");
}

#[test]
fn a_page_without_secrets_holds_none_of_them() {
    let site = Site::new();
    for file in ["classic", "hybrid"] {
        let capture = site.path(&format!("{file}.pcapng"));
        let page = site.page("with.html", &[&capture]);
        let without = site.page("without.html", &[&capture, "--without-secrets"]);
        assert!(without.contains("This is the eavesdropper’s page"));
        assert!(cards(&without).is_empty());
        let secrets = cards(&page);
        let secrets = secrets.iter().filter(|card| card.anchor.contains("keys"));
        for secret in secrets.flat_map(|card| card.results.iter()) {
            let spaced: Vec<_> = secret.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
            assert!(page.contains(&spaced.join(" ")), "{secret}");
            assert!(!without.contains(&spaced.join(" ")) && !without.contains(secret.as_str()));
        }
    }
}

#[test]
fn an_attacker_s_view_tells_equal_integers_and_marks_no_block_of_the_other_wire() {
    let site = Site::new();
    let classic = site.page("a.html", &[&site.path("classic.pcapng"), "--without-secrets"]);
    assert!(classic.contains("The whole frame is that of"), "42 was sent twice");
    assert!(classic.contains("data-mark=\"08×8\"") && classic.contains("data-mark=\"token\""));
    let hybrid = site.page("b.html", &[&site.path("hybrid.pcapng"), "--without-secrets"]);
    assert!(!hybrid.contains("data-mark=\""));
    assert!(hybrid.contains("1 integer.") || hybrid.contains("3 integers."), "its length tells");
}

#[test]
fn the_page_can_go_to_standard_output_and_programs_hear_what_it_holds() {
    let site = Site::new();
    let capture = site.path("classic.pcapng");
    let page = site.page("a.html", &[&capture]);
    assert_eq!(site.done(&["explain", &capture, "-o", "-"]), page);
    let said = site.done(&["explain", &capture, "-o", &site.path("c.html"), "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["event"], &said["profile"]), (&"page".into(), &"classic".into()));
    assert_eq!(said["has_secrets"], true);
    assert_eq!(said["calculations"], cards(&page).len());
}

#[test]
fn of_several_conversations_the_one_that_is_taken_is_named_with_a_way_to_another() {
    let home = folder();
    let capture = home.join("server.pcapng").display().to_string();
    let server =
        serve(&home, &["--classic", "--allow-any", "--ledger", "memory", "--capture", &capture]);
    let trust = fingerprint(&home);
    // A first contact, in which nothing is sent; then one session on each wire.
    let to = ["--server", &server.address];
    let (code, _, error) =
        output(ddes_at(&home, &[&["total", "--trust", &trust], &to[..]].concat()));
    assert_eq!(code, 0, "{error}");
    for wire in [&["--trust", &trust][..], &["--classic"]] {
        let send = [&["send"], &to[..], wire, &["42"]].concat();
        let (code, _, error) = output(ddes_at(&home, &send));
        assert_eq!(code, 0, "{error}");
    }
    crate::capture::stop(server);
    let listed = output(ddes_at(&home, &["inspect", "--json", &capture])).1;
    let listed: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wires: Vec<(u64, &str)> = listed
        .iter()
        .filter(|line| line["event"] == "conversation")
        .map(|line| (line["stream"].as_u64().unwrap(), line["wire"].as_str().unwrap()))
        .collect();
    let counted = |stream: u64| {
        let of = |line: &&Value| line["stream"] == stream && line["opcode"] == 30;
        listed.iter().any(|line| of(&line))
    };
    let first = wires.iter().find(|(stream, _)| counted(*stream)).unwrap().0;
    let classic = wires.iter().find(|(_, wire)| *wire == "classic").unwrap().0;
    assert!(first > 1 && classic > first, "{wires:?}");

    let page = home.join("page.html").display().to_string();
    let explain = |words: &[&str]| {
        let all = [&["explain", &capture, "-o", &page], words].concat();
        let (code, out, error) = output(ddes_at(&home, &all));
        assert_eq!(code, 0, "{words:?}: {error}");
        (out, error)
    };
    let all = wires.len();
    let (_, error) = explain(&["--compare", &capture]);
    for says in [
        format!("has {all} conversations. The page shows number {first}, the first with integers."),
        "--stream N shows another; ddes inspect ".to_owned(),
        format!("number {classic}, the first on the other wire with integers. --compare-stream N"),
    ] {
        assert!(error.contains(&says), "{says}: {error}");
    }
    // Who names one, or wants to hear nothing, hears nothing.
    let number = classic.to_string();
    for words in [&["--stream", &number][..], &["--quiet"]] {
        let (_, error) = explain(words);
        assert!(!error.contains("conversations"), "{words:?}: {error}");
    }
    let (out, _) = explain(&["--stream", &number, "--json"]);
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&said["conversation"], &said["profile"]), (&classic.into(), &"classic".into()));
}

/// The capture may be the only record of a session.
#[test]
fn a_page_takes_the_place_of_no_file_that_it_is_made_of() {
    let site = Site::new();
    let (capture, other) = (site.path("classic.pcapng"), site.path("hybrid.pcapng"));
    let secrets = site.path("secrets");
    std::fs::write(&secrets, "").unwrap();
    let (link, hard) = (site.path("link.html"), site.path("hard.html"));
    std::os::unix::fs::symlink(&capture, &link).unwrap();
    std::fs::hard_link(&capture, &hard).unwrap();
    let files = [&capture, &other, &secrets];
    let read = || files.map(|file| std::fs::read(file).unwrap());
    let before = read();
    let all = ["explain", &capture, "--compare", &other, "--secrets", &secrets, "-o"];
    let again = format!("{}/./classic.pcapng", site.home.display());
    for (page, replaced) in [
        (&capture, &capture),
        (&again, &capture),
        (&link, &capture),
        (&hard, &capture),
        (&other, &other),
        (&secrets, &secrets),
    ] {
        let (code, shown, error) = output(ddes_at(&site.home, &[&all[..], &[page]].concat()));
        assert_eq!((code, shown.as_str()), (2, ""), "{page}: {error}");
        assert!(error.contains(&format!("replace what is read: {replaced}")), "{page}: {error}");
    }
    let mut typed = ddes_at(&site.home, &["explain", "-", "-o", &capture]);
    typed.stdin(std::fs::File::open(&capture).unwrap());
    let (code, _, error) = output(typed);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("standard input"), "{error}");
    assert!(read() == before, "a file was written");
    // An old page is no such file, and a device keeps nothing.
    let page = site.page("page.html", &[&capture]);
    assert_eq!(site.page("page.html", &[&capture]), page);
    site.done(&["explain", &capture, "-o", "/dev/null"]);
}

#[test]
fn what_cannot_be_explained_is_said() {
    let site = Site::new();
    let capture = site.path("classic.pcapng");
    std::fs::write(site.home.join("text"), "no capture").unwrap();
    let out = site.path("out.html");
    let nowhere = site.path("nowhere/at/all.html");
    for (words, expected, says) in [
        (vec!["explain", &capture], 2, "--out"),
        (vec!["explain", "/nowhere/at/all", "-o", &out], 1, "cannot read"),
        (vec!["explain", &site.path("text"), "-o", &out], 1, "neither a pcapng nor a pcap"),
        (vec!["explain", &capture, "--stream", "9", "-o", &out], 1, "conversation 9"),
        (vec!["explain", &capture, "-o", &nowhere], 1, "cannot write"),
        (vec!["explain", &capture, "--compare", &capture, "-o", &out], 1, "of the other wire"),
    ] {
        let (code, shown, error) = output(ddes_at(&site.home, &words));
        assert_eq!((code, shown.as_str()), (expected, ""), "{words:?}: {error}");
        assert!(error.contains(says), "{words:?}: {error}");
        assert!(!Path::new(&out).exists(), "{words:?}");
    }
}
