//! What threads and the one who started them tell each other.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::stats::Stats;

#[derive(Debug)]
pub(crate) struct Shared {
    /// All times are in nanoseconds since this.
    pub(crate) epoch: Instant,
    /// When the load begins; set once all sessions are open.
    pub(crate) start: OnceLock<u64>,
    /// The run is to end now.
    pub(crate) stop: AtomicBool,
    /// Sessions that have been open.
    pub(crate) opened: AtomicUsize,
    /// Sessions that are open.
    pub(crate) up: AtomicUsize,
    /// Handshakes going on.
    pub(crate) handshakes: AtomicUsize,
    /// What each thread measured and nobody took yet.
    pub(crate) slots: Vec<Mutex<Stats>>,
}

impl Shared {
    pub(crate) fn new(threads: u32) -> Self {
        Self {
            epoch: Instant::now(),
            start: OnceLock::new(),
            stop: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
            up: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            slots: (0..threads).map(|_| Mutex::new(Stats::default())).collect(),
        }
    }

    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.epoch))
    }
}

/// A duration in nanoseconds; one of more than 584 years counts as that.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
