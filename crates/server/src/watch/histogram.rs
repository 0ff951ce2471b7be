//! Durations counted in fixed buckets, whose widths grow with the duration.
//!
//! Each power of two is divided into [`STEPS`] equal buckets, so a bucket's middle is within 1/32
//! of every duration in it (as in Tene's HdrHistogram). Counts of a window are the difference of
//! two states.

use std::time::Duration;

use ddes_wire::saturating::nanos;

/// The buckets of one power of two.
const STEPS: usize = 1 << STEP_BITS;
const STEP_BITS: u32 = 4;
/// Longer durations, from 2^38 ns (275 s) on, count in the last bucket.
const BITS_MAX: u32 = 38;
const BUCKETS: usize = STEPS * (BITS_MAX - STEP_BITS + 1) as usize;

/// Counts of durations from 1 ns to 4.5 minutes, exact to 3.2 %.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum_nanos: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum_nanos: 0 }
    }
}

impl Histogram {
    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all durations.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }

    /// The duration that the share `quantile` (0 to 1) of all durations does not exceed, to 3.2 %;
    /// `None` without durations.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let count = self.count();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank from 1 to the count; a count above 2^53 takes centuries"
        )]
        let rank = ((count as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let (low, high) = bounds(bucket);
        Some(Duration::from_nanos(low + (high - low) / 2))
    }

    /// How many durations were at most `limit`, as far as the buckets tell: a bucket counts if
    /// it ends at or below the limit.
    pub fn count_up_to(&self, limit: Duration) -> u64 {
        let limit = nanos(limit);
        let below = (0..BUCKETS).take_while(|bucket| bounds(*bucket).1 <= limit);
        below.map(|bucket| self.counts[bucket]).sum()
    }

    /// What was counted since `earlier`, an older state of the same histogram.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            counts: std::array::from_fn(|at| self.counts[at].saturating_sub(earlier.counts[at])),
            sum_nanos: self.sum_nanos.saturating_sub(earlier.sum_nanos),
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (count, other) in self.counts.iter_mut().zip(other.counts) {
            *count += other;
        }
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = nanos(duration);
        self.counts[bucket(nanos)] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }
}

/// The bucket of a duration.
fn bucket(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.leading_zeros();
    let shift = bits.saturating_sub(STEP_BITS + 1);
    #[allow(clippy::cast_possible_truncation, reason = "five bits are left")]
    let step = (nanos >> shift) as usize;
    (STEPS * shift as usize + step).min(BUCKETS - 1)
}

/// The least duration of a bucket, and the least of the next one.
fn bounds(bucket: usize) -> (u64, u64) {
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = (bucket - STEPS * shift) as u64;
    (step << shift, (step + 1) << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_inside_its_bucket_and_buckets_follow_each_other() {
        for at in 1..BUCKETS {
            assert_eq!(bounds(at).0, bounds(at - 1).1, "{at}");
        }
        for bits in 0..BITS_MAX {
            for nanos in [1_u64 << bits, (1 << bits) + 1, (1 << bits) * 3 / 2, (2 << bits) - 1] {
                let (low, high) = bounds(bucket(nanos));
                assert!((low..high).contains(&nanos), "{nanos}: {low} to {high}");
            }
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bounds(BUCKETS - 1).1, 1 << BITS_MAX);
        assert_eq!(bucket((1 << BITS_MAX) - 1), BUCKETS - 1);
        assert_eq!((bucket(1 << BITS_MAX), bucket(u64::MAX)), (BUCKETS - 1, BUCKETS - 1));
    }

    #[test]
    fn quantiles_of_a_window_are_exact_to_five_percent() {
        let mut before = Histogram::default();
        assert_eq!((before.quantile(0.5), before.count()), (None, 0));
        for _ in 0..1000 {
            before.record(Duration::from_secs(9));
        }
        let mut after = before.clone();
        // 1 to 10,000 steps of 137 ns.
        for step in 1..=10_000 {
            after.record(Duration::from_nanos(137 * step));
        }
        let window = after.since(&before);
        assert_eq!(window.count(), 10_000);
        for (quantile, expected) in [(0.5, 685_000), (0.99, 1_356_300), (1.0, 1_370_000)] {
            let found = window.quantile(quantile).unwrap().as_nanos().cast_signed();
            assert!((found - expected).abs() * 20 <= expected, "{quantile}: {found}");
        }
        assert_eq!(window.sum(), Duration::from_nanos(137 * 10_000 * 10_001 / 2));
        before.merge(&window);
        assert_eq!(before, after);
        assert_eq!(after.count_up_to(Duration::from_secs(1)), 10_000);
        assert_eq!(after.count_up_to(Duration::from_secs(100)), 11_000);
    }
}
