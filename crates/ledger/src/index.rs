//! From an identity's key to its number.
//!
//! A hash table of numbers alone, since the keys lie with the accounts: open addressing, linear probing, in shards that grow one at a time, so that no
//! growth holds up a commit for long, and by an eighth, so that a number takes 5 to 6 bytes.

use std::hash::{BuildHasher, RandomState};

/// Shards, by the hash's top bits.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 10;
/// Full to so many 64ths a shard grows.
const LOAD_64THS: usize = 54;
const SMALLEST: usize = 8;
const VACANT: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Index {
    /// Keyed by the process: whoever chooses their keys cannot choose their places.
    state: RandomState,
    shards: Box<[Shard]>,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    places: Box<[u32]>,
    taken: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { state: RandomState::new(), shards: vec![Shard::default(); SHARDS].into() }
    }
}

impl Index {
    /// The number of `key`; `key_of` tells the key of a number.
    pub(crate) fn find<'a>(&self, key: &[u8; 32], key_of: impl Fn(u32) -> &'a [u8; 32]) -> Option<u32> {
        let hash = self.state.hash_one(key);
        let shard = self.shards.get(shard_of(hash))?;
        shard.probe(hash).find(|number| *number == VACANT || key_of(*number) == key).filter(|n| *n != VACANT)
    }

    /// Enters `number`, whose key is not in the table yet.
    pub(crate) fn insert<'a>(&mut self, number: u32, key_of: impl Fn(u32) -> &'a [u8; 32]) {
        let hash_of = |number| self.state.hash_one(key_of(number));
        let hash = hash_of(number);
        let Some(shard) = self.shards.get_mut(shard_of(hash)) else { return };
        if shard.taken * 64 >= shard.places.len() * LOAD_64THS {
            shard.grow(hash_of);
        }
        shard.place(hash, number);
    }

    /// Bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        let places: usize = self.shards.iter().map(|shard| shard.places.len()).sum();
        SHARDS * size_of::<Shard>() + places * size_of::<u32>()
    }
}

impl Shard {
    /// The places of a hash in the order in which they are tried; ends after all of them.
    fn probe(&self, hash: u64) -> impl Iterator<Item = u32> {
        let (after, before) = self.places.split_at(self.start(hash));
        before.iter().chain(after).copied()
    }

    fn start(&self, hash: u64) -> usize {
        // The hash's low half, scaled to the table (Lemire 2019); the top bits chose the shard.
        let scaled = ((hash & 0xffff_ffff) * self.places.len() as u64) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }

    fn place(&mut self, hash: u64, number: u32) {
        let start = self.start(hash);
        let (after, before) = self.places.split_at_mut(start);
        if let Some(place) = before.iter_mut().chain(after).find(|place| **place == VACANT) {
            *place = number;
            self.taken += 1;
        }
    }

    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let len = self.places.len();
        let larger = vec![VACANT; (len + len / 8).max(len + SMALLEST)].into();
        let old = std::mem::replace(&mut self.places, larger);
        self.taken = 0;
        for number in old.into_iter().filter(|number| *number != VACANT) {
            self.place(hash_of(number), number);
        }
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
        let keys: Vec<[u8; 32]> = (0..20_000).map(key).collect();
        let key_of = |number: u32| &keys[number as usize];
        let (mut index, mut model) = (Index::default(), HashMap::new());
        for number in 0..20_000_u32 {
            assert_eq!(index.find(key_of(number), key_of), None);
            index.insert(number, key_of);
            model.insert(*key_of(number), number);
        }
        assert_eq!(model.len(), keys.len());
        for (key, number) in &model {
            assert_eq!(index.find(key, key_of), Some(*number));
        }
        assert_eq!(index.find(&[0xff; 32], key_of), None);
        let each = (index.bytes() - SHARDS * size_of::<Shard>()) as f64 / 20_000.0;
        assert!((4.7..8.0).contains(&each), "{each} bytes a number");
    }
}
