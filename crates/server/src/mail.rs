//! What other threads have for the loop that drives the endpoint.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ddes_ledger::Totals;
use mio::Waker;
use tokio::sync::oneshot;

use crate::clerk::Answer;
use crate::endpoint::{ConnectionId, Done, SessionView};

/// One thing to look at.
#[derive(Debug)]
pub(crate) enum Mail {
    /// An exponentiation is done.
    Work(ConnectionId, Done),
    /// The ledger's answers.
    Answers(Vec<Answer>),
    /// A person's word.
    Command(Command),
    /// A thread of this name has panicked, and has said so on standard error: what waits for it
    /// waits for ever.
    Panicked(String),
}

/// What a person may want of a running server.
#[derive(Debug)]
pub(crate) enum Command {
    Stop,
    End { serial: Option<u64>, ended: oneshot::Sender<usize> },
    Sessions(oneshot::Sender<Vec<SessionView>>),
    Totals(oneshot::Sender<Totals>),
}

/// The loop's letter box. Bounded by what it answers: each entry is the result of something that
/// the loop, or a person, asked for.
#[derive(Debug)]
pub(crate) struct Mailbox {
    letters: Mutex<Letters>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Letters {
    waiting: Vec<Mail>,
    /// Nobody reads them any more.
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { letters: Mutex::default(), waker }
    }

    /// Whether it will be looked at. The loop is woken only by the first letter: it takes all there
    /// are.
    pub(crate) fn post(&self, mail: Mail) -> bool {
        let mut letters = lock(&self.letters);
        if letters.closed {
            return false;
        }
        letters.waiting.push(mail);
        let is_first = letters.waiting.len() == 1;
        drop(letters);
        // An eventfd refuses only what would overflow it, and then it is set already.
        is_first.then(|| self.waker.wake()).is_none_or(|woken: io::Result<()>| woken.is_ok())
    }

    pub(crate) fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut lock(&self.letters).waiting)
    }

    /// Drops what is there and what comes: who waits for an answer hears that there is none.
    pub(crate) fn close(&self) {
        let mut letters = lock(&self.letters);
        letters.closed = true;
        letters.waiting.clear();
    }
}

/// Tells the loop if the thread that holds this panics.
#[derive(Debug)]
pub(crate) struct Watched {
    mailbox: Arc<Mailbox>,
}

impl Watched {
    pub(crate) fn new(mailbox: &Arc<Mailbox>) -> Self {
        Self { mailbox: Arc::clone(mailbox) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("unnamed").to_owned();
            // A loop that is gone has ended everything already.
            self.mailbox.post(Mail::Panicked(name));
        }
    }
}

/// Answers a question. Where the asker has stopped waiting, nothing is lost: the answer is its only
/// effect.
pub(crate) fn reply<T>(asker: oneshot::Sender<T>, answer: T) {
    drop(asker.send(answer));
}

/// A poisoned lock means that a holder panicked; what these guard is valid at any point.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
