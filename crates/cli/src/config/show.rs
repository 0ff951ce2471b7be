//! `ddes config show` and `ddes config check`.

use std::path::Path;

use super::{CommandLine, Configuration, Problem, Setting, Unusable};
use crate::args::{ConfigCheckArgs, ConfigCommand, ShowArgs};
use crate::failure::{Code, Failure};
use crate::home::quoted;
use crate::screen::{Line, Screen};

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Check(args) => check(args),
    }
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let line = CommandLine::of_process(&["config", "show"]);
    let configuration = Configuration::load(&line, args.serve.config.as_deref())?;
    let mut screen = Screen::of(&args.serve.output);
    let Configuration { entries, file, .. } = &configuration;
    if screen.is_json() || args.origin {
        screen.show(&file_line(file.as_deref()))?;
    }
    let width = entries.iter().map(|entry| entry.to_string().chars().count()).fold(0, usize::max);
    for entry in entries {
        screen.show(&setting(entry, args.origin.then_some(width)))?;
    }
    Ok(())
}

fn file_line(file: Option<&Path>) -> Line {
    let text = match file {
        Some(file) => format!("# The file is {}.", file.display()),
        None => format!("# There is no file: none is named, and {} does not exist.", super::PATH),
    };
    Line::new("config_file", text).with("file", file.map(|file| file.display().to_string()))
}

/// A line of a configuration file, with the origin as a comment behind `width` columns.
fn setting(entry: &Setting, width: Option<usize>) -> Line {
    let mut text = entry.to_string();
    if let Some(width) = width {
        let place = entry.place().map_or(String::new(), |place| format!(" {place}"));
        text = format!("{text:width$}  # {}{place}", entry.origin.name());
    }
    setting_fields(Line::new("setting", text), entry)
}

/// An entry as it is in JSON everywhere.
fn setting_fields(line: Line, entry: &Setting) -> Line {
    line.with("key", entry.key.name)
        .with("value", entry.value.clone())
        .with("origin", entry.origin.name())
        .with("where", entry.place())
        .with("reloadable", entry.key.is_reloadable())
}

fn check(args: &ConfigCheckArgs) -> Result<(), Failure> {
    super::warn_of_misspelt();
    let line = CommandLine::of_process(&["config", "check"]);
    let file = args.file.as_deref().or(args.serve.config.as_deref());
    let (file, problems) = match Configuration::load(&line, file) {
        Ok(configuration) => return good(&configuration, args),
        // What cannot be read is not in order.
        Err(Unusable::Unread(failure)) => return Err(failure.with_code(Code::No)),
        Err(Unusable::Wrong { file, problems }) => (file, problems),
    };
    let mut screen = Screen::of(&args.serve.output);
    for problem in &problems {
        screen.show(&problem_line(problem))?;
    }
    let errors =
        if problems.len() == 1 { "1 error".into() } else { format!("{} errors", problems.len()) };
    Err(Failure::new(Code::No, format!("{errors} in {}", file.display()))
        .cause("a server does not start with it, and a running one ignores it whole")
        .next(format!("correct it, then: ddes config check {}", quoted(&file))))
}

fn good(configuration: &Configuration, args: &ConfigCheckArgs) -> Result<(), Failure> {
    let Configuration { entries, file, .. } = configuration;
    let count = |name| entries.iter().filter(|entry| entry.origin.name() == name).count();
    let (of_file, of_flags, of_environment) = (count("file"), count("flag"), count("environment"));
    let file = file.as_ref().map(|file| file.display().to_string());
    let place = match &file {
        Some(file) => format!("{file}: no errors; {of_file} settings of it apply"),
        None => "There is no file, and no error".to_owned(),
    };
    let text = format!("{place}, {of_environment} of variables, {of_flags} of flags.");
    let line = Line::new("config_checked", text)
        .with("file", file)
        .with("of_file", of_file)
        .with("of_environment", of_environment)
        .with("of_flags", of_flags);
    if args.serve.output.quiet && !args.serve.output.json {
        return Ok(());
    }
    Screen::of(&args.serve.output).show(&line)
}

fn problem_line(problem: &Problem) -> Line {
    let Problem { place, what, hint } = problem;
    let meant = hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
    Line::new("config_error", format!("{place}: {what}{meant}"))
        .with("file", place.file.display().to_string())
        .with("line", place.line)
        .with("column", place.column)
        .with("what", what.clone())
        .with("hint", hint.clone())
}
