//! A client's delivery that outlives the client: what its outbox was told, and how much of that had
//! been made durable.
//!
//! The rules are those of `ddes_client::delivery`. The outbox's own file is not run here: an outbox
//! in memory is told again what a crash left of its log. Values and states are synced before they
//! are used, a confirmation is not (`ddes_client::outbox`, whose own tests cut its file at every
//! byte).

use std::time::{Duration, Instant};

use ddes_client::delivery::{Delivery, DeliveryError, NextAttempt, Patience};
use ddes_client::outbox::{InputMark, Objection, Outbox, TakeError};
use ddes_wire::v2::{Farewell, Outcome, Welcome};
use ddes_wire::{Sequence, Total};

use crate::random::Random;

/// A simulated client never gives up of itself.
const PATIENCE: Patience = Patience { first: FOR_EVER, later: FOR_EVER };
const FOR_EVER: Duration = Duration::from_secs(1 << 32);

#[derive(Clone, Debug)]
enum Entry {
    Take(Vec<i64>),
    Admit(Box<Welcome>),
    Confirm(Sequence, Total),
    Ended,
}

/// An outbox as it was once: its memory, and what it had on disk.
#[derive(Clone, Debug)]
pub(crate) struct Copy(Vec<Entry>);

#[derive(Debug)]
pub(crate) struct DurableDelivery {
    delivery: Delivery,
    log: Vec<Entry>,
    /// The number of entries that are durable.
    synced: usize,
}

impl DurableDelivery {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            delivery: Delivery::new(now, PATIENCE, Outbox::in_memory()),
            log: Vec::new(),
            synced: 0,
        }
    }

    /// What needs no log: connections, submissions, pauses, events.
    pub(crate) fn get(&mut self) -> &mut Delivery {
        &mut self.delivery
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        self.delivery.outbox()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.delivery.poll_timeout()
    }

    /// The highest number given out.
    pub(crate) fn highest(&self) -> u64 {
        self.outbox().confirmed().get() + self.outbox().pending() as u64
    }

    pub(crate) fn take(&mut self, now: Instant, values: Vec<i64>) -> Result<(), TakeError> {
        self.delivery.take(now, &values, InputMark::default())?;
        self.note(Entry::Take(values), true);
        Ok(())
    }

    pub(crate) fn handle_welcome(&mut self, welcome: &Welcome) -> Result<(), DeliveryError> {
        let standing = welcome.standing;
        if self.outbox().is_new() && standing.last_seq != Sequence::NONE {
            // In memory it would adopt the history, and this one is durable.
            return Err(
                Objection::History { last_seq: standing.last_seq, sum: standing.sum }.into()
            );
        }
        let handled = self.delivery.handle_welcome(welcome);
        self.note_or_end(handled.is_ok(), Entry::Admit(Box::new(welcome.clone())), true);
        handled
    }

    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &Outcome,
    ) -> Result<(), DeliveryError> {
        let handled = self.delivery.handle_answer(now, answer);
        self.note_or_end(handled.is_ok(), Entry::Confirm(answer.last_seq, answer.sum), false);
        handled
    }

    pub(crate) fn handle_end(
        &mut self,
        now: Instant,
        random: &mut Random,
        said: Option<&Farewell>,
    ) -> Result<NextAttempt, DeliveryError> {
        let was_open = self.delivery.is_open();
        let handled = self.delivery.handle_end(now, random.u64(), said, false);
        if let Some(farewell) = said.filter(|_| was_open && handled.is_ok()) {
            self.note(Entry::Confirm(farewell.last_seq, farewell.sum), false);
        }
        self.note(Entry::Ended, false);
        handled
    }

    pub(crate) fn copy(&self) -> Copy {
        Copy(self.log.clone())
    }

    /// Everything is as it was, memory and disk: where a session was open, the outbox takes
    /// `values` as if it still were. It connects at `at`.
    pub(crate) fn restore(
        &mut self,
        copy: Copy,
        values: &[i64],
        at: Instant,
    ) -> Result<(), TakeError> {
        self.log = copy.0;
        self.synced = self.log.len();
        self.replay(at);
        if !values.is_empty() {
            self.take(at, values.to_vec())?;
        }
        self.begin_again(at);
        Ok(())
    }

    /// The client dies, perhaps while it takes `values`. It begins again at `at`.
    pub(crate) fn crash(&mut self, random: &mut Random, values: Option<Vec<i64>>, at: Instant) {
        // The kernel writes in order, or not at all: a record torn or missing ends the file.
        let kept = random.count(self.synced, self.log.len());
        if let Some(values) = values.filter(|_| kept == self.log.len() && random.one_in(2)) {
            self.log.push(Entry::Take(values));
        } else {
            self.log.truncate(kept);
        }
        self.synced = self.log.len();
        self.begin_again(at);
    }

    fn note(&mut self, entry: Entry, is_synced: bool) {
        self.log.push(entry);
        if is_synced {
            self.synced = self.log.len();
        }
    }

    /// After an objection the outbox knows only that its session is over.
    fn note_or_end(&mut self, is_ok: bool, entry: Entry, is_synced: bool) {
        if is_ok {
            self.note(entry, is_synced);
        } else {
            self.note(Entry::Ended, false);
        }
    }

    /// The process begins anew: no session of it is open.
    fn begin_again(&mut self, at: Instant) {
        self.note(Entry::Ended, false);
        self.replay(at);
    }

    fn replay(&mut self, at: Instant) {
        let mut outbox = Outbox::in_memory();
        for entry in &self.log {
            // Each result is the same as at the first time, when it was handled.
            match entry {
                Entry::Take(values) => outbox.take(values, InputMark::default()).unwrap_or(()),
                Entry::Admit(welcome) => drop(outbox.admit(welcome, false, None)),
                Entry::Confirm(last_seq, sum) => drop(outbox.confirm(*last_seq, *sum)),
                Entry::Ended => outbox.session_ended(),
            }
        }
        self.delivery = Delivery::new(at, PATIENCE, outbox);
    }
}
