//! Which lane is which: FIPS 46-3's permutations as indices, and the key schedule as nothing but
//! where to begin. Bits count from 0, the most significant first.

use super::two::OF_ZERO;

/// Key bits that are not parity; bit `7·byte + bit` of a key.
pub(super) const KEY_BITS: usize = 56;

/// Lanes of C, then of D; both twice in a row, so that a shift is nothing but where one begins.
/// Then the complements of all.
pub(super) const KEY_LANES: usize = 2 * COMPLEMENT;

/// Where the complements begin.
pub(super) const COMPLEMENT: usize = 4 * HALF;

/// Bits of C, and of D.
pub(super) const HALF: usize = 28;

/// Lanes in which a round finds its key, wherever it begins.
pub(super) const WINDOW: usize = COMPLEMENT - HALF;

/// Which way a pass goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Encrypt,
    Decrypt,
}

/// Where the windows of a round's key begin: that of all inputs, and that of the inputs `S(0)` gets
/// in the way of.
pub(super) type Windows = [usize; 2];

/// The sixteen rounds' in order of use.
///
/// An S-box that leaves out `S(0)` leaves a constant in each half it is added to, gone again when
/// it is added twice. A complemented key bit takes it out of the S-boxes' inputs: round r reads a
/// half to which (r + 1) / 2 rounds have added. Both halves end with eight, an even number.
pub(super) const fn windows(direction: Direction) -> [Windows; 16] {
    let mut all = [[0; 2]; 16];
    let mut shift = 0;
    let mut key_round = 0_usize;
    while key_round < 16 {
        shift += SHIFTS[key_round];
        let round = match direction {
            Direction::Encrypt => key_round,
            Direction::Decrypt => 15 - key_round,
        };
        let odd = round.div_ceil(2) % 2 == 1;
        all[round] = [shift, if odd { COMPLEMENT + shift } else { shift }];
        key_round += 1;
    }
    all
}

/// S-box input i's key lane: which of the [`Windows`], and where in it.
pub(super) const KEY_PLACES: [(usize, usize); 48] = {
    let mut all = [(0, 0); 48];
    let mut i = 0;
    while i < 48 {
        let place = PC2[i] - 1;
        all[i] = (is_complemented(E[i]) as usize, place / HALF * 2 * HALF + place % HALF);
        i += 1;
    }
    all
};

/// The key bits that C has, and D.
pub(super) const KEY_ORDER: [u64; KEY_BITS] = {
    let mut all = [0; KEY_BITS];
    let mut i = 0;
    while i < KEY_BITS {
        let bit = PC1[i] - 1;
        all[i] = (7 * (bit / 8) + bit % 8) as u64;
        i += 1;
    }
    all
};

/// The four lanes of each key bit: twice itself, twice its complement.
pub(super) const KEY_BIT_LANES: [([usize; 2], [usize; 2]); KEY_BITS] = {
    let mut all = [([0; 2], [0; 2]); KEY_BITS];
    let mut i = 0;
    while i < KEY_BITS {
        let lane = i / HALF * 2 * HALF + i % HALF;
        let bit = PC1[i] - 1;
        all[7 * (bit / 8) + bit % 8] =
            ([lane, lane + HALF], [COMPLEMENT + lane, COMPLEMENT + lane + HALF]);
        i += 1;
    }
    all
};

/// Bit i after IP is the block's bit `INITIAL[i]`, numbered as a little-endian word has it: that is
/// how blocks are loaded.
pub(super) const INITIAL: [usize; 64] = {
    let mut to = [0; 64];
    let mut i = 0;
    while i < 64 {
        // IP's rows begin 58, 60, 62, 64, 57, 59, 61, 63 and fall by 8.
        let first = if i < 32 { 58 + 2 * (i / 8) } else { 57 + 2 * (i / 8 - 4) };
        let bit = first - 8 * (i % 8) - 1;
        to[i] = 8 * (bit / 8) + 7 - bit % 8;
        i += 1;
    }
    to
};

/// The other way: bit i of a block is bit `FINAL[i]` of both halves.
pub(super) const FINAL: [usize; 64] = {
    let mut to = [0; 64];
    let mut i = 0;
    while i < 64 {
        to[INITIAL[i]] = i;
        i += 1;
    }
    to
};

/// S-box input i is bit `E[i]` of the right half.
pub(super) const E: [usize; 48] = {
    let mut from = [0; 48];
    let mut i = 0;
    while i < 48 {
        from[i] = (4 * (i / 6) + i % 6 + 31) % 32;
        i += 1;
    }
    from
};

const P: [usize; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19,
    13, 30, 6, 22, 11, 4, 25,
];

/// S-box output i becomes bit `P_INVERSE[i]` of f.
pub(super) const P_INVERSE: [usize; 32] = {
    let mut to = [0; 32];
    let mut i = 0;
    while i < 32 {
        to[P[i] - 1] = i;
        i += 1;
    }
    to
};

const PC1: [usize; KEY_BITS] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60,
    52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29,
    21, 13, 5, 28, 20, 12, 4,
];

const PC2: [usize; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52,
    31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

/// Left shifts of C and D before each round.
const SHIFTS: [usize; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

/// Whether bit i of f misses a one.
const fn is_complemented(i: usize) -> bool {
    let output = P[i] - 1;
    OF_ZERO[output / 4] >> (3 - output % 4) & 1 == 1
}
