//! The lanes of bits on which the core computes.

use core::ops::{BitAnd, BitOr, BitXor, Not, Range};

use super::schedule::{KEY_LANES, PassDirection};
use super::{Half, each_round_of_gates, part_of_gates, rounds_of_gates, sboxes_of_gates};
use crate::Block;

/// A lane of one or more words of 64 bits. All operations act on each word separately.
pub(super) trait Lane: Copy {
    /// Words of a lane; a batch has 64 blocks for each.
    const WORDS: usize;

    /// A lane whose words all equal `word`.
    fn splat(word: u64) -> Self;

    fn xor(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;

    /// Exchanges the bits of `self >> SHIFT` and `other` selected by `mask`: a step of a
    /// transposition.
    fn exchange<const SHIFT: u32>(self, other: Self, mask: u64) -> (Self, Self);

    /// Loads one little-endian block into each word; zeros for missing blocks.
    fn load(blocks: &[Block]) -> Self;

    /// Stores each word as a little-endian block, for as many blocks as there are.
    fn store(self, blocks: &mut [Block]);

    /// Sixteen rounds on the left and right halves of blocks, all under one key. Each word of the
    /// key is the value of all words of a key lane.
    fn pass(halves: [&mut Half<Self>; 2], key: &[u64; KEY_LANES], direction: PassDirection);

    /// Some of the sixteen rounds from `start` into `halves`, with a key for each block. The first
    /// of them writes the first half, the second the second, and so on.
    fn rounds_each(
        start: [&Half<Self>; 2],
        halves: [&mut Half<Self>; 2],
        keys: &[Self; KEY_LANES],
        rounds: (PassDirection, Range<usize>),
    );

    /// Some S-boxes of a round, by the bits of `sboxes`: at their bits, `new` becomes the first of
    /// `halves` XORed with f of the second. A key for each block.
    fn sboxes(
        sboxes: u8,
        halves: [&Half<Self>; 2],
        new: &mut Half<Self>,
        keys: &[Self; KEY_LANES],
        round: (PassDirection, usize),
    );

    /// What S1 to S3 of the next round read of a round's half: at those bits, `new` becomes the
    /// first of `halves` XORed with f of the second. A key for each block.
    fn part(
        halves: [&Half<Self>; 2],
        new: &mut Half<Self>,
        keys: &[Self; KEY_LANES],
        round: (PassDirection, usize),
    );

    /// Whether it has ones only.
    fn is_full(self) -> bool;
}

/// A lane with the gates of two.rs' circuits as operators. The compiler makes their rounds; the
/// lanes of x86.rs have rounds in assembly.
pub(super) trait GateLane:
    Copy
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
    + From<u64>
{
}

impl GateLane for u64 {}

/// The portable lane: a single word.
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

    fn pass(halves: [&mut Half<Self>; 2], key: &[u64; KEY_LANES], direction: PassDirection) {
        rounds_of_gates(halves, key, direction);
    }

    fn rounds_each(
        start: [&Half<Self>; 2],
        [left, right]: [&mut Half<Self>; 2],
        keys: &[Self; KEY_LANES],
        rounds: (PassDirection, Range<usize>),
    ) {
        (*left, *right) = (*start[0], *start[1]);
        each_round_of_gates([left, right], keys, rounds);
    }

    fn sboxes(
        sboxes: u8,
        halves: [&Half<Self>; 2],
        new: &mut Half<Self>,
        keys: &[Self; KEY_LANES],
        round: (PassDirection, usize),
    ) {
        sboxes_of_gates(sboxes, halves, new, keys, round);
    }

    fn part(
        halves: [&Half<Self>; 2],
        new: &mut Half<Self>,
        keys: &[Self; KEY_LANES],
        round: (PassDirection, usize),
    ) {
        part_of_gates(halves, new, keys, round);
    }

    #[inline(always)]
    fn is_full(self) -> bool {
        self == !0
    }
}
