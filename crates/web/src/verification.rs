//! Verifying the ledger: one job at a time, on a thread of its own.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use ddes_ledger::Statement;
use ddes_ledger::audit::{self, Verified, VerifyError};
use ddes_ledger::store::{Folder, StoreError};
use serde::Serialize;

use crate::answer::shown_time;
use crate::app::lock;

/// Results that are kept: those of the newest jobs.
const RESULTS_MAX: usize = 16;

/// The running job, and the results of the last ones.
#[derive(Debug, Default)]
pub(crate) struct Verification(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    running: Option<Arc<Job>>,
    results: VecDeque<(u64, Finding)>,
}

/// A running job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) started: SystemTime,
    done_bytes: AtomicU64,
    all_bytes: AtomicU64,
}

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    at: String,
    took_ms: u64,
    pub(crate) outcome: Outcome,
    text: String,
    #[serde(skip)]
    pub(crate) time: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Whole,
    Damaged,
    Failed,
}

impl Job {
    /// Between 0 and 1.
    #[allow(clippy::cast_precision_loss, reason = "a share for people")]
    pub(crate) fn progress(&self) -> f64 {
        let (done, all) =
            (self.done_bytes.load(Ordering::Relaxed), self.all_bytes.load(Ordering::Relaxed));
        if all == 0 { 0.0 } else { (done as f64 / all as f64).clamp(0.0, 1.0) }
    }

    fn show(&self, done: u64, all: u64) {
        self.done_bytes.store(done, Ordering::Relaxed);
        self.all_bytes.store(all, Ordering::Relaxed);
    }
}

impl Verification {
    /// The running job.
    pub(crate) fn running(&self) -> Option<Arc<Job>> {
        lock(&self.0).running.clone()
    }

    /// What the newest verification found.
    pub(crate) fn last(&self) -> Option<Finding> {
        lock(&self.0).results.back().map(|(_, finding)| finding.clone())
    }

    /// What a job found; `None` if it is unknown, or still runs.
    pub(crate) fn result(&self, id: u64) -> Option<Finding> {
        let state = lock(&self.0);
        let mut results = state.results.iter();
        results.find(|(number, _)| *number == id).map(|(_, finding)| finding.clone())
    }

    /// Takes the place of the only job; `None` if one runs.
    pub(crate) fn begin(&self) -> Option<Arc<Job>> {
        let mut state = lock(&self.0);
        if state.running.is_some() {
            return None;
        }
        state.last_id += 1;
        let job = Job {
            id: state.last_id,
            started: SystemTime::now(),
            done_bytes: AtomicU64::new(0),
            all_bytes: AtomicU64::new(0),
        };
        let job = Arc::new(job);
        state.running = Some(Arc::clone(&job));
        Some(job)
    }

    /// Gives the place back, with a result to keep or without one.
    pub(crate) fn end(&self, job: &Job, finding: Option<Finding>) {
        let mut state = lock(&self.0);
        state.running = None;
        if let Some(finding) = finding {
            if state.results.len() == RESULTS_MAX {
                state.results.pop_front();
            }
            state.results.push_back((job.id, finding));
        }
    }
}

/// Verifies the ledger in a folder, with the statements of receipts. Reads all of it.
pub(crate) fn verify(
    folder: &Path,
    statements: &[Statement],
    job: &Job,
) -> Result<Verified, VerifyError> {
    let found = Folder::look(folder).map_err(|error| {
        VerifyError::Store(StoreError::Disk { file: folder.display().to_string(), error })
    })?;
    audit::verify(&found, statements, &mut |done, all| job.show(done, all))
}

/// Verifies the ledger for people.
pub(crate) fn find(folder: &Path, job: &Job) -> Finding {
    let began = Instant::now();
    let (outcome, text) = match verify(folder, &[], job) {
        Ok(Verified { first, last, values, totals, .. }) => {
            let batches = if first > last {
                "it has no batches yet".to_owned()
            } else {
                format!("batches {first} to {last}, {values} integers in them")
            };
            (Outcome::Whole, format!("The ledger is whole: {batches}; sum {}.", totals.sum))
        }
        Err(VerifyError::Store(StoreError::Damaged(damage))) => {
            let text = format!(
                "The ledger is damaged: {damage}. Keep the folder for analysis, then: ddes ledger \
                 restore BACKUP --ledger DIR"
            );
            (Outcome::Damaged, text)
        }
        Err(error) => (Outcome::Failed, format!("The ledger could not be verified: {error}")),
    };
    Finding::new(outcome, text, began)
}

impl Finding {
    pub(crate) fn new(outcome: Outcome, text: String, began: Instant) -> Self {
        let time = SystemTime::now();
        // Some 500 million years fit.
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self { at: shown_time(time), took_ms, outcome, text, time }
    }
}
