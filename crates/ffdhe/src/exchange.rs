//! Private exponents, public values and shared secrets.

use std::fmt;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::group::{Group, in_range, trimmed};

/// A private key: an exponent of fixed length, for one handshake. Wiped on drop.
pub struct Exponent {
    group: Group,
    /// The exponent, big-endian, of the group's exponent length.
    bytes: Zeroizing<Vec<u8>>,
}

impl ZeroizeOnDrop for Exponent {}

/// A public value in 2..=p-2 of a given group.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicValue {
    group: Group,
    bytes: Box<[u8]>,
}

/// A shared value: as many bytes as the prime, leading zeros kept. Wiped on drop.
pub struct SharedSecret(Zeroizing<Box<[u8]>>);

impl ZeroizeOnDrop for SharedSecret {}

/// Why a public value is refused (PROTOCOL.md, C-08).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicValueError {
    /// Not in 2..=p-2: 0, 1 and p-1 would fix the shared value.
    #[error("it is not in 2..p-2")]
    Range,
    /// It is not as long as the prime, where the protocol requires that.
    #[error("it has {length} bytes instead of {expected}")]
    Length {
        /// The length received, in bytes.
        length: usize,
        /// The length of the prime in bytes.
        expected: usize,
    },
    /// The shared value is 0, 1 or p-1.
    #[error("it leads to a degenerate shared value")]
    Degenerate,
    /// It belongs to another group than the exponent.
    #[error("it lies in another group")]
    OtherGroup,
}

impl Exponent {
    /// A key from uniformly random bytes, of which the first [`Group::exponent_len`] are used. The
    /// top bit is set, so that all exponents have the same length.
    ///
    /// # Panics
    ///
    /// If there are fewer bytes: a key of them would be easier to guess.
    pub fn from_entropy(group: &Group, entropy: &[u8]) -> Self {
        let length = group.exponent_len();
        let mut bytes = Zeroizing::new(entropy[..length].to_vec());
        bytes[0] |= 0x80;
        Self { group: group.clone(), bytes }
    }

    /// The public value `Y = g^x mod p`.
    pub fn public_value(&self) -> PublicValue {
        let power = self.group.engine().of_generator(&self.bytes);
        PublicValue { bytes: power.as_slice().into(), group: self.group.clone() }
    }

    /// The shared secret `Y^x mod p`, where `Y` is the peer's value.
    pub fn agree(self, peer: &PublicValue) -> Result<SharedSecret, PublicValueError> {
        if peer.group != self.group {
            return Err(PublicValueError::OtherGroup);
        }
        let power = self.group.engine().of(&peer.bytes, &self.bytes);
        let secret = SharedSecret(Zeroizing::new(power.as_slice().into()));
        if is_degenerate(secret.as_bytes(), self.group.prime()) {
            Err(PublicValueError::Degenerate)
        } else {
            Ok(secret)
        }
    }
}

impl PublicValue {
    /// A peer's value as an unsigned big-endian integer, leading zeros ignored.
    pub fn received(group: &Group, bytes: &[u8]) -> Result<Self, PublicValueError> {
        in_range(group.modulus(), bytes).ok_or(PublicValueError::Range)?;
        let digits = trimmed(bytes);
        let mut whole = vec![0; group.prime_len().saturating_sub(digits.len())];
        whole.extend_from_slice(digits);
        Ok(Self { bytes: whole.into(), group: group.clone() })
    }

    /// A peer's value of exactly the prime's length.
    pub fn received_exact(group: &Group, bytes: &[u8]) -> Result<Self, PublicValueError> {
        let (length, expected) = (bytes.len(), group.prime_len());
        if length != expected {
            return Err(PublicValueError::Length { length, expected });
        }
        Self::received(group, bytes)
    }

    /// Exactly as many bytes as the prime, big-endian.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl SharedSecret {
    /// Exactly as many bytes as the prime, big-endian.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether a shared value is 0, 1 or p-1. Every byte is examined, whatever the value. p is odd, so
/// p-1 differs from it in the last bit only.
fn is_degenerate(shared: &[u8], prime: &[u8]) -> bool {
    let (Some((last, front)), Some((prime_last, prime_front))) =
        (shared.split_last(), prime.split_last())
    else {
        return true;
    };
    let any = front.iter().fold(0, |any, byte| any | byte);
    let other = front.iter().zip(prime_front).fold(0, |other, (a, b)| other | (a ^ b));
    let below = prime_last ^ 1;
    let differences = [any | last, any | (last ^ 1), other | (last ^ below)];
    // The product is zero if one of them is; they have 8 bits each, so it does not overflow.
    differences.iter().fold(1_u32, |product, difference| product * u32::from(*difference)) == 0
}

impl fmt::Debug for Exponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exponent(..)")
    }
}

impl fmt::Debug for PublicValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicValue({:?})", self.group)
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::NamedGroup;

    fn less(prime: &[u8], by: u8) -> Vec<u8> {
        // RFC 7919's primes end in ff.
        let mut bytes = prime.to_vec();
        *bytes.last_mut().unwrap() -= by;
        bytes
    }

    /// 257·(p-1)/2: an odd multiple of the order of the squares, as long as an exponent has to be,
    /// its top bit set.
    fn odd_multiple_of_the_order(prime: &[u8]) -> Vec<u8> {
        let halved =
            std::iter::once(&0).chain(prime).zip(prime).map(|(above, byte)| above << 7 | byte >> 1);
        let order: Vec<u8> = halved.collect();
        let mut carry = 0;
        let (high, low) = ([&order[..], &[0]].concat(), [&[0], &order[..]].concat());
        let mut sum: Vec<u8> = high
            .iter()
            .zip(&low)
            .rev()
            .map(|(a, b)| {
                carry += u16::from(*a) + u16::from(*b);
                let [over, byte] = carry.to_be_bytes();
                carry = over.into();
                byte
            })
            .collect();
        sum.reverse();
        sum
    }

    /// No exponent of ours is long enough to get there from a value in 2..=p-2, so this is what one
    /// that was would meet.
    #[test]
    fn a_shared_value_of_1_or_p_minus_1_is_refused() {
        for name in [NamedGroup::Ffdhe2048, NamedGroup::Ffdhe3072, NamedGroup::Ffdhe4096] {
            let group = Group::named(name);
            let prime = group.prime();
            let agree = |exponent: Vec<u8>, peer: &[u8]| {
                let exponent = Exponent { group: group.clone(), bytes: Zeroizing::new(exponent) };
                let shared = exponent.agree(&PublicValue::received(&group, peer).unwrap());
                shared.map(|shared| shared.as_bytes().to_vec())
            };
            // Fermat: 2^(p-1) = 1. And 2 is a square in these groups (p = 7 mod 8), -2 is none.
            assert_eq!(agree(less(prime, 1), &[2]), Err(PublicValueError::Degenerate));
            let exponent = odd_multiple_of_the_order(prime);
            assert_eq!(agree(exponent.clone(), &[2]), Err(PublicValueError::Degenerate));
            assert_eq!(agree(exponent, &less(prime, 2)), Err(PublicValueError::Degenerate));
            // One multiplication later: 2^p = 2, (-2)^p = -2.
            assert_eq!(agree(prime.to_vec(), &[2]).unwrap().last(), Some(&2));
            assert_eq!(agree(prime.to_vec(), &less(prime, 2)), Ok(less(prime, 2)));
        }
    }

    #[test]
    fn nothing_but_0_and_1_and_p_minus_1_is_degenerate() {
        let group = Group::named(NamedGroup::Ffdhe2048);
        let prime = group.prime();
        let mut one = vec![0; prime.len()];
        *one.last_mut().unwrap() = 1;
        for degenerate in [vec![0; prime.len()], one, less(prime, 1)] {
            assert!(is_degenerate(&degenerate, prime));
            for bit in 0..8 * prime.len() {
                let mut other = degenerate.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                // 0 and 1 are one bit apart.
                let is_other_end = degenerate[0] == 0 && bit == 8 * prime.len() - 8;
                assert_eq!(is_degenerate(&other, prime), is_other_end, "bit {bit}");
            }
        }
    }
}
