//! A terminal that a program draws on, as a person sees it: cells, not bytes.

use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use rexpect::session::{PtySession, spawn_command};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Longer than anything that is in order takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Glass {
    pub(crate) session: PtySession,
    cells: Vec<Vec<char>>,
    /// Of a character that is not at its end yet.
    bytes: Vec<u8>,
    row: usize,
    column: usize,
    /// An escape sequence that is not at its end yet.
    escape: Option<String>,
    pub(crate) is_alternate: bool,
    /// The other screen, and its cursor.
    before: Option<(Vec<Vec<char>>, usize, usize)>,
    pub(crate) has_cursor: bool,
    /// Colours that were set.
    pub(crate) colours: usize,
    /// What is neither text nor one of the sequences that a screen needs.
    pub(crate) foreign: Vec<String>,
}

impl Glass {
    /// The program on a terminal that has its size before the program looks.
    pub(crate) fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "read start; exec \"$0\" \"$@\""]).arg(command.get_program());
        shell.args(command.get_args()).env("TERM", "xterm-256color");
        for cleared in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            shell.env_remove(cleared);
        }
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap());
        }
        let session = spawn_command(shell, Some(60_000)).unwrap();
        let cells = vec![vec![' '; columns.into()]; rows.into()];
        let mut glass = Self {
            session,
            cells,
            bytes: Vec::new(),
            row: 0,
            column: 0,
            escape: None,
            is_alternate: false,
            before: None,
            has_cursor: true,
            colours: 0,
            foreign: Vec::new(),
        };
        glass.resize(columns, rows);
        glass.session.send_line("").unwrap();
        glass
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.session.process().get_file_handle().unwrap(), size).unwrap();
        self.cells = vec![vec![' '; columns.into()]; rows.into()];
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
    }

    /// What is shown, once it is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + LONG;
        loop {
            self.read();
            let shown = self.text();
            if is_so(&shown) {
                return shown;
            }
            assert!(Instant::now() < until, "{what} never came:\n{shown}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn shows(&mut self, text: &str) -> String {
        self.until(text, |shown| shown.contains(text))
    }

    pub(crate) fn text(&self) -> String {
        let line = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_owned();
        self.cells.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Reads until the program has ended; how it ended.
    pub(crate) fn end(&mut self) -> String {
        let until = Instant::now() + LONG;
        loop {
            self.read();
            let status = format!("{:?}", self.session.process().status());
            if status != "Some(StillAlive)" {
                // What it wrote last may still be on its way to the reader's thread.
                let rest = self.session.exp_eof().unwrap();
                rest.chars().for_each(|byte| self.give(byte as u8));
                return status;
            }
            assert!(Instant::now() < until, "it goes on:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn read(&mut self) {
        while let Some(byte) = self.session.try_read() {
            self.give(byte as u8);
        }
    }

    /// The reader gives bytes as if each were a character.
    fn give(&mut self, byte: u8) {
        self.bytes.push(byte);
        if let Ok(text) = String::from_utf8(self.bytes.clone()) {
            self.bytes.clear();
            text.chars().for_each(|c| self.take(c));
        }
        assert!(self.bytes.len() < 5, "not UTF-8: {:?}", self.bytes);
    }

    /// Whether keys come line by line, as a shell has it.
    pub(crate) fn is_cooked(&self) -> bool {
        let terminal = self.session.process().get_file_handle().unwrap();
        let modes = tcgetattr(terminal.as_fd()).unwrap().local_modes;
        modes.contains(LocalModes::ICANON)
    }

    fn take(&mut self, c: char) {
        if let Some(mut escape) = self.escape.take() {
            escape.push(c);
            let is_csi = escape.starts_with('[');
            let is_whole = if is_csi { escape.len() > 1 && c.is_ascii_alphabetic() } else { true };
            match is_whole {
                true => self.obey(&escape),
                false => self.escape = Some(escape),
            }
            return;
        }
        match c {
            '\x1b' => self.escape = Some(String::new()),
            '\r' => self.column = 0,
            '\n' if self.row + 1 < self.cells.len() => self.row += 1,
            '\n' => {
                let blank = vec![' '; self.cells[0].len()];
                self.cells.remove(0);
                self.cells.push(blank);
            }
            '\x07' | '\x08' => {}
            c if c.is_control() => self.foreign.push(format!("{c:?}")),
            c => {
                if let Some(cell) =
                    self.cells.get_mut(self.row).and_then(|row| row.get_mut(self.column))
                {
                    *cell = c;
                }
                self.column += 1;
            }
        }
    }

    fn obey(&mut self, escape: &str) {
        let last = escape.chars().last().unwrap();
        let numbers = escape.trim_start_matches('[').trim_end_matches(last);
        match (escape, last) {
            // A second one changes nothing: the screen that was there before is kept.
            ("[?1049h", _) if self.is_alternate => {}
            ("[?1049h", _) => {
                self.is_alternate = true;
                self.before = Some((self.cells.clone(), self.row, self.column));
            }
            ("[?1049l", _) => {
                self.is_alternate = false;
                if let Some(before) = self.before.take() {
                    (self.cells, self.row, self.column) = before;
                }
            }
            // Bash's: bracketed paste, and the end of its own colours.
            ("[?2004h" | "[?2004l", _) => {}
            ("[H", _) => (self.row, self.column) = (0, 0),
            ("[3J" | "[J", _) => {}
            ("[?25h" | "[?25l", _) => self.has_cursor = escape.ends_with('h'),
            ("[2J", _) => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            ("[K" | "[0K", _) => {
                let rest = self.cells.get_mut(self.row).and_then(|row| row.get_mut(self.column..));
                rest.into_iter().for_each(|rest| rest.fill(' '));
            }
            (_, 'H') => {
                let mut numbers = numbers.split(';').map(|of| of.parse().unwrap_or(1_usize));
                self.row = numbers.next().unwrap_or(1) - 1;
                self.column = numbers.next().unwrap_or(1) - 1;
            }
            (_, 'm') => {
                let is_colour = |of: &&str| {
                    of.parse().is_ok_and(|of: u32| matches!(of, 30..=38 | 40..=48 | 90..=107))
                };
                self.colours += numbers.split(';').filter(is_colour).count();
            }
            _ => self.foreign.push(escape.to_owned()),
        }
    }
}
