//! What the demo says: lines, and on a terminal one more that is overwritten each second.

use std::io::{self, IsTerminal};

use crate::args::OutputArgs;
use crate::failure::Failure;
use crate::screen::Line;
use crate::streams::to_stdout;
use crate::terminal;

pub(super) struct Show {
    is_json: bool,
    is_quiet: bool,
    /// Whether the last line can be overwritten.
    is_live: bool,
}

impl Show {
    pub(super) fn new(output: &OutputArgs) -> Self {
        let is_live = !output.json && io::stdout().is_terminal() && terminal::has_cursor();
        Self { is_json: output.json, is_quiet: output.quiet, is_live }
    }

    /// What stays.
    pub(super) fn line(&self, line: &Line) -> Result<(), Failure> {
        self.write(&format!("{}{}\n", self.over(), line.render(self.is_json)))
    }

    /// What the next one overwrites. A reader that is neither a terminal nor a program needs none.
    pub(super) fn tick(&self, line: &Line) -> Result<(), Failure> {
        match (self.is_json, self.is_live && !self.is_quiet) {
            (true, _) => self.line(line),
            (false, true) => {
                // One that wraps could not be overwritten.
                let room = terminal::columns().saturating_sub(1);
                let text: String = line.text().chars().take(room).collect();
                self.write(&format!("{}{text}", self.over()))
            }
            (false, false) => Ok(()),
        }
    }

    /// Leaves a clean line to whatever follows.
    pub(super) fn leave(&self) -> Result<(), Failure> {
        self.write(self.over())
    }

    fn over(&self) -> &'static str {
        if self.is_live { "\r\x1b[K" } else { "" }
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        to_stdout(text).map_err(|error| Failure::output(&error))
    }
}
