//! Key search: one block under as many keys as a lane has bits, and no more of the cipher than
//! tells a wrong key from a right one.
//!
//! Write R(-1), R(0) for the halves of the permuted plaintext and R(i) = R(i-2) ^ f(R(i-1), K(i)),
//! so that R(16), R(15) are those of the ciphertext. A trial saves at both ends and in the middle:
//!
//! - From one batch of keys to the next one key bit changes (Gray's code), and of the first three
//!   rounds from either end only those S-boxes are computed again which that bit can reach. The
//!   bits that change most often are those that reach the fewest: one that round 1 does not read
//!   costs one S-box of round 2 and six of round 3.
//! - The ends meet. For one pass: R(12) from the plaintext, R(14) from the ciphertext, which is one
//!   round of constants; then R(13), bit by bit of the S-boxes, from both sides. Round 14 is never
//!   computed. Twelve bits, which three S-boxes give, rule out all keys of most batches; those
//!   three read 14 bits of R(12), so no more of round 12 is computed.
//! - For two passes of one key, E(K, E(K, m)) = c is E(K, m) = D(K, c): fourteen rounds from either
//!   end, then R(15) of the first pass, which is R(0) of the second, from both sides. Rounds 16 and
//!   1 between them both read R(15), and neither is computed.
//!
//! E(!k, !m) = !E(k, m) would halve the work for who has the ciphertexts of a block and of its
//! complement (chosen plaintext). Nothing in the protocol gives them, so it is not used.

mod batches;
mod each;
mod side;
mod space;
mod stale;

use super::engine::{Engine, LaneWork, Pass, dispatch, run};
use super::lane::Lane;
use super::schedule::{P_INVERSE, PassDirection};
use crate::{Block, DesKey};

pub use each::{KeyBlocks, SearchDirection};
pub use space::KeySpace;

use batches::Batches;
use side::SearchSide;

/// A search for the keys that turn one block into another, in one pass of DES or in two.
///
/// The time depends on what is found: this is the attacker's side.
#[derive(Clone, Copy, Debug)]
pub struct KeySearch {
    plaintext: Block,
    ciphertext: Block,
    passes: Passes,
}

/// How often the key is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// `ciphertext = E(K, plaintext)`.
    One,
    /// `ciphertext = E(K, E(K, plaintext))`: opcode 20 of the classic profile.
    Two,
}

impl Passes {
    /// Whole rounds from the plaintext, and from the ciphertext. The round after them is computed
    /// in part, unless all are kept.
    fn rounds(self) -> [usize; 2] {
        match self {
            Self::One => [11, 1],
            Self::Two => [13, 13],
        }
    }
}

impl KeySearch {
    /// A search for the keys that turn `plaintext` into `ciphertext`.
    pub fn new(passes: Passes, plaintext: Block, ciphertext: Block) -> Self {
        Self { plaintext, ciphertext, passes }
    }

    /// Tries the keys of a slice of `space`, and passes the number of each match to `found`, in no
    /// order. Without `engine`'s instructions the portable engine runs.
    pub fn scan(&self, engine: Engine, space: &KeySpace, slice: u64, found: &mut dyn FnMut(u64)) {
        dispatch(engine, Scan { search: self, space, slice, found });
    }

    /// Whether the key turns the one block into the other.
    pub fn accepts(&self, key: &DesKey) -> bool {
        self.accepts_bits(key.bits())
    }

    fn accepts_bits(&self, key: u64) -> bool {
        let mut block = [self.plaintext];
        let passes = [Pass::encrypt(key); Pass::MAX];
        let count = match self.passes {
            Passes::One => 1,
            Passes::Two => 2,
        };
        run(Engine::Portable, &passes[..count], &mut block);
        block[0] == self.ciphertext
    }
}

struct Scan<'a> {
    search: &'a KeySearch,
    space: &'a KeySpace,
    slice: u64,
    found: &'a mut dyn FnMut(u64),
}

/// The S-boxes whose outputs are compared in every batch, and those if one of its keys is left.
/// [`Lane::part`] computes what the first read: S1 to S3, for which the circuits' parts are
/// smallest.
const FIRST_COMPARED: u8 = 0b0000_0111;
const THEN_COMPARED: u8 = !FIRST_COMPARED;

impl LaneWork for Scan<'_> {
    #[inline(always)]
    fn on<L: Lane>(self) {
        let Self { search, space, slice, found } = self;
        let [rounds, rounds_back] = search.passes.rounds();
        let mut front = SearchSide::<L>::new(PassDirection::Encrypt, search.plaintext, rounds);
        let mut back = SearchSide::<L>::new(PassDirection::Decrypt, search.ciphertext, rounds_back);
        let mut batches = Batches::<L>::new(space, slice);
        while let Some(changed) = batches.advance() {
            for side in [&mut front, &mut back] {
                side.advance(changed, batches.keys());
                side.compare_first(batches.keys());
            }
            let differ = differences(FIRST_COMPARED, [&front, &back], L::splat(0));
            if differ.is_full() {
                continue;
            }
            for side in [&mut front, &mut back] {
                side.compare_then(batches.keys());
            }
            let differ = differences(THEN_COMPARED, [&front, &back], differ);
            for number in batches.numbers_of_zeros(differ) {
                if search.accepts_bits(space.key_bits(number)) {
                    found(number);
                }
            }
        }
    }
}

/// Ones where the two sides differ in the outputs of these S-boxes, or `differ` has ones.
#[inline(always)]
fn differences<L: Lane>(sboxes: u8, [front, back]: [&SearchSide<L>; 2], mut differ: L) -> L {
    for output in (0..32).filter(|output| sboxes >> (output / 4) & 1 == 1) {
        let bit = P_INVERSE[output];
        differ = differ.or(front.compared()[bit].xor(back.compared()[bit]));
    }
    differ
}
