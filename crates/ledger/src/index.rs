//! From an identity's key to its number.
//!
//! A hash table that holds numbers only, since the accounts hold the keys: open addressing with
//! linear probing. It is divided into shards. A shard grows alone, so that growth delays a commit
//! only briefly, and by an eighth, so that a number takes 5 to 6 bytes. A shard consists of blocks
//! that never move: tables that are copied when they grow fragment the heap by their own size.

use std::hash::{BuildHasher, RandomState};

/// Shards, by the hash's top bits.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 10;
/// Load factor at which a shard grows, in 64ths.
const LOAD_64THS: usize = 54;
/// Places of a block: 256 bytes together with the allocator's eight.
const BLOCK: usize = 62;
const VACANT: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Index {
    /// Seeded per process, so that a client that chooses its key cannot choose its place.
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
    /// The number of `key`; `key_of` returns the key of a number.
    pub(crate) fn find<'a>(
        &self,
        key: &[u8; 32],
        key_of: impl Fn(u32) -> &'a [u8; 32],
    ) -> Option<u32> {
        let hash = self.state.hash_one(key);
        self.shards[shard_of(hash)]
            .probe(hash)
            .find(|number| *number == VACANT || key_of(*number) == key)
            .filter(|n| *n != VACANT)
    }

    /// Enters `number`, whose key is not in the table yet.
    pub(crate) fn insert<'a>(&mut self, number: u32, key_of: impl Fn(u32) -> &'a [u8; 32]) {
        let hash_of = |number| self.state.hash_one(key_of(number));
        let hash = hash_of(number);
        let shard = &mut self.shards[shard_of(hash)];
        if shard.taken * 64 >= shard.places() * LOAD_64THS {
            shard.grow(hash_of);
        }
        shard.place(hash, number);
    }

    /// The index of all numbers below `count`, whose keys differ. Allocates each shard once.
    pub(crate) fn of<'a>(count: u32, key_of: impl Fn(u32) -> &'a [u8; 32]) -> Self {
        let mut index = Self::default();
        let shard = |index: &Self, number| shard_of(index.state.hash_one(key_of(number)));
        let mut counts = vec![0_usize; SHARDS];
        for number in 0..count {
            counts[shard(&index, number)] += 1;
        }
        for (shard, count) in index.shards.iter_mut().zip(counts) {
            // A 32nd more, so that the first insertions do not grow it.
            let places = count * 64 / LOAD_64THS + 1;
            shard.grow_to((places + places / 32).div_ceil(BLOCK));
        }
        for number in 0..count {
            index.insert(number, &key_of);
        }
        index
    }

    /// Bytes of heap that the table takes.
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
        #[allow(clippy::cast_possible_truncation, reason = "below `places`, which is a usize")]
        let start = scaled as usize;
        (start..places).chain(0..start)
    }

    fn probe(&self, hash: u64) -> impl Iterator<Item = u32> {
        self.order(hash)
            .filter_map(|place| self.blocks.get(place / BLOCK)?.get(place % BLOCK).copied())
    }

    fn place(&mut self, hash: u64, number: u32) {
        let is_vacant = |place: &usize| self.blocks[place / BLOCK][place % BLOCK] == VACANT;
        #[allow(clippy::expect_used, reason = "a shard grows before it is full")]
        let place = self.order(hash).find(is_vacant).expect("a vacant place");
        self.blocks[place / BLOCK][place % BLOCK] = number;
        self.taken += 1;
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

/// Below [`SHARDS`]: the hash's top bits.
#[allow(clippy::cast_possible_truncation, reason = "it has SHARD_BITS bits")]
fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARD_BITS)) as usize
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
