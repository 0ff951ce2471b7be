//! Sixteen rounds in assembly, on AVX2's and AVX-512's registers. The order of a round and its
//! registers are round_of_two.rs's and round_of_three.rs's.

#![allow(
    unsafe_code,
    reason = "assembly; each function says what it touches, and tests/engines.rs holds each engine \
              to its safe twin"
)]

use core::arch::asm;
use core::ops::Range;

use super::Half;
use super::part_of_three::part_of_three;
use super::part_of_two::part_of_two;
use super::round_of_three::round_of_three;
use super::round_of_two::round_of_two;
use super::sbox_of_three::sbox_of_three;
use super::sbox_of_two::sbox_of_two;
use super::schedule::{KEY_LANES, PassDirection, WINDOWS};
use super::x86::{Three256, Three512, Two256};

/// The windows as byte offsets, for key lanes of `KEY` bytes.
const fn window_bytes<const KEY: usize>() -> [[[u64; 2]; 16]; 2] {
    let mut bytes = [[[0; 2]; 16]; 2];
    let mut i = 0;
    while i < 32 {
        let windows = WINDOWS[i / 16][i % 16];
        bytes[i / 16][i % 16] = [(windows[0] * KEY) as u64, (windows[1] * KEY) as u64];
        i += 1;
    }
    bytes
}

macro_rules! rounds {
    (two, $name:ident, $lane:ty, $key:ty, $round:expr) => {
        rounds!($name, $lane, $key, "avx2", super::round_of_two::SLOTS, $round,
            "xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7"
            "xmm8" "xmm9" "xmm10" "xmm11" "xmm12" "xmm13" "xmm14" "xmm15");
    };
    (three, $name:ident, $lane:ty, $key:ty, $round:expr) => {
        rounds!($name, $lane, $key, "avx512f,avx512vl", super::round_of_three::SLOTS, $round,
            "xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7"
            "xmm8" "xmm9" "xmm10" "xmm11" "xmm12" "xmm13" "xmm14" "xmm15"
            "xmm16" "xmm17" "xmm18" "xmm19" "xmm20" "xmm21" "xmm22" "xmm23"
            "xmm24" "xmm25" "xmm26" "xmm27" "xmm28" "xmm29" "xmm30" "xmm31");
    };
    ($name:ident, $lane:ty, $key:ty, $features:literal, $slots:expr, $round:expr,
     $($clobber:tt)*) => {
        /// Some of sixteen rounds from `start`, or from `halves` themselves, into `halves`, of
        /// which the first of these rounds writes the first.
        #[target_feature(enable = $features)]
        pub(super) fn $name(
            start: Option<[&Half<$lane>; 2]>,
            halves: [&mut Half<$lane>; 2],
            keys: &[$key; KEY_LANES],
            (direction, rounds): (PassDirection, Range<usize>),
        ) {
            let windows = &const { window_bytes::<{ size_of::<$key>() }>() };
            // The loop tests at its end, so it must not begin without a round.
            let windows = windows[direction as usize].get(rounds);
            let Some(windows) = windows.filter(|some| !some.is_empty()) else { return };
            let windows = windows.as_ptr_range();
            let mut slots = core::mem::MaybeUninit::<[$lane; $slots]>::uninit();
            let [left, right] = halves.map(core::ptr::from_mut);
            let [old, read] = start.map_or([left.cast_const(), right.cast_const()], |start| {
                start.map(core::ptr::from_ref)
            });
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

/// The registers that a line of S-box code may write.
macro_rules! sboxes {
    (@one, $of:ident, $sbox:ident, $n:tt, ($v:tt, $bytes:tt, $load:tt), ($($clobber:tt)*)) => {
        // SAFETY: it reads the halves and, of the key lanes, those at the places that windows have,
        // all below KEY_LANES; it writes four lanes of the new half, and the slots. Of registers it
        // touches those named here; it uses no stack.
        unsafe {
            asm!(
                $sbox!($n, $v, $bytes, $load, $bytes),
                k = in(reg) $of.0,
                x = in(reg) $of.1,
                o = in(reg) $of.2,
                r = in(reg) $of.3,
                l = in(reg) $of.4,
                s = in(reg) $of.5,
                $(out($clobber) _,)*
                options(nostack, preserves_flags),
            )
        }
    };
    (two, $name:ident, $lane:ty, $v:tt, $bytes:tt, $load:tt) => {
        sboxes!($name, $lane, "avx2", super::sbox_of_two::SLOTS, sbox_of_two, ($v, $bytes, $load),
            ("xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7"
             "xmm8" "xmm9" "xmm10" "xmm11" "xmm12" "xmm13" "xmm14" "xmm15"));
    };
    (three, $name:ident, $lane:ty, $v:tt, $bytes:tt, $load:tt) => {
        sboxes!($name, $lane, "avx512f,avx512vl", super::sbox_of_three::SLOTS, sbox_of_three,
            ($v, $bytes, $load),
            ("xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7"
             "xmm8" "xmm9" "xmm10" "xmm11" "xmm12" "xmm13" "xmm14" "xmm15"
             "xmm16" "xmm17" "xmm18" "xmm19" "xmm20" "xmm21" "xmm22" "xmm23"
             "xmm24" "xmm25" "xmm26" "xmm27" "xmm28" "xmm29" "xmm30" "xmm31"));
    };
    ($name:ident, $lane:ty, $features:literal, $slots:expr, $sbox:ident, $how:tt, $clobbers:tt) => {
        /// The S-boxes that `sboxes` has bits for: `new = halves[0] ^ f(halves[1])` at their bits.
        #[target_feature(enable = $features)]
        #[inline(never)]
        pub(super) fn $name(
            mut sboxes: u8,
            halves: [&Half<$lane>; 2],
            new: &mut Half<$lane>,
            keys: &[$lane; KEY_LANES],
            (direction, round): (PassDirection, usize),
        ) {
            let windows = WINDOWS[direction as usize][round];
            let [plain, complemented] = windows.map(|start| keys[start..].as_ptr());
            let mut slots = core::mem::MaybeUninit::<[$lane; $slots]>::uninit();
            let [old, read] = halves.map(core::ptr::from_ref);
            let new = core::ptr::from_mut(new);
            while sboxes != 0 {
                let n = sboxes.trailing_zeros();
                sboxes &= sboxes - 1;
                let of = (plain, complemented, old, read, new, slots.as_mut_ptr());
                match n {
                    0 => sboxes!(@one, of, $sbox, 0, $how, $clobbers),
                    1 => sboxes!(@one, of, $sbox, 1, $how, $clobbers),
                    2 => sboxes!(@one, of, $sbox, 2, $how, $clobbers),
                    3 => sboxes!(@one, of, $sbox, 3, $how, $clobbers),
                    4 => sboxes!(@one, of, $sbox, 4, $how, $clobbers),
                    5 => sboxes!(@one, of, $sbox, 5, $how, $clobbers),
                    6 => sboxes!(@one, of, $sbox, 6, $how, $clobbers),
                    _ => sboxes!(@one, of, $sbox, 7, $how, $clobbers),
                }
            }
        }
    };
}

sboxes!(two, sboxes_avx2, Two256, "ymm", "32", "vmovdqu");
sboxes!(three, sboxes_256, Three256, "ymm", "32", "vmovdqu64");
sboxes!(three, sboxes_512, Three512, "zmm", "64", "vmovdqu64");

macro_rules! part {
    (two, $name:ident, $lane:ty, $part:expr) => {
        part!($name, $lane, "avx2", super::part_of_two::SLOTS, $part,
            "xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7"
            "xmm8" "xmm9" "xmm10" "xmm11" "xmm12" "xmm13" "xmm14" "xmm15");
    };
    (three, $name:ident, $lane:ty, $part:expr) => {
        part!($name, $lane, "avx512f,avx512vl", super::part_of_three::SLOTS, $part,
            "xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7"
            "xmm8" "xmm9" "xmm10" "xmm11" "xmm12" "xmm13" "xmm14" "xmm15"
            "xmm16" "xmm17" "xmm18" "xmm19" "xmm20" "xmm21" "xmm22" "xmm23"
            "xmm24" "xmm25" "xmm26" "xmm27" "xmm28" "xmm29" "xmm30" "xmm31");
    };
    ($name:ident, $lane:ty, $features:literal, $slots:expr, $part:expr, $($clobber:tt)*) => {
        /// `new = halves[0] ^ f(halves[1])` at the bits that S1 to S3 of the next round read.
        #[target_feature(enable = $features)]
        pub(super) fn $name(
            halves: [&Half<$lane>; 2],
            new: &mut Half<$lane>,
            keys: &[$lane; KEY_LANES],
            (direction, round): (PassDirection, usize),
        ) {
            let windows = WINDOWS[direction as usize][round];
            let [plain, complemented] = windows.map(|start| keys[start..].as_ptr());
            let mut slots = core::mem::MaybeUninit::<[$lane; $slots]>::uninit();
            let [old, read] = halves.map(core::ptr::from_ref);
            // SAFETY: it reads the halves and, of the key lanes, those at the places that windows
            // have, all below KEY_LANES; it writes lanes of the new half, and the slots. Of
            // registers it touches those named here; it uses no stack.
            unsafe {
                asm!(
                    $part,
                    k = in(reg) plain,
                    x = in(reg) complemented,
                    o = in(reg) old,
                    r = in(reg) read,
                    l = in(reg) core::ptr::from_mut(new),
                    s = in(reg) slots.as_mut_ptr(),
                    $(out($clobber) _,)*
                    options(nostack, preserves_flags),
                );
            }
        }
    };
}

part!(two, part_avx2, Two256, part_of_two!("ymm", "32", "vmovdqu", "32"));
part!(three, part_256, Three256, part_of_three!("ymm", "32", "vmovdqu64", "32"));
part!(three, part_512, Three512, part_of_three!("zmm", "64", "vmovdqu64", "64"));
