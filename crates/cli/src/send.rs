//! `ddes send`: integers from the command line, a file or a pipe, each counted exactly once.

use std::io::{self, BufReader, Read, Seek};
use std::thread;
use std::time::Duration;

use ddes_client::courier::{Courier, CourierError, CourierEvent};
use ddes_client::delivery::{DeliveryError, Patience};
use ddes_client::outbox::{InputMark, JournalError, Outbox, OutboxOwner, TAKE_MAX, TakeError};
use ddes_wire::v2::Scope;
use ddes_wire::{Sequence, Total};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::SendArgs;
use crate::connect::{RANGE, interrupted, unshown_sum};
use crate::failure::{Code, Failure};
use crate::input::{self, next_line};
use crate::lines_in::Stdin;
use crate::meet::Meeting;
use crate::refusal;
use crate::screen::{Line, Screen, number};
use crate::streams::say;

/// More integers are taken from the input when fewer than this wait.
const WAITING_MAX: usize = 8 * TAKE_MAX;
const CHUNKS_MAX: usize = 4;
const READ_BYTES: usize = 64 * 1024;
/// Without an outbox a server that is lost is waited for this long.
const LATER: Duration = Duration::from_secs(60);
/// With one, whoever sends can wait.
const PATIENT: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    let mut input = Input::open(&args.values)?;
    let default = if args.outbox.is_some() { (PATIENT, PATIENT) } else { (Duration::ZERO, LATER) };
    let (first, later) = args.retry_secs.map_or(default, |secs| {
        let secs = Duration::from_secs(secs.into());
        (secs, secs)
    });
    let (meeting, mut courier) =
        Meeting::arrange(&args.client, Patience { first, later }, |key| {
            let Some(folder) = &args.outbox else { return Ok(Outbox::in_memory()) };
            let owner = OutboxOwner { key, server: args.client.server.clone() };
            Outbox::open(folder, &owner).map_err(|error| refusal::of_journal(&error))
        })?;
    if args.adopt {
        courier.adopt();
    }
    let quiet = args.client.output.quiet;
    match courier.outbox().torn_bytes() {
        0 => {}
        torn => say(&format!(
            "The outbox's last {torn} bytes, torn by a crash, were cut off: what they were to hold was never taken."
        )),
    }
    // Before the input is looked at, which may take long: a run that is killed meanwhile has begun it.
    let start = begin(args, &mut courier, &mut input)?;
    input.check()?;
    if args.outbox.is_none() && !quiet && input.is_long() {
        say(
            "Without --outbox nothing counts twice while this runs. After a crash see `ddes total` first.",
        );
    }
    let progress = input.progress(quiet);
    let screen = Screen::of(&args.client.output);
    let mut sending = Sending {
        args,
        meeting,
        courier,
        screen,
        progress,
        each: !input.is_long(),
        last: None,
        has_none_left: start.lines > 0,
        base: None,
    };
    let runtime = crate::runtime()?;
    let outcome = runtime.block_on(sending.run(input, start));
    sending.meeting.remember();
    let counted = sending.progress.position();
    sending.progress.finish_and_clear();
    let so_far = |failure: Failure| match counted {
        0 => failure,
        counted => failure.after(&format!("after counting {counted}")),
    };
    let outcome = outcome.map_err(so_far);
    let outcome = outcome.map_err(|failure| match args.outbox {
        Some(_) => {
            failure.or_next("the same command with --resume: it goes on where this one stopped")
        }
        None => failure,
    });
    if let (Some(sum), false) = (outcome?, sending.each && !sending.has_none_left) {
        let shown =
            sending.screen.show(&Line::new("result", sum.to_string()).with("sum", number(&sum)));
        shown.map_err(|failure| so_far(failure.after(&unshown_sum(&sum)).or_next("ddes total")))?;
    }
    runtime.block_on(leave(sending.courier))
}

/// Everything is counted. How the session ends is of no account, but what the server states in its 50 is.
async fn leave(courier: Courier) -> Result<(), Failure> {
    match courier.close(Scope::Session).await {
        Err(CourierError::Delivery(DeliveryError::Objection(objection))) => {
            Err(refusal::of_objection(objection))
        }
        Ok(_)
        | Err(
            CourierError::Lost(_)
            | CourierError::Delivery(
                DeliveryError::Malformed { .. }
                | DeliveryError::Unavailable { .. }
                | DeliveryError::Journal(_),
            ),
        ) => Ok(()),
    }
}

/// Where in the input to start: after what the outbox took of it before. A finished input is never resumed; one of which nothing was taken is as good as new.
fn begin(args: &SendArgs, courier: &mut Courier, input: &mut Input) -> Result<InputMark, Failure> {
    let (mark, is_open) = courier.outbox().input();
    if args.outbox.is_some() && args.fresh && matches!(input, Input::Nothing) && is_open {
        courier.finish_input().map_err(|error| refusal::of_journal(&error))?;
    }
    if args.outbox.is_none() || matches!(input, Input::Nothing) {
        return Ok(InputMark::default());
    }
    let lines = mark.lines;
    // An outbox that was refused a history holds what that try took, and --adopt is the same command again.
    let resumes = args.resume || (args.adopt && !args.fresh);
    if lines > 0 && resumes && is_open {
        if !args.client.output.quiet {
            say(&format!("The outbox has taken {lines} lines of this input; going on after them."));
        }
        return Ok(mark);
    }
    if lines > 0 && args.resume {
        return Err(Failure::new(
            Code::No,
            format!("there is no input to resume: the last one came to its end, after {lines} lines"),
        )
        .cause("that run had counted it all, or the next one was cut off before it began: nothing of another input was taken")
        .next("without --resume to count this input, also if it is the same once more"));
    }
    if lines > 0 && is_open && !args.fresh {
        return Err(Failure::new(
            Code::No,
            format!("an input was cut off after {lines} lines that this outbox took"),
        )
        .cause("those lines are counted, or will be; sending them again would count them again")
        .next("--resume goes on behind them in the same input, also in one that was corrected behind them; --fresh counts every line of another input"));
    }
    if lines > 0 && is_open && input.begins_with(mark)? {
        return Err(Failure::new(Code::No, format!("the first {lines} lines are those that the outbox took of the input that was cut off"))
            .cause("with --fresh they would count again")
            .next("--resume goes on behind them; if they are to count again, take them out of the cut-off input first: ddes send --outbox DIR --fresh without integers ends it"));
    }
    if lines > 0 && is_open && matches!(input, Input::Pipe) && !args.client.output.quiet {
        say(&format!(
            "The {lines} lines that the outbox took of the input that was cut off are counted, or will be. Every line of this input counts besides: stop this and use --resume if it begins with them."
        ));
    }
    courier.begin_input().map_err(|error| refusal::of_journal(&error))?;
    Ok(InputMark::default())
}

struct Sending<'a> {
    args: &'a SendArgs,
    meeting: Meeting,
    courier: Courier,
    screen: Screen,
    progress: ProgressBar,
    /// Every total is printed, so integers go one by one.
    each: bool,
    last: Option<Total>,
    /// The whole input was taken by a run before, so no integer of it has a line of its own.
    has_none_left: bool,
    /// What was covered when the first session opened.
    base: Option<Sequence>,
}

impl Sending<'_> {
    /// The last sum, once everything is counted.
    async fn run(&mut self, input: Input, start: InputMark) -> Result<Option<Total>, Failure> {
        let mut interrupt = signal(SignalKind::interrupt())
            .map_err(|error| Failure::system("cannot watch for signals", &error))?;
        let mut chunks = input.start(start, self.each, self.args.outbox.is_some())?;
        let mut waiting = None;
        // What the outbox had no room for, until some of it is counted.
        let mut held = None;
        let mut done = false;
        let mut opened = false;
        while !(done && opened && self.courier.outbox().pending() == 0) {
            let room = match self.courier.outbox().pending() {
                0 => true,
                waiting => !self.each && waiting < WAITING_MAX,
            };
            let takes = !done && room && held.is_none() && (opened || self.args.outbox.is_some());
            tokio::select! {
                delivery = self.meeting.next(&mut self.courier) => {
                    opened |= self.delivered(&delivery?);
                    if let Some(chunk) = held.take() {
                        held = self.take(chunk, &mut waiting)?;
                    }
                }
                chunk = chunks.recv(), if takes => match chunk {
                    Some(Ok(chunk)) => held = self.take(chunk, &mut waiting)?,
                    Some(Err(failure)) => return Err(failure),
                    None => done = true,
                },
                () = interrupted(&mut interrupt) => return Err(Failure::interrupted()),
            }
            if self.each
                && self.courier.outbox().pending() == 0
                && let Some(value) = waiting.take()
            {
                self.show(value)?;
            }
        }
        self.finish()?;
        Ok(self.last)
    }

    /// Takes a chunk; gives it back where there is no room for it and what waits may make some.
    fn take(&mut self, chunk: Chunk, waiting: &mut Option<i64>) -> Result<Option<Chunk>, Failure> {
        match self.courier.take(&chunk.values, chunk.mark) {
            Ok(()) => {
                *waiting = chunk.values.last().copied();
                self.has_none_left = false;
                Ok(None)
            }
            Err(TakeError::Journal(JournalError::Full(_)))
                if self.courier.outbox().pending() > 0 =>
            {
                Ok(Some(chunk))
            }
            Err(error) => Err(refusal::of_take(&error)),
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let is_durable = self.args.outbox.is_some();
        if is_durable && !self.args.values.is_empty() {
            self.courier.finish_input().map_err(|error| refusal::of_journal(&error))?;
        }
        Ok(())
    }

    /// Shows it; whether a session is open.
    fn delivered(&mut self, delivery: &CourierEvent) -> bool {
        match delivery {
            CourierEvent::Opened(welcome) => {
                self.last = Some(welcome.standing.sum);
                self.base.get_or_insert(self.courier.outbox().confirmed());
                self.progress.enable_steady_tick(input::REDRAW);
                self.progress.reset_elapsed();
                self.counted();
                return true;
            }
            CourierEvent::Counted { sum, .. } => {
                self.last = Some(*sum);
                self.counted();
            }
            CourierEvent::Unavailable => {
                if !self.args.client.output.quiet {
                    let line = refusal::unavailable();
                    self.progress.suspend(|| say(line.text()));
                }
            }
            CourierEvent::Lost { why, retry } => {
                if !self.args.client.output.quiet {
                    let line = refusal::lost(why, *retry, &self.meeting);
                    self.progress.suspend(|| say(line.text()));
                }
            }
        }
        false
    }

    /// The bar stands where the ledger does.
    fn counted(&self) {
        let confirmed = self.courier.outbox().confirmed().get();
        let base = self.base.map_or(confirmed, Sequence::get);
        self.progress.set_position(confirmed.saturating_sub(base));
    }

    fn show(&mut self, value: i64) -> Result<(), Failure> {
        let Some(sum) = self.last else { return Ok(()) };
        let line = Line::new("result", sum.to_string()).with("sum", number(&sum));
        let shown = self.screen.show(&line.with("amount", number(&value)));
        shown.map_err(|failure| failure.after(&unshown_sum(&sum)))
    }
}

/// Integers and how much of the input they make.
struct Chunk {
    values: Vec<i64>,
    mark: InputMark,
}

/// Where the integers come from.
enum Input {
    /// Only what the outbox holds.
    Nothing,
    Arguments(Vec<i64>),
    /// Once every line is checked, `count` of them hold an integer.
    File {
        reader: BufReader<std::fs::File>,
        count: u64,
    },
    Pipe,
}

impl Input {
    /// Checks all arguments.
    fn open(arguments: &[String]) -> Result<Self, Failure> {
        let usage = |what: String| Failure::new(Code::Usage, what).next("ddes send --help");
        if arguments.is_empty() {
            return Ok(Self::Nothing);
        }
        if arguments != ["-"] {
            let values = arguments.iter().map(|text| amount(text)).collect::<Result<_, _>>();
            return values.map(Self::Arguments).map_err(usage);
        }
        let Some(file) = input::stdin_file().map_err(unreadable)? else { return Ok(Self::Pipe) };
        Ok(Self::File { reader: BufReader::with_capacity(READ_BYTES, file), count: 0 })
    }

    /// All lines of a file, before a connection is made. Those of a pipe are checked as they come.
    fn check(&mut self) -> Result<(), Failure> {
        let Self::File { reader, count } = self else { return Ok(()) };
        let mut line = 0;
        while let Some(value) = next_line(reader, &mut line, amount) {
            value?;
            *count += 1;
        }
        reader.rewind().map_err(unreadable)
    }

    /// Whether what was taken of another input is the beginning of this one, which a pipe cannot tell without waiting.
    fn begins_with(&mut self, taken: InputMark) -> Result<bool, Failure> {
        let (mut hash, mut lines) = (Sha256::new(), 0);
        match self {
            Self::Nothing | Self::Pipe => return Ok(false),
            Self::Arguments(values) => {
                let count = usize::try_from(taken.lines).unwrap_or(usize::MAX).min(values.len());
                values[..count].iter().for_each(|value| hash.update(value.to_be_bytes()));
                lines = count as u64;
            }
            Self::File { reader, .. } => {
                while lines < taken.lines
                    && let Some(Ok(value)) = next_line(reader, &mut lines, amount)
                {
                    hash.update(value.to_be_bytes());
                }
                reader.rewind().map_err(unreadable)?;
            }
        }
        Ok(lines == taken.lines && <[u8; 32]>::from(hash.finalize()) == taken.digest)
    }

    /// A long input is summed up in one line.
    fn is_long(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Pipe)
    }

    fn progress(&self, quiet: bool) -> ProgressBar {
        match self {
            Self::Nothing | Self::Pipe => input::progress(None, quiet),
            Self::Arguments(values) => input::progress(Some(values.len() as u64), true),
            Self::File { count, .. } => input::progress(Some(*count), quiet),
        }
    }

    /// Reads from behind `start` on, in a thread of its own: a pipe may give nothing for long.
    fn start(
        self,
        start: InputMark,
        each: bool,
        is_durable: bool,
    ) -> Result<mpsc::Receiver<Result<Chunk, Failure>>, Failure> {
        let (chunks, received) = mpsc::channel(CHUNKS_MAX);
        let most = if each { 1 } else { TAKE_MAX };
        let read = move || {
            let is_same = start.lines == 0;
            let (mark, hash, values) = (InputMark::default(), Sha256::new(), Vec::new());
            let mut feed =
                Feed { start, mark, last_line: 0, hash, is_same, is_durable, values, most, chunks };
            let end = match self {
                Self::Nothing => Ok(()),
                Self::Arguments(values) => feed.arguments(&values),
                Self::File { reader, .. } => feed.lines(reader),
                Self::Pipe => feed.lines(BufReader::with_capacity(READ_BYTES, Stdin)),
            };
            // Whoever listened may be gone.
            drop(end.and_then(|()| feed.end()));
        };
        thread::Builder::new()
            .name("input".into())
            .spawn(read)
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
        Ok(received)
    }
}

const CORRECTED: &str = "correct that line, and the same command with --resume: it goes on behind the lines before it, which are taken";

/// Nobody takes chunks any more.
struct Gone;

struct Feed {
    start: InputMark,
    mark: InputMark,
    /// Where the last of `values` stands.
    last_line: u64,
    hash: Sha256,
    /// What was taken before is the beginning of this input.
    is_same: bool,
    /// What was taken stays in an outbox.
    is_durable: bool,
    values: Vec<i64>,
    most: usize,
    chunks: mpsc::Sender<Result<Chunk, Failure>>,
}

impl Feed {
    fn arguments(&mut self, values: &[i64]) -> Result<(), Gone> {
        values.iter().try_for_each(|value| {
            self.mark.lines += 1;
            self.value(*value)
        })
    }

    fn lines(&mut self, mut reader: BufReader<impl Read>) -> Result<(), Gone> {
        while let Some(value) = next_line(&mut reader, &mut self.mark.lines, amount) {
            match value {
                Ok(value) => self.value(value)?,
                Err(failure) => {
                    self.flush()?;
                    // A line that could not be read is not counted as one.
                    let is_refused = self.mark.lines > self.last_line;
                    let failure = if self.is_durable && is_refused {
                        failure.next(CORRECTED)
                    } else {
                        failure
                    };
                    return self.say(Err(failure));
                }
            }
            // What has come is sent; what may come is not waited for. A file is always there.
            if !reader.buffer().contains(&b'\n') {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn value(&mut self, value: i64) -> Result<(), Gone> {
        // Older versions counted a line that was refused, or blank ones at the end, among those that were taken.
        let was_same = self.is_same
            || (self.mark.lines >= self.start.lines && self.digest() == self.start.digest);
        self.is_same = was_same;
        self.hash.update(value.to_be_bytes());
        if !was_same && self.mark.lines <= self.start.lines {
            // At the last line that was taken before: is it the same input?
            let is_last = self.mark.lines == self.start.lines;
            self.is_same |= is_last && self.digest() == self.start.digest;
            return if is_last && !self.is_same { self.other() } else { Ok(()) };
        }
        if !self.is_same {
            return self.other();
        }
        self.values.push(value);
        self.last_line = self.mark.lines;
        if self.values.len() == self.most { self.flush() } else { Ok(()) }
    }

    fn other(&mut self) -> Result<(), Gone> {
        let lines = self.start.lines;
        self.say(Err(Failure::new(
            Code::No,
            format!("the first {lines} lines are not those the outbox took"),
        )
        .cause("this is another input than the one that was cut off")
        .next("--resume with the same input, or --fresh with this one")))?;
        Err(Gone)
    }

    fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    fn flush(&mut self) -> Result<(), Gone> {
        if self.values.is_empty() {
            return Ok(());
        }
        // A line behind it that is blank or refused is not taken.
        let mark = InputMark { lines: self.last_line, digest: self.digest() };
        let values = std::mem::take(&mut self.values);
        self.say(Ok(Chunk { values, mark }))
    }

    fn end(mut self) -> Result<(), Gone> {
        if self.mark.lines < self.start.lines {
            return self.other();
        }
        self.flush()
    }

    fn say(&self, chunk: Result<Chunk, Failure>) -> Result<(), Gone> {
        self.chunks.blocking_send(chunk).map_err(|_| Gone)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` wants")]
fn unreadable(error: io::Error) -> Failure {
    Failure::system("cannot read standard input", &error)
}

fn amount(text: &str) -> Result<i64, String> {
    input::integer(text, RANGE)
}
