//! The order of lanes: FIPS 46-3's permutations as indices, and the key schedule as start offsets.
//! Bits count from 0, the most significant first.

use super::two::OF_ZERO;

/// Key bits that are not parity; bit `7·byte + bit` of a key.
pub(super) const KEY_BITS: usize = 56;

/// Lanes of C, then of D, each twice in a row, so that a shift is a start offset. The complements
/// of all of them follow.
pub(super) const KEY_LANES: usize = 2 * COMPLEMENT;

/// The first lane of the complements.
pub(super) const COMPLEMENT: usize = 4 * HALF;

/// Bits of C, and of D.
pub(super) const HALF: usize = 28;

/// Lanes that a round reads from its start offset on.
pub(super) const WINDOW: usize = COMPLEMENT - HALF;

/// The direction of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PassDirection {
    Encrypt,
    Decrypt,
}

/// The start offsets of a round's key: for most S-box inputs, and for those that the omitted `S(0)`
/// may complement.
pub(super) type Windows = [usize; 2];

/// For each direction, the windows of the sixteen rounds.
pub(super) const WINDOWS: [[Windows; 16]; 2] =
    [windows(PassDirection::Encrypt), windows(PassDirection::Decrypt)];

/// The windows of the sixteen rounds, in order of use.
///
/// An S-box circuit without `S(0)` adds a constant to a half; two additions cancel. A complemented
/// key bit removes the constant from the S-boxes' inputs: round r reads a half to which (r + 1) / 2
/// rounds have been added. Each half receives eight rounds in all, so no constant remains.
pub(super) const fn windows(direction: PassDirection) -> [Windows; 16] {
    let mut all = [[0; 2]; 16];
    let mut shift = 0;
    let mut key_round = 0_usize;
    while key_round < 16 {
        shift += SHIFTS[key_round];
        let round = match direction {
            PassDirection::Encrypt => key_round,
            PassDirection::Decrypt => 15 - key_round,
        };
        let odd = round.div_ceil(2) % 2 == 1;
        all[round] = [shift, if odd { COMPLEMENT + shift } else { shift }];
        key_round += 1;
    }
    all
}

/// The key lane of S-box input i: which of the [`Windows`], and the offset in it.
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

/// The key bits of C, then of D, in order.
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

/// The four lanes of each key bit: two for the bit, two for its complement.
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

/// Bit i after IP is the block's bit `INITIAL[i]`, numbered as in a little-endian word, since
/// blocks are loaded so.
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

/// The inverse: bit i of a block is bit `FINAL[i]` of the two halves.
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

// `round` reads the window that begins at each offset.
const _: () = {
    let mut i = 0;
    while i < 16 {
        let [[a, b], [c, d]] =
            [windows(PassDirection::Encrypt)[i], windows(PassDirection::Decrypt)[i]];
        assert!(a + WINDOW <= KEY_LANES && b + WINDOW <= KEY_LANES);
        assert!(c + WINDOW <= KEY_LANES && d + WINDOW <= KEY_LANES);
        i += 1;
    }
};

/// Bit i of f is S-box output `P[i] - 1`.
pub(super) const P: [usize; 32] = [
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

/// Whether the omitted `S(0)` complements bit i of f.
const fn is_complemented(i: usize) -> bool {
    let output = P[i] - 1;
    OF_ZERO[output / 4] >> (3 - output % 4) & 1 == 1
}
