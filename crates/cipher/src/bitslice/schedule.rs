//! Which lane is which: FIPS 46-3's permutations as indices, and the key schedule as nothing but indices. Bits count from 0, the most significant first.

use super::two::OF_ZERO;

/// Key bits that are not parity; lane `7·byte + bit`.
pub(super) const KEY_BITS: usize = 56;

/// Where the complements of the key lanes begin.
pub(super) const COMPLEMENT: usize = 64;

/// Where complements end.
pub(super) const KEY_LANES: usize = 128;

/// A place below [`KEY_LANES`].
#[derive(Clone, Copy)]
pub(super) struct KeyLane(u8);

impl KeyLane {
    #[allow(clippy::cast_possible_truncation, reason = "asserted")]
    const fn new(index: usize) -> Self {
        assert!(index < KEY_LANES, "a key lane");
        Self(index as u8)
    }

    #[inline(always)]
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// For one round: the key lane of each of the 48 S-box inputs.
pub(super) type Wiring = [KeyLane; 48];

/// Which way a pass goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Encrypt,
    Decrypt,
}

/// The sixteen rounds' key lanes in order of use, for S-boxes that leave out `S(0)` or do not.
pub(super) fn wiring(normalised: bool, direction: Direction) -> &'static [Wiring; 16] {
    match (normalised, direction) {
        (true, Direction::Encrypt) => &const { wirings(true, true) },
        (true, Direction::Decrypt) => &const { wirings(true, false) },
        (false, Direction::Encrypt) => &const { wirings(false, true) },
        (false, Direction::Decrypt) => &const { wirings(false, false) },
    }
}

/// Bit i after IP is the block's bit `INITIAL[i]`, numbered as a little-endian word has it: that is how blocks are loaded.
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
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6,
    22, 11, 4, 25,
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
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44,
    36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20,
    12, 4,
];

const PC2: [usize; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37,
    47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

/// Left shifts of C and D before each round.
const SHIFTS: [usize; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

/// An S-box that leaves out `S(0)` leaves a constant in each half it is added to, gone again when it is added twice. A complemented key bit takes it
/// out of the S-boxes' inputs: round r reads a half to which (r + 1) / 2 rounds have added. Both halves end with eight, an even number.
const fn wirings(normalised: bool, encrypt: bool) -> [Wiring; 16] {
    let mut all = [[KeyLane(0); 48]; 16];
    let mut round = 0_usize;
    while round < 16 {
        let key_round = if encrypt { round } else { 15 - round };
        let odd = round.div_ceil(2) % 2 == 1;
        let mut i = 0;
        while i < 48 {
            let complement = normalised && odd && is_complemented(E[i]);
            let complement = if complement { COMPLEMENT } else { 0 };
            all[round][i] = KeyLane::new(complement + key_lane(key_round, PC2[i] - 1));
            i += 1;
        }
        round += 1;
    }
    all
}

/// Key lane of bit i of C and D, after the shifts of a round.
const fn key_lane(round: usize, i: usize) -> usize {
    let mut shift = 0;
    let mut r = 0;
    while r <= round {
        shift += SHIFTS[r];
        r += 1;
    }
    let half = i / 28;
    let bit = PC1[28 * half + (i % 28 + shift) % 28] - 1;
    7 * (bit / 8) + bit % 8
}

/// Whether bit i of f misses a one.
const fn is_complemented(i: usize) -> bool {
    let output = P[i] - 1;
    OF_ZERO[output / 4] >> (3 - output % 4) & 1 == 1
}
