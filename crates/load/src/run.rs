//! The threads of a run, seen from the thread that starts them.

use std::io;
use std::iter::StepBy;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ddes_wire::saturating::nanos;
use hdrhistogram::Histogram;

use crate::ended::{GivenUp, SessionVerdict, ThreadEnded, ThreadUse};
use crate::plan::{Pace, Plan, Until};
use crate::schedule::Schedule;
use crate::shared::RunState;
use crate::stats::{Stats, add_histogram, histogram};
use crate::traffic::{Pacing, Traffic};
use crate::worker::Worker;

/// The time from the last session's 20 to the start: every thread has read the clock by then.
const START_WAIT: Duration = Duration::from_millis(20);

/// A run in progress.
#[derive(Debug)]
pub struct Run {
    plan: Arc<Plan>,
    shared: Arc<RunState>,
    threads: Vec<JoinHandle<io::Result<ThreadEnded>>>,
    total: Stats,
}

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A session could not be opened.
    #[error("session {session} of {sessions} could not be opened: {why}")]
    Session {
        /// The session's number, from 0.
        session: u32,
        /// The number of sessions in the plan.
        sessions: u32,
        /// Why it was given up.
        why: GivenUp,
    },
    /// It was stopped before all sessions were open.
    #[error("it was stopped when {opened} of {sessions} sessions were open")]
    Stopped {
        /// The number of sessions that were open.
        opened: u32,
        /// The number of sessions in the plan.
        sessions: u32,
    },
    /// The system returned an error.
    #[error("the load stopped: {0}")]
    System(#[from] io::Error),
    /// A thread panicked: a fault of this program.
    #[error("a thread of the load panicked")]
    Panicked,
}

/// What one interval measured.
#[derive(Clone, Debug)]
pub struct IntervalStats {
    /// The end of the interval, since the measured part began.
    pub at: Duration,
    /// What all threads measured in it.
    pub stats: Stats,
}

/// The result of a run.
#[derive(Debug)]
pub struct RunOutcome {
    /// Everything that all threads measured.
    pub total: Stats,
    /// The length of the measured part.
    pub measured: Duration,
    /// The result of each session, with its number, in order.
    pub verdicts: Vec<(u32, SessionVerdict)>,
    /// Times from connecting to a 20, in nanoseconds.
    pub handshakes: Histogram<u64>,
    /// The processor time of each thread.
    pub threads: Vec<ThreadUse>,
    /// Whether it was stopped before its end.
    pub was_stopped: bool,
}

impl Run {
    /// Starts the threads, which open the sessions; the load begins by itself once
    /// [`Self::collect`] finds all of them open.
    pub fn start(plan: Plan) -> io::Result<Self> {
        let shared = Arc::new(RunState::new(plan.threads));
        let mut run =
            Self { plan: Arc::new(plan), shared, threads: Vec::new(), total: Stats::default() };
        for thread in 0..run.plan.threads {
            let (plan, shared) = (Arc::clone(&run.plan), Arc::clone(&run.shared));
            let spawned = thread::Builder::new().name(format!("load-{thread}")).spawn(move || {
                let traffic = traffic(&plan, thread);
                let sessions = sessions_of(&plan, thread);
                Worker::new(&plan, &shared, thread as usize, sessions, traffic)?.run()
            });
            match spawned {
                Ok(spawned) => run.threads.push(spawned),
                Err(error) => {
                    run.stop();
                    return Err(error);
                }
            }
        }
        Ok(run)
    }

    /// The number of sessions that have been open, and of those that are.
    pub fn sessions(&self) -> (usize, usize) {
        (self.shared.opened.load(Ordering::Relaxed), self.shared.up.load(Ordering::Relaxed))
    }

    /// The time since the measured part began; `None` before that.
    pub fn elapsed(&self) -> Option<Duration> {
        let start = Duration::from_nanos(*self.shared.start.get()?) + self.plan.warmup;
        self.shared.epoch.elapsed().checked_sub(start)
    }

    /// What was measured since the last call, if an interval has ended. The caller calls this
    /// several times an interval.
    pub fn collect(&mut self) -> Option<IntervalStats> {
        if self.shared.start.get().is_none()
            && self.sessions().0 as u64 == u64::from(self.plan.sessions)
        {
            let start = self.shared.nanos(Instant::now() + START_WAIT);
            self.shared.start.get_or_init(|| start);
        }
        let at = self.elapsed()?;
        let stats = self.take().filter(|stats| stats.span > 0)?;
        Some(IntervalStats { at, stats })
    }

    /// Adds up what the threads have handed out since the last call; `None` if that is nothing.
    fn take(&mut self) -> Option<Stats> {
        let mut taken: Option<Stats> = None;
        for slot in &self.shared.slots {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.is_filled() {
                taken.get_or_insert_default().merge(&slot);
                slot.reset();
            }
        }
        self.total.merge(taken.as_ref()?);
        taken
    }

    /// Ends the load. The sessions still receive their last answers and the server's 50.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Whether all threads have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the threads and adds up their results.
    pub fn finish(mut self) -> Result<RunOutcome, RunError> {
        let mut verdicts = Vec::new();
        let mut handshakes = histogram();
        let mut finished = 0;
        let mut failed = None;
        let mut threads = Vec::new();
        for thread in std::mem::take(&mut self.threads) {
            let ended = thread.join().map_err(|_| RunError::Panicked)??;
            verdicts.extend(ended.verdicts);
            add_histogram(&mut handshakes, &ended.handshakes);
            finished = finished.max(ended.finished);
            threads.push(ended.used);
            failed = failed.or(ended.failed);
        }
        let sessions = self.plan.sessions;
        if let Some((session, why)) = failed {
            return Err(RunError::Session { session, sessions, why });
        }
        let Some(start) = self.shared.start.get().copied() else {
            let opened = u32::try_from(self.sessions().0).unwrap_or(sessions);
            return Err(RunError::Stopped { opened, sessions });
        };
        self.take();
        verdicts.sort_by_key(|(session, _)| *session);
        let from = start + nanos(self.plan.warmup);
        Ok(RunOutcome {
            total: self.total,
            measured: Duration::from_nanos(finished.saturating_sub(from)),
            verdicts,
            handshakes,
            threads,
            was_stopped: self.shared.stop.load(Ordering::Relaxed),
        })
    }
}

/// The numbers of one thread's sessions, which are dealt to the threads in turn.
fn sessions_of(plan: &Plan, thread: u32) -> StepBy<Range<u32>> {
    (thread..plan.sessions).step_by(plan.threads as usize)
}

/// The traffic of one thread.
fn traffic(plan: &Plan, thread: u32) -> Traffic {
    let sessions = sessions_of(plan, thread);
    let pacing = match plan.pace {
        Pace::Closed => Pacing::Closed,
        Pace::Open { rate, arrivals } => {
            let frames = rate / f64::from(plan.batch);
            #[allow(clippy::cast_precision_loss, reason = "at most a million")]
            let share = sessions.len() as f64 / f64::from(plan.sessions);
            // The threads' constant arrivals alternate.
            let first = f64::from(thread) * 1e9 / frames;
            let seed = plan.seed ^ (u64::from(thread) << 32);
            Pacing::Open(Schedule::new(arrivals, frames * share, first, seed))
        }
    };
    let shares = sessions.map(|session| (u64::from(session), plan.share(session)));
    let span = match plan.until {
        Until::Elapsed(duration) => Some(nanos(duration)),
        Until::Sent(_) => None,
    };
    let depth = plan.pipeline as usize;
    Traffic::new(shares, pacing, plan.values.clone(), plan.batch, depth, span)
}
