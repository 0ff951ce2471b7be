//! What the loop publishes for other threads, at a fixed cost.
//!
//! The endpoint counts in memory of its own, without locks. A few times a second the loop copies
//! that into a [`Watch`], if nobody reads it at that moment: it never waits for a reader.

mod cause;
mod histogram;
mod networks;
mod row;
mod stats;
mod trace;

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use cause::{Cause, CauseCounts};
pub use histogram::Histogram;
pub use networks::{NETWORKS_MAX, NetworkFailures};
pub use row::{RowSlice, SessionRow, SessionState};
pub use stats::{Counts, Gauges, LedgerCounts, Profile, ServerStats, SessionCounts};
pub use trace::{
    Direction, FRAMES_MAX, PINS_MAX, TRACES_MAX, Trace, TracedConnection, TracedFrame,
};

use crate::mail::lock;
use trace::KeptTrace;

/// The least time between two publications.
pub const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// The most rows that one publication writes.
pub const ROWS_MAX: usize = 2500;
/// The most slots of sessions that a reader copies while it holds the lock.
const SLOTS_READ_MAX: usize = 4096;

/// What the loop published, for readers on any thread.
#[derive(Debug)]
pub struct Watch {
    published: Mutex<Published>,
}

/// The published state.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) stats: ServerStats,
    /// By the endpoint's slots.
    pub(crate) rows: Vec<Option<SessionRow>>,
    pub(crate) traces: Vec<KeptTrace>,
    pub(crate) networks: Vec<NetworkFailures>,
}

impl Watch {
    /// Nothing is published yet.
    pub fn new(now: Instant) -> Self {
        Self {
            published: Mutex::new(Published {
                stats: ServerStats::new(now),
                rows: Vec::new(),
                traces: Vec::new(),
                networks: Vec::new(),
            }),
        }
    }

    /// Counters and gauges.
    pub fn stats(&self) -> ServerStats {
        self.lock().stats.clone()
    }

    /// Some sessions: those from slot `from` on, 0 for the first.
    pub fn sessions(&self, from: usize) -> RowSlice {
        let published = self.lock();
        // A position beyond the end is the end.
        let rows = published.rows.get(from..).unwrap_or(&[]);
        let slots = rows.len().min(SLOTS_READ_MAX);
        let next = (slots < rows.len()).then_some(from + slots);
        RowSlice { rows: rows[..slots].iter().flatten().cloned().collect(), next }
    }

    /// All sessions. Readers between two slices do not wait for the rest.
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
        self.lock().rows.iter().flatten().find(|row| row.serial == serial).cloned()
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
