//! Measurements that can be added over threads and over intervals.

use ddes_wire::v2::Status;
use hdrhistogram::Histogram;

/// Latencies up to an hour are kept to three digits; longer ones count as an hour.
const LATENCY_NANOS_MAX: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// Counts of what went wrong, also where a retry succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
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
    /// Open loop: frames that were due and never sent because too many were waiting.
    pub unsent: u64,
}

impl Errors {
    /// Sessions lost, and frames refused or never sent. Retries and reopened sessions follow from
    /// these and are not added.
    pub fn total(&self) -> u64 {
        self.lost + self.gaps + self.malformed + self.unavailable + self.unsent
    }

    pub(crate) fn refused(&mut self, status: Status) {
        match status {
            Status::Applied => {}
            Status::Gap => self.gaps += 1,
            Status::Malformed => self.malformed += 1,
            Status::Unavailable => self.unavailable += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.reopened += other.reopened;
        self.gaps += other.gaps;
        self.malformed += other.malformed;
        self.unavailable += other.unavailable;
        self.retried += other.retried;
        self.unsent += other.unsent;
    }
}

/// What one or more threads measured in one or more intervals.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Values counted within the interval.
    pub values: u64,
    /// Frames that held these values.
    pub frames: u64,
    /// Times from the intended start of a frame to the 40 that covers it, in nanoseconds.
    pub latency: Histogram<u64>,
    /// Open loop: times from the intended start to when the load handled it, in nanoseconds.
    pub lag: Histogram<u64>,
    /// Counts of what went wrong.
    pub errors: Errors,
    /// The length of the intervals in nanoseconds, added over the threads.
    pub span: u64,
    /// The processor time of these threads, in nanoseconds.
    pub cpu: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            values: 0,
            frames: 0,
            latency: histogram(),
            lag: histogram(),
            errors: Errors::default(),
            span: 0,
            cpu: 0,
        }
    }
}

impl Stats {
    /// Adds the measurements of another thread or interval.
    pub fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.frames += other.frames;
        add_histogram(&mut self.latency, &other.latency);
        add_histogram(&mut self.lag, &other.lag);
        self.errors.add(&other.errors);
        self.span += other.span;
        self.cpu += other.cpu;
    }

    /// Whether anything was measured.
    pub(crate) fn is_filled(&self) -> bool {
        self.span > 0 || !self.latency.is_empty() || self.errors != Errors::default()
    }

    /// Resets all but the errors: those of the warm-up count as well.
    pub(crate) fn forget_warmup(&mut self) {
        let errors = self.errors;
        self.reset();
        self.errors = errors;
    }

    /// Sets all numbers to zero and keeps the memory.
    pub(crate) fn reset(&mut self) {
        self.values = 0;
        self.frames = 0;
        self.latency.reset();
        self.lag.reset();
        self.errors = Errors::default();
        self.span = 0;
        self.cpu = 0;
    }
}

/// An empty histogram of latencies.
#[allow(clippy::expect_used, reason = "constant bounds; any test that measures would find out")]
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NANOS_MAX, DIGITS)
        .expect("bounds in order, digits in range")
}

/// Adds the counts of one histogram to another; both are made by [`histogram`].
#[allow(clippy::expect_used, reason = "all histograms have the same constant bounds")]
pub(crate) fn add_histogram(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    if !from.is_empty() {
        to.add(from).expect("both have the same bounds");
    }
}
