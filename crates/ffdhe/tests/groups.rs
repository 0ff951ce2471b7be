//! The table of known groups against its definition, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and knows its numbers"
)]

use ddes_ffdhe::{Group, GroupError, NamedGroup};

/// A non-negative number of fixed size with a binary point: 32-bit digits, most significant first.
/// Just enough arithmetic for the two series, and none of the library under test.
#[derive(Clone)]
struct Fixed(Vec<u32>);

impl Fixed {
    /// `value`, followed by `digits` digits after the point.
    fn integer(value: u32, digits: usize) -> Self {
        let mut all = vec![0; digits + 1];
        all[0] = value;
        Self(all)
    }

    fn divided(&self, by: u32) -> Self {
        let mut rest = 0_u64;
        Self(
            self.0
                .iter()
                .map(|digit| {
                    let dividend = rest << 32 | u64::from(*digit);
                    rest = dividend % u64::from(by);
                    u32::try_from(dividend / u64::from(by)).unwrap()
                })
                .collect(),
        )
    }

    fn times(&self, by: u32) -> Self {
        let mut carry = 0_u64;
        let mut digits = self.0.clone();
        for digit in digits.iter_mut().rev() {
            let product = u64::from(*digit) * u64::from(by) + carry;
            *digit = product as u32;
            carry = product >> 32;
        }
        Self(digits)
    }

    fn plus(&self, other: &Self) -> Self {
        let mut carry = 0_u64;
        let mut digits = self.0.clone();
        for (digit, addend) in digits.iter_mut().zip(&other.0).rev() {
            let sum = u64::from(*digit) + u64::from(*addend) + carry;
            *digit = sum as u32;
            carry = sum >> 32;
        }
        Self(digits)
    }

    fn minus(&self, other: &Self) -> Self {
        let mut borrow = 0_i64;
        let mut digits = self.0.clone();
        for (digit, subtrahend) in digits.iter_mut().zip(&other.0).rev() {
            let difference = i64::from(*digit) - i64::from(*subtrahend) - borrow;
            *digit = difference as u32;
            borrow = i64::from(difference < 0);
        }
        Self(digits)
    }

    fn is_zero(&self) -> bool {
        self.0.iter().all(|digit| *digit == 0)
    }
}

/// The sum of 1/k!.
fn e(digits: usize) -> Fixed {
    let mut term = Fixed::integer(1, digits);
    let mut sum = term.clone();
    for k in 1.. {
        term = term.divided(k);
        if term.is_zero() {
            break;
        }
        sum = sum.plus(&term);
    }
    sum
}

/// Machin: pi = 16 atan(1/5) - 4 atan(1/239).
fn pi(digits: usize) -> Fixed {
    atan_of_inverse(5, digits).times(16).minus(&atan_of_inverse(239, digits).times(4))
}

fn atan_of_inverse(x: u32, digits: usize) -> Fixed {
    let mut power = Fixed::integer(1, digits).divided(x);
    let mut sum = power.clone();
    for n in 1.. {
        power = power.divided(x * x);
        if power.is_zero() {
            break;
        }
        let term = power.divided(2 * n + 1);
        sum = if n % 2 == 1 { sum.minus(&term) } else { sum.plus(&term) };
    }
    sum
}

/// `2^b - 2^(b-64) + ([2^(b-130) c] + x) 2^64 - 1`, big-endian.
fn prime(bits: usize, constant: &Fixed, x: u32) -> Vec<u8> {
    // [2^(b-130) c]: the bits of c from the point on, b-130 of them, with c's integer part before.
    let wanted = bits - 130;
    let bit = |i: usize| constant.0[i / 32] >> (31 - i % 32) & 1;
    let mut middle = vec![0_u8; (bits - 128) / 8];
    for i in 0..bits - 128 {
        // Two bits of integer part (c < 4) and then `wanted` bits.
        let value = bit(30 + i);
        middle[i / 8] |= u8::try_from(value << (7 - i % 8)).unwrap();
    }
    assert_eq!(bits - 128, wanted + 2);
    // The final -1 borrows one from the middle and leaves ones behind it.
    let mut carry = u64::from(x) - 1;
    for byte in middle.iter_mut().rev() {
        carry += u64::from(*byte);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    [&[0xff; 8][..], &middle, &[0xff; 8]].concat()
}

/// RFC 7919, appendix A, and RFC 3526, sections 3 to 7.
const FFDHE: [(usize, u32); 5] =
    [(2048, 560_316), (3072, 2_625_351), (4096, 5_736_041), (6144, 15_705_020), (8192, 10_965_728)];
const MODP: [(usize, u32); 5] =
    [(2048, 124_476), (3072, 1_690_314), (4096, 240_904), (6144, 929_484), (8192, 4_743_158)];

#[test]
fn the_table_holds_what_the_rfcs_define() {
    let digits = 8192 / 32 + 2;
    let (e, pi) = (e(digits), pi(digits));
    let mut defined = Vec::new();
    for (name, constant, primes) in [("ffdhe", e, FFDHE), ("modp", pi, MODP)] {
        for (bits, x) in primes {
            let hex: String =
                prime(bits, &constant, x).iter().map(|byte| format!("{byte:02x}")).collect();
            defined.push(format!("{name}{bits} {hex}"));
        }
    }
    let table = include_str!("../src/known_primes.txt");
    let table: Vec<_> = table.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(table, defined);
}

#[test]
fn the_named_groups_are_those_of_the_table() {
    let e = e(8192 / 32 + 2);
    for (name, (bits, x)) in
        [NamedGroup::Ffdhe2048, NamedGroup::Ffdhe3072, NamedGroup::Ffdhe4096].into_iter().zip(FFDHE)
    {
        let group = Group::named(name);
        assert_eq!(group.prime(), prime(bits, &e, x), "{}", name.name());
        assert_eq!((group.prime_len(), group.generator()), (bits / 8, &[2][..]));
    }
}

/// The full check, which the table lets a received group skip, agrees with the table.
#[test]
fn the_primes_of_the_table_are_safe() {
    for line in include_str!("../src/known_primes.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .take(2)
    {
        let hex = line.split_once(' ').unwrap().1;
        let prime =
            crypto_bigint::BoxedUint::from_be_hex(hex, u32::try_from(hex.len()).unwrap() * 4)
                .unwrap();
        assert!(crypto_primes::is_prime(crypto_primes::Flavor::Safe, &prime), "{}", &line[..10]);
    }
}

/// A safe prime of 2048 bits that no RFC lists, made by `openssl dhparam 2048`.
const FRESH: &str = include_str!("data/fresh2048.txt");
/// A prime of 2048 bits whose (p-1)/2 is composite, made by `openssl prime -generate -bits 2048`.
const UNSAFE: &str = include_str!("data/unsafe2048.txt");
/// A safe prime of 1024 bits, made by `openssl dhparam 1024`.
const SHORT: &str = include_str!("data/short1024.txt");

fn integer(text: &str) -> Vec<u8> {
    let hex = text.trim();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn a_fresh_safe_prime_is_taken_and_then_remembered() {
    let group = Group::received(&integer(FRESH), &[2]).unwrap();
    assert_eq!(group.exponent_len(), 32);
    assert_eq!(Group::received(&integer(FRESH), &[2]), Ok(group));
}

#[test]
fn a_prime_of_1024_bits_is_refused() {
    assert_eq!(Group::received(&integer(SHORT), &[2]), Err(GroupError::TooShort { bits: 1024 }));
}

/// The length is looked at before anything is computed, so any digits will do for what is refused.
#[test]
fn a_prime_of_2047_bits_is_refused_and_one_of_2048_taken() {
    for bits in [1, 8, 1535, 1536, 2040, 2047] {
        let mut number = vec![0xff; usize::try_from(bits).unwrap().div_ceil(8)];
        number[0] >>= (8 - bits % 8) % 8;
        assert_eq!(Group::received(&number, &[2]), Err(GroupError::TooShort { bits }));
        // Leading zeros add nothing.
        let padded = [&[0; 300][..], &number].concat();
        assert_eq!(Group::received(&padded, &[2]), Err(GroupError::TooShort { bits }));
    }
    assert_eq!(Group::received(&integer(FRESH), &[2]).unwrap().prime_len(), 256);
}

#[test]
fn a_prime_of_8193_bits_is_refused_and_one_of_8192_taken() {
    let table = include_str!("../src/known_primes.txt").lines();
    let longest = table.filter_map(|line| line.strip_prefix("ffdhe8192 ")).next().unwrap();
    let group = Group::received(&integer(longest), &[2]).unwrap();
    assert_eq!((group.prime_len(), group.exponent_len()), (1024, 50));
    let mut longer = vec![0xff; 1025];
    longer[0] = 1;
    assert_eq!(Group::received(&longer, &[2]), Err(GroupError::TooLong));
}

/// Refused once, it is refused again: nothing is remembered but what was proved.
#[test]
fn a_prime_that_is_not_safe_is_refused() {
    for _ in 0..2 {
        assert_eq!(Group::received(&integer(UNSAFE), &[2]), Err(GroupError::NotSafePrime));
    }
}

#[test]
fn a_composite_with_prime_looking_parts_is_refused() {
    // 2p + 1 for a safe prime p: odd, and (value - 1) / 2 is prime.
    let mut doubled: Vec<u8> = vec![0];
    doubled.extend(integer(FRESH));
    let mut carry = 1;
    for byte in doubled.iter_mut().rev() {
        let sum = u16::from(*byte) * 2 + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(Group::received(&doubled, &[2]), Err(GroupError::NotSafePrime));
}

#[test]
fn even_and_oversized_moduli_are_refused() {
    let mut even = integer(FRESH);
    *even.last_mut().unwrap() ^= 1;
    assert_eq!(Group::received(&even, &[2]), Err(GroupError::NotSafePrime));
    assert_eq!(Group::received(&[0xff; 1025], &[2]), Err(GroupError::TooLong));
    assert_eq!(Group::received(&[], &[2]), Err(GroupError::TooShort { bits: 0 }));
}

#[test]
fn generators_outside_2_to_p_minus_2_are_refused() {
    let p = integer(FRESH);
    let mut p_minus_1 = p.clone();
    *p_minus_1.last_mut().unwrap() -= 1;
    for generator in [&[][..], &[0], &[1], &p_minus_1, &p] {
        assert_eq!(Group::received(&p, generator), Err(GroupError::Generator));
    }
    let mut p_minus_2 = p.clone();
    *p_minus_2.last_mut().unwrap() -= 2;
    assert!(Group::received(&p, &p_minus_2).is_ok());
}

#[test]
fn leading_zeros_of_a_received_group_mean_nothing() {
    let padded = [&[0, 0][..], &integer(FRESH)].concat();
    let group = Group::received(&padded, &[0, 2]).unwrap();
    assert!(group.is(&integer(FRESH), &[2]));
}
