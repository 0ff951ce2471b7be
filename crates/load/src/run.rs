//! The threads of a run, seen from the one who started them.

use std::io;
use std::iter::StepBy;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::ended::{Ended, GivenUp, ThreadUse, Verdict};
use crate::plan::{Pace, Plan, Until};
use crate::schedule::Schedule;
use crate::shared::{Shared, nanos};
use crate::stats::{Stats, add_histogram, histogram};
use crate::traffic::{Pacing, Traffic};
use crate::worker::Worker;

/// From the last session's 20 to the start: every thread has looked at the clock by then.
const START_WAIT: Duration = Duration::from_millis(20);

/// A run that goes on.
#[derive(Debug)]
pub struct Run {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<io::Result<Ended>>>,
    total: Stats,
}

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A session could not be opened.
    #[error("session {session} of {sessions} could not be opened: {why}")]
    Session {
        /// Its number, from 0.
        session: u32,
        /// Of how many.
        sessions: u32,
        /// Why.
        why: GivenUp,
    },
    /// It was stopped before all sessions were open.
    #[error("it was stopped when {opened} of {sessions} sessions were open")]
    Stopped {
        /// How many were.
        opened: u32,
        /// Of how many.
        sessions: u32,
    },
    /// The system refused something.
    #[error("the load stopped: {0}")]
    System(#[from] io::Error),
    /// A thread panicked: a fault of this program.
    #[error("a thread of the load panicked")]
    Panicked,
}

/// What one interval measured.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its end, since the measured part began.
    pub at: Duration,
    /// What was measured, of all threads.
    pub stats: Stats,
}

/// How a run came out.
#[derive(Debug)]
pub struct Outcome {
    /// Everything measured.
    pub total: Stats,
    /// How long the measured part was.
    pub measured: Duration,
    /// One of each session, by its number.
    pub verdicts: Vec<(u32, Verdict)>,
    /// From connecting to a 20, in nanoseconds.
    pub handshakes: Histogram<u64>,
    /// What each thread used.
    pub threads: Vec<ThreadUse>,
    /// It was stopped early.
    pub was_stopped: bool,
}

impl Run {
    /// Starts the threads, which open the sessions; the load begins by itself once
    /// [`Self::collect`] finds all of them open.
    pub fn start(plan: Plan) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(plan.threads));
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

    /// Sessions that have been open, and that are.
    pub fn sessions(&self) -> (usize, usize) {
        (self.shared.opened.load(Ordering::Relaxed), self.shared.up.load(Ordering::Relaxed))
    }

    /// How long the measured part goes on already; nothing before it.
    pub fn elapsed(&self) -> Option<Duration> {
        let start = Duration::from_nanos(*self.shared.start.get()?) + self.plan.warmup;
        self.shared.epoch.elapsed().checked_sub(start)
    }

    /// What was measured since this was last asked, if an interval has ended. To be asked several
    /// times an interval.
    pub fn collect(&mut self) -> Option<Point> {
        if self.shared.start.get().is_none()
            && self.sessions().0 as u64 == u64::from(self.plan.sessions)
        {
            let start = self.shared.nanos(Instant::now() + START_WAIT);
            self.shared.start.get_or_init(|| start);
        }
        let at = self.elapsed()?;
        let stats = self.take().filter(|stats| stats.span > 0)?;
        Some(Point { at, stats })
    }

    /// Nothing, if no thread has handed anything out.
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

    /// Ends the load; the sessions still hear their last words.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Whether all threads have come to their end.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the threads.
    pub fn finish(mut self) -> Result<Outcome, RunError> {
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
        Ok(Outcome {
            total: self.total,
            measured: Duration::from_nanos(finished.saturating_sub(from)),
            verdicts,
            handshakes,
            threads,
            was_stopped: self.shared.stop.load(Ordering::Relaxed),
        })
    }
}

/// The numbers of one thread's sessions: they are dealt out in turn.
fn sessions_of(plan: &Plan, thread: u32) -> StepBy<Range<u32>> {
    (thread..plan.sessions).step_by(plan.threads as usize)
}

/// What one thread sends.
fn traffic(plan: &Plan, thread: u32) -> Traffic {
    let sessions = sessions_of(plan, thread);
    let pacing = match plan.pace {
        Pace::Closed => Pacing::Closed,
        Pace::Open { rate, arrivals } => {
            let frames = rate / f64::from(plan.batch);
            #[allow(clippy::cast_precision_loss, reason = "at most a million")]
            let share = sessions.len() as f64 / f64::from(plan.sessions);
            // The threads' constant arrivals fall between one another.
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
