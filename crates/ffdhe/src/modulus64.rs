//! The engine for any processor, with 64-bit limbs; in blocks where there is assembly for them.

use crypto_bigint::{BoxedUint, NonZero, Odd};
use zeroize::Zeroizing;

#[cfg(target_arch = "aarch64")]
pub(crate) use crate::a64::A64 as BlockArithmetic;
#[cfg(target_arch = "x86_64")]
pub(crate) use crate::adx::Adx as BlockArithmetic;
use crate::field::{PrimeField, mask};

/// An odd modulus of at most 64·N bits. R = 2^(64·N); numbers are below p.
pub(crate) struct Modulus64<const N: usize> {
    p: [u64; N],
    /// Montgomery's constant -1/p mod 2^64.
    k0: u64,
    /// R mod p, R² mod p, and the integer 1.
    one: [u64; N],
    r_squared: [u64; N],
    unit: [u64; N],
    bytes: usize,
    /// Multiplication by blocks, if the processor has the instructions and it is requested.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    blocks: Option<BlockArithmetic>,
}

impl<const N: usize> Modulus64<N> {
    /// The arithmetic modulo p; `None` if p is too long. `blocks`: multiply by blocks if the
    /// processor has the instructions.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(unused_variables, reason = "there is no assembly for this processor")
    )]
    pub(crate) fn new(p: &Odd<BoxedUint>, blocks: bool) -> Option<Self> {
        let bits = p.as_ref().bit_width_vartime() as usize;
        if bits > 64 * N {
            return None;
        }
        let power_of_two = |exponent: usize| {
            let mut power = vec![0; exponent / 8 + 1];
            *power.first_mut()? = 1 << (exponent % 8);
            let wide = BoxedUint::from_be_slice_vartime(&power);
            let p: NonZero<BoxedUint> = Option::from(NonZero::new(p.as_ref().clone()))?;
            Some(from_be_bytes(&wide.rem_vartime(&p).to_be_bytes()))
        };
        let limbs: [u64; N] = from_be_bytes(&p.as_ref().to_be_bytes());
        let p0 = *limbs.first()?;
        // Newton: each step doubles the bits of 1/p that are right, from 3.
        let inverse =
            (0..5).fold(p0, |x, _| x.wrapping_mul(2_u64.wrapping_sub(p0.wrapping_mul(x))));
        Some(Self {
            p: limbs,
            k0: inverse.wrapping_neg(),
            one: power_of_two(64 * N)?,
            r_squared: power_of_two(128 * N)?,
            unit: from_be_bytes(&[1]),
            bytes: bits.div_ceil(8),
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            blocks: BlockArithmetic::detect().filter(|_| blocks),
        })
    }
}

/// The sum of the products of one column, in 192 bits.
#[derive(Default)]
struct Column {
    low: u128,
    high: u64,
}

impl Column {
    #[inline(always)]
    fn add(&mut self, a: u64, b: u64) {
        let (low, carry) = self.low.overflowing_add(u128::from(a) * u128::from(b));
        (self.low, self.high) = (low, self.high + u64::from(carry));
    }

    #[inline(always)]
    fn add_doubled(&mut self, other: &Self) {
        for _ in 0..2 {
            let (low, carry) = self.low.overflowing_add(other.low);
            (self.low, self.high) = (low, self.high + other.high + u64::from(carry));
        }
    }

    /// Removes the lowest limb and returns it.
    #[inline(always)]
    fn shift(&mut self) -> u64 {
        #[allow(clippy::cast_possible_truncation, reason = "the lowest limb is meant")]
        let limb = self.low as u64;
        (self.low, self.high) = (self.low >> 64 | u128::from(self.high) << 64, 0);
        limb
    }
}

impl<const N: usize> Modulus64<N> {
    /// The product whose columns `fill` adds, times 1/R. For each low column, a multiple of p is
    /// added that clears it.
    #[inline(always)]
    #[allow(
        clippy::needless_range_loop,
        reason = "two arrays run against each other; as iterators this takes half as long again"
    )]
    fn reduce(&self, fill: impl Fn(&mut Column, usize)) -> [u64; N] {
        let (mut m, mut result) = ([0; N], [0; N]);
        let mut column = Column::default();
        for k in 0..N {
            fill(&mut column, k);
            for i in 0..k {
                column.add(m[i], self.p[k - i]);
            }
            #[allow(clippy::cast_possible_truncation, reason = "the lowest limb is meant")]
            let limb = column.low as u64;
            m[k] = limb.wrapping_mul(self.k0);
            column.add(m[k], self.p[0]);
            column.shift();
        }
        for k in N..2 * N {
            fill(&mut column, k);
            for i in k - N + 1..N {
                column.add(m[i], self.p[k - i]);
            }
            result[k - N] = column.shift();
        }
        #[allow(clippy::cast_possible_truncation, reason = "0 or 1: the result is below 2p")]
        let top = column.low as u64;
        reduced(&result, top, &self.p)
    }
}

/// Limbs of a block.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) const BLOCK_LIMBS: usize = 8;

/// A block of 512 bits, the lowest limb first.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) type LimbBlock = [u64; BLOCK_LIMBS];

/// Blocks of the longest product before its reduction, of 4096-bit numbers.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const PRODUCT_BLOCKS_MAX: usize = 2 * 4096 / 64 / BLOCK_LIMBS;

/// Multiplication by blocks of eight limbs.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<const N: usize> Modulus64<N> {
    const BLOCKS: usize = {
        assert!(N.is_multiple_of(BLOCK_LIMBS) && 2 * N <= PRODUCT_BLOCKS_MAX * BLOCK_LIMBS);
        N / BLOCK_LIMBS
    };

    fn mul_blocks(&self, by: BlockArithmetic, a: &[u64; N], b: &[u64; N]) -> [u64; N] {
        let mut product = [[0; BLOCK_LIMBS]; PRODUCT_BLOCKS_MAX];
        let (a, b) = (a.as_chunks().0, b.as_chunks().0);
        for (i, b) in b.iter().enumerate() {
            let (sum, above) = product[i..].split_at_mut(Self::BLOCKS);
            by.add_product(sum, a, b, &mut above[0]);
        }
        self.reduce_blocks(by, &mut product)
    }

    /// Adds each product of two different limbs once, doubles the sum, and adds the squares.
    fn square_blocks(&self, by: BlockArithmetic, a: &[u64; N]) -> [u64; N] {
        let mut product = [[0; BLOCK_LIMBS]; PRODUCT_BLOCKS_MAX];
        let blocks = a.as_chunks().0;
        for (i, block) in blocks.iter().enumerate() {
            let (sum, above) = product[2 * i..].split_at_mut(Self::BLOCKS - i);
            by.add_triangle(&mut sum[0], block, &mut above[0]);
            by.add_product(&mut sum[1..], &blocks[i + 1..], block, &mut above[0]);
        }
        by.double_and_add_squares(&mut product[..2 * Self::BLOCKS], blocks);
        self.reduce_blocks(by, &mut product)
    }

    /// Adds, for each low block, the multiple of p that clears it.
    fn reduce_blocks(
        &self,
        by: BlockArithmetic,
        product: &mut [LimbBlock; PRODUCT_BLOCKS_MAX],
    ) -> [u64; N] {
        let (p0, p) = self.p.as_chunks().0.split_at(1);
        let (mut carries, mut top) = ([0; BLOCK_LIMBS], 0);
        for i in 0..Self::BLOCKS {
            let (sum, above) = product[i..].split_at_mut(Self::BLOCKS);
            let (factor, sum) = sum.split_at_mut(1);
            by.clear(&mut factor[0], &p0[0], self.k0, &mut carries);
            by.add_product(sum, p, &factor[0], &mut carries);
            for (limb, carry) in above[0].iter_mut().zip(carries) {
                let (sum, first) = limb.overflowing_add(carry);
                let (sum, second) = sum.overflowing_add(top);
                (*limb, top) = (sum, u64::from(first | second));
            }
        }
        let high = std::array::from_fn(|j| product.as_flattened()[N + j]);
        reduced(&high, top, &self.p)
    }
}

impl<const N: usize> PrimeField for Modulus64<N> {
    type Element = [u64; N];

    fn one(&self) -> [u64; N] {
        self.one
    }

    /// Koç, Acar and Kaliski's FIPS, column by column ("Analyzing and comparing Montgomery
    /// multiplication algorithms", 1996).
    fn mul(&self, a: &[u64; N], b: &[u64; N]) -> [u64; N] {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if let Some(by) = self.blocks {
            return self.mul_blocks(by, a, b);
        }
        self.reduce(|column, k| {
            for i in k.saturating_sub(N - 1)..=k.min(N - 1) {
                column.add(a[i], b[k - i]);
            }
        })
    }

    /// Adds each product of two different limbs once, and doubles it.
    fn square(&self, a: &[u64; N]) -> [u64; N] {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if let Some(by) = self.blocks {
            return self.square_blocks(by, a);
        }
        self.reduce(|column, k| {
            let mut twice = Column::default();
            for i in k.saturating_sub(N - 1)..k.div_ceil(2) {
                twice.add(a[i], a[k - i]);
            }
            column.add_doubled(&twice);
            if k.is_multiple_of(2) {
                column.add(a[k / 2], a[k / 2]);
            }
        })
    }

    fn import(&self, bytes: &[u8]) -> [u64; N] {
        self.mul(&from_be_bytes(bytes), &self.r_squared)
    }

    fn export(&self, x: &[u64; N]) -> Zeroizing<Vec<u8>> {
        let x = Zeroizing::new(self.mul(x, &self.unit));
        let byte = |i: usize| x.get(i / 8).map_or(0, |limb| limb.to_le_bytes()[i % 8]);
        Zeroizing::new((0..self.bytes).rev().map(byte).collect())
    }

    fn select(&self, table: &[[u64; N]], index: usize) -> [u64; N] {
        let mut chosen = [0; N];
        for (i, entry) in table.iter().enumerate() {
            let keep = mask(i, index);
            for (chosen, limb) in chosen.iter_mut().zip(entry) {
                *chosen |= limb & keep;
            }
        }
        chosen
    }
}

/// `x + top·2^(64·N)`, less p if that is not negative; computed without a branch.
fn reduced<const N: usize>(x: &[u64; N], top: u64, p: &[u64; N]) -> [u64; N] {
    let (mut difference, mut borrow) = ([0; N], 0_u64);
    for ((to, x), p) in difference.iter_mut().zip(x).zip(p) {
        let (limb, first) = x.overflowing_sub(*p);
        let (limb, second) = limb.overflowing_sub(borrow);
        (*to, borrow) = (limb, u64::from(first | second));
    }
    // All ones if x < p.
    let keep = top.wrapping_sub(borrow) >> 63;
    let keep = std::hint::black_box(keep.wrapping_neg());
    std::array::from_fn(|j| x[j] & keep | difference[j] & !keep)
}

/// The limbs of a big-endian number. Bytes beyond the limbs are ignored: the caller has checked the
/// length.
fn from_be_bytes<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut limbs = [0; N];
    for (i, byte) in bytes.iter().rev().enumerate() {
        if let Some(limb) = limbs.get_mut(i / 8) {
            *limb |= u64::from(*byte) << (8 * (i % 8));
        }
    }
    limbs
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;

    /// Limbs of all ones and all zeros, in every order that eight of them can have in a block, and
    /// moduli of them: what carries furthest.
    #[test]
    #[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    fn blocks_agree_with_columns() {
        agree::<32>();
        agree::<48>();
        agree::<64>();
    }

    #[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    fn agree<const N: usize>() {
        let pattern = |bits: usize| {
            std::array::from_fn(|i| 0_u64.wrapping_sub((bits >> (i % 11) & 1) as u64))
        };
        for odd in [0x7fff_ffff, 0x0000_0001, 0x1234_5679] {
            let mut p = vec![0xff; 8 * N];
            p[8 * N - 4..].copy_from_slice(&u32::to_be_bytes(odd));
            let p = Odd::new(BoxedUint::from_be_slice_vartime(&p)).unwrap();
            let [columns, blocks] = [false, true].map(|by| Modulus64::<N>::new(&p, by).unwrap());
            for bits in 0..1 << 11 {
                let (a, b): ([u64; N], [u64; N]) =
                    (pattern(bits), pattern(bits.wrapping_mul(0x2d3)));
                let [a, b] = [a, b].map(|x| reduced(&x, 0, &columns.p));
                assert_eq!(blocks.mul(&a, &b), columns.mul(&a, &b), "{N} {odd:x} {bits:x}");
                assert_eq!(blocks.square(&a), columns.square(&a), "{N} {odd:x} {bits:x}");
            }
        }
    }
}
