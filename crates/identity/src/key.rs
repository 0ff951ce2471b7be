//! Ed25519 keys, and signatures in OpenSSH's format.

use std::fmt;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use ssh_key::HashAlg;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::openssh;

/// An Ed25519 public key: canonical, and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(VerifyingKey);

/// Why 32 bytes are not a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a point of the curve, or not its canonical encoding.
    #[error("the bytes are not an Ed25519 public key")]
    Malformed,
    /// A point of small order, under which signatures prove nothing.
    #[error("the Ed25519 public key is of small order")]
    SmallOrder,
}

/// The signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not this key's over this message")]
pub struct SignatureError;

/// The purpose of a signature, which it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Message 3: the server proves itself.
    Server,
    /// Message 4: the client proves itself.
    Client,
    /// A receipt: the server states what its ledger holds.
    Receipt,
}

impl Namespace {
    /// The namespace string in the signed blob.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "ddes2-server",
            Self::Client => "ddes2-client",
            Self::Receipt => "ddes2-receipt",
        }
    }
}

/// `"SSHSIG" || string(namespace) || string("") || string("sha512") || string(SHA-512(message))`:
/// what is signed.
pub fn signed_data(namespace: Namespace, message: &[u8]) -> Vec<u8> {
    let digest = HashAlg::Sha512.digest(message);
    let fields = [namespace.as_str().as_bytes(), b"", b"sha512", &digest];
    let strings = fields.iter().flat_map(|field| ssh_string(field));
    b"SSHSIG".iter().copied().chain(strings).collect()
}

/// `u32 length || bytes`: a string in OpenSSH's formats.
#[allow(clippy::expect_used, reason = "all strings made here have a few hundred bytes")]
pub(crate) fn ssh_string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a short string");
    [&length.to_be_bytes()[..], bytes].concat()
}

impl PublicKey {
    /// Length of a public key in bytes.
    pub const BYTES: usize = 32;

    /// Decodes the 32 bytes of RFC 8032.
    pub fn new(bytes: &[u8; Self::BYTES]) -> Result<Self, KeyError> {
        // y below p = 2^255 - 19; the sign bit is the top one.
        let [low, middle @ .., high] = bytes;
        if *low >= 0xed && middle.iter().all(|byte| *byte == 0xff) && high & 0x7f == 0x7f {
            return Err(KeyError::Malformed);
        }
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Malformed)?;
        if key.is_weak() { Err(KeyError::SmallOrder) } else { Ok(Self(key)) }
    }

    /// The key's encoding as in RFC 8032.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        self.0.as_bytes()
    }

    /// Checks a signature over [`signed_data`], strictly (RFC 8032: S < L, canonical R, no small
    /// order).
    pub fn verify(
        &self,
        namespace: Namespace,
        message: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), SignatureError> {
        let signature = Signature::from_bytes(signature);
        self.0
            .verify_strict(&signed_data(namespace, message), &signature)
            .map_err(|_| SignatureError)
    }

    /// Checks an armored SSHSIG over `message`, as `ssh-keygen -Y verify` does, that names this
    /// key.
    pub fn verify_armored(
        &self,
        namespace: Namespace,
        message: &[u8],
        armor: &str,
    ) -> Result<(), openssh::ArmorError> {
        let signature = openssh::unarmor(self, namespace, armor)?;
        self.verify(namespace, message, &signature).map_err(openssh::ArmorError::Signature)
    }

    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    pub fn fingerprint(&self) -> String {
        self.openssh().fingerprint(HashAlg::Sha256).to_string()
    }

    /// The id shown to people: a version 8 UUID (RFC 9562) of the first half of the fingerprint's
    /// hash.
    pub fn uuid(&self) -> [u8; 16] {
        let fingerprint = self.openssh().fingerprint(HashAlg::Sha256);
        let mut uuid = [0; 16];
        uuid.iter_mut().zip(fingerprint.as_bytes()).for_each(|(to, from)| *to = *from);
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        uuid
    }

    /// `ssh-ed25519 AAAA…`, as in a `.pub` file, without a comment.
    pub fn to_openssh(&self) -> String {
        openssh::public_line(self.as_bytes())
    }

    fn openssh(&self) -> ssh_key::PublicKey {
        openssh::public(self.as_bytes())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// An Ed25519 private key. Wiped on drop.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl ZeroizeOnDrop for SigningKey {}

/// Each copy is wiped on drop by itself.
impl Clone for SigningKey {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl SigningKey {
    /// The key of a 32-byte seed, which the caller draws at random.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs the [`signed_data`] of a message.
    pub fn sign(&self, namespace: Namespace, message: &[u8]) -> [u8; 64] {
        self.0.sign(&signed_data(namespace, message)).to_bytes()
    }

    /// Signs `message` as `ssh-keygen -Y sign` does; the result begins with
    /// `-----BEGIN SSH SIGNATURE-----`.
    pub fn sign_armored(
        &self,
        namespace: Namespace,
        message: &[u8],
    ) -> Result<String, openssh::ArmorError> {
        openssh::armor(&self.public(), namespace, self.sign(namespace, message))
    }

    /// The text of an OpenSSH private key file without a passphrase.
    pub fn to_openssh(&self, comment: &str) -> Result<Zeroizing<String>, openssh::KeyFileError> {
        openssh::private_file(self.0.as_bytes(), &self.public(), comment)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}
