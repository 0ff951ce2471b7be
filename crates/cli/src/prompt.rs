//! Lines typed by a person, or piped in, without ever keeping the network waiting.
//!
//! A thread of its own reads; the event loop asks for a line and gets it when it comes.

use std::io::{self, BufRead};
use std::thread;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::screen::Screen;

const LINE_BYTES_MAX: usize = 4096;

/// What came instead of, or as, a line.
#[derive(Debug)]
pub(crate) enum Input {
    Text(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D, or the end of the pipe.
    End,
}

pub(crate) struct Prompt {
    questions: std::sync::mpsc::SyncSender<String>,
    lines: mpsc::Receiver<Input>,
    /// Asked and not yet answered.
    asked: bool,
}

impl Prompt {
    /// A line editor on the terminal, and the screen above it.
    pub(crate) fn on_terminal() -> Result<(Self, Screen), Failure> {
        let failed = |error: ReadlineError| Failure::system("cannot use the terminal", &error);
        let config = Config::builder().bracketed_paste(false).build();
        let mut editor = Editor::<(), DefaultHistory>::with_config(config).map_err(failed)?;
        let printer: Box<dyn ExternalPrinter + Send> =
            Box::new(editor.create_external_printer().map_err(failed)?);
        let screen = Screen::above_prompt(printer)
            .map_err(|error| Failure::system("cannot use the terminal", &error))?;
        let prompt = Self::start(move |question| match editor.readline(question) {
            Ok(text) => {
                // History is a comfort; a full one is not worth a word.
                drop(editor.add_history_entry(&text));
                Input::Text(text)
            }
            Err(ReadlineError::Interrupted) => Input::Interrupted,
            Err(_) => Input::End,
        })?;
        Ok((prompt, screen))
    }

    /// Lines of a pipe; questions are not shown.
    pub(crate) fn on_pipe() -> Result<Self, Failure> {
        Self::start(|_| read_line(&mut io::stdin().lock()))
    }

    fn start(mut read: impl FnMut(&str) -> Input + Send + 'static) -> Result<Self, Failure> {
        let (questions, asked) = std::sync::mpsc::sync_channel::<String>(1);
        let (answers, lines) = mpsc::channel(1);
        thread::Builder::new()
            .name("prompt".into())
            .spawn(move || {
                while let Ok(question) = asked.recv() {
                    let input = read(&question);
                    let last = matches!(input, Input::End);
                    if answers.blocking_send(input).is_err() || last {
                        return;
                    }
                }
            })
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
        Ok(Self { questions, lines, asked: false })
    }

    /// Asks for a line, unless one is asked for already.
    pub(crate) fn ask(&mut self, question: &str) {
        if !self.asked {
            self.asked = self.questions.try_send(question.to_owned()).is_ok();
        }
    }

    /// The line asked for. After [`Input::End`] nothing comes any more.
    pub(crate) async fn line(&mut self) -> Input {
        match self.lines.recv().await {
            Some(input) => {
                self.asked = false;
                input
            }
            None => std::future::pending().await,
        }
    }
}

/// One line without its end; longer ones are cut, which makes them no valid input.
pub(crate) fn read_line(stdin: &mut impl BufRead) -> Input {
    let mut line = Vec::new();
    loop {
        let Ok(available) = stdin.fill_buf() else { return Input::End };
        if available.is_empty() {
            break;
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend_from_slice(available.get(..taken.min(room)).unwrap_or(&[]));
        stdin.consume(taken);
        if end.is_some() {
            break;
        }
    }
    if line.is_empty() {
        return Input::End;
    }
    Input::Text(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}
