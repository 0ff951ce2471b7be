//! The classic profile's cryptography in an attacker's hands: keys are bytes that can be guessed,
//! and nothing is refused.
//!
//! ```text
//! okm  = HKDF-SHA256(shared value, no salt, "handshake data", 16)
//! Key1 = okm[0..8], Key2 = okm[8..16]
//! 20   = DES(Key1, DES(Key1, pad(token)))
//! 30   = DDES(integer u64 ‖ UUID) ‖ token ‖ HMAC-SHA256(Key2, all before it)
//! 40   = DDES(decimal sum) ‖ HMAC-SHA256(Key2, ciphertext)
//! ```

use ddes_cipher::{Block, DesKey, DoubleDes, ecb};
use ddes_ffdhe::{Exponent, Group, NamedGroup, PublicValue};
use ddes_wire::classic::{AggregateResult, Data, DhPublicKey};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::LabError;

/// Random bytes that an exponent is made from.
pub(crate) const EXPONENT_BYTES: usize = ddes_session::classic::ENTROPY_BYTES_MAX;

/// Both keys of a classic session, parity bits included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassicKeys {
    /// The inner pass, and both passes of a 20.
    pub key1: [u8; 8],
    /// The outer pass, and the HMAC's key.
    pub key2: [u8; 8],
}

/// The group that the lab's classic servers offer.
pub(crate) fn group() -> Group {
    Group::named(NamedGroup::Ffdhe2048)
}

/// One side of the exchange: a private exponent that the lab knows.
pub(crate) fn exponent(group: &Group, entropy: &[u8; EXPONENT_BYTES]) -> Exponent {
    Exponent::from_entropy(group, &entropy[..group.exponent_len()])
}

/// The 10 of whoever holds this exponent.
pub(crate) fn key_pem(group: &Group, exponent: &Exponent) -> Result<String, LabError> {
    let public = exponent.public_value().as_bytes().to_vec();
    let key = DhPublicKey {
        prime: group.prime().to_vec(),
        generator: group.generator().to_vec(),
        public: trimmed(&public).to_vec(),
    };
    key.to_pem().map_err(|error| LabError::unplanned(error.to_string()))
}

/// The keys that an exponent and the other side's 10 lead to.
pub(crate) fn agreed(
    group: &Group,
    exponent: Exponent,
    other: &[u8],
) -> Result<ClassicKeys, LabError> {
    let unplanned = |what: String| LabError::unplanned(what);
    let key = DhPublicKey::from_pem(other).map_err(|error| unplanned(error.to_string()))?;
    let other =
        PublicValue::received(group, &key.public).map_err(|error| unplanned(error.to_string()))?;
    let secret = exponent.agree(&other).map_err(|error| unplanned(error.to_string()))?;
    Ok(ClassicKeys::derive(secret.as_bytes()))
}

/// Without leading zeros.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or(bytes)
}

impl ClassicKeys {
    /// Both keys from the shared value, leading zeros kept.
    pub fn derive(secret: &[u8]) -> Self {
        let mut okm = [[0; 8]; 2];
        #[allow(clippy::expect_used, reason = "16 bytes are within HKDF-SHA256's 8,160")]
        Hkdf::<Sha256>::new(None, secret)
            .expand(b"handshake data", okm.as_flattened_mut())
            .expect("16 bytes are a valid HKDF length");
        Self { key1: okm[0], key2: okm[1] }
    }

    fn tokens(&self) -> DoubleDes {
        DoubleDes::new(&DesKey::new(self.key1), &DesKey::new(self.key1))
    }

    fn traffic(&self) -> DoubleDes {
        DoubleDes::new(&DesKey::new(self.key1), &DesKey::new(self.key2))
    }

    /// The body of a 20.
    pub(crate) fn seal_token(&self, token: &[u8]) -> Vec<u8> {
        ecb::seal(&self.tokens(), token)
    }

    /// The token of a 20; `None` if these are not its keys.
    pub(crate) fn open_token(&self, body: &[u8]) -> Option<Vec<u8>> {
        ecb::open(&self.tokens(), body).ok()
    }

    /// The body of a 30 with any 24 bytes in it.
    pub(crate) fn seal_data(&self, plaintext: &[u8], token: &[u8]) -> Vec<u8> {
        let mut body = ecb::seal(&self.traffic(), plaintext);
        body.extend_from_slice(token);
        let hmac = self.hmac(&body);
        body.extend_from_slice(&hmac);
        body
    }

    /// Integer and UUID of a 30; `None` if these are not its keys.
    pub(crate) fn open_data(&self, body: &[u8]) -> Option<(u64, Vec<u8>)> {
        let data = Data::decode(body)?;
        let plaintext = ecb::open(&self.traffic(), data.ciphertext).ok()?;
        let (integer, rest) = plaintext.split_first_chunk()?;
        Some((u64::from_be_bytes(*integer), rest.to_vec()))
    }

    /// The body of a 40 that states any text.
    pub(crate) fn seal_result(&self, text: &str) -> Vec<u8> {
        let mut body = ecb::seal(&self.traffic(), text.as_bytes());
        let hmac = self.hmac(&body);
        body.extend_from_slice(&hmac);
        body
    }

    /// The text of a 40; `None` if these are not its keys.
    pub(crate) fn open_result(&self, body: &[u8]) -> Option<String> {
        let result = AggregateResult::decode(body)?;
        let text = ecb::open(&self.traffic(), result.ciphertext).ok()?;
        String::from_utf8(text).ok()
    }

    /// What the original's client shows of a 40: it verifies the HMAC, decrypts, and cuts as many
    /// bytes as the last one says, all of them if it says 0. `None` if the HMAC is wrong or the
    /// blocks are not whole.
    pub(crate) fn shown_by_the_original(&self, body: &[u8]) -> Option<Vec<u8>> {
        let result = AggregateResult::decode(body)?;
        if self.hmac(result.ciphertext) != *result.hmac {
            return None;
        }
        let mut text = result.ciphertext.to_vec();
        let (blocks, rest) = text.as_chunks_mut::<8>();
        if !rest.is_empty() {
            return None;
        }
        self.traffic().decrypt(blocks);
        let cut = usize::from(*text.last()?);
        let kept = if cut == 0 { 0 } else { text.len().saturating_sub(cut) };
        text.truncate(kept);
        Some(text)
    }

    /// `HMAC-SHA256(Key2, covered)`, which depends on Key2's parity bits too.
    pub(crate) fn hmac(&self, covered: &[u8]) -> [u8; 32] {
        // HMAC takes keys of any length.
        #[allow(clippy::expect_used, reason = "HMAC is defined for every key length")]
        let mac = Hmac::<Sha256>::new_from_slice(&self.key2).expect("any length is a key");
        mac.chain_update(covered).finalize().into_bytes().into()
    }

    /// Whether the HMAC of a 30 is of this Key2, parity bits included.
    pub(crate) fn verifies(&self, body: &[u8]) -> bool {
        Data::decode(body).is_some_and(|data| self.hmac(data.authenticated) == *data.hmac)
    }

    /// The same keys with Key2's parity bits as the HMAC of a 30 needs them: at most 256 trials.
    /// `None` if the 56 bits are not Key2's.
    pub(crate) fn with_parity_of(self, body: &[u8]) -> Option<(Self, u32)> {
        (0..=u8::MAX).find_map(|parity| {
            let key2 = std::array::from_fn(|i| self.key2[i] & 0xfe | parity >> i & 1);
            let keys = Self { key2, ..self };
            keys.verifies(body).then_some((keys, u32::from(parity) + 1))
        })
    }
}

/// The blocks of a ciphertext; what is left over is not there.
pub(crate) fn blocks(bytes: &[u8]) -> &[Block] {
    bytes.as_chunks().0
}

#[cfg(test)]
mod tests {
    use ddes_cipher::Des;

    use super::*;

    const KEYS: ClassicKeys = ClassicKeys { key1: *b"key one!", key2: *b"key two." };

    #[test]
    fn the_third_block_of_a_20_is_two_passes_of_key1_over_a_block_of_padding() {
        let body = KEYS.seal_token(&[7; 16]);
        let mut expected = [[8; 8]];
        let des = Des::new(&DesKey::new(KEYS.key1));
        des.encrypt(&mut expected);
        des.encrypt(&mut expected);
        assert_eq!(blocks(&body)[2], expected[0]);
        assert_eq!(KEYS.open_token(&body).unwrap(), [7; 16]);
    }

    #[test]
    fn parity_bits_are_found_by_the_hmac_alone() {
        let body = KEYS.seal_data(&[1; 24], &[2; 16]);
        let stripped = ClassicKeys { key2: KEYS.key2.map(|byte| byte & 0xfe), ..KEYS };
        assert!(!stripped.verifies(&body) && KEYS.verifies(&body));
        let (found, tried) = stripped.with_parity_of(&body).unwrap();
        assert_eq!(found, KEYS);
        assert!((1..=256).contains(&tried));
        let other = ClassicKeys { key2: *b"other!!!", ..KEYS };
        assert_eq!(other.with_parity_of(&body), None);
    }
}
