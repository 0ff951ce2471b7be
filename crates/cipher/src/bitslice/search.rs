//! Key search: one block under as many keys as a lane has bits.

use super::engine::Engine;
use super::lane::Lane;
use super::schedule::{COMPLEMENT, Direction, INITIAL, KEY_BITS, KEY_LANES, wiring};
use super::{Halves, Key};
use crate::{Block, DesKey};

/// What is searched for: the keys under which `plaintext` becomes `ciphertext`.
///
/// Keys are numbered: bit i of the number is the i-th key bit that is not parity, so numbers are below 2^56. Time tells what is found: this is the attacker's side.
#[derive(Clone, Copy, Debug)]
pub struct KeySearch {
    plaintext: Block,
    ciphertext: Block,
}

impl KeySearch {
    /// Keys there are.
    pub const KEYS: u64 = 1 << KEY_BITS;

    /// A search for the keys that turn `plaintext` into `ciphertext`.
    pub fn new(plaintext: Block, ciphertext: Block) -> Self {
        Self { plaintext, ciphertext }
    }

    /// The key of a number, with odd parity.
    pub fn key(number: u64) -> DesKey {
        DesKey::new(core::array::from_fn(|byte| {
            let bits = (0..7).fold(0_u8, |sum, bit| sum << 1 | u8::from(number >> (7 * byte + bit) & 1 == 1));
            bits << 1 | u8::from(bits.count_ones().is_multiple_of(2))
        }))
    }

    /// Tries the `count` keys from number `first` on, rounded up to whole lanes; gives the first that fits to `found` and stops when that says so.
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
pub(super) fn scan<L: Lane>(search: &KeySearch, first: u64, count: u64, found: &mut dyn FnMut(u64) -> bool) {
    let bits = 64 * L::WORDS as u64;
    let mut keys = [L::splat(0); KEY_LANES];
    // The numbers' low bits are the same in every batch.
    let low = bits.trailing_zeros() as usize;
    for i in 0..low {
        let numbers: [Block; 8] = core::array::from_fn(|word| low_bits(i, word, L::WORDS).to_le_bytes());
        set(&mut keys, i, L::load(numbers.get(..L::WORDS).unwrap_or(&numbers)));
    }
    let start = block_halves::<L>(search.plaintext);
    let goal = block_halves::<L>(search.ciphertext);
    let end = first.saturating_add(count);
    let mut base = first & !(bits - 1);
    while base < end {
        for i in low..KEY_BITS {
            set(&mut keys, i, L::splat(0_u64.wrapping_sub(base >> i & 1)));
        }
        let mut halves = Halves { left: start.left, right: start.right };
        halves.pass(&keys, wiring(L::NORMALISED, Direction::Encrypt));
        if !report(&halves, &goal, base, first..end, found) {
            return;
        }
        base += bits;
    }
}

#[inline(always)]
fn set<L: Lane>(keys: &mut Key<L>, i: usize, lane: L) {
    keys[i] = lane;
    if L::NORMALISED {
        keys[COMPLEMENT + i] = lane.xor(L::splat(!0));
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
fn block_halves<L: Lane>(block: Block) -> Halves<L> {
    let word = u64::from_le_bytes(block);
    let lane = |bit: usize| L::splat(0_u64.wrapping_sub(word >> bit & 1));
    Halves {
        left: core::array::from_fn(|i| lane(INITIAL[i])),
        right: core::array::from_fn(|i| lane(INITIAL[32 + i])),
    }
}

/// Whether to go on.
#[inline(always)]
fn report<L: Lane>(
    halves: &Halves<L>,
    goal: &Halves<L>,
    base: u64,
    range: core::ops::Range<u64>,
    found: &mut dyn FnMut(u64) -> bool,
) -> bool {
    let mut differ = [0_u64; 8];
    let mut words = [[0; 8]; 8];
    let pairs = halves.left.iter().zip(&goal.left).chain(halves.right.iter().zip(&goal.right));
    for (is, should) in pairs {
        is.xor(*should).store(words.get_mut(..L::WORDS).unwrap_or(&mut []));
        for (differ, word) in differ.iter_mut().zip(words).take(L::WORDS) {
            *differ |= u64::from_le_bytes(word);
        }
        if differ.iter().take(L::WORDS).all(|word| *word == !0) {
            return true;
        }
    }
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
