//! Where the values, keys and tokens of an exercise come from: one name gives the same ones again.
//!
//! ```text
//! prk       = SHA-256("ddes lab seed" ‖ 0 ‖ name)
//! draw(what) = HKDF-Expand-SHA256(prk, what, length)                       (RFC 5869)
//! ```
//!
//! Whoever knows the name knows every key: that is what makes answers checkable, and why the lab's
//! servers serve nobody but this machine.

use hkdf::Hkdf;
use sha2::{Digest, Sha256};

/// The randomness of one exercise, by its name.
#[derive(Clone, Debug)]
pub struct Seed {
    name: String,
    prk: [u8; 32],
}

/// Bytes of a name that the system drew.
const DRAWN_BYTES: usize = 6;

impl Seed {
    /// Characters of a name.
    pub const CHARS_MAX: usize = 64;

    /// The seed with this name.
    pub fn named(name: &str) -> Self {
        let prk = Sha256::new_with_prefix(b"ddes lab seed\0").chain_update(name).finalize().into();
        Self { name: name.to_owned(), prk }
    }

    /// A seed with a name that the system draws; the name repeats the run.
    pub fn drawn() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; DRAWN_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self::named(&crate::hex(&bytes)))
    }

    /// Whether a name is one line of plain text that can be shown anywhere.
    pub fn is_name(text: &str) -> bool {
        let is_plain = text.chars().all(ddes_wire::shown::is_plain);
        !text.is_empty() && is_plain && text.chars().count() <= Self::CHARS_MAX
    }

    /// The name, which gives the same seed again.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `N` bytes for one purpose; the same ones each time. `N` is at most 8,160, HKDF's bound.
    pub(crate) fn draw<const N: usize>(&self, what: &str) -> [u8; N] {
        const { assert!(N <= 8160) };
        let mut drawn = [0; N];
        #[allow(clippy::expect_used, reason = "the key is as long as the hash")]
        let hkdf = Hkdf::<Sha256>::from_prk(&self.prk).expect("a key as long as the hash");
        #[allow(clippy::expect_used, reason = "the length is held to HKDF's bound above")]
        hkdf.expand(what.as_bytes(), &mut drawn).expect("a length within HKDF's bound");
        drawn
    }

    /// A number from `least` to `most`, nearly uniform: the ranges are far below 2^64.
    pub(crate) fn number(&self, what: &str, least: u64, most: u64) -> u64 {
        least + u64::from_be_bytes(self.draw(what)) % (most - least + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_the_same_numbers_again_and_another_name_gives_others() {
        let (anna, again, ben) = (Seed::named("anna"), Seed::named("anna"), Seed::named("ben"));
        assert_eq!(anna.draw::<16>("token"), again.draw::<16>("token"));
        assert_ne!(anna.draw::<16>("token"), anna.draw::<16>("exponent"));
        assert_ne!(anna.draw::<16>("token"), ben.draw::<16>("token"));
        assert!((0..100).all(|n| (5..=9).contains(&anna.number(&n.to_string(), 5, 9))));
    }
}
