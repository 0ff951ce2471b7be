//! From an identity's key to its number.
//!
//! A hash table of numbers alone, since the keys lie with the accounts: open addressing, linear
//! probing, in shards that grow one at a time, so that no growth holds up a commit for long, and by
//! an eighth, so that a number takes 5 to 6 bytes. A shard lies in blocks that never move: tables
//! that are copied when they grow leave the allocator holes of all sizes, as many bytes again.

use std::hash::{BuildHasher, RandomState};

/// Shards, by the hash's top bits.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 10;
/// Full to so many 64ths a shard grows.
const LOAD_64THS: usize = 54;
/// Places of a block: with the allocator's eight bytes 256.
const BLOCK: usize = 62;
const VACANT: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Index {
    /// Keyed by the process: whoever chooses their keys cannot choose their places.
    state: RandomState,
    shards: Box<[Shard]>,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    #[allow(clippy::vec_box, reason = "a block is never moved")]
    blocks: Vec<Box<[u32; BLOCK]>>,
    taken: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { state: RandomState::new(), shards: vec![Shard::default(); SHARDS].into() }
    }
}

impl Index {
    /// The number of `key`; `key_of` tells the key of a number.
    pub(crate) fn find<'a>(
        &self,
        key: &[u8; 32],
        key_of: impl Fn(u32) -> &'a [u8; 32],
    ) -> Option<u32> {
        let hash = self.state.hash_one(key);
        let shard = self.shards.get(shard_of(hash))?;
        shard
            .probe(hash)
            .find(|number| *number == VACANT || key_of(*number) == key)
            .filter(|n| *n != VACANT)
    }

    /// Enters `number`, whose key is not in the table yet.
    pub(crate) fn insert<'a>(&mut self, number: u32, key_of: impl Fn(u32) -> &'a [u8; 32]) {
        let hash_of = |number| self.state.hash_one(key_of(number));
        let hash = hash_of(number);
        let Some(shard) = self.shards.get_mut(shard_of(hash)) else { return };
        if shard.taken * 64 >= shard.places() * LOAD_64THS {
            shard.grow(hash_of);
        }
        shard.place(hash, number);
    }

    /// Of all numbers below `count`, whose keys differ: room for each is made once.
    pub(crate) fn of<'a>(count: u32, key_of: impl Fn(u32) -> &'a [u8; 32]) -> Self {
        let mut index = Self::default();
        let shard = |index: &Self, number| shard_of(index.state.hash_one(key_of(number)));
        let mut counts = vec![0_usize; SHARDS];
        for number in 0..count {
            if let Some(count) = counts.get_mut(shard(&index, number)) {
                *count += 1;
            }
        }
        for (shard, count) in index.shards.iter_mut().zip(counts) {
            // With room for some more.
            let places = count * 64 / LOAD_64THS + 1;
            shard.grow_to((places + places / 32).div_ceil(BLOCK));
        }
        for number in 0..count {
            index.insert(number, &key_of);
        }
        index
    }

    /// Bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        let blocks: usize = self.shards.iter().map(|shard| shard.blocks.len()).sum();
        SHARDS * size_of::<Shard>()
            + blocks * (size_of::<[u32; BLOCK]>() + size_of::<Box<[u32; BLOCK]>>())
    }
}

impl Shard {
    fn places(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    /// The places in the order in which a hash tries them; ends after all of them.
    fn order(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let places = self.places();
        // The hash's low half, scaled to the table (Lemire 2019); the top bits chose the shard.
        let scaled = ((hash & 0xffff_ffff) * places as u64) >> 32;
        let start = usize::try_from(scaled).unwrap_or(0);
        (start..places).chain(0..start)
    }

    fn probe(&self, hash: u64) -> impl Iterator<Item = u32> {
        self.order(hash)
            .filter_map(|place| self.blocks.get(place / BLOCK)?.get(place % BLOCK).copied())
    }

    fn place(&mut self, hash: u64, number: u32) {
        for place in self.order(hash) {
            let place =
                self.blocks.get_mut(place / BLOCK).and_then(|block| block.get_mut(place % BLOCK));
            if let Some(place) = place.filter(|place| **place == VACANT) {
                *place = number;
                self.taken += 1;
                return;
            }
        }
    }

    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let numbers = self.blocks.iter().flat_map(|block| block.iter());
        let numbers: Vec<u32> = numbers.copied().filter(|number| *number != VACANT).collect();
        self.blocks.iter_mut().for_each(|block| block.fill(VACANT));
        self.grow_to(self.blocks.len() + (self.blocks.len() / 8).max(1));
        self.taken = 0;
        for number in numbers {
            self.place(hash_of(number), number);
        }
    }

    fn grow_to(&mut self, blocks: usize) {
        self.blocks.reserve_exact(blocks.saturating_sub(self.blocks.len()));
        self.blocks.resize_with(blocks, || Box::new([VACANT; BLOCK]));
    }
}

fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> (64 - SHARD_BITS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn it_finds_what_was_entered_and_nothing_else() {
        let key = |i: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&i.wrapping_mul(2_654_435_761).to_le_bytes());
            key
        };
        let keys: Vec<[u8; 32]> = (0..60_000).map(key).collect();
        let key_of = |number: u32| &keys[number as usize];
        let (mut index, mut model) = (Index::default(), HashMap::new());
        for number in 0..60_000_u32 {
            assert_eq!(index.find(key_of(number), key_of), None);
            index.insert(number, key_of);
            model.insert(*key_of(number), number);
        }
        assert_eq!(model.len(), keys.len());
        for index in [index, Index::of(60_000, key_of)] {
            for (key, number) in &model {
                assert_eq!(index.find(key, key_of), Some(*number));
            }
            assert_eq!(index.find(&[0xff; 32], key_of), None);
            let each = (index.bytes() - SHARDS * size_of::<Shard>()) as f64 / 60_000.0;
            assert!((4.7..10.0).contains(&each), "{each} bytes a number");
        }
    }
}
