//! ML-KEM-768 by name: its inside is FIPS 203's.

use ddes_session::v2::kem::{CIPHERTEXT_BYTES, EncapsulationKey, MESSAGE_BYTES, SEED_BYTES};
use libcrux_ml_kem::mlkem768::{self, MlKem768PrivateKey};

use super::{CalcError, KemKey, Label, Worked, exactly, holds, named, step};

pub(super) const GENERATE: Label =
    ("ML-KEM-768: key pair", "FIPS 203, algorithm 16", "ek, dk = ML-KEM.KeyGen_internal(d, z)");
pub(super) const ENCAPSULATE: Label = (
    "ML-KEM-768: encapsulation",
    "FIPS 203, algorithm 17; PROTOCOL.md, P-04",
    "K, r = SHA3-512(m ‖ SHA3-256(ek))\n\
     c = K-PKE.Encrypt(ek, m, r)",
);
pub(super) const DECAPSULATE: Label = (
    "ML-KEM-768: decapsulation",
    "FIPS 203, section 7.3 and algorithm 18; PROTOCOL.md, P-04",
    "dk = dk_PKE ‖ ek ‖ H(ek) ‖ z, and H(ek) must be SHA3-256(ek)\n\
     m = K-PKE.Decrypt(dk_PKE, c)\n\
     K, r = SHA3-512(m ‖ SHA3-256(ek)); c must be K-PKE.Encrypt(ek, m, r),\n\
     else K = SHAKE256(z ‖ c): another secret and no error",
);

pub(super) fn generate(seed: &[u8]) -> Result<Worked, CalcError> {
    let seed: [u8; SEED_BYTES] = exactly("seed", seed, "64: d ‖ z")?;
    let (dk, ek) = mlkem768::generate_key_pair(seed).into_parts();
    let steps = vec![step("d", &seed[..32]), step("z", &seed[32..]), step("dk", *dk.as_slice())];
    Ok(Worked { steps, results: vec![named("ek", *ek.as_slice())] })
}

pub(super) fn encapsulate(ek: &[u8], m: &[u8]) -> Result<Worked, CalcError> {
    let m: [u8; MESSAGE_BYTES] = exactly("m", m, "32")?;
    let (ciphertext, secret) = EncapsulationKey::check(ek)?.encapsulate(&m);
    let steps = vec![holds("ek has 1184 bytes and no coefficient of 3329 or more")];
    Ok(Worked { steps, results: vec![named("c", ciphertext), named("K", *secret)] })
}

pub(super) fn decapsulate(key: &KemKey, ciphertext: &[u8]) -> Result<Worked, CalcError> {
    let ciphertext: [u8; CIPHERTEXT_BYTES] = exactly("c", ciphertext, "1088")?;
    let ciphertext = ciphertext.into();
    let dk: MlKem768PrivateKey = match key {
        KemKey::Seed(seed) => {
            let seed: [u8; SEED_BYTES] = exactly("seed", seed, "64: d ‖ z")?;
            mlkem768::generate_key_pair(seed).into_parts().0
        }
        KemKey::Whole(dk) => {
            let dk: [u8; MlKem768PrivateKey::len()] = exactly("dk", dk, "2400")?;
            dk.into()
        }
    };
    // A key that comes as a whole may be anything.
    if !mlkem768::validate_private_key(&dk, &ciphertext) {
        return Err(CalcError::KemHash);
    }
    let secret = mlkem768::decapsulate(&dk, &ciphertext);
    let steps = vec![holds("the H(ek) in dk is SHA3-256(ek)")];
    Ok(Worked { steps, results: vec![named("K", secret)] })
}
