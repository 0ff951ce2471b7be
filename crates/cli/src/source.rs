//! Where `ddes send` takes integers from: its arguments, a file or a pipe.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::thread;

use ddes_client::outbox::InputMark;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use crate::failure::{Code, Failure};
use crate::input::{self, Integer, next_line};
use crate::lines_in::Stdin;
use crate::resume::Resume;

const CHUNKS_MAX: usize = 4;
const READ_BYTES: usize = 64 * 1024;

/// Integers, and how much of the input they complete for an outbox.
pub(crate) struct Chunk<T> {
    pub(crate) values: Vec<T>,
    pub(crate) mark: InputMark,
}

pub(crate) type Chunks<T> = mpsc::Receiver<Result<Chunk<T>, Failure>>;

pub(crate) enum Source<T> {
    /// Only what an outbox holds.
    Nothing,
    Arguments(Vec<T>),
    /// Once every line is checked, `count` of them hold an integer.
    File {
        reader: BufReader<File>,
        count: u64,
    },
    Pipe,
}

impl<T: Integer> Source<T> {
    /// Checks all arguments.
    pub(crate) fn open(arguments: &[String]) -> Result<Self, Failure> {
        if arguments.is_empty() {
            return Ok(Self::Nothing);
        }
        if arguments != ["-"] {
            let values = arguments.iter().map(|text| input::integer(text));
            let usage = |what| {
                Failure::new(Code::Usage, what)
                    .cause("each argument is one integer, and nothing is sent unless all are")
                    .next("ddes send --help")
            };
            return values.collect::<Result<_, _>>().map(Self::Arguments).map_err(usage);
        }
        let Some(file) = input::stdin_file().map_err(unreadable)? else { return Ok(Self::Pipe) };
        Ok(Self::File { reader: BufReader::with_capacity(READ_BYTES, file), count: 0 })
    }

    /// Checks all lines of a file, before a connection is made. Those of a pipe are checked as
    /// they come.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        let Self::File { reader, count } = self else { return Ok(()) };
        let mut line = 0;
        while let Some(value) = next_line::<T, _>(reader, &mut line) {
            value?;
            *count += 1;
        }
        reader.rewind().map_err(unreadable)
    }

    /// Gives out the integers of the first `lines` lines, and how many lines that were. A pipe
    /// gives none: what is read of it does not come again.
    pub(crate) fn first<F>(&mut self, lines: u64, mut each: F) -> Result<Option<u64>, Failure>
    where
        F: FnMut(T),
    {
        match self {
            Self::Nothing | Self::Pipe => Ok(None),
            Self::Arguments(values) => {
                let mut taken = 0;
                for (value, number) in values.iter().zip(1..=lines) {
                    each(*value);
                    taken = number;
                }
                Ok(Some(taken))
            }
            Self::File { reader, .. } => {
                let mut line = 0;
                while line < lines
                    && let Some(Ok(value)) = next_line(reader, &mut line)
                {
                    each(value);
                }
                reader.rewind().map_err(unreadable)?;
                Ok(Some(line))
            }
        }
    }

    /// Whether one line sums the input up.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Pipe)
    }

    /// Whether its first integers are there without a wait for another program.
    pub(crate) fn is_at_hand(&self) -> bool {
        matches!(self, Self::Arguments(_) | Self::File { .. })
    }

    pub(crate) fn progress(&self, quiet: bool) -> ProgressBar {
        match self {
            Self::Nothing | Self::Pipe => input::progress(None, quiet),
            Self::Arguments(values) => input::progress(Some(values.len() as u64), true),
            Self::File { count, .. } => input::progress(Some(*count), quiet),
        }
    }

    /// Reads on a thread, since a pipe may give nothing for long. A chunk holds `most` integers
    /// at most, none of which `resume` finds taken already.
    pub(crate) fn start(self, most: usize, resume: Option<Resume>) -> Result<Chunks<T>, Failure> {
        let (chunks, received) = mpsc::channel(CHUNKS_MAX);
        let read = move || {
            let values = Vec::new();
            let mut feed = Feed { lines: 0, last_line: 0, resume, values, most, chunks };
            let end = match self {
                Self::Nothing => Ok(()),
                Self::Arguments(values) => feed.arguments(&values),
                Self::File { reader, .. } => feed.read(reader),
                Self::Pipe => feed.read(BufReader::with_capacity(READ_BYTES, Stdin)),
            };
            // Without a receiver nobody needs to know.
            drop(end.and_then(|()| feed.end()));
        };
        thread::Builder::new()
            .name("input".into())
            .spawn(read)
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
        Ok(received)
    }
}

/// No more chunks are wanted.
struct Gone;

struct Feed<T> {
    /// How many lines were read.
    lines: u64,
    /// Where the last of `values` stands.
    last_line: u64,
    /// What an outbox has taken of the input.
    resume: Option<Resume>,
    values: Vec<T>,
    most: usize,
    chunks: mpsc::Sender<Result<Chunk<T>, Failure>>,
}

impl<T: Integer> Feed<T> {
    fn arguments(&mut self, values: &[T]) -> Result<(), Gone> {
        values.iter().try_for_each(|value| {
            self.lines += 1;
            self.value(*value)
        })
    }

    fn read(&mut self, mut reader: BufReader<impl Read>) -> Result<(), Gone> {
        while let Some(value) = next_line(&mut reader, &mut self.lines) {
            match value {
                Ok(value) => self.value(value)?,
                Err(failure) => {
                    self.flush()?;
                    // A line that could not be read is not counted as one.
                    let is_refused = self.lines > self.last_line;
                    return self.say(Err(match self.resume {
                        Some(_) if is_refused => Resume::corrected(failure),
                        Some(_) | None => failure,
                    }));
                }
            }
            // What has come is sent, without a wait for what may come. A file is always there.
            if !reader.buffer().contains(&b'\n') {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn value(&mut self, value: T) -> Result<(), Gone> {
        if let Some(resume) = &mut self.resume {
            match resume.is_next(self.lines, value) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(failure) => {
                    self.say(Err(failure))?;
                    return Err(Gone);
                }
            }
        }
        self.values.push(value);
        self.last_line = self.lines;
        if self.values.len() == self.most { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        if self.values.is_empty() {
            return Ok(());
        }
        // A line behind it that is blank or refused is not taken.
        let resume = self.resume.as_ref();
        let mark = resume.map_or_else(InputMark::default, |resume| resume.mark(self.last_line));
        let values = std::mem::take(&mut self.values);
        self.say(Ok(Chunk { values, mark }))
    }

    fn end(mut self) -> Result<(), Gone> {
        match self.resume.as_ref().map_or(Ok(()), |resume| resume.end(self.lines)) {
            Ok(()) => self.flush(),
            Err(failure) => self.say(Err(failure)),
        }
    }

    fn say(&self, chunk: Result<Chunk<T>, Failure>) -> Result<(), Gone> {
        self.chunks.blocking_send(chunk).map_err(|_| Gone)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` wants")]
fn unreadable(error: io::Error) -> Failure {
    Failure::system("cannot read standard input", &error)
}
