//! `ddes send`: integers from the command line, a file or a pipe.

use std::time::Duration;

use ddes_client::courier::{Courier, CourierError};
use ddes_client::delivery::{DeliveryError, Patience};
use ddes_client::outbox::{Outbox, OutboxOwner, TAKE_MAX};
use ddes_wire::Total;
use ddes_wire::v2::Scope;
use indicatif::ProgressBar;

use crate::args::SendArgs;
use crate::connect::unshown_sum;
use crate::counter::classic::{self, ClassicSession};
use crate::counter::v2::AccountCounter;
use crate::counter::{Counter, CounterReport, Queue};
use crate::failure::Failure;
use crate::input::{self, Integer};
use crate::interrupt::Interrupt;
use crate::meet::Meeting;
use crate::refusal;
use crate::resume::Resume;
use crate::screen::{Line, Screen, number};
use crate::source::{Chunk, Chunks, Source};
use crate::streams::say;

/// The input is read on while fewer integers than this wait.
const WAITING_MAX: usize = 8 * TAKE_MAX;
/// Without an outbox a server that is lost is waited for this long.
const LATER: Duration = Duration::from_secs(60);
/// With one, the integers are safe, so there is time.
const PATIENT: Duration = Duration::from_secs(24 * 60 * 60);

/// What to do after a failure, with an outbox.
const RESUME: &str = "the same command with --resume: it goes on where this one stopped";

pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    if args.client.classic { to_session(args) } else { to_account(args) }
}

/// One integer at a time, each of which counts when its sum comes.
fn to_session(args: &SendArgs) -> Result<(), Failure> {
    let mut source = Source::open(&args.values)?;
    source.check()?;
    let options = classic::options(&args.client)?;
    let mut sending = Sending::new(args, &source);
    // A program wants each sum; a person only the last of a long input.
    sending.each = args.client.output.json || !source.is_long();
    let runtime = crate::runtime()?;
    let mut interrupt = Interrupt::watch(&runtime)?;
    let outcome = runtime.block_on(async {
        let mut session = ClassicSession::open(options, &mut interrupt).await?;
        sending.run(&mut session, source.start(1, None)?, &mut interrupt).await?;
        tokio::select! {
            () = session.close() => Ok(()),
            failure = interrupt.came() => Err(failure),
        }
    });
    sending.stop(outcome)?;
    sending.sum_up()
}

/// Each integer counts exactly once, whatever happens on the way; with an outbox also where this
/// process ends on the way.
fn to_account(args: &SendArgs) -> Result<(), Failure> {
    let mut source = Source::open(&args.values)?;
    let (meeting, mut courier) = Meeting::arrange(&args.client, patience(args), |key| {
        let Some(folder) = &args.outbox else { return Ok(Outbox::in_memory()) };
        let owner = OutboxOwner { key, server: args.client.server.clone() };
        Outbox::open(folder, &owner).map_err(|error| refusal::of_journal(&error))
    })?;
    if args.adopt {
        courier.adopt();
    }
    match courier.outbox().torn_bytes() {
        0 => {}
        torn => say(&format!(
            "The outbox's last {torn} bytes, torn by a crash, were cut off: \
             what they were to hold was never taken."
        )),
    }
    // A look at the input may take long: a run that is killed during it has begun the input.
    let resume = match &args.outbox {
        Some(_) => Some(Resume::begin(args, &mut courier, &mut source)?),
        None => None,
    };
    source.check()?;
    if args.outbox.is_none() && !args.client.output.quiet && source.is_long() {
        say("Without --outbox nothing counts twice while this runs. \
             After a crash see `ddes total` first.");
    }
    let mut sending = Sending::new(args, &source);
    sending.has_none_left = resume.as_ref().is_some_and(Resume::has_part);
    // An outbox in which more waits is drained first: it may be full.
    let has_room = courier.outbox().pending() < WAITING_MAX;
    sending.stores_first = args.outbox.is_some() && source.is_at_hand() && has_room;
    let (most, waiting_max) = if sending.each { (1, 1) } else { (TAKE_MAX, WAITING_MAX) };
    let mut account = AccountCounter::new(&meeting, courier, waiting_max);
    let runtime = crate::runtime()?;
    let mut interrupt = Interrupt::watch(&runtime)?;
    let chunks = source.start(most, resume)?;
    let outcome = runtime.block_on(sending.run(&mut account, chunks, &mut interrupt));
    let mut courier = account.into_courier();
    let outcome = outcome.and_then(|()| finish(args, &mut courier));
    meeting.remember();
    sending.stop(outcome).map_err(|failure| match (&args.outbox, courier.outbox().pending()) {
        (Some(_), 0) => failure.or_next(RESUME),
        (Some(_), stored) => failure.after(&stored_text(stored)).or_next(RESUME),
        (None, _) => failure,
    })?;
    sending.sum_up().map_err(|failure| failure.or_next("ddes total"))?;
    runtime.block_on(leave(courier))
}

fn patience(args: &SendArgs) -> Patience {
    let default = if args.outbox.is_some() { (PATIENT, PATIENT) } else { (Duration::ZERO, LATER) };
    let (first, later) = args.retry_secs.map_or(default, |secs| {
        let secs = Duration::from_secs(secs.into());
        (secs, secs)
    });
    Patience { first, later }
}

/// The input was counted to its end: it is not resumed.
fn finish(args: &SendArgs, courier: &mut Courier) -> Result<(), Failure> {
    if args.outbox.is_some() && !args.values.is_empty() {
        courier.finish_input().map_err(|error| refusal::of_journal(&error))?;
    }
    Ok(())
}

fn stored_text(stored: usize) -> String {
    match stored {
        1 => "1 integer is in the outbox and not counted yet".to_owned(),
        stored => format!("{stored} integers are in the outbox and not counted yet"),
    }
}

/// Everything is counted, and the session ends.
async fn leave(courier: Courier) -> Result<(), Failure> {
    left(&courier.close(Scope::Session).await.map(drop))
}

/// How the session ended does not matter, but what the server states in its 50 does.
fn left(outcome: &Result<(), CourierError>) -> Result<(), Failure> {
    match outcome {
        Err(CourierError::Delivery(DeliveryError::Objection(objection))) => {
            Err(refusal::of_objection(*objection))
        }
        Ok(())
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

struct Sending {
    screen: Screen,
    quiet: bool,
    progress: ProgressBar,
    /// Every sum is shown, so integers go one by one.
    each: bool,
    last: Option<Total>,
    counted: u64,
    /// A run before took the whole input, so no integer of it has a line of its own.
    has_none_left: bool,
    /// The first integers are stored before a connection is tried, so that a server that is away
    /// leaves no doubt about them.
    stores_first: bool,
}

impl Sending {
    fn new<T: Integer>(args: &SendArgs, source: &Source<T>) -> Self {
        let output = &args.client.output;
        Self {
            screen: Screen::of(output),
            quiet: output.quiet,
            progress: source.progress(output.quiet),
            each: !source.is_long(),
            last: None,
            counted: 0,
            has_none_left: false,
            stores_first: false,
        }
    }

    /// Runs until everything is counted.
    async fn run<C: Counter>(
        &mut self,
        counter: &mut C,
        mut chunks: Chunks<C::Integer>,
        interrupt: &mut Interrupt,
    ) -> Result<(), Failure> {
        // The integer whose sum is to be shown.
        let mut unshown = None;
        // What the counter had no room for, until some of what waits is counted.
        let mut held = None;
        if self.stores_first {
            tokio::select! {
                chunk = chunks.recv() => {
                    if let Some(chunk) = chunk {
                        held = self.give(counter, chunk?, &mut unshown)?;
                    }
                }
                failure = interrupt.came() => return Err(failure),
            }
        }
        loop {
            // Nothing is awaited once all is counted: a session that ends then is no failure.
            let is_read = chunks.is_closed() && chunks.is_empty();
            if is_read && held.is_none() && counter.queue() == Queue::Empty {
                return Ok(());
            }
            let takes = !is_read && held.is_none() && counter.queue() != Queue::Full;
            tokio::select! {
                report = counter.next() => {
                    self.note(report?, counter.counted())?;
                    if let Some(chunk) = held.take() {
                        held = self.give(counter, chunk, &mut unshown)?;
                    }
                }
                chunk = chunks.recv(), if takes => {
                    if let Some(chunk) = chunk {
                        held = self.give(counter, chunk?, &mut unshown)?;
                    }
                }
                failure = interrupt.came() => return Err(failure),
            }
            if self.each
                && counter.queue() == Queue::Empty
                && let (Some(value), Some(sum)) = (unshown.take(), self.last)
            {
                self.show(sum, Some(value))?;
            }
        }
    }

    /// Gives a chunk to the counter; gives it back if there may be room for it later.
    fn give<C: Counter>(
        &mut self,
        counter: &mut C,
        chunk: Chunk<C::Integer>,
        unshown: &mut Option<C::Integer>,
    ) -> Result<Option<Chunk<C::Integer>>, Failure> {
        match counter.give(&chunk.values, chunk.mark) {
            Ok(()) => {
                *unshown = chunk.values.last().copied();
                self.has_none_left = false;
                Ok(None)
            }
            Err(not_taken) if not_taken.may_retry => Ok(Some(chunk)),
            Err(not_taken) => Err(not_taken.failure),
        }
    }

    fn note(&mut self, report: CounterReport, counted: u64) -> Result<(), Failure> {
        match report {
            CounterReport::Opened { sum, .. } => {
                self.last = sum;
                self.progress.enable_steady_tick(input::REDRAW);
                self.progress.reset_elapsed();
                self.count(counted);
            }
            CounterReport::Summed { sum, .. } => {
                self.last = Some(sum);
                self.count(counted);
            }
            CounterReport::Delayed(line) | CounterReport::Lost { line, .. } => {
                if !self.quiet {
                    self.progress.suspend(|| say(line.text()));
                }
            }
            CounterReport::Step(_) => {}
            CounterReport::Discarded { failure, .. } | CounterReport::Ended { failure, .. } => {
                return Err(failure);
            }
        }
        Ok(())
    }

    fn count(&mut self, counted: u64) {
        self.counted = counted;
        self.progress.set_position(counted);
    }

    /// Ends the progress; a failure states how many integers were counted before it.
    fn stop(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        self.progress.finish_and_clear();
        outcome.map_err(|failure| self.so_far(failure))
    }

    /// Shows the last sum, unless each was shown.
    fn sum_up(&mut self) -> Result<(), Failure> {
        match self.last {
            Some(sum) if !self.each || self.has_none_left => {
                self.show::<i64>(sum, None).map_err(|failure| self.so_far(failure))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn show<T: Integer>(&mut self, sum: Total, value: Option<T>) -> Result<(), Failure> {
        let line = Line::new("result", sum.to_string()).with("sum", number(&sum));
        let line = match value {
            Some(value) => line.with("amount", number(&value)),
            None => line,
        };
        self.screen.show(&line).map_err(|failure| failure.after(&unshown_sum(&sum)))
    }

    fn so_far(&self, failure: Failure) -> Failure {
        match self.counted {
            0 => failure,
            counted => failure.after(&format!("after counting {counted}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use ddes_client::outbox::{JournalError, Objection};
    use ddes_session::v2::{ClientEnd, ClientFault};
    use ddes_wire::Sequence;

    use super::*;
    use crate::failure::Code;

    #[test]
    fn a_last_word_that_contradicts_the_outbox_is_a_failure_and_no_other_end_is() {
        let number = Sequence::new(1);
        let objection = Objection::Beyond { last_seq: number, sent: number };
        assert_eq!(left(&Err(objection.into())).unwrap_err().code(), Code::Integrity);
        let lost = ddes_client::Lost::Ended(ClientEnd::Fault(ClientFault::Truncated));
        for end in [
            Ok(()),
            Err(CourierError::Lost(lost)),
            Err(JournalError::Poisoned("outbox".into()).into()),
        ] {
            assert!(left(&end).is_ok());
        }
    }
}
