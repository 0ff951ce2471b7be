//! `ddes generate`: manual pages and completions, made from the command line itself.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::aot;
use clap_complete_nushell::Nushell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::args::{Cli, GenerateCommand, Shell};
use crate::failure::Failure;
use crate::replace::{New, replace};
use crate::streams;

const NAME: &str = "ddes";

pub(crate) fn run(command: &GenerateCommand) -> Result<(), Failure> {
    match command {
        GenerateCommand::Man { folder } => {
            let mut command = Cli::command().disable_help_subcommand(true);
            command.build();
            write_pages(&command, folder)
        }
        GenerateCommand::Completions { shell } => print(&completions(*shell)),
        GenerateCommand::Dissector => print(&ddes_capture::dissector()),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    streams::to_stdout(text).map_err(|error| Failure::output(&error))
}

fn completions(shell: Shell) -> String {
    let (mut command, mut text) = (Cli::command(), Vec::new());
    match shell {
        Shell::Bash => aot::generate(aot::Bash, &mut command, NAME, &mut text),
        Shell::Zsh => aot::generate(aot::Zsh, &mut command, NAME, &mut text),
        Shell::Fish => aot::generate(aot::Fish, &mut command, NAME, &mut text),
        Shell::Nushell => aot::generate(Nushell, &mut command, NAME, &mut text),
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes the page of a command, and those of the commands below it.
fn write_pages(command: &Command, folder: &Path) -> Result<(), Failure> {
    let man = Man::new(command.clone()).manual("ddes");
    let path = folder.join(man.get_filename());
    let page = page(&man, command)
        .map_err(|error| Failure::system("cannot make the manual page", &error))?;
    replace(&path, &page, New::PUBLIC)
        .map_err(|error| error.failure(crate::failure::Code::No, &path))?;
    let mut below = command.get_subcommands().filter(|command| !command.is_hide_set());
    below.try_for_each(|command| write_pages(command, folder))
}

/// As [`Man::render`], but examples keep their lines.
fn page(man: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_help() {
        notes(&text.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// What `--help` says last: indented lines are examples, all others are text.
fn notes(text: &str) -> Roff {
    let mut roff = Roff::new();
    let title = if text.starts_with("Example") { "EXAMPLES" } else { "NOTES" };
    roff.control("SH", [title]);
    let mut is_example = false;
    for line in text.lines() {
        match (is_example, line.starts_with("  ")) {
            (false, true) => _ = roff.control("EX", []),
            (true, false) => _ = roff.control("EE", []),
            (false, false) | (true, true) => {}
        }
        is_example = line.starts_with("  ");
        if line.is_empty() {
            roff.control("PP", []);
        } else {
            roff.text([roman(line)]);
        }
    }
    if is_example {
        roff.control("EE", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command, and each of its flags: `ddes send`, `ddes send --outbox`.
    fn names(command: &Command, above: &str, found: &mut Vec<String>) {
        let path = format!("{above}{}", command.get_name());
        found.push(path.clone());
        let flags = command.get_arguments().filter(|flag| !flag.is_hide_set());
        found.extend(
            flags.filter_map(|flag| flag.get_long()).map(|long| format!("{path} --{long}")),
        );
        let below = command.get_subcommands().filter(|command| !command.is_hide_set());
        below.for_each(|command| names(command, &format!("{path} "), found));
    }

    /// docs/schemas/cli.txt is what scripts may rely on: a line of it goes with a new version only
    /// (docs/stability.md).
    #[test]
    fn each_command_and_flag_is_listed_and_each_that_is_listed_is_there() {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let mut found = Vec::new();
        names(&command, "", &mut found);
        let listed = include_str!("../../../docs/schemas/cli.txt");
        let listed: Vec<_> = listed.lines().filter(|line| !line.starts_with('#')).collect();
        let gone = listed.iter().filter(|line| !found.iter().any(|name| name == *line));
        let gone: Vec<_> = gone.collect();
        assert!(gone.is_empty(), "scripts may use what is gone: {gone:#?}");
        let new = found.iter().filter(|name| !listed.contains(&name.as_str()));
        let new: Vec<_> = new.map(String::as_str).collect();
        assert!(new.is_empty(), "not listed:\n{}", new.join("\n"));
    }
}
