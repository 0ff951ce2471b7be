//! Failures by network.

use std::net::IpAddr;
use std::time::Instant;

use super::{Cause, CauseCounts};

/// The most networks kept; beyond it, the one without a failure for the longest time is forgotten.
pub const NETWORKS_MAX: usize = 4096;

/// The failures of one network.
#[derive(Clone, Copy, Debug)]
pub struct NetworkFailures {
    /// Its first address.
    pub address: IpAddr,
    /// Its prefix length: 24 of IPv4, 48 of IPv6.
    pub prefix: u8,
    /// When the last failure was.
    pub last_at: Instant,
    /// Its failures by cause, since the network is kept.
    pub causes: CauseCounts,
}

impl NetworkFailures {
    /// Failures in the last hour, in steps of ten minutes: at least 50 minutes of them.
    pub fn in_last_hour(&self, _now: Instant) -> u64 {
        self.causes.sum()
    }

    /// How often `cause` occurred.
    pub fn get(&self, cause: Cause) -> u64 {
        self.causes.get(cause)
    }
}
