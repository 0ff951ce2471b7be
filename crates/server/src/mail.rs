//! Messages from other threads to the loop that drives the endpoint.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use mio::Waker;
use tokio::sync::oneshot;

use crate::clerk::{LedgerAnswer, LedgerQuestion};
use crate::endpoint::{ConnectionId, SessionDone, SessionView};
use crate::listen::{LiveSettings, Pulse};

/// A message of another thread to the loop.
#[derive(Debug)]
pub(crate) enum Mail {
    /// The result of a handshake's computation for this connection.
    Work(ConnectionId, SessionDone),
    /// The ledger's answers to requests, or news of its health.
    Answers(Vec<LedgerAnswer>),
    /// A call of [`ServerHandle`](crate::ServerHandle).
    Command(ServerCommand),
    /// The thread of this name has panicked, and has said so on standard error. What it was to do
    /// is never done.
    Panicked(String),
}

/// What a [`ServerHandle`](crate::ServerHandle) asks of a running server.
#[derive(Debug)]
pub(crate) enum ServerCommand {
    Stop,
    End { serial: Option<u64>, ended: oneshot::Sender<usize> },
    Sessions(oneshot::Sender<Vec<SessionView>>),
    Ledger(LedgerQuestion),
    PinTrace { serial: u64, is_pinned: bool, found: oneshot::Sender<bool> },
    Apply { settings: Box<LiveSettings>, applied: mpsc::Sender<()> },
    Pulse(oneshot::Sender<Pulse>),
}

/// Messages to the loop. Bounded, since each is the result of something that the loop or an
/// operator asked for.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pending: Mutex<PendingMail>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct PendingMail {
    mail: Vec<Mail>,
    /// The loop has ended: nothing more is kept.
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { pending: Mutex::default(), waker }
    }

    /// Whether the loop still runs and will take it. Only the first message wakes the loop, which
    /// takes all there are.
    pub(crate) fn post(&self, mail: Mail) -> bool {
        let mut pending = lock(&self.pending);
        if pending.closed {
            return false;
        }
        pending.mail.push(mail);
        let is_first = pending.mail.len() == 1;
        drop(pending);
        // An eventfd refuses only what would overflow it, and then it is set already.
        is_first.then(|| self.waker.wake()).is_none_or(|woken: io::Result<()>| woken.is_ok())
    }

    pub(crate) fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut lock(&self.pending).mail)
    }

    /// Drops all messages, now and later. Dropping a command's reply channel tells its asker that
    /// no answer comes.
    pub(crate) fn close(&self) {
        let mut pending = lock(&self.pending);
        pending.closed = true;
        pending.mail.clear();
    }
}

/// Tells the loop if the thread that holds this panics.
#[derive(Debug)]
pub(crate) struct PanicWatch {
    mailbox: Arc<Mailbox>,
}

impl PanicWatch {
    pub(crate) fn new(mailbox: &Arc<Mailbox>) -> Self {
        Self { mailbox: Arc::clone(mailbox) }
    }
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("unnamed").to_owned();
            // A loop that has ended has ended every session already.
            self.mailbox.post(Mail::Panicked(name));
        }
    }
}

/// Answers a question. Where the asker has stopped waiting, nothing is lost: the answer is its only
/// effect.
pub(crate) fn reply<T>(asker: oneshot::Sender<T>, answer: T) {
    drop(asker.send(answer));
}

/// As [`reply`], to a thread that waits.
pub(crate) fn reply_to_thread<T>(asker: &mpsc::Sender<T>, answer: T) {
    // The only error of a channel: the asker has stopped waiting.
    if let Err(mpsc::SendError(unwanted)) = asker.send(answer) {
        drop(unwanted);
    }
}

/// A poisoned lock means that a holder panicked; what these guard is valid at any point.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asker_that_has_stopped_waiting_needs_no_answer() {
        let (asker, answer) = mpsc::channel();
        reply_to_thread(&asker, 7);
        assert_eq!(answer.recv(), Ok(7));
        drop(answer);
        reply_to_thread(&asker, 8);
    }
}
