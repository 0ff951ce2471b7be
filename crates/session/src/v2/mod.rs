//! D-DDES/2: a Noise handshake, then records.

pub mod kem;
pub mod noise;
pub mod record;
mod suite;

pub use suite::{Ffdhe, prologue, protocol};
