//! One block under every key of a slice: the tables of a meet in the middle.

use super::batches::Batches;
use super::side::SearchSide;
use super::space::KeySpace;
use crate::Block;
use crate::bitslice::engine::{Engine, LaneWork, dispatch};
use crate::bitslice::lane::Lane;
use crate::bitslice::schedule::PassDirection;
use crate::bitslice::unslice;

/// One block, encrypted or decrypted under every key of a space.
#[derive(Clone, Copy, Debug)]
pub struct KeyBlocks {
    block: Block,
    direction: SearchDirection,
}

/// What the keys do to the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchDirection {
    /// `E(K, block)`.
    Encrypt,
    /// `D(K, block)`.
    Decrypt,
}

impl KeyBlocks {
    /// `block` in this direction.
    pub fn new(direction: SearchDirection, block: Block) -> Self {
        Self { block, direction }
    }

    /// The results for a slice of `space`, up to 512 at a time: `each` is given the number of a
    /// key, the key's result, and those of the numbers that follow it. Without `engine`'s
    /// instructions the portable engine runs.
    pub fn of_slice(
        &self,
        engine: Engine,
        space: &KeySpace,
        slice: u64,
        each: &mut dyn FnMut(u64, &[Block]),
    ) {
        dispatch(engine, Each { blocks: self, space, slice, each });
    }
}

struct Each<'a> {
    blocks: &'a KeyBlocks,
    space: &'a KeySpace,
    slice: u64,
    each: &'a mut dyn FnMut(u64, &[Block]),
}

impl LaneWork for Each<'_> {
    #[inline(always)]
    fn on<L: Lane>(self) {
        let direction = match self.blocks.direction {
            SearchDirection::Encrypt => PassDirection::Encrypt,
            SearchDirection::Decrypt => PassDirection::Decrypt,
        };
        let mut side = SearchSide::<L>::new(direction, self.blocks.block, 16);
        let mut batches = Batches::<L>::new(self.space, self.slice);
        let (mut lanes, mut results) = ([L::splat(0); 64], [[0; 8]; 512]);
        while let Some(changed) = batches.advance() {
            side.advance(changed, batches.keys());
            let [before, last] = side.last();
            let results = &mut results[..64 * L::WORDS];
            unslice([last, before], &mut lanes, results);
            (self.each)(batches.first(), &results[..batches.count()]);
        }
    }
}
