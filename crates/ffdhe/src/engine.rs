//! Chooses the engine for a modulus: IFMA if the processor has it, 64-bit limbs otherwise, in
//! blocks where there is assembly for them, and crypto-bigint for lengths that none of them
//! supports.

use std::sync::OnceLock;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use zeroize::{Zeroize, Zeroizing, zeroize_stack};

use crate::field::{Comb, PrimeField, power};
#[cfg(target_arch = "x86_64")]
use crate::modulus52::Modulus52;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::modulus64::BlockArithmetic;
use crate::modulus64::Modulus64;

/// A choice of engine, for tests and measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// 52-bit limbs with AVX-512 IFMA.
    Ifma,
    /// 64-bit limbs with MULX, ADCX and ADOX.
    Adx,
    /// 64-bit limbs in blocks, in assembly for aarch64.
    A64,
    /// 64-bit limbs, on any processor.
    Portable,
    /// The crypto-bigint crate, to which tests compare the others.
    Oracle,
}

impl EngineKind {
    /// The engines for the groups of RFC 7919, the fastest first. A group takes the first that the
    /// processor has: see [`Group::with_engine`](crate::Group::with_engine).
    pub const BY_SPEED: [Self; 4] = [Self::Ifma, Self::Adx, Self::A64, Self::Portable];

    /// The kind that has [`BlockArithmetic`] on this processor, if one has.
    fn of_blocks() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return BlockArithmetic::detect().map(|_| Self::Adx);
        #[cfg(target_arch = "aarch64")]
        return BlockArithmetic::detect().map(|_| Self::A64);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return None;
    }
}

/// Upper bound on the stack of an exponentiation, in bytes: a table of 16 numbers, and the numbers
/// that are returned by value.
const STACK_BYTES: usize = 32 * 1024;

/// Exponentiation modulo one prime, with a fixed generator.
pub(crate) struct GroupEngine(Box<dyn Exponentiation + Send + Sync>);

impl GroupEngine {
    /// The fastest engine of this processor. `generator` is big-endian and below p.
    pub(crate) fn new(p: &Odd<BoxedUint>, generator: &[u8]) -> Self {
        let best =
            EngineKind::BY_SPEED.into_iter().find_map(|kind| Self::of_kind(kind, p, generator));
        best.unwrap_or_else(|| Self(Box::new(Oracle::new(p, generator))))
    }

    /// An engine of the given kind; `None` if the processor or the length does not allow it.
    pub(crate) fn of_kind(kind: EngineKind, p: &Odd<BoxedUint>, generator: &[u8]) -> Option<Self> {
        let bits = p.as_ref().bit_width_vartime();
        match (kind, bits) {
            (EngineKind::Oracle, _) => Some(Self(Box::new(Oracle::new(p, generator)))),
            #[cfg(target_arch = "x86_64")]
            (EngineKind::Ifma, 2..=2048) => boxed(Modulus52::<5, 40>::new(p)?, generator),
            #[cfg(target_arch = "x86_64")]
            (EngineKind::Ifma, 2049..=3072) => boxed(Modulus52::<8, 60>::new(p)?, generator),
            #[cfg(target_arch = "x86_64")]
            (EngineKind::Ifma, 3073..=4096) => boxed(Modulus52::<10, 80>::new(p)?, generator),
            (EngineKind::Ifma, _) => None,
            (EngineKind::Adx | EngineKind::A64, _) if EngineKind::of_blocks() != Some(kind) => None,
            (EngineKind::Adx | EngineKind::A64 | EngineKind::Portable, bits) => {
                let blocks = kind != EngineKind::Portable;
                match bits {
                    2..=2048 => boxed(Modulus64::<32>::new(p, blocks)?, generator),
                    2049..=3072 => boxed(Modulus64::<48>::new(p, blocks)?, generator),
                    3073..=4096 => boxed(Modulus64::<64>::new(p, blocks)?, generator),
                    _ => None,
                }
            }
        }
    }

    /// `g^exponent mod p`, in p's length; the exponent big-endian, always of one length.
    pub(crate) fn of_generator(&self, exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        let power = self.0.of_generator(exponent);
        zeroize_stack::<STACK_BYTES>();
        power
    }

    /// `base^exponent mod p`, in p's length; base below p.
    pub(crate) fn of(&self, base: &[u8], exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        let power = self.0.of(base, exponent);
        zeroize_stack::<STACK_BYTES>();
        power
    }
}

trait Exponentiation {
    fn of_generator(&self, exponent: &[u8]) -> Zeroizing<Vec<u8>>;
    fn of(&self, base: &[u8], exponent: &[u8]) -> Zeroizing<Vec<u8>>;
}

/// A field and its generator; the comb is made when the generator is first used.
struct Based<F: PrimeField> {
    field: F,
    generator: F::Element,
    comb: OnceLock<Comb<F::Element>>,
}

#[allow(clippy::unnecessary_wraps, reason = "its callers chain it with `?`")]
fn boxed<F: PrimeField + Send + Sync + 'static>(field: F, generator: &[u8]) -> Option<GroupEngine>
where
    F::Element: Send + Sync,
{
    let generator = field.import(generator);
    Some(GroupEngine(Box::new(Based { field, generator, comb: OnceLock::new() })))
}

impl<F: PrimeField> Exponentiation for Based<F> {
    fn of_generator(&self, exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        let comb =
            self.comb.get_or_init(|| Comb::new(&self.field, &self.generator, exponent.len()));
        self.field.export(&comb.power(&self.field, exponent))
    }

    fn of(&self, base: &[u8], exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        let base = self.field.import(base);
        self.field.export(&power(&self.field, &base, exponent))
    }
}

/// crypto-bigint: for other lengths, and as the reference of the engines' tests.
struct Oracle {
    params: BoxedMontyParams,
    generator: BoxedMontyForm,
}

impl Oracle {
    fn new(p: &Odd<BoxedUint>, generator: &[u8]) -> Self {
        let params = BoxedMontyParams::new_vartime(p.clone());
        Self { generator: Self::form(&params, generator), params }
    }

    fn form(params: &BoxedMontyParams, bytes: &[u8]) -> BoxedMontyForm {
        let value = BoxedUint::from_be_slice_truncated(bytes, params.bits_precision());
        BoxedMontyForm::new(value, params)
    }

    fn power(&self, base: &BoxedMontyForm, exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        #[allow(clippy::cast_possible_truncation, reason = "at most 50 bytes")]
        let bits = exponent.len() as u32 * 8;
        let mut exponent = BoxedUint::from_be_slice_truncated(exponent, bits);
        let mut power = base.pow_bounded_exp(&exponent, bits).retrieve();
        exponent.zeroize();
        let bytes = Zeroizing::new(power.to_be_bytes().to_vec());
        power.zeroize();
        let length = self.params.modulus().as_ref().bit_width_vartime().div_ceil(8) as usize;
        Zeroizing::new(bytes[bytes.len() - length..].to_vec())
    }
}

impl Exponentiation for Oracle {
    fn of_generator(&self, exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        self.power(&self.generator, exponent)
    }

    fn of(&self, base: &[u8], exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        self.power(&Self::form(&self.params, base), exponent)
    }
}
