//! The D-DDES protocol as state machines without I/O.
//!
//! | I want to … | type |
//! |---|---|
//! | be the client of one session | [`v2::ClientSession`], [`v2::ClientConfig`], [`v2::ClientEvent`] |
//! | be the server of one session | [`v2::ServerSession`], [`v2::ServerConfig`], [`v2::ServerEvent`] |
//! | run the handshake's computations on another thread | [`v2::HandshakeWork`], [`v2::HandshakeDone`] |
//! | answer each submission once | [`Ticket`], [`v2::Refused`] |
//! | know when a connection may be closed | [`Phase`] |
//! | do the handshake alone | [`v2::noise`] |
//! | seal and open records alone | [`v2::record::Sealer`], [`v2::record::Opener`] |
//! | do the same on the wire of the original programs | [`classic`] |
//! | capture what passes | [`wiretap`] |
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
//!
//! Both ends of a session, without a network between them:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! use ddes_identity::{Namespace, SigningKey};
//! use ddes_session::v2::noise::Entropy;
//! use ddes_session::v2::{
//!     ClientConfig, ClientEvent, ClientSession, ServerConfig, ServerEntropy, ServerEvent,
//!     ServerSession,
//! };
//! use ddes_wire::v2::{GroupSize, Suite};
//! use ddes_wire::{Sequence, SessionNumber, Standing};
//! use zeroize::Zeroizing;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let suite = Suite::Hybrid(GroupSize::Bits2048);
//! let (now, minute) = (Instant::now(), Duration::from_secs(60));
//! // Yours come from the system's generator.
//! let entropy = |seed| Entropy {
//!     dh: Zeroizing::new(vec![seed; 64]),
//!     kem: Zeroizing::new([seed; 64]),
//! };
//! let anna = SigningKey::from_seed(&[1; 32]);
//! let key = SigningKey::from_seed(&[2; 32]);
//! let known = key.public();
//!
//! let config = ClientConfig { suite, handshake: minute, reply: minute };
//! let mut client = ClientSession::new(config, now, entropy(3));
//! let config =
//!     ServerConfig { suites: vec![suite], key, idle: minute, handshake: minute, values_max: 100 };
//! let drawn = ServerEntropy { noise: entropy(4), token: Zeroizing::new([5; 16]) };
//! let mut server = ServerSession::new(Arc::new(config), now, drawn);
//! let mut standing = Standing::default();
//!
//! let sum = loop {
//!     // A driver's part: computations, and bytes both ways.
//!     if let Some(work) = client.poll_work() {
//!         client.handle_done(now, work.run());
//!     }
//!     if let Some(work) = server.poll_work() {
//!         server.handle_done(now, work.run());
//!     }
//!     let bytes = client.pending().to_vec();
//!     client.sent(now, bytes.len());
//!     server.handle_bytes(now, &bytes);
//!     let bytes = server.pending().to_vec();
//!     server.sent(now, bytes.len());
//!     client.handle_bytes(now, &bytes);
//!
//!     // A server's part: who may connect, and what is counted.
//!     match server.poll_event() {
//!         Some(ServerEvent::Authenticated { ticket, key }) => {
//!             assert_eq!(*key, anna.public());
//!             server.admit(now, ticket, SessionNumber::new(1), standing, false);
//!         }
//!         Some(ServerEvent::Submit { ticket, amounts, .. }) => {
//!             for amount in &amounts {
//!                 standing.last_seq = standing.last_seq.forward(1)?;
//!                 standing.sum = standing.sum.plus(*amount)?;
//!             }
//!             server.handle_verdict(now, ticket, Ok(standing));
//!             server.flush_answers(now);
//!         }
//!         Some(ServerEvent::Ended(end)) => return Err(format!("{end:?}").into()),
//!         Some(ServerEvent::TokenShared | ServerEvent::Answered(_) | ServerEvent::EndAll) | None => {}
//!     }
//!
//!     // A client's part: whom it trusts, and what it sends.
//!     match client.poll_event() {
//!         Some(ClientEvent::ServerProven { key }) => {
//!             assert_eq!(key, known);
//!             let claim = client.claim(&anna.public()).ok_or("it waits for no proof")?;
//!             client.prove(now, &anna.public(), anna.sign(Namespace::Client, &claim))?;
//!         }
//!         Some(ClientEvent::Ready(_)) => client.submit(now, Sequence::new(1), &[42, 50])?,
//!         Some(ClientEvent::Answered(answer)) => break answer.sum,
//!         Some(ClientEvent::Ended(end)) => return Err(format!("{end:?}").into()),
//!         None => {}
//!     }
//! };
//! assert_eq!(sum.get(), 92);
//! # Ok(())
//! # }
//! ```

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
