//! Rate limits per network: a token bucket for each, and a bound on their number (rule P-28).
//!
//! The crate governor decides. Its clock is set by the caller, so time is an argument.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::network::Network;

/// The size of a bucket, in seconds of its rate: after an outage a whole site reconnects at once.
const BURST_SECS: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// The most buckets kept, in 2 MiB. Full buckets are forgotten each second, so only a flood from
/// more networks than this within a second exceeds it. All networks without a bucket then share
/// one. Evicting buckets instead would give a flood fresh ones without end, and refusing all new
/// networks would shut out more clients than necessary. Networks that have a bucket keep it and are
/// not affected.
const NETWORKS_MAX: usize = 50_000;

/// A rate limit that applies to each network separately.
#[derive(Debug)]
pub(crate) struct Rate {
    per_sec: NonZeroU32,
    burst: NonZeroU32,
    limiter: RateLimiter<Network, Buckets, GivenClock, NoOpMiddleware<Duration>>,
}

impl Rate {
    pub(crate) fn new(per_sec: NonZeroU32) -> Self {
        let burst = per_sec.saturating_mul(BURST_SECS);
        let quota = Quota::per_second(per_sec).allow_burst(burst);
        Self {
            per_sec,
            burst,
            limiter: RateLimiter::new(quota, Buckets::default(), GivenClock::default()),
        }
    }

    /// Takes `count` tokens from the bucket of `network`, or returns the rate that it exceeds. A
    /// count larger than a bucket takes a whole bucket.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        network: Network,
        count: NonZeroU32,
    ) -> Result<(), u32> {
        self.limiter.clock().set(now);
        match self.limiter.check_key_n(&network, count.min(self.burst)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.per_sec.get()),
        }
    }

    /// Forgets buckets that are full again.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.limiter.clock().set(now);
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// A clock that is set from outside. It starts at the first time that it is set to.
#[derive(Debug, Default)]
struct GivenClock {
    first: Cell<Option<Instant>>,
    since: Cell<Duration>,
}

impl GivenClock {
    fn set(&self, now: Instant) {
        let first = self.first.get().unwrap_or(now);
        self.first.set(Some(first));
        self.since.set(now.saturating_duration_since(first));
    }
}

impl Clock for GivenClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.since.get()
    }
}

/// When each bucket will be full again; full ones are not kept.
#[derive(Debug, Default)]
struct Buckets {
    of: RefCell<HashMap<Network, Nanos>>,
    /// The bucket shared by all networks beyond [`NETWORKS_MAX`].
    shared: Cell<Option<Nanos>>,
}

impl StateStore for Buckets {
    type Key = Network;

    fn measure_and_replace<T, F, E>(&self, network: &Network, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut of = self.of.borrow_mut();
        let has_room = of.len() < NETWORKS_MAX;
        match of.entry(*network) {
            Entry::Occupied(mut bucket) => {
                let (outcome, full_at) = decide(Some(*bucket.get()))?;
                bucket.insert(full_at);
                Ok(outcome)
            }
            Entry::Vacant(bucket) if has_room => {
                let (outcome, full_at) = decide(None)?;
                bucket.insert(full_at);
                Ok(outcome)
            }
            Entry::Vacant(_) => {
                let (outcome, full_at) = decide(self.shared.get())?;
                self.shared.set(Some(full_at));
                Ok(outcome)
            }
        }
    }
}

impl ShrinkableKeyedStateStore<Network> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        self.of.borrow_mut().retain(|_, full_at| *full_at > drop_below);
    }

    /// Keeps room for as many again, so that a steady number of networks causes no reallocation.
    fn shrink_to_fit(&self) {
        let mut of = self.of.borrow_mut();
        let room = of.len() * 2;
        of.shrink_to(room);
    }

    fn len(&self) -> usize {
        self.of.borrow().len()
    }

    fn is_empty(&self) -> bool {
        self.of.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u32) -> Network {
        Network::of((std::net::Ipv4Addr::from(number), 1).into())
    }

    fn full(rate: &mut Rate, now: Instant, network: Network) -> u32 {
        std::iter::from_fn(|| rate.take(now, network, NonZeroU32::MIN).ok())
            .take(1_000_000)
            .map(|()| 1)
            .sum()
    }

    #[test]
    fn a_hundred_thousand_networks_take_no_more_room_than_is_kept_and_give_it_back() {
        let (mut rate, start) = (Rate::new(NonZeroU32::new(3).unwrap()), Instant::now());
        let old = network(0);
        assert_eq!(rate.take(start, old, NonZeroU32::MIN), Ok(()));
        let passed = (1..=100_000)
            .filter(|number| rate.take(start, network(*number), NonZeroU32::MIN).is_ok())
            .count();
        // Each of those with a bucket, and of the others as many as of one.
        assert_eq!(rate.limiter.len(), NETWORKS_MAX);
        assert_eq!(passed, NETWORKS_MAX - 1 + 6);
        assert_eq!(full(&mut rate, start, network(1_000_000)), 0);
        assert_eq!(full(&mut rate, start, old), 5);

        rate.forget(start + Duration::from_secs(1));
        assert_eq!(rate.limiter.len(), 1);
        assert!(rate.limiter.into_state_store().of.into_inner().capacity() < 16);
    }

    #[test]
    fn what_is_forgotten_had_a_full_bucket() {
        let (mut rate, start) = (Rate::new(NonZeroU32::new(100).unwrap()), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(full(&mut rate, start, network(1)), 200);
        for millis in [10, 1000, 1990] {
            rate.forget(at(millis));
            assert_eq!(rate.limiter.len(), 1, "{millis}");
        }
        rate.forget(at(2010));
        assert_eq!(rate.limiter.len(), 0);
        assert_eq!(full(&mut rate, at(2010), network(1)), 200);
    }
}
