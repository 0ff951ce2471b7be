//! The keeper: a thread with a connection for each lane, one that asks, and one that watches.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ddes_ledger::keeper::{AccountKeeper, KeeperCounts, KeeperQuestion, News};
use ddes_ledger::shared::{LaneOptions, LaneStep, LedgerLane, LostHistory};
use ddes_ledger::{
    AccountId, AccountNumber, Health, Operation, OperationOutcome, Submission, Timestamp,
};
use ddes_wire::saturating;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::authorized::{AuthorizedTaker, AuthorizedWatch};
use crate::connection::{
    Connection, DatabaseError, DatabaseLink, DatabaseTrouble, Demands, FoundDatabase,
};
use crate::place::{DatabaseUrl, Purpose};
use crate::questions;

/// What a keeper's thread counts, for its server to read.
#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    transactions: AtomicU64,
    round_trips: AtomicU64,
    conflicts: AtomicU64,
    unknown: AtomicU64,
    has_standby: AtomicBool,
}

impl Counters {
    /// Each for itself: nothing else hangs on them.
    fn read(&self) -> KeeperCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KeeperCounts {
            connections: count(&self.connections),
            transactions: count(&self.transactions),
            round_trips: count(&self.round_trips),
            conflicts: count(&self.conflicts),
            unknown: count(&self.unknown),
            has_standby: self.has_standby.load(Ordering::Relaxed),
        }
    }
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Between two attempts to connect.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// Between two looks at the database's settings, and at its standby.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// How a keeper works.
#[derive(Clone, Copy, Debug)]
pub struct PostgresOptions {
    /// Connections that write. An account belongs to one of them.
    pub lanes: u32,
    /// How long an operation waits for the database before it is refused. A failover took 20 s.
    pub patience: Duration,
    /// Whether to write only while a standby is synchronous.
    pub require_standby: bool,
    /// Whether standings are held between batches, which saves reading them.
    pub holds: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Self { lanes: 4, patience, require_standby: false, holds: true }
    }
}

/// Keeps the accounts of a server in a PostgreSQL database.
pub struct PostgresKeeper {
    place: DatabaseUrl,
    options: PostgresOptions,
    ledger: [u8; 16],
    hasher: RandomState,
    counters: Arc<Counters>,
    /// Until the keeper starts.
    authorized: Option<AuthorizedWatch>,
    running: Option<RunningKeeper>,
}

struct RunningKeeper {
    lanes: Vec<mpsc::UnboundedSender<LaneMail>>,
    questions: mpsc::UnboundedSender<KeeperQuestion>,
    thread: JoinHandle<()>,
}

/// An operation, its token, and when it came.
type LaneMail = (Instant, u64, Operation);

impl fmt::Debug for PostgresKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresKeeper").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Runs a future on this thread, with tasks beside it.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, future))
}

impl PostgresKeeper {
    /// Connects once, checks that the database can hold a ledger, and reads who may connect.
    pub fn find(
        place: DatabaseUrl,
        options: PostgresOptions,
    ) -> Result<(Self, FoundDatabase), DatabaseError> {
        let demands = Demands { standby: options.require_standby, ..Demands::default() };
        let (found, authorized) = run(async {
            let link = DatabaseLink::open(&place, Purpose::Write).await?;
            let found = link.check(&place, demands).await?;
            Ok::<_, DatabaseError>((found, AuthorizedWatch::open(&link).await?))
        })
        .map_err(|error| DatabaseError::Unreachable(error.to_string()))??;
        let authorized = Some(authorized);
        let (ledger, hasher) = (found.ledger, RandomState::new());
        let counters = Arc::new(Counters::default());
        counters.has_standby.store(found.has_standby, Ordering::Relaxed);
        Ok((Self { place, options, ledger, hasher, counters, authorized, running: None }, found))
    }

    /// Hands over the keys that may connect as they were read, and then, about a second after it,
    /// each change of them. `taker` is called here first, then on threads of the keeper's, one call
    /// at a time; it may take a while.
    #[must_use]
    pub fn telling(mut self, taker: AuthorizedTaker) -> Self {
        if let Some(authorized) = &mut self.authorized {
            authorized.tell(taker);
        }
        self
    }

    fn lane_of(&self, operation: &Operation) -> usize {
        let of_id = |id: &AccountId| {
            let [a, b, c, d, ..] = self.hasher.hash_one(id).to_le_bytes();
            (u32::from_le_bytes([a, b, c, d]) % self.options.lanes.max(1)) as usize
        };
        match operation {
            Operation::Open(id) => of_id(id),
            Operation::Add(Submission { account, .. }) | Operation::End(account) => match account {
                AccountNumber::Identity(number) => (number % self.options.lanes.max(1)) as usize,
                AccountNumber::Classic(number) => of_id(&AccountId::Classic(*number)),
            },
        }
    }
}

impl AccountKeeper for PostgresKeeper {
    fn start(&mut self, news: Box<dyn Fn(News) + Send + Sync>) -> io::Result<()> {
        let mut senders = Vec::new();
        let mut inboxes = Vec::new();
        for _ in 0..self.options.lanes.max(1) {
            let (sender, inbox) = mpsc::unbounded_channel();
            senders.push(sender);
            inboxes.push(inbox);
        }
        let (questions, asked) = mpsc::unbounded_channel();
        let demands = Demands {
            ledger: Some(self.ledger),
            standby: self.options.require_standby,
            ..Demands::default()
        };
        let (place, options) = (self.place.clone(), self.options);
        let (counters, authorized) = (Arc::clone(&self.counters), self.authorized.take());
        let news: Arc<dyn Fn(News) + Send + Sync> = news.into();
        let work = move || {
            let watched = KeeperPanic { news: Arc::clone(&news) };
            let tasks = async {
                let shared =
                    KeeperShared::new(place, options, demands, counters, Arc::clone(&news));
                let shared = Rc::new(shared);
                let lanes = (0..)
                    .zip(inboxes)
                    .map(|(index, inbox)| LaneTask::new(index, Rc::clone(&shared), inbox).run());
                let watch = watch(Rc::clone(&shared), authorized);
                let questions = questions::run(Rc::clone(&shared), asked);
                tokio::select! {
                    () = join_all(lanes) => {}
                    // Neither ends before the lanes do.
                    ((), ()) = async { tokio::join!(watch, questions) } => {}
                }
            };
            // Without a runtime nothing of it can work.
            if let Err(error) = run(tasks) {
                news(News::Health(Health::Failed(error.to_string())));
            }
            drop(watched);
        };
        let thread = std::thread::Builder::new().name("keeper".into()).spawn(work)?;
        self.running = Some(RunningKeeper { lanes: senders, questions, thread });
        Ok(())
    }

    fn submit(&mut self, requests: Vec<(u64, Operation)>) {
        let Some(running) = &self.running else { return };
        let now = Instant::now();
        for (token, operation) in requests {
            if let Some(lane) = running.lanes.get(self.lane_of(&operation)) {
                may_be_gone(lane.send((now, token, operation)));
            }
        }
    }

    fn ask(&mut self, question: KeeperQuestion) {
        if let Some(running) = &self.running {
            may_be_gone(running.questions.send(question));
        }
    }

    fn counts(&self) -> KeeperCounts {
        self.counters.read()
    }

    fn stop(self: Box<Self>) -> bool {
        let Some(RunningKeeper { lanes, questions, thread }) = self.running else { return true };
        drop((lanes, questions));
        thread.join().is_ok()
    }
}

/// A thread that is gone has panicked, which [`KeeperPanic`] tells. What it was to get is dropped.
fn may_be_gone<T>(sent: Result<(), mpsc::error::SendError<T>>) {
    if let Err(mpsc::error::SendError(unwanted)) = sent {
        drop(unwanted);
    }
}

async fn join_all(all: impl Iterator<Item = impl Future<Output = ()> + 'static>) {
    let tasks: Vec<_> = all.map(tokio::task::spawn_local).collect();
    for task in tasks {
        if let Err(error) = task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// Tells if its thread panics.
struct KeeperPanic {
    news: Arc<dyn Fn(News) + Send + Sync>,
}

impl Drop for KeeperPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.news)(News::Panicked("keeper".into()));
        }
    }
}

/// What the tasks of a keeper share.
pub(crate) struct KeeperShared {
    pub(crate) place: DatabaseUrl,
    options: PostgresOptions,
    demands: Demands,
    counters: Arc<Counters>,
    news: Arc<dyn Fn(News) + Send + Sync>,
    /// Why each lane, and last the watch, cannot work.
    away: RefCell<Vec<Option<String>>>,
    /// Why nothing may be written, although the database answers.
    unfit: RefCell<Option<String>>,
    health: RefCell<Health>,
    failed: Cell<bool>,
}

impl KeeperShared {
    fn new(
        place: DatabaseUrl,
        options: PostgresOptions,
        demands: Demands,
        counters: Arc<Counters>,
        news: Arc<dyn Fn(News) + Send + Sync>,
    ) -> Self {
        let sources = options.lanes.max(1) as usize + 1;
        Self {
            place,
            options,
            demands,
            counters,
            news,
            away: RefCell::new(vec![None; sources]),
            unfit: RefCell::new(None),
            health: RefCell::new(Health::Good),
            failed: Cell::new(false),
        }
    }

    fn set_away(&self, source: usize, why: Option<String>) {
        if let Some(known) = self.away.borrow_mut().get_mut(source) {
            *known = why;
        }
        let why = self.away.borrow().iter().flatten().next().cloned();
        let health = why.map_or(Health::Good, Health::Away);
        let is_news = match (&*self.health.borrow(), &health) {
            (Health::Good, Health::Good) | (Health::Away(_), Health::Away(_)) => false,
            // Nothing is better than a failure again.
            (before, _) => !matches!(before, Health::Failed(_)),
        };
        if is_news {
            self.health.borrow_mut().clone_from(&health);
            (self.news)(News::Health(health));
        }
    }

    /// The database has lost what it acknowledged. Nothing is written any more.
    fn fail(&self, why: String) {
        if !self.failed.replace(true) {
            *self.health.borrow_mut() = Health::Failed(why.clone());
            (self.news)(News::Health(Health::Failed(why)));
        }
    }
}

/// Looks every second whether what is written may be believed, and who may connect.
async fn watch(shared: Rc<KeeperShared>, mut authorized: Option<AuthorizedWatch>) {
    let source = shared.options.lanes.max(1) as usize;
    let mut link: Option<DatabaseLink> = None;
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let looked = match &link {
            Some(link) => link.watch(&shared.place, shared.demands).await,
            None => match DatabaseLink::open(&shared.place, Purpose::Write).await {
                Ok(opened) => {
                    let looked = opened.check(&shared.place, shared.demands).await;
                    let looked = looked.map(|found| found.has_standby);
                    link = Some(opened);
                    looked
                }
                Err(error) => Err(error),
            },
        };
        if let Ok(has_standby) = looked {
            shared.counters.has_standby.store(has_standby, Ordering::Relaxed);
        }
        let why = looked.as_ref().err().map(ToString::to_string);
        *shared.unfit.borrow_mut() = match &looked {
            Err(DatabaseError::Unreachable(_)) | Ok(_) => None,
            Err(
                DatabaseError::Unfit { .. }
                | DatabaseError::NoLedger
                | DatabaseError::OtherLedger { .. },
            ) => why.clone(),
        };
        if looked.is_err() {
            // A failover leaves the old connection on a database that nobody writes.
            link = None;
        }
        shared.set_away(source, why);
        if let (Some(open), Some(authorized)) = (&link, &mut authorized) {
            authorized.look(open).await;
        }
    }
}

/// Microseconds since 1970, capped at both ends of the range: times are evidence, not order.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(saturating::micros(since))
}

fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

/// A lane with its connection.
struct LaneTask {
    source: usize,
    shared: Rc<KeeperShared>,
    lane: LedgerLane,
    inbox: mpsc::UnboundedReceiver<LaneMail>,
    connection: Option<Connection>,
    /// Transactions in a row that came to nothing.
    failures: u32,
    /// The server stops: nothing more comes.
    is_closed: bool,
}

/// Why a transaction came to nothing.
enum TurnProblem {
    Trouble(DatabaseTrouble),
    Lost(LostHistory),
}

impl From<DatabaseTrouble> for TurnProblem {
    fn from(trouble: DatabaseTrouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl LaneTask {
    fn new(index: u32, shared: Rc<KeeperShared>, inbox: mpsc::UnboundedReceiver<LaneMail>) -> Self {
        let PostgresOptions { lanes, holds, .. } = shared.options;
        let lanes = lanes.max(1);
        let lane = LedgerLane::new(LaneOptions { index, lanes, holds, ..LaneOptions::default() });
        let source = index as usize;
        Self { source, shared, lane, inbox, connection: None, failures: 0, is_closed: false }
    }

    async fn run(mut self) {
        loop {
            self.take_mail();
            let ready = self.lane.poll_ready();
            self.tell(ready, Duration::ZERO);
            if self.shared.failed.get() {
                self.give_up();
            }
            if self.lane.waiting() > 0 {
                self.work().await;
            } else if self.is_closed {
                return;
            } else {
                match self.inbox.recv().await {
                    Some((came, token, operation)) => self.lane.submit(came, token, operation),
                    None => self.is_closed = true,
                }
            }
        }
    }

    fn take_mail(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok((came, token, operation)) => self.lane.submit(came, token, operation),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => return self.is_closed = true,
            }
        }
    }

    fn tell(&self, outcomes: Vec<(u64, OperationOutcome)>, took: Duration) {
        if !outcomes.is_empty() {
            (self.shared.news)(News::Decided { outcomes, took });
        }
    }

    /// Refuses all that waits.
    fn give_up(&mut self) {
        let refused = self.lane.expire(Instant::now(), Duration::ZERO);
        self.tell(refused, Duration::ZERO);
    }

    /// Refuses what has waited too long, and whoever wants to come in meanwhile.
    fn refuse_late(&mut self) {
        if self.is_closed {
            return self.give_up();
        }
        let mut refused = self.lane.expire(Instant::now(), self.shared.options.patience);
        refused.extend(self.lane.refuse_openings());
        self.tell(refused, Duration::ZERO);
    }

    /// Does one transaction; connects first where there is no connection.
    async fn work(&mut self) {
        let unfit = self.shared.unfit.borrow().clone();
        if let Some(why) = unfit {
            return self.pause(why).await;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => match Connection::open(&self.shared.place, self.shared.demands).await {
                Ok(connection) => {
                    count(&self.shared.counters.connections, 1);
                    connection
                }
                Err(error) => return self.pause(error.to_string()).await,
            },
        };
        if self.failures == 0 {
            self.shared.set_away(self.source, None);
        }
        self.take_mail();
        let began = Instant::now();
        match self.transact(&connection).await {
            Ok(outcomes) => {
                self.failures = 0;
                self.shared.set_away(self.source, None);
                self.connection = Some(connection);
                self.tell(outcomes, began.elapsed());
            }
            Err(problem) => {
                // Whatever became of it, this connection says no more about it.
                self.lane.handle_unknown();
                drop(connection);
                match problem {
                    TurnProblem::Lost(lost) => self.shared.fail(lost.to_string()),
                    TurnProblem::Trouble(DatabaseTrouble(why)) => {
                        count(&self.shared.counters.unknown, 1);
                        self.failures = self.failures.saturating_add(1);
                        // The first may be a failover, or a server that started again.
                        if self.failures > 1 {
                            self.pause(why).await;
                        }
                    }
                }
            }
        }
    }

    async fn pause(&mut self, why: String) {
        self.shared.set_away(self.source, Some(why));
        self.take_mail();
        self.refuse_late();
        if self.lane.waiting() > 0 {
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn transact(
        &mut self,
        connection: &Connection,
    ) -> Result<Vec<(u64, OperationOutcome)>, TurnProblem> {
        let incomplete = || DatabaseTrouble("the database answered for other accounts".into());
        let counters = Arc::clone(&self.shared.counters);
        let Some(mut step) = self.lane.begin(now()) else { return Ok(Vec::new()) };
        loop {
            count(&counters.round_trips, 1);
            step = match step {
                LaneStep::Read(wanted) => {
                    let rows = connection.read(&wanted).await?;
                    let next = self.lane.handle_read(now(), &rows).map_err(TurnProblem::Lost)?;
                    next.ok_or_else(incomplete)?
                }
                LaneStep::Swap { swaps, is_begun } => {
                    let written = connection.swap(&swaps, is_begun).await?;
                    count(&counters.conflicts, swaps.len().saturating_sub(written.len()) as u64);
                    self.lane.handle_swapped(&written).ok_or_else(incomplete)?
                }
                LaneStep::Append(entries) => {
                    let appended = connection.append(&entries).await;
                    if !cfg!(ddes_mutant = "commit-unchecked") {
                        appended?;
                    }
                    count(&counters.transactions, 1);
                    return Ok(self.lane.handle_committed());
                }
                LaneStep::Commit => {
                    connection.commit().await?;
                    count(&counters.transactions, 1);
                    return Ok(self.lane.handle_committed());
                }
                LaneStep::Rollback => {
                    connection.rollback().await?;
                    self.lane.handle_rolled_back();
                    return Ok(Vec::new());
                }
            };
        }
    }
}
