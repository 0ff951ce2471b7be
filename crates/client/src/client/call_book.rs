//! The calls of a client and the replies it owes, for both drivers.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Balance, ClientError, Progress};
use crate::delivery::{Delivery, DeliveryEvent};
use ddes_session::v2::ClientEnd;

use crate::lost::{CourierError, Lost};
use crate::outbox::{InputMark, TakeError};

/// Calls that may wait for room in the outbox or for an answer. With more, the driver takes no
/// further call.
pub(super) const CALLS_MAX: usize = 1024;

pub(super) type Observer = Box<dyn FnMut(&Progress) + Send>;

/// Answers a call, once. The caller may have stopped waiting.
pub(super) type Reply<T> = Box<dyn FnOnce(Result<T, ClientError>) + Send>;

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
                Call::Add { values, reply } => match self.take(delivery, &values) {
                    None => {
                        self.queue.push_front(Call::Add { values, reply });
                        return;
                    }
                    Some(outcome) => reply(outcome),
                },
                Call::Flush { reply } => {
                    self.waits.push(Wait { until: self.taken, reply, closes: false });
                }
                Call::Total { reply } => self.waits.push(Wait { until: 0, reply, closes: false }),
                Call::Close { reply } => {
                    self.waits.push(Wait { until: self.taken, reply, closes: true });
                }
            }
        }
    }

    /// `None` where the outbox is full until some are counted.
    fn take(&mut self, delivery: &mut Delivery, values: &[i64]) -> Option<Result<(), ClientError>> {
        if values.is_empty() {
            return Some(Ok(()));
        }
        // An input of `ddes send` that the outbox has taken a part of stays as it is.
        let (mark, is_open) = delivery.outbox().input();
        Some(match delivery.take(std::time::Instant::now(), values, mark) {
            Ok(()) => {
                self.taken += values.len() as u64;
                if is_open || mark == InputMark::default() {
                    Ok(())
                } else {
                    delivery.finish_input().map_err(ClientError::from)
                }
            }
            Err(TakeError::Full) => return None,
            Err(TakeError::TooMany) => Err(ClientError::TooMany),
            Err(TakeError::Overflow) => Err(ClientError::Overflow),
            Err(TakeError::Journal(error)) => Err(error.into()),
        })
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
            if closes && close.is_none() {
                close = Some(reply);
            } else {
                reply(Ok(balance));
            }
        }
        close
    }

    /// The session ended as asked: the balance as the server stated it last.
    pub(super) fn handle_closed(&mut self, reply: Reply<Balance>, balance: Option<Balance>) {
        let balance = balance.or(self.balance);
        self.end(ClientError::Closed);
        reply(balance.ok_or(ClientError::Closed));
    }

    /// Delivery has failed for good: fails all calls with `error`, also those to come.
    pub(super) fn handle_error(&mut self, error: CourierError) {
        self.end(ClientError::Ended(Arc::new(error)));
    }

    /// Every call is refused from now on.
    fn end(&mut self, error: ClientError) {
        for Wait { reply, .. } in std::mem::take(&mut self.waits) {
            reply(Err(error.clone()));
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
        Call::Add { reply, .. } => reply(Err(error.clone())),
        Call::Flush { reply } | Call::Total { reply } | Call::Close { reply } => {
            reply(Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    use ddes_wire::v2::{Farewell, Outcome, Reason, Scope, Status, Welcome};
    use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};

    use super::*;
    use crate::delivery::Patience;
    use crate::outbox::Outbox;

    fn open_with(values: &[i64]) -> (Delivery, CallBook, Instant) {
        let now = Instant::now();
        let patience = Patience { first: Duration::MAX, later: Duration::MAX };
        let mut delivery = Delivery::new(now, patience, Outbox::in_memory());
        let mut book = CallBook::new(Box::new(|_| {}), &delivery);
        let (reply, values) = (Box::new(|taken: Result<_, _>| taken.unwrap()), values.to_vec());
        book.handle_call(&mut delivery, Call::Add { values, reply });
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
        let (sender, answer) = channel();
        let reply = Box::new(move |balance| sender.send(balance).unwrap());
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
        let (sender, answer) = channel();
        let reply = Box::new(move |balance| sender.send(balance).unwrap());
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
}
