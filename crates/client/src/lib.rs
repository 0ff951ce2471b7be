//! The D-DDES client library.
//!
//! [`courier::Courier`] is what most programs want: it delivers an [`outbox::Outbox`], so that every value counts exactly once across cuts
//! and restarts of either side. [`v2::Connection`] is one session over one socket, [`classic::Connection`] one on the original's wire.

mod backoff;
pub mod classic;
pub mod courier;
pub mod delivery;
mod dial;
pub mod outbox;
mod pump;
mod signer;
pub mod v2;

pub use dial::ConnectError;
pub use signer::{SignError, Signer};
