//! The ledger's keeper.
//!
//! A ledger in a folder has a clerk, a thread that commits whatever queued while it worked: one
//! batch, one sync, then all answers. The loop commits by itself what is alone and finds the ledger
//! free: it would only wait for the clerk, and two threads waking each other cost more than the
//! sync. A ledger in memory needs no clerk.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ddes_ledger::{Health, Ledger, Operation, OperationOutcome, Timestamp, Totals, store};
use ddes_session::Ticket;
use tokio::sync::oneshot;

use crate::endpoint::{ConnectionId, Request};
use crate::mail::{Mail, Mailbox, Watched, lock};

/// After a pause of this length the ledger makes its newest batch known as durable.
const REST: Duration = Duration::from_millis(5);
/// Values of one batch; what queued beyond them is the next.
const BATCH_VALUES_MAX: usize = 16_384;

/// What the ledger has to say.
#[derive(Debug)]
pub(crate) enum Answer {
    /// To a [`Request`].
    Done { connection: ConnectionId, ticket: Ticket, outcome: OperationOutcome },
    /// So many values are off the queue.
    Values(usize),
    /// The ledger can be written again, or no more.
    Health(Health),
    /// A checkpoint could not be made; the journal is none the worse for it.
    Checkpoint(io::Error),
}

/// The ledger, as the loop has it.
#[derive(Debug)]
pub(crate) enum Books {
    /// In memory.
    Memory(Box<Ledger>),
    /// In a folder.
    Folder(Clerk),
}

#[derive(Debug)]
pub(crate) struct Clerk {
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
    /// The loop committed something itself, and will use the pause after it.
    rest_at: Option<Instant>,
}

/// What the loop and the clerk share. Whoever takes requests holds the ledger: so they are
/// committed in the order in which they came.
#[derive(Debug)]
struct Desk {
    keeper: Mutex<Keeper>,
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    mailbox: Arc<Mailbox>,
}

/// Bounded by the endpoint: so many values in all, and for each session an opening and an end.
#[derive(Debug, Default)]
struct Inbox {
    requests: Vec<Request>,
    checkpoints: Vec<store::CheckpointDone>,
    questions: Vec<oneshot::Sender<Totals>>,
    closed: bool,
}

/// The ledger and what was last said of it.
#[derive(Debug)]
struct Keeper {
    ledger: Ledger,
    health: Health,
    checkpoint: Option<JoinHandle<()>>,
}

impl Books {
    pub(crate) fn open(ledger: Ledger, mailbox: Arc<Mailbox>) -> io::Result<Self> {
        if ledger.head().is_none() {
            return Ok(Self::Memory(Box::new(ledger)));
        }
        let keeper = Mutex::new(Keeper { ledger, health: Health::Good, checkpoint: None });
        let desk =
            Arc::new(Desk { keeper, inbox: Mutex::default(), arrived: Condvar::new(), mailbox });
        let thread = std::thread::Builder::new().name("clerk".into()).spawn({
            let desk = Arc::clone(&desk);
            move || {
                let watched = Watched::new(&desk.mailbox);
                serve(&desk);
                drop(watched);
            }
        })?;
        Ok(Self::Folder(Clerk { desk, thread, rest_at: None }))
    }

    /// Commits now or later; the answers that are there already.
    pub(crate) fn submit(&mut self, requests: Vec<Request>) -> Vec<Answer> {
        match self {
            Self::Memory(ledger) => commit(ledger, requests),
            Self::Folder(clerk) => clerk.submit(requests),
        }
    }

    /// Totals over all accounts will be told.
    pub(crate) fn ask(&self, question: oneshot::Sender<Totals>) {
        match self {
            // Who asked may be gone.
            Self::Memory(ledger) => question.send(ledger.totals()).unwrap_or(()),
            Self::Folder(clerk) => {
                lock(&clerk.desk.inbox).questions.push(question);
                clerk.desk.arrived.notify_one();
            }
        }
    }

    /// When to call [`Self::ring`].
    pub(crate) fn rest_at(&self) -> Option<Instant> {
        match self {
            Self::Memory(_) => None,
            Self::Folder(clerk) => clerk.rest_at,
        }
    }

    /// Uses a pause, if it is one.
    pub(crate) fn ring(&mut self, now: Instant) -> Vec<Answer> {
        match self {
            Self::Folder(clerk) if clerk.rest_at.is_some_and(|at| at <= now) => {
                clerk.rest_at = None;
                // The clerk uses its own pauses.
                let Ok(mut keeper) = clerk.desk.keeper.try_lock() else { return Vec::new() };
                if keeper.ledger.rest() {
                    clerk.rest_at = Some(now + REST);
                }
                keeper.look(&clerk.desk)
            }
            Self::Memory(_) | Self::Folder(_) => Vec::new(),
        }
    }

    /// Commits what is queued, then stops; whether without a panic.
    pub(crate) fn stop(self) -> bool {
        let Self::Folder(clerk) = self else { return true };
        lock(&clerk.desk.inbox).closed = true;
        clerk.desk.arrived.notify_one();
        clerk.thread.join().is_ok()
    }
}

impl Clerk {
    fn submit(&mut self, requests: Vec<Request>) -> Vec<Answer> {
        if requests.len() == 1
            && let Ok(mut keeper) = self.desk.keeper.try_lock()
            && lock(&self.desk.inbox).requests.is_empty()
        {
            let mut answers = commit(&mut keeper.ledger, requests);
            answers.extend(keeper.look(&self.desk));
            self.rest_at = Some(Instant::now() + REST);
            return answers;
        }
        lock(&self.desk.inbox).requests.extend(requests);
        self.desk.arrived.notify_one();
        // The pause after these is the clerk's.
        self.rest_at = None;
        Vec::new()
    }
}

impl Desk {
    /// Waits until there is something to do, or a pause is over.
    fn wait(&self, pause: Option<Duration>) {
        let mut inbox = lock(&self.inbox);
        while inbox.is_empty() && !inbox.closed {
            match pause {
                None => inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => {
                    let waited = self
                        .arrived
                        .wait_timeout(inbox, pause)
                        .unwrap_or_else(PoisonError::into_inner);
                    if waited.1.timed_out() {
                        return;
                    }
                    inbox = waited.0;
                }
            }
        }
    }

    fn take(&self) -> Inbox {
        let mut inbox = lock(&self.inbox);
        let closed = inbox.closed;
        std::mem::replace(&mut *inbox, Inbox { closed, ..Inbox::default() })
    }
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.checkpoints.is_empty() && self.questions.is_empty()
    }
}

impl Keeper {
    /// What there is to do and to say after a commit.
    fn look(&mut self, desk: &Arc<Desk>) -> Vec<Answer> {
        if let Some(work) = self.ledger.poll_work() {
            self.checkpoint = run(desk, work);
        }
        let mut answers: Vec<_> =
            self.ledger.poll_fault().map(Answer::Checkpoint).into_iter().collect();
        let health = self.ledger.health();
        if health != self.health {
            self.health = health.clone();
            answers.push(Answer::Health(health));
        }
        answers
    }
}

fn serve(desk: &Arc<Desk>) {
    // A pause is of use once something was committed.
    let mut pause = None;
    loop {
        desk.wait(pause);
        let mut keeper = lock(&desk.keeper);
        let Inbox { requests, checkpoints, questions, closed } = desk.take();
        let is_idle = requests.is_empty() && checkpoints.is_empty() && questions.is_empty();
        pause = if is_idle { keeper.ledger.rest().then_some(REST) } else { Some(REST) };
        let mut answers = Vec::new();
        for done in checkpoints {
            answers.extend(keeper.ledger.handle_done(done).err().map(Answer::Checkpoint));
        }
        for question in questions {
            question.send(keeper.ledger.totals()).unwrap_or(());
        }
        let mut requests = requests;
        while !requests.is_empty() {
            let later = requests.split_off(one_batch(&requests));
            answers.extend(commit(&mut keeper.ledger, std::mem::replace(&mut requests, later)));
            desk.mailbox.post(Mail::Answers(std::mem::take(&mut answers)));
        }
        answers.extend(keeper.look(desk));
        if !answers.is_empty() {
            desk.mailbox.post(Mail::Answers(answers));
        }
        if closed && is_idle {
            // A checkpoint that is being synced is worth the wait: it is shorter than the next
            // opening without it.
            let checkpoint = keeper.checkpoint.take();
            drop(keeper);
            drop(checkpoint.map(JoinHandle::join));
            finish(desk);
            return;
        }
    }
}

/// Names the checkpoint that was being synced at the end: the next opening need not hold it against
/// the journal. What it replaces is left to the next one.
fn finish(desk: &Desk) {
    let mut keeper = lock(&desk.keeper);
    for done in desk.take().checkpoints {
        // It failed at the end: nobody listens any more.
        drop(keeper.ledger.handle_done(done));
    }
    keeper.ledger.rest();
}

/// Runs a checkpoint's last part beside the commits; where there is no thread for it, at once.
fn run(desk: &Arc<Desk>, work: store::CheckpointWork) -> Option<JoinHandle<()>> {
    let work = Arc::new(Mutex::new(Some(work)));
    let run = {
        let there = Arc::clone(desk);
        move || {
            let watched = Watched::new(&there.mailbox);
            let work = lock(&work).take();
            if let Some(work) = work {
                let done = work.run();
                lock(&there.inbox).checkpoints.push(done);
                there.arrived.notify_one();
            }
            drop(watched);
        }
    };
    let spawned = std::thread::Builder::new().name("checkpoint".into()).spawn(run.clone());
    spawned.map_err(|_| run()).ok()
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
    let done = |(to, outcome): (Option<_>, _)| {
        to.map(|(connection, ticket)| Answer::Done { connection, ticket, outcome })
    };
    to.into_iter().zip(outcomes).filter_map(done).chain([Answer::Values(values)]).collect()
}

/// A clock before 1970 shows as 1970: times are evidence, not order.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use ddes_ledger::AccountId;
    use ddes_ledger::store::{Disk, DiskFile, Folder, StoreOptions};
    use mio::{Poll, Token, Waker};

    use super::*;

    /// A folder whose files panic where they are synced, once that is switched on.
    #[derive(Debug)]
    struct Trap {
        folder: Folder,
        armed: Arc<AtomicBool>,
    }

    #[derive(Debug)]
    struct TrapFile {
        file: Box<dyn DiskFile>,
        armed: Arc<AtomicBool>,
    }

    impl Trap {
        fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
            Box::new(TrapFile { file, armed: Arc::clone(&self.armed) })
        }
    }

    impl Disk for Trap {
        fn list(&self) -> io::Result<Vec<String>> {
            self.folder.list()
        }

        fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
            self.folder.open(name).map(|file| self.file(file))
        }

        fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
            self.folder.claim(name).map(|file| self.file(file))
        }

        fn stands(&self) -> io::Result<()> {
            self.folder.stands()
        }

        fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
            self.folder.create(name, zeros).map(|file| self.file(file))
        }

        fn publish(&self, from: &str, to: &str) -> io::Result<()> {
            self.folder.publish(from, to)
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            self.folder.remove(name)
        }

        fn prepare(&self, name: &str, zeros: u64) {
            self.folder.prepare(name, zeros);
        }
    }

    impl DiskFile for TrapFile {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            self.file.read_at(offset, bytes)
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.file.write_at(offset, bytes)
        }

        fn sync(&self) -> io::Result<()> {
            assert!(!self.armed.load(Ordering::Relaxed), "injected");
            self.file.sync()
        }
    }

    #[test]
    fn a_panic_of_the_clerk_is_told_and_nobody_waits_for_it() {
        let path = std::env::temp_dir().join(format!("ddes-clerk-{}", std::process::id()));
        let folder = Folder::lock(&path).unwrap().unwrap();
        let armed = Arc::new(AtomicBool::new(false));
        let disk = Arc::new(Trap { folder, armed: Arc::clone(&armed) });
        let (ledger, _) = Ledger::open(disk, StoreOptions::default(), [7; 16]).unwrap();
        let mut poll = Poll::new().unwrap();
        let mailbox = Arc::new(Mailbox::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let mut books = Books::open(ledger, Arc::clone(&mailbox)).unwrap();
        armed.store(true, Ordering::Relaxed);
        // Two go to the clerk; one the loop would do itself.
        let open =
            |number| Request { to: None, operation: Operation::Open(AccountId::Classic(number)) };
        assert!(books.submit(vec![open(0), open(1)]).is_empty());
        let mut events = mio::Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
        assert!(matches!(&mailbox.take()[..], [Mail::Panicked(name)] if name == "clerk"));
        // The ledger is locked by nobody's fault of the loop: it asks, and does not wait.
        assert!(books.submit(vec![open(2)]).is_empty());
        assert!(!books.stop());
        std::fs::remove_dir_all(path).unwrap();
    }

    /// The order in which requests came is that in which they are committed, whoever commits them.
    #[test]
    fn the_loop_commits_nothing_before_what_is_queued() {
        let path = std::env::temp_dir().join(format!("ddes-clerk-order-{}", std::process::id()));
        let folder = Folder::lock(&path).unwrap().unwrap();
        let (ledger, _) = Ledger::open(Arc::new(folder), StoreOptions::default(), [7; 16]).unwrap();
        let poll = Poll::new().unwrap();
        let mailbox = Arc::new(Mailbox::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let keeper = Mutex::new(Keeper { ledger, health: Health::Good, checkpoint: None });
        let desk =
            Arc::new(Desk { keeper, inbox: Mutex::default(), arrived: Condvar::new(), mailbox });
        // A clerk that has not come to it yet.
        let mut clerk =
            Clerk { desk: Arc::clone(&desk), thread: std::thread::spawn(|| {}), rest_at: None };
        let open =
            |number| Request { to: None, operation: Operation::Open(AccountId::Classic(number)) };
        let is_done = |answers: &[Answer]| matches!(answers, [Answer::Values(0)]);
        assert!(is_done(&clerk.submit(vec![open(0)])));
        assert!(clerk.submit(vec![open(1), open(2)]).is_empty());
        assert!(clerk.submit(vec![open(3)]).is_empty());
        let queued = desk.take().requests;
        let numbers: Vec<_> =
            queued.iter().map(|request| format!("{:?}", request.operation)).collect();
        assert_eq!(numbers, [1, 2, 3].map(|number| format!("{:?}", open(number).operation)));
        // The queue is empty again.
        assert!(is_done(&clerk.submit(vec![open(4)])));
        clerk.thread.join().unwrap();
        drop(desk);
        std::fs::remove_dir_all(path).unwrap();
    }
}
