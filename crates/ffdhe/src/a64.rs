//! Products of 512-bit blocks in assembly for aarch64: a block and the running sum lie in
//! registers, and two chains of carries follow each other, where the compiler has one for each
//! product.

#![allow(
    unsafe_code,
    reason = "assembly; each block says why it holds, and the tests of modulus64.rs and \
              tests/engines.rs hold the engine to its safe twins"
)]

use core::arch::asm;

use crate::modulus64::{BLOCK_LIMBS, LimbBlock};

/// What adx.rs' `Adx` is on x86-64. Every aarch64 processor has the instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct A64(());

/// `sum += x16·block`, the sum in registers and the block in x8 to x15. First the limb in `first`
/// is added to the lowest; `done` has that one to itself once it is complete. Its register is then
/// the highest limb's. Sum, first and product are at most 2^512 - 1, 2^64 - 1 and
/// (2^512 - 1)·(2^64 - 1), so nothing is carried beyond that limb.
macro_rules! add_product_of_limb {
    ($first:tt [$($done:tt)*] $r0:tt $r1:tt $r2:tt $r3:tt $r4:tt $r5:tt $r6:tt $r7:tt) => {
        concat!(
            // The high halves. The last of them takes the carry: it is at most 2^64 - 2.
            "umulh x4, x8, x16\n umulh x5, x9, x16\n umulh x6, x10, x16\n umulh x7, x11, x16\n",
            "adds ", $r0, ", ", $r0, ", ", $first, "\n",
            "adcs ", $r1, ", ", $r1, ", x4\n umulh x4, x12, x16\n",
            "adcs ", $r2, ", ", $r2, ", x5\n umulh x5, x13, x16\n",
            "adcs ", $r3, ", ", $r3, ", x6\n umulh x6, x14, x16\n",
            "adcs ", $r4, ", ", $r4, ", x7\n umulh x7, x15, x16\n",
            "adcs ", $r5, ", ", $r5, ", x4\n mul x4, x8, x16\n",
            "adcs ", $r6, ", ", $r6, ", x5\n mul x5, x9, x16\n",
            "adcs ", $r7, ", ", $r7, ", x6\n mul x6, x10, x16\n",
            "adc x7, x7, xzr\n",
            // The low halves.
            "adds ", $r0, ", ", $r0, ", x4\n mul x4, x11, x16\n", $($done)*
            "adcs ", $r1, ", ", $r1, ", x5\n mul x5, x12, x16\n",
            "adcs ", $r2, ", ", $r2, ", x6\n mul x6, x13, x16\n",
            "adcs ", $r3, ", ", $r3, ", x4\n mul x4, x14, x16\n",
            "adcs ", $r4, ", ", $r4, ", x5\n mul x5, x15, x16\n",
            "adcs ", $r5, ", ", $r5, ", x6\n",
            "adcs ", $r6, ", ", $r6, ", x4\n",
            "adcs ", $r7, ", ", $r7, ", x5\n",
            "adc ", $r0, ", x7, xzr\n",
        )
    };
}

/// With one limb of the factor at x2; one limb of what is at x0 goes into the sum, and the sum's
/// lowest takes its place.
macro_rules! multiply_step {
    ($at:tt $r0:tt $($r:tt)*) => {
        concat!(
            "ldr x16, [x2, #", $at, "]\n ldr x17, [x0, #", $at, "]\n",
            add_product_of_limb!("x17" ["str ", $r0, ", [x0, #", $at, "]\n",] $r0 $($r)*),
        )
    };
}

/// With the limb that clears the sum's lowest, which goes to x0; -1/p mod 2^64 is in x3.
macro_rules! clear_step {
    ($at:tt $r0:tt $($r:tt)*) => {
        concat!(
            "mul x16, ", $r0, ", x3\n str x16, [x0, #", $at, "]\n",
            add_product_of_limb!("xzr" [] $r0 $($r)*),
        )
    };
}

/// All eight, after which each register is again the limb it was.
macro_rules! eight {
    ($step:ident) => {
        concat!(
            $step!("0" "x20" "x21" "x22" "x23" "x24" "x25" "x26" "x27"),
            $step!("8" "x21" "x22" "x23" "x24" "x25" "x26" "x27" "x20"),
            $step!("16" "x22" "x23" "x24" "x25" "x26" "x27" "x20" "x21"),
            $step!("24" "x23" "x24" "x25" "x26" "x27" "x20" "x21" "x22"),
            $step!("32" "x24" "x25" "x26" "x27" "x20" "x21" "x22" "x23"),
            $step!("40" "x25" "x26" "x27" "x20" "x21" "x22" "x23" "x24"),
            $step!("48" "x26" "x27" "x20" "x21" "x22" "x23" "x24" "x25"),
            $step!("56" "x27" "x20" "x21" "x22" "x23" "x24" "x25" "x26"),
        )
    };
}

/// `sum += factor·limbs` for some limbs of the block in x8 to x15, each where its product belongs;
/// then the two lowest limbs of these are complete. `cmn xzr, xzr` clears the carry.
macro_rules! triangle_row {
    ($factor:tt [$($limb:tt $low:tt $high:tt)*] $last:tt $top:tt [$($done:tt $from:tt)*]) => {
        concat!(
            "cmn xzr, xzr\n",
            $("mul x4, ", $limb, ", ", $factor, "\n adcs ", $low, ", ", $low, ", x4\n",)*
            "mul x4, x15, ", $factor, "\n adcs ", $last, ", ", $last, ", x4\n",
            "adc ", $top, ", xzr, xzr\n cmn xzr, xzr\n",
            $("umulh x4, ", $limb, ", ", $factor, "\n adcs ", $high, ", ", $high, ", x4\n",)*
            "umulh x4, x15, ", $factor, "\n adc ", $top, ", ", $top, ", x4\n",
            $("str ", $from, ", [x0, #", $done, "]\n",)*
        )
    };
}

/// Loads the block at x1.
macro_rules! load_block {
    () => {
        concat!(
            "ldp x8, x9, [x1]\n ldp x10, x11, [x1, #16]\n",
            "ldp x12, x13, [x1, #32]\n ldp x14, x15, [x1, #48]\n",
        )
    };
}

/// Loads the sum from the block at x0.
macro_rules! load_sum {
    () => {
        concat!(
            "ldp x20, x21, [x0]\n ldp x22, x23, [x0, #16]\n",
            "ldp x24, x25, [x0, #32]\n ldp x26, x27, [x0, #48]\n",
        )
    };
}

impl A64 {
    /// Always there.
    #[allow(clippy::unnecessary_wraps, reason = "it takes the place of x86-64's, which may lack")]
    pub(crate) fn detect() -> Option<Self> {
        Some(Self(()))
    }

    /// `sum += a·factor + carry`; what lies above `sum` is the new `carry`. `sum` and `a` are of
    /// one length, which the shorter decides.
    #[inline]
    pub(crate) fn add_product(
        self,
        sum: &mut [LimbBlock],
        a: &[LimbBlock],
        factor: &LimbBlock,
        carry: &mut LimbBlock,
    ) {
        let blocks = sum.len().min(a.len());
        if blocks == 0 {
            return;
        }
        // SAFETY: both slices have `blocks` blocks, of which each turn reads and writes the next;
        // factor is a block. Every register written is declared; it uses no stack.
        unsafe {
            asm!(
                "2:",
                load_block!(),
                eight!(multiply_step),
                "add x0, x0, #64",
                "add x1, x1, #64",
                "sub x3, x3, #1",
                "cbnz x3, 2b",
                inout("x0") sum.as_mut_ptr() => _,
                inout("x1") a.as_ptr() => _,
                in("x2") factor.as_ptr(),
                inout("x3") blocks => _,
                out("x4") _, out("x5") _, out("x6") _, out("x7") _,
                out("x8") _, out("x9") _, out("x10") _, out("x11") _,
                out("x12") _, out("x13") _, out("x14") _, out("x15") _,
                out("x16") _, out("x17") _,
                inout("x20") carry[0], inout("x21") carry[1],
                inout("x22") carry[2], inout("x23") carry[3],
                inout("x24") carry[4], inout("x25") carry[5],
                inout("x26") carry[6], inout("x27") carry[7],
                options(nostack),
            );
        }
    }

    /// `carry` becomes what `block + p·factor` leaves above its lowest 512 bits, p being its lowest
    /// block alone and factor such that those are zeros; `block` becomes factor.
    #[inline]
    pub(crate) fn clear(
        self,
        block: &mut LimbBlock,
        p: &LimbBlock,
        k0: u64,
        carry: &mut LimbBlock,
    ) {
        // SAFETY: all are blocks; otherwise as above.
        unsafe {
            asm!(
                load_block!(),
                load_sum!(),
                eight!(clear_step),
                in("x0") block.as_mut_ptr(),
                in("x1") p.as_ptr(),
                in("x3") k0,
                out("x4") _, out("x5") _, out("x6") _, out("x7") _,
                out("x8") _, out("x9") _, out("x10") _, out("x11") _,
                out("x12") _, out("x13") _, out("x14") _, out("x15") _,
                out("x16") _,
                out("x20") carry[0], out("x21") carry[1],
                out("x22") carry[2], out("x23") carry[3],
                out("x24") carry[4], out("x25") carry[5],
                out("x26") carry[6], out("x27") carry[7],
                options(nostack),
            );
        }
    }

    /// `block += Σ a[i]·a[j]·2^(64·(i + j))` over i < j; `carry` becomes what lies above.
    #[inline]
    pub(crate) fn add_triangle(self, block: &mut LimbBlock, a: &LimbBlock, carry: &mut LimbBlock) {
        // SAFETY: all are blocks; otherwise as above.
        unsafe {
            asm!(
                load_block!(),
                load_sum!(),
                // Register 20 + i is limb i, then limb i + 8.
                triangle_row!("x8" ["x9" "x21" "x22" "x10" "x22" "x23" "x11" "x23" "x24" "x12" "x24" "x25" "x13" "x25" "x26" "x14" "x26" "x27"] "x27" "x20" ["8" "x21" "16" "x22"]),
                triangle_row!("x9" ["x10" "x23" "x24" "x11" "x24" "x25" "x12" "x25" "x26" "x13" "x26" "x27" "x14" "x27" "x20"] "x20" "x21" ["24" "x23" "32" "x24"]),
                triangle_row!("x10" ["x11" "x25" "x26" "x12" "x26" "x27" "x13" "x27" "x20" "x14" "x20" "x21"] "x21" "x22" ["40" "x25" "48" "x26"]),
                triangle_row!("x11" ["x12" "x27" "x20" "x13" "x20" "x21" "x14" "x21" "x22"] "x22" "x23" ["56" "x27"]),
                triangle_row!("x12" ["x13" "x21" "x22" "x14" "x22" "x23"] "x23" "x24" []),
                triangle_row!("x13" ["x14" "x23" "x24"] "x24" "x25" []),
                triangle_row!("x14" [] "x25" "x26" []),
                "mov x27, #0",
                in("x0") block.as_mut_ptr(),
                in("x1") a.as_ptr(),
                out("x4") _,
                out("x8") _, out("x9") _, out("x10") _, out("x11") _,
                out("x12") _, out("x13") _, out("x14") _, out("x15") _,
                out("x20") carry[0], out("x21") carry[1],
                out("x22") carry[2], out("x23") carry[3],
                out("x24") carry[4], out("x25") carry[5],
                out("x26") carry[6], out("x27") carry[7],
                options(nostack),
            );
        }
    }

    /// `sum = 2·sum + Σ a[i]²·2^(128·i)` over the limbs of a, which has half of sum's blocks. What
    /// is carried beyond is lost; for a square there is nothing.
    #[inline]
    pub(crate) fn double_and_add_squares(self, sum: &mut [LimbBlock], a: &[LimbBlock]) {
        let limbs = (sum.len() / 2).min(a.len()) * BLOCK_LIMBS;
        if limbs == 0 {
            return;
        }
        // SAFETY: each turn takes the next limb of a and the next two of sum, which has twice as
        // many; the carry lives only inside, and the loop's own instructions leave it alone;
        // otherwise as above.
        unsafe {
            asm!(
                "mov x4, #0",
                "cmn xzr, xzr",
                "2:",
                "ldr x5, [x1], #8",
                "ldp x6, x7, [x0]",
                // EXTR takes the bit that the limb below loses.
                "extr x8, x6, x4, #63",
                "extr x9, x7, x6, #63",
                "mov x4, x7",
                "mul x6, x5, x5",
                "umulh x7, x5, x5",
                "adcs x8, x8, x6",
                "adcs x9, x9, x7",
                "stp x8, x9, [x0], #16",
                "sub x2, x2, #1",
                "cbnz x2, 2b",
                inout("x0") sum.as_mut_ptr() => _,
                inout("x1") a.as_ptr() => _,
                inout("x2") limbs => _,
                out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _,
                options(nostack),
            );
        }
    }
}
