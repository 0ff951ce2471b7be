//! Products of 512-bit blocks with MULX, ADCX and ADOX: two carry chains at once, which the
//! compiler does not generate, and the running sum in eight registers. One of the crate's
//! three files with `unsafe`.

#![allow(
    unsafe_code,
    reason = "assembly; each block says why it holds, and tests/engines.rs holds the engine to \
              its safe twins"
)]

use core::arch::asm;

use crate::modulus64::{BLOCK_LIMBS, LimbBlock};

/// Proof that the processor has BMI2 and ADX.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adx(());

/// `sum += rdx·block`, the sum in registers and the block at rdi. `first` and `done` have the
/// lowest limb to themselves: before, with OF as carry to the next limb, and once it is complete.
/// Its register is then the highest limb's. Sum, first and product are at most 2^512 - 1, 2^64 - 1
/// and (2^512 - 1)·(2^64 - 1), so nothing is carried beyond that limb.
macro_rules! add_product_of_limb {
    ([$($first:tt)*] [$($done:tt)*] $r0:tt $r1:tt $r2:tt $r3:tt $r4:tt $r5:tt $r6:tt $r7:tt) => {
        concat!(
            "xor eax, eax\n", $($first)*
            "mulx rcx, rax, [rdi]\n adcx ", $r0, ", rax\n adox ", $r1, ", rcx\n", $($done)*
            "mulx rcx, rax, [rdi + 8]\n adcx ", $r1, ", rax\n adox ", $r2, ", rcx\n",
            "mulx rcx, rax, [rdi + 16]\n adcx ", $r2, ", rax\n adox ", $r3, ", rcx\n",
            "mulx rcx, rax, [rdi + 24]\n adcx ", $r3, ", rax\n adox ", $r4, ", rcx\n",
            "mulx rcx, rax, [rdi + 32]\n adcx ", $r4, ", rax\n adox ", $r5, ", rcx\n",
            "mulx rcx, rax, [rdi + 40]\n adcx ", $r5, ", rax\n adox ", $r6, ", rcx\n",
            "mulx rcx, rax, [rdi + 48]\n adcx ", $r6, ", rax\n adox ", $r7, ", rcx\n",
            "mulx ", $r0, ", rax, [rdi + 56]\n adcx ", $r7, ", rax\n",
            "mov eax, 0\n adcx ", $r0, ", rax\n adox ", $r0, ", rax\n",
        )
    };
}

/// With one limb of the factor at rbx; one limb of what is at rsi goes into the sum, and the sum's
/// lowest takes its place.
macro_rules! multiply_step {
    ($at:tt $r0:tt $($r:tt)*) => {
        concat!(
            "mov rdx, [rbx + ", $at, "]\n",
            add_product_of_limb!(
                ["adox ", $r0, ", [rsi + ", $at, "]\n",] ["mov [rsi + ", $at, "], ", $r0, "\n",] $r0 $($r)*
            ),
        )
    };
}

/// With the limb that clears the sum's lowest, which goes to rsi; -1/p mod 2^64 is in rbx.
macro_rules! clear_step {
    ($at:tt $r0:tt $($r:tt)*) => {
        concat!(
            "mov rdx, ", $r0, "\n imul rdx, rbx\n mov [rsi + ", $at, "], rdx\n",
            add_product_of_limb!([] [] $r0 $($r)*),
        )
    };
}

/// All eight, after which each register is again the limb it was.
macro_rules! eight {
    ($step:ident) => {
        concat!(
            $step!("0" "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
            $step!("8" "r9" "r10" "r11" "r12" "r13" "r14" "r15" "r8"),
            $step!("16" "r10" "r11" "r12" "r13" "r14" "r15" "r8" "r9"),
            $step!("24" "r11" "r12" "r13" "r14" "r15" "r8" "r9" "r10"),
            $step!("32" "r12" "r13" "r14" "r15" "r8" "r9" "r10" "r11"),
            $step!("40" "r13" "r14" "r15" "r8" "r9" "r10" "r11" "r12"),
            $step!("48" "r14" "r15" "r8" "r9" "r10" "r11" "r12" "r13"),
            $step!("56" "r15" "r8" "r9" "r10" "r11" "r12" "r13" "r14"),
        )
    };
}

/// `sum += rdx·limbs` for some limbs of the block at rdi, each where its product belongs; then the
/// two lowest limbs of these are complete.
macro_rules! triangle_row {
    ($factor:tt [$($at:tt $low:tt $high:tt)*] $last:tt $top:tt [$($done:tt $from:tt)*]) => {
        concat!(
            "mov rdx, [rdi + ", $factor, "]\n xor eax, eax\n",
            $("mulx rcx, rax, [rdi + ", $at, "]\n adcx ", $low, ", rax\n adox ", $high, ", rcx\n",)*
            "mulx ", $top, ", rax, [rdi + 56]\n adcx ", $last, ", rax\n",
            "mov eax, 0\n adcx ", $top, ", rax\n adox ", $top, ", rax\n",
            $("mov [rsi + ", $done, "], ", $from, "\n",)*
        )
    };
}

/// The sum's registers, from the block at `at`.
macro_rules! load {
    ($at:tt) => {
        load!($at: "r8" "0" "r9" "8" "r10" "16" "r11" "24" "r12" "32" "r13" "40" "r14" "48" "r15" "56")
    };
    ($at:tt: $($register:tt $limb:tt)*) => {
        concat!($("mov ", $register, ", [", $at, " + ", $limb, "]\n",)*)
    };
}

/// To the block at rdx.
macro_rules! store {
    () => {
        store!("r8" "0" "r9" "8" "r10" "16" "r11" "24" "r12" "32" "r13" "40" "r14" "48" "r15" "56")
    };
    ($($register:tt $limb:tt)*) => {
        concat!($("mov [rdx + ", $limb, "], ", $register, "\n",)*)
    };
}

impl Adx {
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("adx");
        has.then_some(Self(()))
    }

    /// `sum += a·factor + carry`; what lies above `sum` is the new `carry`. `sum` and `a` are of
    /// one length, which the shorter decides.
    #[inline]
    pub(super) fn add_product(
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
        // factor and carry are blocks. `self` exists only where the processor has the instructions.
        // What is pushed is popped again, rbx among it; every other register written is declared.
        unsafe {
            asm!(
                "push rbx",
                "mov rbx, rax",
                "push rdx",
                "push rcx",
                load!("rdx"),
                "2:",
                eight!(multiply_step),
                "add rsi, 64",
                "add rdi, 64",
                "dec qword ptr [rsp]",
                "jnz 2b",
                "pop rcx",
                "pop rdx",
                store!(),
                "pop rbx",
                inout("rsi") sum.as_mut_ptr() => _,
                inout("rdi") a.as_ptr() => _,
                inout("rax") factor.as_ptr() => _,
                inout("rdx") carry.as_mut_ptr() => _,
                inout("rcx") blocks => _,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            );
        }
    }

    /// `carry` becomes what `block + p·factor` leaves above its lowest 512 bits, p being its lowest
    /// block alone and factor such that those are zeros; `block` becomes factor.
    #[inline]
    pub(super) fn clear(
        self,
        block: &mut LimbBlock,
        p: &LimbBlock,
        k0: u64,
        carry: &mut LimbBlock,
    ) {
        // SAFETY: all are blocks; otherwise as above.
        unsafe {
            asm!(
                "push rbx",
                "mov rbx, rax",
                "push rdx",
                load!("rsi"),
                eight!(clear_step),
                "pop rdx",
                store!(),
                "pop rbx",
                in("rsi") block.as_mut_ptr(),
                in("rdi") p.as_ptr(),
                inout("rax") k0 => _,
                inout("rdx") carry.as_mut_ptr() => _,
                out("rcx") _,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            );
        }
    }

    /// `block += Σ a[i]·a[j]·2^(64·(i + j))` over i < j; `carry` becomes what lies above.
    #[inline]
    pub(super) fn add_triangle(self, block: &mut LimbBlock, a: &LimbBlock, carry: &mut LimbBlock) {
        // SAFETY: all are blocks; otherwise as above.
        unsafe {
            asm!(
                "push rdx",
                load!("rsi"),
                // Register i is limb i, then limb i + 8.
                triangle_row!("0" ["8" "r9" "r10" "16" "r10" "r11" "24" "r11" "r12" "32" "r12" "r13" "40" "r13" "r14" "48" "r14" "r15"] "r15" "r8" ["8" "r9" "16" "r10"]),
                triangle_row!("8" ["16" "r11" "r12" "24" "r12" "r13" "32" "r13" "r14" "40" "r14" "r15" "48" "r15" "r8"] "r8" "r9" ["24" "r11" "32" "r12"]),
                triangle_row!("16" ["24" "r13" "r14" "32" "r14" "r15" "40" "r15" "r8" "48" "r8" "r9"] "r9" "r10" ["40" "r13" "48" "r14"]),
                triangle_row!("24" ["32" "r15" "r8" "40" "r8" "r9" "48" "r9" "r10"] "r10" "r11" ["56" "r15"]),
                triangle_row!("32" ["40" "r9" "r10" "48" "r10" "r11"] "r11" "r12" []),
                triangle_row!("40" ["48" "r11" "r12"] "r12" "r13" []),
                triangle_row!("48" [] "r13" "r14" []),
                "mov r15d, 0",
                "pop rdx",
                store!(),
                in("rsi") block.as_mut_ptr(),
                in("rdi") a.as_ptr(),
                inout("rdx") carry.as_mut_ptr() => _,
                out("rax") _, out("rcx") _,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            );
        }
    }

    /// `sum = 2·sum + Σ a[i]²·2^(128·i)` over the limbs of a, which has half of sum's blocks. What
    /// is carried beyond is lost; for a square there is nothing.
    #[inline]
    pub(super) fn double_and_add_squares(self, sum: &mut [LimbBlock], a: &[LimbBlock]) {
        let limbs = (sum.len() / 2).min(a.len()) * BLOCK_LIMBS;
        if limbs == 0 {
            return;
        }
        // SAFETY: each turn takes the next limb of a and the next two of sum, which has twice as
        // many; CF and OF live only inside, and the loop's own instructions leave them alone;
        // otherwise as above.
        unsafe {
            asm!(
                "xor eax, eax",
                "2:",
                "mov rdx, [rdi]",
                "mulx r8, rax, rdx",
                "mov r9, [rsi]",
                "mov r10, [rsi + 8]",
                "adcx r9, r9",
                "adox r9, rax",
                "adcx r10, r10",
                "adox r10, r8",
                "mov [rsi], r9",
                "mov [rsi + 8], r10",
                "mov rdx, [rdi + 8]",
                "mulx r8, rax, rdx",
                "mov r9, [rsi + 16]",
                "mov r10, [rsi + 24]",
                "adcx r9, r9",
                "adox r9, rax",
                "adcx r10, r10",
                "adox r10, r8",
                "mov [rsi + 16], r9",
                "mov [rsi + 24], r10",
                "lea rdi, [rdi + 16]",
                "lea rsi, [rsi + 32]",
                "lea rcx, [rcx - 2]",
                "jrcxz 3f",
                "jmp 2b",
                "3:",
                inout("rsi") sum.as_mut_ptr() => _,
                inout("rdi") a.as_ptr() => _,
                inout("rcx") limbs => _,
                out("rax") _, out("rdx") _, out("r8") _, out("r9") _, out("r10") _,
                options(nostack),
            );
        }
    }
}
