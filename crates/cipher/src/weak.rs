//! Detects the 64 weak, semi-weak and possibly weak DES keys, and replaces them.
//!
//! In each of them the two halves that PC-1 makes of the key repeat a pattern of four bits of even
//! weight (Moore and Simmons, "Cycle structure of the DES with weak and semi-weak keys", 1986):
//! eight patterns a half. In bytes, with odd parity: the first four are each 01, 1F, E0 or FE and
//! their XOR is zero; the last four are the same with 0E for 1F and F1 for E0.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::DesKey;

type Bytes = [u8; DesKey::BYTES];

/// A byte of the first half and its counterpart in the second.
const PAIRS: [(u8, u8); 4] = [(0x01, 0x01), (0x1f, 0x0e), (0xe0, 0xf1), (0xfe, 0xfe)];

/// Key1 and Key2 of D-DDES/2 from 16 bytes of a KDF's output, computed in constant time: odd
/// parity, not weak, and not equal.
pub fn key_pair(key1: Bytes, key2: Bytes) -> (DesKey, DesKey) {
    let (mut key1, mut key2) = (Zeroizing::new(key1), Zeroizing::new(key2));
    for key in [&mut key1, &mut key2] {
        set_odd_parity(key);
        fix(key);
    }
    let equal = key1.ct_eq(key2.as_ref());
    let other = key2[7] ^ 0x0e;
    key2[7].conditional_assign(&other, equal);
    set_odd_parity(&mut key2);
    fix(&mut key2);
    (DesKey::new(*key1), DesKey::new(*key2))
}

/// `K[7] ^= 0xF0` if `key` is one of the 64.
fn fix(key: &mut Bytes) {
    let fixed = key[7] ^ 0xf0;
    let weak = is_weak(key);
    key[7].conditional_assign(&fixed, weak);
}

fn is_weak(key: &Bytes) -> Choice {
    let (front, back) = key.split_at(4);
    let regular = front.iter().zip(back).fold(Choice::from(1), |all, (front, back)| {
        all & PAIRS
            .iter()
            .fold(Choice::from(0), |any, (a, b)| any | (front.ct_eq(a) & back.ct_eq(b)))
    });
    regular & front.iter().fold(0, |sum, byte| sum ^ byte).ct_eq(&0)
}

/// Sets the lowest bit of each byte so that the byte has an odd number of ones.
fn set_odd_parity(key: &mut Bytes) {
    for byte in key {
        let mut ones = *byte & 0xfe;
        ones ^= ones >> 4;
        ones ^= ones >> 2;
        ones ^= ones >> 1;
        *byte = (*byte & 0xfe) | (!ones & 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    extern crate std;

    use super::*;

    /// FIPS 74 and NIST SP 800-67: the four weak keys, and the first of each semi-weak pair.
    const LISTED: [u64; 16] = [
        0x0101_0101_0101_0101,
        0xfefe_fefe_fefe_fefe,
        0xe0e0_e0e0_f1f1_f1f1,
        0x1f1f_1f1f_0e0e_0e0e,
        0x011f_011f_010e_010e,
        0x1f01_1f01_0e01_0e01,
        0x01e0_01e0_01f1_01f1,
        0xe001_e001_f101_f101,
        0x01fe_01fe_01fe_01fe,
        0xfe01_fe01_fe01_fe01,
        0x1fe0_1fe0_0ef1_0ef1,
        0xe01f_e01f_f10e_f10e,
        0x1ffe_1ffe_0efe_0efe,
        0xfe1f_fe1f_fe0e_fe0e,
        0xe0fe_e0fe_f1fe_f1fe,
        0xfee0_fee0_fef1_fef1,
    ];

    /// Every key that the description in the head of this file covers, by a way of its own: from
    /// the bits of the two halves.
    fn all() -> std::vec::Vec<Bytes> {
        let even = (0_u8..16).filter(|pattern| pattern.count_ones() % 2 == 0);
        let bit = |pattern: u8, i: usize| pattern >> (3 - i % 4) & 1;
        even.clone()
            .flat_map(|c| even.clone().map(move |d| (c, d)))
            .map(|(c, d)| {
                core::array::from_fn(|i| {
                    // PC-1 takes the upper bits of each of the first four bytes to C and the lower
                    // to D; one fewer in the last four.
                    let (c, d) = (bit(c, i), bit(d, i));
                    let (c_bits, d_bits) = if i < 4 { (0xe0, 0x1e) } else { (0xf0, 0x0e) };
                    let byte = (c * c_bits) | (d * d_bits);
                    byte | u8::from(byte.count_ones() % 2 == 0)
                })
            })
            .collect()
    }

    #[test]
    fn all_sixty_four_are_caught_and_mended() {
        let all = all();
        assert_eq!(all.len(), 64);
        for mut key in all.clone() {
            assert!(bool::from(is_weak(&key)), "{key:02x?}");
            fix(&mut key);
            assert!(!all.contains(&key) && !bool::from(is_weak(&key)), "{key:02x?}");
        }
    }

    #[test]
    fn the_listed_ones_are_among_them() {
        for key in LISTED {
            assert!(all().contains(&key.to_be_bytes()), "{key:016x}");
        }
    }

    #[test]
    fn every_other_key_near_them_is_left_alone() {
        let all = all();
        for weak in &all {
            for i in 0..64 {
                let mut key = *weak;
                key[i / 8] ^= 1 << (i % 8);
                set_odd_parity(&mut key);
                assert_eq!(bool::from(is_weak(&key)), all.contains(&key), "{key:02x?}");
            }
        }
    }

    #[test]
    fn parity_becomes_odd_and_the_other_bits_stay() {
        for byte in 0..=255_u8 {
            let mut key = [byte; 8];
            set_odd_parity(&mut key);
            assert!(key[0].count_ones() % 2 == 1 && key[0] >> 1 == byte >> 1);
        }
    }

    #[test]
    fn two_equal_keys_are_told_apart() {
        for bytes in [[0x01; 8], [0x42; 8], [0xfe; 8]] {
            let (key1, key2) = key_pair(bytes, bytes);
            assert_ne!(key1.as_bytes(), key2.as_bytes());
            assert!(!bool::from(is_weak(key1.as_bytes()) | is_weak(key2.as_bytes())));
        }
    }
}
