//! PostgreSQL's `numeric` as an integer of 128 bits, in its binary form.
//!
//! ```text
//! digits u16 || weight i16 || sign u16 || scale u16 || digits of base 10,000, u16 each
//! ```
//!
//! The first digit counts 10,000 to the power of the weight.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

const BASE: u128 = 10_000;
const NEGATIVE: u16 = 0x4000;
/// Digits of the largest number of 128 bits.
const DIGITS_MAX: usize = 10;

/// An integer in a column of type `numeric`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numeric(pub(crate) i128);

fn encode(number: i128, out: &mut BytesMut) {
    let (mut digits, mut rest) = ([0_u16; DIGITS_MAX], number.unsigned_abs());
    let mut len = 0_u16;
    for digit in digits.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *digit = low_digit(rest);
        rest /= BASE;
        len += 1;
    }
    let digits = &digits[DIGITS_MAX - usize::from(len)..];
    let trailing = digits.iter().rev().take_while(|digit| **digit == 0).count();
    let kept = &digits[..digits.len() - trailing];
    out.put_u16(kept.iter().fold(0, |count, _| count + 1));
    out.put_u16(len.saturating_sub(1));
    out.put_u16(if number < 0 { NEGATIVE } else { 0 });
    out.put_u16(0);
    kept.iter().for_each(|digit| out.put_u16(*digit));
}

/// The lowest digit of base 10,000.
fn low_digit(number: u128) -> u16 {
    let [low, high, ..] = (number % BASE).to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// `None` unless it is an integer of 128 bits.
fn decode(bytes: &[u8]) -> Option<i128> {
    let (words, []) = bytes.as_chunks::<2>() else { return None };
    let mut words = words.iter().map(|word| u16::from_be_bytes(*word));
    let (len, weight) = (words.next()?, words.next()?.cast_signed());
    let (sign, _scale) = (words.next()?, words.next()?);
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(len) || sign & !NEGATIVE != 0 {
        return None;
    }
    let mut number = 0_i128;
    for (at, digit) in digits.iter().enumerate() {
        let power = i32::from(weight) - i32::try_from(at).ok()?;
        let digit = if sign == NEGATIVE { -i128::from(*digit) } else { i128::from(*digit) };
        if digit == 0 {
            continue;
        }
        let base = i128::try_from(BASE).ok()?;
        let power = base.checked_pow(u32::try_from(power).ok()?);
        // The lowest number's magnitude is one more than the highest's, and no power of 10,000.
        number = number.checked_add(digit.checked_mul(power?)?)?;
    }
    Some(number)
}

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        encode(self.0, out);
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::NUMERIC
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Numeric {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        decode(bytes).map(Self).ok_or_else(|| "the number is not an integer of 128 bits".into())
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::NUMERIC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(number: i128) -> Vec<u16> {
        let mut out = BytesMut::new();
        encode(number, &mut out);
        out.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word)).collect()
    }

    /// As PostgreSQL 15 sends them: `SELECT numeric_send(…)`.
    #[test]
    fn numbers_are_as_postgresql_sends_them() {
        for (number, words) in [
            (0, &[0, 0, 0, 0][..]),
            (1, &[1, 0, 0, 0, 1]),
            (-1, &[1, 0, 0x4000, 0, 1]),
            (10_000, &[1, 1, 0, 0, 1]),
            (123_456_789, &[3, 2, 0, 0, 1, 2345, 6789]),
            (-1_000_000_000_000, &[1, 3, 0x4000, 0, 1]),
            (100_010_000, &[2, 2, 0, 0, 1, 1]),
            (i128::MAX, &[10, 9, 0, 0, 170, 1411, 8346, 469, 2317, 3168, 7303, 7158, 8410, 5727]),
            (
                i128::MIN,
                &[10, 9, 0x4000, 0, 170, 1411, 8346, 469, 2317, 3168, 7303, 7158, 8410, 5728],
            ),
        ] {
            assert_eq!(encoded(number), words, "{number}");
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(decode(&bytes), Some(number));
            assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn what_is_no_integer_of_128_bits_is_refused() {
        for words in [
            &[10_u16, 9, 0, 0, 170, 1411, 8346, 469, 2317, 3168, 7303, 7158, 8410, 5728][..],
            // 0.5, NaN, infinity, and a length that is not there.
            &[1, 0xffff, 0, 1, 5000],
            &[0, 0, 0xc000, 0],
            &[0, 0, 0xd000, 32],
            &[2, 0, 0, 0, 1],
            &[1, 0x7fff, 0, 0, 1],
            &[1, 0],
        ] {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(decode(&bytes), None, "{words:?}");
        }
    }
}
