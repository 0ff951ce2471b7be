//! ML-KEM-768 (FIPS 203), with randomness as an argument.

use libcrux_ml_kem::mlkem768;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Length of an encapsulation key in bytes.
pub const PUBLIC_BYTES: usize = 1184;
/// Length of a ciphertext in bytes.
pub const CIPHERTEXT_BYTES: usize = 1088;
/// Randomness of a key pair: `d || z`.
pub const SEED_BYTES: usize = 64;
/// Randomness of an encapsulation: `m`.
pub const MESSAGE_BYTES: usize = 32;

/// A shared secret, wiped on drop.
pub type Secret = Zeroizing<[u8; 32]>;

/// Why a peer's ML-KEM value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KemError {
    /// FIPS 203, section 7.2: a key of another length, or with a coefficient of q = 3329 or more.
    #[error("the ML-KEM key is malformed")]
    Key,
    /// FIPS 203, section 7.3: a ciphertext of another length.
    #[error("the ML-KEM ciphertext has a wrong length")]
    Ciphertext,
}

/// The private half of a key pair, used for one handshake and wiped on drop.
pub struct DecapsulationKey(Box<Zeroizing<[u8; mlkem768::MlKem768PrivateKey::len()]>>);

impl ZeroizeOnDrop for DecapsulationKey {}

impl DecapsulationKey {
    /// `ML-KEM.KeyGen_internal(d, z)`, and the encapsulation key.
    pub fn generate(seed: &[u8; SEED_BYTES]) -> (Self, Vec<u8>) {
        let (private, public) = mlkem768::generate_key_pair(*seed).into_parts();
        (Self(Box::new(Zeroizing::new(private.into()))), public.as_slice().to_vec())
    }

    /// `ML-KEM.Decaps(dk, c)`. A ciphertext that was changed yields a different secret, not an
    /// error (implicit rejection, FIPS 203).
    pub fn decapsulate(self, ciphertext: &[u8]) -> Result<Secret, KemError> {
        let ciphertext: [u8; CIPHERTEXT_BYTES] =
            ciphertext.try_into().map_err(|_| KemError::Ciphertext)?;
        Ok(Zeroizing::new(mlkem768::decapsulate(&(&**self.0).into(), &ciphertext.into())))
    }
}

impl std::fmt::Debug for DecapsulationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DecapsulationKey(..)")
    }
}

/// An encapsulation key that passed the checks of section 7.2.
pub struct EncapsulationKey(Box<mlkem768::MlKem768PublicKey>);

impl EncapsulationKey {
    /// Parses a key and checks its length and the range of its coefficients.
    pub fn check(bytes: &[u8]) -> Result<Self, KemError> {
        let bytes: [u8; PUBLIC_BYTES] = bytes.try_into().map_err(|_| KemError::Key)?;
        let key = mlkem768::MlKem768PublicKey::from(bytes);
        if mlkem768::validate_public_key(&key) {
            Ok(Self(Box::new(key)))
        } else {
            Err(KemError::Key)
        }
    }

    /// `ML-KEM.Encaps_internal(ek, m)`: ciphertext and secret.
    pub fn encapsulate(&self, message: &[u8; MESSAGE_BYTES]) -> (Vec<u8>, Secret) {
        let (ciphertext, secret) = mlkem768::encapsulate(&self.0, *message);
        (ciphertext.as_slice().to_vec(), Zeroizing::new(secret))
    }
}

impl std::fmt::Debug for EncapsulationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EncapsulationKey(..)")
    }
}
