//! What the core computes on: lanes of bits.

use super::schedule::{KEY_LANES, KeyLane};
use super::{three, two};
use crate::Block;

/// A lane. Wider than a word, it is that many words side by side; all operations are word by word.
pub(super) trait Lane: Copy {
    /// Its words: a pass is for 64 times as many blocks.
    const WORDS: usize;

    /// Whether its S-boxes leave out `S(0)`.
    const NORMALISED: bool;

    /// All words alike.
    fn splat(word: u64) -> Self;

    fn xor(self, other: Self) -> Self;

    /// Exchanges the bits of `self >> SHIFT` and `other` that `mask` has: one step of a transposition.
    fn exchange<const SHIFT: u32>(self, other: Self, mask: u64) -> (Self, Self);

    /// One block a word, little-endian; zero for blocks that are not there.
    fn load(blocks: &[Block]) -> Self;

    /// As [`Self::load`], for as many blocks as there are.
    fn store(self, blocks: &mut [Block]);

    /// One of the key's lanes.
    fn pick(key: &[Self; KEY_LANES], lane: KeyLane) -> Self;

    /// S-box N + 1: b1 to b6 in, four bits out.
    fn sbox<const N: usize>(input: [Self; 6]) -> [Self; 4];
}

/// Gates that any processor has.
pub(super) trait TwoInputGates: Lane {
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    /// `self & !other`
    fn and_not(self, other: Self) -> Self;
}

/// Any function of three inputs.
pub(super) trait ThreeInputGates: Lane {
    /// For (a, b, c) bit `4a + 2b + c` of `FUNCTION`.
    fn gate<const FUNCTION: i32>(a: Self, b: Self, c: Self) -> Self;
}

#[inline(always)]
pub(super) fn sbox_of_two<L: TwoInputGates, const N: usize>(input: [L; 6]) -> [L; 4] {
    match N {
        0 => two::s1(input),
        1 => two::s2(input),
        2 => two::s3(input),
        3 => two::s4(input),
        4 => two::s5(input),
        5 => two::s6(input),
        6 => two::s7(input),
        _ => two::s8(input),
    }
}

#[inline(always)]
pub(super) fn sbox_of_three<L: ThreeInputGates, const N: usize>(input: [L; 6]) -> [L; 4] {
    match N {
        0 => three::s1(input),
        1 => three::s2(input),
        2 => three::s3(input),
        3 => three::s4(input),
        4 => three::s5(input),
        5 => three::s6(input),
        6 => three::s7(input),
        _ => three::s8(input),
    }
}

/// The portable lane: one word.
impl Lane for u64 {
    const WORDS: usize = 1;
    const NORMALISED: bool = true;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        word
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
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

    #[inline(always)]
    fn pick(key: &[Self; KEY_LANES], lane: KeyLane) -> Self {
        key[lane.index()]
    }

    #[inline(always)]
    fn sbox<const N: usize>(input: [Self; 6]) -> [Self; 4] {
        sbox_of_two::<Self, N>(input)
    }
}

impl TwoInputGates for u64 {
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self | other
    }

    #[inline(always)]
    fn and_not(self, other: Self) -> Self {
        self & !other
    }
}
