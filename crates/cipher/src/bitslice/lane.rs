//! What the core computes on: lanes of bits.

use super::schedule::{Direction, KEY_LANES};
use super::{Half, rounds_of_gates};
use crate::Block;

/// A lane. Wider than a word, it is that many words side by side; all operations are word by word.
pub(super) trait Lane: Copy {
    /// Its words: a pass is for 64 times as many blocks.
    const WORDS: usize;

    /// All words alike.
    fn splat(word: u64) -> Self;

    fn xor(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;

    /// Exchanges the bits of `self >> SHIFT` and `other` that `mask` has: one step of a
    /// transposition.
    fn exchange<const SHIFT: u32>(self, other: Self, mask: u64) -> (Self, Self);

    /// One block a word, little-endian; zero for blocks that are not there.
    fn load(blocks: &[Block]) -> Self;

    /// As [`Self::load`], for as many blocks as there are.
    fn store(self, blocks: &mut [Block]);

    /// Sixteen rounds on halves of blocks, left and right, all under one key, a word of which
    /// stands for a lane of such words.
    fn pass(halves: [&mut Half<Self>; 2], key: &[u64; KEY_LANES], direction: Direction);

    /// The same from `start` into `halves`, encrypting, a key for each block.
    fn pass_each(start: [&Half<Self>; 2], halves: [&mut Half<Self>; 2], keys: &[Self; KEY_LANES]);
}

/// The portable lane: one word.
impl Lane for u64 {
    const WORDS: usize = 1;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        word
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self | other
    }

    #[inline(always)]
    fn exchange<const SHIFT: u32>(self, other: Self, mask: u64) -> (Self, Self) {
        let differ = ((self >> SHIFT) ^ other) & mask;
        (self ^ differ << SHIFT, other ^ differ)
    }

    #[inline(always)]
    fn load(blocks: &[Block]) -> Self {
        blocks.first().map_or(0, |block| Self::from_le_bytes(*block))
    }

    #[inline(always)]
    fn store(self, blocks: &mut [Block]) {
        if let Some(block) = blocks.first_mut() {
            *block = self.to_le_bytes();
        }
    }

    fn pass(halves: [&mut Half<Self>; 2], key: &[u64; KEY_LANES], direction: Direction) {
        rounds_of_gates(halves, key, direction);
    }

    fn pass_each(
        start: [&Half<Self>; 2],
        [left, right]: [&mut Half<Self>; 2],
        keys: &[Self; KEY_LANES],
    ) {
        (*left, *right) = (*start[0], *start[1]);
        rounds_of_gates([left, right], keys, Direction::Encrypt);
    }
}
