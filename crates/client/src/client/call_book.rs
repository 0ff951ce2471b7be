//! What callers ask of a client and are owed, whoever drives it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Balance, ClientError, Progress};
use crate::delivery::{Delivery, Event};
use crate::lost::CourierError;
use crate::outbox::{Mark, TakeError};

/// Calls that wait for room in the outbox, or for an answer; beyond them callers wait before they
/// are heard.
pub(super) const CALLS_MAX: usize = 1024;

pub(super) type Observer = Box<dyn FnMut(&Progress) + Send>;

/// Called once. Whoever waited may be gone.
pub(super) type Reply<T> = Box<dyn FnOnce(Result<T, ClientError>) + Send>;

/// A call.
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

/// Somebody who waits for the server.
struct Wait {
    /// So many integers of this client are to be counted.
    until: u64,
    reply: Reply<Balance>,
    closes: bool,
}

/// The calls of one client.
pub(super) struct CallBook {
    observer: Observer,
    /// Integers taken, those that the outbox held at the start among them.
    taken: u64,
    /// What the server said last.
    balance: Option<Balance>,
    /// Integers for which there is no room yet, in order, and whatever was asked behind them.
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

    /// Whether it can hear more.
    pub(super) fn has_room(&self) -> bool {
        self.queue.is_empty() && self.waits.len() < CALLS_MAX
    }

    /// Takes a call. Integers are in the outbox before anything else is looked at.
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
        Some(match delivery.take(std::time::Instant::now(), values, Mark::default()) {
            Ok(()) => {
                self.taken += values.len() as u64;
                Ok(())
            }
            Err(TakeError::Full) => return None,
            Err(TakeError::TooMany) => Err(ClientError::TooMany),
            Err(TakeError::Overflow) => Err(ClientError::Overflow),
            Err(TakeError::Journal(error)) => Err(error.into()),
        })
    }

    /// What happened. Calls whose integers are counted are answered; the answer to a close is given
    /// back, for the end of the session.
    pub(super) fn handle_event(
        &mut self,
        delivery: &mut Delivery,
        event: &Event,
    ) -> Option<Reply<Balance>> {
        let progress = match event {
            Event::Opened(welcome) => {
                let standing = welcome.standing;
                self.hear(
                    Balance { count: standing.last_seq.get(), sum: standing.sum },
                    Progress::Opened,
                )
            }
            Event::Counted { last_seq, sum } => {
                self.hear(Balance { count: last_seq.get(), sum: *sum }, Progress::Counted)
            }
            Event::Unavailable => Progress::Unavailable,
        };
        (self.observer)(&progress);
        self.poll_close(delivery)
    }

    fn hear(&mut self, balance: Balance, progress: fn(Balance) -> Progress) -> Progress {
        self.balance = Some(balance);
        progress(balance)
    }

    /// There is no session.
    pub(super) fn handle_lost(&mut self, progress: &Progress) {
        (self.observer)(progress);
    }

    /// Answers whoever can be answered; see [`Self::handle_event`].
    pub(super) fn poll_close(&mut self, delivery: &mut Delivery) -> Option<Reply<Balance>> {
        // Some may be counted now, and leave room.
        self.work(delivery);
        let balance = self.balance?;
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

    /// Delivery has ended.
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
