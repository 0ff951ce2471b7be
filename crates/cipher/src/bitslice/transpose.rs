//! From blocks to lanes and back: 64×64 bits, all words of the lanes at once (Warren, "Hacker's
//! Delight", section 7-3).

use super::lane::Lane;

/// The three steps among the eight lanes i, i + 8, i + 16, …, which fit in registers.
#[inline(always)]
pub(super) fn far<L: Lane>(mut eight: [L; 8]) -> [L; 8] {
    step::<L, 32, 4>(&mut eight, 0x0000_0000_ffff_ffff);
    step::<L, 16, 2>(&mut eight, 0x0000_ffff_0000_ffff);
    step::<L, 8, 1>(&mut eight, 0x00ff_00ff_00ff_00ff);
    eight
}

/// The three steps among the eight lanes 8i, 8i + 1, 8i + 2, … After both, for all i and j, bit j
/// of lane i is the former bit i of lane j.
#[inline(always)]
pub(super) fn near<L: Lane>(mut eight: [L; 8]) -> [L; 8] {
    step::<L, 4, 4>(&mut eight, 0x0f0f_0f0f_0f0f_0f0f);
    step::<L, 2, 2>(&mut eight, 0x3333_3333_3333_3333);
    step::<L, 1, 1>(&mut eight, 0x5555_5555_5555_5555);
    eight
}

/// Exchanges the bits selected by `mask` of each lane, shifted by `SHIFT`, with those of the lane
/// `DISTANCE` further.
#[inline(always)]
fn step<L: Lane, const SHIFT: u32, const DISTANCE: usize>(lanes: &mut [L; 8], mask: u64) {
    for i in (0..8).filter(|i| i & DISTANCE == 0) {
        (lanes[i], lanes[i + DISTANCE]) = lanes[i].exchange::<SHIFT>(lanes[i + DISTANCE], mask);
    }
}
