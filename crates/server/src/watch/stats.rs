//! The server's counters and gauges.

use std::time::{Duration, Instant};

use ddes_ledger::Health;
use ddes_ledger::keeper::KeeperCounts;

use super::{Cause, CauseCounts, Histogram};

/// The profile that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// The client has not shown yet which profile it speaks.
    Undecided,
    /// D-DDES/2.
    V2,
    /// The classic profile.
    Classic,
}

impl Profile {
    /// The name in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::V2 => "v2",
            Self::Classic => "classic",
        }
    }
}

/// What the server counted and holds, at one time.
#[derive(Clone, Debug)]
pub struct ServerStats {
    /// When the server began to count.
    pub started: Instant,
    /// When this was published. While the server runs it is at most a second old, unless the
    /// server is stuck.
    pub at: Instant,
    /// What happened since the start.
    pub counts: Counts,
    /// What the server holds.
    pub gauges: Gauges,
    /// The ledger's part.
    pub ledger: LedgerCounts,
    /// Errors found in the lists of authorized keys.
    pub access_errors: u64,
    /// Errors that these lists have now.
    pub access_faults: u64,
    /// Whether the server is stopping: it accepts no connections any more.
    pub is_stopping: bool,
}

/// What happened since the start. Every number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were refused.
    pub refused: CauseCounts,
    /// Handshakes that opened a session.
    pub handshakes_completed: u64,
    /// Accepted connections that ended before a session was open.
    pub handshakes_failed: CauseCounts,
    /// Sessions of D-DDES/2.
    pub v2: SessionCounts,
    /// Sessions of the classic profile.
    pub classic: SessionCounts,
    /// 30s with a valid token and MAC, each with at least one value.
    pub submissions: u64,
    /// The values of these.
    pub values: u64,
    /// 40s sent for submissions.
    pub results: u64,
    /// Bytes received on accepted connections.
    pub received_bytes: u64,
    /// Bytes sent on accepted connections.
    pub sent_bytes: u64,
}

/// Sessions of one profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Sessions whose token was sent.
    pub opened: u64,
    /// How these ended.
    pub ended: CauseCounts,
}

/// What the server holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Open connections.
    pub connections: usize,
    /// Connections that count against the bound on unproven ones.
    pub unproven: usize,
    /// Connections that count against the bound on classic sessions.
    pub classic: usize,
    /// Handshakes that are being computed or wait for it.
    pub handshakes: usize,
    /// Values that wait for the ledger.
    pub queued_values: usize,
}

/// What the ledger did since the start, and whether it can be written.
#[derive(Clone, Debug)]
pub struct LedgerCounts {
    /// Whether it can be written.
    pub health: Health,
    /// The time of each batch, from when the ledger was given it until it was durable. Its
    /// [`Histogram::count`] is the number of batches.
    pub commits: Histogram,
    /// Checkpoints that could not be written.
    pub checkpoint_failures: u64,
    /// What was done with the database; `None` of a ledger that is in none.
    pub database: Option<KeeperCounts>,
}

/// What the driver of an endpoint knows beside it.
#[derive(Clone, Debug, Default)]
pub struct DriverCounts {
    /// The ledger's part.
    pub ledger: LedgerCounts,
    /// Errors found in the lists of authorized keys.
    pub access_errors: u64,
    /// Errors that these lists have now.
    pub access_faults: u64,
    /// Whether the server is stopping.
    pub is_stopping: bool,
}

impl Default for LedgerCounts {
    fn default() -> Self {
        Self {
            health: Health::Good,
            commits: Histogram::default(),
            checkpoint_failures: 0,
            database: None,
        }
    }
}

impl ServerStats {
    /// How often `cause` refused a connection, failed a handshake or ended a session.
    pub fn occurrences(&self) -> CauseCounts {
        let Counts { refused, handshakes_failed, v2, classic, .. } = &self.counts;
        refused.plus(handshakes_failed).plus(&v2.ended).plus(&classic.ended)
    }

    /// How long the server has been counting.
    pub fn uptime(&self) -> Duration {
        self.at.saturating_duration_since(self.started)
    }

    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            at: now,
            counts: Counts::default(),
            gauges: Gauges::default(),
            ledger: LedgerCounts::default(),
            access_errors: 0,
            access_faults: 0,
            is_stopping: false,
        }
    }
}

impl SessionCounts {
    /// Sessions that are open.
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.ended.sum())
    }
}

impl Counts {
    /// The counts of a profile's sessions. An undecided connection that ends counts as D-DDES/2.
    pub(crate) fn of_profile(&mut self, profile: Profile) -> &mut SessionCounts {
        match profile {
            Profile::V2 | Profile::Undecided => &mut self.v2,
            Profile::Classic => &mut self.classic,
        }
    }

    pub(crate) fn end(&mut self, profile: Profile, was_open: bool, cause: Cause) {
        if was_open {
            self.of_profile(profile).ended.add(cause);
        } else {
            self.handshakes_failed.add(cause);
        }
    }
}
