//! One pass: DES itself (FIPS 46-3).

use core::fmt;

use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// One DES block: 64 bits, most significant bit first.
pub type Block = [u8; 8];

/// A DES key as it travels: 8 bytes, of which DES ignores the lowest bit of each (the parity).
///
/// Weak keys and wrong parity are accepted here: what a profile does about them is its own rule.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DesKey([u8; Self::BYTES]);

impl DesKey {
    /// Length of a key in bytes, parity bits included.
    pub const BYTES: usize = 8;

    /// Takes the 8 bytes as they are.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The 8 bytes, parity bits as given: the classic profile uses Key2 as its MAC key too.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for DesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DesKey(..)")
    }
}

/// DES under one key, its key schedule expanded. Wiped on drop.
pub struct Des(::des::Des);

impl Des {
    /// Expands `key`.
    pub fn new(key: &DesKey) -> Self {
        Self(::des::Des::new(&key.0.into()))
    }

    /// `block = E(key, block)` for each block.
    pub fn encrypt(&self, blocks: &mut [Block]) {
        for block in blocks {
            self.0.encrypt_block(block.into());
        }
    }

    /// `block = D(key, block)` for each block.
    pub fn decrypt(&self, blocks: &mut [Block]) {
        for block in blocks {
            self.0.decrypt_block(block.into());
        }
    }
}

impl fmt::Debug for Des {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Des(..)")
    }
}
