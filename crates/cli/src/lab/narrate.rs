//! How an exercise is told: in columns on a terminal, one object a line for programs.

use std::io::{self, IsTerminal, stdout};

use clap::builder::styling::{AnsiColor, Style};
use ddes_lab::{
    AttackVerdict, Listener, Rung, Said, SearchResume, SearchStatus, Side, Trial, Voice,
};
use ddes_wire::shown;
use serde_json::Value;

use super::progress::{SearchBar, StopOnSignal};
use crate::args::OutputArgs;
use crate::failure::Failure;
use crate::screen::{Line, SCHEMA_VERSION, Screen};
use crate::terminal;

/// Columns of who speaks.
const VOICE_COLUMNS: usize = 16;
/// Lines are no wider, however wide the window is: short lines are read more easily.
const COLUMNS_MAX: usize = 100;
/// Text has at least so many columns, however narrow the window is.
const TEXT_COLUMNS_MIN: usize = 24;

const HEADING: Style = Style::new().bold();
const PARTIES: Style = Style::new().dimmed();
const ATTACKER: Style = AnsiColor::Yellow.on_default();
const GAIN: Style = AnsiColor::Red.on_default().bold();
const STOP: Style = AnsiColor::Green.on_default().bold();

pub(super) struct Narrator {
    screen: Screen,
    is_quiet: bool,
    bar: SearchBar,
    stop: Option<StopOnSignal>,
    place: Option<(&'static Rung, Side)>,
    has_begun: bool,
    /// What standard output did not take.
    pub(super) failure: Option<Failure>,
    /// A search that was stopped.
    pub(super) stopped: Option<SearchResume>,
}

impl Narrator {
    pub(super) fn new(output: &OutputArgs) -> Self {
        Self {
            screen: Screen::of(output),
            is_quiet: output.quiet,
            bar: SearchBar::new(output.quiet),
            stop: None,
            place: None,
            has_begun: false,
            failure: None,
            stopped: None,
        }
    }

    fn is_json(&self) -> bool {
        self.screen.is_json()
    }

    fn show(&mut self, line: &Line) {
        self.bar.clear();
        if self.failure.is_none() {
            self.failure = self.screen.show(line).err();
        }
    }

    /// A line for people alone.
    fn text(&mut self, text: String) {
        if !self.is_json() && !self.is_quiet {
            self.show(&Line::styled("text", text));
        }
    }

    /// What a rung is about.
    pub(super) fn rung(&mut self, rung: &'static Rung, of: usize, seed: &str) {
        let heading = format!("Rung {} of {of}: {}", rung.number, rung.title);
        let heading = styled(HEADING, &heading);
        let flaw = columns("the flaw", None, rung.flaw);
        let seed = shown::plain(seed);
        let seed = columns("seed", None, &format!("{seed} (--seed repeats integers and keys)"));
        let gap = if std::mem::replace(&mut self.has_begun, true) { "\n" } else { "" };
        self.text(format!("{gap}{heading}\n{flaw}\n{seed}"));
    }

    /// One half of a rung begins. From here on Ctrl-C stops a search at once, and everything else
    /// behind the half: servers and folders of the exercise are gone then.
    pub(super) fn begin(&mut self, rung: &'static Rung, side: Side) -> Result<(), Failure> {
        self.place = Some((rung, side));
        self.text(format!("\n{}", styled(HEADING, &format!("Against {}", side.title()))));
        let stop = match self.stop.take() {
            Some(stop) => stop,
            None => StopOnSignal::watch()?,
        };
        stop.hold(true);
        self.stop = Some(stop);
        Ok(())
    }

    /// Whether the half that runs was to be the last.
    pub(super) fn is_interrupted(&self) -> bool {
        self.stop.as_ref().is_some_and(StopOnSignal::is_asked)
    }

    /// How it ended; with what it leaves behind, unless that goes to a file.
    pub(super) fn end(&mut self, trial: &Trial, has_file: bool) {
        if let Some(stop) = &self.stop {
            stop.hold(false);
        }
        let Some((rung, side)) = self.place else { return };
        let is_expected = Rung::is_as_expected(side, trial);
        let (style, text) = match &trial.verdict {
            AttackVerdict::Succeeded { gained } if is_expected => {
                (GAIN, format!("BROKEN: {gained}"))
            }
            AttackVerdict::Stopped { by, rule } if is_expected => {
                (STOP, format!("STOPPED ({rule}): {by}"))
            }
            AttackVerdict::Succeeded { gained } => {
                (terminal::LOUD, format!("UNEXPECTED: {gained}"))
            }
            AttackVerdict::Stopped { by, .. } => {
                (terminal::LOUD, format!("UNEXPECTED: stopped by {by}"))
            }
            AttackVerdict::Unexpected { what } => (terminal::LOUD, format!("UNEXPECTED: {what}")),
        };
        let room = width().saturating_sub(2);
        let text = wrapped(&shown::plain_lines(&text), room);
        let text: Vec<_> = text.iter().map(|line| format!("  {}", styled(style, line))).collect();
        let mut line = Line::styled("trial", text.join("\n"))
            .with("rung", rung.number)
            .with("name", rung.name)
            .with("wire", side.name())
            .with("as_expected", is_expected);
        if let Value::Object(fields) = trial.json() {
            for (name, value) in fields {
                if name != "seen_frames" || !has_file {
                    line = line.with(&name, value);
                }
            }
        }
        self.show(&line);
    }

    /// Waits for Enter where somebody is there to press it.
    pub(super) fn pause(&mut self) -> Result<(), Failure> {
        let is_possible = io::stdin().is_terminal() && stdout().is_terminal();
        if self.is_json() || self.is_quiet || !is_possible {
            return Ok(());
        }
        let asked = styled(PARTIES, "Press Enter to go on, Ctrl-C to leave.");
        crate::streams::to_stdout(&asked).map_err(|error| Failure::output(&error))?;
        let mut line = String::new();
        io::stdin()
            .read_line(&mut line)
            .map_err(|error| Failure::system("cannot read standard input", &error))?;
        let over = if terminal::has_cursor() { "\x1b[1A\r\x1b[K" } else { "" };
        crate::streams::to_stdout(over).map_err(|error| Failure::output(&error))
    }

    /// A line that both people and programs get.
    pub(super) fn line(&mut self, line: &Line) {
        self.show(line);
    }
}

impl Listener for Narrator {
    fn say(&mut self, said: &Said) {
        if self.is_json() {
            let Some((rung, side)) = self.place else { return };
            let line = Line::new("said", said.text.clone())
                .with("rung", rung.number)
                .with("wire", side.name())
                .with("voice", said.voice.name())
                .with("text", said.text.clone());
            return self.show(&line);
        }
        let (name, style) = match said.voice {
            Voice::Scene => ("the scene", None),
            Voice::Server => ("server's log", Some(PARTIES)),
            Voice::Client => ("the client", Some(PARTIES)),
            Voice::Sees => ("attacker sees", Some(ATTACKER)),
            Voice::Does => ("attacker does", Some(ATTACKER)),
            Voice::Gets => ("attacker gets", Some(GAIN)),
            Voice::Stopped => ("stopped by", Some(STOP)),
            Voice::Lesson => ("the lesson", Some(HEADING)),
        };
        let text = columns(name, style, &shown::plain_lines(&said.text));
        self.text(text);
    }

    fn progress(&mut self, search: &SearchStatus) -> bool {
        self.bar.show(search);
        !self.is_interrupted() && self.failure.is_none()
    }

    fn keep(&mut self, resume: &SearchResume) {
        self.bar.clear();
        self.stopped = Some(resume.clone());
    }
}

/// The whole of an exercise as a file of evidence.
pub(super) fn evidence(seed: &str, bits: u32, is_quiz: bool, trials: &[Value]) -> Value {
    serde_json::json!({
        "schema_version": SCHEMA_VERSION,
        "program": concat!("ddes ", env!("CARGO_PKG_VERSION")),
        "seed": seed,
        "bits": bits,
        "quiz": is_quiz,
        "trials": trials,
    })
}

fn styled(style: Style, text: &str) -> String {
    terminal::styled(&stdout(), style, text)
}

fn width() -> usize {
    terminal::columns().min(COLUMNS_MAX)
}

/// A name, and text in a column beside it.
fn columns(name: &str, style: Option<Style>, text: &str) -> String {
    let room = width().saturating_sub(VOICE_COLUMNS + 2).max(TEXT_COLUMNS_MIN);
    let name = format!("  {name:<VOICE_COLUMNS$}");
    let name = style.map_or_else(|| name.clone(), |style| styled(style, &name));
    let indent = " ".repeat(VOICE_COLUMNS + 2);
    let lines = wrapped(text, room);
    let mut shown = name;
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            shown.push('\n');
            shown.push_str(&indent);
        }
        shown.push_str(line);
    }
    shown
}

/// Lines of at most `room` characters, broken at blanks; a longer word is broken anywhere. Blanks
/// at the beginning stay.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let room = room.max(1);
    let indent: String = text.chars().take_while(|c| *c == ' ').collect();
    let mut lines = Vec::new();
    let mut line = indent;
    let mut is_begun = false;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = line.chars().count();
        if is_begun && length + 1 + word.chars().count() <= room {
            line.push(' ');
        } else if is_begun {
            lines.push(std::mem::take(&mut line));
        }
        is_begun = true;
        let mut rest: Vec<char> = word.chars().collect();
        while line.chars().count() + rest.len() > room {
            let fits = room.saturating_sub(line.chars().count()).clamp(1, rest.len());
            line.extend(rest.drain(..fits));
            lines.push(std::mem::take(&mut line));
        }
        line.extend(rest);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_blanks_and_no_line_is_wider() {
        let text = "a few short words and 0123456789abcdef0123456789 more";
        for room in 1..60 {
            let lines = wrapped(text, room);
            assert!(lines.iter().all(|line| line.chars().count() <= room), "{room}: {lines:?}");
            let letters = |text: &str| text.replace(' ', "");
            assert_eq!(letters(&lines.concat()), letters(text));
        }
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("  12  3", 20), ["  12 3"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
