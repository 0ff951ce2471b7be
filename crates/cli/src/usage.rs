//! The command line as it is given: what is wrong with it, for people and for programs, and
//! `--help`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use crate::args::Cli;
#[cfg(unix)]
use crate::check::{NagiosState, say_to_nagios};
use crate::failure::{Code, Failure};
use crate::streams;
use crate::terminal;

/// The command, or how the process ends without one.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    #[cfg(windows)]
    refuse_absent(std::env::args_os().skip(1))?;
    let mut command = Cli::command();
    let parsed = command.try_get_matches_from_mut(std::env::args_os()).and_then(|mut matches| {
        refuse_two_questions(&mut command, &matches)?;
        Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    });
    parsed.map_err(|error| report(&error))
}

/// The commands that need what this system does not have, or that serve those.
#[cfg(windows)]
const ABSENT: [&str; 14] = [
    "serve",
    "config",
    "reload",
    "link",
    "ledger",
    "authorize",
    "top",
    "tail",
    "demo",
    "lab",
    "bench",
    "calc",
    "check",
    "doctor",
];

/// Says of a command that is not there why.
#[cfg(windows)]
fn refuse_absent(mut arguments: impl Iterator<Item = OsString>) -> Result<(), ExitCode> {
    let Some(command) = arguments.next().and_then(|first| first.into_string().ok()) else {
        return Ok(());
    };
    if !ABSENT.contains(&&*command) {
        return Ok(());
    }
    let failure = Failure::new(Code::Usage, format!("`ddes {command}` is not there on Windows"))
        .cause("servers, their ledgers and what looks at them need Linux or macOS")
        .next("ddes --help lists the commands of a client, which are here");
    Err(failure.report(wants_json(arguments)))
}

/// `ddes check` asks one port. clap's own conflict would also count DDES_SERVER, which is set for
/// all commands.
fn refuse_two_questions(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(("check", of_check)) = matches.subcommand() else { return Ok(()) };
    let is_flag = |name| of_check.value_source(name) == Some(ValueSource::CommandLine);
    if !(is_flag("server") && is_flag("http")) {
        return Ok(());
    }
    command.build();
    let check = command.find_subcommand_mut("check");
    let what = "--server and --http ask two ports of a server: give one of them, and another \
                ddes check for the other";
    check.map_or(Ok(()), |check| Err(check.error(ErrorKind::ArgumentConflict, what)))
}

fn report(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let written = streams::to_stdout(&text(error, &io::stdout()));
        return written
            .map_or_else(|error| Failure::output(&error).report(false), |()| ExitCode::SUCCESS);
    }
    #[cfg(unix)]
    if is_nagios(std::env::args_os().skip(1)) {
        return say_to_nagios(NagiosState::Unknown, failure(error).what(), "");
    }
    if wants_json(std::env::args_os().skip(1)) {
        return failure(error).report(true);
    }
    let text = text(error, &io::stderr());
    let tip = of_variable(error).map_or(String::new(), |tip| format!("\n\n  tip: {tip}"));
    streams::say_styled(&format!("{}{tip}", text.trim_end()));
    ExitCode::from(Code::Usage as u8)
}

fn text(error: &clap::Error, stream: &impl IsTerminal) -> String {
    let styled = error.render();
    if terminal::colours(stream) { styled.ansi().to_string() } else { styled.to_string() }
}

/// Whether programs read the answer to a command line that is not understood.
fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut before = OsString::new();
    for argument in arguments.take_while(|argument| argument != "--") {
        let is_format =
            argument == "--format=ndjson" || (before == "--format" && argument == "ndjson");
        if argument == "--json" || is_format {
            return true;
        }
        before = argument;
    }
    false
}

/// Where a wrong value comes from, if no flag gives it: clap names the flag for either.
fn of_variable(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        Some(_) | None => None,
    };
    let (flag, value) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?);
    let flag = flag.split([' ', '=', '[']).next()?;
    let is_flag = |argument: OsString| {
        let rest = argument.to_str().and_then(|argument| argument.strip_prefix(flag));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    if std::env::args_os().any(is_flag) {
        return None;
    }
    let name = format!("DDES_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
    let of_variable = std::env::var(&name).ok()?;
    of_variable.contains(&**value).then(|| format!("the value is that of the variable {name}"))
}

/// Whether Nagios reads it: a command line that is wrong says nothing about the server.
#[cfg(unix)]
fn is_nagios(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.next().is_some_and(|first| first == "check")
        && arguments.any(|argument| argument == "--nagios")
}

/// What is said to people, in parts.
pub(crate) fn failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(str::trim_end);
    let what = if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Its text is that of --help.
        "a command is missing"
    } else {
        parts.next().unwrap_or(&text).trim_start_matches("error: ")
    };
    let failure = Failure::new(Code::Usage, what);
    let mut tips = parts.clone().filter_map(|part| part.trim_start().strip_prefix("tip: "));
    let usage = parts.find_map(|part| part.strip_prefix("Usage: "));
    let next = usage.map_or_else(
        || "ddes --help".to_owned(),
        |usage| format!("{usage}     (--help says more)"),
    );
    match of_variable(error).or_else(|| tips.next().map(str::to_owned)) {
        Some(tip) => failure.cause(tip),
        None => failure,
    }
    .next(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_flag_which_is_none_behind_two_dashes() {
        let wants = |line: &str| wants_json(line.split(' ').map(OsString::from));
        assert!(
            wants("send --json") && wants("--json x") && wants("ledger export --format ndjson")
        );
        assert!(
            wants("ledger export --format=ndjson") && !wants("ledger export --format csv ndjson")
        );
        assert!(!wants("send -- --json") && !wants("send --jso 5"));
    }
}
