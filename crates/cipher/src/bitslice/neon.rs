//! Lanes of 128 bits, in NEON's registers. Every aarch64 processor that has an operating system has
//! them, so nothing is detected. The compiler makes the rounds from the gates.

#![allow(
    unsafe_code,
    reason = "intrinsics; each block says why it holds, tests/engines.rs holds the engine to another \
              implementation, and the tests here hold each operation to the portable lane"
)]

use core::arch::aarch64::{
    uint64x2_t, vandq_u64, vdupq_n_s64, vdupq_n_u64, veorq_u64, vgetq_lane_u64, vld1q_u64,
    vorrq_u64, vshlq_u64, vst1q_u64,
};
use core::ops::{BitAnd, BitOr, BitXor, Not, Range};

use super::lane::{GateLane, Lane};
use super::schedule::{KEY_LANES, PassDirection};
use super::{Half, each_round_of_gates, part_of_gates, rounds_of_gates, sboxes_of_gates};
use crate::Block;

const _: () = assert!(cfg!(target_feature = "neon"), "aarch64 without NEON has no engine here");

/// 128 bits, gates of two inputs. AND and NOT together are one instruction, BIC.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Neon(uint64x2_t);

impl GateLane for Neon {}

impl From<u64> for Neon {
    #[inline(always)]
    fn from(word: u64) -> Self {
        // SAFETY: the assertion above: this program is compiled for processors that have NEON.
        Self(unsafe { vdupq_n_u64(word) })
    }
}

impl BitAnd for Neon {
    type Output = Self;

    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { vandq_u64(self.0, other.0) })
    }
}

impl BitOr for Neon {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { vorrq_u64(self.0, other.0) })
    }
}

impl BitXor for Neon {
    type Output = Self;

    #[inline(always)]
    fn bitxor(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { veorq_u64(self.0, other.0) })
    }
}

impl Not for Neon {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        self ^ Self::from(!0)
    }
}

impl Lane for Neon {
    const WORDS: usize = 2;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        Self::from(word)
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
        // SAFETY: as above. A shift to the left by less than nothing is one to the right.
        let shifted = |lane: Self, by: i64| Self(unsafe { vshlq_u64(lane.0, vdupq_n_s64(by)) });
        let by = i64::from(SHIFT);
        let differ = (shifted(self, -by) ^ other) & Self::from(mask);
        (self ^ shifted(differ, by), other ^ differ)
    }

    #[inline(always)]
    fn load(blocks: &[Block]) -> Self {
        let words: [u64; Self::WORDS] = core::array::from_fn(|i| {
            // A missing block's result is not stored.
            blocks.get(i).map_or(0, |block| u64::from_le_bytes(*block))
        });
        // SAFETY: as above; it reads the two words.
        Self(unsafe { vld1q_u64(words.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, blocks: &mut [Block]) {
        for (block, word) in blocks.iter_mut().zip(self.words()) {
            *block = word.to_le_bytes();
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
        // SAFETY: as above.
        unsafe { vgetq_lane_u64::<0>(self.0) & vgetq_lane_u64::<1>(self.0) == !0 }
    }
}

impl Neon {
    #[inline(always)]
    fn words(self) -> [u64; Self::WORDS] {
        let mut words = [0; Self::WORDS];
        // SAFETY: as above; it writes the two words.
        unsafe { vst1q_u64(words.as_mut_ptr(), self.0) };
        words
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const WORDS: [u64; 6] =
        [0, !0, 0x0123_4567_89ab_cdef, 0x8000_0000_0000_0001, 0xdead_beef_0bad_cafe, 1 << 32];

    /// Every pair of the words above as a lane.
    fn lanes() -> Vec<(Neon, [u64; 2])> {
        let pairs = WORDS.into_iter().flat_map(|a| WORDS.map(|b| [a, b]));
        pairs.map(|words| (Neon::load(&words.map(u64::to_le_bytes)), words)).collect()
    }

    fn each(a: [u64; 2], b: [u64; 2], of: impl Fn(u64, u64) -> u64) -> [u64; 2] {
        [of(a[0], b[0]), of(a[1], b[1])]
    }

    #[test]
    fn each_gate_is_the_portable_lanes_on_both_words() {
        for (a, words) in lanes() {
            assert_eq!((!a).words(), words.map(|word| !word));
            assert_eq!(a.is_full(), words == [!0; 2], "{words:x?}");
            assert_eq!(Neon::splat(words[0]).words(), [words[0]; 2]);
            for (b, other) in lanes() {
                assert_eq!((a & b).words(), each(words, other, |a, b| a & b));
                assert_eq!((a | b).words(), each(words, other, |a, b| a | b));
                assert_eq!(a.or(b).words(), each(words, other, |a, b| a | b));
                assert_eq!((a ^ b).words(), each(words, other, |a, b| a ^ b));
                assert_eq!(a.xor(b).words(), each(words, other, |a, b| a ^ b));
            }
        }
    }

    #[test]
    fn each_step_of_a_transposition_is_the_portable_lanes_on_both_words() {
        step::<32>(0x0000_0000_ffff_ffff);
        step::<16>(0x0000_ffff_0000_ffff);
        step::<8>(0x00ff_00ff_00ff_00ff);
        step::<4>(0x0f0f_0f0f_0f0f_0f0f);
        step::<2>(0x3333_3333_3333_3333);
        step::<1>(0x5555_5555_5555_5555);
    }

    fn step<const SHIFT: u32>(mask: u64) {
        for (a, words) in lanes() {
            for (b, other) in lanes() {
                let (one, two) = a.exchange::<SHIFT>(b, mask);
                for i in 0..Neon::WORDS {
                    let expected = words[i].exchange::<SHIFT>(other[i], mask);
                    assert_eq!((one.words()[i], two.words()[i]), expected, "{SHIFT}");
                }
            }
        }
    }

    #[test]
    fn missing_blocks_are_zeros_and_are_not_stored() {
        assert_eq!(Neon::load(&[]).words(), [0; 2]);
        assert_eq!(Neon::load(&[[9; 8]]).words(), [0x0909_0909_0909_0909, 0]);
        let mut blocks = [[1; 8]; 3];
        Neon::splat(!0).store(&mut blocks[..1]);
        assert_eq!(blocks, [[0xff; 8], [1; 8], [1; 8]]);
        Neon::splat(0).store(&mut blocks);
        assert_eq!(blocks, [[0; 8], [0; 8], [1; 8]]);
    }
}
