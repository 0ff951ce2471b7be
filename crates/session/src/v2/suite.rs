//! The Noise protocol of each suite.

use ddes_cipher::{CipherKey, Function, KEY_BYTES, LimitError, OpenError, Tag};
use ddes_ffdhe::{Exponent, Group, NamedGroup, PublicValue, PublicValueError};
use ddes_wire::v2::{GroupSize, Suite, VERSION};
use zeroize::Zeroizing;

use super::noise::{Cipher, Dh, Protocol};

/// The Noise protocol of `suite`.
pub fn protocol(suite: Suite) -> Protocol<Ffdhe, Function> {
    let group = match suite.group() {
        GroupSize::Bits2048 => NamedGroup::Ffdhe2048,
        GroupSize::Bits3072 => NamedGroup::Ffdhe3072,
        GroupSize::Bits4096 => NamedGroup::Ffdhe4096,
    };
    Protocol {
        name: suite.noise_name(),
        dh: Ffdhe(Group::named(group)),
        cipher: if suite.is_hybrid() { Function::DdesChaCha } else { Function::Ddes },
        hfs: suite.is_hybrid(),
    }
}

/// The Noise prologue: `"D-DDES/2" || version || suite id`.
pub fn prologue(suite: Suite) -> [u8; 10] {
    let mut prologue = *b"D-DDES/2__";
    prologue[8] = VERSION;
    prologue[9] = suite.id();
    prologue
}

/// The DH function FFDHEn: a group of RFC 7919, `g = 2`. Public and shared values are DHLEN = the
/// prime's length in bytes.
#[derive(Clone, Debug)]
pub struct Ffdhe(Group);

impl Dh for Ffdhe {
    type Private = Exponent;
    type Error = PublicValueError;

    fn public_len(&self) -> usize {
        self.0.prime_len()
    }

    fn check(&self, public: &[u8]) -> Result<(), PublicValueError> {
        PublicValue::received_exact(&self.0, public).map(drop)
    }

    fn generate(&self, entropy: &[u8]) -> (Exponent, Vec<u8>) {
        let exponent = Exponent::from_entropy(&self.0, entropy);
        let public = exponent.public_value().as_bytes().to_vec();
        (exponent, public)
    }

    fn agree(
        &self,
        private: Exponent,
        public: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, PublicValueError> {
        let peer = PublicValue::received_exact(&self.0, public)?;
        Ok(Zeroizing::new(private.agree(&peer)?.as_bytes().to_vec()))
    }
}

impl Cipher for Function {
    type Key = CipherKey;

    fn key(&self, key: &[u8; KEY_BYTES]) -> CipherKey {
        Function::key(*self, key)
    }

    fn seal(key: &CipherKey, nonce: u64, ad: &[u8], text: &mut [u8]) -> Result<Tag, LimitError> {
        key.seal(nonce, ad, text)
    }

    fn open(
        key: &CipherKey,
        nonce: u64,
        ad: &[u8],
        text: &mut [u8],
        tag: &Tag,
    ) -> Result<(), OpenError> {
        key.open(nonce, ad, text, tag)
    }
}
