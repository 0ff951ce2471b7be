//! The classic profile: the wire of the original programs, both sides.
//!
//! Byte-compatible and weak on purpose; PROTOCOL.md, rules C-01 to C-24, says what is on the wire
//! and THREATS.md what each weakness costs.

mod client;
mod crypto;
mod server;
mod work;

pub use client::{
    ClientConfig, ClientEnd, ClientEntropy, ClientEvent, ClientFault, ClientSession, SubmitError,
};
pub use server::{
    EndReason, Fault, ServerConfig, ServerEnd, ServerEntropy, ServerEvent, ServerSession,
};
pub use work::{ENTROPY_BYTES_MAX, HandshakeDone, HandshakeWork, JoinError};

use work::{ExchangeJob, ExchangeOutcome, ExponentEntropy, Join};
