//! The keys of the configuration: those flags of `ddes serve` that a file may set too. Ranges and
//! names of values are those of the flags, which args.rs defines.

use std::error::Error;

use clap::{Args, Command};

use crate::args::ServeArgs;

/// One key. Its flag is its name with `-` for `_`, its variable `DDES_` and its name in capitals.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: ValueKind,
    pub(crate) takes_effect: TakesEffect,
}

/// What a value is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// An integer, in this unit.
    Number(&'static str),
    Switch,
    Text(&'static str),
    /// Names, as a list.
    Names,
}

/// When a changed value applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakesEffect {
    /// A reload applies it, as the text says in full.
    AtReload(&'static str),
    /// The next start of the server does.
    AtStart,
}

const fn key(name: &'static str, kind: ValueKind, takes_effect: TakesEffect) -> Key {
    Key { name, kind, takes_effect }
}

use TakesEffect::{AtReload, AtStart};
use ValueKind::{Names, Number, Switch, Text};

/// All of them, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    key("listen", Text("address and port"), AtStart),
    key("idle_secs", Number("seconds"), AtReload("new sessions")),
    key("suite", Names, AtStart),
    key("ledger", Text("path, URL, or `memory`"), AtStart),
    key("require_standby", Switch, AtStart),
    key("history_days", Number("days"), AtReload("from the next checkpoint")),
    key("frame_values", Number("integers"), AtStart),
    key("allow_any", Switch, AtStart),
    key("classic", Switch, AtStart),
    key("classic_wait_ms", Number("milliseconds"), AtStart),
    key("classic_end_all", Switch, AtStart),
    key("group", Text("name"), AtStart),
    key("max_connections", Number("connections"), AtReload("new connections")),
    key("max_unproven", Number("connections"), AtReload("new connections")),
    key("max_unproven_total", Number("connections"), AtReload("new connections")),
    key("max_classic", Number("sessions"), AtReload("new sessions")),
    key("max_connects_per_sec", Number("connections a second"), AtReload("at once")),
    key("max_handshakes_per_sec", Number("handshakes a second"), AtReload("at once")),
    key("core_dumps", Switch, AtStart),
    key("drain_secs", Number("seconds"), AtReload("at once")),
    key("log_level", Text("name"), AtReload("at once")),
    key("capture", Text("path"), AtStart),
    key("capture_secrets", Switch, AtStart),
    key("capture_max_bytes", Number("bytes"), AtStart),
    key("http", Text("address and port, or `off`"), AtStart),
    key("http_plain", Switch, AtStart),
    key("http_host", Names, AtStart),
    key("http_read_token", Text("path"), AtStart),
];

/// Flags of one run, which no file sets, and what to use instead.
pub(super) const FLAGS_ONLY: &[(&str, &str)] = &[
    ("home", "every command uses the home: --home DIR, or DDES_HOME for all of them"),
    ("config", "--config FILE, or DDES_CONFIG, names the file"),
    ("json", "--json is a flag; lines in a pipe or a log are JSON without it"),
    ("quiet", "--quiet is a flag"),
    ("verbose", "--verbose is a flag; log_level chooses the lines of every run"),
    ("new_ledger", "--new-ledger is a flag of one start"),
];

impl ValueKind {
    /// A value as the file has it.
    pub(super) fn literal(self, value: &str) -> String {
        match self {
            Self::Number(_) | Self::Switch => value.to_owned(),
            Self::Text(_) => quoted(value),
            Self::Names => {
                let names: Vec<_> = value.split(',').map(quoted).collect();
                format!("[{}]", names.join(", "))
            }
        }
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

impl Key {
    /// The key of that name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Without the two dashes.
    pub(crate) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    pub(crate) fn variable(&self) -> String {
        format!("DDES_{}", self.name.to_ascii_uppercase())
    }

    pub(crate) fn is_reloadable(&self) -> bool {
        matches!(self.takes_effect, AtReload(_))
    }

    /// Why the flag would not take this value; `None` if it would.
    pub(super) fn refusal(&self, value: &str) -> Option<String> {
        let flag = format!("--{}={value}", self.flag());
        let error = flags().try_get_matches_from(["serve", &flag]).err()?;
        if let Some(why) = error.source() {
            return Some(why.to_string());
        }
        let allowed = match error.get(clap::error::ContextKind::ValidValue) {
            Some(clap::error::ContextValue::Strings(names)) => names.join(", "),
            Some(_) | None => String::new(),
        };
        Some(if allowed.is_empty() {
            "it is empty".into()
        } else {
            format!("it is one of {allowed}")
        })
    }
}

/// The flags of `ddes serve` alone, without what the environment says.
pub(super) fn flags() -> Command {
    let command = Command::new("serve").disable_help_flag(true);
    ServeArgs::augment_args(command).mut_args(|arg| arg.env(clap::builder::Resettable::Reset))
}

/// Whether the flag is one that the file has no key for.
#[cfg(test)]
fn is_for_one_run(arg: &clap::Arg) -> bool {
    let is_flag_only = FLAGS_ONLY.iter().any(|(name, _)| arg.get_id() == name);
    is_flag_only || arg.is_hide_set() || matches!(arg.get_action(), clap::ArgAction::Help)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// The part of a help text in brackets that says what an unset value means.
    fn default_of(arg: &clap::Arg, help: &str) -> String {
        let values: Vec<_> =
            arg.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
        match (&values[..], help.split_once("[default: ")) {
            ([], Some((_, default))) => default.trim_end_matches(']').to_owned(),
            (values, None) => format!("`{}`", values.join(",")),
            (_, Some(_)) => panic!("{help}"),
        }
    }

    /// The table of docs/configuration.md, as the code has it.
    fn table() -> String {
        let command = flags();
        let mut table = String::new();
        for Key { name, kind, takes_effect } in KEYS {
            let arg = command.get_arguments().find(|arg| arg.get_id() == name).unwrap();
            let help = arg.get_help().unwrap().to_string();
            let meaning = help.split(" [default: ").next().unwrap();
            let unit = match kind {
                Number(unit) | Text(unit) => unit,
                Switch => "`true` or `false`",
                Names => "list of names",
            };
            let reload = match takes_effect {
                AtReload(when) => when,
                AtStart => "needs a restart",
            };
            let default = default_of(arg, &help);
            writeln!(table, "| `{name}` | {unit} | {default} | {reload} | {meaning} |").unwrap();
        }
        table
    }

    #[test]
    fn the_documentation_has_each_key_with_its_unit_its_default_and_when_it_applies() {
        let text = include_str!("../../../../docs/configuration.md");
        let rows: String = text
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|row| format!("{row}\n"))
            .collect();
        assert_eq!(rows, table(), "docs/configuration.md, whose table is to be:\n{}", table());
    }

    #[test]
    fn each_flag_of_serve_is_a_key_or_of_one_run_and_has_its_variable() {
        let command = ServeArgs::augment_args(Command::new("serve"));
        let mut names = Vec::new();
        for arg in command.get_arguments().filter(|arg| !is_for_one_run(arg)) {
            let key = Key::named(arg.get_id().as_str());
            let key = key.unwrap_or_else(|| panic!("{}: no key", arg.get_id()));
            assert_eq!(arg.get_long(), Some(&*key.flag()));
            let variable = arg.get_env().map(|name| name.to_str().unwrap().to_owned());
            assert_eq!(variable, Some(key.variable()), "{}", key.name);
            names.push(key.name);
        }
        names.sort_unstable();
        let mut keys: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        keys.sort_unstable();
        assert_eq!(names, keys);
    }

    #[test]
    fn a_value_is_refused_as_its_flag_refuses_it() {
        let refusal = |name, value| Key::named(name).unwrap().refusal(value);
        assert_eq!(refusal("idle_secs", "60"), None);
        assert_eq!(refusal("idle_secs", "0").unwrap(), "0 is not in 1..=86400");
        assert_eq!(refusal("classic", "maybe").unwrap(), "it is one of true, false");
        assert_eq!(
            refusal("group", "modp").unwrap(),
            "it is one of ffdhe2048, ffdhe3072, ffdhe4096"
        );
        assert_eq!(refusal("suite", "hybrid,ddes"), None);
        assert!(refusal("suite", "hybrid,des").unwrap().starts_with("it is one of hybrid, "));
        assert!(refusal("listen", "nowhere").unwrap().contains("for example 127.0.0.1:5566"));
        assert_eq!(refusal("ledger", "").unwrap(), "it is empty");
        assert!(refusal("ledger", "mysql://u@h/db").unwrap().contains("not built yet"));
        assert_eq!(refusal("ledger", "postgres://u@h/db"), None);
        assert_eq!(refusal("ledger", "a//b:/c"), None);
        // What needs another key is looked at once all layers are known.
        assert_eq!(refusal("max_classic", "5"), None);
    }
}
