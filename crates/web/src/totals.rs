//! Totals over all accounts, at a bounded cost: however many ask, the ledger is asked no more often
//! than the loop publishes.

use std::time::{Instant, SystemTime};

use ddes_ledger::Totals;
use ddes_server::watch::PUBLISH_EVERY;
use tokio::sync::Mutex;

use crate::app::App;
use crate::error::ApiError;

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
        if let Some(kept) = kept.filter(|kept| Instant::now() < kept.until) {
            return Ok((kept.totals, kept.time));
        }
        // While one request waits, the others wait for its answer.
        let totals = app.ask(app.handle.totals()).await?.ok_or_else(ApiError::no_answer)?;
        let (time, until) = (SystemTime::now(), Instant::now() + PUBLISH_EVERY);
        *kept = Some(Kept { totals, time, until });
        Ok((totals, time))
    }
}
