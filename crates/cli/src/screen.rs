//! Where lines go: above the prompt of a terminal, plainly, or as JSON.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::ExternalPrinter;
use serde_json::{Map, Value, json};

use crate::teletype::Teletype;
use crate::terminal;

/// Raised when a field of a JSON line changes its meaning or goes.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// One thing that happened, for people and for programs.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    event: &'static str,
    fields: Map<String, Value>,
}

impl Line {
    pub(crate) fn new(event: &'static str, text: impl Into<String>) -> Self {
        Self { text: text.into(), event, fields: Map::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// As people read it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Writes it where many follow, without a flush after each.
    pub(crate) fn write(&self, out: &mut impl Write, is_json: bool) -> io::Result<()> {
        if is_json { writeln!(out, "{}", self.json()) } else { writeln!(out, "{}", self.text) }
    }

    fn json(&self) -> String {
        let mut object = Map::new();
        object.insert("schema_version".into(), SCHEMA_VERSION.into());
        object.insert("time".into(), jiff::Timestamp::now().to_string().into());
        object.insert("event".into(), self.event.into());
        object.extend(self.fields.clone());
        Value::Object(object).to_string()
    }
}

/// Standard output, as the command and its terminal want it.
pub(crate) struct Screen {
    mode: Mode,
    /// Whether the line above the prompt is a status line.
    status_shown: bool,
}

enum Mode {
    /// A prompt may be waiting on the last line: print above it.
    Prompt {
        printer: Box<dyn ExternalPrinter + Send>,
        before: Termios,
    },
    /// A prompt may be waiting on a terminal whose lines cannot be overwritten.
    Teletype(Teletype),
    Plain,
    Json,
}

impl Screen {
    pub(crate) fn plain() -> Self {
        Self { mode: Mode::Plain, status_shown: false }
    }

    pub(crate) fn json() -> Self {
        Self { mode: Mode::Json, status_shown: false }
    }

    /// Prints above the prompt that `printer` belongs to.
    pub(crate) fn above_prompt(printer: Box<dyn ExternalPrinter + Send>) -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        Ok(Self { mode: Mode::Prompt { printer, before }, status_shown: false })
    }

    /// Prints below the prompt, which is put again.
    pub(crate) fn below_prompt(teletype: Teletype) -> Self {
        Self { mode: Mode::Teletype(teletype), status_shown: false }
    }

    /// Whether somebody watches, so that a countdown makes sense.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Prompt { .. })
    }

    /// Whether programs read, not people.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.mode, Mode::Json)
    }

    pub(crate) fn show(&mut self, line: &Line) {
        self.show_all(std::slice::from_ref(line));
    }

    /// Shows all of them with one write.
    pub(crate) fn show_all(&mut self, lines: &[Line]) {
        let text = |line: &Line| match &self.mode {
            Mode::Json => line.json(),
            Mode::Prompt { .. } | Mode::Teletype(_) | Mode::Plain => line.text.clone(),
        };
        if !lines.is_empty() {
            self.print(&lines.iter().map(text).collect::<Vec<_>>().join("\n"));
            self.status_shown = false;
        }
    }

    /// A line that the next one overwrites; for live screens only.
    pub(crate) fn status(&mut self, text: &str) {
        if self.is_live() {
            // One that wraps could not be overwritten in place.
            let text: String = text.chars().take(terminal::columns().saturating_sub(1)).collect();
            self.print(&text);
            self.status_shown = true;
        }
    }

    /// Takes the terminal back from the prompt: what follows is printed directly.
    pub(crate) fn leave_prompt(&mut self) {
        if let Mode::Prompt { before, .. } = &self.mode {
            // A terminal that is gone has nothing to restore.
            tcsetattr(io::stdin(), OptionalActions::Now, before).unwrap_or(());
            self.mode = Mode::Plain;
            print!("\r\x1b[K");
            self.status_shown = false;
        } else if let Mode::Teletype(teletype) = &self.mode {
            teletype.leave();
        }
    }

    fn print(&mut self, text: &str) {
        let over = if self.status_shown { "\x1b[1A\x1b[2K" } else { "" };
        let text = format!("{over}{text}\n");
        // A closed standard output ends nothing: a server goes on serving.
        drop(match &mut self.mode {
            Mode::Prompt { printer, .. } => printer.print(text).map_err(io::Error::other),
            Mode::Teletype(teletype) => teletype.print(&text),
            Mode::Plain | Mode::Json => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
            }
        });
    }
}

/// Whether a prompt makes sense: both ends are a terminal.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// A sum for JSON: a string, since it may exceed 2^53.
pub(crate) fn number(value: &impl ToString) -> Value {
    json!(value.to_string())
}

/// The classic profile's loud mark.
pub(crate) fn warn_of_classic() {
    warn(
        "the classic profile is NOT SECURE.",
        "Nobody is authenticated, frames can be replayed,\n         and Double DES falls to about 2^57 work. For study and the original's programs only.",
    );
}

/// The mark of the suites without ML-KEM and ChaCha20.
pub(crate) fn warn_of_ddes(quiet: bool) {
    if !quiet {
        warn(
            "the suite ddes keeps secrets no better than Double DES:",
            "about 2^57 work.\n         Totals stay exact and authentic. For study, or a policy that demands it.",
        );
    }
}

/// The mark of a server that lets everybody in.
pub(crate) fn warn_of_any() {
    warn(
        "--allow-any lets in WHOEVER HOLDS ANY KEY.",
        "Each still keeps a sum of its own.\n         To let in only those you know: ddes authorize KEY",
    );
}

fn warn(loud: &str, rest: &str) {
    let loud = terminal::styled(&io::stderr(), terminal::LOUD, &format!("WARNING: {loud}"));
    eprintln!("{loud} {rest}");
}
