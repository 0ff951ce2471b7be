//! The sessions' identities, all derived from one seed. Anyone who knows the seed can act as any of
//! them, so they are only for servers under test.

use ddes_identity::SigningKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The Ed25519 key of session `index`: its seed is SHA-256("ddes bench" ‖ seed u64 ‖ index u64),
/// big-endian.
pub fn key(seed: u64, index: u64) -> SigningKey {
    let mut hash = Sha256::new();
    hash.update(b"ddes bench");
    hash.update(seed.to_be_bytes());
    hash.update(index.to_be_bytes());
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
    SigningKey::from_seed(&seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_and_index_is_somebody_else_and_the_same_again() {
        let public = |seed, index| key(seed, index).public().fingerprint();
        assert_eq!(public(1, 2), public(1, 2));
        assert!(public(1, 2) != public(2, 1) && public(1, 2) != public(1, 3));
    }
}
