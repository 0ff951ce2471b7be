//! Private exponents, public values and shared values.

use std::fmt;

use crypto_bigint::BoxedUint;
use crypto_bigint::modular::BoxedMontyForm;
use zeroize::{Zeroize, Zeroizing};

use crate::group::{Group, in_range};

/// A private key: an exponent of fixed length, used for one handshake. Wiped on drop.
pub struct Exponent {
    group: Group,
    value: BoxedUint,
    bits: u32,
}

/// A public value in 2..=p-2 of a known group.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicValue {
    group: Group,
    bytes: Box<[u8]>,
}

/// A shared value: as many bytes as the prime, leading zeros kept. Wiped on drop.
pub struct SharedSecret(Zeroizing<Box<[u8]>>);

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
        #[allow(clippy::cast_possible_truncation, reason = "at most 50 bytes")]
        let bits = length as u32 * 8;
        let value = BoxedUint::from_be_slice_truncated(&bytes, bits);
        Self { group: group.clone(), value, bits }
    }

    /// `g^x mod p`.
    pub fn public_value(&self) -> PublicValue {
        let power = self.group.generator_form().pow_bounded_exp(&self.value, self.bits);
        PublicValue { bytes: encode(&self.group, &power.retrieve()), group: self.group.clone() }
    }

    /// `Y^x mod p`.
    pub fn agree(self, peer: &PublicValue) -> Result<SharedSecret, PublicValueError> {
        if peer.group != self.group {
            return Err(PublicValueError::OtherGroup);
        }
        let params = self.group.params();
        let base = in_range(params.modulus(), &peer.bytes).ok_or(PublicValueError::Range)?;
        let power = BoxedMontyForm::new(base, params).pow_bounded_exp(&self.value, self.bits);
        let mut shared = power.retrieve();
        let bytes = encode(&self.group, &shared);
        shared.zeroize();
        let secret = SharedSecret(Zeroizing::new(bytes));
        in_range(params.modulus(), secret.as_bytes()).ok_or(PublicValueError::Degenerate)?;
        Ok(secret)
    }
}

impl PublicValue {
    /// A peer's value as an unsigned big-endian integer, leading zeros ignored.
    pub fn received(group: &Group, bytes: &[u8]) -> Result<Self, PublicValueError> {
        let value = in_range(group.params().modulus(), bytes).ok_or(PublicValueError::Range)?;
        Ok(Self { bytes: encode(group, &value), group: group.clone() })
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

/// `value < p` in exactly p's length.
fn encode(group: &Group, value: &BoxedUint) -> Box<[u8]> {
    let bytes = Zeroizing::new(value.to_be_bytes());
    let extra = bytes.len().saturating_sub(group.prime_len());
    bytes.get(extra..).unwrap_or(&[]).into()
}

impl Drop for Exponent {
    fn drop(&mut self) {
        self.value.zeroize();
    }
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
