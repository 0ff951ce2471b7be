//! The keys of a slice, as many at a time as a lane has bits.

use super::space::{KeySpace, LANE_BITS_MAX};
use crate::Block;
use crate::bitslice::lane::Lane;
use crate::bitslice::schedule::{KEY_BIT_LANES, KEY_BITS, KEY_LANES};

/// The batches of a slice, in Gray's order: each differs from the one before in one key bit.
pub(super) struct Batches<'a, L> {
    space: &'a KeySpace,
    keys: [L; KEY_LANES],
    /// The number's low bits, which are in the lanes.
    lane_bits: usize,
    /// The number of the first lane's key.
    first: u64,
    /// The batch, counted from 0; the next one.
    step: u64,
}

impl<'a, L: Lane> Batches<'a, L> {
    #[inline(always)]
    pub(super) fn new(space: &'a KeySpace, slice: u64) -> Self {
        let slice_bits = space.slice_keys().trailing_zeros() as usize;
        let lane_bits = slice_bits.min((64 * L::WORDS).trailing_zeros() as usize);
        let first = slice.wrapping_mul(space.slice_keys()) & (space.keys() - 1);
        let mut batches = Self { space, keys: [L::splat(0); KEY_LANES], lane_bits, first, step: 0 };
        for bit in 0..KEY_BITS {
            batches.set(bit, L::splat((space.key_bits(first) >> bit & 1).wrapping_neg()));
        }
        for (i, bit) in space.order().iter().enumerate().take(lane_bits) {
            let words: [Block; 8] = core::array::from_fn(|word| {
                low_bits(i, word, L::WORDS.trailing_zeros() as usize).to_le_bytes()
            });
            batches.set(usize::from(*bit), L::load(&words[..L::WORDS]));
        }
        batches
    }

    /// Goes to the next batch: the key bit that changes, or none where all may have; `None` after
    /// the last.
    #[inline(always)]
    pub(super) fn advance(&mut self) -> Option<Option<u8>> {
        let step = self.step;
        self.step += 1;
        if step == 0 {
            return Some(None);
        }
        let place = self.changing(step.trailing_zeros() as usize)?;
        let bit = self.space.order()[place];
        self.first ^= 1 << place;
        self.set(usize::from(bit), L::splat((self.first >> place & 1).wrapping_neg()));
        Some(Some(bit))
    }

    /// Of the number's bits that change from batch to batch, the i-th: those beyond the widest
    /// lanes, then those that these lanes are too narrow for.
    #[inline(always)]
    fn changing(&self, i: usize) -> Option<usize> {
        let slice_bits = self.space.slice_keys().trailing_zeros() as usize;
        let beyond = slice_bits.saturating_sub(LANE_BITS_MAX);
        if i < beyond {
            return Some(LANE_BITS_MAX + i);
        }
        let place = self.lane_bits + (i - beyond);
        (place < slice_bits.min(LANE_BITS_MAX)).then_some(place)
    }

    #[inline(always)]
    pub(super) fn keys(&self) -> &[L; KEY_LANES] {
        &self.keys
    }

    /// The number of the first lane's key; the others follow.
    #[inline(always)]
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// How many of a lane's bits have keys of their own.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        1 << self.lane_bits
    }

    /// The numbers of the keys where a lane has zeros.
    #[inline(always)]
    pub(super) fn numbers_of_zeros(&self, lane: L) -> impl Iterator<Item = u64> {
        let mut words = [[0xff; 8]; 8];
        lane.store(&mut words[..L::WORDS]);
        let (first, count) = (self.first, self.count());
        let is_zero =
            move |i: usize| u64::from_le_bytes(words[i % L::WORDS]) >> (i / L::WORDS) & 1 == 0;
        (first..).zip(0..count).filter(move |(_, i)| is_zero(*i)).map(|(number, _)| number)
    }

    #[inline(always)]
    fn set(&mut self, bit: usize, lane: L) {
        let (lanes, complements) = KEY_BIT_LANES[bit];
        for (to, complement) in lanes.into_iter().zip(complements) {
            self.keys[to] = lane;
            self.keys[complement] = lane.xor(L::splat(!0));
        }
    }
}

/// Bit `i` of the numbers that a word has, from its lowest bit on: word, word + words, … The low bits
/// of a number are thus those of the word, as transposed blocks have them.
fn low_bits(i: usize, word: usize, words_log2: usize) -> u64 {
    match i.checked_sub(words_log2) {
        None => (word as u64 >> i & 1).wrapping_neg(),
        Some(i) => (0..64_u64).map(|number| (number >> i & 1) << number).sum(),
    }
}
