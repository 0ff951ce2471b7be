//! The loop's side of a [`Watch`]: what it counts beside the endpoint, and when it publishes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_ledger::Health;

use super::{DriverCounts, PUBLISH_EVERY, Watch};
use crate::endpoint::Endpoint;

/// How soon to try again after a reader held the lock.
const RETRY: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Publisher {
    watch: Arc<Watch>,
    due: Instant,
    pub(crate) counts: DriverCounts,
}

impl Publisher {
    pub(crate) fn new(watch: Arc<Watch>, now: Instant, health: Health) -> Self {
        let mut counts = DriverCounts::default();
        counts.ledger.health = health;
        Self { watch, due: now, counts }
    }

    /// When to call [`Self::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Publishes if it is time for that.
    pub(crate) fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if self.due <= now {
            self.publish(now, endpoint);
        }
    }

    /// Publishes now: for the first moment of a stop and the last one.
    pub(crate) fn publish(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let is_published = self.watch.publish(now, endpoint, &self.counts);
        self.due = now + if is_published { PUBLISH_EVERY } else { RETRY };
    }
}
