//! Double DES: two passes of DES.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::bitslice::{Engine, Pass, run, run_counters};
use crate::{Block, DesKey};

/// Double DES under an ordered pair of keys. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DoubleDes {
    key1: u64,
    key2: u64,
    #[zeroize(skip)]
    engine: Option<Engine>,
}

impl DoubleDes {
    /// Double DES under `key1` (inner pass) and `key2` (outer pass), on the fastest engine of this
    /// processor.
    pub fn new(key1: &DesKey, key2: &DesKey) -> Self {
        Self { key1: key1.bits(), key2: key2.bits(), engine: None }
    }

    /// Like [`Self::new`], on a given engine; `None` if this processor lacks it.
    pub fn with_engine(key1: &DesKey, key2: &DesKey, engine: Engine) -> Option<Self> {
        engine.is_available().then(|| Self { engine: Some(engine), ..Self::new(key1, key2) })
    }

    /// `block = E(Key2, E(Key1, block))` for each block.
    pub fn encrypt(&self, blocks: &mut [Block]) {
        self.run([Pass::encrypt(self.key1), Pass::encrypt(self.key2)], blocks);
    }

    /// `blocks[i] = E(Key2, E(Key1, first + i))`, numbers as big-endian blocks: counter mode's
    /// keystream.
    pub fn encrypt_counters(&self, first: u64, blocks: &mut [Block]) {
        let passes = [Pass::encrypt(self.key1), Pass::encrypt(self.key2)];
        run_counters(
            self.engine.unwrap_or_else(|| Engine::best(blocks.len())),
            &passes,
            first,
            blocks,
        );
    }

    /// `block = D(Key1, D(Key2, block))` for each block.
    pub fn decrypt(&self, blocks: &mut [Block]) {
        self.run([Pass::decrypt(self.key2), Pass::decrypt(self.key1)], blocks);
    }

    fn run(&self, passes: [Pass; 2], blocks: &mut [Block]) {
        run(self.engine.unwrap_or_else(|| Engine::best(blocks.len())), &passes, blocks);
    }
}

impl fmt::Debug for DoubleDes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoubleDes(..)")
    }
}
