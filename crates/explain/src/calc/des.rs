//! DES with everything in between, from the text and the tables of FIPS 46-3.
//!
//! Bit by bit and slow, to be read beside the standard. What encrypts is the crate `cipher`; a test
//! holds this one to it.

use ddes_cipher::Block;

/// What happens to one block.
pub(super) struct BlockTrace {
    /// After IP: L0 and R0.
    pub(super) start: (u32, u32),
    /// The sixteen rounds.
    pub(super) rounds: [Round; 16],
    /// R16 and L16: the halves change places once more.
    pub(super) preoutput: (u32, u32),
    /// After the inverse of IP.
    pub(super) out: Block,
}

/// One round.
#[derive(Clone, Copy)]
pub(super) struct Round {
    /// 48 bits of the key.
    pub(super) subkey: u64,
    /// f(R, K).
    pub(super) f: u32,
    /// L and R after the round.
    pub(super) left: u32,
    pub(super) right: u32,
}

/// Encrypts or decrypts one block. Decryption takes the subkeys backwards.
pub(super) fn trace(key: Block, block: Block, decrypt: bool) -> BlockTrace {
    let mut subkeys = subkeys(key);
    if decrypt {
        subkeys.reverse();
    }
    let start = halves(permuted(u64::from_be_bytes(block), 64, &IP));
    let (mut left, mut right) = start;
    let rounds = subkeys.map(|subkey| {
        let f = f(right, subkey);
        (left, right) = (right, left ^ f);
        Round { subkey, f, left, right }
    });
    let bits = u64::from(right) << 32 | u64::from(left);
    let out = permuted(bits, 64, &inverse(&IP)).to_be_bytes();
    BlockTrace { start, rounds, preoutput: (right, left), out }
}

/// `P(S(E(R) ⊕ K))`.
fn f(right: u32, subkey: u64) -> u32 {
    let expanded = permuted(u64::from(right), 32, &E) ^ subkey;
    let substituted = S.iter().enumerate().fold(0, |bits, (i, table)| {
        let six = expanded >> (42 - 6 * i) & 0x3f;
        // The outer two bits are the row, the inner four the column.
        let (row, column) = (six >> 4 & 2 | six & 1, six >> 1 & 0xf);
        #[allow(clippy::cast_possible_truncation, reason = "a place is below 64")]
        let place = (16 * row + column) as usize;
        bits << 4 | u64::from(table[place])
    });
    low(permuted(substituted, 32, &P))
}

fn subkeys(key: Block) -> [u64; 16] {
    let chosen = permuted(u64::from_be_bytes(key), 64, &PC1);
    let (mut c, mut d) = (chosen >> 28, chosen & HALF_KEY);
    SHIFTS.map(|shift| {
        (c, d) = (turned(c, shift), turned(d, shift));
        permuted(c << 28 | d, 56, &PC2)
    })
}

/// 28 bits, turned to the left.
fn turned(half: u64, shift: u32) -> u64 {
    (half << shift | half >> (28 - shift)) & HALF_KEY
}

/// The bits that `table` names, counted from 1 at the most significant of `width`.
fn permuted(bits: u64, width: u32, table: &[u8]) -> u64 {
    table.iter().fold(0, |out, place| out << 1 | bits >> (width - u32::from(*place)) & 1)
}

fn inverse(table: &[u8; 64]) -> [u8; 64] {
    let mut inverse = [0; 64];
    for (to, from) in (1..).zip(table) {
        inverse[usize::from(*from) - 1] = to;
    }
    inverse
}

fn halves(block: u64) -> (u32, u32) {
    (low(block >> 32), low(block))
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn low(bits: u64) -> u32 {
    bits as u32
}

const HALF_KEY: u64 = (1 << 28) - 1;

const SHIFTS: [u32; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

#[rustfmt::skip]
const IP: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4,
    62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
    57, 49, 41, 33, 25, 17,  9, 1, 59, 51, 43, 35, 27, 19, 11, 3,
    61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
];

#[rustfmt::skip]
const E: [u8; 48] = [
    32,  1,  2,  3,  4,  5,  4,  5,  6,  7,  8,  9,
     8,  9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
    16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25,
    24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32,  1,
];

#[rustfmt::skip]
const P: [u8; 32] = [
    16,  7, 20, 21, 29, 12, 28, 17,  1, 15, 23, 26,  5, 18, 31, 10,
     2,  8, 24, 14, 32, 27,  3,  9, 19, 13, 30,  6, 22, 11,  4, 25,
];

#[rustfmt::skip]
const PC1: [u8; 56] = [
    57, 49, 41, 33, 25, 17,  9,  1, 58, 50, 42, 34, 26, 18,
    10,  2, 59, 51, 43, 35, 27, 19, 11,  3, 60, 52, 44, 36,
    63, 55, 47, 39, 31, 23, 15,  7, 62, 54, 46, 38, 30, 22,
    14,  6, 61, 53, 45, 37, 29, 21, 13,  5, 28, 20, 12,  4,
];

#[rustfmt::skip]
const PC2: [u8; 48] = [
    14, 17, 11, 24,  1,  5,  3, 28, 15,  6, 21, 10,
    23, 19, 12,  4, 26,  8, 16,  7, 27, 20, 13,  2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48,
    44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

#[rustfmt::skip]
const S: [[u8; 64]; 8] = [
    [
        14,  4, 13,  1,  2, 15, 11,  8,  3, 10,  6, 12,  5,  9,  0,  7,
         0, 15,  7,  4, 14,  2, 13,  1, 10,  6, 12, 11,  9,  5,  3,  8,
         4,  1, 14,  8, 13,  6,  2, 11, 15, 12,  9,  7,  3, 10,  5,  0,
        15, 12,  8,  2,  4,  9,  1,  7,  5, 11,  3, 14, 10,  0,  6, 13,
    ],
    [
        15,  1,  8, 14,  6, 11,  3,  4,  9,  7,  2, 13, 12,  0,  5, 10,
         3, 13,  4,  7, 15,  2,  8, 14, 12,  0,  1, 10,  6,  9, 11,  5,
         0, 14,  7, 11, 10,  4, 13,  1,  5,  8, 12,  6,  9,  3,  2, 15,
        13,  8, 10,  1,  3, 15,  4,  2, 11,  6,  7, 12,  0,  5, 14,  9,
    ],
    [
        10,  0,  9, 14,  6,  3, 15,  5,  1, 13, 12,  7, 11,  4,  2,  8,
        13,  7,  0,  9,  3,  4,  6, 10,  2,  8,  5, 14, 12, 11, 15,  1,
        13,  6,  4,  9,  8, 15,  3,  0, 11,  1,  2, 12,  5, 10, 14,  7,
         1, 10, 13,  0,  6,  9,  8,  7,  4, 15, 14,  3, 11,  5,  2, 12,
    ],
    [
         7, 13, 14,  3,  0,  6,  9, 10,  1,  2,  8,  5, 11, 12,  4, 15,
        13,  8, 11,  5,  6, 15,  0,  3,  4,  7,  2, 12,  1, 10, 14,  9,
        10,  6,  9,  0, 12, 11,  7, 13, 15,  1,  3, 14,  5,  2,  8,  4,
         3, 15,  0,  6, 10,  1, 13,  8,  9,  4,  5, 11, 12,  7,  2, 14,
    ],
    [
         2, 12,  4,  1,  7, 10, 11,  6,  8,  5,  3, 15, 13,  0, 14,  9,
        14, 11,  2, 12,  4,  7, 13,  1,  5,  0, 15, 10,  3,  9,  8,  6,
         4,  2,  1, 11, 10, 13,  7,  8, 15,  9, 12,  5,  6,  3,  0, 14,
        11,  8, 12,  7,  1, 14,  2, 13,  6, 15,  0,  9, 10,  4,  5,  3,
    ],
    [
        12,  1, 10, 15,  9,  2,  6,  8,  0, 13,  3,  4, 14,  7,  5, 11,
        10, 15,  4,  2,  7, 12,  9,  5,  6,  1, 13, 14,  0, 11,  3,  8,
         9, 14, 15,  5,  2,  8, 12,  3,  7,  0,  4, 10,  1, 13, 11,  6,
         4,  3,  2, 12,  9,  5, 15, 10, 11, 14,  1,  7,  6,  0,  8, 13,
    ],
    [
         4, 11,  2, 14, 15,  0,  8, 13,  3, 12,  9,  7,  5, 10,  6,  1,
        13,  0, 11,  7,  4,  9,  1, 10, 14,  3,  5, 12,  2, 15,  8,  6,
         1,  4, 11, 13, 12,  3,  7, 14, 10, 15,  6,  8,  0,  5,  9,  2,
         6, 11, 13,  8,  1,  4, 10,  7,  9,  5,  0, 15, 14,  2,  3, 12,
    ],
    [
        13,  2,  8,  4,  6, 15, 11,  1, 10,  9,  3, 14,  5,  0, 12,  7,
         1, 15, 13,  8, 10,  3,  7,  4, 12,  5,  6, 11,  0, 14,  9,  2,
         7, 11,  4,  1,  9, 12, 14,  2,  0,  6, 10, 13, 15,  3,  5,  8,
         2,  1, 14,  7,  4, 10,  8, 13, 15, 12,  9,  0,  3,  5,  6, 11,
    ],
];
