//! What the core computes on: lanes of bits.

use core::sync::atomic::{Ordering, compiler_fence};

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

    /// S-boxes N + 1 and N + 2, N even: b1 to b6 of S-box i are `input(i)`, its four bits go to `output(i, …)`.
    fn sboxes<const N: usize>(input: impl Fn(usize) -> [Self; 6], output: impl FnMut(usize, [Self; 4]));
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

/// One after the other: two at once would be more than 16 registers hold.
#[inline(always)]
pub(super) fn sboxes_of_two<L: TwoInputGates, const N: usize>(
    input: impl Fn(usize) -> [L; 6],
    mut output: impl FnMut(usize, [L; 4]),
) {
    let [one, other]: [fn([L; 6]) -> [L; 4]; 2] = match N {
        0 => [two::s1, two::s2],
        2 => [two::s3, two::s4],
        4 => [two::s5, two::s6],
        _ => [two::s7, two::s8],
    };
    output(N, one(input(N)));
    compiler_fence(Ordering::SeqCst);
    output(N + 1, other(input(N + 1)));
}

/// Both at once, gate by gate in turn.
#[inline(always)]
pub(super) fn sboxes_of_three<L: ThreeInputGates, const N: usize>(
    input: impl Fn(usize) -> [L; 6],
    mut output: impl FnMut(usize, [L; 4]),
) {
    let (one, other) = (input(N), input(N + 1));
    let [one, other] = match N {
        0 => three::s1_and_s2(one, other),
        2 => three::s3_and_s4(one, other),
        4 => three::s5_and_s6(one, other),
        _ => three::s7_and_s8(one, other),
    };
    output(N, one);
    output(N + 1, other);
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
    fn sboxes<const N: usize>(input: impl Fn(usize) -> [Self; 6], output: impl FnMut(usize, [Self; 4])) {
        sboxes_of_two::<Self, N>(input, output);
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
