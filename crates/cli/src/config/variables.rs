//! Variables of the environment that are named almost like one that ddes reads.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::{Command, CommandFactory};

use super::file::most_alike;
use crate::args::Cli;
use crate::streams;

const PREFIX: &str = "DDES_";

/// A warning for each variable that is probably misspelt: nothing reads it, and the server would
/// start with the default in its place. Others may have variables of their own.
pub(crate) fn warn_of_misspelt() {
    for (name, meant) in misspelt(std::env::vars_os().map(|(name, _)| name)) {
        streams::say(&format!("Warning: nothing reads the variable {name}. Did you mean {meant}?"));
    }
}

fn misspelt(environment: impl Iterator<Item = OsString>) -> Vec<(String, String)> {
    let mut known = BTreeSet::new();
    collect(&Cli::command(), &mut known);
    let names = environment.filter_map(|name| name.into_string().ok());
    let unread = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    let unread: BTreeSet<_> = unread.collect();
    let endings = known.iter().filter_map(|name| name.strip_prefix(PREFIX));
    let endings: Vec<_> = endings.collect();
    let meant = |name: String| {
        let meant = most_alike(name.strip_prefix(PREFIX)?, endings.iter().copied())?;
        let meant = format!("{PREFIX}{meant}");
        Some((name, meant))
    };
    unread.into_iter().filter_map(meant).collect()
}

fn collect(command: &Command, known: &mut BTreeSet<String>) {
    let variables = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    known.extend(variables.map(str::to_owned));
    command.get_subcommands().for_each(|command| collect(command, known));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_almost_a_variable_is_named_with_the_one_that_was_meant() {
        let names = ["DDES_LEGDER", "DDES_IDLE_SEC", "DDES_LEDGER", "DDES_HOME", "HOME", "DDES_QQ"];
        let found = misspelt(names.iter().map(OsString::from));
        let expected = [("DDES_IDLE_SEC", "DDES_IDLE_SECS"), ("DDES_LEGDER", "DDES_LEDGER")];
        assert_eq!(found, expected.map(|(name, meant)| (name.to_owned(), meant.to_owned())));
    }
}
