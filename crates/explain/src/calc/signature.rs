//! Ed25519 signatures, bare and as SSHSIG.

use ddes_identity::{Namespace, PublicKey, signed_data};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha512};

use super::{CalcError, Label, Named, Value, Worked, bounded, exactly, holds, step};

pub(super) const ED25519: Label = (
    "Ed25519: verification",
    "RFC 8032, section 5.1.7; PROTOCOL.md, P-16",
    "R ‖ S = signature; S < L; neither R nor A of small order\n\
     S·B = R + SHA-512(R ‖ A ‖ message)·A",
);
pub(super) const SSHSIG: Label = (
    "SSHSIG: verification",
    "OpenSSH's PROTOCOL.sshsig; RFC 8032; PROTOCOL.md, P-15 and P-16",
    "data = \"SSHSIG\" ‖ string(namespace) ‖ string(\"\") ‖ string(\"sha512\") ‖ \
     string(SHA-512(m))\n\
     string(x) = length u32 ‖ x; Ed25519 verifies data",
);

pub(super) fn bare(public: &[u8], message: &[u8], signature: &[u8]) -> Result<Worked, CalcError> {
    let key = PublicKey::new(&exactly("public", public, "32")?)?;
    let signature: [u8; 64] = exactly("signature", signature, "64")?;
    bounded("message", message)?;
    let key = VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| CalcError::Signature)?;
    key.verify_strict(message, &Signature::from_bytes(&signature))
        .map_err(|_| CalcError::Signature)?;
    let steps = vec![
        step("R", &signature[..32]),
        step("S", &signature[32..]),
        holds("S·B = R + SHA-512(R ‖ A ‖ message)·A"),
    ];
    Ok(Worked { steps, results: vec![good()] })
}

pub(super) fn ssh(
    namespace: Namespace,
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<Worked, CalcError> {
    bounded("message", message)?;
    let data = signed_data(namespace, message);
    let mut worked = bare(public, &data, signature)?;
    let digest = Sha512::digest(message).to_vec();
    worked.steps.splice(0..0, [step("SHA-512(m)", digest), step("data", data)]);
    Ok(worked)
}

fn good() -> Named {
    Named { name: "signature".into(), value: Value::Word("good") }
}
