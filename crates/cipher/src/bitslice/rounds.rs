//! Sixteen rounds in assembly, on AVX2's and AVX-512's registers. The order of a round and its
//! registers are round_of_two.rs's and round_of_three.rs's.

#![allow(
    unsafe_code,
    reason = "assembly; each function says what it touches, and tests/engines.rs holds each engine to its safe twin"
)]

use core::arch::asm;

use super::Half;
use super::round_of_three::round_of_three;
use super::round_of_two::round_of_two;
use super::schedule::{KEY_LANES, PassDirection, windows};
use super::x86::{Three256, Three512, Two256};

/// The windows as byte offsets, for key lanes of `KEY` bytes.
const fn window_bytes<const KEY: usize>(direction: PassDirection) -> [[u64; 2]; 16] {
    let windows = windows(direction);
    let mut bytes = [[0; 2]; 16];
    let mut round = 0;
    while round < 16 {
        bytes[round] = [(windows[round][0] * KEY) as u64, (windows[round][1] * KEY) as u64];
        round += 1;
    }
    bytes
}

macro_rules! rounds {
    (two, $name:ident, $lane:ty, $key:ty, $round:expr) => {
        rounds!($name, $lane, $key, "avx2", super::round_of_two::SLOTS, $round,
            "xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7" "xmm8" "xmm9" "xmm10" "xmm11" "xmm12" "xmm13" "xmm14" "xmm15");
    };
    (three, $name:ident, $lane:ty, $key:ty, $round:expr) => {
        rounds!($name, $lane, $key, "avx512f,avx512vl", super::round_of_three::SLOTS, $round,
            "xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7" "xmm8" "xmm9" "xmm10" "xmm11" "xmm12" "xmm13" "xmm14" "xmm15"
            "xmm16" "xmm17" "xmm18" "xmm19" "xmm20" "xmm21" "xmm22" "xmm23" "xmm24" "xmm25" "xmm26" "xmm27" "xmm28" "xmm29" "xmm30" "xmm31");
    };
    ($name:ident, $lane:ty, $key:ty, $features:literal, $slots:expr, $round:expr, $($clobber:tt)*) => {
        /// Sixteen rounds from `start`, or from `halves` themselves, into `halves`.
        #[target_feature(enable = $features)]
        pub(super) fn $name(
            start: Option<[&Half<$lane>; 2]>,
            halves: [&mut Half<$lane>; 2],
            keys: &[$key; KEY_LANES],
            direction: PassDirection,
        ) {
            let windows = match direction {
                PassDirection::Encrypt => &const { window_bytes::<{ size_of::<$key>() }>(PassDirection::Encrypt) },
                PassDirection::Decrypt => &const { window_bytes::<{ size_of::<$key>() }>(PassDirection::Decrypt) },
            };
            let windows = windows.as_ptr_range();
            let mut slots = core::mem::MaybeUninit::<[$lane; $slots]>::uninit();
            let [left, right] = halves.map(core::ptr::from_mut);
            let [old, read] = start.map_or([left.cast_const(), right.cast_const()], |start| start.map(core::ptr::from_ref));
            // SAFETY: it reads `start`, the halves, `windows`, and `keys` at the places that
            // windows have, all below KEY_LANES; it writes the halves and the slots. Of registers
            // it touches those named here; it uses no stack.
            unsafe {
                asm!(
                    ".p2align 5",
                    "2:",
                    "mov {k}, [{window}]",
                    "mov {x}, [{window} + 8]",
                    "add {k}, {keys}",
                    "add {x}, {keys}",
                    $round,
                    // The half that was written is read next, and the other one is written.
                    "mov {o}, {r}",
                    "mov {r}, {l}",
                    "mov {l}, {other}",
                    "mov {other}, {r}",
                    "add {window}, 16",
                    "cmp {window}, {end}",
                    "jne 2b",
                    k = out(reg) _,
                    x = out(reg) _,
                    window = inout(reg) windows.start => _,
                    end = in(reg) windows.end,
                    keys = in(reg) keys,
                    o = inout(reg) old => _,
                    r = inout(reg) read => _,
                    l = inout(reg) left => _,
                    other = inout(reg) right => _,
                    s = in(reg) slots.as_mut_ptr(),
                    $(out($clobber) _,)*
                    options(nostack),
                );
            }
        }
    };
}

rounds!(two, rounds_avx2, Two256, u64, round_of_two!("ymm", "32", "vpbroadcastq", "8"));
rounds!(two, rounds_avx2_each, Two256, Two256, round_of_two!("ymm", "32", "vmovdqu", "32"));
rounds!(three, rounds_256, Three256, u64, round_of_three!("ymm", "32", "vpbroadcastq", "8"));
rounds!(
    three,
    rounds_256_each,
    Three256,
    Three256,
    round_of_three!("ymm", "32", "vmovdqu64", "32")
);
rounds!(three, rounds_512, Three512, u64, round_of_three!("zmm", "64", "vpbroadcastq", "8"));
rounds!(
    three,
    rounds_512_each,
    Three512,
    Three512,
    round_of_three!("zmm", "64", "vmovdqu64", "64")
);
