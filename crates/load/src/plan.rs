//! What a run is to do.

use std::net::SocketAddr;
use std::time::Duration;

use ddes_identity::PublicKey;
use ddes_wire::v2::{Suite, VALUES_MAX};

use crate::schedule::Arrivals;
use crate::values::Values;

/// The most sessions of a run.
pub const SESSIONS_MAX: u32 = 1_000_000;
/// The most threads of a run.
pub const THREADS_MAX: u32 = 256;
/// The most frames of one session in flight.
pub const PIPELINE_MAX: u32 = 65_536;

/// The most handshakes of all threads at a time: a server accepts 256 connections of one address
/// that have not proven an identity.
pub(crate) const HANDSHAKES_MAX: usize = 64;

/// All parameters of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server's resolved address.
    pub address: SocketAddr,
    /// The keys that the server may prove; another one ends the run.
    pub trusted: Vec<PublicKey>,
    /// The suite of every session.
    pub suite: Suite,
    /// Sessions, each of an identity of its own; at least as many as threads.
    pub sessions: u32,
    /// Threads, each with an event loop for its share of the sessions.
    pub threads: u32,
    /// The seed of the identities and the values.
    pub seed: u64,
    /// When frames are sent.
    pub pace: Pace,
    /// Values in a frame.
    pub batch: u16,
    /// The most frames of one session in flight.
    pub pipeline: u32,
    /// The distribution of the values.
    pub values: Values,
    /// When the measured part ends.
    pub until: Until,
    /// How long the load lasts before the measured part.
    pub warmup: Duration,
    /// The time over which the connections are spread.
    pub ramp: Duration,
    /// The length of a measured interval.
    pub interval: Duration,
    /// Longest wait for a handshake, and for an answer.
    pub timeout: Duration,
    /// How long a session that was lost tries to connect again.
    pub patience: Duration,
}

/// How a run is paced.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// A frame is sent when one is answered.
    Closed,
    /// Frames are sent by the clock.
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
    /// This long after the warm-up.
    Elapsed(Duration),
    /// After this many values, the warm-up's not counted.
    Sent(u64),
}

impl Plan {
    /// Checks every bound. The error names the first that does not hold.
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

    /// One session's share of the values, if the run has a number of them. Shares differ by at most
    /// one.
    pub(crate) fn share(&self, session: u32) -> Option<u64> {
        let Until::Sent(values) = self.until else { return None };
        let (sessions, session) = (u64::from(self.sessions), u64::from(session));
        Some(values / sessions + u64::from(session < values % sessions))
    }
}
