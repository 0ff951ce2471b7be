//! Puts load on a D-DDES/2 server, measures it without flattering it, and checks its sums.
//!
//! - A run has many sessions, each of an identity of its own, over a few threads; each thread is
//!   one event loop ([`Run`]).
//! - A closed loop keeps a number of frames of each session in flight. An open loop sends by the
//!   clock, and its latencies count from the intended start, so they include waiting that a
//!   stalling server causes.
//! - What the server states of an account is compared with what was sent, at every 40 and in the
//!   last 50.
//! - A run reports when the load itself was the limit.

mod account;
mod alarm;
mod chart;
mod compare;
mod ended;
mod figures;
mod html;
mod identity;
mod plan;
mod processor;
mod record;
mod run;
mod schedule;
mod shared;
mod socket;
mod stats;
mod traffic;
mod values;
mod worker;

pub use account::Mismatch;
pub use compare::{CompareRow, Comparison, Spread, compare};
pub use ended::{GivenUp, SessionVerdict, ThreadUse};
pub use figures::{nanos, short, time};
pub use html::page;
pub use identity::key;
pub use plan::{PIPELINE_MAX, Pace, Plan, SESSIONS_MAX, THREADS_MAX, Until};
pub use processor::cpu_of;
pub use record::{
    ErrorCounts, Generator, Interval, Latency, OpenSession, Parameters, RunRecord, RunRecordError,
    SCHEMA_VERSION, SumVerification, WrongSession,
};
pub use run::{IntervalStats, Run, RunError, RunOutcome};
pub use schedule::Arrivals;
pub use stats::{Errors, Stats};
pub use values::Values;
