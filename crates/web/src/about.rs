//! What stays the same while the server runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ddes_server::Lists;
use ddes_server::endpoint::Bounds;
use ddes_wire::v2::{GroupSize, Suite};

use crate::app::lock;

/// The facts of one server.
#[derive(Clone, Debug)]
pub struct About {
    /// The release of the program.
    pub version: &'static str,
    /// Where it serves clients.
    pub address: SocketAddr,
    /// The fingerprint of its key.
    pub fingerprint: String,
    /// The suites that it accepts.
    pub suites: Vec<Suite>,
    /// Whether it also serves the classic profile.
    pub is_classic: bool,
    /// Whether it lets in whoever holds any key.
    pub allows_any: bool,
    /// What a reload may change.
    pub limits: ReloadableLimits,
    /// The most values that wait for the ledger.
    pub queued_values_max: usize,
    /// The folder of the ledger; `None` for one elsewhere.
    pub ledger: Option<PathBuf>,
    /// The URL of the database that has the ledger, without a password; `None` if none has.
    pub database: Option<String>,
    /// The lists that give identities their names; `None` if there are none.
    pub lists: Option<Lists>,
}

/// The limits that a reload may change: on connections, and on idle sessions. Clones are the same
/// limits.
#[derive(Clone, Debug)]
pub struct ReloadableLimits(Arc<Mutex<(Bounds, Duration)>>);

impl ReloadableLimits {
    /// The limits on connections, and how long a session may be idle.
    pub fn new(bounds: Bounds, idle: Duration) -> Self {
        Self(Arc::new(Mutex::new((bounds, idle))))
    }

    /// Replaces them.
    pub fn set(&self, bounds: Bounds, idle: Duration) {
        *lock(&self.0) = (bounds, idle);
    }

    pub(crate) fn bounds(&self) -> Bounds {
        lock(&self.0).0.clone()
    }

    pub(crate) fn idle(&self) -> Duration {
        lock(&self.0).1
    }
}

/// The name of a suite, as in the command line.
pub(crate) fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::Hybrid(GroupSize::Bits2048) => "hybrid",
        Suite::Hybrid(GroupSize::Bits3072) => "hybrid-3072",
        Suite::Hybrid(GroupSize::Bits4096) => "hybrid-4096",
        Suite::Ddes(GroupSize::Bits2048) => "ddes",
        Suite::Ddes(GroupSize::Bits3072) => "ddes-3072",
        Suite::Ddes(GroupSize::Bits4096) => "ddes-4096",
    }
}
