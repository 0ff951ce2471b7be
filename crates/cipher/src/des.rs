//! Single DES (FIPS 46-3).

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::bitslice::{Engine, Pass, run};

/// One DES block: 64 bits, most significant bit first.
pub type Block = [u8; 8];

/// A DES key of 8 bytes. DES ignores the lowest bit of each byte, its parity.
///
/// Weak keys and wrong parity are accepted: each profile has its own rule for them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DesKey([u8; Self::BYTES]);

impl DesKey {
    /// Length of a key in bytes, parity bits included.
    pub const BYTES: usize = 8;

    /// The key with these 8 bytes, unchanged.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The 8 bytes with the parity bits as given. The classic profile also uses Key2 as its MAC
    /// key.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The key with these bits, numbered as [`Self::bits`] does, and odd parity.
    pub(crate) fn with_odd_parity(bits: u64) -> Self {
        Self(core::array::from_fn(|byte| {
            let seven =
                (0..7).fold(0, |sum, i| sum << 1 | u8::from(bits >> (7 * byte + i) & 1 == 1));
            seven << 1 | u8::from(seven.count_ones().is_multiple_of(2))
        }))
    }

    /// The 56 bits that are not parity: bit `7·byte + i` is the byte's i-th from the top.
    pub fn bits(&self) -> u64 {
        (0..56).fold(0, |bits, i| {
            let byte = u64::from(self.0[i / 7]);
            bits | (byte >> (7 - i % 7) & 1) << i
        })
    }
}

impl fmt::Debug for DesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DesKey(..)")
    }
}

/// DES under one key. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Des {
    key: u64,
    #[zeroize(skip)]
    engine: Option<Engine>,
}

impl Des {
    /// DES under `key`, on the fastest engine of this processor.
    pub fn new(key: &DesKey) -> Self {
        Self { key: key.bits(), engine: None }
    }

    /// Like [`Self::new`], on a given engine; `None` if this processor lacks it.
    pub fn with_engine(key: &DesKey, engine: Engine) -> Option<Self> {
        engine.is_available().then(|| Self { key: key.bits(), engine: Some(engine) })
    }

    /// `block = E(key, block)` for each block.
    pub fn encrypt(&self, blocks: &mut [Block]) {
        self.run(Pass::encrypt(self.key), blocks);
    }

    /// `block = D(key, block)` for each block.
    pub fn decrypt(&self, blocks: &mut [Block]) {
        self.run(Pass::decrypt(self.key), blocks);
    }

    fn run(&self, pass: Pass, blocks: &mut [Block]) {
        run(self.engine.unwrap_or_else(|| Engine::best(blocks.len())), &[pass], blocks);
    }
}

impl fmt::Debug for Des {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Des(..)")
    }
}
