//! Finite-field Diffie-Hellman (RFC 7919), and over groups that a peer chose.
//!
//! ```text
//! public value  Y = g^x mod p
//! shared value  Z = Y'^x mod p        as many bytes as p, leading zeros kept
//! ```
//!
//! Exponentiations with a private key take constant time over the exponent's fixed length. What is
//! received is public, and is checked in variable time before any exponentiation with a secret.

#[cfg(target_arch = "aarch64")]
mod a64;
#[cfg(target_arch = "x86_64")]
mod adx;
mod engine;
mod exchange;
mod field;
mod group;
#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(target_arch = "x86_64")]
mod modulus52;
mod modulus64;

pub use engine::EngineKind;
pub use exchange::{Exponent, PublicValue, PublicValueError, SharedSecret};
pub use group::{Group, GroupError, NamedGroup, PRIME_BITS_MAX, PRIME_BITS_MIN};
