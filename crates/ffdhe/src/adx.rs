//! One row of a long multiplication with MULX, ADCX and ADOX: two chains of carries at once, which the compiler does not make. The other of the crate's two files
//! with `unsafe`.

#![allow(
    unsafe_code,
    reason = "assembly; the block says why it holds, and tests/engines.rs holds the engine to its safe twins"
)]

use core::arch::asm;

/// Proof that the processor has BMI2 and ADX.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adx(());

/// Limbs a turn of the loop deals with.
const LIMBS: usize = 4;

impl Adx {
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("bmi2") && std::arch::is_x86_feature_detected!("adx");
        has.then_some(Self(()))
    }

    /// `sum += a·b`; the carry. `sum` and `a` are of one length, which the shorter decides.
    pub(super) fn add_product(self, sum: &mut [u64], a: &[u64], b: u64) -> u64 {
        let length = sum.len().min(a.len());
        let (first, rest) = sum.split_at_mut(length % LIMBS);
        let (a_first, a_rest) = a.split_at(length % LIMBS);
        let mut carry = 0;
        for (sum, a) in first.iter_mut().zip(a_first) {
            let wide = u128::from(*sum) + u128::from(*a) * u128::from(b) + u128::from(carry);
            #[allow(clippy::cast_possible_truncation, reason = "the two halves of a u128")]
            {
                (*sum, carry) = (wide as u64, (wide >> 64) as u64);
            }
        }
        let turns = length / LIMBS;
        if turns == 0 {
            return carry;
        }
        // SAFETY: both slices have at least LIMBS·turns limbs from their beginnings on, of which each turn reads and writes the next LIMBS; `self` exists only
        // where the processor has the instructions; CF and OF live only inside, and the loop's own instructions leave them alone.
        unsafe {
            asm!(
                "xor {low:e}, {low:e}",
                "2:",
                "mulx {high}, {low}, [{a}]",
                "adcx {low}, {carry}",
                "adox {low}, [{sum}]",
                "mov [{sum}], {low}",
                "mulx {carry}, {low}, [{a} + 8]",
                "adcx {low}, {high}",
                "adox {low}, [{sum} + 8]",
                "mov [{sum} + 8], {low}",
                "mulx {high}, {low}, [{a} + 16]",
                "adcx {low}, {carry}",
                "adox {low}, [{sum} + 16]",
                "mov [{sum} + 16], {low}",
                "mulx {carry}, {low}, [{a} + 24]",
                "adcx {low}, {high}",
                "adox {low}, [{sum} + 24]",
                "mov [{sum} + 24], {low}",
                "lea {a}, [{a} + 32]",
                "lea {sum}, [{sum} + 32]",
                "lea rcx, [rcx - 1]",
                "jrcxz 3f",
                "jmp 2b",
                "3:",
                "mov {low:e}, 0",
                "adcx {carry}, {low}",
                "adox {carry}, {low}",
                a = inout(reg) a_rest.as_ptr() => _,
                sum = inout(reg) rest.as_mut_ptr() => _,
                carry = inout(reg) carry,
                low = out(reg) _,
                high = out(reg) _,
                inout("rcx") turns => _,
                in("rdx") b,
                options(nostack),
            );
        }
        carry
    }
}
