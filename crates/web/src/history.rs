//! The last five minutes: one sample of the published counters a second, and the rates between
//! them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_server::watch::{Cause, CauseCounts, Counts, Histogram, ServerStats};

/// The time between two samples.
pub(crate) const STEP: Duration = Duration::from_secs(1);
/// Samples of the history.
const STEPS_MAX: usize = 300;
/// The span of rates and quantiles.
const RATE_STEPS: usize = 10;
/// The span of counts by reason.
const MINUTE_STEPS: usize = 60;

/// Samples, the newest last.
#[derive(Debug, Default)]
pub(crate) struct History {
    steps: VecDeque<HistorySecond>,
    /// States of the counters, for rates: the newest, and as many before it as a rate spans.
    states: VecDeque<HistoryState>,
    /// States of the counts by cause, one more than a minute has steps.
    causes: VecDeque<CauseCounts>,
    /// How often the clock was set while the server ran.
    pub(crate) clock_jumps: u64,
}

/// One second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HistorySecond {
    pub(crate) values_per_sec: f64,
    pub(crate) sessions: u64,
    pub(crate) commit_p50_micros: Option<f64>,
    pub(crate) commit_p99_micros: Option<f64>,
}

#[derive(Clone, Debug)]
struct HistoryState {
    at: Instant,
    counts: Counts,
    commits: Histogram,
}

/// The means of the last ten seconds.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct MeanRates {
    pub(crate) values_per_sec: f64,
    submissions_per_sec: f64,
    batches_per_sec: f64,
    handshakes_per_sec: f64,
    connects_per_sec: f64,
    refusals_per_sec: f64,
    bytes_in_per_sec: f64,
    bytes_out_per_sec: f64,
}

impl History {
    /// Takes a sample; also whether the clock was set since the one before.
    pub(crate) fn push(&mut self, stats: &ServerStats, has_clock_jumped: bool) {
        self.clock_jumps += u64::from(has_clock_jumped);
        let state = HistoryState {
            at: stats.at,
            counts: stats.counts,
            commits: stats.ledger.commits.clone(),
        };
        if let Some(last) = self.states.back() {
            let commits = state.commits.since(&last.commits);
            let step = HistorySecond {
                values_per_sec: rate(last, &state, |counts| counts.values),
                sessions: stats.counts.v2.open() + stats.counts.classic.open(),
                commit_p50_micros: micros(&commits, 0.5),
                commit_p99_micros: micros(&commits, 0.99),
            };
            push(&mut self.steps, step, STEPS_MAX);
        }
        push(&mut self.states, state, RATE_STEPS + 1);
        push(&mut self.causes, stats.occurrences(), MINUTE_STEPS + 1);
    }

    /// Seconds of the last five minutes, oldest first.
    pub(crate) fn steps(&self) -> impl ExactSizeIterator<Item = &HistorySecond> {
        self.steps.iter()
    }

    pub(crate) fn rates(&self) -> MeanRates {
        let (Some(from), Some(to)) = (self.states.front(), self.states.back()) else {
            return MeanRates::default();
        };
        let of = |count: fn(&Counts) -> u64| rate(from, to, count);
        MeanRates {
            values_per_sec: of(|counts| counts.values),
            submissions_per_sec: of(|counts| counts.submissions),
            batches_per_sec: per_sec(from, to, from.commits.count(), to.commits.count()),
            handshakes_per_sec: of(|counts| counts.handshakes_completed),
            connects_per_sec: of(|counts| counts.accepted + counts.refused.sum()),
            refusals_per_sec: of(refusals),
            bytes_in_per_sec: of(|counts| counts.received_bytes),
            bytes_out_per_sec: of(|counts| counts.sent_bytes),
        }
    }

    /// Median and 99th percentile of the time of a commit, in microseconds.
    pub(crate) fn commit_micros(&self) -> (Option<f64>, Option<f64>) {
        let (Some(from), Some(to)) = (self.states.front(), self.states.back()) else {
            return (None, None);
        };
        let commits = to.commits.since(&from.commits);
        (micros(&commits, 0.5), micros(&commits, 0.99))
    }

    /// What happened by cause in the last minute, up to `now`.
    pub(crate) fn last_minute(&self, now: &CauseCounts) -> CauseCounts {
        let before = self.causes.front().copied();
        before.map_or(*now, |before| now.since(&before))
    }
}

/// Refused connections, failed handshakes, and sessions that ended for a fault.
fn refusals(counts: &Counts) -> u64 {
    let is_fault = |(cause, count): (Cause, u64)| if is_fault(cause) { count } else { 0 };
    let ended = counts.v2.ended.plus(&counts.classic.ended);
    counts.refused.sum() + counts.handshakes_failed.sum() + ended.iter().map(is_fault).sum::<u64>()
}

/// Whether a session that ended so broke a rule.
fn is_fault(cause: Cause) -> bool {
    match cause {
        Cause::NotAuthorized
        | Cause::BadHmac
        | Cause::BadToken
        | Cause::BadSignature
        | Cause::BadHandshake
        | Cause::BadOrder
        | Cause::TooLong => true,
        Cause::FullConnections
        | Cause::FullUnproven
        | Cause::FullAddress
        | Cause::TooFastConnects
        | Cause::TooFastHandshakes
        | Cause::Truncated
        | Cause::TimeoutHandshake
        | Cause::Idle
        | Cause::Superseded
        | Cause::Left
        | Cause::LedgerUnavailable
        | Cause::Operator
        | Cause::Shutdown
        | Cause::Bye
        | Cause::TooOld
        | Cause::Stalled
        | Cause::Other => false,
    }
}

fn rate(from: &HistoryState, to: &HistoryState, count: impl Fn(&Counts) -> u64) -> f64 {
    per_sec(from, to, count(&from.counts), count(&to.counts))
}

fn per_sec(from: &HistoryState, to: &HistoryState, before: u64, after: u64) -> f64 {
    let secs = to.at.saturating_duration_since(from.at).as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a count of ten seconds is below 2^53")]
    let count = after.saturating_sub(before) as f64;
    // Two samples of the same publication.
    if secs > 0.0 { count / secs } else { 0.0 }
}

fn micros(commits: &Histogram, quantile: f64) -> Option<f64> {
    commits.quantile(quantile).map(|time| time.as_secs_f64() * 1e6)
}

fn push<T>(samples: &mut VecDeque<T>, sample: T, most: usize) {
    if samples.len() == most {
        samples.pop_front();
    }
    samples.push_back(sample);
}
