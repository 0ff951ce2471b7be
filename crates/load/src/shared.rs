//! What the threads of a run share.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use ddes_wire::saturating::nanos;

use crate::stats::Stats;

/// The state that all threads of a run read and write.
#[derive(Debug)]
pub(crate) struct RunState {
    /// All times of the run are nanoseconds since this instant.
    pub(crate) epoch: Instant,
    /// When the load begins; set once all sessions are open.
    pub(crate) start: OnceLock<u64>,
    /// Asks all threads to end the run.
    pub(crate) stop: AtomicBool,
    /// The number of sessions that have been open.
    pub(crate) opened: AtomicUsize,
    /// The number of open sessions.
    pub(crate) up: AtomicUsize,
    /// The number of handshakes in progress.
    pub(crate) handshakes: AtomicUsize,
    /// What each thread has measured and [`crate::Run::collect`] has not taken yet.
    pub(crate) slots: Vec<Mutex<Stats>>,
}

impl RunState {
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
