//! D-DDES/2: a Noise handshake, then records.

mod end;
pub mod kem;
pub mod noise;
pub mod record;
mod server;
mod suite;
mod work;

pub use end::{End, Fault, Refused};
pub use server::{Event, SUBMISSIONS_MAX, ServerConfig, ServerEntropy, ServerSession};
pub use suite::{Ffdhe, prologue, protocol};
pub use work::{Done, Work};
