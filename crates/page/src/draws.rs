//! All randomness of a desk, from a name.
//!
//! ```text
//! prk        = SHA-256("ddes page" ‖ 0 ‖ name)
//! draw(what) = HKDF-Expand-SHA256(prk, what, length)                       (RFC 5869)
//! ```
//!
//! Whoever knows the name knows every key: a desk is for looking at the protocol, not for secrets.

use hkdf::Hkdf;
use sha2::{Digest, Sha256};

#[derive(Clone, Debug)]
pub(crate) struct Draws([u8; 32]);

impl Draws {
    pub(crate) fn named(name: &str) -> Self {
        Self(Sha256::new_with_prefix(b"ddes page\0").chain_update(name).finalize().into())
    }

    /// `N` bytes for one purpose; the same ones each time. `N` is at most 8,160, HKDF's bound.
    pub(crate) fn draw<const N: usize>(&self, what: &str) -> [u8; N] {
        const { assert!(N <= 8160) };
        let mut drawn = [0; N];
        #[allow(clippy::expect_used, reason = "the key is as long as the hash")]
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0).expect("a key as long as the hash");
        #[allow(clippy::expect_used, reason = "the length is held to HKDF's bound above")]
        hkdf.expand(what.as_bytes(), &mut drawn).expect("a length within HKDF's bound");
        drawn
    }
}
