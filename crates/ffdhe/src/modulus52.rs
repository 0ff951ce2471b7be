//! The engine for AVX-512 IFMA, with 52-bit limbs.

use crypto_bigint::{BoxedUint, NonZero, Odd};
use zeroize::Zeroizing;

use crate::field::PrimeField;
use crate::ifma::{Ifma, LIMB_BITS, Limbs, MASK};

/// An odd modulus of at most 52·K - 3 bits.
pub(crate) struct Modulus52<const V: usize, const K: usize> {
    ifma: Ifma,
    p: Limbs<V>,
    /// Montgomery's constant -1/p mod 2^52.
    k0: u64,
    /// R mod p, R² mod p, and the integer 1.
    one: Limbs<V>,
    r_squared: Limbs<V>,
    unit: Limbs<V>,
    bytes: usize,
}

impl<const V: usize, const K: usize> Modulus52<V, K> {
    /// The arithmetic modulo p; `None` if the processor lacks IFMA or p is too long.
    pub(crate) fn new(p: &Odd<BoxedUint>) -> Option<Self> {
        let ifma = Ifma::detect()?;
        let bits = p.as_ref().bit_width_vartime() as usize;
        if bits + 3 > LIMB_BITS * K || K > 8 * V || V == 0 {
            return None;
        }
        let power_of_two = |exponent: usize| {
            // The modulus is public, so variable time is safe.
            let bytes = exponent / 8 + 1;
            let mut power = vec![0; bytes];
            *power.first_mut()? = 1 << (exponent % 8);
            let wide = BoxedUint::from_be_slice_vartime(&power);
            let p: NonZero<BoxedUint> = Option::from(NonZero::new(p.as_ref().clone()))?;
            Some(from_be_bytes(&wide.rem_vartime(&p).to_be_bytes()))
        };
        let p_limbs = from_be_bytes(&p.as_ref().to_be_bytes());
        let [p0, ..] = *p_limbs.0.as_flattened() else { return None };
        // Newton: each step doubles the bits of 1/p that are right, from 3.
        let inverse =
            (0..5).fold(p0, |x, _| x.wrapping_mul(2_u64.wrapping_sub(p0.wrapping_mul(x))));
        Some(Self {
            ifma,
            p: p_limbs,
            k0: inverse.wrapping_neg() & MASK,
            one: power_of_two(LIMB_BITS * K)?,
            r_squared: power_of_two(2 * LIMB_BITS * K)?,
            unit: from_be_bytes(&[1]),
            bytes: bits.div_ceil(8),
        })
    }
}

impl<const V: usize, const K: usize> PrimeField for Modulus52<V, K> {
    type Element = Limbs<V>;

    fn one(&self) -> Limbs<V> {
        self.one
    }

    fn mul(&self, a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> {
        self.ifma.mul::<V, K>(a, b, &self.p, self.k0)
    }

    fn square(&self, a: &Limbs<V>) -> Limbs<V> {
        self.ifma.square::<V, K>(a, &self.p, self.k0)
    }

    fn import(&self, bytes: &[u8]) -> Limbs<V> {
        self.mul(&from_be_bytes(bytes), &self.r_squared)
    }

    fn export(&self, x: &Limbs<V>) -> Zeroizing<Vec<u8>> {
        // (x·1 + m·p)/R <= p for x < 2p: at most one subtraction.
        let x = Zeroizing::new(self.mul(x, &self.unit));
        to_be_bytes(&Zeroizing::new(reduced(&x, &self.p)), self.bytes)
    }

    fn select(&self, table: &[Limbs<V>], index: usize) -> Limbs<V> {
        self.ifma.select(table, index)
    }
}

/// x - p if that is not negative, else x; computed without a branch.
fn reduced<const V: usize>(x: &Limbs<V>, p: &Limbs<V>) -> Limbs<V> {
    let mut difference = Zeroizing::new(*x);
    let mut borrow = 0_i64;
    for (to, p) in difference.0.as_flattened_mut().iter_mut().zip(p.0.as_flattened()) {
        // Limbs have 52 bits, so none of this leaves i64.
        let limb = to.cast_signed() - p.cast_signed() + borrow;
        borrow = limb >> LIMB_BITS;
        *to = limb.cast_unsigned() & MASK;
    }
    // All ones if x < p.
    let keep = std::hint::black_box(borrow.cast_unsigned());
    let mut result = *x;
    for (to, from) in result.0.as_flattened_mut().iter_mut().zip(difference.0.as_flattened()) {
        *to = *to & keep | from & !keep;
    }
    result
}

/// The limbs of a big-endian number. Bytes beyond the limbs are ignored: the caller has checked the
/// length.
fn from_be_bytes<const V: usize>(bytes: &[u8]) -> Limbs<V> {
    let mut limbs = Limbs([[0; 8]; V]);
    let flat = limbs.0.as_flattened_mut();
    for (i, byte) in bytes.iter().rev().enumerate() {
        let (at, shift) = (8 * i / LIMB_BITS, 8 * i % LIMB_BITS);
        if let Some(limb) = flat.get_mut(at) {
            *limb |= u64::from(*byte) << shift & MASK;
        }
        // A byte that lies across two limbs.
        if shift > LIMB_BITS - 8
            && let Some(limb) = flat.get_mut(at + 1)
        {
            *limb |= u64::from(*byte) >> (LIMB_BITS - shift);
        }
    }
    limbs
}

fn to_be_bytes<const V: usize>(limbs: &Limbs<V>, length: usize) -> Zeroizing<Vec<u8>> {
    let flat = limbs.0.as_flattened();
    let byte = |i: usize| {
        let (at, shift) = (8 * i / LIMB_BITS, 8 * i % LIMB_BITS);
        let low = flat.get(at).map_or(0, |limb| limb >> shift);
        let high = flat.get(at + 1).map_or(0, |limb| limb << (LIMB_BITS - shift));
        #[allow(clippy::cast_possible_truncation, reason = "the lowest 8 bits are meant")]
        let byte = (low | high) as u8;
        byte
    };
    Zeroizing::new((0..length).rev().map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limbs(number: u128) -> Limbs<1> {
        from_be_bytes(&number.to_be_bytes())
    }

    /// Moduli whose limbs are full or zero, at the ends of what may come: borrows go through limbs.
    #[test]
    fn what_is_above_the_modulus_and_below_twice_it_is_reduced_once() {
        let limb = 1_u128 << LIMB_BITS;
        for p in [
            3,
            limb - 1,
            limb + 1,
            5 * limb + 1,
            limb * limb - 1,
            limb * limb + 1,
            3 * limb * limb + limb - 1,
        ] {
            for x in [0, 1, 2, p / 2, p - 2, p - 1, p, p + 1, p + limb, 2 * p - 2, 2 * p - 1] {
                if x < 2 * p {
                    assert_eq!(
                        reduced(&limbs(x), &limbs(p)).0,
                        limbs(x % p).0,
                        "{x:x} modulo {p:x}"
                    );
                }
            }
        }
    }

    #[test]
    fn bytes_come_back_from_limbs() {
        for length in 1..=64 {
            let bytes: Vec<u8> = (0..length).map(|i| 0xff - 3 * i).collect();
            assert_eq!(to_be_bytes(&from_be_bytes::<2>(&bytes), bytes.len()).as_slice(), bytes);
        }
        // Where each bit lies: limb k begins at bit 52k.
        for bit in 0..128_u32 {
            let (limb, shift) = (bit / 52, bit % 52);
            assert_eq!(limbs(1 << bit).0.as_flattened()[limb as usize], 1 << shift, "bit {bit}");
        }
    }
}
