//! D-DDES/2: a Noise handshake, then records.

mod client;
mod end;
pub mod kem;
pub mod noise;
pub mod record;
mod server;
mod suite;
mod work;

pub use client::{ClientConfig, ClientEnd, ClientEvent, ClientFault, ClientSession, SubmitError};
pub use end::{Fault, Refused, ServerEnd};
pub use server::{
    FIRST_BYTES_MAX, SUBMISSIONS_MAX, ServerConfig, ServerEntropy, ServerEvent, ServerSession,
};
pub use suite::{Ffdhe, prologue, protocol};
pub use work::{HandshakeDone, HandshakeWork};
