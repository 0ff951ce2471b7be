//! Diffie-Hellman over a group of any size: RFC 7919's, a peer's, or a blackboard's.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use ddes_ffdhe::{Group, NamedGroup};

use super::{CalcError, Label, Worked, holds, named, step};

pub(super) const PUBLIC: Label =
    ("Diffie-Hellman: public value", "RFC 7919, section 2", "Y = g^x mod p");
pub(super) const SHARED: Label = (
    "Diffie-Hellman: shared value",
    "RFC 7919, section 2; PROTOCOL.md, C-08 and P-03",
    "Z = Y^x mod p",
);

/// As long as the longest prime that a peer may choose, in bytes.
const PRIME_BYTES_MAX: usize = ddes_ffdhe::PRIME_BITS_MAX as usize / 8;

/// p and g.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhGroup {
    /// One of RFC 7919.
    Named(NamedGroup),
    /// Any other, big-endian.
    Given {
        /// The modulus.
        p: Vec<u8>,
        /// The generator.
        g: Vec<u8>,
    },
}

impl DhGroup {
    /// The group of these numbers: by its name, if it has one.
    pub fn of(p: &[u8], g: &[u8]) -> Self {
        let all = [NamedGroup::Ffdhe2048, NamedGroup::Ffdhe3072, NamedGroup::Ffdhe4096];
        let known = all.into_iter().find(|name| {
            let group = Group::named(*name);
            group.prime() == trimmed(p) && group.generator() == trimmed(g)
        });
        known.map_or_else(|| Self::Given { p: p.to_vec(), g: g.to_vec() }, Self::Named)
    }

    /// p and g, big-endian.
    pub fn numbers(&self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Named(name) => {
                let group = Group::named(*name);
                (group.prime().to_vec(), group.generator().to_vec())
            }
            Self::Given { p, g } => (trimmed(p).to_vec(), trimmed(g).to_vec()),
        }
    }
}

pub(super) fn work(
    group: &DhGroup,
    private: &[u8],
    peer: Option<&[u8]>,
) -> Result<Worked, CalcError> {
    let (p, g) = group.numbers();
    for (name, bytes) in [("p", &p[..]), ("x", private)] {
        let length = bytes.len();
        if length == 0 || length > PRIME_BYTES_MAX {
            return Err(CalcError::Length { name, length, expected: "1 to 1024" });
        }
    }
    let modulus = BoxedUint::from_be_slice_vartime(&p);
    let modulus: Odd<BoxedUint> = Option::from(modulus.into_odd()).ok_or(CalcError::Modulus)?;
    if p.len() == 1 && p[0] < 5 {
        return Err(CalcError::Modulus);
    }
    let generator = in_range(&modulus, "g", &g)?;
    let mut steps = vec![step("p", p.clone()), step("g", g), holds("2 ≤ g ≤ p - 2")];
    let exponent = exponent(&modulus, private)?;
    steps.push(holds("1 ≤ x ≤ p - 2"));
    let (base, name) = match peer {
        Some(peer) => {
            let base = in_range(&modulus, "the peer's value", peer)?;
            steps.push(holds("2 ≤ Y ≤ p - 2"));
            (base, "Z")
        }
        None => (generator, "Y"),
    };
    let power = power(&modulus, base, &exponent);
    let whole = left_padded(&power, p.len());
    let below = modulus.as_ref().wrapping_sub(one(&modulus));
    let is_degenerate = power <= one(&modulus) || power == below;
    steps.push(match (peer, is_degenerate) {
        (Some(_), true) => return Err(CalcError::Degenerate),
        (None, true) => return Err(CalcError::Public),
        (Some(_), false) => holds("Z is none of 0, 1, p - 1"),
        (None, false) => holds("2 ≤ Y ≤ p - 2"),
    });
    Ok(Worked { steps, results: vec![named(name, whole)] })
}

/// In variable time: whoever calls has shown the exponent already.
fn power(p: &Odd<BoxedUint>, base: BoxedUint, exponent: &BoxedUint) -> BoxedUint {
    let params = BoxedMontyParams::new_vartime(p.clone());
    BoxedMontyForm::new(base, &params).pow(exponent).retrieve()
}

/// PKCS #3, section 6: 0 < x < p - 1. With 0 or p - 1 the value is 1 for each g, and a larger x
/// gives the value of a smaller one.
fn exponent(p: &Odd<BoxedUint>, bytes: &[u8]) -> Result<BoxedUint, CalcError> {
    let value = BoxedUint::from_be_slice(trimmed(bytes), p.bits_precision())
        .map_err(|_| CalcError::Exponent)?;
    let below = p.as_ref().wrapping_sub(one(p));
    if value >= one(p) && value < below { Ok(value) } else { Err(CalcError::Exponent) }
}

fn in_range(p: &Odd<BoxedUint>, name: &'static str, bytes: &[u8]) -> Result<BoxedUint, CalcError> {
    let value = BoxedUint::from_be_slice(trimmed(bytes), p.bits_precision())
        .map_err(|_| CalcError::Range { name })?;
    let below = p.as_ref().wrapping_sub(one(p));
    if value > one(p) && value < below { Ok(value) } else { Err(CalcError::Range { name }) }
}

fn one(p: &Odd<BoxedUint>) -> BoxedUint {
    BoxedUint::one_with_precision(p.bits_precision())
}

fn left_padded(value: &BoxedUint, length: usize) -> Vec<u8> {
    let digits = value.to_be_bytes_trimmed_vartime();
    let mut whole = vec![0; length.saturating_sub(digits.len())];
    whole.extend_from_slice(&digits);
    whole
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}
