//! HMAC-SHA256 and HKDF, by their formulas over SHA-256.

use sha2::{Digest, Sha256};

use super::{CalcError, HkdfExpansion, Label, Worked, bounded, named, step};

pub(super) const HMAC: Label = (
    "HMAC-SHA256",
    "RFC 2104; FIPS 198-1",
    "K0 = K, or SHA-256(K) if K is longer than 64 bytes; then zeros to 64 bytes\n\
     HMAC(K, m) = SHA-256((K0 ⊕ opad) ‖ SHA-256((K0 ⊕ ipad) ‖ m))",
);
pub(super) const EXTRACT: Label =
    ("HKDF-Extract", "RFC 5869, section 2.2", "PRK = HMAC-SHA256(salt, IKM)");
pub(super) const HKDF: Label = (
    "HKDF-SHA256",
    "RFC 5869",
    "PRK = HMAC-SHA256(salt, IKM)\n\
     T(i) = HMAC-SHA256(PRK, T(i-1) ‖ info ‖ i)\n\
     OKM = T(1) ‖ T(2) ‖ …, cut to L bytes",
);
pub(super) const EXPAND: Label = (
    "HKDF-Expand",
    "RFC 5869, section 2.3",
    "T(i) = HMAC-SHA256(PRK, T(i-1) ‖ info ‖ i)\n\
     OKM = T(1) ‖ T(2) ‖ …, cut to L bytes",
);

const BLOCK_BYTES: usize = 64;
pub(super) const HASH_BYTES: usize = 32;
/// RFC 5869: 255 hashes.
const OKM_BYTES_MAX: usize = 255 * HASH_BYTES;

/// The inner and outer key blocks, the inner hash and the HMAC.
struct Parts {
    inner_key: [u8; BLOCK_BYTES],
    outer_key: [u8; BLOCK_BYTES],
    inner: [u8; HASH_BYTES],
    hmac: [u8; HASH_BYTES],
}

fn parts(key: &[u8], input: &[u8]) -> Parts {
    let mut block = [0; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        block[..HASH_BYTES].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let (inner_key, outer_key) = (block.map(|byte| byte ^ 0x36), block.map(|byte| byte ^ 0x5c));
    let inner = hash(&[&inner_key, input]);
    Parts { inner_key, outer_key, inner, hmac: hash(&[&outer_key, &inner]) }
}

pub(super) fn hash(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

pub(super) fn hmac(key: &[u8], input: &[u8]) -> [u8; HASH_BYTES] {
    parts(key, input).hmac
}

pub(super) fn hmac_steps(key: &[u8], input: &[u8]) -> Result<Worked, CalcError> {
    bounded("key", key)?;
    bounded("in", input)?;
    let Parts { inner_key, outer_key, inner, hmac } = parts(key, input);
    Ok(Worked {
        steps: vec![
            step("K0 ⊕ ipad", inner_key),
            step("SHA-256((K0 ⊕ ipad) ‖ m)", inner),
            step("K0 ⊕ opad", outer_key),
        ],
        results: vec![named("HMAC", hmac)],
    })
}

pub(super) fn hkdf(
    salt: Option<&[u8]>,
    ikm: &[u8],
    expansion: Option<&HkdfExpansion>,
) -> Result<Worked, CalcError> {
    bounded("ikm", ikm)?;
    let salt = salt.unwrap_or(&[0; HASH_BYTES]);
    bounded("salt", salt)?;
    let prk = hmac(salt, ikm);
    let Some(expansion) = expansion else {
        return Ok(Worked { steps: Vec::new(), results: vec![named("PRK", prk)] });
    };
    let mut worked = expand_only(&prk, expansion)?;
    worked.steps.insert(0, step("PRK", prk));
    Ok(worked)
}

pub(super) fn expand_only(prk: &[u8], expansion: &HkdfExpansion) -> Result<Worked, CalcError> {
    let HkdfExpansion { info, length } = expansion;
    bounded("prk", prk)?;
    bounded("info", info)?;
    if *length == 0 || *length > OKM_BYTES_MAX {
        return Err(CalcError::Length { name: "OKM", length: *length, expected: "1 to 8160" });
    }
    let (mut steps, mut okm, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for i in 1..=u8::MAX {
        last = hmac(prk, &[&last[..], info, &[i]].concat()).to_vec();
        okm.extend_from_slice(&last);
        steps.push(step(format!("T({i})"), last.clone()));
        if okm.len() >= *length {
            break;
        }
    }
    okm.truncate(*length);
    Ok(Worked { steps, results: vec![named("OKM", okm)] })
}

/// HKDF-Expand's output alone.
pub(super) fn expand(prk: &[u8], info: &[u8], length: usize) -> Result<Vec<u8>, CalcError> {
    let worked = expand_only(prk, &HkdfExpansion { info: info.to_vec(), length })?;
    Ok(worked.results.iter().filter_map(|result| result.value.bytes()).flatten().copied().collect())
}
