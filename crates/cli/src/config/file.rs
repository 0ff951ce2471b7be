//! The configuration file: TOML with the keys of [`KEYS`] at its top, read whole or not at all.
//! Every error has its line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{FLAGS_ONLY, KEYS, Key, ValueKind};
use crate::failure::{Code, Failure};
use crate::home::quoted;

/// What is used where no file is named, if it exists.
pub(crate) const PATH: &str = "/etc/ddes/ddes.toml";

/// The most bytes of a file: several hundred times those of all keys.
const BYTES_MAX: u64 = 64 * 1024;

const OTHERS_WRITE: u32 = 0o002;

/// A value of the file, as its flag takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileValue {
    pub(super) text: String,
    pub(super) line: usize,
}

pub(super) type FileValues = BTreeMap<&'static str, FileValue>;

/// One error of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: FilePlace,
    pub(crate) what: String,
    /// What was meant, perhaps.
    pub(crate) hint: Option<String>,
}

/// Where in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePlace {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Why a file gives no configuration.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It cannot be read.
    Unread(Failure),
    /// At least one error in its text.
    Wrong { file: PathBuf, problems: Vec<Problem> },
}

impl From<Unusable> for Failure {
    /// The first error in full, and how many more there are.
    fn from(unusable: Unusable) -> Self {
        let (file, problems) = match unusable {
            Unusable::Unread(failure) => return failure,
            Unusable::Wrong { file, problems } => (file, problems),
        };
        let next = format!("ddes config check {}", quoted(&file));
        let [Problem { place, what, hint }, more @ ..] = &problems[..] else {
            return Self::new(Code::Usage, format!("{} has errors", file.display())).next(next);
        };
        let more = match more.len() {
            0 => String::new(),
            1 => " (and 1 more error)".to_owned(),
            more => format!(" (and {more} more errors)"),
        };
        let failure = Self::new(Code::Usage, format!("{place}: {what}{more}"));
        match hint {
            Some(hint) => failure.cause(hint.clone()),
            None => failure,
        }
        .next(next)
    }
}

/// The values of a file.
pub(super) fn read(path: &Path) -> Result<FileValues, Unusable> {
    let unread = |error: io::Error| {
        let failure = Failure::new(
            Code::Usage,
            format!("cannot read the configuration file {}: {error}", path.display()),
        );
        let failure = failure.cause_of_path(&error);
        Unusable::Unread(failure.next("--config FILE names another; --config /dev/null none"))
    };
    let text = read_text(path).map_err(unread)?;
    parse(path, &text)
}

fn read_text(path: &Path) -> io::Result<String> {
    // A pipe without a writer is not waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() && path != Path::new("/dev/null") {
        return Err(io::Error::other("it is not a file"));
    }
    let mode = metadata.mode() & 0o7777;
    if metadata.is_file() && mode & OTHERS_WRITE != 0 {
        return Err(io::Error::other(format!(
            "everybody can write it (mode {mode:03o}); chmod o-w mends that"
        )));
    }
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The values of a text, or all of its errors in the order of their lines.
fn parse(path: &Path, text: &str) -> Result<FileValues, Unusable> {
    let place = |span: Range<usize>| place(path, text, span.start);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<_> = errors
        .iter()
        .map(|error| Problem {
            place: place(error.span().unwrap_or(0..0)),
            what: error.message().to_owned(),
            hint: None,
        })
        .collect();
    let torn: Vec<_> = problems.iter().map(|problem| problem.place.line).collect();
    let mut values = FileValues::new();
    for (name, value) in table.into_inner() {
        let at = place(name.span());
        // What the parser made of a line with an error says nothing.
        if torn.contains(&at.line) {
            continue;
        }
        match read_value(name.get_ref(), &value) {
            Ok((key, text)) => {
                values.insert(key, FileValue { text, line: at.line });
            }
            Err(Wrong { is_value, what, hint }) => {
                let place = if is_value { place(value.span()) } else { at };
                problems.push(Problem { place, what, hint });
            }
        }
    }
    if problems.is_empty() {
        return Ok(values);
    }
    problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
    Err(Unusable::Wrong { file: path.to_owned(), problems })
}

/// What is wrong with a key, or with its value.
struct Wrong {
    is_value: bool,
    what: String,
    hint: Option<String>,
}

fn read_value(name: &str, value: &Spanned<DeValue<'_>>) -> Result<(&'static str, String), Wrong> {
    let Some(key) = Key::named(name) else {
        return Err(unknown(name, value.get_ref()));
    };
    let wrong = |what| Wrong { is_value: true, what, hint: None };
    let text = text_of(key.kind, value.get_ref()).ok_or_else(|| {
        let needed = match key.kind {
            ValueKind::Number(unit) => format!("an integer ({unit})"),
            ValueKind::Switch => "true or false".into(),
            ValueKind::Text(what) => format!("a string in quotes ({what})"),
            ValueKind::Names => "a list of strings, as [\"hybrid\", \"ddes\"]".into(),
        };
        wrong(format!("{name} is {needed}, not {}", kind_of(value.get_ref())))
    })?;
    match key.refusal(&text) {
        None => Ok((key.name, text)),
        Some(why) => Err(wrong(format!("{name} cannot be {}: {why}", shown(key.kind, &text)))),
    }
}

fn unknown(name: &str, value: &DeValue<'_>) -> Wrong {
    let is_table = value.is_table();
    let what = if is_table {
        format!("there are no tables, and this is one: '{name}'")
    } else {
        format!("unknown key '{name}'")
    };
    let hint = if is_table {
        Some("keys are at the top of the file, without [TABLE] above them".into())
    } else if let Some((_, hint)) = FLAGS_ONLY.iter().find(|(flag, _)| *flag == name) {
        Some((*hint).to_owned())
    } else {
        alike(name).map(|key| format!("did you mean '{key}'?"))
    };
    Wrong { is_value: false, what, hint }
}

/// The key that a name is most like.
fn alike(name: &str) -> Option<&'static str> {
    most_alike(&name.to_lowercase().replace('-', "_"), KEYS.iter().map(|key| key.name))
}

/// The one that a name is most like, by the measure and the bound of clap's own suggestions.
pub(super) fn most_alike<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE_MIN: f64 = 0.7;
    let measured = known.map(|known| (strsim::jaro(name, known), known));
    let best = measured.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(likeness, _)| *likeness > ALIKE_MIN).map(|(_, known)| known)
}

/// The value as its flag takes it; `None` if it is of another type.
fn text_of(kind: ValueKind, value: &DeValue<'_>) -> Option<String> {
    match kind {
        ValueKind::Number(_) => {
            let integer = value.as_integer()?;
            // One that does not fit is out of every range.
            let number = i128::from_str_radix(integer.as_str(), integer.radix());
            Some(number.map_or_else(|_| integer.as_str().to_owned(), |number| number.to_string()))
        }
        ValueKind::Switch => value.as_bool().map(|is_on| is_on.to_string()),
        ValueKind::Text(_) => value.as_str().map(str::to_owned),
        ValueKind::Names => {
            let names = value.as_array()?.iter().map(|name| name.get_ref().as_str());
            let names: Option<Vec<_>> = names.collect();
            names.map(|names| names.join(","))
        }
    }
}

fn shown(kind: ValueKind, text: &str) -> String {
    match kind {
        ValueKind::Number(_) | ValueKind::Switch => text.to_owned(),
        ValueKind::Text(_) | ValueKind::Names => format!("'{text}'"),
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn place(path: &Path, text: &str, offset: usize) -> FilePlace {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    FilePlace {
        file: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        match parse(Path::new("f"), text) {
            Ok(values) => panic!("{values:?}"),
            Err(Unusable::Unread(failure)) => panic!("{failure:?}"),
            Err(Unusable::Wrong { problems, .. }) => problems
                .into_iter()
                .map(|Problem { place, what, hint }| match hint {
                    None => format!("{place}: {what}"),
                    Some(hint) => format!("{place}: {what}; {hint}"),
                })
                .collect(),
        }
    }

    #[test]
    fn each_error_has_its_line_and_column() {
        let rows: &[(&str, &[&str])] = &[
            ("idle_sec = 5", &["f:1:1: unknown key 'idle_sec'; did you mean 'idle_secs'?"]),
            (
                "\n  max-unproven = 5",
                &["f:2:3: unknown key 'max-unproven'; did you mean 'max_unproven'?"],
            ),
            ("zzz = 5", &["f:1:1: unknown key 'zzz'"]),
            ("idle_secs = 0", &["f:1:13: idle_secs cannot be 0: 0 is not in 1..=86400"]),
            (
                "idle_secs = 99999999999999999999",
                &[
                    "f:1:13: idle_secs cannot be 99999999999999999999: number too large to fit in target type",
                ],
            ),
            ("idle_secs = '60'", &["f:1:13: idle_secs is an integer (seconds), not a string"]),
            (
                "idle_secs = 6.5",
                &["f:1:13: idle_secs is an integer (seconds), not a number with a point"],
            ),
            ("classic = 1", &["f:1:11: classic is true or false, not an integer"]),
            (
                "listen = 5566",
                &["f:1:10: listen is a string in quotes (address and port), not an integer"],
            ),
            (
                "suite = 'hybrid'",
                &["f:1:9: suite is a list of strings, as [\"hybrid\", \"ddes\"], not a string"],
            ),
            (
                "suite = ['hybrid', 3]",
                &["f:1:9: suite is a list of strings, as [\"hybrid\", \"ddes\"], not a list"],
            ),
            (
                "suite = []",
                &[
                    "f:1:9: suite cannot be '': it is one of hybrid, hybrid-3072, hybrid-4096, ddes, ddes-3072, ddes-4096",
                ],
            ),
            (
                "home = '/x'",
                &[
                    "f:1:1: unknown key 'home'; every command uses the home: --home DIR, or DDES_HOME for all of them",
                ],
            ),
            (
                "[serve]\nidle_secs = 5",
                &[
                    "f:1:2: there are no tables, and this is one: 'serve'; keys are at the top of the file, without [TABLE] above them",
                ],
            ),
            ("idle_secs = 5\nidle_secs = 6", &["f:2:1: duplicate key"]),
            (
                "# ü\nidle_secs = 0 # ü\nidle_sec = 1",
                &[
                    "f:2:13: idle_secs cannot be 0: 0 is not in 1..=86400",
                    "f:3:1: unknown key 'idle_sec'; did you mean 'idle_secs'?",
                ],
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(&problems(text), expected, "{text}");
        }
    }

    #[test]
    fn broken_toml_is_an_error_of_its_line_and_hides_no_other_error() {
        for text in ["idle_secs = ", "idle_secs 5", "= 5", "listen = \"x", "[", "a = [1"] {
            let all = problems(&format!("zzz = 5\n{text}"));
            assert!(all[0].contains("f:1:1: unknown key 'zzz'"), "{text}: {all:?}");
            assert!(all.len() > 1 && all[1..].iter().all(|one| one.starts_with("f:2:")), "{all:?}");
        }
    }

    #[test]
    fn no_text_is_a_panic() {
        for text in
            ["\u{feff}idle_secs = 5", "idle_secs = 0x3c", "\0", "a = 'é\n\u{1f600}", "\r\n\r"]
        {
            drop(parse(Path::new("f"), text));
        }
        let deep = format!("suite = {}", "[".repeat(10_000));
        assert!(!problems(&deep).is_empty());
        let values = parse(Path::new("f"), "\u{feff}idle_secs = 0x3c\nhistory_days = 1_000");
        let values = values.unwrap_or_else(|why| panic!("{why:?}"));
        let texts: Vec<_> = values.values().map(|value| (&*value.text, value.line)).collect();
        assert_eq!(texts, [("1000", 2), ("60", 1)]);
    }
}
