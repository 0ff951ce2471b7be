//! The open loop: when frames should start, independent of the server.

use crate::values::{GOLDEN, mix};

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// All intervals are equal.
    Constant,
    /// Each arrival is independent of the others: intervals are exponential.
    Poisson,
}

/// The intended starts of frames, in nanoseconds since the run began. It does not depend on the
/// answers, so a server that stalls does not reduce the load that measures it.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    arrivals: Arrivals,
    /// The mean number of nanoseconds between two starts.
    interval: f64,
    /// The next start, with its fraction, so that rounding errors do not add up.
    next: f64,
    random: u64,
}

impl Schedule {
    /// `rate` frames a second. The first constant arrival is at `start`; the first Poisson arrival
    /// is a random interval later.
    pub(crate) fn new(arrivals: Arrivals, rate: f64, start: f64, seed: u64) -> Self {
        let mut schedule = Self { arrivals, interval: 1e9 / rate, next: start, random: mix(seed) };
        if arrivals == Arrivals::Poisson {
            schedule.next += schedule.draw();
        }
        schedule
    }

    /// Moves all starts to come by `nanos` nanoseconds.
    pub(crate) fn delay(&mut self, nanos: u64) {
        #[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
        let nanos = nanos as f64;
        self.next += nanos;
    }

    /// The next intended start.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from f64 stays in range"
    )]
    pub(crate) fn peek(&self) -> u64 {
        self.next as u64
    }

    /// Moves to the start after it.
    pub(crate) fn advance(&mut self) {
        self.next += self.draw();
    }

    fn draw(&mut self) -> f64 {
        match self.arrivals {
            Arrivals::Constant => self.interval,
            Arrivals::Poisson => {
                self.random = self.random.wrapping_add(GOLDEN);
                // Even over (0, 1]: 53 bits, and never 0, whose logarithm has no end.
                #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
                let even = ((mix(self.random) >> 11) + 1) as f64 / 2_f64.powi(53);
                -even.ln() * self.interval
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(arrivals: Arrivals, rate: f64, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(arrivals, rate, 0.0, 1);
        let mut next = || {
            let at = schedule.peek();
            schedule.advance();
            at
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn constant_arrivals_do_not_drift() {
        // A third of a nanosecond is lost in each interval, if rounded: 3 s in 10^10.
        let starts = starts(Arrivals::Constant, 3e6, 3_000_001);
        assert_eq!(starts[..4], [0, 333, 666, 1000]);
        assert!(starts[3_000_000].abs_diff(1_000_000_000) <= 1);
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_spread_of_their_rate() {
        let starts = starts(Arrivals::Poisson, 1e6, 200_000);
        let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Both are the interval, for exponential gaps.
        assert!((990.0..1010.0).contains(&mean), "{mean}");
        assert!((980.0..1020.0).contains(&variance.sqrt()), "{}", variance.sqrt());
        // And e^-1 of them are longer than the mean.
        let longer = gaps.iter().filter(|gap| **gap > mean).count() as f64 / gaps.len() as f64;
        assert!((0.36..0.376).contains(&longer), "{longer}");
    }
}
