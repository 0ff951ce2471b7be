//! What a change of one key bit changes in the first rounds.

use crate::bitslice::schedule::{
    E, HALF, KEY_BITS, KEY_ORDER, KEY_PLACES, P, PassDirection, windows,
};

/// Rounds whose results are kept from batch to batch.
pub(super) const KEPT_ROUNDS: usize = 3;

/// For each direction and key bit: of each kept round, the S-boxes (a bit each, the lowest S1) whose
/// outputs or whose part of the new half may change with the bit, if the block stays.
pub(super) const STALE: [[[u8; KEPT_ROUNDS]; KEY_BITS]; 2] =
    [stale(PassDirection::Encrypt), stale(PassDirection::Decrypt)];

const fn stale(direction: PassDirection) -> [[u8; KEPT_ROUNDS]; KEY_BITS] {
    let mut all = [[0; KEPT_ROUNDS]; KEY_BITS];
    let mut bit = 0;
    while bit < KEY_BITS {
        let first = users(direction, 0, bit);
        let second = users(direction, 1, bit) | readers(first);
        // The half of the third round is that of the first, and more.
        let third = users(direction, 2, bit) | readers(second) | first;
        all[bit] = [first, second, third];
        bit += 1;
    }
    all
}

/// The S-boxes of a round that have the key bit as an input: one or none.
const fn users(direction: PassDirection, round: usize, bit: usize) -> u8 {
    let start = windows(direction)[round][0];
    let mut mask = 0;
    let mut input = 0;
    while input < KEY_PLACES.len() {
        let lane = start + KEY_PLACES[input].1;
        if KEY_ORDER[lane / (2 * HALF) * HALF + lane % HALF] == bit as u64 {
            mask |= 1 << (input / 6);
        }
        input += 1;
    }
    mask
}

/// The S-boxes of the next round that have outputs of these as inputs.
const fn readers(sboxes: u8) -> u8 {
    let mut mask = 0;
    let mut input = 0;
    while input < E.len() {
        if sboxes >> ((P[E[input]] - 1) / 4) & 1 == 1 {
            mask |= 1 << (input / 6);
        }
        input += 1;
    }
    mask
}
