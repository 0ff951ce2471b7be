//! The D-DDES protocol as state machines without I/O.
//!
//! A session takes bytes, the time and randomness as arguments, and says what to send, when to wake
//! and what happened. A driver calls, in any order and until [`Phase::Done`]:
//!
//! - `handle_bytes`, `handle_eof`: what the peer sent, while `wants_bytes` says so;
//! - `pending`, `sent`: what to send, and how much of it was sent;
//! - `poll_timeout`, `handle_timeout`: when to wake;
//! - `poll_work`, `handle_done`: the handshake's computations, to run on any thread;
//! - `poll_event`: what happened; a submission among them is answered through its [`Ticket`].
//!
//! The server's side of a D-DDES/2 session takes the verdicts of several submissions, then answers
//! them together (`handle_verdict`, `flush_answers`). Its driver also decides when it processes
//! frames that had to wait (`has_backlog`, `process_backlog`), so that one session does not delay
//! the others.
//!
//! A session never panics, whatever the peer sends, and holds bounded memory.

pub mod classic;
mod inbound;
mod outbound;
mod tap;
pub mod v2;
pub mod wiretap;

pub use outbound::{STALL_MAX, UNSENT_BYTES_MAX};
pub use tap::{Direction, SEEN_FRAMES_MAX, SeenFrame, SeenFrames};

use std::num::NonZeroU32;
use std::time::Duration;

use ddes_wire::saturating;

/// How long a finished session waits for the peer to close. Closing earlier could cause a reset,
/// and the peer would lose the last frame.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The cost of a handshake over a prime of `prime_bytes`, in handshakes over 2048 bits: 1, 2 and 4
/// for 2048, 3072 and 4096 bits (docs/benchmarks.md measures 1, 2.3 and 4.5).
fn cost(prime_bytes: usize) -> NonZeroU32 {
    let kilobits = saturating::to_u32(prime_bytes as u64 / 128);
    let beyond_one = (kilobits.saturating_mul(kilobits) / 4).saturating_sub(1);
    NonZeroU32::MIN.saturating_add(beyond_one)
}

/// The right to answer one submission. Not `Clone`, so no submission is answered twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a submission is answered through its ticket"]
pub struct Ticket(u64);

impl Ticket {
    fn redeem(self) -> u64 {
        self.0
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The session can still send and receive.
    Live,
    /// The session sends nothing beyond `pending`. Once that is empty, shut down the sending
    /// direction and keep reading.
    Draining,
    /// The session is over: close the connection.
    Done,
}

#[cfg(test)]
mod tests {
    use super::cost;

    /// In steps of 1, as docs/benchmarks.md measures them.
    #[test]
    fn a_longer_prime_costs_more_handshakes() {
        let cost = |bits| cost(bits / 8).get();
        assert_eq!([1024, 2048, 3072, 4096, 8192].map(cost), [1, 1, 2, 4, 16]);
        assert_eq!(cost(usize::MAX), u32::MAX / 4);
    }
}
