//! Two passes: Double DES.

use crate::{Block, Des, DesKey};

/// Double DES under an ordered pair of keys, both key schedules expanded. Wiped on drop.
#[derive(Debug)]
pub struct DoubleDes {
    inner: Des,
    outer: Des,
}

impl DoubleDes {
    /// Expands `key1` (the inner pass) and `key2` (the outer pass).
    pub fn new(key1: &DesKey, key2: &DesKey) -> Self {
        Self { inner: Des::new(key1), outer: Des::new(key2) }
    }

    /// `block = E(Key2, E(Key1, block))` for each block.
    pub fn encrypt(&self, blocks: &mut [Block]) {
        self.inner.encrypt(blocks);
        self.outer.encrypt(blocks);
    }

    /// `block = D(Key1, D(Key2, block))` for each block.
    pub fn decrypt(&self, blocks: &mut [Block]) {
        self.outer.decrypt(blocks);
        self.inner.decrypt(blocks);
    }
}
