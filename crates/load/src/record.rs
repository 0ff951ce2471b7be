//! A run as it is kept: JSON that other programs read, and that two runs are compared by.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::ended::{ThreadUse, Verdict};
use crate::run::{Outcome, Point};
use crate::stats::Errors;

/// Raised when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// What marks a file as a run's record.
const KIND: &str = "ddes bench run";

/// A thread that used so much of a core was at its limit.
const BUSY_SHARE: f64 = 0.9;
/// Open loop: arrivals seen to later than this, by so large a part of what is measured, are this
/// program's delay.
const LAG_NANOS: u64 = 1_000_000;
const LAG_SHARE: f64 = 0.1;

/// One run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Says that this is one.
    pub kind: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// The version of this program.
    pub version: String,
    /// What it was to do.
    pub parameters: Parameters,
    /// It was stopped before its end.
    pub was_stopped: bool,
    /// How long the measured part was.
    pub seconds: f64,
    /// Values counted within it.
    pub values: u64,
    /// Frames of them.
    pub frames: u64,
    /// Values a second.
    pub values_per_sec: f64,
    /// Frames a second.
    pub frames_per_sec: f64,
    /// Of a frame, from its start (open loop: its intended start) to the 40 that covers it.
    pub latency: Latency,
    /// From connecting to a 20.
    pub handshake: Latency,
    /// Open loop: from a frame's intended start to when this program saw to it.
    pub lag: Option<Latency>,
    /// What went wrong on the way.
    pub errors: ErrorCounts,
    /// This program's own part.
    pub generator: Generator,
    /// Whether the sums are right.
    pub verification: Verification,
    /// One after the other.
    pub intervals: Vec<Interval>,
}

/// What a run was to do.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Parameters {
    /// `HOST:PORT`.
    pub server: String,
    /// The suite's name.
    pub suite: String,
    /// Sessions.
    pub sessions: u32,
    /// Threads.
    pub threads: u32,
    /// `closed` or `open`.
    pub mode: String,
    /// Values a frame.
    pub batch: u16,
    /// Frames of a session on their way, at most.
    pub pipeline: u32,
    /// Open loop: values a second.
    pub rate: Option<f64>,
    /// Open loop: `constant` or `poisson`.
    pub arrivals: Option<String>,
    /// How long it was to be, if that was said.
    pub duration_secs: Option<f64>,
    /// How many values it was to send, if that was said.
    pub values: Option<u64>,
    /// Load before the measured part.
    pub warmup_secs: f64,
    /// Over how long the connections were spread.
    pub ramp_secs: f64,
    /// Seconds an interval.
    pub interval_secs: f64,
    /// What the values were.
    pub values_from: String,
    /// What identities and values were made of.
    pub seed: u64,
}

/// A distribution of times.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean_ns: f64,
    /// The shortest.
    pub min_ns: u64,
    /// The median.
    pub p50_ns: u64,
    /// 90 of 100 took no longer.
    pub p90_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
    /// 999 of 1000.
    pub p99_9_ns: u64,
    /// 9999 of 10,000.
    pub p99_99_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// All of it: an HdrHistogram in its V2 encoding, deflated, in base64 as its other
    /// implementations write it.
    pub histogram: String,
}

/// See [`Errors`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ErrorCounts {
    /// Sessions that ended before their time.
    pub lost: u64,
    /// Sessions opened again.
    pub reopened: u64,
    /// 40s of status 1.
    pub gaps: u64,
    /// 40s of status 3.
    pub malformed: u64,
    /// 40s of status 4.
    pub unavailable: u64,
    /// Frames sent again under their numbers.
    pub retried: u64,
    /// Open loop: frames that were due and never sent.
    pub unsent: u64,
}

/// This program's own part.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Generator {
    /// Processor time in the measured part.
    pub cpu_secs: f64,
    /// Of each thread, the share of a core that it used.
    pub cpu_shares: Vec<f64>,
    /// Of each thread, the share of the time in which it could have run and no core was free.
    pub waiting_shares: Vec<f64>,
    /// The server's processor time in the measured part, where its process was named.
    pub server_cpu_secs: Option<f64>,
    /// This program was the limit, or may have been.
    pub was_limit: bool,
    /// Why.
    pub why: Vec<String>,
}

/// Whether the sums are right.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Verification {
    /// Sessions whose last count and sum are what was sent.
    pub right: u64,
    /// Sessions where they are not.
    pub wrong: Vec<WrongSession>,
    /// Sessions whose last word was not heard.
    pub open: Vec<OpenSession>,
    /// The sums of the right ones, with what their accounts held before.
    pub sum: String,
    /// The counts of them.
    pub count: String,
}

/// A session whose sum, or count, is not what was sent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct WrongSession {
    /// Its number, from 0.
    pub session: u32,
    /// What it has to be.
    pub expected_count: String,
    /// See above.
    pub expected_sum: String,
    /// What the server says.
    pub stated_count: String,
    /// See above.
    pub stated_sum: String,
}

/// A session whose last word was not heard.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct OpenSession {
    /// Its number, from 0.
    pub session: u32,
    /// Why.
    pub why: String,
    /// Values that nobody knows to count.
    pub values: u64,
}

/// What one interval measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Interval {
    /// Its end, since the measured part began.
    pub at_secs: f64,
    /// Values a second.
    pub values_per_sec: f64,
    /// Frames answered.
    pub frames: u64,
    /// As in [`Latency`].
    pub p50_ns: u64,
    /// As in [`Latency`].
    pub p99_ns: u64,
    /// As in [`Latency`].
    pub p99_9_ns: u64,
    /// As in [`Latency`].
    pub max_ns: u64,
    /// Open loop: how late this program saw to 99 of 100 arrivals.
    pub lag_p99_ns: u64,
    /// Sessions lost, frames refused or never sent.
    pub errors: u64,
    /// Sessions open at its end.
    pub sessions_up: usize,
    /// The share of a core that each thread used, on average.
    pub cpu_share: f64,
}

/// Why a text is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not its JSON.
    #[error("it is not a saved run: {0}")]
    Json(#[from] serde_json::Error),
    /// Another kind of file, or another version of it.
    #[error(
        "it is a '{kind}' of schema version {version}; this program reads '{KIND}' of version {SCHEMA_VERSION}"
    )]
    Kind {
        /// What it says it is.
        kind: String,
        /// And of which version.
        version: u32,
    },
    /// A histogram does not decode.
    #[error("its histogram does not decode: {0}")]
    Histogram(String),
}

impl Record {
    /// The record of a run. `server_cpu` is the server's processor time in the measured part.
    pub fn new(
        parameters: Parameters,
        started: String,
        outcome: &Outcome,
        intervals: Vec<Interval>,
        server_cpu: Option<Duration>,
    ) -> Result<Self, RecordError> {
        let (total, seconds) = (&outcome.total, outcome.measured.as_secs_f64());
        let is_open = parameters.rate.is_some();
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            kind: KIND.into(),
            started,
            version: env!("CARGO_PKG_VERSION").into(),
            parameters,
            was_stopped: outcome.was_stopped,
            seconds,
            values: total.values,
            frames: total.frames,
            values_per_sec: rate(total.values, seconds),
            frames_per_sec: rate(total.frames, seconds),
            latency: Latency::of(&total.latency)?,
            handshake: Latency::of(&outcome.handshakes)?,
            lag: if is_open { Some(Latency::of(&total.lag)?) } else { None },
            errors: total.errors.into(),
            generator: Generator::of(outcome, &intervals, server_cpu, is_open),
            verification: Verification::of(&outcome.verdicts),
            intervals,
        })
    }

    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Mark {
            kind: String,
            schema_version: u32,
        }
        let mark: Mark = serde_json::from_str(text)?;
        if (mark.kind.as_str(), mark.schema_version) != (KIND, SCHEMA_VERSION) {
            return Err(RecordError::Kind { kind: mark.kind, version: mark.schema_version });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// As text.
    pub fn to_json(&self) -> Result<String, RecordError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Result<Self, RecordError> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(times, &mut bytes)
            .map_err(|error| RecordError::Histogram(error.to_string()))?;
        let at = |quantile| times.value_at_quantile(quantile);
        Ok(Self {
            count: times.len(),
            mean_ns: times.mean(),
            min_ns: times.min(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p99_9_ns: at(0.999),
            p99_99_ns: at(0.9999),
            max_ns: times.max(),
            histogram: STANDARD.encode(bytes),
        })
    }

    /// All of it.
    pub fn histogram(&self) -> Result<Histogram<u64>, RecordError> {
        let broken = |what: String| RecordError::Histogram(what);
        let bytes = STANDARD.decode(&self.histogram).map_err(|error| broken(error.to_string()))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| broken(error.to_string()))
    }
}

impl Interval {
    /// What is kept of a point.
    pub fn of(point: &Point, threads: u32, sessions_up: usize) -> Self {
        let stats = &point.stats;
        // The threads' intervals are one and the same time.
        #[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
        let seconds = stats.span as f64 / 1e9 / f64::from(threads.max(1));
        Self {
            at_secs: point.at.as_secs_f64(),
            values_per_sec: rate(stats.values, seconds),
            frames: stats.frames,
            p50_ns: stats.latency.value_at_quantile(0.5),
            p99_ns: stats.latency.value_at_quantile(0.99),
            p99_9_ns: stats.latency.value_at_quantile(0.999),
            max_ns: stats.latency.max(),
            lag_p99_ns: stats.lag.value_at_quantile(0.99),
            errors: stats.errors.total(),
            sessions_up,
            cpu_share: share(stats.cpu, stats.span),
        }
    }
}

impl Generator {
    fn of(
        outcome: &Outcome,
        intervals: &[Interval],
        server_cpu: Option<Duration>,
        is_open: bool,
    ) -> Self {
        let cpu: u64 = outcome.threads.iter().map(|used| used.cpu).sum();
        let mut why: Vec<String> = outcome.threads.iter().enumerate().filter_map(busy).collect();
        if is_open {
            why.extend(late(outcome, intervals));
        }
        Self {
            cpu_secs: Duration::from_nanos(cpu).as_secs_f64(),
            cpu_shares: outcome.threads.iter().map(|used| share(used.cpu, used.span)).collect(),
            waiting_shares: outcome
                .threads
                .iter()
                .map(|used| share(used.waited, used.span))
                .collect(),
            server_cpu_secs: server_cpu.map(|cpu| cpu.as_secs_f64()),
            was_limit: !why.is_empty(),
            why,
        }
    }
}

/// What to say of a thread that had no time left.
fn busy((thread, used): (usize, &ThreadUse)) -> Option<String> {
    let (cpu, waited) = (share(used.cpu, used.span), share(used.waited, used.span));
    if cpu >= BUSY_SHARE {
        return Some(format!(
            "thread {thread} of the load used {:.0} % of a core: the server may be able to do more; add --threads",
            100.0 * cpu
        ));
    }
    (cpu + waited >= BUSY_SHARE).then(|| {
        format!(
            "thread {thread} of the load ran {:.0} % of the time and waited for a core another {:.0} %: the machine has too few for both sides",
            100.0 * cpu,
            100.0 * waited
        )
    })
}

/// What to say of arrivals that were seen to late.
fn late(outcome: &Outcome, intervals: &[Interval]) -> Option<String> {
    let lag = outcome.total.lag.value_at_quantile(0.99);
    #[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
    let part = lag as f64 / outcome.total.latency.value_at_quantile(0.5).max(1) as f64;
    let quarter = intervals.len() / 4;
    let mean = |part: &[Interval]| {
        part.iter().map(|it| it.lag_p99_ns).sum::<u64>() / part.len().max(1) as u64
    };
    let first = mean(intervals.split_at(quarter).0);
    let last = mean(intervals.split_at(intervals.len() - quarter).1);
    let lag_ms = Duration::from_nanos(lag).as_secs_f64() * 1e3;
    if quarter > 0 && last > LAG_NANOS && last > 2 * first {
        return Some(format!(
            "the load fell further and further behind its schedule: one frame in a hundred started {lag_ms:.1} ms late or more, at the end {:.1} ms",
            Duration::from_nanos(last).as_secs_f64() * 1e3
        ));
    }
    (lag > LAG_NANOS && part > LAG_SHARE).then(|| {
        format!("one frame in a hundred started {lag_ms:.1} ms late or more because of the load itself; the latencies include that")
    })
}

impl Verification {
    fn of(verdicts: &[(u32, Verdict)]) -> Self {
        let (mut all, mut whole_count, mut whole_sum) = (Self::default(), 0_u128, 0_i128);
        for (session, verdict) in verdicts {
            let session = *session;
            match verdict {
                Verdict::Right { count, sum } => {
                    all.right += 1;
                    whole_count += u128::from(*count);
                    // Each is below 2^127 in magnitude; of many such the total is not worth a
                    // panic.
                    whole_sum = whole_sum.saturating_add(*sum);
                }
                Verdict::Wrong(mismatch) => all.wrong.push(WrongSession {
                    session,
                    expected_count: mismatch.expected_count.to_string(),
                    expected_sum: mismatch.expected_sum.to_string(),
                    stated_count: mismatch.stated_count.to_string(),
                    stated_sum: mismatch.stated_sum.to_string(),
                }),
                Verdict::Open { why, values } => {
                    all.open.push(OpenSession { session, why: why.clone(), values: *values });
                }
            }
        }
        all.count = whole_count.to_string();
        all.sum = whole_sum.to_string();
        all
    }
}

impl From<Errors> for ErrorCounts {
    fn from(errors: Errors) -> Self {
        let Errors { lost, reopened, gaps, malformed, unavailable, retried, unsent } = errors;
        Self { lost, reopened, gaps, malformed, unavailable, retried, unsent }
    }
}

impl ErrorCounts {
    /// Sessions lost, frames refused or never sent.
    pub fn total(&self) -> u64 {
        self.lost + self.gaps + self.malformed + self.unavailable + self.unsent
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[allow(clippy::cast_precision_loss, reason = "a share need not be exact")]
fn share(part: u64, whole: u64) -> f64 {
    if whole > 0 { part as f64 / whole as f64 } else { 0.0 }
}

#[cfg(test)]
pub(crate) mod tests;
