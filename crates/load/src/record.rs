//! The record of a run: JSON for other programs, and for comparing two runs.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::ended::{SessionVerdict, ThreadUse};
use crate::run::{IntervalStats, RunOutcome};
use crate::stats::Errors;

/// Raised when a field changes its meaning or is removed.
pub const SCHEMA_VERSION: u32 = 1;

/// What marks a file as a run's record.
const KIND: &str = "ddes bench run";

/// A thread that used at least this share of a core was at its limit.
const BUSY_SHARE: f64 = 0.9;
/// Open loop: the load itself was late if one arrival in a hundred was handled later than this,
/// and than the share [`LAG_SHARE`] of the median latency.
const LAG_NANOS: u64 = 1_000_000;
const LAG_SHARE: f64 = 0.1;

/// The parameters and results of one run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RunRecord {
    /// The version of this format: [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The constant `ddes bench run`, which identifies the kind of file.
    pub kind: String,
    /// When the run began, in RFC 3339.
    pub started: String,
    /// The version of this program.
    pub version: String,
    /// The parameters of the run.
    pub parameters: Parameters,
    /// Whether the run was stopped before its end.
    pub was_stopped: bool,
    /// The length of the measured part.
    pub seconds: f64,
    /// Values counted in the measured part.
    pub values: u64,
    /// Frames that held these values.
    pub frames: u64,
    /// Values a second, over the measured part.
    pub values_per_sec: f64,
    /// Frames a second, over the measured part.
    pub frames_per_sec: f64,
    /// Times from a frame's start (open loop: its intended start) to the 40 that covers it.
    pub latency: Latency,
    /// Times from connecting to a 20.
    pub handshake: Latency,
    /// Open loop: times from a frame's intended start to when the load handled it.
    pub lag: Option<Latency>,
    /// The errors of the run.
    pub errors: ErrorCounts,
    /// What the load itself used.
    pub generator: Generator,
    /// Whether the sums are right.
    pub verification: SumVerification,
    /// The measured intervals, in order.
    pub intervals: Vec<Interval>,
}

/// The parameters of a run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Parameters {
    /// The server, as `HOST:PORT`.
    pub server: String,
    /// The name of the suite.
    pub suite: String,
    /// The number of sessions.
    pub sessions: u32,
    /// The number of threads.
    pub threads: u32,
    /// The kind of loop: `closed` or `open`.
    pub mode: String,
    /// The values of a frame.
    pub batch: u16,
    /// The most frames of a session in flight.
    pub pipeline: u32,
    /// Open loop: values a second.
    pub rate: Option<f64>,
    /// Open loop: `constant` or `poisson`.
    pub arrivals: Option<String>,
    /// The planned length of the measured part, if one was given.
    pub duration_secs: Option<f64>,
    /// The planned number of values, if one was given.
    pub values: Option<u64>,
    /// How long the load lasted before the measured part.
    pub warmup_secs: f64,
    /// The time over which the connections were spread.
    pub ramp_secs: f64,
    /// The length of an interval.
    pub interval_secs: f64,
    /// The distribution of the values, as it was given.
    pub values_from: String,
    /// The seed of the identities and the values.
    pub seed: u64,
}

/// A distribution of times.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Latency {
    /// The number of times measured.
    pub count: u64,
    /// The mean of all of them.
    pub mean_ns: f64,
    /// The shortest of all.
    pub min_ns: u64,
    /// The median: half of them took no longer.
    pub p50_ns: u64,
    /// 90 of 100 took no longer.
    pub p90_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
    /// 999 of 1000 took no longer.
    pub p99_9_ns: u64,
    /// 9999 of 10,000 took no longer.
    pub p99_99_ns: u64,
    /// The longest of all.
    pub max_ns: u64,
    /// The whole distribution: an HdrHistogram in its V2 encoding, deflated, in base64, as its
    /// other implementations write it.
    pub histogram: String,
}

/// The counters of [`Errors`] in the form of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ErrorCounts {
    /// Sessions that ended before their time.
    pub lost: u64,
    /// Lost sessions that were opened again.
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

/// What the load itself used, and whether it was the limit.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Generator {
    /// Processor time in the measured part.
    pub cpu_secs: f64,
    /// The share of a core that each thread used.
    pub cpu_shares: Vec<f64>,
    /// The share of the time in which each thread was ready and no core was free.
    pub waiting_shares: Vec<f64>,
    /// The server's processor time in the measured part, where its process was named.
    pub server_cpu_secs: Option<f64>,
    /// Whether the load was the limit, or may have been.
    pub was_limit: bool,
    /// The reasons, one sentence each.
    pub why: Vec<String>,
}

/// Whether the server's counts and sums are those of the values sent.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct SumVerification {
    /// Sessions whose last count and sum are what was sent.
    pub right: u64,
    /// Sessions whose last count or sum is another one.
    pub wrong: Vec<WrongSession>,
    /// Sessions whose last count and sum the server did not state.
    pub open: Vec<OpenSession>,
    /// The sum over the right sessions, with what their accounts held before.
    pub sum: String,
    /// The number of values that this is the sum of.
    pub count: String,
}

/// A session whose sum, or count, is not what was sent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct WrongSession {
    /// The session's number, from 0.
    pub session: u32,
    /// The count of the values sent.
    pub expected_count: String,
    /// The sum of the values sent.
    pub expected_sum: String,
    /// The count that the server states.
    pub stated_count: String,
    /// The sum that the server states.
    pub stated_sum: String,
}

/// A session whose last count and sum the server did not state.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct OpenSession {
    /// The session's number, from 0.
    pub session: u32,
    /// Why the session was given up.
    pub why: String,
    /// Values of which nobody knows whether they count.
    pub values: u64,
}

/// What one interval measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Interval {
    /// Its end, since the measured part began.
    pub at_secs: f64,
    /// Values a second, in this interval.
    pub values_per_sec: f64,
    /// Frames answered in this interval.
    pub frames: u64,
    /// The median latency; see [`Latency`].
    pub p50_ns: u64,
    /// 99 of 100 latencies were no longer.
    pub p99_ns: u64,
    /// 999 of 1000 latencies were no longer.
    pub p99_9_ns: u64,
    /// The longest latency of the interval.
    pub max_ns: u64,
    /// Open loop: the load handled 99 of 100 arrivals no later than this.
    pub lag_p99_ns: u64,
    /// Sessions lost, frames refused or never sent.
    pub errors: u64,
    /// Sessions open at its end.
    pub sessions_up: usize,
    /// The share of a core that each thread used, on average.
    pub cpu_share: f64,
}

/// Why a text is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RunRecordError {
    /// It is not JSON of this shape.
    #[error("it is not a saved run: {0}")]
    Json(#[from] serde_json::Error),
    /// Another kind of file, or another version of it.
    #[error(
        "it is a '{kind}' of schema version {version}; this program reads '{KIND}' of version \
         {SCHEMA_VERSION}"
    )]
    Kind {
        /// The kind in the file.
        kind: String,
        /// The schema version in the file.
        version: u32,
    },
    /// A histogram does not decode.
    #[error("its histogram does not decode: {0}")]
    Histogram(String),
}

impl RunRecord {
    /// The record of a run. `server_cpu` is the server's processor time in the measured part.
    pub fn new(
        parameters: Parameters,
        started: String,
        outcome: &RunOutcome,
        intervals: Vec<Interval>,
        server_cpu: Option<Duration>,
    ) -> Result<Self, RunRecordError> {
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
            verification: SumVerification::of(&outcome.verdicts),
            intervals,
        })
    }

    /// Reads a record from its JSON text.
    pub fn parse(text: &str) -> Result<Self, RunRecordError> {
        #[derive(Deserialize)]
        struct RecordHeader {
            kind: String,
            schema_version: u32,
        }
        let header: RecordHeader = serde_json::from_str(text)?;
        if (header.kind.as_str(), header.schema_version) != (KIND, SCHEMA_VERSION) {
            return Err(RunRecordError::Kind { kind: header.kind, version: header.schema_version });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// Writes the record as JSON text.
    pub fn to_json(&self) -> Result<String, RunRecordError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Result<Self, RunRecordError> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(times, &mut bytes)
            .map_err(|error| RunRecordError::Histogram(error.to_string()))?;
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

    /// Decodes the whole distribution.
    pub fn histogram(&self) -> Result<Histogram<u64>, RunRecordError> {
        let broken = |what: String| RunRecordError::Histogram(what);
        let bytes = STANDARD.decode(&self.histogram).map_err(|error| broken(error.to_string()))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| broken(error.to_string()))
    }
}

impl Interval {
    /// Summarizes an interval of `threads` threads.
    pub fn of(measured: &IntervalStats, threads: u32, sessions_up: usize) -> Self {
        let stats = &measured.stats;
        // The threads' intervals are one and the same time.
        #[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
        let seconds = stats.span as f64 / 1e9 / f64::from(threads.max(1));
        Self {
            at_secs: measured.at.as_secs_f64(),
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
        outcome: &RunOutcome,
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

/// The reason to give for a thread that had no time left.
fn busy((thread, used): (usize, &ThreadUse)) -> Option<String> {
    let (cpu, waited) = (share(used.cpu, used.span), share(used.waited, used.span));
    if cpu >= BUSY_SHARE {
        return Some(format!(
            "thread {thread} of the load used {:.0} % of a core: the server may be able to do \
             more; add --threads",
            100.0 * cpu
        ));
    }
    (cpu + waited >= BUSY_SHARE).then(|| {
        format!(
            "thread {thread} of the load ran {:.0} % of the time and waited for a core another \
             {:.0} %: the machine has too few for both sides",
            100.0 * cpu,
            100.0 * waited
        )
    })
}

/// The reason to give for arrivals that were handled late.
fn late(outcome: &RunOutcome, intervals: &[Interval]) -> Option<String> {
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
            "the load fell further and further behind its schedule: one frame in a hundred started \
             {lag_ms:.1} ms late or more, at the end {:.1} ms",
            Duration::from_nanos(last).as_secs_f64() * 1e3
        ));
    }
    (lag > LAG_NANOS && part > LAG_SHARE).then(|| {
        format!(
            "one frame in a hundred started {lag_ms:.1} ms late or more because of the load \
             itself; the latencies include that"
        )
    })
}

impl SumVerification {
    fn of(verdicts: &[(u32, SessionVerdict)]) -> Self {
        let (mut all, mut whole_count, mut whole_sum) = (Self::default(), 0_u128, 0_i128);
        for (session, verdict) in verdicts {
            let session = *session;
            match verdict {
                SessionVerdict::Right { count, sum } => {
                    all.right += 1;
                    whole_count += u128::from(*count);
                    // Each is below 2^127 in magnitude; of many such the total is not worth a
                    // panic.
                    whole_sum = whole_sum.saturating_add(*sum);
                }
                SessionVerdict::Wrong(mismatch) => all.wrong.push(WrongSession {
                    session,
                    expected_count: mismatch.expected_count.to_string(),
                    expected_sum: mismatch.expected_sum.to_string(),
                    stated_count: mismatch.stated_count.to_string(),
                    stated_sum: mismatch.stated_sum.to_string(),
                }),
                SessionVerdict::Open { why, values } => {
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
