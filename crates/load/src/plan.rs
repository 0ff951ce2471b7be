//! What a run is to do.

use std::net::SocketAddr;
use std::time::Duration;

use ddes_identity::PublicKey;
use ddes_wire::v2::{Suite, VALUES_MAX};

use crate::schedule::Arrivals;
use crate::values::Values;

/// The most sessions, threads, and frames of a session on their way.
pub const SESSIONS_MAX: u32 = 1_000_000;
/// See [`SESSIONS_MAX`].
pub const THREADS_MAX: u32 = 256;
/// See [`SESSIONS_MAX`].
pub const PIPELINE_MAX: u32 = 65_536;

/// Handshakes of all threads at a time: the server lets in 256 of one address that have not proven
/// themselves.
pub(crate) const HANDSHAKES_MAX: usize = 64;

/// A whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server, resolved.
    pub address: SocketAddr,
    /// Its keys; another one ends the run.
    pub trusted: Vec<PublicKey>,
    /// The suite spoken.
    pub suite: Suite,
    /// Sessions, each of an identity of its own; at least as many as threads.
    pub sessions: u32,
    /// Threads.
    pub threads: u32,
    /// What the identities and the values are made of.
    pub seed: u64,
    /// How it is paced.
    pub pace: Pace,
    /// Values in a frame.
    pub batch: u16,
    /// Frames of one session on their way, at most.
    pub pipeline: u32,
    /// What is sent.
    pub values: Values,
    /// How long, or how much.
    pub until: Until,
    /// Load before the measured part.
    pub warmup: Duration,
    /// Over how long the connections are spread.
    pub ramp: Duration,
    /// How often what was measured is handed out.
    pub interval: Duration,
    /// Longest wait for a handshake, and for an answer.
    pub timeout: Duration,
    /// For how long a lost session is tried again.
    pub patience: Duration,
}

/// How a run is paced.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// A frame goes out when one was answered.
    Closed,
    /// Frames go out by the clock.
    Open {
        /// Values a second, of all sessions.
        rate: f64,
        /// How they are spaced.
        arrivals: Arrivals,
    },
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So long after the warm-up.
    Elapsed(Duration),
    /// So many values after the warm-up.
    Sent(u64),
}

impl Plan {
    /// What is wrong with it, in words.
    pub fn check(&self) -> Result<(), String> {
        let within = |what: &str, value: u64, most: u64| match value {
            0 => Err(format!("{what} must be at least 1")),
            value if value > most => Err(format!("{what} is at most {most}")),
            _ => Ok(()),
        };
        within("the number of sessions", self.sessions.into(), SESSIONS_MAX.into())?;
        within("the number of threads", self.threads.into(), THREADS_MAX.into())?;
        within("the pipeline", self.pipeline.into(), PIPELINE_MAX.into())?;
        within("the batch", self.batch.into(), VALUES_MAX.into())?;
        if self.threads > self.sessions {
            return Err(format!(
                "{} threads have nothing to do with {} sessions",
                self.threads, self.sessions
            ));
        }
        if let Pace::Open { rate, .. } = self.pace
            && !(rate.is_finite() && (1e-3..=1e12).contains(&rate))
        {
            return Err("a rate is between 0.001 and 10^12 values a second".into());
        }
        if self.interval.is_zero() {
            return Err("the interval must not be zero".into());
        }
        match self.until {
            Until::Elapsed(duration) if duration.is_zero() => {
                Err("the duration must not be zero".into())
            }
            Until::Sent(0) => Err("the number of values must be at least 1".into()),
            Until::Elapsed(_) | Until::Sent(_) => Ok(()),
        }
    }

    /// The share of values of one session, where the run has a number of them: they differ by one
    /// at most.
    pub(crate) fn share(&self, session: u32) -> Option<u64> {
        let Until::Sent(values) = self.until else { return None };
        let (sessions, session) = (u64::from(self.sessions), u64::from(session));
        Some(values / sessions + u64::from(session < values % sessions))
    }
}
