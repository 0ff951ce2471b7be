//! What all requests share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ddes_server::ServerHandle;
use ddes_server::watch::Watch;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use crate::about::About;
use crate::access::Access;
use crate::answer::LOOP_SECS_MAX;
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

/// The state of the HTTP server.
pub(crate) struct App {
    pub(crate) about: About,
    /// Random for each process: a reader sees by it that the server was restarted.
    pub(crate) boot: String,
    pub(crate) started: SystemTime,
    pub(crate) access: Access,
    pub(crate) handle: ServerHandle,
    pub(crate) watch: Arc<Watch>,
    pub(crate) operations: Arc<dyn Operations>,
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
}

impl App {
    /// Asks the loop, when it is due, and waits for the answer, but not for ever.
    pub(crate) async fn ask<T>(&self, question: impl Future<Output = T>) -> Result<T, ApiError> {
        let answer = async {
            self.wait_turn().await;
            question.await
        };
        tokio::time::timeout(LOOP_SECS_MAX, answer).await.map_err(|_| ApiError::no_answer())
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
