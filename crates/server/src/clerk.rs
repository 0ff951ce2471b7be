//! The clerk: the one thread that owns the ledger.
//!
//! Whatever queued while it worked is its next batch: one commit, then all answers at once.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ddes_ledger::{Health, Ledger, Operation, Outcome, Timestamp, Totals, store};
use ddes_session::Ticket;
use tokio::sync::{Notify, oneshot};

use crate::endpoint::{ConnectionId, Request};

/// After a pause of this length the ledger makes its newest batch known as durable.
const REST: Duration = Duration::from_millis(5);
/// Values of one batch; what queued beyond them is the next.
const BATCH_VALUES_MAX: usize = 16_384;

/// What the clerk has to say.
pub(crate) enum Answer {
    /// To a [`Request`].
    Done { to: Option<(ConnectionId, Ticket)>, outcome: Outcome },
    /// So many values are off the queue.
    Values(usize),
    /// The ledger can be written again, or no more.
    Health(Health),
    /// A checkpoint could not be made; the journal is none the worse for it.
    Checkpoint(io::Error),
}

/// Where requests and answers lie. Both are bounded by the endpoint: so many values in all, and for each session an opening and an end.
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
    checkpoints: Vec<store::Done>,
    questions: Vec<oneshot::Sender<Totals>>,
    closed: bool,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.checkpoints.is_empty() && self.questions.is_empty()
    }
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

    /// Totals over all accounts will be told.
    pub(crate) fn ask(&self, question: oneshot::Sender<Totals>) {
        lock(&self.inbox).questions.push(question);
        self.arrived.notify_one();
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

    fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.answers).extend(answers);
        self.answered.notify_one();
    }

    /// Waits for something to do; nothing, if a pause came first or the desk is closed.
    fn next(&self, pause: Option<Duration>) -> Inbox {
        let mut inbox = lock(&self.inbox);
        while inbox.is_empty() && !inbox.closed {
            match pause {
                None => inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => {
                    let waited = self.arrived.wait_timeout(inbox, pause);
                    let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    inbox = woken;
                    if timeout.timed_out() {
                        break;
                    }
                }
            }
        }
        let closed = inbox.closed;
        std::mem::replace(&mut *inbox, Inbox { closed, ..Inbox::default() })
    }
}

fn serve(desk: &Arc<Desk>, mut ledger: Ledger) {
    let mut health = Health::Good;
    let mut checkpoint = None;
    // A pause is of use once something was committed.
    let mut pause = None;
    loop {
        let inbox = desk.next(pause);
        if inbox.is_empty() {
            pause = ledger.rest().then_some(REST);
        } else {
            pause = Some(REST);
        }
        let is_last = inbox.is_empty() && inbox.closed;
        for done in inbox.checkpoints {
            if let Err(error) = ledger.handle_done(done) {
                desk.answer([Answer::Checkpoint(error)]);
            }
        }
        for question in inbox.questions {
            // Who asked may be gone.
            question.send(ledger.totals()).unwrap_or(());
        }
        let mut requests = inbox.requests;
        while !requests.is_empty() {
            let later = requests.split_off(one_batch(&requests));
            desk.answer(commit(&mut ledger, std::mem::replace(&mut requests, later)));
        }
        if ledger.health() != health {
            health = ledger.health();
            desk.answer([Answer::Health(health.clone())]);
        }
        if let Some(work) = ledger.poll_work() {
            checkpoint = run(desk, work);
        }
        if is_last {
            break;
        }
    }
    // The newest batch is known as durable. A checkpoint that is being synced is worth the wait: it is shorter than the next opening without it.
    ledger.rest();
    drop(checkpoint.map(JoinHandle::join));
}

/// Runs a checkpoint's last part beside the commits; where there is no thread for it, at once.
fn run(desk: &Arc<Desk>, work: store::Work) -> Option<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("checkpoint".into());
    let there = Arc::clone(desk);
    let spawned = thread.spawn(move || {
        let done = work.run();
        lock(&there.inbox).checkpoints.push(done);
        there.arrived.notify_one();
    });
    spawned.ok()
}

/// How many requests make a batch.
fn one_batch(requests: &[Request]) -> usize {
    let mut values = 0;
    let full = requests.iter().position(|request| {
        values += values_in(request);
        values > BATCH_VALUES_MAX
    });
    // At least one, however large.
    full.map_or(requests.len(), |count| count.max(1))
}

fn values_in(request: &Request) -> usize {
    match &request.operation {
        Operation::Add(submission) => submission.amounts.len(),
        Operation::Open(_) | Operation::End(_) => 0,
    }
}

fn commit(ledger: &mut Ledger, requests: Vec<Request>) -> Vec<Answer> {
    let values = requests.iter().map(values_in).sum();
    let (to, operations): (Vec<_>, Vec<_>) =
        requests.into_iter().map(|Request { to, operation }| (to, operation)).unzip();
    let outcomes = ledger.commit(now(), &operations);
    let answers = to.into_iter().zip(outcomes).map(|(to, outcome)| Answer::Done { to, outcome });
    answers.chain([Answer::Values(values)]).collect()
}

/// A clock before 1970 shows as 1970: times are evidence, not order.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A poisoned lock means that a holder panicked; what it guards are plain queues, valid at any
/// point.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
