//! What the loop publishes for other threads, at a fixed cost.
//!
//! The endpoint counts in memory of its own, without locks. A few times a second the loop copies
//! that into a [`Watch`], if nobody reads it at that moment: it never waits for a reader.

mod cause;
mod histogram;
mod networks;
mod publisher;
mod recorder;
mod row;
mod stats;
mod trace;

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

pub use cause::{Cause, CauseCounts};
pub use histogram::Histogram;
pub use networks::{NETWORKS_MAX, NetworkFailures};
pub use row::{RowSlice, SessionRow, SessionState};
pub use stats::{Counts, DriverCounts, Gauges, LedgerCounts, Profile, ServerStats, SessionCounts};
pub use trace::{
    Direction, FRAMES_MAX, PINS_MAX, TRACES_MAX, Trace, TracedConnection, TracedFrame,
};

use crate::endpoint::Endpoint;
use crate::mail::lock;
pub(crate) use publisher::Publisher;
pub(crate) use recorder::Recorder;
use row::SessionRows;
use trace::KeptTrace;

/// The least time between two publications.
pub const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// The most rows that one publication writes.
pub const ROWS_MAX: usize = 2500;

/// What the loop published, for readers on any thread.
#[derive(Debug)]
pub struct Watch {
    published: Mutex<Published>,
}

/// The published state.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) stats: ServerStats,
    pub(crate) rows: SessionRows,
    pub(crate) traces: Vec<KeptTrace>,
    pub(crate) networks: Vec<NetworkFailures>,
}

impl Watch {
    /// Nothing is published yet.
    pub fn new(now: Instant) -> Self {
        Self {
            published: Mutex::new(Published {
                stats: ServerStats::new(now),
                rows: SessionRows::default(),
                traces: Vec::new(),
                networks: Vec::new(),
            }),
        }
    }

    /// Copies the endpoint's state, the traces' new frames and some rows, unless a reader holds
    /// the lock at this moment. Returns whether it did. `driver` is what the driver counted.
    pub fn publish(&self, now: Instant, endpoint: &mut Endpoint, driver: &DriverCounts) -> bool {
        let mut published = match self.published.try_lock() {
            Ok(published) => published,
            // What a reader's panic leaves is valid: readers change nothing.
            Err(TryLockError::Poisoned(published)) => published.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let stats = &mut published.stats;
        stats.ledger.clone_from(&driver.ledger);
        (stats.at, stats.is_stopping) = (now, driver.is_stopping);
        (stats.access_errors, stats.access_faults) = (driver.access_errors, driver.access_faults);
        endpoint.publish(now, &mut published);
        true
    }

    /// Counters and gauges.
    pub fn stats(&self) -> ServerStats {
        self.lock().stats.clone()
    }

    /// Some sessions: 0 for the first, then those from a slice's `next` on.
    pub fn sessions(&self, from: usize) -> RowSlice {
        self.lock().rows.slice(from)
    }

    /// All sessions, copied in slices, so that the loop can publish between them.
    pub fn all_sessions(&self) -> Vec<SessionRow> {
        let RowSlice { mut rows, mut next } = self.sessions(0);
        while let Some(from) = next {
            let slice = self.sessions(from);
            rows.extend(slice.rows);
            next = slice.next;
        }
        rows
    }

    /// The session numbered `serial`; `None` if it is gone or not published yet.
    pub fn session(&self, serial: u64) -> Option<SessionRow> {
        self.lock().rows.iter().find(|row| row.serial == serial).cloned()
    }

    /// The traced connections, the newest last.
    pub fn traces(&self) -> Vec<TracedConnection> {
        self.lock().traces.iter().map(|kept| kept.connection.clone()).collect()
    }

    /// The kept frames of a traced connection that are numbered above `after`; 0 for all.
    pub fn trace(&self, serial: u64, after: u64) -> Option<Trace> {
        let published = self.lock();
        let kept = published.traces.iter().find(|kept| kept.connection.serial == serial)?;
        let connection = kept.connection.clone();
        Some(Trace {
            dropped: connection.frames - kept.frames.len() as u64,
            frames: kept.frames.iter().filter(|frame| frame.seq > after).copied().collect(),
            connection,
        })
    }

    /// The networks with failures, in no particular order.
    pub fn networks(&self) -> Vec<NetworkFailures> {
        self.lock().networks.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Published> {
        lock(&self.published)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ddes_ledger::Health;

    use super::*;
    use crate::endpoint::tests::endpoint;

    #[test]
    fn a_reader_that_holds_the_lock_delays_a_publication_and_not_the_loop() {
        let now = Instant::now();
        let mut endpoint = endpoint(now).watched(now);
        let watch = Arc::new(Watch::new(now));
        let mut publisher = Publisher::new(Arc::clone(&watch), now, Health::Good);
        let at = |millis| now + Duration::from_millis(millis);
        let reader = watch.lock();
        // It returns while this same thread holds the lock, and tries again soon.
        publisher.handle_timeout(at(1), &mut endpoint);
        assert_eq!(reader.stats.at, now);
        let retry = publisher.poll_timeout();
        assert!(retry > at(1) && retry < at(1) + PUBLISH_EVERY);
        drop(reader);
        publisher.handle_timeout(at(2), &mut endpoint);
        assert_eq!(watch.stats().at, now, "it is not due yet");
        publisher.handle_timeout(retry, &mut endpoint);
        assert_eq!(watch.stats().at, retry);
        assert_eq!(publisher.poll_timeout(), retry + PUBLISH_EVERY);
    }

    #[test]
    fn a_reader_that_panicked_does_not_end_the_publications() {
        let now = Instant::now();
        let mut endpoint = endpoint(now).watched(now);
        let watch = Arc::new(Watch::new(now));
        let reader = std::thread::spawn({
            let watch = Arc::clone(&watch);
            move || {
                let held = watch.lock();
                panic!("injected, at {:?}", held.stats.at)
            }
        });
        assert!(reader.join().is_err());
        let later = now + PUBLISH_EVERY;
        assert!(watch.publish(later, &mut endpoint, &DriverCounts::default()));
        assert_eq!(watch.stats().at, later);
    }
}
