//! `ddes send --classic`: integers from the command line, a file or a pipe.

use std::fs::File;
use std::io::{self, BufReader, Seek};

use ddes_client::classic::{ClassicConnection, ClassicOptions, CountError};
use ddes_session::classic::ClientEvent;
use ddes_wire::Total;
use indicatif::ProgressBar;
use tokio::signal::unix::{SignalKind, signal};

use super::{amount, options};
use crate::args::SendArgs;
use crate::connect::unshown_sum;
use crate::failure::{Code, Failure};
use crate::input::{self, next_line, parse_line, stdin_file};
use crate::prompt::{Input, Prompt};
use crate::screen::{Line, Screen, number};

pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    let mut source = Source::open(&args.values)?;
    let options = options(&args.client)?;
    let mut screen = Screen::of(&args.client.output);
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
    let last = outcome
        .map_err(|failure| if counted == 0 { failure } else { failure.after(&so_far(counted)) })?;
    if let (Some(sum), true, false) = (last, source.shows_last_only(), screen.is_json()) {
        show(&mut screen, None, sum).map_err(|failure| failure.after(&so_far(counted)))?;
    }
    Ok(())
}

async fn send(
    options: &ClassicOptions,
    source: &mut Source,
    screen: &mut Screen,
    progress: &ProgressBar,
) -> Result<Option<Total>, Failure> {
    let mut connection = ClassicConnection::open(options).await?;
    connection.ready(|event| announce(progress, event)).await?;
    let each = screen.is_json() || !source.shows_last_only();
    let mut last = None;
    while let Some(value) = source.next(&mut connection).await? {
        let sum = connection.count(value).await.map_err(not_counted)?;
        progress.inc(1);
        if each {
            show(screen, Some(value), sum)?;
        }
        last = Some(sum);
    }
    connection.close().await;
    Ok(last)
}

fn announce(progress: &ProgressBar, event: &ClientEvent) {
    if let ClientEvent::Ready { .. } = event {
        progress.reset_elapsed();
        progress.enable_steady_tick(input::REDRAW);
    }
}

fn show(screen: &mut Screen, value: Option<u64>, sum: Total) -> Result<(), Failure> {
    screen.show(&result(value, sum)).map_err(|failure| failure.after(&unshown_sum(&sum)))
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
        CountError::Discarded { .. } => Failure::new(Code::Integrity, error.to_string())
            .cause("the message was changed on its way"),
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
            let values: Vec<_> = arguments
                .iter()
                .map(|text| amount(text))
                .collect::<Result<_, _>>()
                .map_err(usage)?;
            return Ok(Self::Arguments { count: values.len() as u64, values: values.into_iter() });
        }
        let unreadable = |error: io::Error| Failure::system("cannot read standard input", &error);
        let Some(file) = stdin_file().map_err(unreadable)? else {
            return Ok(Self::Pipe { lines: Prompt::on_pipe()?, line: 0 });
        };
        let mut reader = BufReader::new(file);
        let (mut line, mut count) = (0, 0);
        while let Some(value) = next_line(&mut reader, &mut line, amount) {
            value?;
            count += 1;
        }
        reader.rewind().map_err(unreadable)?;
        Ok(Self::File { reader, line: 0, count })
    }

    /// The next integer. While a pipe gives none, the session is watched: it may end meanwhile.
    async fn next(&mut self, connection: &mut ClassicConnection) -> Result<Option<u64>, Failure> {
        let (lines, line) = match self {
            Self::Arguments { values, .. } => return Ok(values.next()),
            Self::File { reader, line, .. } => return next_line(reader, line, amount).transpose(),
            Self::Pipe { lines, line } => (lines, line),
        };
        loop {
            lines.ask("");
            tokio::select! {
                input = lines.line() => match input {
                    Input::Text(text) => match parse_line(&text, line, amount) {
                        Some(value) => return value.map(Some),
                        None => continue,
                    },
                    Input::Refused(what) => return Err(input::refused(&what)),
                    Input::End => return Ok(None),
                    Input::Interrupted => return Err(Failure::interrupted()),
                    Input::Failed(failure) => return Err(failure),
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

    fn progress(&self, quiet: bool) -> ProgressBar {
        match self {
            Self::Arguments { count, .. } => input::progress(Some(*count), true),
            Self::File { count, .. } => input::progress(Some(*count), quiet),
            Self::Pipe { .. } => input::progress(None, quiet),
        }
    }
}
