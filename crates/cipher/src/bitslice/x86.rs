//! Lanes of AVX2 and AVX-512: only loads, stores and single instructions. With rounds.rs and
//! neon.rs, one of the crate's three files with `unsafe`.

#![allow(
    unsafe_code,
    reason = "intrinsics; each block says why it holds, and tests/engines.rs holds each engine to \
              its safe twin"
)]

use core::arch::x86_64::{
    __m256i, __m512i, _mm_cvtsi64_si128, _mm256_and_si256, _mm256_andnot_si256, _mm256_or_si256,
    _mm256_set1_epi64x, _mm256_sll_epi64, _mm256_srl_epi64, _mm256_ternarylogic_epi64,
    _mm256_xor_si256, _mm512_or_si512, _mm512_set1_epi64, _mm512_sll_epi64, _mm512_srl_epi64,
    _mm512_ternarylogic_epi64, _mm512_xor_si512,
};
use core::ops::Range;

use super::engine::{LaneWork, Pass};
use super::lane::Lane;
use super::rounds::{
    part_256, part_512, part_avx2, rounds_256, rounds_256_each, rounds_512, rounds_512_each,
    rounds_avx2, rounds_avx2_each, sboxes_256, sboxes_512, sboxes_avx2,
};
use super::schedule::{KEY_LANES, PassDirection};
use super::{Half, blocks, counters};
use crate::Block;

cpufeatures::new!(avx2, "avx2");
cpufeatures::new!(avx512, "avx512f", "avx512vl");

/// Proof that the processor has AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Proof that the processor has AVX-512 F and VL.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// 256 bits, gates of two inputs.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Two256(__m256i);

/// 256 bits, gates of three inputs.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Three256(__m256i);

/// 512 bits, gates of three inputs.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Three512(__m512i);

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        avx2::get().then_some(Self(()))
    }

    pub(super) fn blocks(self, passes: &[Pass], blocks: &mut [Block]) {
        // SAFETY: `self` exists only where the processor has AVX2.
        unsafe { blocks_avx2(passes, blocks) }
    }

    pub(super) fn counters(self, passes: &[Pass], first: u64, blocks: &mut [Block]) {
        // SAFETY: as above.
        unsafe { counters_avx2(passes, first, blocks) }
    }

    pub(super) fn work(self, work: impl LaneWork) {
        // SAFETY: as above.
        unsafe { work_avx2(work) }
    }
}

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        avx512::get().then_some(Self(()))
    }

    pub(super) fn blocks_of_256(self, passes: &[Pass], blocks: &mut [Block]) {
        // SAFETY: `self` exists only where the processor has both features.
        unsafe { blocks_avx512vl(passes, blocks) }
    }

    pub(super) fn blocks_of_512(self, passes: &[Pass], blocks: &mut [Block]) {
        // SAFETY: as above.
        unsafe { blocks_avx512(passes, blocks) }
    }

    pub(super) fn counters_of_256(self, passes: &[Pass], first: u64, blocks: &mut [Block]) {
        // SAFETY: as above.
        unsafe { counters_avx512vl(passes, first, blocks) }
    }

    pub(super) fn counters_of_512(self, passes: &[Pass], first: u64, blocks: &mut [Block]) {
        // SAFETY: as above.
        unsafe { counters_avx512(passes, first, blocks) }
    }

    pub(super) fn work_on_256(self, work: impl LaneWork) {
        // SAFETY: as above.
        unsafe { work_avx512vl(work) }
    }

    pub(super) fn work_on_512(self, work: impl LaneWork) {
        // SAFETY: as above.
        unsafe { work_avx512(work) }
    }
}

#[target_feature(enable = "avx2")]
fn blocks_avx2(passes: &[Pass], all: &mut [Block]) {
    blocks::<Two256>(passes, all);
}

#[target_feature(enable = "avx512f,avx512vl")]
fn blocks_avx512vl(passes: &[Pass], all: &mut [Block]) {
    blocks::<Three256>(passes, all);
}

#[target_feature(enable = "avx512f,avx512vl")]
fn blocks_avx512(passes: &[Pass], all: &mut [Block]) {
    blocks::<Three512>(passes, all);
}

#[target_feature(enable = "avx2")]
fn counters_avx2(passes: &[Pass], first: u64, all: &mut [Block]) {
    counters::<Two256>(passes, first, all);
}

#[target_feature(enable = "avx512f,avx512vl")]
fn counters_avx512vl(passes: &[Pass], first: u64, all: &mut [Block]) {
    counters::<Three256>(passes, first, all);
}

#[target_feature(enable = "avx512f,avx512vl")]
fn counters_avx512(passes: &[Pass], first: u64, all: &mut [Block]) {
    counters::<Three512>(passes, first, all);
}

#[target_feature(enable = "avx2")]
fn work_avx2(work: impl LaneWork) {
    work.on::<Two256>();
}

#[target_feature(enable = "avx512f,avx512vl")]
fn work_avx512vl(work: impl LaneWork) {
    work.on::<Three256>();
}

#[target_feature(enable = "avx512f,avx512vl")]
fn work_avx512(work: impl LaneWork) {
    work.on::<Three512>();
}

/// The first `N` blocks; zeros for missing ones, whose results are not stored.
#[inline(always)]
fn padded<const N: usize>(blocks: &[Block]) -> [Block; N] {
    blocks
        .first_chunk()
        .copied()
        .unwrap_or_else(|| core::array::from_fn(|i| blocks.get(i).copied().unwrap_or([0; 8])))
}

#[inline(always)]
fn put<const N: usize>(words: &[Block; N], blocks: &mut [Block]) {
    if let Some(whole) = blocks.first_chunk_mut() {
        *whole = *words;
    } else {
        for (block, word) in blocks.iter_mut().zip(words) {
            *block = *word;
        }
    }
}

/// [`Lane`] for a vector. The implementations differ only in the names of instructions and rounds.
macro_rules! lane {
    ($lane:ident($vector:ty), $words:literal, $rounds:ident, $rounds_each:ident, $sboxes:ident,
     $part:ident, $set1:ident, $xor:ident, $or:ident, $shr:ident, $shl:ident) => {
        impl Lane for $lane {
            const WORDS: usize = $words;

            #[inline(always)]
            fn splat(word: u64) -> Self {
                // SAFETY: lanes are made only below the functions above, which have the feature.
                Self(unsafe { $set1(word.cast_signed()) })
            }

            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $xor(self.0, other.0) })
            }

            #[inline(always)]
            fn or(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $or(self.0, other.0) })
            }

            #[inline(always)]
            fn exchange<const SHIFT: u32>(self, other: Self, mask: u64) -> (Self, Self) {
                // SAFETY: as above.
                let (down, up) = unsafe {
                    let count = _mm_cvtsi64_si128(i64::from(SHIFT));
                    (Self($shr(self.0, count)), Self($shl(other.0, count)))
                };
                (Self::splat(mask << SHIFT).choose(up, self), Self::splat(mask).choose(down, other))
            }

            #[inline(always)]
            fn load(blocks: &[Block]) -> Self {
                // SAFETY: as many bytes, and every bit pattern is valid in both.
                Self(unsafe { core::mem::transmute::<[Block; $words], $vector>(padded(blocks)) })
            }

            #[inline(always)]
            fn store(self, blocks: &mut [Block]) {
                // SAFETY: as above.
                let words = unsafe { core::mem::transmute::<$vector, [Block; $words]>(self.0) };
                put(&words, blocks);
            }

            #[inline(always)]
            fn pass(
                halves: [&mut Half<Self>; 2],
                key: &[u64; KEY_LANES],
                direction: PassDirection,
            ) {
                // SAFETY: as above.
                unsafe { $rounds(None, halves, key, (direction, 0..16)) }
            }

            #[inline(always)]
            fn rounds_each(
                start: [&Half<Self>; 2],
                halves: [&mut Half<Self>; 2],
                keys: &[Self; KEY_LANES],
                (direction, rounds): (PassDirection, Range<usize>),
            ) {
                // SAFETY: as above.
                unsafe { $rounds_each(Some(start), halves, keys, (direction, rounds)) }
            }

            #[inline(always)]
            fn sboxes(
                sboxes: u8,
                halves: [&Half<Self>; 2],
                new: &mut Half<Self>,
                keys: &[Self; KEY_LANES],
                round: (PassDirection, usize),
            ) {
                // SAFETY: as above.
                unsafe { $sboxes(sboxes, halves, new, keys, round) }
            }

            #[inline(always)]
            fn part(
                halves: [&Half<Self>; 2],
                new: &mut Half<Self>,
                keys: &[Self; KEY_LANES],
                round: (PassDirection, usize),
            ) {
                // SAFETY: as above.
                unsafe { $part(halves, new, keys, round) }
            }

            #[inline(always)]
            fn is_full(self) -> bool {
                let mut words = [[0; 8]; $words];
                self.store(&mut words);
                words.iter().all(|word| *word == [0xff; 8])
            }
        }
    };
}

lane!(
    Two256(__m256i),
    4,
    rounds_avx2,
    rounds_avx2_each,
    sboxes_avx2,
    part_avx2,
    _mm256_set1_epi64x,
    _mm256_xor_si256,
    _mm256_or_si256,
    _mm256_srl_epi64,
    _mm256_sll_epi64
);
lane!(
    Three256(__m256i),
    4,
    rounds_256,
    rounds_256_each,
    sboxes_256,
    part_256,
    _mm256_set1_epi64x,
    _mm256_xor_si256,
    _mm256_or_si256,
    _mm256_srl_epi64,
    _mm256_sll_epi64
);
lane!(
    Three512(__m512i),
    8,
    rounds_512,
    rounds_512_each,
    sboxes_512,
    part_512,
    _mm512_set1_epi64,
    _mm512_xor_si512,
    _mm512_or_si512,
    _mm512_srl_epi64,
    _mm512_sll_epi64
);

impl Two256 {
    /// The bits of `one` where this has ones, those of `other` where it has zeros.
    #[inline(always)]
    fn choose(self, one: Self, other: Self) -> Self {
        // SAFETY: as above.
        let (one, other) =
            unsafe { (_mm256_and_si256(self.0, one.0), _mm256_andnot_si256(self.0, other.0)) };
        Self(one).or(Self(other))
    }
}

impl Three256 {
    /// The same selection as [`Two256::choose`], in one instruction.
    #[inline(always)]
    fn choose(self, one: Self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_ternarylogic_epi64::<CHOICE>(self.0, one.0, other.0) })
    }
}

impl Three512 {
    /// The same selection as [`Two256::choose`], in one instruction.
    #[inline(always)]
    fn choose(self, one: Self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_ternarylogic_epi64::<CHOICE>(self.0, one.0, other.0) })
    }
}

/// `a ? b : c`: rows 110, 111, 001 and 011.
const CHOICE: i32 = 1 << 0b110 | 1 << 0b111 | 1 << 0b001 | 1 << 0b011;
