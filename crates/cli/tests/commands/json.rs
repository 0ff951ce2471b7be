//! What programs read: each command with `--json`, object by object.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::output_faults::{COMMANDS, Site, new_name};
use crate::{ddes_at, folder, output};

/// Where a time stands, beside what says that it is none.
const TIMES: [&str; 6] = ["time", "as_of", "first", "last", "started", "expires"];

/// Beyond 2^53 JSON's readers round.
const DECIMALS: [&str; 10] =
    ["amount", "count", "max", "mean", "min", "seq", "session", "sum", "value", "values"];

/// The types that each name was seen to have.
#[derive(Default)]
struct Types {
    /// In objects by themselves.
    outer: BTreeMap<String, BTreeSet<&'static str>>,
    /// In all objects, of numbers and strings only.
    all: BTreeMap<String, BTreeSet<&'static str>>,
    events: BTreeSet<String>,
    /// All that was read.
    lines: String,
}

impl Types {
    fn read(&mut self, from: &str, out: &str) {
        assert!(!out.is_empty(), "{from} says nothing");
        self.lines.push_str(out);
        for line in out.lines() {
            let object: Value =
                serde_json::from_str(line).unwrap_or_else(|why| panic!("{from}: {why}: {line}"));
            assert_eq!(object["schema_version"], 2, "{from}: {line}");
            self.events.insert(
                object["event"].as_str().unwrap_or_else(|| panic!("{from}: {line}")).to_owned(),
            );
            assert!(is_time(&object["time"]), "{from}: {line}");
            let names = self.object(&object).into_iter();
            for (name, kind) in names.filter(|(_, kind)| *kind != "null") {
                self.outer.entry(name).or_default().insert(kind);
            }
        }
    }

    fn object(&mut self, object: &Value) -> Vec<(String, &'static str)> {
        let fields = object.as_object().unwrap();
        for (name, value) in fields {
            let kind = kind(value);
            if ["number", "string"].contains(&kind) {
                self.all.entry(name.clone()).or_default().insert(kind);
            }
            if TIMES.contains(&&**name) {
                assert!(value.is_null() || is_time(value), "{name}: {value}");
            }
            let below = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for object in below.iter().filter(|value| value.is_object()) {
                self.object(object);
            }
        }
        fields.iter().map(|(name, value)| (name.clone(), kind(value))).collect()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// RFC 3339, UTC.
fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let fraction =
        shape.strip_prefix("0000-00-00T00:00:00").and_then(|rest| rest.strip_suffix('Z'));
    fraction.is_some_and(|fraction| {
        fraction.is_empty()
            || fraction.strip_prefix('.').is_some_and(|f| f.bytes().all(|b| b == b'0'))
    })
}

/// Holds objects, one a line, to a schema of docs/schemas in which no field is unnamed.
pub(crate) fn fits(schema: &str, lines: &str) {
    let schema = format!("docs/schemas/{schema}.schema.json");
    let mut python = crate::peer("crates/cli/tests/commands/schemas.py", &[&schema]);
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let faults = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success(), "{schema}:\n{faults}");
}

/// What a command shows when lines are typed.
fn shown(mut command: Command) -> (Option<i32>, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Who reads nothing may be gone already.
    drop(child.stdin.take().unwrap().write_all(b"x\nhelp\n5\n50\n"));
    let ended = child.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stdout).unwrap())
}

/// All that a server says of a client's visit, and on its console.
fn served(json: &[&str], profile: &[&str]) -> String {
    let home = folder();
    let flags = [&["serve", "--listen", "127.0.0.1:0", "--allow-any"], profile, json].concat();
    let mut child = ddes_at(&home, &flags);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut said, &mut first).unwrap();
    let address =
        serde_json::from_str::<Value>(&first).unwrap()["addr"].as_str().unwrap().to_owned();
    let trust = crate::secure::fingerprint(&home);
    let visit: &[&str] = if profile.is_empty() { &["--trust", &trust] } else { &["--classic"] };
    let send = [&["send", "-q", "--server", &address], visit, &["5"]].concat();
    assert_eq!(output(ddes_at(&home, &send)).1, "5\n");
    child.stdin.take().unwrap().write_all(b"sessions\ntotals\nend 1\nend x\nwhat\n").unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    said.read_to_string(&mut first).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    first
}

#[test]
fn each_object_has_event_time_and_version_and_a_name_has_one_type() {
    let site = Site::new();
    let mut types = Types::default();
    for (before, line) in COMMANDS {
        let name = new_name();
        if !before.is_empty() {
            site.prepare(before, &name);
        }
        let line = format!("{line} --json");
        let (code, out) = shown(site.command(&line, &name));
        types.read(&line, &out);
        // Not every command takes what is typed here for an input.
        assert!(code == Some(0) || line.contains(" - "), "{line}: {code:?} {out}");
    }
    let intervals =
        "bench run --json --yes --server SERVER --trust TRUST --sessions 1 --duration 2 --warmup 0";
    types.read(intervals, &site.prepare(intervals, ""));
    for line in [
        "total --json --server 127.0.0.1:1",
        "send --json",
        "send --json --nothing",
        "send --json x",
        "ledger --json",
        "ledger receipt --json",
        "ledger export --format ndjson --nothing",
        "serve --json --listen x",
        "--json",
        "bench run --json --sessions 0",
    ] {
        let (code, out) = shown(site.command(line, &new_name()));
        assert!(code == Some(2) || line.starts_with("total"), "{line}: {code:?}");
        types.read(line, &out);
        let error: Value = serde_json::from_str(out.trim()).unwrap();
        assert_eq!(
            (&error["event"], error["exit_code"].as_i64()),
            (&"error".into(), code.map(i64::from))
        );
        assert!(!error["what"].as_str().unwrap().is_empty(), "{line}: {out}");
    }
    for profile in [&[][..], &["--classic", "--classic-wait-ms", "0"]] {
        types.read("serve --json", &served(&["--json"], profile));
        types.read("serve in a pipe", &served(&[], profile));
    }
    for (name, kinds) in types.outer.iter().chain(&types.all) {
        assert_eq!(kinds.len(), 1, "{name} is one of {kinds:?}");
    }
    for name in DECIMALS {
        assert!(types.all[name].contains("string"), "{name}");
    }
    for event in [
        "error",
        "listening",
        "totals",
        "session_count",
        "exited",
        "result",
        "total",
        "interval",
        "counted",
    ] {
        assert!(types.events.contains(event), "{event}: {:?}", types.events);
    }
    fits("lines", &types.lines);
}

#[test]
fn the_files_of_runs_and_attacks_and_the_keys_of_a_session_fit_their_schemas() {
    let site = Site::new();
    let one_line = |file: &str| {
        let text = std::fs::read_to_string(site.home.join(file)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap().to_string()
    };
    fits("run", &one_line("run.json"));
    fits("lines", &site.prepare("inspect SESSION --keys --json", ""));
    site.prepare("lab run 1 --no-pause --seed anna --quiet --evidence DIR.json", "evidence");
    fits("evidence", &one_line("folder-evidence.json"));
}

/// The texts behind `before` and before the next quotation mark, in the product's part of a source.
fn quoted_after<'a>(source: &'a str, before: &str) -> Vec<&'a str> {
    let product = source.split("#[cfg(test)]").next().unwrap();
    product.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

fn sources(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if !path.ends_with("tests.rs") {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// Also of what no test brings about: each event and each field that is written has its name in the
/// schema.
#[test]
fn the_schema_names_each_event_and_each_field_of_the_sources() {
    let schema = std::fs::read(crate::root().join("docs/schemas/lines.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut fields: BTreeSet<&str> = BTreeSet::from(["level"]);
    for definition in definitions.values() {
        fields.extend(
            definition["properties"].as_object().into_iter().flatten().map(|(name, _)| &**name),
        );
    }
    let mut all = Vec::new();
    sources(&crate::root().join("crates/cli/src"), &mut all);
    let (mut events, mut written) = (BTreeSet::new(), BTreeSet::new());
    for source in &all {
        for before in ["Line::new(\"", "Line::styled(\"", "verify::line(\""] {
            events.extend(quoted_after(source, before));
        }
        written.extend(quoted_after(source, ".with(\""));
    }
    // Of the server: one table, and a test holds its lines to it.
    let table = all.iter().find_map(|source| source.split_once("\nevents! {")).unwrap().1;
    for row in table.split_once("\n}").unwrap().0.lines() {
        let mut names = row.split('"').skip(1).step_by(2);
        events.extend(names.next());
        written.extend(names);
    }
    assert!(events.len() > 90 && written.len() > 150, "{events:?} {written:?}");
    let unknown: Vec<_> =
        events.iter().filter(|event| !definitions.contains_key(**event)).collect();
    assert!(unknown.is_empty(), "events that no schema has: {unknown:?}");
    let unnamed: Vec<_> = written.difference(&fields).collect();
    assert!(unnamed.is_empty(), "fields that no schema has: {unnamed:?}");
}

#[test]
fn a_usage_error_says_to_programs_what_it_says_to_people() {
    let home = folder();
    let (code, out, error) = output(ddes_at(&home, &["send", "--json", "--jsn", "5"]));
    assert_eq!((code, &*error), (2, ""));
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(object["what"], "unexpected argument '--jsn' found");
    assert!(object["cause"].as_str().unwrap().contains("'--json'"), "{out}");
    assert!(object["next"].as_str().unwrap().starts_with("ddes send"), "{out}");
    let (code, out, error) = output(ddes_at(&home, &["send", "--jsn", "5"]));
    assert_eq!((code, &*out), (2, ""));
    assert!(
        error.contains("unexpected argument '--jsn' found") && error.contains("Usage: ddes send"),
        "{error}"
    );
}

#[test]
fn a_server_s_lines_are_for_people_on_a_terminal_also_where_nothing_is_typed() {
    let home = folder();
    let script = "exec \"$0\" serve --listen 127.0.0.1:0 </dev/null";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_ddes")]).env("DDES_HOME", &home);
    let mut server = rexpect::session::spawn_command(shell, Some(20_000)).unwrap();
    server.exp_string("[SERVER LISTENING] Server is listening on 127.0.0.1:").unwrap();
    server.send_control('c').unwrap();
    server.exp_string("[SERVER EXITED]").unwrap();
}
