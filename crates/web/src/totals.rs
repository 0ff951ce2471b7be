//! Totals over all accounts, at a bounded cost: however many ask, the ledger is asked no more often
//! than the loop publishes, and after a silence not for some seconds. Nobody waits for a silence
//! after another.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ddes_ledger::Totals;
use ddes_server::watch::PUBLISH_EVERY;
use tokio::sync::Notify;

use crate::answer::LOOP_SECS_MAX;
use crate::app::{App, lock};
use crate::error::ApiError;

/// A ledger that did not answer is not asked again for so long.
const SILENCE_KEPT: Duration = LOOP_SECS_MAX;
/// How long somebody waits for new totals who takes old ones as well.
const MOMENT: Duration = Duration::from_millis(500);

/// Totals, and the time as of which they hold.
pub(crate) type Known = (Totals, SystemTime);

/// The newest answer.
#[derive(Debug, Default)]
pub(crate) struct CachedTotals {
    state: Mutex<TotalsState>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct TotalsState {
    last: Option<Known>,
    /// How the last question ended, and until when that holds.
    outcome: Option<(Result<Known, ApiError>, Instant)>,
    is_asking: bool,
}

impl CachedTotals {
    /// The totals; an error if the ledger does not answer, at once if it did not a moment ago.
    pub(crate) async fn get(app: &Arc<App>) -> Result<Known, ApiError> {
        loop {
            let asked = app.totals.asked.notified();
            if let Some(outcome) = Self::look(app) {
                return outcome;
            }
            asked.await;
        }
    }

    /// The totals within a moment: if the ledger does not answer, as they were last known.
    pub(crate) async fn last_known(app: &Arc<App>) -> Option<Known> {
        match tokio::time::timeout(MOMENT, Self::get(app)).await {
            Ok(Ok(known)) => Some(known),
            Ok(Err(_)) | Err(_) => lock(&app.totals.state).last,
        }
    }

    /// What is known now. Without that, somebody asks from now on.
    pub(crate) fn look(app: &Arc<App>) -> Option<Result<Known, ApiError>> {
        let mut state = lock(&app.totals.state);
        let outcome = state.outcome.as_ref().filter(|(_, until)| Instant::now() < *until);
        if let Some((outcome, _)) = outcome {
            return Some(outcome.clone());
        }
        if !state.is_asking {
            state.is_asking = true;
            // On a task of its own: a client that leaves does not end it.
            tokio::spawn(Self::ask(Arc::clone(app)));
        }
        None
    }

    async fn ask(app: Arc<App>) {
        let totals = app.ask(|handle| async move { handle.totals().await }).await;
        let outcome = totals.and_then(|totals| totals.ok_or_else(ApiError::no_answer));
        let outcome = outcome.map(|totals| (totals, SystemTime::now()));
        let kept = if outcome.is_ok() { PUBLISH_EVERY } else { SILENCE_KEPT };
        let mut state = lock(&app.totals.state);
        state.last = outcome.as_ref().ok().copied().or(state.last);
        state.outcome = Some((outcome, Instant::now() + kept));
        state.is_asking = false;
        drop(state);
        app.totals.asked.notify_waiters();
    }
}
