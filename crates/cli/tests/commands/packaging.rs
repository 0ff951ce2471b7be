//! What a package, a container and monitoring are made from, held to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::Value;

use crate::{copy_program, folder, root};

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The metrics of docs/metrics.md: their names as Prometheus has them, each with its labels.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    let table = text("docs/metrics.md");
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { panic!("{row}") };
        assert!(!meaning.is_empty(), "{row}");
        let name = name.trim_matches('`');
        let spans = labels.split('`').skip(1).step_by(2).map(str::to_owned);
        let mut labels: BTreeSet<String> = spans.collect();
        match kind {
            "gauge" => assert!(!name.ends_with("_total"), "{name}"),
            "counter" => assert!(name.ends_with("_total"), "{name}"),
            "histogram" => {
                for suffix in ["_sum", "_count"] {
                    all.insert(format!("{name}{suffix}"), labels.clone());
                }
                labels.insert("le".into());
                all.insert(format!("{name}_bucket"), labels);
                continue;
            }
            kind => panic!("{name} is a {kind}"),
        }
        assert!(all.insert(name.to_owned(), labels).is_none(), "{name} stands twice");
    }
    assert!(all.len() > 30, "{all:?}");
    all
}

/// The names in an expression that are metrics of a server.
fn named(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("ddes_") || word.starts_with("process_"))
}

fn check(expressions: &[String], used: &mut BTreeSet<String>) {
    let metrics = metrics();
    for expression in expressions {
        for name in named(expression) {
            assert!(metrics.contains_key(name), "{name} is not in docs/metrics.md: {expression}");
            used.insert(name.to_owned());
        }
        let grouped = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        for label in grouped.flat_map(|labels| labels.split(", ")) {
            let has = |name| metrics[name].contains(label);
            assert!(
                ["instance", "job"].contains(&label) || named(expression).any(has),
                "no metric has the label {label}: {expression}"
            );
        }
    }
}

fn rules() -> Vec<String> {
    let rules = text("packaging/prometheus/ddes.rules.yml");
    let expressions: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .map(str::to_owned)
        .collect();
    assert!(expressions.len() > 10);
    expressions
}

fn dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text("packaging/grafana/ddes.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut expressions = Vec::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(panel["type"] == "row" || !targets.is_empty(), "{panel}");
        expressions
            .extend(targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    expressions
}

#[test]
fn each_metric_of_the_rules_and_the_dashboard_exists_and_the_dashboard_shows_all() {
    let mut used = BTreeSet::new();
    check(&rules(), &mut used);
    check(&dashboard(), &mut used);
    let unused = |name: &&String| !used.contains(*name);
    let unused: Vec<_> = metrics().keys().filter(unused).cloned().collect();
    let histogram = ["ddes_ledger_commit_seconds_count", "ddes_ledger_commit_seconds_sum"];
    assert_eq!(unused, histogram);
}

#[test]
fn a_metric_that_is_not_in_the_table_is_found() {
    let found = std::panic::catch_unwind(|| {
        check(&["rate(ddes_value_total[5m])".to_owned()], &mut BTreeSet::new());
    });
    assert!(found.is_err());
}

#[test]
fn each_alarm_says_what_to_do_in_the_operations_text_and_none_is_left_over() {
    let rules = text("packaging/prometheus/ddes.rules.yml");
    let alarms: BTreeSet<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let operations = text("docs/operations.md");
    let cells = operations.lines().filter_map(|line| line.strip_prefix("| Ddes"));
    let cells = cells.filter_map(|rest| rest.split(" |").next());
    let named: BTreeSet<String> = cells
        .flat_map(|names| format!("Ddes{names}").split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(named, alarms.into_iter().map(str::to_owned).collect());
}

#[test]
fn the_container_runs_as_nobody_special_and_checks_its_health_and_copies_what_is_there() {
    let file = text("Containerfile").replace("\\\n", " ");
    let lines: Vec<&str> =
        file.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let with = |word: &str| {
        let words = lines.iter().filter_map(|line| line.strip_prefix(word)).map(str::trim);
        words.collect::<Vec<_>>()
    };
    let [user] = with("USER ")[..] else { panic!("{lines:?}") };
    let ids: Vec<u32> = user.split(':').map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| *id > 0), "{user}");
    // Nothing behind it is root's.
    let at = |word: &str| lines.iter().position(|line| line.starts_with(word)).unwrap();
    assert!(at("USER ") < at("ENTRYPOINT ") && at("USER ") > at("COPY --from=build"));
    let [health] = with("HEALTHCHECK ")[..] else { panic!("{lines:?}") };
    let command: Value = serde_json::from_str(health.split_once("CMD").unwrap().1.trim()).unwrap();
    assert_eq!((&command[0], &command[1]), (&"ddes".into(), &"check".into()));
    assert_eq!((with("VOLUME "), with("EXPOSE ")), (vec!["/var/lib/ddes"], vec!["5566"]));
    assert_eq!(with("ENTRYPOINT "), [r#"["ddes"]"#]);
    let mut copied = 0;
    for copy in with("COPY ").into_iter().filter(|copy| !copy.starts_with("--from")) {
        let paths: Vec<_> = copy.split_whitespace().collect();
        for path in &paths[..paths.len() - 1] {
            assert!(root().join(path).exists(), "{path}");
            copied += 1;
        }
    }
    assert!(copied > 5, "{copied}");
    assert!(lines[0].starts_with("FROM ") && with("FROM ").len() == 2);
    let ignored = text(".dockerignore");
    assert!(ignored.lines().any(|line| line == "target") && !ignored.contains("crates"));
}

/// What the sources of the program take from outside their own crate: by `include_str!` and its
/// kin, and by the attribute `folder` of the page's files.
fn included(source: &std::path::Path, found: &mut BTreeSet<std::path::PathBuf>) {
    for entry in fs::read_dir(source).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            included(&entry, found);
            continue;
        }
        let text = fs::read(&entry).unwrap();
        let text = String::from_utf8_lossy(&text);
        // What stands behind it is not built into the program.
        let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        // `(folder, what names a path in it)`
        let folder = entry.parent().unwrap().to_owned();
        let manifest = entry.ancestors().find(|above| above.join("Cargo.toml").exists()).unwrap();
        let marks = [
            (&*folder, "include_str!(\""),
            (&*folder, "include_bytes!(\""),
            (manifest, "#[folder = \""),
        ];
        for (from, mark) in marks {
            for path in text.split(mark).skip(1).filter_map(|rest| rest.split('"').next()) {
                found.insert(fs::canonicalize(from.join(path)).unwrap());
            }
        }
    }
}

#[test]
fn the_container_copies_all_that_the_program_is_built_from() {
    let top = fs::canonicalize(root()).unwrap();
    let file = text("Containerfile");
    let copies = file.lines().filter_map(|line| line.strip_prefix("COPY "));
    let before_build: Vec<_> = copies
        .filter(|copy| !copy.starts_with("--from"))
        .flat_map(|copy| {
            let paths: Vec<_> = copy.split_whitespace().collect();
            paths[..paths.len() - 1].iter().map(|path| top.join(path)).collect::<Vec<_>>()
        })
        .collect();
    let mut found = BTreeSet::new();
    for folder in fs::read_dir(top.join("crates")).unwrap() {
        included(&folder.unwrap().path().join("src"), &mut found);
    }
    assert!(found.contains(&top.join("web/dist")), "{found:?}");
    for path in found {
        let is_copied = before_build.iter().any(|copied| path.starts_with(copied));
        assert!(is_copied, "{} is built in, and Containerfile copies no such path", path.display());
    }
}

/// Its health check and its flags are commands of this program.
#[test]
fn the_commands_of_the_container_and_the_unit_are_understood() {
    let home = folder();
    for flags in [
        &["check", "--timeout", "4", "--server", "127.0.0.1:5566", "--help"][..],
        &["serve", "--home", "/var/lib/ddes", "--help"],
    ] {
        assert_eq!(crate::output(crate::ddes_at(&home, flags)).0, 0);
    }
    let unit = text("packaging/ddes.service");
    assert!(unit.contains("\nExecStart=/usr/bin/ddes serve --home /var/lib/ddes\n"));
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nWatchdogSec="));
    let package = text("crates/cli/Cargo.toml");
    let assets = package.lines().filter_map(|line| line.trim().strip_prefix("[\"../../"));
    let sources = assets.filter_map(|line| line.split('"').next());
    for source in sources.filter(|source| !source.contains('*') && !source.starts_with("target/")) {
        assert!(root().join(source).is_file(), "{source}");
    }
}

/// Runs a script of the package where `user` is the line of passwd(5) for the user ddes. Whatever
/// it runs is only written down, in what is returned with whether it succeeded; `refuses` fails,
/// and nothing is called `lacks`.
fn maintain(script: &str, action: &str, user: &str, lacks: &str, refuses: &str) -> (bool, String) {
    let programs = folder();
    let log = programs.join("log");
    for name in ["rm", "adduser", "deluser", "userdel", "groupdel", "install", "getent"] {
        let path = programs.join(name);
        let answer = "if [ $1 = passwd ]; then echo \"$DDES_USER\"; fi; [ -n \"$DDES_USER\" ]";
        let text = match name {
            "getent" => answer.to_owned(),
            name => format!("echo \"{name} $*\" >>\"$DDES_LOG\"\n[ {name} != \"{refuses}\" ]"),
        };
        let source = programs.join(format!("{name}.sh"));
        fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
        copy_program(&source, &path);
    }
    fs::remove_file(programs.join(lacks)).unwrap_or(());
    symlink("/usr/bin/cut", programs.join("cut")).unwrap();
    let mut command = Command::new("/bin/sh");
    command.arg(root().join("packaging/debian").join(script)).arg(action);
    command.env("PATH", &programs).env("DDES_USER", user).env("DDES_LOG", &log);
    let output = command.output().unwrap();
    assert!(output.status.success() || !output.stderr.is_empty());
    (output.status.success(), fs::read_to_string(log).unwrap_or_default())
}

const OURS: &str = "ddes:x:105:109::/var/lib/ddes:/usr/sbin/nologin";
const PERSON: &str = "ddes:x:1000:1000:Dora:/srv/dora:/bin/bash";

#[test]
fn a_purge_deletes_the_user_that_the_package_made_and_never_a_person() {
    let purge = |user, lacks, refuses| maintain("postrm", "purge", user, lacks, refuses);
    let home = "rm -rf /var/lib/ddes\nrm -f /etc/default/ddes\n";
    let deluser = format!("{home}deluser --quiet --system ddes\n");
    assert_eq!(purge(OURS, "", ""), (true, format!("{deluser}groupdel ddes\n")));
    assert_eq!(purge(OURS, "deluser", ""), (true, format!("{home}userdel ddes\ngroupdel ddes\n")));
    assert_eq!(purge("", "", ""), (true, home.into()));
    for lacks in ["", "deluser"] {
        assert_eq!(purge(PERSON, lacks, ""), (true, home.into()));
    }
    // A person whose home is there, which deluser finds out by the number.
    let person = "ddes:x:1000:1000::/var/lib/ddes:/bin/sh";
    assert_eq!(purge(person, "deluser", ""), (true, home.into()));
    assert_eq!(purge(person, "", "deluser"), (true, deluser));
}

#[test]
fn the_package_adopts_no_person_who_is_called_ddes() {
    let configure = |user| maintain("postinst", "configure", user, "", "");
    assert_eq!(configure(PERSON), (false, String::new()));
    let (is_done, run) = configure("");
    assert!(is_done && run.starts_with("adduser --system --group --home /var/lib/ddes "), "{run}");
    let (is_done, run) = configure(OURS);
    assert!(is_done && !run.contains("adduser"), "{run}");
}
