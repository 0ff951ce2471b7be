//! The symmetric state of Noise, revision 34, section 5.2.

use super::kdf::{HASH_BYTES, hash, hmac};
use super::{CalcError, Label, Worked, bounded, exactly, named, step};

pub(super) const START: Label = (
    "Noise: InitializeSymmetric, MixHash(prologue)",
    "Noise, revision 34, section 5.2",
    "ck = name and zeros, or SHA-256(name) if it is longer than 32 bytes\n\
     h = SHA-256(ck ‖ prologue)",
);
pub(super) const MIX_HASH: Label =
    ("Noise: MixHash", "Noise, revision 34, section 5.2", "h' = SHA-256(h ‖ data)");
pub(super) const MIX_KEY: Label = (
    "Noise: MixKey",
    "Noise, revision 34, sections 4.3 and 5.2",
    "t = HMAC-SHA256(ck, input)\n\
     ck' = HMAC-SHA256(t, 01)\n\
     k = HMAC-SHA256(t, ck' ‖ 02)",
);
pub(super) const SPLIT: Label = (
    "Noise: Split",
    "Noise, revision 34, section 5.2; PROTOCOL.md, P-02",
    "t = HMAC-SHA256(ck, nothing)\n\
     to the server = HMAC-SHA256(t, 01)\n\
     to the client = HMAC-SHA256(t, to the server ‖ 02)",
);

const HASH: &str = "32";

pub(super) fn start(name: &[u8], prologue: &[u8]) -> Result<Worked, CalcError> {
    bounded("name", name)?;
    bounded("prologue", prologue)?;
    let mut ck = [0; HASH_BYTES];
    match ck.get_mut(..name.len()) {
        Some(front) => front.copy_from_slice(name),
        None => ck = hash(&[name]),
    }
    let results = vec![named("ck", ck), named("h", hash(&[&ck, prologue]))];
    Ok(Worked { steps: Vec::new(), results })
}

pub(super) fn mix_hash(h: &[u8], data: &[u8]) -> Result<Worked, CalcError> {
    let h: [u8; HASH_BYTES] = exactly("h", h, HASH)?;
    bounded("data", data)?;
    Ok(Worked { steps: Vec::new(), results: vec![named("h", hash(&[&h, data]))] })
}

pub(super) fn mix_key(ck: &[u8], input: &[u8]) -> Result<Worked, CalcError> {
    two(ck, input, ["ck", "k"])
}

pub(super) fn split(ck: &[u8]) -> Result<Worked, CalcError> {
    two(ck, &[], ["to the server", "to the client"])
}

/// Noise's `HKDF(ck, input, 2)`.
fn two(ck: &[u8], input: &[u8], names: [&'static str; 2]) -> Result<Worked, CalcError> {
    let ck: [u8; HASH_BYTES] = exactly("ck", ck, HASH)?;
    bounded("input", input)?;
    let t = hmac(&ck, input);
    let first = hmac(&t, &[1]);
    let second = hmac(&t, &[&first[..], &[2]].concat());
    let results = vec![named(names[0], first), named(names[1], second)];
    Ok(Worked { steps: vec![step("t", t)], results })
}
