//! The clerk: the one thread that owns the ledger.
//!
//! Whatever queued while it worked is its next batch: one commit, then all answers at once.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ddes_ledger::{AccountId, Ledger, Opening, Submission, Verdict};
use ddes_session::Ticket;
use ddes_wire::OverflowError;
use tokio::sync::Notify;

use crate::endpoint::{ConnectionId, Request};

/// The ledger's answer to one request.
pub(crate) enum Answer {
    /// To a [`Request::Open`] with a ticket.
    Opened {
        connection: ConnectionId,
        ticket: Ticket,
        account: AccountId,
        opening: Result<Opening, OverflowError>,
    },
    /// To a [`Request::Add`].
    Decided { connection: ConnectionId, ticket: Ticket, verdict: Verdict },
}

/// Where requests and answers lie. Both are bounded by the sessions: each has a bounded number of
/// submissions under way, and an opening and a dropping of its account.
#[derive(Default)]
pub(crate) struct Desk {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    answers: Mutex<Vec<Answer>>,
    answered: Notify,
}

#[derive(Default)]
struct Inbox {
    requests: Vec<Request>,
    closed: bool,
}

pub(crate) struct Clerk {
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

impl Clerk {
    pub(crate) fn start(ledger: Ledger) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let thread = std::thread::Builder::new().name("clerk".into()).spawn({
            let desk = Arc::clone(&desk);
            move || serve(&desk, ledger)
        })?;
        Ok(Self { desk, thread })
    }

    pub(crate) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Answers what is queued, then stops.
    pub(crate) fn stop(self) {
        lock(&self.desk.inbox).closed = true;
        self.desk.arrived.notify_one();
        if self.thread.join().is_err() {
            // The thread's own message is on standard error already.
        }
    }
}

impl Desk {
    pub(crate) fn submit(&self, requests: impl Iterator<Item = Request>) {
        let mut inbox = lock(&self.inbox);
        let before = inbox.requests.len();
        inbox.requests.extend(requests);
        if inbox.requests.len() > before {
            self.arrived.notify_one();
        }
    }

    /// Waits for answers and takes all there are.
    pub(crate) async fn answers(&self) -> Vec<Answer> {
        loop {
            let answers = std::mem::take(&mut *lock(&self.answers));
            if !answers.is_empty() {
                return answers;
            }
            self.answered.notified().await;
        }
    }
}

fn serve(desk: &Desk, mut ledger: Ledger) {
    loop {
        let mut inbox = lock(&desk.inbox);
        while inbox.requests.is_empty() && !inbox.closed {
            inbox = desk.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        let requests = std::mem::take(&mut inbox.requests);
        drop(inbox);
        if requests.is_empty() {
            return;
        }
        let answers = commit(&mut ledger, requests);
        if !answers.is_empty() {
            lock(&desk.answers).extend(answers);
            desk.answered.notify_one();
        }
    }
}

/// Openings and droppings take effect around one commit of all that is added: an account is
/// opened before its first value and dropped after its last. Where a session is superseded in the
/// same batch, what it added is refused, and its client goes by the next 20.
fn commit(ledger: &mut Ledger, requests: Vec<Request>) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut waiting = Vec::new();
    let mut batch: Vec<Submission> = Vec::new();
    let mut dropped = Vec::new();
    for request in requests {
        match request {
            Request::Open { connection, ticket, account } => {
                let opening = ledger.open_session(account);
                if let Some(ticket) = ticket {
                    answers.push(Answer::Opened { connection, ticket, account, opening });
                }
            }
            Request::Add { connection, ticket, submission } => {
                waiting.push((connection, ticket));
                batch.push(submission);
            }
            Request::Forget(account) => dropped.push(account),
        }
    }
    let verdicts = ledger.commit(&batch);
    for account in dropped {
        ledger.forget(&account);
    }
    let answer = |((connection, ticket), verdict)| Answer::Decided { connection, ticket, verdict };
    answers.extend(waiting.into_iter().zip(verdicts).map(answer));
    answers
}

/// A poisoned lock means that a holder panicked; what it guards are plain queues, valid at any
/// point.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
