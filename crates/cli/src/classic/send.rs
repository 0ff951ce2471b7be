//! `ddes send --classic`: integers from the command line, a file or a pipe.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Seek};
use std::os::fd::AsFd;
use std::time::Duration;

use ddes_client::classic::{Connection, CountError, Options};
use ddes_session::classic::ClientEvent;
use ddes_wire::Total;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::{amount, options};
use crate::args::SendArgs;
use crate::failure::{Code, Failure};
use crate::prompt::{Input, Prompt, read_line};
use crate::screen::{Line, Screen, number};

const REDRAW: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    let mut source = Source::open(&args.values)?;
    let options = options(&args.client, "send")?;
    let mut screen = if args.client.output.json { Screen::json() } else { Screen::plain() };
    let progress = source.progress(args.client.output.quiet);
    let outcome = crate::runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())
            .map_err(|error| Failure::system("cannot watch for signals", &error))?;
        tokio::select! {
            outcome = send(&options, &mut source, &mut screen, &progress) => outcome,
            _ = interrupt.recv() => Err(Failure::interrupted()),
        }
    });
    let counted = progress.position();
    progress.finish_and_clear();
    let last =
        outcome.map_err(|failure| if counted == 0 { failure } else { failure.after(&so_far(counted)) })?;
    if let (Some(sum), true, false) = (last, source.shows_last_only(), screen.is_json()) {
        screen.show(&result(None, sum));
    }
    Ok(())
}

async fn send(
    options: &Options,
    source: &mut Source,
    screen: &mut Screen,
    progress: &ProgressBar,
) -> Result<Option<Total>, Failure> {
    let mut connection = Connection::open(options).await?;
    connection.ready(|event| announce(progress, event)).await?;
    let each = screen.is_json() || !source.shows_last_only();
    let mut last = None;
    while let Some(value) = source.next(&mut connection).await? {
        let sum = connection.count(value).await.map_err(not_counted)?;
        if each {
            screen.show(&result(Some(value), sum));
        }
        last = Some(sum);
        progress.inc(1);
    }
    connection.close().await;
    Ok(last)
}

fn announce(progress: &ProgressBar, event: &ClientEvent) {
    if let ClientEvent::Ready { .. } = event {
        progress.reset_elapsed();
        progress.enable_steady_tick(REDRAW);
    }
}

fn result(value: Option<u64>, sum: Total) -> Line {
    let line = Line::new("result", sum.to_string()).with("sum", number(&sum));
    match value {
        Some(value) => line.with("amount", number(&value)),
        None => line,
    }
}

fn so_far(counted: u64) -> String {
    format!("after counting {counted}")
}

fn not_counted(error: CountError) -> Failure {
    match error {
        CountError::Ended(end) => end.into(),
        CountError::Discarded { .. } => {
            Failure::new(Code::Integrity, error.to_string()).cause("the message was changed on its way")
        }
        CountError::Submit(error) => Failure::new(Code::No, error.to_string()),
    }
}

/// Where the integers come from.
enum Source {
    Arguments {
        values: std::vec::IntoIter<u64>,
        count: u64,
    },
    /// Every line is checked; `count` of them hold an integer.
    File {
        reader: BufReader<File>,
        line: u64,
        count: u64,
    },
    Pipe {
        lines: Prompt,
        line: u64,
    },
}

impl Source {
    /// Checks everything that can be checked before a connection is made: all arguments, or all
    /// lines of a file. The lines of a pipe are checked as they come.
    fn open(arguments: &[String]) -> Result<Self, Failure> {
        let usage = |what: String| Failure::new(Code::Usage, what).next("ddes send --help");
        if arguments != ["-"] {
            let values: Vec<_> =
                arguments.iter().map(|text| amount(text)).collect::<Result<_, _>>().map_err(usage)?;
            return Ok(Self::Arguments { count: values.len() as u64, values: values.into_iter() });
        }
        let unreadable = |error: io::Error| Failure::system("cannot read standard input", &error);
        let Some(file) = stdin_file().map_err(unreadable)? else {
            return Ok(Self::Pipe { lines: Prompt::on_pipe()?, line: 0 });
        };
        let mut reader = BufReader::new(file);
        let (mut line, mut count) = (0, 0);
        while let Some(value) = next_line(&mut reader, &mut line) {
            value?;
            count += 1;
        }
        reader.rewind().map_err(unreadable)?;
        Ok(Self::File { reader, line: 0, count })
    }

    /// The next integer. While a pipe gives none, the session is watched: it may end meanwhile.
    async fn next(&mut self, connection: &mut Connection) -> Result<Option<u64>, Failure> {
        let (lines, line) = match self {
            Self::Arguments { values, .. } => return Ok(values.next()),
            Self::File { reader, line, .. } => return next_line(reader, line).transpose(),
            Self::Pipe { lines, line } => (lines, line),
        };
        loop {
            lines.ask("");
            tokio::select! {
                input = lines.line() => match input {
                    Input::Text(text) => match parse_line(&text, line) {
                        Some(value) => return value.map(Some),
                        None => continue,
                    },
                    Input::End | Input::Interrupted => return Ok(None),
                },
                event = connection.next() => match event {
                    Some(ClientEvent::Ended(end)) => return Err(end.into()),
                    Some(_) => {}
                    None => return Err(Failure::new(Code::Connect, "the session is over")),
                },
            }
        }
    }

    /// A long input is summed up in one line.
    fn shows_last_only(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Pipe { .. })
    }

    /// A bar where the end is known, a counter where not, nothing where nobody watches.
    fn progress(&self, quiet: bool) -> ProgressBar {
        let (length, long) = match self {
            Self::Arguments { count, .. } => (Some(*count), false),
            Self::File { count, .. } => (Some(*count), true),
            Self::Pipe { .. } => (None, true),
        };
        if quiet || !long || !io::stderr().is_terminal() {
            return ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        }
        let template = match length {
            Some(_) => "{wide_bar} {pos}/{len} {rate} {eta} left",
            None => "{spinner} {pos} sent {rate}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        // The bar's own rate has four decimals.
        let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that cannot be drawn is no reason to stop sending.
            write!(out, "{:.0}/s", state.per_sec()).unwrap_or(());
        });
        ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr()).with_style(style)
    }
}

/// The integer of the next line that is not blank.
fn next_line(reader: &mut impl BufRead, line: &mut u64) -> Option<Result<u64, Failure>> {
    loop {
        match read_line(reader) {
            Input::Text(text) => {
                if let Some(value) = parse_line(&text, line) {
                    return Some(value);
                }
            }
            Input::End | Input::Interrupted => return None,
        }
    }
}

/// The integer of a line; `None` for a blank one.
fn parse_line(text: &str, line: &mut u64) -> Option<Result<u64, Failure>> {
    *line += 1;
    if text.trim().is_empty() {
        return None;
    }
    Some(amount(text).map_err(|what| {
        Failure::new(Code::Usage, format!("line {line}: {what}"))
            .next("one integer a line, blank lines are skipped")
    }))
}

/// Standard input, if it is a file that can be read twice.
fn stdin_file() -> io::Result<Option<File>> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    Ok(file.metadata()?.is_file().then_some(file))
}
