//! The configuration of `ddes serve`, and where each value came from: flags, before variables,
//! before the file, before the defaults.
//!
//! clap knows flags, variables and defaults, in this order. So the file's values become defaults,
//! each after its flag has accepted it: there is one definition of names and ranges.

mod file;
mod keys;
pub(crate) mod show;
mod variables;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, ValueEnum};

use crate::args::{Cli, HTTP_DEFAULT, HttpPlace, ServeArgs, SuiteName};
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::serve::http as serve_http;
use crate::serve::settings::bounds;
use file::{FileValues, PATH};
pub(crate) use file::{Problem, Unusable};
pub(crate) use keys::{KEYS, Key};
pub(crate) use variables::warn_of_misspelt;

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) args: ServeArgs,
    /// One for each of [`KEYS`], in that order.
    pub(crate) entries: Vec<Setting>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static Key,
    /// What a flag, a variable, the file or the flag's own default says.
    pub(crate) given: Option<String>,
    /// What the server uses; `None` where that is nothing: history without an end.
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Environment,
    File {
        file: PathBuf,
        line: usize,
    },
    Default,
    /// An operator's command to the running server, which the next reload or start ends.
    Operator,
}

impl Origin {
    /// As in JSON. What an operator set is in place of a flag until the next reload.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File { .. } => "file",
            Self::Default => "default",
            Self::Operator => "operator",
        }
    }
}

impl Setting {
    /// The flag, the variable, the line of the file, or the command that it came from.
    pub(crate) fn place(&self) -> Option<String> {
        match &self.origin {
            Origin::Flag => Some(format!("--{}", self.key.flag())),
            Origin::Environment => Some(self.key.variable()),
            Origin::File { file, line } => Some(format!("{}:{line}", file.display())),
            Origin::Default => None,
            Origin::Operator => Some("until the next reload".into()),
        }
    }
}

/// A command line that has the flags of `ddes serve`.
#[derive(Clone, Debug)]
pub(crate) struct CommandLine {
    arguments: Vec<OsString>,
    /// The subcommands down to those flags.
    path: &'static [&'static str],
}

impl CommandLine {
    /// The one of this process.
    pub(crate) fn of_process(path: &'static [&'static str]) -> Self {
        Self { arguments: std::env::args_os().collect(), path }
    }

    /// One that `ddes serve` could have, from a command that looks at what it would do.
    pub(crate) fn of_serve(flags: Vec<OsString>) -> Self {
        let arguments = ["ddes", "serve"].map(OsString::from).into_iter().chain(flags).collect();
        Self { arguments, path: &["serve"] }
    }

    /// The flags, where the file's values are their defaults.
    fn parse(&self, values: &FileValues) -> Result<ArgMatches, clap::Error> {
        let command = with_defaults(Cli::command(), self.path, values);
        let mut matches = command.try_get_matches_from(&self.arguments)?;
        for _ in self.path {
            matches = match matches.remove_subcommand() {
                Some((_, below)) => below,
                None => return Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)),
            };
        }
        Ok(matches)
    }
}

fn with_defaults(command: Command, path: &[&str], values: &FileValues) -> Command {
    match path {
        [] => values.iter().fold(command, |command, (key, value)| {
            command.mut_arg(key, |arg| arg.default_value(value.text.clone()))
        }),
        [first, below @ ..] => {
            command.mut_subcommand(first, |command| with_defaults(command, below, values))
        }
    }
}

impl Configuration {
    /// All layers. `named` is the file that a flag or a variable names.
    pub(crate) fn load(line: &CommandLine, named: Option<&Path>) -> Result<Self, Unusable> {
        let file = find(named).map_err(Unusable::Unread)?;
        let values = match &file {
            Some(path) => file::read(path)?,
            None => FileValues::new(),
        };
        let whole = || {
            let mut matches = line.parse(&values)?;
            let origins: Vec<_> = KEYS.iter().map(|key| origin(key, &matches, &values)).collect();
            let given: Vec<_> = KEYS.iter().map(|key| given(key, &matches)).collect();
            Ok((ServeArgs::from_arg_matches_mut(&mut matches)?, origins, given))
        };
        let (args, origins, given) = whole()
            .map_err(|error: clap::Error| Unusable::Unread(crate::usage::failure(&error)))?;
        // It is only named here; whoever uses it looks whether others can write it.
        let home = Home::locate(&args.home).map_err(Unusable::Unread)?;
        let entries = KEYS.iter().zip(origins).zip(given).map(|((key, origin), given)| {
            let origin = match origin {
                Layer::Flag => Origin::Flag,
                Layer::Environment => Origin::Environment,
                Layer::Default => Origin::Default,
                Layer::File(line) => {
                    Origin::File { file: file.clone().unwrap_or_else(|| PATH.into()), line }
                }
            };
            let value = given.clone().or_else(|| unset(key, &args, &home));
            Setting { key, given, value, origin }
        });
        let entries: Vec<_> = entries.collect();
        refuse_without_classic(&args, &entries)
            .and_then(|()| refuse_addresses(&args, &entries))
            .map_err(Unusable::Unread)?;
        Ok(Self { args, entries, file })
    }
}

/// Exactly these values, whatever the environment and files say.
pub(crate) fn args_of(entries: &[Setting]) -> Result<ServeArgs, Failure> {
    let given = entries.iter().filter_map(|Setting { key, given, .. }| {
        given.as_ref().map(|given| format!("--{}={given}", key.flag()))
    });
    let matches = keys::flags().try_get_matches_from(["serve".to_owned()].into_iter().chain(given));
    matches
        .and_then(|matches| ServeArgs::from_arg_matches(&matches))
        .map_err(|error| crate::usage::failure(&error))
}

fn find(named: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    if let Some(path) = named {
        return Ok(Some(path.to_owned()));
    }
    let exists = Path::new(PATH).try_exists().map_err(|error| {
        Failure::new(Code::Usage, format!("cannot look for the configuration file {PATH}: {error}"))
            .next("--config FILE names another; --config /dev/null none")
    })?;
    Ok(exists.then(|| PATH.into()))
}

/// As [`Origin`], while clap has the values.
enum Layer {
    Flag,
    Environment,
    File(usize),
    Default,
}

fn origin(key: &Key, matches: &ArgMatches, values: &FileValues) -> Layer {
    match (matches.value_source(key.name), values.get(key.name)) {
        (Some(ValueSource::CommandLine), _) => Layer::Flag,
        (Some(ValueSource::EnvVariable), _) => Layer::Environment,
        // Its default is the file's value.
        (Some(_), Some(value)) => Layer::File(value.line),
        (Some(_), None) | (None, _) => Layer::Default,
    }
}

/// The value as text, lists with commas; `None` where nothing says one.
fn given(key: &Key, matches: &ArgMatches) -> Option<String> {
    let texts: Vec<_> =
        matches.get_raw(key.name)?.map(|text| text.to_string_lossy().into_owned()).collect();
    Some(texts.join(","))
}

/// What the server uses where nothing says a value.
fn unset(key: &Key, args: &ServeArgs, home: &Home) -> Option<String> {
    // Without a look at the limit on open files, which is another one for each user.
    let bounds = || bounds(args, args.max_connections as usize);
    match key.name {
        "http" => Some("127.0.0.1:5580".into()),
        "ledger" => Some(home.ledger().display().to_string()),
        "suite" => Some(SuiteName::DEFAULT.each_ref().map(name_of).join(",")),
        "max_unproven_total" => Some(bounds().unproven_max.to_string()),
        "max_classic" => Some(bounds().classic_max.to_string()),
        _ => None,
    }
}

/// As flags and the file name it.
fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}

/// A flag that means nothing without --classic is a mistake. A variable or a line of the file stays
/// where classic is switched off for a while.
fn refuse_without_classic(args: &ServeArgs, entries: &[Setting]) -> Result<(), Failure> {
    const NEED_CLASSIC: [&str; 3] = ["classic_wait_ms", "classic_end_all", "max_classic"];
    let is_idle = |entry: &&Setting| {
        NEED_CLASSIC.contains(&entry.key.name) && entry.origin == Origin::Flag && !args.classic
    };
    match entries.iter().find(is_idle) {
        None => Ok(()),
        Some(entry) => Err(Failure::new(
            Code::Usage,
            format!("--{} is used together with --classic only", entry.key.flag()),
        )
        .next(format!(
            "--classic, or no --{}     (ddes serve --help says more)",
            entry.key.flag()
        ))),
    }
}

/// What `ddes serve` would refuse at its start, by values that are each in order: a check or a
/// reload that passes such a file would let the next start fail.
fn refuse_addresses(args: &ServeArgs, entries: &[Setting]) -> Result<(), Failure> {
    let HttpPlace::At(http) = args.http.http.unwrap_or(HTTP_DEFAULT) else { return Ok(()) };
    let failure = if !http.ip().is_loopback() && !args.http.http_plain {
        serve_http::plain(http)
    } else if http == args.listen && http.port() != 0 {
        Failure::new(Code::Usage, format!("--http {http} is the address of --listen too"))
            .next("--http 127.0.0.1:5580, or another free port; or --http off")
    } else {
        return Ok(());
    };
    let place = entries.iter().find(|entry| entry.key.name == "http").and_then(Setting::place);
    Err(match place {
        Some(place) => failure.after(&place),
        None => failure,
    })
}

impl fmt::Display for Setting {
    /// As a line of a configuration file. A default is a comment: a file that sets it would keep
    /// the defaults of this home and this release where another one runs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comment = if self.origin == Origin::Default { "# " } else { "" };
        match &self.value {
            None => write!(f, "# {} =", self.key.name),
            Some(value) => {
                write!(f, "{comment}{} = {}", self.key.name, self.key.kind.literal(value))
            }
        }
    }
}
