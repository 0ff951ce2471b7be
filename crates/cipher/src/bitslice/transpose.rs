//! From blocks to lanes and back: 64×64 bits, all words of the lanes at once (Warren, "Hacker's Delight", section 7-3).

use super::lane::Lane;

/// Bit j of lane i becomes bit i of lane j.
#[inline(always)]
pub(super) fn transpose<L: Lane>(lanes: &mut [L; 64]) {
    // Three of the six steps at a time stay among eight lanes, and so in registers.
    for i in 0..8 {
        let mut eight = core::array::from_fn(|k| lanes[i + 8 * k]);
        step::<L, 32, 4>(&mut eight, 0x0000_0000_ffff_ffff);
        step::<L, 16, 2>(&mut eight, 0x0000_ffff_0000_ffff);
        step::<L, 8, 1>(&mut eight, 0x00ff_00ff_00ff_00ff);
        for (k, lane) in eight.into_iter().enumerate() {
            lanes[i + 8 * k] = lane;
        }
    }
    for eight in lanes.as_chunks_mut().0 {
        step::<L, 4, 4>(eight, 0x0f0f_0f0f_0f0f_0f0f);
        step::<L, 2, 2>(eight, 0x3333_3333_3333_3333);
        step::<L, 1, 1>(eight, 0x5555_5555_5555_5555);
    }
}

/// Exchanges the bits `mask` has of each lane, `SHIFT` up, with those of the lane `DISTANCE` on.
#[inline(always)]
fn step<L: Lane, const SHIFT: u32, const DISTANCE: usize>(lanes: &mut [L; 8], mask: u64) {
    for i in (0..8).filter(|i| i & DISTANCE == 0) {
        (lanes[i], lanes[i + DISTANCE]) = lanes[i].exchange::<SHIFT>(lanes[i + DISTANCE], mask);
    }
}
