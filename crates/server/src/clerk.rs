//! The clerk: the thread that owns the ledger in a folder.
//!
//! The clerk commits all requests that queued while it worked: one batch, one sync, then all
//! answers. A single request that finds the ledger unlocked is committed by the loop itself: it
//! would only wait for the clerk, and two threads waking each other cost more than the sync. A
//! ledger in memory needs no clerk.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ddes_ledger::keeper::KeeperCounts;
use ddes_ledger::store::{Batch, Chain};
use ddes_ledger::{
    Account, AccountId, AccountSlice, Health, Ledger, Operation, OperationOutcome, Timestamp,
    Totals, store,
};
use ddes_session::Ticket;
use ddes_wire::saturating;
use tokio::sync::oneshot;

use crate::books::{KeeperBooks, ServerBooks};
use crate::endpoint::{ConnectionId, Request};
use crate::mail::{Mail, Mailbox, PanicWatch, lock, reply};

/// After a pause of this length the ledger records that its newest batch is durable.
const PAUSE: Duration = Duration::from_millis(5);
/// The most values in one batch. Further requests form the next batch.
const BATCH_VALUES_MAX: usize = 16_384;
/// The most accounts in the answer to one question, which takes some 0.2 ms.
pub(crate) const ACCOUNTS_MAX: usize = 4096;

/// A message of the ledger to the loop.
#[derive(Debug)]
pub(crate) enum LedgerAnswer {
    /// The outcome of a [`Request`] that a connection waits for.
    Done { connection: ConnectionId, ticket: Ticket, outcome: OperationOutcome },
    /// A batch is decided: this many queued values are committed or refused.
    Batch {
        values: usize,
        /// How long the ledger took for it; `None` if nobody wants to know.
        took: Option<Duration>,
    },
    /// The ledger became writable again, or failed.
    Health(Health),
    /// A checkpoint failed. The journal is not affected.
    Checkpoint(io::Error),
}

/// A question of another thread to the ledger, with the way to answer it.
#[derive(Debug)]
pub(crate) enum LedgerQuestion {
    Totals(oneshot::Sender<Totals>),
    View(oneshot::Sender<LedgerView>),
    Account(AccountId, oneshot::Sender<Option<Account>>),
    Accounts { from: u64, slice: oneshot::Sender<AccountSlice> },
}

/// The ledger, as an operator sees it.
#[derive(Clone, Debug)]
pub struct LedgerView {
    /// Whether it can be written.
    pub health: Health,
    /// The newest batch and its chain value; `None` for a ledger in memory.
    pub head: Option<(Batch, Chain)>,
    /// The batch of the newest durable checkpoint.
    pub checkpoint: Option<Batch>,
    /// The number of accounts, without classic ones that ended.
    pub accounts: u64,
}

/// The ledger, as the loop accesses it.
#[derive(Debug)]
pub(crate) enum ServerLedger {
    /// A ledger in memory, committed to by the loop.
    Memory { ledger: Box<Ledger>, is_timed: bool },
    /// A ledger in a folder, with its clerk.
    Folder(Clerk),
    /// A ledger that other servers write too.
    Shared(KeeperBooks),
}

#[derive(Debug)]
pub(crate) struct Clerk {
    shared: Arc<ClerkShared>,
    thread: JoinHandle<()>,
    /// When the loop handles the pause after its own commit; `None` if the clerk does.
    pause_at: Option<Instant>,
}

/// What the loop and the clerk share. Requests are taken from the inbox only with the ledger
/// locked, so that they are committed in the order in which they came.
#[derive(Debug)]
struct ClerkShared {
    state: Mutex<LedgerState>,
    inbox: Mutex<ClerkInbox>,
    arrived: Condvar,
    mailbox: Arc<Mailbox>,
    /// Whether to take the time of each batch.
    is_timed: bool,
}

/// What waits for the clerk. The endpoint bounds it: by the number of values in all, and by one
/// opening and one end for each session.
#[derive(Debug, Default)]
struct ClerkInbox {
    requests: Vec<Request>,
    checkpoints: Vec<store::CheckpointDone>,
    questions: Vec<LedgerQuestion>,
    /// How long history is kept from now on; the inner `None` keeps all.
    history: Option<Option<Duration>>,
    closed: bool,
}

/// The ledger, and the health that was last reported.
#[derive(Debug)]
struct LedgerState {
    ledger: Ledger,
    health: Health,
    checkpoint: Option<JoinHandle<()>>,
}

impl ServerLedger {
    /// `is_timed`: takes the time of each batch.
    pub(crate) fn open(
        books: ServerBooks,
        mailbox: Arc<Mailbox>,
        is_timed: bool,
    ) -> io::Result<Self> {
        let ledger = match books {
            ServerBooks::Own(ledger) => *ledger,
            ServerBooks::Shared { keeper, .. } => {
                return KeeperBooks::start(keeper, mailbox, is_timed).map(Self::Shared);
            }
        };
        if ledger.head().is_none() {
            return Ok(Self::Memory { ledger: Box::new(ledger), is_timed });
        }
        let state = Mutex::new(LedgerState { ledger, health: Health::Good, checkpoint: None });
        let shared = Arc::new(ClerkShared {
            state,
            inbox: Mutex::default(),
            arrived: Condvar::new(),
            mailbox,
            is_timed,
        });
        let thread = std::thread::Builder::new().name("clerk".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let watched = PanicWatch::new(&shared.mailbox);
                run_clerk(&shared);
                drop(watched);
            }
        })?;
        Ok(Self::Folder(Clerk { shared, thread, pause_at: None }))
    }

    /// Commits now or later. Returns the answers of what is committed now.
    pub(crate) fn submit(&mut self, requests: Vec<Request>) -> Vec<LedgerAnswer> {
        match self {
            Self::Memory { ledger, is_timed } => commit(ledger, requests, *is_timed),
            Self::Folder(clerk) => clerk.submit(requests),
            Self::Shared(books) => {
                books.submit(requests);
                Vec::new()
            }
        }
    }

    /// Answers a question, now or later.
    pub(crate) fn ask(&mut self, question: LedgerQuestion) {
        match self {
            Self::Memory { ledger, .. } => question.answer(ledger),
            Self::Folder(clerk) => {
                lock(&clerk.shared.inbox).questions.push(question);
                clerk.shared.arrived.notify_one();
            }
            Self::Shared(books) => books.ask(question),
        }
    }

    /// Changes how long history is kept, now or once the clerk has the ledger: the loop does not
    /// wait for a commit.
    pub(crate) fn set_history(&mut self, history: Option<Duration>) {
        match self {
            Self::Memory { ledger, .. } => ledger.set_history(history),
            Self::Folder(clerk) => {
                lock(&clerk.shared.inbox).history = Some(history);
                clerk.shared.arrived.notify_one();
            }
            // A database keeps all of it.
            Self::Shared(_) => {}
        }
    }

    /// When to call [`Self::handle_timeout`]; `None` for never.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Memory { .. } | Self::Shared(_) => None,
            Self::Folder(clerk) => clerk.pause_at,
        }
    }

    /// Lets the ledger use a pause in the traffic, if there is one.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<LedgerAnswer> {
        match self {
            Self::Folder(clerk) if clerk.pause_at.is_some_and(|at| at <= now) => {
                clerk.pause_at = None;
                // If the clerk has the ledger, it also uses the pause.
                let Ok(mut state) = clerk.shared.state.try_lock() else { return Vec::new() };
                if state.ledger.rest() {
                    clerk.pause_at = Some(now + PAUSE);
                }
                state.after_commit(&clerk.shared)
            }
            Self::Memory { .. } | Self::Folder(_) | Self::Shared(_) => Vec::new(),
        }
    }

    /// What was done with the database; `None` of a ledger that is in none.
    pub(crate) fn keeper_counts(&self) -> Option<KeeperCounts> {
        match self {
            Self::Memory { .. } | Self::Folder(_) => None,
            Self::Shared(books) => Some(books.counts()),
        }
    }

    /// Commits what is queued, then stops the clerk. Returns whether it ended without a panic.
    pub(crate) fn stop(self) -> bool {
        let clerk = match self {
            Self::Memory { .. } => return true,
            Self::Folder(clerk) => clerk,
            Self::Shared(books) => return books.stop(),
        };
        lock(&clerk.shared.inbox).closed = true;
        clerk.shared.arrived.notify_one();
        clerk.thread.join().is_ok()
    }
}

impl LedgerQuestion {
    fn answer(self, ledger: &Ledger) {
        match self {
            Self::Totals(asker) => reply(asker, ledger.totals()),
            Self::View(asker) => reply(asker, LedgerView::of(ledger)),
            Self::Account(id, asker) => reply(asker, ledger.account(&id)),
            Self::Accounts { from, slice } => {
                reply(slice, ledger.accounts_from(from, ACCOUNTS_MAX));
            }
        }
    }
}

impl LedgerView {
    fn of(ledger: &Ledger) -> Self {
        Self {
            health: ledger.health(),
            head: ledger.head(),
            checkpoint: ledger.newest_checkpoint(),
            accounts: ledger.accounts_len(),
        }
    }
}

impl Clerk {
    fn submit(&mut self, requests: Vec<Request>) -> Vec<LedgerAnswer> {
        if requests.len() == 1
            && let Ok(mut state) = self.shared.state.try_lock()
            && lock(&self.shared.inbox).requests.is_empty()
        {
            let mut answers = commit(&mut state.ledger, requests, self.shared.is_timed);
            answers.extend(state.after_commit(&self.shared));
            self.pause_at = Some(Instant::now() + PAUSE);
            return answers;
        }
        lock(&self.shared.inbox).requests.extend(requests);
        self.shared.arrived.notify_one();
        // The clerk uses the pause after these.
        self.pause_at = None;
        Vec::new()
    }
}

impl ClerkShared {
    /// Waits until the inbox has something, or `pause` is over.
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

    fn take(&self) -> ClerkInbox {
        let mut inbox = lock(&self.inbox);
        let closed = inbox.closed;
        std::mem::replace(&mut *inbox, ClerkInbox { closed, ..ClerkInbox::default() })
    }
}

impl ClerkInbox {
    fn is_empty(&self) -> bool {
        let Self { requests, checkpoints, questions, history, closed: _ } = self;
        requests.is_empty() && checkpoints.is_empty() && questions.is_empty() && history.is_none()
    }
}

impl LedgerState {
    /// Starts a checkpoint if one is due. Returns changes of the ledger's health and failed
    /// checkpoints.
    fn after_commit(&mut self, shared: &Arc<ClerkShared>) -> Vec<LedgerAnswer> {
        if let Some(work) = self.ledger.poll_work() {
            self.checkpoint = run_checkpoint(shared, work);
        }
        let mut answers: Vec<_> =
            self.ledger.poll_fault().map(LedgerAnswer::Checkpoint).into_iter().collect();
        let health = self.ledger.health();
        if health != self.health {
            self.health = health.clone();
            answers.push(LedgerAnswer::Health(health));
        }
        answers
    }
}

fn run_clerk(shared: &Arc<ClerkShared>) {
    // The ledger can use a pause only after a commit.
    let mut pause = None;
    loop {
        shared.wait(pause);
        let mut state = lock(&shared.state);
        let ClerkInbox { requests, checkpoints, questions, history, closed } = shared.take();
        let is_idle = requests.is_empty() && checkpoints.is_empty() && questions.is_empty();
        pause = if is_idle { state.ledger.rest().then_some(PAUSE) } else { Some(PAUSE) };
        if let Some(history) = history {
            state.ledger.set_history(history);
        }
        let mut answers = Vec::new();
        for done in checkpoints {
            answers.extend(state.ledger.handle_done(done).err().map(LedgerAnswer::Checkpoint));
        }
        for question in questions {
            question.answer(&state.ledger);
        }
        let mut requests = requests;
        while !requests.is_empty() {
            let later = requests.split_off(one_batch(&requests));
            let batch = std::mem::replace(&mut requests, later);
            answers.extend(commit(&mut state.ledger, batch, shared.is_timed));
            shared.mailbox.post(Mail::Answers(std::mem::take(&mut answers)));
        }
        answers.extend(state.after_commit(shared));
        if !answers.is_empty() {
            shared.mailbox.post(Mail::Answers(answers));
        }
        if closed && is_idle {
            // Waiting for a checkpoint that is being synced takes less time than opening the ledger
            // without it.
            let checkpoint = state.checkpoint.take();
            drop(state);
            drop(checkpoint.map(JoinHandle::join));
            finish(shared);
            return;
        }
    }
}

/// Records the checkpoint that was being synced, so that the next opening need not check it against
/// the journal. The files that it replaces are removed by the next checkpoint.
fn finish(shared: &ClerkShared) {
    let mut state = lock(&shared.state);
    for done in shared.take().checkpoints {
        // An error is not reported: the loop has ended, and the journal is complete without it.
        drop(state.ledger.handle_done(done));
    }
    state.ledger.rest();
}

/// Runs a checkpoint's last part on a thread of its own; on this one if none can be started.
fn run_checkpoint(
    shared: &Arc<ClerkShared>,
    work: store::CheckpointWork,
) -> Option<JoinHandle<()>> {
    let work = Arc::new(Mutex::new(Some(work)));
    let run = {
        let there = Arc::clone(shared);
        move || {
            let watched = PanicWatch::new(&there.mailbox);
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

/// The number of requests in the next batch.
fn one_batch(requests: &[Request]) -> usize {
    let mut values = 0;
    let full = requests.iter().position(|request| {
        values += values_in(request);
        values > BATCH_VALUES_MAX
    });
    // At least one, even if it alone exceeds the bound.
    full.map_or(requests.len(), |count| count.max(1))
}

pub(crate) fn values_in(request: &Request) -> usize {
    match &request.operation {
        Operation::Add(submission) => submission.amounts.len(),
        Operation::Open(_) | Operation::End(_) => 0,
    }
}

fn commit(ledger: &mut Ledger, requests: Vec<Request>, is_timed: bool) -> Vec<LedgerAnswer> {
    let values = requests.iter().map(values_in).sum();
    let (to, operations): (Vec<_>, Vec<_>) =
        requests.into_iter().map(|Request { to, operation }| (to, operation)).unzip();
    let start = is_timed.then(Instant::now);
    let outcomes = ledger.commit(now(), &operations);
    let took = start.map(|start| start.elapsed());
    let done = |(to, outcome): (Option<_>, _)| {
        to.map(|(connection, ticket)| LedgerAnswer::Done { connection, ticket, outcome })
    };
    let batch = LedgerAnswer::Batch { values, took };
    to.into_iter().zip(outcomes).filter_map(done).chain([batch]).collect()
}

/// Microseconds since 1970, capped at both ends of the range: times are evidence, not order.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(saturating::micros(since))
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
        let mut ledger = ServerLedger::open(ledger.into(), Arc::clone(&mailbox), false).unwrap();
        armed.store(true, Ordering::Relaxed);
        // The clerk commits two requests; the loop would commit one itself.
        let open =
            |number| Request { to: None, operation: Operation::Open(AccountId::Classic(number)) };
        assert!(ledger.submit(vec![open(0), open(1)]).is_empty());
        let mut events = mio::Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
        assert!(matches!(&mailbox.take()[..], [Mail::Panicked(name)] if name == "clerk"));
        // The lock is poisoned, not held: the loop queues the request and does not wait.
        assert!(ledger.submit(vec![open(2)]).is_empty());
        assert!(!ledger.stop());
        std::fs::remove_dir_all(path).unwrap();
    }

    /// Requests are committed in the order in which they came, by the clerk and by the loop.
    #[test]
    fn the_loop_commits_nothing_before_what_is_queued() {
        let path = std::env::temp_dir().join(format!("ddes-clerk-order-{}", std::process::id()));
        let folder = Folder::lock(&path).unwrap().unwrap();
        let (ledger, _) = Ledger::open(Arc::new(folder), StoreOptions::default(), [7; 16]).unwrap();
        let poll = Poll::new().unwrap();
        let mailbox = Arc::new(Mailbox::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let state = Mutex::new(LedgerState { ledger, health: Health::Good, checkpoint: None });
        let shared = Arc::new(ClerkShared {
            state,
            inbox: Mutex::default(),
            arrived: Condvar::new(),
            mailbox,
            is_timed: true,
        });
        // A clerk that has not taken its inbox yet.
        let mut clerk = Clerk {
            shared: Arc::clone(&shared),
            thread: std::thread::spawn(|| {}),
            pause_at: None,
        };
        let open =
            |number| Request { to: None, operation: Operation::Open(AccountId::Classic(number)) };
        let is_done = |answers: &[LedgerAnswer]| {
            matches!(answers, [LedgerAnswer::Batch { values: 0, took: Some(_) }])
        };
        assert!(is_done(&clerk.submit(vec![open(0)])));
        assert!(clerk.submit(vec![open(1), open(2)]).is_empty());
        assert!(clerk.submit(vec![open(3)]).is_empty());
        let queued = shared.take().requests;
        let numbers: Vec<_> =
            queued.iter().map(|request| format!("{:?}", request.operation)).collect();
        assert_eq!(numbers, [1, 2, 3].map(|number| format!("{:?}", open(number).operation)));
        // The queue is empty again.
        assert!(is_done(&clerk.submit(vec![open(4)])));
        clerk.thread.join().unwrap();
        drop(shared);
        std::fs::remove_dir_all(path).unwrap();
    }
}
