//! The calls of a client and the replies it owes, for both drivers.

use std::collections::VecDeque;
use std::sync::Arc;

use super::reply::Reply;
use super::{Balance, ClientError, Progress};
use crate::delivery::{Delivery, DeliveryEvent};
use ddes_session::v2::ClientEnd;

use crate::lost::{CourierError, Lost};
use crate::outbox::{InputMark, TakeError};

/// Calls that may wait for room in the outbox or for an answer. With more, the driver takes no
/// further call.
pub(super) const CALLS_MAX: usize = 1024;
/// With so many, those whose callers left are looked for and forgotten: a program that waits for a
/// second again and again must not fill the book.
const WAITS_SWEPT_FROM: usize = 64;

pub(super) type Observer = Box<dyn FnMut(&Progress) + Send>;

/// A call of the public client, with its reply.
pub(super) enum Call {
    /// Keep integers, and deliver them.
    Add { values: Vec<i64>, reply: Reply<()> },
    /// Wait until what was added before is counted.
    Flush { reply: Reply<Balance> },
    /// What the server holds, as far as is known.
    Total { reply: Reply<Balance> },
    /// As a flush, and the session ends.
    Close { reply: Reply<Balance> },
}

/// A call that waits for the server.
struct Wait {
    /// It is answered once this many integers of this client are counted.
    until: u64,
    reply: Reply<Balance>,
    closes: bool,
}

/// The calls of one client.
pub(super) struct CallBook {
    observer: Observer,
    /// Integers taken, those that the outbox held at the start among them.
    taken: u64,
    /// The account as the server stated it last.
    balance: Option<Balance>,
    /// Integers for which there is no room yet, and the calls after them, in order.
    queue: VecDeque<Call>,
    waits: Vec<Wait>,
    /// Why the client does no more.
    ended: Option<ClientError>,
}

impl CallBook {
    pub(super) fn new(observer: Observer, delivery: &Delivery) -> Self {
        Self {
            observer,
            taken: delivery.outbox().pending() as u64,
            balance: None,
            queue: VecDeque::new(),
            waits: Vec::new(),
            ended: None,
        }
    }

    /// Whether another call may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.queue.is_empty() && self.waits.len() < CALLS_MAX
    }

    /// Takes a call. Integers are put into the outbox at once if there is room.
    pub(super) fn handle_call(&mut self, delivery: &mut Delivery, call: Call) {
        self.queue.push_back(call);
        self.work(delivery);
    }

    fn work(&mut self, delivery: &mut Delivery) {
        while let Some(call) = self.queue.pop_front() {
            if let Some(ended) = &self.ended {
                refuse(call, ended);
                continue;
            }
            match call {
                Call::Add { reply, .. } if reply.is_withdrawn() => {}
                Call::Add { values, reply } if !delivery.outbox().has_room(values.len()) => {
                    self.queue.push_front(Call::Add { values, reply });
                    return;
                }
                Call::Add { values, reply } => {
                    if reply.begin() {
                        reply.answer(self.take(delivery, &values));
                    }
                }
                Call::Flush { reply } => self.wait_for(self.taken, reply, false),
                Call::Total { reply } => self.wait_for(0, reply, false),
                Call::Close { reply } => self.wait_for(self.taken, reply, true),
            }
        }
    }

    fn wait_for(&mut self, until: u64, reply: Reply<Balance>, closes: bool) {
        if self.waits.len() >= WAITS_SWEPT_FROM {
            self.waits.retain(|wait| wait.reply.is_awaited());
        }
        self.waits.push(Wait { until, reply, closes });
    }

    fn take(&mut self, delivery: &mut Delivery, values: &[i64]) -> Result<(), ClientError> {
        if values.is_empty() {
            return Ok(());
        }
        // An input of `ddes send` that the outbox has taken a part of stays as it is.
        let (mark, is_open) = delivery.outbox().input();
        match delivery.take(std::time::Instant::now(), values, mark) {
            Ok(()) => {
                self.taken += values.len() as u64;
                if is_open || mark == InputMark::default() {
                    Ok(())
                } else {
                    delivery.finish_input().map_err(ClientError::from)
                }
            }
            // There is room, as was looked at before.
            Err(TakeError::Full | TakeError::TooMany) => Err(ClientError::TooMany),
            Err(TakeError::Overflow) => Err(ClientError::Overflow),
            Err(TakeError::Journal(error)) => Err(error.into()),
        }
    }

    /// Reports an event.
    pub(super) fn handle_event(&mut self, event: &DeliveryEvent) {
        let progress = match event {
            DeliveryEvent::Opened(welcome) => {
                let standing = welcome.standing;
                self.note_balance(
                    Balance { count: standing.last_seq.get(), sum: standing.sum },
                    Progress::Opened,
                )
            }
            DeliveryEvent::Counted { last_seq, sum } => {
                self.note_balance(Balance { count: last_seq.get(), sum: *sum }, Progress::Counted)
            }
            DeliveryEvent::Unavailable => Progress::Unavailable,
        };
        (self.observer)(&progress);
    }

    fn note_balance(&mut self, balance: Balance, progress: fn(Balance) -> Progress) -> Progress {
        self.balance = Some(balance);
        progress(balance)
    }

    /// Reports that a session was lost, or that none opened.
    pub(super) fn handle_lost(&mut self, progress: &Progress) {
        if let Progress::Lost { why, .. } = progress
            && let Lost::Ended(ClientEnd::Farewell(last)) = &**why
        {
            // The server's 50 states the account once more.
            self.balance = Some(Balance { count: last.last_seq.get(), sum: last.sum });
        }
        (self.observer)(progress);
    }

    /// Answers the calls whose integers are counted. Returns the reply to a close: the driver ends
    /// the session first.
    pub(super) fn answer_due(&mut self, delivery: &mut Delivery) -> Option<Reply<Balance>> {
        // Some may be counted now, and leave room.
        self.work(delivery);
        let balance = self.balance?;
        // The event that states the newer balance is still to come.
        if balance.count < delivery.outbox().confirmed().get() {
            return None;
        }
        let counted = self.taken.saturating_sub(delivery.outbox().pending() as u64);
        let (done, waits) =
            std::mem::take(&mut self.waits).into_iter().partition(|wait| wait.until <= counted);
        self.waits = waits;
        let done: Vec<Wait> = done;
        let mut close = None;
        for Wait { reply, closes, .. } in done {
            if !closes || close.is_some() {
                reply.answer(Ok(balance));
            } else if reply.begin() {
                close = Some(reply);
            }
        }
        close
    }

    /// The session ended as asked, with the balance that the server stated then, if it did; or with
    /// an error.
    pub(super) fn handle_closed(
        &mut self,
        reply: Reply<Balance>,
        outcome: Result<Option<Balance>, CourierError>,
    ) {
        let last = self.balance;
        self.end(ClientError::Closed);
        reply.answer(match outcome {
            Ok(balance) => balance.or(last).ok_or(ClientError::Closed),
            Err(error) => Err(ClientError::Ended(Arc::new(error))),
        });
    }

    /// Delivery has failed for good: fails all calls with `error`, also those to come.
    pub(super) fn handle_error(&mut self, error: CourierError) {
        self.end(ClientError::Ended(Arc::new(error)));
    }

    /// Every call is refused from now on.
    fn end(&mut self, error: ClientError) {
        for Wait { reply, .. } in std::mem::take(&mut self.waits) {
            reply.answer(Err(error.clone()));
        }
        for call in std::mem::take(&mut self.queue) {
            refuse(call, &error);
        }
        self.ended = Some(error);
    }

    /// Answers a call of a client that has ended.
    pub(super) fn refuse(&self, call: Call) {
        refuse(call, self.ended.as_ref().unwrap_or(&ClientError::Closed));
    }
}

fn refuse(call: Call, error: &ClientError) {
    match call {
        Call::Add { reply, .. } => reply.answer(Err(error.clone())),
        Call::Flush { reply } | Call::Total { reply } | Call::Close { reply } => {
            reply.answer(Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::{Duration, Instant};

    use ddes_wire::v2::{Farewell, Outcome, Reason, Scope, Status, Welcome};
    use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};

    use super::*;
    use crate::client::reply::Caller;
    use crate::delivery::Patience;
    use crate::outbox::{Outbox, PENDING_MAX, TAKE_MAX};

    /// A reply, its caller, and what the caller is told.
    fn call<T: Send + 'static>() -> (Reply<T>, Caller, Receiver<Result<T, ClientError>>) {
        let (sender, answer) = channel();
        let (reply, caller) = Reply::new(move |outcome| sender.send(outcome).unwrap());
        (reply, caller, answer)
    }

    fn open_with(values: &[i64]) -> (Delivery, CallBook, Instant) {
        let now = Instant::now();
        let patience = Patience { first: Duration::MAX, later: Duration::MAX };
        let mut delivery = Delivery::new(now, patience, Outbox::in_memory());
        let mut book = CallBook::new(Box::new(|_| {}), &delivery);
        let (reply, _caller, taken) = call();
        book.handle_call(&mut delivery, Call::Add { values: values.to_vec(), reply });
        taken.try_recv().unwrap().unwrap();
        assert!(delivery.poll_connect(now));
        let welcome = Welcome {
            token: Token::new([7; 16]),
            session: SessionNumber::new(1),
            standing: Standing::default(),
            idle_millis: 60_000,
            values_max: 100,
        };
        delivery.handle_welcome(&welcome).unwrap();
        let submission = delivery.poll_submit(100).unwrap();
        delivery.handle_submitted(&submission);
        (delivery, book, now)
    }

    /// The answer came together with the welcome: both are counted before either was reported.
    #[test]
    fn a_flush_is_answered_with_the_balance_that_contains_its_integers() {
        let (mut delivery, mut book, now) = open_with(&[3, 4, 5]);
        let (reply, _caller, answer) = call();
        book.handle_call(&mut delivery, Call::Flush { reply });
        let counted =
            Outcome { status: Status::Applied, last_seq: Sequence::new(3), sum: Total::new(12) };
        delivery.handle_answer(now, &counted).unwrap();
        while let Some(event) = delivery.poll_event() {
            book.handle_event(&event);
            assert!(book.answer_due(&mut delivery).is_none());
        }
        let expected = Balance { count: 3, sum: Total::new(12) };
        assert_eq!(answer.try_recv().unwrap().unwrap(), expected);
    }

    /// A 50 that states more than the last 40 did answers the calls that wait for it.
    #[test]
    fn a_flush_is_answered_with_what_the_last_50_states() {
        let (mut delivery, mut book, now) = open_with(&[3, 4, 5]);
        let (reply, _caller, answer) = call();
        book.handle_call(&mut delivery, Call::Flush { reply });
        let last = Farewell {
            reason: Reason::ShuttingDown,
            scope: Scope::Session,
            last_seq: Sequence::new(3),
            sum: Total::new(12),
            text: String::new(),
        };
        delivery.handle_end(now, 0, Some(&last), false).unwrap();
        while let Some(event) = delivery.poll_event() {
            book.handle_event(&event);
        }
        let why = Arc::new(Lost::Ended(ClientEnd::Farewell(last)));
        book.handle_lost(&Progress::Lost { why, retry: None });
        assert!(book.answer_due(&mut delivery).is_none());
        let expected = Balance { count: 3, sum: Total::new(12) };
        assert_eq!(answer.try_recv().unwrap().unwrap(), expected);
    }

    /// Integers that were withdrawn while they waited for room are not taken when there is some;
    /// those behind them are.
    #[test]
    fn what_was_withdrawn_is_not_done() {
        let patience = Patience { first: Duration::MAX, later: Duration::MAX };
        let mut delivery = Delivery::new(Instant::now(), patience, Outbox::in_memory());
        let mut book = CallBook::new(Box::new(|_| {}), &delivery);
        let mut add = |delivery: &mut _, value: i64, count: usize| {
            let (reply, caller, answer) = call();
            book.handle_call(delivery, Call::Add { values: vec![value; count], reply });
            (caller, answer)
        };
        for _ in 0..PENDING_MAX / TAKE_MAX - 1 {
            add(&mut delivery, 1, TAKE_MAX).1.try_recv().unwrap().unwrap();
        }
        add(&mut delivery, 1, TAKE_MAX - 1).1.try_recv().unwrap().unwrap();
        let (first, unheard) = add(&mut delivery, 7, 2);
        let (second, taken) = add(&mut delivery, 8, 1);
        assert!(first.withdraw() && unheard.try_recv().is_err());
        book.work(&mut delivery);
        taken.try_recv().unwrap().unwrap();
        assert!(!second.withdraw() && unheard.try_recv().is_err());
        assert_eq!(delivery.outbox().pending(), PENDING_MAX);
        assert_eq!(book.taken, PENDING_MAX as u64);
    }

    #[test]
    fn a_book_with_its_most_waits_takes_no_call_and_one_behind_a_full_outbox_neither() {
        let (mut delivery, mut book, _) = open_with(&[3]);
        let mut callers = Vec::new();
        for _ in 0..CALLS_MAX {
            assert!(book.has_room());
            let (reply, caller, answer) = call();
            book.handle_call(&mut delivery, Call::Flush { reply });
            callers.push((caller, answer));
        }
        assert!(!book.has_room());

        let (mut delivery, mut book, _) = open_with(&[3]);
        while delivery.outbox().has_room(TAKE_MAX) {
            let (reply, _caller, taken) = call();
            book.handle_call(&mut delivery, Call::Add { values: vec![1; TAKE_MAX], reply });
            taken.try_recv().unwrap().unwrap();
        }
        assert!(book.has_room());
        let (reply, _caller, answer) = call();
        book.handle_call(&mut delivery, Call::Add { values: vec![1; TAKE_MAX], reply });
        assert!(!book.has_room() && answer.try_recv().is_err());
    }

    #[test]
    fn waits_whose_callers_left_do_not_fill_the_book() {
        let (mut delivery, mut book, _) = open_with(&[3]);
        let (kept, _caller, answer) = call();
        book.handle_call(&mut delivery, Call::Flush { reply: kept });
        for _ in 0..2 * CALLS_MAX {
            assert!(book.has_room());
            let (reply, caller, _) = call();
            book.handle_call(&mut delivery, Call::Flush { reply });
            drop(caller);
        }
        assert!(book.waits.len() <= WAITS_SWEPT_FROM + 1 && answer.try_recv().is_err());
    }

    #[test]
    fn a_close_that_was_withdrawn_closes_nothing() {
        let (mut delivery, mut book, now) = open_with(&[3, 4, 5]);
        let (reply, caller, answer) = call();
        book.handle_call(&mut delivery, Call::Close { reply });
        assert!(caller.withdraw());
        let counted =
            Outcome { status: Status::Applied, last_seq: Sequence::new(3), sum: Total::new(12) };
        delivery.handle_answer(now, &counted).unwrap();
        while let Some(event) = delivery.poll_event() {
            book.handle_event(&event);
            assert!(book.answer_due(&mut delivery).is_none());
        }
        assert!(book.waits.is_empty() && answer.try_recv().is_err());
    }
}
