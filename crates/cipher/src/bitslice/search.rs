//! Key search: one block under as many keys as a lane has bits.

use super::engine::Engine;
use super::lane::Lane;
use super::schedule::{KEY_BIT_LANES, KEY_BITS, KEY_LANES};
use super::{Half, initial};
use crate::{Block, DesKey};

/// A search for the keys that encrypt `plaintext` to `ciphertext`.
///
/// Keys are numbered below 2^56: bit i of the number is the i-th key bit that is not parity. The
/// time depends on what is found: this is the attacker's side.
#[derive(Clone, Copy, Debug)]
pub struct KeySearch {
    plaintext: Block,
    ciphertext: Block,
}

impl KeySearch {
    /// How many keys DES has.
    pub const KEYS: u64 = 1 << KEY_BITS;

    /// A search for the keys that turn `plaintext` into `ciphertext`.
    pub fn new(plaintext: Block, ciphertext: Block) -> Self {
        Self { plaintext, ciphertext }
    }

    /// The key with this number, with odd parity.
    pub fn key(number: u64) -> DesKey {
        DesKey::new(core::array::from_fn(|byte| {
            let bits = (0..7)
                .fold(0_u8, |sum, bit| sum << 1 | u8::from(number >> (7 * byte + bit) & 1 == 1));
            bits << 1 | u8::from(bits.count_ones().is_multiple_of(2))
        }))
    }

    /// Tries `count` keys from number `first` on, in whole batches. Passes each match to `found`,
    /// and stops when that returns false.
    pub fn scan(&self, engine: Engine, first: u64, count: u64, found: &mut dyn FnMut(u64) -> bool) {
        #[cfg(target_arch = "x86_64")]
        match engine {
            Engine::Portable => {}
            Engine::Avx2 => {
                if let Some(avx2) = super::x86::Avx2::detect() {
                    return avx2.scan(self, first, count, found);
                }
            }
            Engine::Avx512Vl => {
                if let Some(avx512) = super::x86::Avx512::detect() {
                    return avx512.scan_256(self, first, count, found);
                }
            }
            Engine::Avx512 => {
                if let Some(avx512) = super::x86::Avx512::detect() {
                    return avx512.scan_512(self, first, count, found);
                }
            }
        }
        scan::<u64>(self, first, count, found);
    }
}

#[inline(always)]
pub(super) fn scan<L: Lane>(
    search: &KeySearch,
    first: u64,
    count: u64,
    found: &mut dyn FnMut(u64) -> bool,
) {
    let bits = 64 * L::WORDS as u64;
    let mut keys = [L::splat(0); KEY_LANES];
    // The numbers' low bits are the same in every batch.
    let low = bits.trailing_zeros() as usize;
    for i in 0..low {
        let numbers: [Block; 8] =
            core::array::from_fn(|word| low_bits(i, word, L::WORDS).to_le_bytes());
        set(&mut keys, i, L::load(&numbers[..L::WORDS]));
    }
    let start = block_halves::<L>(search.plaintext);
    // The halves change places at the end.
    let [goal_right, goal_left] = block_halves::<L>(search.ciphertext);
    let mut halves = start;
    let end = first.saturating_add(count);
    let mut base = first & !(bits - 1);
    let mut changed = !0;
    while base < end {
        for i in (low..KEY_BITS).filter(|i| changed >> i & 1 == 1) {
            set(&mut keys, i, L::splat((base >> i & 1).wrapping_neg()));
        }
        let [left, right] = &mut halves;
        L::pass_each([&start[0], &start[1]], [left, right], &keys);
        if !report(&halves, &[goal_left, goal_right], base, first..end, found) {
            return;
        }
        changed = base ^ (base + bits);
        base += bits;
    }
}

#[inline(always)]
fn set<L: Lane>(keys: &mut [L; KEY_LANES], i: usize, lane: L) {
    let (lanes, complements) = KEY_BIT_LANES[i];
    for (to, complement) in lanes.into_iter().zip(complements) {
        keys[to] = lane;
        keys[complement] = lane.xor(L::splat(!0));
    }
}

/// Bit `i` of the numbers 64·word, 64·word + 1, …: word after word of a lane.
fn low_bits(i: usize, word: usize, words: usize) -> u64 {
    if i < 6 {
        return (0..64_u64).map(|number| (number >> i & 1) << number).sum();
    }
    if word < words && word >> (i - 6) & 1 == 1 { !0 } else { 0 }
}

#[inline(always)]
fn block_halves<L: Lane>(block: Block) -> [Half<L>; 2] {
    let word = u64::from_le_bytes(block);
    initial(|bit| L::splat((word >> bit & 1).wrapping_neg()))
}

/// Passes the matches of a batch to `found`; whether the search continues.
#[inline(always)]
fn report<L: Lane>(
    halves: &[Half<L>; 2],
    goal: &[Half<L>; 2],
    base: u64,
    range: core::ops::Range<u64>,
    found: &mut dyn FnMut(u64) -> bool,
) -> bool {
    let mut differ = L::splat(0);
    let mut words = [[0; 8]; 8];
    // After 16 bits, a batch of 512 wrong keys has one left in a hundred cases.
    let (halves, goal) = (halves.as_flattened().chunks(16), goal.as_flattened().chunks(16));
    for (is, should) in halves.zip(goal) {
        for (is, should) in is.iter().zip(should) {
            differ = differ.or(is.xor(*should));
        }
        differ.store(&mut words[..L::WORDS]);
        if words.iter().take(L::WORDS).all(|word| *word == [0xff; 8]) {
            return true;
        }
    }
    let differ = words.map(u64::from_le_bytes);
    for (word, differ) in (0_u64..).zip(differ).take(L::WORDS) {
        let hits = (0..64).filter(|bit| differ >> bit & 1 == 0).map(|bit| base + 64 * word + bit);
        for number in hits.filter(|number| range.contains(number)) {
            if !found(number) {
                return false;
            }
        }
    }
    true
}
