//! Bitsliced DES (Biham, "A fast new DES implementation in software", 1997): lane i holds bit i of
//! many blocks, and a round is logic on lanes.
//!
//! No table is indexed by a secret and no branch depends on one, so the time reveals neither key
//! nor text. Permutations (IP, E, P, PC-1, PC-2) cost nothing: they only rename lanes. The same
//! holds for the key schedule, so a different key for each block is as fast as one key for all.

mod engine;
mod lane;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod part_of_three;
#[cfg(target_arch = "x86_64")]
mod part_of_two;
#[cfg(target_arch = "x86_64")]
mod round_of_three;
#[cfg(target_arch = "x86_64")]
mod round_of_two;
#[cfg(target_arch = "x86_64")]
mod rounds;
#[cfg(target_arch = "x86_64")]
mod sbox_of_three;
#[cfg(target_arch = "x86_64")]
mod sbox_of_two;
mod schedule;
mod search;
mod transpose;
mod two;
#[cfg(target_arch = "x86_64")]
mod x86;

use core::ops::Range;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::Block;

pub use engine::Engine;
pub(crate) use engine::{Pass, run, run_counters};
pub use search::{KeyBlocks, KeySearch, KeySpace, Passes, SearchDirection};

use lane::{GateLane, Lane};
use schedule::{
    COMPLEMENT, E, FINAL, HALF, INITIAL, KEY_LANES, KEY_ORDER, KEY_PLACES, P_INVERSE,
    PassDirection, WINDOW, WINDOWS, Windows,
};

/// One half of each block: lane i holds bit i of the halves.
type Half<L> = [L; 32];

/// Encrypts or decrypts `blocks` in place, pass after pass.
#[inline(always)]
fn blocks<L: Lane>(passes: &[Pass], blocks: &mut [Block]) {
    through::<L>(passes, blocks, |_, batch| sliced(batch));
}

/// Fills `blocks` with the results for `first`, `first` + 1, … as big-endian input blocks.
#[inline(always)]
fn counters<L: Lane>(passes: &[Pass], first: u64, blocks: &mut [Block]) {
    through::<L>(passes, blocks, |at, batch| {
        let counter = first.wrapping_add(at as u64);
        if counter.is_multiple_of(64 * L::WORDS as u64) {
            return counted(counter);
        }
        for (counter, block) in (0..).map(|i| counter.wrapping_add(i)).zip(&mut *batch) {
            *block = counter.to_be_bytes();
        }
        sliced(batch)
    });
}

/// Runs batch after batch: `start` gives the halves of a batch from its offset and its blocks; the
/// passes transform them; the result is written to the blocks.
#[inline(always)]
fn through<L: Lane>(
    passes: &[Pass],
    blocks: &mut [Block],
    start: impl Fn(usize, &mut [Block]) -> [Half<L>; 2],
) {
    let mut keys = [[0; KEY_LANES]; Pass::MAX];
    for (key, pass) in keys.iter_mut().zip(passes) {
        *key = spread(pass.key);
    }
    let batch_blocks = 64 * L::WORDS;
    let mut halves;
    let mut lanes = [L::splat(0); 64];
    for (i, batch) in blocks.chunks_mut(batch_blocks).enumerate() {
        halves = start(i * batch_blocks, batch);
        let [mut left, mut right] = halves.each_mut();
        for (key, pass) in keys.iter().zip(passes) {
            L::pass([left, right], key, pass.direction);
            // Swapped as in FIPS 46-3's preoutput, which is also the next pass's input.
            core::mem::swap(&mut left, &mut right);
        }
        unslice([left, right], &mut lanes, batch);
    }
    // Wipes the keys and the last batch's result, which is keystream or a message.
    (keys, halves, lanes) =
        ([[0; KEY_LANES]; Pass::MAX], [[L::splat(0); 32]; 2], [L::splat(0); 64]);
    core::hint::black_box((&mut keys, &mut halves, &mut lanes));
}

/// A word for each key lane: all ones or all zeros.
#[inline(always)]
fn spread(key: u64) -> [u64; KEY_LANES] {
    let once = KEY_ORDER.map(|bit| (key >> bit & 1).wrapping_neg());
    let mut words = [0; KEY_LANES];
    for (complement, words) in [0, !0].into_iter().zip(words.chunks_mut(COMPLEMENT)) {
        for (half, words) in once.chunks(HALF).zip(words.chunks_mut(2 * HALF)) {
            for words in words.chunks_mut(HALF) {
                for (to, word) in words.iter_mut().zip(half) {
                    *to = word ^ complement;
                }
            }
        }
    }
    words
}

#[inline(always)]
fn sliced<L: Lane>(batch: &[Block]) -> [Half<L>; 2] {
    let mut lanes = [L::splat(0); 64];
    for (lane, blocks) in lanes.iter_mut().zip(batch.chunks(L::WORDS)) {
        *lane = L::load(blocks);
    }
    for i in 0..8 {
        let eight = transpose::far(core::array::from_fn(|k| lanes[i + 8 * k]));
        for (k, lane) in eight.into_iter().enumerate() {
            lanes[i + 8 * k] = lane;
        }
    }
    for eight in lanes.as_chunks_mut().0 {
        *eight = transpose::near(*eight);
    }
    initial(|bit| lanes[bit])
}

/// The halves of consecutive numbers whose first is a multiple of the lane's bits. Their low bits
/// are always the same, and the bits above are equal in all of them.
#[inline(always)]
fn counted<L: Lane>(first: u64) -> [Half<L>; 2] {
    const LOW: [u64; 6] = [
        0xaaaa_aaaa_aaaa_aaaa,
        0xcccc_cccc_cccc_cccc,
        0xf0f0_f0f0_f0f0_f0f0,
        0xff00_ff00_ff00_ff00,
        0xffff_0000_ffff_0000,
        0xffff_ffff_0000_0000,
    ];
    let words = L::WORDS.trailing_zeros() as usize;
    initial(|bit| {
        // Blocks are big-endian, lanes are little-endian.
        let bit = bit ^ 56;
        if bit < words {
            let words: [Block; 8] =
                core::array::from_fn(|word| (word as u64 >> bit & 1).wrapping_neg().to_le_bytes());
            return L::load(&words[..L::WORDS]);
        }
        match LOW.get(bit - words) {
            Some(low) => L::splat(*low),
            None => L::splat((first >> bit & 1).wrapping_neg()),
        }
    })
}

/// The initial permutation IP.
#[inline(always)]
fn initial<L: Lane>(lane: impl Fn(usize) -> L) -> [Half<L>; 2] {
    [core::array::from_fn(|i| lane(INITIAL[i])), core::array::from_fn(|i| lane(INITIAL[32 + i]))]
}

#[inline(always)]
fn unslice<L: Lane>(halves: [&Half<L>; 2], lanes: &mut [L; 64], batch: &mut [Block]) {
    for i in 0..8 {
        let mut eight = [L::splat(0); 8];
        for (k, lane) in eight.iter_mut().enumerate() {
            let from = FINAL[i + 8 * k];
            *lane = halves[from / 32][from % 32];
        }
        for (k, lane) in transpose::far(eight).into_iter().enumerate() {
            lanes[i + 8 * k] = lane;
        }
    }
    // An incomplete batch needs only its own lanes.
    for (eight, blocks) in lanes.as_chunks().0.iter().zip(batch.chunks_mut(8 * L::WORDS)) {
        for (lane, blocks) in transpose::near(*eight).into_iter().zip(blocks.chunks_mut(L::WORDS)) {
            lane.store(blocks);
        }
    }
}

/// Sixteen rounds, compiled from the gates. A key lane is a word for all words of a lane, or a
/// lane.
#[inline(always)]
fn rounds_of_gates<G: GateLane, K: Copy + Into<G>>(
    [left, right]: [&mut Half<G>; 2],
    keys: &[K; KEY_LANES],
    direction: PassDirection,
) {
    for [even, odd] in WINDOWS[direction as usize].as_chunks().0 {
        round(left, right, keys, *even);
        round(right, left, keys, *odd);
    }
}

/// Some of the sixteen rounds.
fn each_round_of_gates<G: GateLane>(
    [mut left, mut right]: [&mut Half<G>; 2],
    keys: &[G; KEY_LANES],
    (direction, rounds): (PassDirection, Range<usize>),
) {
    for windows in WINDOWS[direction as usize].iter().take(rounds.end).skip(rounds.start) {
        round(left, right, keys, *windows);
        core::mem::swap(&mut left, &mut right);
    }
}

/// `left ^= P(S(E(right) ^ K))`.
#[inline(always)]
fn round<G: GateLane, K: Copy + Into<G>>(
    left: &mut Half<G>,
    right: &Half<G>,
    keys: &[K; KEY_LANES],
    windows: Windows,
) {
    let keys = key_windows(keys, windows);
    let mut add = |n: usize, outputs: [G; 4]| {
        for (i, bit) in outputs.into_iter().enumerate() {
            let to = P_INVERSE[4 * n + i];
            left[to] = left[to] ^ bit;
        }
        // Without it the compiler loads the next S-boxes' inputs early, and spills.
        compiler_fence(Ordering::SeqCst);
    };
    add(0, two::s1(inputs(0, right, keys)));
    add(1, two::s2(inputs(1, right, keys)));
    add(2, two::s3(inputs(2, right, keys)));
    add(3, two::s4(inputs(3, right, keys)));
    add(4, two::s5(inputs(4, right, keys)));
    add(5, two::s6(inputs(5, right, keys)));
    add(6, two::s7(inputs(6, right, keys)));
    add(7, two::s8(inputs(7, right, keys)));
}

/// Part of a round: see [`Lane::part`]. The compiler leaves out what no output needs.
fn part_of_gates<G: GateLane>(
    [old, read]: [&Half<G>; 2],
    new: &mut Half<G>,
    keys: &[G; KEY_LANES],
    (direction, round): (PassDirection, usize),
) {
    let keys = key_windows(keys, WINDOWS[direction as usize][round]);
    let mut put = |n: usize, outputs: [G; 4]| {
        for (i, bit) in outputs.into_iter().enumerate() {
            let to = P_INVERSE[4 * n + i];
            if PART.contains(&to) {
                new[to] = old[to] ^ bit;
            }
        }
        compiler_fence(Ordering::SeqCst);
    };
    put(0, two::s1(inputs(0, read, keys)));
    put(1, two::s2(inputs(1, read, keys)));
    put(2, two::s3(inputs(2, read, keys)));
    put(3, two::s4(inputs(3, read, keys)));
    put(4, two::s5(inputs(4, read, keys)));
    put(5, two::s6(inputs(5, read, keys)));
    put(6, two::s7(inputs(6, read, keys)));
    put(7, two::s8(inputs(7, read, keys)));
}

/// What S1 to S3 read of a half: bit 31, and bits 0 to 12.
const PART: [usize; 14] = [31, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// Some S-boxes of a round: see [`Lane::sboxes`].
fn sboxes_of_gates<G: GateLane>(
    sboxes: u8,
    [old, read]: [&Half<G>; 2],
    new: &mut Half<G>,
    keys: &[G; KEY_LANES],
    (direction, round): (PassDirection, usize),
) {
    let keys = key_windows(keys, WINDOWS[direction as usize][round]);
    for n in (0..8).filter(|n| sboxes >> n & 1 == 1) {
        let outputs = match n {
            0 => two::s1(inputs(0, read, keys)),
            1 => two::s2(inputs(1, read, keys)),
            2 => two::s3(inputs(2, read, keys)),
            3 => two::s4(inputs(3, read, keys)),
            4 => two::s5(inputs(4, read, keys)),
            5 => two::s6(inputs(5, read, keys)),
            6 => two::s7(inputs(6, read, keys)),
            _ => two::s8(inputs(7, read, keys)),
        };
        for (i, bit) in outputs.into_iter().enumerate() {
            let to = P_INVERSE[4 * n + i];
            new[to] = old[to] ^ bit;
        }
    }
}

#[inline(always)]
fn key_windows<K>(keys: &[K; KEY_LANES], windows: Windows) -> [&[K; WINDOW]; 2] {
    #[allow(clippy::expect_used, reason = "schedule.rs asserts where windows end")]
    windows.map(|start| keys[start..].first_chunk::<WINDOW>().expect("a whole window"))
}

/// What S-box `n` reads of a half, under a round's key.
#[inline(always)]
fn inputs<G: GateLane, K: Copy + Into<G>>(
    n: usize,
    right: &Half<G>,
    keys: [&[K; WINDOW]; 2],
) -> [G; 6] {
    core::array::from_fn(|i| {
        let (window, place) = KEY_PLACES[6 * n + i];
        right[E[6 * n + i]] ^ keys[window][place].into()
    })
}
