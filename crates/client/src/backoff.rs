//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(30);

/// Waits that double up to 30 s, each drawn evenly between nothing and its bound, so that clients
/// that lost a server together do not come back together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    attempts: u32,
    most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(MOST)
    }
}

impl Backoff {
    /// Waits of at most `most`.
    pub fn up_to(most: Duration) -> Self {
        Self { attempts: 0, most }
    }

    /// The next wait; `random` is even over all of u64.
    pub fn next(&mut self, random: u64) -> Duration {
        let bound = FIRST.saturating_mul(2_u32.saturating_pow(self.attempts)).min(self.most);
        self.attempts = self.attempts.saturating_add(1);
        #[allow(clippy::cast_precision_loss, reason = "a wait need not be exact")]
        bound.mul_f64(random as f64 / u64::MAX as f64)
    }

    /// Starts again with the shortest wait.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stay_below_half_a_minute() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.next(u64::MAX)).collect();
        assert_eq!(waits[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(waits[11], MOST);
        assert_eq!(backoff.next(0), Duration::ZERO);
        assert_eq!(backoff.next(u64::MAX / 2).as_secs(), 15);
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX), FIRST);
    }
}
