//! Where lines go: above the prompt of a terminal, plainly, or as JSON.

#[cfg_attr(windows, path = "screen/borrowed_windows.rs")]
mod borrowed;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::SystemTime;

use ddes_wire::shown;
use jiff::Timestamp;
use rustyline::ExternalPrinter;
use serde_json::{Map, Value, json};

use crate::args::OutputArgs;
use crate::failure::Failure;
use crate::level::EventLevel;
use crate::streams::{decorate, say_styled, to_stdout};
use crate::teletype::Teletype;
use crate::terminal;

pub(crate) use borrowed::Borrowed;

/// Raised when a field of a JSON line changes its meaning or goes.
pub(crate) const SCHEMA_VERSION: u32 = 2;

/// What may exceed 2^53, above which JSON's readers round: decimal digits in a string wherever the
/// name stands, also where the number is small. Other numbers are numbers.
const DECIMALS: [&str; 11] =
    ["amount", "count", "integer", "max", "mean", "min", "seed", "seq", "session", "sum", "values"];

/// One thing that happened, for people and for programs.
#[derive(Debug)]
pub(crate) struct Line {
    /// Whoever's words are in it, they are fit to be shown.
    text: String,
    event: &'static str,
    /// `None`: shown at every level.
    level: Option<EventLevel>,
    fields: Map<String, Value>,
}

impl Line {
    pub(crate) fn new(event: &'static str, text: impl Into<String>) -> Self {
        Self { text: shown::plain_lines(&text.into()), event, level: None, fields: Map::new() }
    }

    /// As [`Self::new`], of a text with colours, all else of which is fit to be shown.
    pub(crate) fn styled(event: &'static str, text: String) -> Self {
        Self { text, event, level: None, fields: Map::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), of_one_type(name, value.into()));
        self
    }

    /// Shown where this level is.
    pub(crate) fn at(self, level: Option<EventLevel>) -> Self {
        Self { level, ..self }
    }

    /// The level at which it is shown; `None` if it always is.
    pub(crate) fn level(&self) -> Option<EventLevel> {
        self.level
    }

    /// As people read it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// As programs know it: its name, and its fields.
    pub(crate) fn event(&self) -> (&'static str, &Map<String, Value>) {
        (self.event, &self.fields)
    }

    /// Writes it where many follow, without a flush after each.
    pub(crate) fn write(&self, out: &mut impl Write, is_json: bool) -> io::Result<()> {
        writeln!(out, "{}", self.render(is_json))
    }

    /// As it is written now.
    pub(crate) fn render(&self, is_json: bool) -> String {
        if is_json { self.json(SystemTime::now()) } else { self.text.clone() }
    }

    fn json(&self, now: SystemTime) -> String {
        let mut object = Map::new();
        object.insert("schema_version".into(), SCHEMA_VERSION.into());
        object.insert("time".into(), time(now).to_string().into());
        object.insert("event".into(), self.event.into());
        object.extend(self.fields.clone());
        Value::Object(object).to_string()
    }
}

/// Standard output, as the command and its terminal want it.
pub(crate) struct Screen {
    mode: ScreenMode,
    /// Whether the line above the prompt is a status line.
    status_shown: bool,
}

enum ScreenMode {
    /// A prompt may be waiting on the last line: print above it.
    Prompt {
        printer: Box<dyn ExternalPrinter + Send>,
        borrowed: Borrowed,
    },
    /// A prompt may be waiting on a terminal whose lines cannot be overwritten.
    Teletype(Teletype),
    Plain,
    Json,
}

impl Screen {
    pub(crate) fn plain() -> Self {
        Self { mode: ScreenMode::Plain, status_shown: false }
    }

    pub(crate) fn json() -> Self {
        Self { mode: ScreenMode::Json, status_shown: false }
    }

    /// For people or for programs, as is asked for.
    pub(crate) fn of(output: &OutputArgs) -> Self {
        if output.json { Self::json() } else { Self::plain() }
    }

    /// Prints above the prompt that `printer` belongs to.
    pub(crate) fn above_prompt(printer: Box<dyn ExternalPrinter + Send>) -> io::Result<Self> {
        let borrowed = Borrowed::new()?;
        Ok(Self { mode: ScreenMode::Prompt { printer, borrowed }, status_shown: false })
    }

    /// Prints below the prompt, which is put again.
    pub(crate) fn below_prompt(teletype: Teletype) -> Self {
        Self { mode: ScreenMode::Teletype(teletype), status_shown: false }
    }

    /// Whether somebody watches, so that a countdown makes sense.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.mode, ScreenMode::Prompt { .. })
    }

    /// Whether programs read, not people.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.mode, ScreenMode::Json)
    }

    /// What was asked for, whole; or the command has failed.
    pub(crate) fn show(&mut self, line: &Line) -> Result<(), Failure> {
        let text = line.render(self.is_json());
        self.print(&text).map_err(|error| Failure::output(&error))
    }

    /// As [`Self::show`], once something was done that stays done whether or not this is shown.
    pub(crate) fn show_done(&mut self, line: &Line) -> Result<(), Failure> {
        let done = line.text().lines().next().unwrap_or("done");
        self.show(line).map_err(|failure| failure.after(&format!("done ({done})")))
    }

    /// A line that the next one overwrites; for live screens only.
    pub(crate) fn status(&mut self, text: &str) -> io::Result<()> {
        if !self.is_live() {
            return Ok(());
        }
        // One that wraps could not be overwritten in place.
        let text: String = text.chars().take(terminal::columns().saturating_sub(1)).collect();
        self.print(&text)?;
        self.status_shown = true;
        Ok(())
    }

    /// Takes the terminal back from the prompt: what follows is printed directly.
    pub(crate) fn leave_prompt(&mut self) {
        if let ScreenMode::Prompt { borrowed, .. } = &self.mode {
            borrowed.give_back();
            self.mode = ScreenMode::Plain;
            decorate("\r\x1b[K");
            self.status_shown = false;
        } else if let ScreenMode::Teletype(teletype) = &self.mode {
            teletype.leave();
        }
    }

    /// Writes lines as they are.
    pub(crate) fn print(&mut self, text: &str) -> io::Result<()> {
        let over = if std::mem::take(&mut self.status_shown) { "\x1b[1A\x1b[2K" } else { "" };
        let text = format!("{over}{text}\n");
        match &mut self.mode {
            ScreenMode::Prompt { printer, .. } => printer.print(text).map_err(io::Error::other),
            ScreenMode::Teletype(teletype) => teletype.print(&text),
            ScreenMode::Plain | ScreenMode::Json => to_stdout(&text),
        }
    }

    /// The terminal, where the prompt changes its mode.
    pub(crate) fn borrowed(&self) -> Option<Borrowed> {
        match &self.mode {
            ScreenMode::Prompt { borrowed, .. } => Some(borrowed.clone()),
            ScreenMode::Teletype(_) | ScreenMode::Plain | ScreenMode::Json => None,
        }
    }
}

/// A clock beyond the years that can be written shows the last, or the first, of them.
pub(crate) fn time(now: SystemTime) -> Timestamp {
    let is_before = now < SystemTime::UNIX_EPOCH;
    Timestamp::try_from(now).unwrap_or(if is_before { Timestamp::MIN } else { Timestamp::MAX })
}

/// Whether a prompt makes sense: both ends are a terminal.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// A sum for JSON: a string, since it may exceed 2^53.
pub(crate) fn number(value: &impl ToString) -> Value {
    json!(value.to_string())
}

/// A name has one type in all objects.
fn of_one_type(name: &str, value: Value) -> Value {
    match value {
        Value::Number(number) if DECIMALS.contains(&name) => Value::String(number.to_string()),
        Value::Array(items) => items.into_iter().map(|item| of_one_type(name, item)).collect(),
        Value::Object(fields) => {
            let typed = fields.into_iter().map(|(name, value)| {
                let value = of_one_type(&name, value);
                (name, value)
            });
            Value::Object(typed.collect())
        }
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value,
    }
}

/// The classic profile's loud mark.
pub(crate) fn warn_of_classic() {
    warn(
        "the classic profile is NOT SECURE.",
        "Nobody is authenticated, frames can be replayed,\n         and Double DES falls to about \
         2^57 work. For study and the original's programs only.",
    );
}

/// The mark of a classic server that other machines reach.
pub(crate) fn warn_of_classic_beyond(address: SocketAddr) {
    warn(
        &format!("OTHER MACHINES REACH {address} ON THE CLASSIC WIRE."),
        &format!(
            "Whoever does can count,\n         replay and read, and sit between a client and this \
             server. Use a network of its own.\n         For this machine alone: --listen \
             127.0.0.1:{}",
            address.port()
        ),
    );
}

/// The mark of the suites without ML-KEM and ChaCha20.
pub(crate) fn warn_of_ddes(quiet: bool) {
    if !quiet {
        warn(
            "the suite ddes keeps secrets no better than Double DES:",
            "about 2^57 work.\n         Totals stay exact and authentic. For study, or a policy \
             that demands it.",
        );
    }
}

/// The mark of a server that lets everybody in.
pub(crate) fn warn_of_any() {
    warn(
        "--allow-any lets in WHOEVER HOLDS ANY KEY.",
        "Each still keeps a sum of its own.\n         To let in only those you know: ddes \
         authorize KEY",
    );
}

fn warn(loud: &str, rest: &str) {
    let loud = terminal::styled(&io::stderr(), terminal::LOUD, &format!("WARNING: {loud}"));
    say_styled(&format!("{loud} {rest}"));
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_clock_beyond_the_year_9999_shows_the_last_time_that_can_be_written() {
        let year = Duration::from_secs(366 * 24 * 60 * 60);
        let line = Line::new("event", "text");
        assert!(
            line.json(UNIX_EPOCH + year * 10_000)
                .contains("\"time\":\"9999-12-30T22:00:00.999999999Z\"")
        );
        assert!(line.json(UNIX_EPOCH - year * 20_000).contains("\"time\":\"-009999-"));
        assert!(line.json(UNIX_EPOCH).contains("\"time\":\"1970-01-01T00:00:00Z\""));
    }

    #[test]
    fn whoever_s_words_are_in_a_line_it_moves_no_cursor_and_turns_nothing_round() {
        let line =
            Line::new("event", "two\nlines, \u{1b}[2J\u{202e}evil\u{200b}\u{e0041}\u{2028}\r end");
        assert_eq!(line.text(), "two\nlines, [2Jevil end");
    }
}
