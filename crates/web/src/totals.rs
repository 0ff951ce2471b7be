//! Totals over all accounts, at a bounded cost.
//!
//! The ledger adds up all accounts for each question, which takes milliseconds where there are
//! many. So the answer is kept for a multiple of the time that it took.

use std::time::{Duration, Instant, SystemTime};

use ddes_ledger::Totals;
use tokio::sync::Mutex;

use crate::app::App;
use crate::error::ApiError;

/// The least time for which an answer is kept.
const KEPT_MIN: Duration = Duration::from_millis(500);
/// The ledger spends at most the 200th part of its time on these answers.
const KEPT_FACTOR: u32 = 200;

/// The newest answer.
#[derive(Debug, Default)]
pub(crate) struct CachedTotals(Mutex<Option<Kept>>);

#[derive(Clone, Copy, Debug)]
struct Kept {
    totals: Totals,
    time: SystemTime,
    until: Instant,
}

impl CachedTotals {
    /// The totals, and the time as of which they hold.
    pub(crate) async fn get(&self, app: &App) -> Result<(Totals, SystemTime), ApiError> {
        let mut kept = self.0.lock().await;
        let now = Instant::now();
        if let Some(kept) = kept.filter(|kept| now < kept.until) {
            return Ok((kept.totals, kept.time));
        }
        // While one request waits, the others wait for its answer.
        let totals = app.ask(app.handle.totals()).await?.ok_or_else(ApiError::no_answer)?;
        let time = SystemTime::now();
        let until = Instant::now() + KEPT_MIN.max(now.elapsed() * KEPT_FACTOR);
        *kept = Some(Kept { totals, time, until });
        Ok((totals, time))
    }
}
