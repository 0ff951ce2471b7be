//! Keys and encrypted bodies of the classic profile.

use ddes_cipher::{DesKey, DoubleDes, ecb};
use ddes_ffdhe::SharedSecret;
use ddes_wire::classic::{AggregateResult, Data, HMAC_BYTES};
use ddes_wire::{ClientId, Token, Total, classic};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const INFO: &[u8] = b"handshake data";

/// The keys of one session (rule C-09). Wiped on drop.
///
/// ```text
/// okm = HKDF-SHA256(ikm = secret, salt = none, info = "handshake data", L = 16)   (RFC 5869)
/// Key1 = okm[0..8]    Key2 = okm[8..16]
/// ```
#[derive(Debug)]
pub(super) struct SessionKeys {
    token: DoubleDes,
    traffic: DoubleDes,
    mac_key: DesKey,
}

impl ZeroizeOnDrop for SessionKeys {}

/// Why a protected body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// Too short, or the HMAC does not verify.
    Hmac,
    /// Authentic, but not a whole number of blocks, or wrongly padded.
    Tampered,
}

impl SessionKeys {
    pub(super) fn derive(secret: &SharedSecret) -> Self {
        let mut okm = Zeroizing::new([[0; DesKey::BYTES]; 2]);
        let (mut prk, hkdf) = Hkdf::<Sha256>::extract(None, secret.as_bytes());
        // Both keys can be derived from it.
        prk.as_mut_slice().zeroize();
        // HKDF refuses only lengths beyond 255 hashes.
        #[allow(clippy::expect_used, reason = "16 bytes are within HKDF-SHA256's 8,160")]
        hkdf.expand(INFO, okm.as_flattened_mut()).expect("16 bytes are a valid HKDF length");
        let (key1, key2) = (DesKey::new(okm[0]), DesKey::new(okm[1]));
        Self {
            token: DoubleDes::new(&key1, &key1),
            traffic: DoubleDes::new(&key1, &key2),
            mac_key: key2,
        }
    }

    /// `E(Key1, E(Key1, pad(token)))`: both passes use Key1, as in the original (rule C-10).
    pub(super) fn seal_token(&self, token: &Token) -> Vec<u8> {
        ecb::seal(&self.token, token.as_bytes())
    }

    /// Decrypts the token of a 20; `None` if it is not one.
    pub(super) fn open_token(&self, body: &[u8]) -> Option<Token> {
        let plaintext = ecb::open(&self.token, body).ok()?;
        plaintext.try_into().ok().map(Token::new)
    }

    /// `ciphertext ‖ token ‖ HMAC` of one integer (rule C-11).
    pub(super) fn seal_data(&self, token: &Token, value: u64, client: &ClientId) -> Vec<u8> {
        let mut body = ecb::seal(&self.traffic, &classic::plaintext(value, client));
        body.extend_from_slice(token.as_bytes());
        let hmac = self.hmac(&body).finalize();
        body.extend_from_slice(&hmac.into_bytes());
        body
    }

    /// Verifies and decrypts a 30 whose token was checked before.
    pub(super) fn open_data(&self, data: &Data<'_>) -> Result<Vec<u8>, BodyError> {
        self.verify(data.authenticated, data.hmac)?;
        ecb::open(&self.traffic, data.ciphertext).map_err(|_| BodyError::Tampered)
    }

    /// `ciphertext ‖ HMAC` of a sum's decimal text (rule C-15).
    pub(super) fn seal_total(&self, sum: Total) -> Vec<u8> {
        let mut body = ecb::seal(&self.traffic, sum.to_string().as_bytes());
        let hmac = self.hmac(&body).finalize();
        body.extend_from_slice(&hmac.into_bytes());
        body
    }

    /// Verifies and decrypts the sum of a 40.
    pub(super) fn open_total(&self, body: &[u8]) -> Result<Total, BodyError> {
        let result = AggregateResult::decode(body).ok_or(BodyError::Hmac)?;
        self.verify(result.ciphertext, result.hmac)?;
        let text = ecb::open(&self.traffic, result.ciphertext).map_err(|_| BodyError::Tampered)?;
        classic::total(&text).ok_or(BodyError::Tampered)
    }

    /// `HMAC-SHA256(Key2, covered)`, compared in constant time.
    fn verify(&self, covered: &[u8], hmac: &[u8; HMAC_BYTES]) -> Result<(), BodyError> {
        self.hmac(covered).verify(hmac.into()).map_err(|_| BodyError::Hmac)
    }

    fn hmac(&self, covered: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of any length.
        #[allow(clippy::expect_used, reason = "HMAC is defined for every key length")]
        let mac =
            Hmac::<Sha256>::new_from_slice(self.mac_key.as_bytes()).expect("any length is a key");
        mac.chain_update(covered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn is_wiped<T: ZeroizeOnDrop>() {}

    #[test]
    fn the_keys_of_a_session_are_wiped() {
        const { is_wiped::<SessionKeys>() }
    }
}
