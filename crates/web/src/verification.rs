//! Verifying the ledger: one job at a time, on a thread of its own.
//!
//! What the last one found is kept in the ledger's folder, so that damage is not forgotten
//! by a restart. It goes where the folder goes: a restored ledger begins without it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ddes_ledger::Statement;
use ddes_ledger::audit::{self, Verified, VerifyError};
use ddes_ledger::store::{Folder, StoreError};
use ddes_wire::saturating;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::answer::shown_time;
use crate::app::lock;

/// Results that are kept: those of the newest jobs.
const RESULTS_MAX: usize = 16;

/// In the ledger's folder. A name that begins so is no segment's and no checkpoint's.
const KEPT: &str = "verified.json";
const KEPT_NEW: &str = "verified.json.new";
const KEPT_BYTES_MAX: u64 = 64 * 1024;

/// The running job, and the results of the last ones.
#[derive(Debug, Default)]
pub(crate) struct Verification {
    /// Where the last result is kept, if anywhere.
    folder: Option<PathBuf>,
    state: Mutex<VerificationState>,
}

#[derive(Debug, Default)]
struct VerificationState {
    last_id: u64,
    running: Option<Arc<VerificationJob>>,
    results: VecDeque<(u64, VerificationFinding)>,
    /// The last one that read the whole ledger.
    standing: Option<VerificationFinding>,
}

/// A running job.
#[derive(Debug)]
pub(crate) struct VerificationJob {
    pub(crate) id: u64,
    pub(crate) started: SystemTime,
    done_bytes: AtomicU64,
    all_bytes: AtomicU64,
}

/// What a verification found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerificationFinding {
    at: String,
    took_ms: u64,
    /// Whether the ledger is whole.
    pub outcome: VerificationOutcome,
    /// The same in words, with what to do.
    pub text: String,
    #[serde(skip, default = "SystemTime::now")]
    pub(crate) time: SystemTime,
}

/// Whether a ledger is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationOutcome {
    /// It is.
    Whole,
    /// It is not.
    Damaged,
    /// It could not be read, which says nothing of it.
    Failed,
}

impl VerificationOutcome {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Damaged => "damaged",
            Self::Failed => "failed",
        }
    }
}

impl VerificationJob {
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
    /// Of the ledger in `folder`, with what is kept there.
    pub(crate) fn of(folder: Option<PathBuf>) -> Self {
        let standing = folder.as_deref().and_then(kept);
        Self {
            folder,
            state: Mutex::new(VerificationState { standing, ..VerificationState::default() }),
        }
    }

    /// The running job.
    pub(crate) fn running(&self) -> Option<Arc<VerificationJob>> {
        lock(&self.state).running.clone()
    }

    /// What the newest verification found, also one before the server's start.
    pub(crate) fn last(&self) -> Option<VerificationFinding> {
        let state = lock(&self.state);
        state.results.back().map(|(_, finding)| finding).or(state.standing.as_ref()).cloned()
    }

    /// What the newest one found that could read all of the ledger.
    pub(crate) fn standing(&self) -> Option<VerificationFinding> {
        lock(&self.state).standing.clone()
    }

    /// Keeps a result for the next start.
    pub(crate) fn keep(&self, finding: &VerificationFinding) -> io::Result<()> {
        match &self.folder {
            Some(folder) if finding.outcome != VerificationOutcome::Failed => keep(folder, finding),
            Some(_) | None => Ok(()),
        }
    }

    /// What a job found; `None` if it is unknown, or still runs.
    pub(crate) fn result(&self, id: u64) -> Option<VerificationFinding> {
        let state = lock(&self.state);
        let mut results = state.results.iter();
        results.find(|(number, _)| *number == id).map(|(_, finding)| finding.clone())
    }

    /// Takes the place of the only job; `None` if one runs.
    pub(crate) fn begin(&self) -> Option<Arc<VerificationJob>> {
        let mut state = lock(&self.state);
        if state.running.is_some() {
            return None;
        }
        state.last_id += 1;
        let job = VerificationJob {
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
    pub(crate) fn end(&self, job: &VerificationJob, finding: Option<VerificationFinding>) {
        let mut state = lock(&self.state);
        state.running = None;
        if let Some(finding) = finding {
            if finding.outcome != VerificationOutcome::Failed {
                state.standing = Some(finding.clone());
            }
            if state.results.len() == RESULTS_MAX {
                state.results.pop_front();
            }
            state.results.push_back((job.id, finding));
        }
    }
}

/// What the last verification found, if that can be told. One that cannot is as none: the metrics
/// then say that nobody verified.
fn kept(folder: &Path) -> Option<VerificationFinding> {
    let mut text = String::new();
    File::open(folder.join(KEPT)).ok()?.take(KEPT_BYTES_MAX).read_to_string(&mut text).ok()?;
    let finding: VerificationFinding = serde_json::from_str(&text).ok()?;
    let millis = finding.at.parse::<Timestamp>().ok()?.as_millisecond();
    let since = Duration::from_millis(u64::try_from(millis).ok()?);
    let time = SystemTime::UNIX_EPOCH.checked_add(since)?;
    Some(VerificationFinding { time, ..finding })
}

/// The old file or the new one, whatever happens on the way.
fn keep(folder: &Path, finding: &VerificationFinding) -> io::Result<()> {
    let new = folder.join(KEPT_NEW);
    let mut file = File::create(&new)?;
    file.write_all(serde_json::to_string(finding)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, folder.join(KEPT))?;
    File::open(folder)?.sync_all()
}

/// Verifies the ledger in a folder, with the statements of receipts. Reads all of it.
pub(crate) fn verify(
    folder: &Path,
    statements: &[Statement],
    job: &VerificationJob,
) -> Result<Verified, VerifyError> {
    let found = Folder::look(folder).map_err(|error| {
        VerifyError::Store(StoreError::Disk { file: folder.display().to_string(), error })
    })?;
    audit::verify(&found, statements, &mut |done, all| job.show(done, all))
}

/// Verifies the ledger for people.
pub(crate) fn find(folder: &Path, job: &VerificationJob) -> VerificationFinding {
    let began = Instant::now();
    let (outcome, text) = match verify(folder, &[], job) {
        Ok(Verified { first, last, values, totals, .. }) => {
            let batches = if first > last {
                "it has no batches yet".to_owned()
            } else {
                format!("batches {first} to {last}, {values} integers in them")
            };
            (
                VerificationOutcome::Whole,
                format!("The ledger is whole: {batches}; sum {}.", totals.sum),
            )
        }
        Err(VerifyError::Store(StoreError::Damaged(damage))) => {
            let shown = folder.display();
            let text = format!(
                "The ledger is damaged: {damage}. Stop the server and keep the folder for \
                 analysis: mv {shown} {shown}.damaged; then: ddes ledger restore BACKUP --ledger \
                 {shown}"
            );
            (VerificationOutcome::Damaged, text)
        }
        Err(error) => {
            (VerificationOutcome::Failed, format!("The ledger could not be verified: {error}"))
        }
    };
    VerificationFinding::new(outcome, text, began)
}

impl VerificationFinding {
    pub(crate) fn new(outcome: VerificationOutcome, text: String, began: Instant) -> Self {
        let time = SystemTime::now();
        let took_ms = saturating::millis(began.elapsed());
        Self { at: shown_time(time), took_ms, outcome, text, time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verification_that_could_not_read_changes_nothing_of_what_is_known() {
        let verification = Verification::default();
        let end = |outcome| {
            let job = verification.begin().unwrap();
            let finding = VerificationFinding::new(outcome, "text".into(), Instant::now());
            verification.end(&job, Some(finding));
            let of = |finding: Option<VerificationFinding>| finding.map(|finding| finding.outcome);
            (of(verification.standing()), of(verification.last()))
        };
        assert_eq!(end(VerificationOutcome::Failed), (None, Some(VerificationOutcome::Failed)));
        assert_eq!(
            end(VerificationOutcome::Damaged),
            (Some(VerificationOutcome::Damaged), Some(VerificationOutcome::Damaged))
        );
        assert_eq!(
            end(VerificationOutcome::Failed),
            (Some(VerificationOutcome::Damaged), Some(VerificationOutcome::Failed))
        );
        assert_eq!(
            end(VerificationOutcome::Whole),
            (Some(VerificationOutcome::Whole), Some(VerificationOutcome::Whole))
        );
    }
}
