//! What all requests share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ddes_server::ServerHandle;
use ddes_server::watch::Watch;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use crate::about::About;
use crate::access::AccessRules;
use crate::answer::LOOP_SECS_MAX;
use crate::aside::Aside;
use crate::error::ApiError;
use crate::events::Events;
use crate::files::LedgerFiles;
use crate::history::History;
use crate::mirror::Mirror;
use crate::names::NameLists;
use crate::operations::Operations;
use crate::ranking::Ranked;
use crate::server::Draining;
use crate::totals::CachedTotals;
use crate::verification::Verification;

/// The least time between two questions to the loop: at most 50 a second, whoever asks.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Questions that the loop has not answered yet.
pub(crate) const QUESTIONS_MAX: usize = 64;

/// The state of the HTTP server.
pub(crate) struct App {
    pub(crate) about: About,
    /// Random for each process: a reader sees by it that the server was restarted.
    pub(crate) boot: String,
    pub(crate) started: SystemTime,
    pub(crate) access: AccessRules,
    pub(crate) handle: ServerHandle,
    pub(crate) watch: Arc<Watch>,
    pub(crate) operations: Arc<dyn Operations>,
    /// Held by whoever reads or changes the process' configuration.
    pub(crate) configuring: Arc<AsyncMutex<()>>,
    pub(crate) aside: Aside,
    pub(crate) events: Events,
    /// The server was told to stop, which the loop may not have published yet.
    pub(crate) draining: Draining,
    pub(crate) history: Mutex<History>,
    pub(crate) ledger_files: Mutex<Option<LedgerFiles>>,
    pub(crate) names: NameLists,
    pub(crate) mirror: Mirror,
    pub(crate) ranked: Ranked,
    /// A place for each download of all accounts.
    pub(crate) exports: Arc<Semaphore>,
    pub(crate) totals: CachedTotals,
    pub(crate) verification: Verification,
    /// A place for each stream of events.
    pub(crate) streams: Arc<Semaphore>,
    /// When the loop may be asked again.
    pub(crate) asked: AsyncMutex<Instant>,
    /// A place for each question to it.
    pub(crate) questions: Arc<Semaphore>,
}

impl App {
    /// Asks the loop, when it is due, and waits for the answer, but not for ever. A question that
    /// nobody waits for any more keeps its place until it is answered: a loop that hangs is not
    /// asked more and more.
    pub(crate) async fn ask<T, F>(
        &self,
        question: impl FnOnce(ServerHandle) -> F,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let answer = async {
            let place = Arc::clone(&self.questions).acquire_owned().await.ok()?;
            self.wait_turn().await;
            let question = question(self.handle.clone());
            let placed = async move {
                let answer = question.await;
                drop(place);
                answer
            };
            tokio::spawn(placed).await.ok()
        };
        let answer = tokio::time::timeout(LOOP_SECS_MAX, answer).await;
        answer.ok().flatten().ok_or_else(ApiError::no_answer)
    }

    /// Reads or changes the process' configuration, one request at a time: its file may be on a
    /// disk that does not answer.
    pub(crate) async fn configure<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Operations) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = Arc::clone(&self.configuring).lock_owned().await;
        let operations = Arc::clone(&self.operations);
        let configuring = move || {
            let done = work(&*operations);
            drop(turn);
            done
        };
        self.aside.run(configuring).await
    }

    async fn wait_turn(&self) {
        let mut next = self.asked.lock().await;
        tokio::time::sleep_until((*next).into()).await;
        *next = Instant::now() + ASK_EVERY;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.has_begun()
    }
}

/// Relates the clock of the published times to the one that people read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    now: Instant,
    time: SystemTime,
}

impl Clock {
    pub(crate) fn now() -> Self {
        Self { now: Instant::now(), time: SystemTime::now() }
    }

    /// The time of day at `at`. One that a clock cannot show is shown as now.
    pub(crate) fn time(self, at: Instant) -> SystemTime {
        let time = match at.checked_duration_since(self.now) {
            Some(ahead) => self.time.checked_add(ahead),
            None => self.time.checked_sub(self.now.saturating_duration_since(at)),
        };
        time.unwrap_or(self.time)
    }
}

/// A poisoned lock means that a holder panicked; what these guard is valid at any point.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
