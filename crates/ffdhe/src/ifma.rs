//! Montgomery arithmetic on 52-bit limbs with AVX-512 IFMA instructions. One of the crate's three
//! files with `unsafe`.
//!
//! `V` vectors of 8 limbs, of which the first `K` are used: R = 2^(52·K). p has at most 52·K - 3
//! bits, so that products of numbers below 2p stay below 2p without a subtraction (Walter,
//! "Montgomery exponentiation needs no final subtractions", 1999).

#![allow(
    unsafe_code,
    reason = "intrinsics; each block says why it holds, and tests/engines.rs holds each engine to \
              its safe twin"
)]

use core::arch::x86_64::{
    __m512i, _mm_extract_epi64, _mm512_add_epi64, _mm512_alignr_epi64, _mm512_and_si512,
    _mm512_castsi512_si128, _mm512_cmpeq_epu64_mask, _mm512_cmpgt_epu64_mask,
    _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_mask_add_epi64, _mm512_mask_set1_epi64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_srli_epi64,
};

use zeroize::Zeroize;

use crate::field::mask;

pub(super) const LIMB_BITS: usize = 52;
pub(super) const MASK: u64 = (1 << LIMB_BITS) - 1;

/// `V` vectors of 8 limbs, the lowest first.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Limbs<const V: usize>(pub(super) [[u64; 8]; V]);

impl<const V: usize> Zeroize for Limbs<V> {
    fn zeroize(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

/// Proof that the processor has AVX-512 F and IFMA.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ifma(());

impl Ifma {
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512ifma");
        has.then_some(Self(()))
    }

    /// `a·b/R mod p`, below 2p, for a and b below 2p; `k0` = -1/p mod 2^52.
    pub(super) fn mul<const V: usize, const K: usize>(
        self,
        a: &Limbs<V>,
        b: &Limbs<V>,
        p: &Limbs<V>,
        k0: u64,
    ) -> Limbs<V> {
        // SAFETY: `self` exists only where the processor has both features.
        unsafe { mul::<V, K>(a, b, p, k0) }
    }

    /// `a²/R mod p`, like [`Self::mul`], in a sixth less time.
    pub(super) fn square<const V: usize, const K: usize>(
        self,
        a: &Limbs<V>,
        p: &Limbs<V>,
        k0: u64,
    ) -> Limbs<V> {
        // SAFETY: as above.
        unsafe { square::<V, K>(a, p, k0) }
    }

    /// `table[index]`; reads every entry, so that memory accesses do not depend on `index`.
    pub(super) fn select<const V: usize>(self, table: &[Limbs<V>], index: usize) -> Limbs<V> {
        // SAFETY: as above.
        unsafe { select(table, index) }
    }
}

#[inline]
fn vector(limbs: &[u64; 8]) -> __m512i {
    // SAFETY: both are 64 bytes, and every bit pattern is valid in both.
    unsafe { core::mem::transmute(*limbs) }
}

#[inline]
fn limbs(vector: __m512i) -> [u64; 8] {
    // SAFETY: as above.
    unsafe { core::mem::transmute(vector) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn broadcast(limb: u64) -> __m512i {
    _mm512_set1_epi64(limb.cast_signed())
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn mul<const V: usize, const K: usize>(
    a: &Limbs<V>,
    b: &Limbs<V>,
    p: &Limbs<V>,
    k0: u64,
) -> Limbs<V> {
    let turns = Turns::new(a, p, k0);
    let sum = turns.take::<0, false>(LimbSum::ZERO, &b.0.as_flattened()[..K]);
    carried(sum)
}

/// The product of two limbs in different vectors is added once, doubled, in the turn of the limb in
/// the lower vector.
#[target_feature(enable = "avx512f,avx512ifma")]
fn square<const V: usize, const K: usize>(a: &Limbs<V>, p: &Limbs<V>, k0: u64) -> Limbs<V> {
    let turns = Turns::new(a, p, k0);
    let limbs = a.0.as_flattened();
    let of = |v: usize| &limbs[(8 * v).min(K)..(8 * v + 8).min(K)];
    let mut sum = turns.take::<0, true>(LimbSum::ZERO, of(0));
    sum = turns.take::<1, true>(sum, of(1));
    sum = turns.take::<2, true>(sum, of(2));
    sum = turns.take::<3, true>(sum, of(3));
    sum = turns.take::<4, true>(sum, of(4));
    if V > 5 {
        sum = turns.take::<5, true>(sum, of(5));
        sum = turns.take::<6, true>(sum, of(6));
        sum = turns.take::<7, true>(sum, of(7));
    }
    if V > 8 {
        sum = turns.take::<8, true>(sum, of(8));
        sum = turns.take::<9, true>(sum, of(9));
    }
    carried(sum)
}

/// The running sum. The next multiple of p depends on the lowest limb, which is a separate scalar;
/// lane 0 of the vectors is unused. Lane 1 is then needed only a whole turn later.
#[derive(Clone, Copy)]
struct LimbSum<const V: usize> {
    vectors: [__m512i; V],
    low: u64,
}

impl<const V: usize> LimbSum<V> {
    // SAFETY: 64 bytes, and every bit pattern is valid.
    const ZERO: Self = Self { vectors: unsafe { core::mem::zeroed() }, low: 0 };
}

/// The parts of a and p that each turn uses.
struct Turns<const V: usize> {
    a: [__m512i; V],
    p: [__m512i; V],
    /// Their two lowest limbs.
    a_low: [u64; 2],
    p_low: [u64; 2],
    k0: u64,
}

impl<const V: usize> Turns<V> {
    #[inline]
    fn new(a: &Limbs<V>, p: &Limbs<V>, k0: u64) -> Self {
        let low = |limbs: &Limbs<V>| [limbs.0[0][0], limbs.0[0][1]];
        let vectors = |limbs: &Limbs<V>| std::array::from_fn(|j| vector(&limbs.0[j]));
        Self { a: vectors(a), p: vectors(p), a_low: low(a), p_low: low(p), k0 }
    }

    /// One limb of b after the other: add a·b_i, add the multiple m of p that clears the lowest
    /// limb, drop that limb. Where `SQUARE`, b are the limbs of a's vector `OWN`: vectors below it
    /// have been dealt with, those above count twice.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn take<const OWN: usize, const SQUARE: bool>(
        &self,
        mut sum: LimbSum<V>,
        b: &[u64],
    ) -> LimbSum<V> {
        let zero = _mm512_setzero_si512();
        let ([a0, a1], [p0, p1]) = (self.a_low, self.p_low);
        for b in b {
            let next =
                _mm_extract_epi64::<1>(_mm512_castsi512_si128(sum.vectors[0])).cast_unsigned();
            let (mut product, mut second) = (u128::from(sum.low), 0);
            if !SQUARE || OWN == 0 {
                product += u128::from(a0) * u128::from(*b);
                second = a1.wrapping_mul(*b) & MASK;
            }
            #[allow(clippy::cast_possible_truncation, reason = "modulo 2^64 is meant")]
            let m = (product as u64).wrapping_mul(self.k0) & MASK;
            let carry = (product + u128::from(p0) * u128::from(m)) >> LIMB_BITS;
            #[allow(
                clippy::cast_possible_truncation,
                reason = "below 2^54: its limbs have 52 bits and low below 2^62"
            )]
            let carry = carry as u64;
            sum.low = next + second + (p1.wrapping_mul(m) & MASK) + carry;
            let (b, m) = (broadcast(*b), broadcast(m));
            let twice = |product| _mm512_add_epi64(product, product);
            for j in 0..V {
                let (a, p) = (self.a[j], self.p[j]);
                if !SQUARE || j == OWN {
                    sum.vectors[j] = _mm512_madd52lo_epu64(sum.vectors[j], a, b);
                } else if j > OWN {
                    let product = twice(_mm512_madd52lo_epu64(zero, a, b));
                    sum.vectors[j] = _mm512_add_epi64(sum.vectors[j], product);
                }
                sum.vectors[j] = _mm512_madd52lo_epu64(sum.vectors[j], p, m);
            }
            for j in 0..V {
                // Apart, so that the chain through the sum is short.
                let (a, p) = (self.a[j], self.p[j]);
                let own = if SQUARE && j < OWN { zero } else { _mm512_madd52hi_epu64(zero, a, b) };
                let own = if SQUARE && j > OWN { twice(own) } else { own };
                let high = _mm512_madd52hi_epu64(own, p, m);
                let above = if j + 1 < V { sum.vectors[j + 1] } else { zero };
                sum.vectors[j] =
                    _mm512_add_epi64(_mm512_alignr_epi64::<1>(above, sum.vectors[j]), high);
            }
        }
        sum
    }
}

/// Reduces limbs below 2^63 to limbs below 2^52. One pass adds the carries; the carries that ripple
/// further are computed together in a scalar with a bit for each limb.
#[inline]
#[target_feature(enable = "avx512f")]
fn carried<const V: usize>(sum: LimbSum<V>) -> Limbs<V> {
    let LimbSum { vectors: mut sum, low } = sum;
    sum[0] = _mm512_mask_set1_epi64(sum[0], 1, low.cast_signed());
    let mask = broadcast(MASK);
    let carry: [_; V] = std::array::from_fn(|j| _mm512_srli_epi64::<52>(sum[j]));
    let (mut above, mut full) = (0_u128, 0_u128);
    for j in 0..V {
        let below = if j > 0 { carry[j - 1] } else { _mm512_setzero_si512() };
        let shifted = _mm512_alignr_epi64::<7>(carry[j], below);
        sum[j] = _mm512_add_epi64(_mm512_and_si512(sum[j], mask), shifted);
        above |= u128::from(_mm512_cmpgt_epu64_mask(sum[j], mask)) << (8 * j);
        full |= u128::from(_mm512_cmpeq_epu64_mask(sum[j], mask)) << (8 * j);
    }
    // A limb that overflows adds one to the next; a full one passes it on.
    let mut ripple = ((above << 1) + full) ^ full;
    let one = broadcast(1);
    Limbs(std::array::from_fn(|j| {
        #[allow(clippy::cast_possible_truncation, reason = "the lowest 8 bits are meant")]
        let added = _mm512_mask_add_epi64(sum[j], ripple as u8, sum[j], one);
        ripple >>= 8;
        limbs(_mm512_and_si512(added, mask))
    }))
}

#[target_feature(enable = "avx512f")]
fn select<const V: usize>(table: &[Limbs<V>], index: usize) -> Limbs<V> {
    let mut chosen = [_mm512_setzero_si512(); V];
    for (i, entry) in table.iter().enumerate() {
        let keep = broadcast(mask(i, index));
        for (chosen, limbs) in chosen.iter_mut().zip(&entry.0) {
            *chosen = _mm512_add_epi64(*chosen, _mm512_and_si512(vector(limbs), keep));
        }
    }
    Limbs(std::array::from_fn(|j| limbs(chosen[j])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by the definition: one limb after the other.
    fn one_by_one(limbs: &[u64]) -> Vec<u64> {
        let mut carry = 0;
        let carried = limbs.iter().map(|limb| {
            let sum = limb + carry;
            carry = sum >> LIMB_BITS;
            sum & MASK
        });
        carried.collect()
    }

    fn check<const V: usize>(sum: &[u64]) {
        let mut vectors = [[0; 8]; V];
        vectors.as_flattened_mut().copy_from_slice(sum);
        // Lane 0 of the lowest vector is not used: its limb is apart.
        let low = std::mem::replace(&mut vectors[0][0], 0x5555);
        let vectors = vectors.map(|limbs| vector(&limbs));
        // SAFETY: the caller has seen that the processor has the feature.
        let limbs = unsafe { carried(LimbSum { vectors, low }) };
        assert_eq!(limbs.0.as_flattened(), one_by_one(sum), "{sum:x?}");
    }

    /// Random numbers meet a limb of 52 ones once in 2^52 times, so these are made.
    fn carries_ripple<const V: usize>() {
        for from in 0..8 * V {
            for to in from..8 * V {
                for (overflowing, rest) in
                    [(1 << LIMB_BITS, 0), (MASK + 2, MASK - 1), (u64::MAX >> 1, 7)]
                {
                    let mut sum = vec![rest; 8 * V];
                    sum[from] = overflowing;
                    sum[from + 1..=to].fill(MASK);
                    check::<V>(&sum);
                    // Full limbs that nothing carries into stay as they are.
                    sum[from] = MASK;
                    check::<V>(&sum);
                }
            }
        }
        check::<V>(&vec![u64::MAX >> 1; 8 * V]);
    }

    #[test]
    fn a_carry_goes_through_limbs_that_are_full() {
        if Ifma::detect().is_some() {
            carries_ripple::<5>();
            carries_ripple::<8>();
            carries_ripple::<10>();
        }
    }
}
