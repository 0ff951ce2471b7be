//! OpenSSH's files: keys, and signatures (PROTOCOL.sshsig). The only file that uses the `ssh-key`
//! crate for them.

use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Algorithm, HashAlg, Kdf, LineEnding, PrivateKey, Signature, SshSig};
use zeroize::Zeroizing;

use crate::lines::{BYTE_ORDER_MARK, content, fields, numbered};
use crate::{KeyError, Namespace, PublicKey, SignatureError, SigningKey};

/// The longest accepted key file, in bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024;

/// The most rounds of bcrypt for a passphrase: about 10 s. ssh-keygen uses 24.
const ROUNDS_MAX: u32 = 1_000;

/// Why a file gives no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// The file is damaged, or not in OpenSSH's format.
    #[error("this is not an OpenSSH key file: {0}")]
    Malformed(String),
    /// The key is of another algorithm.
    #[error("the key is {0}; D-DDES takes ssh-ed25519 only")]
    Algorithm(String),
    /// A passphrase is needed.
    #[error("the key is encrypted")]
    Encrypted,
    /// Decrypting it would take too long.
    #[error(
        "its passphrase costs {rounds} rounds of bcrypt, at most {ROUNDS_MAX} are taken \
         (ssh-keygen -p -a {ROUNDS_MAX})"
    )]
    Rounds {
        /// The rounds that the file asks for.
        rounds: u32,
    },
    /// The passphrase is wrong.
    #[error("the passphrase does not open the key")]
    Passphrase,
    /// The key itself is invalid.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why an armored signature is not valid for a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmorError {
    /// The text is damaged, or not in OpenSSH's format.
    #[error("this is not an SSH signature: {0}")]
    Malformed(String),
    /// Made by another key.
    #[error("the signature is by another key: {0}")]
    Key(String),
    /// Made for another purpose, or with another hash than SHA-512.
    #[error("the signature is for {0}")]
    Purpose(String),
    /// It does not verify.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// The key of a private key file, decrypted with `passphrase` if it is encrypted.
pub fn read_private(text: &[u8], passphrase: Option<&[u8]>) -> Result<SigningKey, KeyFileError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(KeyFileError::Malformed(format!("more than {FILE_BYTES_MAX} bytes")));
    }
    let mut key = PrivateKey::from_openssh(text)?;
    if key.is_encrypted() {
        if let Kdf::Bcrypt { rounds, .. } = key.kdf()
            && *rounds > ROUNDS_MAX
        {
            return Err(KeyFileError::Rounds { rounds: *rounds });
        }
        key = key
            .decrypt(passphrase.ok_or(KeyFileError::Encrypted)?)
            .map_err(|_| KeyFileError::Passphrase)?;
    }
    let pair = key
        .key_data()
        .ed25519()
        .ok_or_else(|| KeyFileError::Algorithm(key.algorithm().to_string()))?;
    let seed = Zeroizing::new(pair.private.to_bytes());
    let key = SigningKey::from_seed(&seed);
    if key.public().as_bytes() == &pair.public.0 {
        Ok(key)
    } else {
        Err(KeyError::Malformed.into())
    }
}

/// The key of a line `ssh-ed25519 AAAA… [comment]`, or of a file with one such line and comments
/// only. The key's comment need not be UTF-8.
pub fn read_public(text: impl AsRef<[u8]>) -> Result<PublicKey, KeyFileError> {
    let text = text.as_ref();
    if text.len() > FILE_BYTES_MAX {
        return Err(KeyFileError::Malformed(format!("more than {FILE_BYTES_MAX} bytes")));
    }
    let text = text.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(text);
    let mut lines = numbered(text).filter_map(|(_, line)| content(line));
    let line = lines.next().ok_or_else(|| KeyFileError::Malformed("it holds no key".into()))?;
    if lines.next().is_some() {
        return Err(KeyFileError::Malformed("it has more than one line".into()));
    }
    // The library requires single blanks, and a comment in UTF-8.
    let key: Vec<_> = fields(&line).take(2).collect();
    let key = ssh_key::PublicKey::from_openssh(&key.join(" "))?;
    let key = key
        .key_data()
        .ed25519()
        .ok_or_else(|| KeyFileError::Algorithm(key.algorithm().to_string()))?;
    Ok(PublicKey::new(&key.0)?)
}

pub(crate) fn public(bytes: &[u8; 32]) -> ssh_key::PublicKey {
    Ed25519PublicKey(*bytes).into()
}

#[allow(clippy::expect_used, reason = "the encoder fails only on a buffer that is too small")]
pub(crate) fn public_line(bytes: &[u8; 32]) -> String {
    let line = public(bytes).to_openssh().expect("the encoder allocates its buffer");
    line.trim_end().to_owned()
}

pub(crate) fn private_file(
    seed: &[u8; 32],
    public: &PublicKey,
    comment: &str,
) -> Result<Zeroizing<String>, KeyFileError> {
    let (public, private) =
        (Ed25519PublicKey(*public.as_bytes()), Ed25519PrivateKey::from_bytes(seed));
    let key = PrivateKey::new(KeypairData::from(Ed25519Keypair { public, private }), comment)?;
    Ok(key.to_openssh(LineEnding::LF)?)
}

pub(crate) fn armor(
    key: &PublicKey,
    namespace: Namespace,
    signature: [u8; 64],
) -> Result<String, ArmorError> {
    let malformed = |error: ssh_key::Error| ArmorError::Malformed(error.to_string());
    let signature = Signature::new(Algorithm::Ed25519, signature).map_err(malformed)?;
    let key = KeyData::Ed25519(Ed25519PublicKey(*key.as_bytes()));
    let signed =
        SshSig::new(key, namespace.as_str(), HashAlg::Sha512, signature).map_err(malformed)?;
    signed.to_pem(LineEnding::LF).map_err(malformed)
}

/// The raw signature, if the armor names `key` and `namespace`. The signature is not verified.
pub(crate) fn unarmor(
    key: &PublicKey,
    namespace: Namespace,
    armor: &str,
) -> Result<[u8; 64], ArmorError> {
    if armor.len() > FILE_BYTES_MAX {
        return Err(ArmorError::Malformed(format!("more than {FILE_BYTES_MAX} bytes")));
    }
    let signed =
        SshSig::from_pem(armor).map_err(|error| ArmorError::Malformed(error.to_string()))?;
    if signed.public_key() != &KeyData::Ed25519(Ed25519PublicKey(*key.as_bytes())) {
        let fingerprint = signed.public_key().fingerprint(HashAlg::Sha256);
        return Err(ArmorError::Key(fingerprint.to_string()));
    }
    let is_plain = signed.reserved().is_empty() && signed.version() == SshSig::VERSION;
    if signed.namespace() != namespace.as_str() || signed.hash_alg() != HashAlg::Sha512 || !is_plain
    {
        return Err(ArmorError::Purpose(format!("{} ({})", signed.namespace(), signed.hash_alg())));
    }
    let raw = <[u8; 64]>::try_from(signed.signature_bytes());
    raw.map_err(|_| ArmorError::Malformed("an Ed25519 signature has 64 bytes".into()))
}

impl From<ssh_key::Error> for KeyFileError {
    fn from(error: ssh_key::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}
