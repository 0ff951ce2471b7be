//! Groups: those of RFC 7919 by name, and groups chosen by a peer, which are checked first.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crypto_bigint::{BoxedUint, Odd};
use crypto_primes::Flavor;

use crate::engine::{EngineKind, GroupEngine};

/// The shortest prime that is accepted from a peer, in bits.
pub const PRIME_BITS_MIN: u32 = 2048;
/// The longest prime that is accepted from a peer, in bits. Checking a longer one takes seconds.
pub const PRIME_BITS_MAX: u32 = 8192;

/// Safe primes that this process remembers, so that a group is checked only once.
const PROVED_MAX: usize = 16;

const KNOWN_PRIMES: &str = include_str!("known_primes.txt");

/// The groups of RFC 7919 that the protocol offers. All have generator 2 and a safe prime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamedGroup {
    /// 2048 bits: 103 bits of strength by RFC 7919's count.
    Ffdhe2048,
    /// 3072 bits: 125 bits of strength by the same count.
    Ffdhe3072,
    /// 4096 bits: 150 bits of strength by the same count.
    Ffdhe4096,
}

impl NamedGroup {
    /// RFC 7919's name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ffdhe2048 => "ffdhe2048",
            Self::Ffdhe3072 => "ffdhe3072",
            Self::Ffdhe4096 => "ffdhe4096",
        }
    }
}

/// Why a received group is refused (PROTOCOL.md, C-07).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The prime is too short for a discrete logarithm to be hard.
    #[error("its prime has {bits} bits, at least {PRIME_BITS_MIN} are needed")]
    TooShort {
        /// The length of the prime in bits.
        bits: u32,
    },
    /// The prime is so long that using it would be a denial of service.
    #[error("its prime has more than {PRIME_BITS_MAX} bits")]
    TooLong,
    /// p or (p-1)/2 is not prime: the group may have small subgroups.
    #[error("its modulus is no safe prime")]
    NotSafePrime,
    /// g is not in 2..=p-2.
    #[error("its generator is out of range")]
    Generator,
}

/// A Diffie-Hellman group with a safe prime. Cheap to clone.
#[derive(Clone)]
pub struct Group(Arc<Domain>);

struct Domain {
    p: Odd<BoxedUint>,
    engine: GroupEngine,
    prime_bytes: Box<[u8]>,
    generator_bytes: Box<[u8]>,
}

impl Group {
    /// The group of RFC 7919 with this name.
    pub fn named(name: NamedGroup) -> Self {
        static GROUPS: [OnceLock<Group>; 3] = [const { OnceLock::new() }; 3];
        let build = || {
            let prime = known_primes().find(|(known, _)| *known == name.name());
            // tests/groups.rs holds the table to RFC 7919's definition.
            #[allow(clippy::expect_used, reason = "the table in this crate has the three names")]
            let (_, prime) = prime.expect("a prime for every name");
            #[allow(clippy::expect_used, reason = "the primes in this crate are odd, and 2 < p")]
            Self::build(&prime, &[2]).expect("RFC 7919's groups are valid")
        };
        let slot = match name {
            NamedGroup::Ffdhe2048 => &GROUPS[0],
            NamedGroup::Ffdhe3072 => &GROUPS[1],
            NamedGroup::Ffdhe4096 => &GROUPS[2],
        };
        slot.get_or_init(build).clone()
    }

    /// A group chosen by a peer: `prime` and `generator` are unsigned big-endian, and leading zeros
    /// are ignored. Refused unless the prime is safe and has 2048 to 8192 bits, and the generator
    /// is in 2..=p-2.
    ///
    /// The prime is checked by the strengthened Baillie-PSW test (Baillie, Fiori and Wagstaff,
    /// 2021) on p and (p-1)/2. No composite is known that passes it, not even a constructed one.
    /// The primes of RFC 7919 and RFC 3526, and the last few that passed, are accepted without a
    /// test.
    pub fn received(prime: &[u8], generator: &[u8]) -> Result<Self, GroupError> {
        let prime = trimmed(prime);
        if prime.len() > PRIME_BITS_MAX.div_ceil(8) as usize {
            return Err(GroupError::TooLong);
        }
        let bits = BoxedUint::from_be_slice_vartime(prime).bit_width_vartime();
        if bits < PRIME_BITS_MIN {
            return Err(GroupError::TooShort { bits });
        }
        let group = Self::build(prime, trimmed(generator))?;
        if known_primes().any(|(_, known)| known == prime) || proved(prime) {
            return Ok(group);
        }
        if !crypto_primes::is_prime(Flavor::Safe, group.0.p.as_ref()) {
            return Err(GroupError::NotSafePrime);
        }
        remember(prime);
        Ok(group)
    }

    /// Builds the group, and checks all but the prime's size and primality.
    fn build(prime: &[u8], generator: &[u8]) -> Result<Self, GroupError> {
        let p = BoxedUint::from_be_slice_vartime(prime);
        let p: Odd<BoxedUint> = Option::from(p.into_odd()).ok_or(GroupError::NotSafePrime)?;
        in_range(&p, generator).ok_or(GroupError::Generator)?;
        let engine = GroupEngine::new(&p, generator);
        Ok(Self(Arc::new(Domain {
            p,
            engine,
            prime_bytes: prime.into(),
            generator_bytes: generator.into(),
        })))
    }

    /// The same group on a given engine; `None` if the processor or the length does not allow it.
    /// For tests and measurements.
    pub fn with_engine(&self, kind: EngineKind) -> Option<Self> {
        let Domain { p, prime_bytes, generator_bytes, .. } = &*self.0;
        let engine = GroupEngine::of_kind(kind, p, generator_bytes)?;
        let (prime_bytes, generator_bytes) = (prime_bytes.clone(), generator_bytes.clone());
        Some(Self(Arc::new(Domain { p: p.clone(), engine, prime_bytes, generator_bytes })))
    }

    /// The prime, big-endian, without leading zeros.
    pub fn prime(&self) -> &[u8] {
        &self.0.prime_bytes
    }

    /// The generator, big-endian, without leading zeros.
    pub fn generator(&self) -> &[u8] {
        &self.0.generator_bytes
    }

    /// Whether the group has this prime and generator; leading zeros are ignored.
    pub fn is(&self, prime: &[u8], generator: &[u8]) -> bool {
        self.prime() == trimmed(prime) && self.generator() == trimmed(generator)
    }

    /// Length of the prime, of public values and of shared values, in bytes.
    pub fn prime_len(&self) -> usize {
        self.prime().len()
    }

    /// Length of an exponent in bytes. RFC 7919 asks for 225, 275 and 325 bits at least for 2048,
    /// 3072 and 4096, and 400 for 8192.
    pub fn exponent_len(&self) -> usize {
        match self.prime_len() {
            0..=256 => 32,
            257..=384 => 36,
            385..=512 => 42,
            _ => 50,
        }
    }

    pub(crate) fn modulus(&self) -> &Odd<BoxedUint> {
        &self.0.p
    }

    pub(crate) fn engine(&self) -> &GroupEngine {
        &self.0.engine
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.prime(), other.generator())
    }
}

impl Eq for Group {}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({} bits)", self.prime_len() * 8)
    }
}

/// `bytes` as an integer with p's precision; `None` unless it is in 2..=p-2.
pub(crate) fn in_range(p: &Odd<BoxedUint>, bytes: &[u8]) -> Option<BoxedUint> {
    let value = BoxedUint::from_be_slice(trimmed(bytes), p.bits_precision()).ok()?;
    let one = BoxedUint::one_with_precision(p.bits_precision());
    let below = p.as_ref().wrapping_sub(&one);
    (value > one && value < below).then_some(value)
}

/// `bytes` without leading zeros.
pub(crate) fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// The names and primes of the table, in order.
fn known_primes() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let lines = KNOWN_PRIMES.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, hex)| (name, decode_hex(hex)))
}

#[allow(clippy::expect_used, reason = "the table in this crate is hexadecimal")]
fn decode_hex(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().as_chunks::<2>().0.iter();
    let digits = pairs.map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect()
}

static PROVED: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

fn proved(prime: &[u8]) -> bool {
    PROVED.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| **known == *prime)
}

fn remember(prime: &[u8]) {
    let mut primes = PROVED.lock().unwrap_or_else(PoisonError::into_inner);
    if primes.len() == PROVED_MAX {
        primes.remove(0);
    }
    primes.push(prime.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_primes_are_remembered_and_the_oldest_gives_way() {
        let prime = |number: usize| number.to_be_bytes();
        for number in 0..=PROVED_MAX {
            assert!(!proved(&prime(number)));
            remember(&prime(number));
            assert!(proved(&prime(number)));
        }
        assert!(!proved(&prime(0)) && (1..=PROVED_MAX).all(|number| proved(&prime(number))));
        assert_eq!(PROVED.lock().unwrap_or_else(PoisonError::into_inner).len(), PROVED_MAX);
    }
}
