//! Bitsliced DES (Biham, "A fast new DES implementation in software", 1997): lane i holds bit i of many blocks, and a round is logic on lanes.
//!
//! No table is read at a secret place and nothing branches on a secret, so time tells neither key nor text. Permutations (IP, E, P, PC-1,
//! PC-2) cost nothing: they only name other lanes. That holds for the key schedule too, so keys that differ from block to block are as quick as one key.

mod engine;
mod lane;
mod schedule;
mod search;
mod three;
mod transpose;
mod two;
#[cfg(target_arch = "x86_64")]
mod x86;

use core::sync::atomic::{Ordering, compiler_fence};

use crate::Block;

pub use engine::Engine;
pub(crate) use engine::{Pass, run};
pub use search::KeySearch;

use lane::Lane;
use schedule::{E, INITIAL, KEY_LANES, P_INVERSE, Wiring};

/// Lanes that hold key bits: 56, and then the same complemented where the S-boxes want that.
type Key<L> = [L; KEY_LANES];

/// Both halves of so many blocks as a lane has bits.
struct Halves<L> {
    left: [L; 32],
    right: [L; 32],
}

/// Encrypts or decrypts `blocks` in place, pass after pass.
#[inline(always)]
fn blocks<L: Lane>(passes: &[Pass], blocks: &mut [Block]) {
    let mut keys = [[L::splat(0); KEY_LANES]; Pass::MAX];
    for (key, pass) in keys.iter_mut().zip(passes) {
        broadcast(key, pass.key);
    }
    for batch in blocks.chunks_mut(64 * L::WORDS) {
        let mut halves = sliced::<L>(batch);
        for (key, pass) in keys.iter().zip(passes) {
            halves.pass(key, schedule::wiring(L::NORMALISED, pass.direction));
        }
        unslice(&halves, batch);
    }
    for key in keys.iter_mut().take(passes.len()) {
        wipe(key);
    }
}

/// One key in all lanes. Bit i of `key` is key lane i.
#[inline(always)]
fn broadcast<L: Lane>(lanes: &mut Key<L>, key: u64) {
    for i in 0..schedule::KEY_BITS {
        let word = 0_u64.wrapping_sub(key >> i & 1);
        lanes[i] = L::splat(word);
        if L::NORMALISED {
            lanes[schedule::COMPLEMENT + i] = L::splat(!word);
        }
    }
}

#[inline(always)]
fn wipe<L: Lane>(lanes: &mut Key<L>) {
    let used = if L::NORMALISED { schedule::COMPLEMENT + schedule::KEY_BITS } else { schedule::KEY_BITS };
    for lane in lanes.iter_mut().take(used) {
        *lane = L::splat(0);
    }
    core::hint::black_box(lanes);
}

#[inline(always)]
fn sliced<L: Lane>(batch: &[Block]) -> Halves<L> {
    let mut lanes = [L::splat(0); 64];
    for (lane, blocks) in lanes.iter_mut().zip(batch.chunks(L::WORDS)) {
        *lane = L::load(blocks);
    }
    transpose::transpose(&mut lanes);
    Halves {
        left: core::array::from_fn(|i| lanes[INITIAL[i]]),
        right: core::array::from_fn(|i| lanes[INITIAL[32 + i]]),
    }
}

#[inline(always)]
fn unslice<L: Lane>(halves: &Halves<L>, batch: &mut [Block]) {
    let mut lanes = [L::splat(0); 64];
    for i in 0..32 {
        lanes[INITIAL[i]] = halves.left[i];
        lanes[INITIAL[32 + i]] = halves.right[i];
    }
    transpose::transpose(&mut lanes);
    for (lane, blocks) in lanes.iter().zip(batch.chunks_mut(L::WORDS)) {
        lane.store(blocks);
    }
}

impl<L: Lane> Halves<L> {
    /// Sixteen rounds. The halves change places at the end, as FIPS 46-3's preoutput wants and as the next pass wants its input.
    #[inline(always)]
    fn pass(&mut self, key: &Key<L>, wiring: &[Wiring; 16]) {
        for [even, odd] in wiring.as_chunks().0 {
            round(&mut self.left, &self.right, key, even);
            round(&mut self.right, &self.left, key, odd);
        }
        core::mem::swap(&mut self.left, &mut self.right);
    }
}

/// `left ^= P(S(E(right) ^ K))`.
#[inline(always)]
fn round<L: Lane>(left: &mut [L; 32], right: &[L; 32], key: &Key<L>, wiring: &Wiring) {
    sboxes::<L, 0>(left, right, key, wiring);
    sboxes::<L, 2>(left, right, key, wiring);
    sboxes::<L, 4>(left, right, key, wiring);
    sboxes::<L, 6>(left, right, key, wiring);
}

/// S-boxes N + 1 and N + 2.
#[inline(always)]
fn sboxes<L: Lane, const N: usize>(left: &mut [L; 32], right: &[L; 32], key: &Key<L>, wiring: &Wiring) {
    let input = |i: usize| right[E[i]].xor(L::pick(key, wiring[i]));
    let output = |n: usize, bits: [L; 4]| {
        for (i, bit) in bits.into_iter().enumerate() {
            let to = P_INVERSE[4 * n + i];
            left[to] = left[to].xor(bit);
        }
    };
    L::sboxes::<N>(|n| core::array::from_fn(|i| input(6 * n + i)), output);
    // Without it the compiler takes up the next S-boxes' inputs early, runs out of registers and stores them again: twice the stores, a quarter more time.
    compiler_fence(Ordering::SeqCst);
}
