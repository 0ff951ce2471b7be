//! A client's outbox that outlives the client: what it was told, and how much of that had been made durable.
//!
//! The outbox's own file is not run here: an outbox in memory is told again what a crash left of its log. Values and states are synced before they
//! are used, a confirmation is not (`ddes_client::outbox`, whose own tests cut its file at every byte).

use ddes_client::outbox::{JournalError, Mark, Objection, Outbox, TakeError};
use ddes_wire::v2::Welcome;
use ddes_wire::{Sequence, Total};

use crate::random::Random;

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
pub(crate) struct DurableOutbox {
    outbox: Outbox,
    log: Vec<Entry>,
    /// So many entries are durable.
    synced: usize,
}

impl DurableOutbox {
    pub(crate) fn new() -> Self {
        Self { outbox: Outbox::in_memory(), log: Vec::new(), synced: 0 }
    }

    pub(crate) fn get(&self) -> &Outbox {
        &self.outbox
    }

    /// The highest number given out.
    pub(crate) fn highest(&self) -> u64 {
        self.outbox.confirmed().get() + self.outbox.pending() as u64
    }

    pub(crate) fn take(&mut self, values: Vec<i64>) -> Result<(), TakeError> {
        self.outbox.take(&values, Mark::default())?;
        self.note(Entry::Take(values), true);
        Ok(())
    }

    pub(crate) fn admit(&mut self, welcome: &Welcome) -> Result<Result<(), Objection>, JournalError> {
        let standing = welcome.standing;
        if self.outbox.is_new() && standing.last_seq != Sequence::NONE {
            // In memory it would adopt the history, and this one is durable.
            return Ok(Err(Objection::History { last_seq: standing.last_seq, sum: standing.sum }));
        }
        let admitted = self.outbox.admit(welcome, false)?;
        if admitted.is_ok() {
            self.note(Entry::Admit(Box::new(welcome.clone())), true);
        }
        Ok(admitted)
    }

    pub(crate) fn confirm(
        &mut self,
        last_seq: Sequence,
        sum: Total,
    ) -> Result<Result<(), Objection>, JournalError> {
        let confirmed = self.outbox.confirm(last_seq, sum)?;
        if confirmed.is_ok() {
            self.note(Entry::Confirm(last_seq, sum), false);
        }
        Ok(confirmed)
    }

    pub(crate) fn session_ended(&mut self) {
        self.note(Entry::Ended, false);
        self.outbox.session_ended();
    }

    pub(crate) fn copy(&self) -> Copy {
        Copy(self.log.clone())
    }

    /// Everything is as it was, memory and disk: where a session was open, the outbox goes on as if it still were, until it hears.
    pub(crate) fn restore(&mut self, copy: Copy) {
        self.log = copy.0;
        self.synced = self.log.len();
        self.replay();
    }

    fn note(&mut self, entry: Entry, is_synced: bool) {
        self.log.push(entry);
        if is_synced {
            self.synced = self.log.len();
        }
    }

    /// The client dies, perhaps while it takes `values`.
    pub(crate) fn crash(&mut self, random: &mut Random, values: Option<Vec<i64>>) {
        // The kernel writes in order, or not at all: a record torn or missing ends the file.
        let kept = random.count(self.synced, self.log.len());
        if let Some(values) = values.filter(|_| kept == self.log.len() && random.one_in(2)) {
            self.log.push(Entry::Take(values));
        } else {
            self.log.truncate(kept);
        }
        self.synced = self.log.len();
        self.replay();
        self.session_ended();
    }

    fn replay(&mut self) {
        self.outbox = Outbox::in_memory();
        for entry in &self.log {
            // They were taken once, and are again.
            match entry {
                Entry::Take(values) => self.outbox.take(values, Mark::default()).unwrap_or(()),
                Entry::Admit(welcome) => drop(self.outbox.admit(welcome, false)),
                Entry::Confirm(last_seq, sum) => drop(self.outbox.confirm(*last_seq, *sum)),
                Entry::Ended => self.outbox.session_ended(),
            }
        }
    }
}
