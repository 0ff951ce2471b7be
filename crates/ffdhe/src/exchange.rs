//! Private exponents, public values and shared values.

use std::fmt;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::group::{Group, in_range, trimmed};

/// A private key: an exponent of fixed length, used for one handshake. Wiped on drop.
pub struct Exponent {
    group: Group,
    /// Big-endian, of the group's exponent length.
    bytes: Zeroizing<Vec<u8>>,
}

impl ZeroizeOnDrop for Exponent {}

/// A public value in 2..=p-2 of a known group.
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
    /// Not exactly as long as the prime, where that is asked for.
    #[error("it has {length} bytes instead of {expected}")]
    Length {
        /// What came.
        length: usize,
        /// The prime's length.
        expected: usize,
    },
    /// The shared value is 0, 1 or p-1.
    #[error("it leads to a degenerate shared value")]
    Degenerate,
    /// It lies in another group than the exponent.
    #[error("it lies in another group")]
    OtherGroup,
}

impl Exponent {
    /// A key from uniformly random bytes, of which the first [`Group::exponent_len`] are used
    /// (missing ones count as zeros). The top bit is set, so that the length is always the same.
    pub fn from_entropy(group: &Group, entropy: &[u8]) -> Self {
        let length = group.exponent_len();
        let mut bytes = Zeroizing::new(vec![0; length]);
        for (byte, random) in bytes.iter_mut().zip(entropy) {
            *byte = *random;
        }
        if let Some(top) = bytes.first_mut() {
            *top |= 0x80;
        }
        Self { group: group.clone(), bytes }
    }

    /// `g^x mod p`.
    pub fn public_value(&self) -> PublicValue {
        let power = self.group.engine().of_generator(&self.bytes);
        PublicValue { bytes: power.as_slice().into(), group: self.group.clone() }
    }

    /// `Y^x mod p`.
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

/// Whether a shared value is 0, 1 or p-1; every byte is looked at, whatever it is. p is odd, so p-1 differs from it in the last bit alone.
fn is_degenerate(shared: &[u8], prime: &[u8]) -> bool {
    let ends = |last: &[u8], expected: u8| last.first().copied().unwrap_or(0) ^ expected;
    let (front, last) = shared.split_at(shared.len().saturating_sub(1));
    let (prime_front, prime_last) = prime.split_at(prime.len().saturating_sub(1));
    let any = front.iter().fold(0, |any, byte| any | byte);
    let other = front.iter().zip(prime_front).fold(0, |other, (a, b)| other | (a ^ b));
    let below = prime_last.first().map_or(0, |last| last ^ 1);
    let differences = [any | ends(last, 0), any | ends(last, 1), other | ends(last, below)];
    // Zero if one of them is: none has more than 8 bits.
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
