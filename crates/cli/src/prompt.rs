//! Lines typed by a person, or piped in, without ever keeping the network waiting.
//!
//! A thread of its own reads; the event loop asks for a line and gets it when it comes.

use std::io::{self, BufReader};
use std::thread;

#[cfg(unix)]
use rustyline::EventHandler;
use rustyline::error::{ReadlineError, Signal};
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::input::{unfit_line, unreadable};
use crate::lines_in::{self, Stdin, Unfit, read_line, skip_line};
use crate::screen::Screen;
#[cfg(unix)]
use crate::suspend::Suspend;
use crate::teletype::Teletype;
use crate::terminal;

/// What came instead of, or as, a line.
#[derive(Debug)]
pub(crate) enum PromptInput {
    Text(String),
    /// A line that is no text, or too long; and why.
    Refused(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D on an empty line, after which more may be asked for; or the end of the pipe.
    End,
    /// The input failed. Nothing comes any more.
    Failed(Failure),
}

pub(crate) struct Prompt {
    questions: std::sync::mpsc::SyncSender<String>,
    lines: mpsc::Receiver<PromptInput>,
    /// Asked and not yet answered.
    asked: bool,
    /// How many lines have come, where they are counted: a person sees which line is meant.
    count: Option<u64>,
}

impl Prompt {
    /// A line editor on the terminal, and the screen above it; plain lines where the terminal has
    /// no use for an editor.
    pub(crate) fn on_terminal() -> Result<(Self, Screen), Failure> {
        match if terminal::has_cursor() { editor() } else { None } {
            Some((editor, screen)) => Ok((Self::with_editor(editor)?, screen)),
            None => Self::on_teletype(),
        }
    }

    fn with_editor(mut editor: Editor<(), DefaultHistory>) -> Result<Self, Failure> {
        Self::start(None, move |question| edited(&mut editor, question))
    }

    fn on_teletype() -> Result<(Self, Screen), Failure> {
        let teletype = Teletype::new();
        let (asking, mut lines) = (teletype.clone(), StdinLines::default());
        let prompt = Self::start(None, move |question| {
            asking.ask(question);
            let input = lines.next();
            asking.answered();
            input
        })?;
        Ok((prompt, Screen::below_prompt(teletype)))
    }

    /// Lines of a pipe; questions are not shown.
    pub(crate) fn on_pipe() -> Result<Self, Failure> {
        let mut lines = StdinLines::default();
        Self::start(Some(0), move |_| lines.next())
    }

    fn start(
        count: Option<u64>,
        mut read: impl FnMut(&str) -> PromptInput + Send + 'static,
    ) -> Result<Self, Failure> {
        let (questions, asked) = std::sync::mpsc::sync_channel::<String>(1);
        let (answers, lines) = mpsc::channel(1);
        let ends = count.is_some() && !lines_in::is_terminal();
        thread::Builder::new()
            .name("prompt".into())
            .spawn(move || {
                while let Ok(question) = asked.recv() {
                    let input = read(&question);
                    let last = match input {
                        PromptInput::End => ends,
                        PromptInput::Failed(_) => true,
                        PromptInput::Text(_)
                        | PromptInput::Refused(_)
                        | PromptInput::Interrupted => false,
                    };
                    if answers.blocking_send(input).is_err() || last {
                        return;
                    }
                }
            })
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
        Ok(Self { questions, lines, asked: false, count })
    }

    /// Asks for a line, unless one is asked for already.
    pub(crate) fn ask(&mut self, question: &str) {
        if !self.asked {
            self.asked = self.questions.try_send(question.to_owned()).is_ok();
        }
    }

    /// Whether no line is asked for.
    pub(crate) fn is_free(&self) -> bool {
        !self.asked
    }

    /// The line asked for. After the end of a pipe, or [`PromptInput::Failed`], nothing more comes.
    pub(crate) async fn line(&mut self) -> PromptInput {
        match self.lines.recv().await {
            Some(input) => {
                self.asked = false;
                self.count = self.count.map(|count| count + 1);
                input
            }
            None => std::future::pending().await,
        }
    }

    /// The line that came last, for messages about it; nothing where a person sees it.
    pub(crate) fn place(&self) -> String {
        self.count.map_or_else(String::new, |count| format!("line {count}: "))
    }

    /// Whether somebody types there, whom Ctrl-D does not take away.
    pub(crate) fn is_typed(&self) -> bool {
        lines_in::is_terminal()
    }
}

/// `None`: it cannot be used there.
fn editor() -> Option<(Editor<(), DefaultHistory>, Screen)> {
    let config = Config::builder().bracketed_paste(false).build();
    let mut editor = Editor::<(), DefaultHistory>::with_config(config).ok()?;
    #[cfg(unix)]
    editor.bind_sequence(Suspend::key(), EventHandler::Conditional(Box::new(Suspend::new().ok()?)));
    let printer: Box<dyn ExternalPrinter + Send> = Box::new(editor.create_external_printer().ok()?);
    let screen = Screen::above_prompt(printer).ok()?;
    Some((editor, screen))
}

/// What is typed ahead, or pasted, waits in the editor and the terminal: it is the next line.
fn edited(editor: &mut Editor<(), DefaultHistory>, question: &str) -> PromptInput {
    loop {
        return match editor.readline(question) {
            Ok(text) if text.len() > lines_in::LINE_BYTES_MAX => {
                PromptInput::Refused(typed(Unfit::TooLong))
            }
            Ok(text) if text.contains('\0') => PromptInput::Refused(typed(Unfit::Nul)),
            Ok(text) => {
                // History is a comfort; a full one is not worth a word.
                drop(editor.add_history_entry(&text));
                PromptInput::Text(text)
            }
            Err(ReadlineError::Signal(Signal::Resize)) => continue,
            #[cfg(unix)]
            Err(ReadlineError::Signal(Signal::Interrupt)) => PromptInput::Interrupted,
            Err(ReadlineError::Interrupted) => PromptInput::Interrupted,
            Err(ReadlineError::Eof) => PromptInput::End,
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                PromptInput::Refused(format!(
                    "{}; what was typed behind it is dropped",
                    typed(Unfit::NotText)
                ))
            }
            Err(error) => {
                PromptInput::Failed(Failure::system("cannot read standard input", &error))
            }
        };
    }
}

fn typed(unfit: Unfit) -> String {
    format!("the line {unfit}")
}

/// Those of standard input, without an editor.
struct StdinLines {
    reader: BufReader<Stdin>,
    count: u64,
    /// The rest of a line that was refused is still to come.
    in_refused: bool,
}

impl Default for StdinLines {
    fn default() -> Self {
        Self { reader: BufReader::new(Stdin), count: 0, in_refused: false }
    }
}

impl StdinLines {
    fn next(&mut self) -> PromptInput {
        self.read().unwrap_or_else(|error| {
            PromptInput::Failed(unreadable("standard input", self.count, &error))
        })
    }

    fn read(&mut self) -> io::Result<PromptInput> {
        if self.in_refused {
            skip_line(&mut self.reader)?;
            self.in_refused = false;
        }
        let Some(line) = read_line(&mut self.reader, self.count == 0)? else {
            return Ok(PromptInput::End);
        };
        self.count += 1;
        Ok(match line {
            Ok(text) => PromptInput::Text(text),
            Err(unfit) => {
                self.in_refused = unfit.is_cut();
                PromptInput::Refused(unfit_line(self.count, unfit))
            }
        })
    }
}
