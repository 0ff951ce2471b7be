//! Amounts, numbers and names that both profiles use.

use std::fmt;

use smallvec::SmallVec;
use subtle::{Choice, ConstantTimeEq};
use zeroize::ZeroizeOnDrop;

/// A sum or a number left its range. No peer can cause it: it takes 2^63 values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the numbering or the total would overflow")]
pub struct OverflowError;

/// One counted integer: -2^63 to 2^64 - 1, which holds both D-DDES/2's `i64` and classic's `u64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

impl Amount {
    /// The amount as an integer.
    pub fn get(self) -> i128 {
        self.0
    }
}

/// Values that count together. Most frames hold one, which needs no allocation.
pub type Amounts = SmallVec<[Amount; 1]>;

impl From<u64> for Amount {
    fn from(value: u64) -> Self {
        Self(value.into())
    }
}

impl From<i64> for Amount {
    fn from(value: i64) -> Self {
        Self(value.into())
    }
}

impl TryFrom<i128> for Amount {
    type Error = OverflowError;

    fn try_from(value: i128) -> Result<Self, OverflowError> {
        let holds = i64::try_from(value).is_ok() || u64::try_from(value).is_ok();
        if holds { Ok(Self(value)) } else { Err(OverflowError) }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The exact sum of an account's amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Total(i128);

impl Total {
    /// The sum of no amounts.
    pub const ZERO: Self = Self(0);

    /// A sum that was computed elsewhere.
    pub fn new(sum: i128) -> Self {
        Self(sum)
    }

    /// The sum as an integer.
    pub fn get(self) -> i128 {
        self.0
    }

    /// The total with `amount` counted.
    pub fn plus(self, amount: Amount) -> Result<Self, OverflowError> {
        self.0.checked_add(amount.0).map(Self).ok_or(OverflowError)
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a value in its account: 1, 2, 3 … without end. 0 means none yet.
///
/// It is durable. A record number, in contrast, is per key and implicit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// Before the first value.
    pub const NONE: Self = Self(0);

    /// The value numbered `number`.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The value's number as an integer.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number `count` values later.
    pub fn forward(self, count: u64) -> Result<Self, OverflowError> {
        self.0.checked_add(count).map(Self).ok_or(OverflowError)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a session in its account; only the newest may add. 0 means none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(u64);

impl SessionNumber {
    /// Before the first session.
    pub const NONE: Self = Self(0);

    /// The session numbered `number`.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The session's number as an integer.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The session after this one.
    pub fn next(self) -> Result<Self, OverflowError> {
        self.0.checked_add(1).map(Self).ok_or(OverflowError)
    }
}

impl fmt::Display for SessionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An account's last number, last session and sum, as 20, 40 and the server's 50 state them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The highest number counted, which is also the count of values.
    pub last_seq: Sequence,
    /// The session that counted value `last_seq`.
    pub last_session: SessionNumber,
    /// The sum of all values counted.
    pub sum: Total,
}

/// The 16 random bytes of opcode 20. Compared in constant time only, never printed by Debug, wiped
/// on drop.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Token([u8; Self::BYTES]);

impl Token {
    /// Length of a token in bytes.
    pub const BYTES: usize = 16;

    /// A token from its bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The token's bytes, which are secret.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl ConstantTimeEq for Token {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The name of a client as people see it: a UUID (RFC 9562).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId([u8; Self::BYTES]);

impl ClientId {
    /// Length of a UUID in bytes.
    pub const BYTES: usize = 16;

    /// The UUID with exactly these bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// A version 4 UUID from 16 random bytes: version and variant bits set, the rest kept.
    pub fn random(mut entropy: [u8; Self::BYTES]) -> Self {
        entropy[6] = entropy[6] & 0x0f | 0x40;
        entropy[8] = entropy[8] & 0x3f | 0x80;
        Self(entropy)
    }

    /// The bytes, most significant first.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The UUID read as one integer of 128 bits.
    pub fn as_integer(&self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
