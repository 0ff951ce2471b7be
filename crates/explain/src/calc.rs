//! Calculations: their formula, their inputs by name, their steps and results.

mod blocks;
mod command;
mod des;
mod dh;
mod function;
mod kdf;
mod kem;
mod noise;
mod python;
mod signature;

use std::borrow::Cow;

use ddes_cipher::Function;
use ddes_identity::Namespace;
use ddes_wire::shown::hex;

pub use command::Argument;
pub use dh::DhGroup;
pub use python::Python;

/// The longest input of a calculation in bytes.
pub const INPUT_BYTES_MAX: usize = 1 << 20;

/// One application of a formula to given bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Calculation {
    /// `Y = g^x mod p` or, with a peer's public value, `Z = Y^x mod p`.
    Dh {
        /// p and g.
        group: DhGroup,
        /// The exponent x, big-endian.
        private: Vec<u8>,
        /// The peer's public value.
        peer: Option<Vec<u8>>,
    },
    /// HKDF-Extract and, if it is asked for, HKDF-Expand (RFC 5869).
    Hkdf {
        /// Zeros, if it is `None`.
        salt: Option<Vec<u8>>,
        /// Input keying material.
        ikm: Vec<u8>,
        /// What to make of the PRK.
        expand: Option<HkdfExpansion>,
    },
    /// HKDF-Expand alone.
    HkdfExpand {
        /// The pseudorandom key.
        prk: Vec<u8>,
        /// What to make of it.
        expand: HkdfExpansion,
    },
    /// HMAC-SHA256 (RFC 2104).
    Hmac {
        /// The key, of any length.
        key: Vec<u8>,
        /// The message.
        input: Vec<u8>,
    },
    /// DES in ECB (FIPS 46-3, FIPS 81).
    Des {
        /// 8 bytes; their parity bits are ignored.
        key: Vec<u8>,
        /// Whole blocks, unless `pad` adds to them.
        input: Vec<u8>,
        /// Whether it decrypts.
        decrypt: bool,
        /// Whether PKCS#7 padding is added, or taken off.
        pad: bool,
        /// Whether each round is a step.
        rounds: bool,
    },
    /// Double DES in ECB: the classic profile's encryption.
    Ddes {
        /// The inner pass's key.
        key1: Vec<u8>,
        /// The outer pass's key.
        key2: Vec<u8>,
        /// Whole blocks, unless `pad` adds to them.
        input: Vec<u8>,
        /// Whether it decrypts.
        decrypt: bool,
        /// Whether PKCS#7 padding is added, or taken off.
        pad: bool,
    },
    /// Double DES in counter mode, as in D-DDES/2: the keystream.
    Counter {
        /// The inner pass's key.
        key1: Vec<u8>,
        /// The outer pass's key.
        key2: Vec<u8>,
        /// The record's number.
        n: u64,
        /// Bytes of keystream.
        length: usize,
    },
    /// Key1 and Key2 of D-DDES/2 from 16 bytes: parity, weak keys, equal keys.
    KeyPair {
        /// The first 8 bytes.
        key1: Vec<u8>,
        /// The next 8.
        key2: Vec<u8>,
    },
    /// The keys that a cipher function of D-DDES/2 makes of its key.
    Keys {
        /// DDES or DDESChaCha.
        function: Function,
        /// 32 bytes.
        key: Vec<u8>,
    },
    /// A record of D-DDES/2, sealed.
    Seal {
        /// DDES or DDESChaCha.
        function: Function,
        /// 32 bytes.
        key: Vec<u8>,
        /// The record's number.
        n: u64,
        /// Associated data.
        ad: Vec<u8>,
        /// The plaintext.
        input: Vec<u8>,
    },
    /// A record of D-DDES/2, opened.
    Open {
        /// DDES or DDESChaCha.
        function: Function,
        /// 32 bytes.
        key: Vec<u8>,
        /// The record's number.
        n: u64,
        /// Associated data.
        ad: Vec<u8>,
        /// Ciphertext and tag.
        input: Vec<u8>,
    },
    /// The next key of a direction.
    Rekey {
        /// 32 bytes.
        key: Vec<u8>,
    },
    /// Noise's `InitializeSymmetric(name)` and `MixHash(prologue)`.
    NoiseStart {
        /// The protocol's name.
        name: Vec<u8>,
        /// What both sides mix in first.
        prologue: Vec<u8>,
    },
    /// Noise's `MixHash(data)`.
    MixHash {
        /// The handshake hash so far.
        h: Vec<u8>,
        /// What is mixed in.
        data: Vec<u8>,
    },
    /// Noise's `MixKey(input)`.
    MixKey {
        /// The chaining key so far.
        ck: Vec<u8>,
        /// A shared secret.
        input: Vec<u8>,
    },
    /// Noise's `Split()`.
    NoiseSplit {
        /// The last chaining key.
        ck: Vec<u8>,
    },
    /// A key pair of ML-KEM-768 from its randomness (FIPS 203).
    KemGenerate {
        /// `d || z`, 64 bytes.
        seed: Vec<u8>,
    },
    /// An encapsulation with its randomness.
    KemEncapsulate {
        /// The encapsulation key, 1184 bytes.
        ek: Vec<u8>,
        /// 32 bytes.
        m: Vec<u8>,
    },
    /// A decapsulation.
    KemDecapsulate {
        /// The decapsulation key, or its seed.
        key: KemKey,
        /// The ciphertext, 1088 bytes.
        ciphertext: Vec<u8>,
    },
    /// Verification of an Ed25519 signature (RFC 8032), strictly.
    Ed25519 {
        /// The public key.
        public: Vec<u8>,
        /// What is signed.
        message: Vec<u8>,
        /// 64 bytes.
        signature: Vec<u8>,
    },
    /// Verification of the signature of an SSHSIG blob.
    SshSig {
        /// What the signature is for.
        namespace: Namespace,
        /// The public key.
        public: Vec<u8>,
        /// What is signed, before it is hashed.
        message: Vec<u8>,
        /// 64 bytes.
        signature: Vec<u8>,
    },
}

/// Info and length of an HKDF-Expand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HkdfExpansion {
    /// What the output is for.
    pub info: Vec<u8>,
    /// Bytes of output, at most 8160.
    pub length: usize,
}

/// A decapsulation key of ML-KEM-768, long or short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KemKey {
    /// `d || z`, 64 bytes.
    Seed(Vec<u8>),
    /// All 2400 bytes.
    Whole(Vec<u8>),
}

/// What a calculation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worked {
    /// How it went.
    pub steps: Vec<Step>,
    /// What came out.
    pub results: Vec<Named>,
}

/// One step: a value, or a chain of values of which each is made of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub name: Cow<'static, str>,
    /// Its values in order.
    pub chain: Vec<Named>,
}

/// A value with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name as formulas write it.
    pub name: Cow<'static, str>,
    /// The value.
    pub value: Value,
}

/// What an input, a step or a result holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes, shown in hexadecimal.
    Bytes(Vec<u8>),
    /// Bytes that are a text, and are best given as one.
    Text(Vec<u8>),
    /// A number.
    Number(u64),
    /// One of several words.
    Word(&'static str),
}

impl Value {
    /// The bytes of a value that has some.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) | Self::Text(bytes) => Some(bytes),
            Self::Number(_) | Self::Word(_) => None,
        }
    }

    /// As results are printed: bytes in hexadecimal, all else as it is.
    pub fn plain(&self) -> String {
        match self {
            Self::Bytes(bytes) | Self::Text(bytes) => hex(bytes),
            Self::Number(number) => number.to_string(),
            Self::Word(word) => (*word).to_owned(),
        }
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalcError {
    /// An input is too long or too short.
    #[error("{name} has {length} bytes; it takes {expected}")]
    Length {
        /// The input.
        name: &'static str,
        /// Its length in bytes.
        length: usize,
        /// What it takes.
        expected: &'static str,
    },
    /// ECB without padding works on whole blocks.
    #[error("{length} bytes are no whole blocks of 8 bytes")]
    Blocks {
        /// The length in bytes.
        length: usize,
    },
    /// The rounds of many blocks are more than anybody reads.
    #[error("{blocks} blocks are too many to show their rounds; it takes at most {most}")]
    Rounds {
        /// How many there are.
        blocks: usize,
        /// How many there may be.
        most: usize,
    },
    /// The last block does not end in PKCS#7 padding.
    #[error("what comes out does not end in PKCS#7 padding")]
    Padding,
    /// The modulus is even, or has too few values.
    #[error("p is no odd number above 4")]
    Modulus,
    /// A generator or public value is outside its range.
    #[error("{name} is not in 2..p-2")]
    Range {
        /// Which of them.
        name: &'static str,
    },
    /// An exponent that gives 1, or the value of a smaller exponent.
    #[error("x is not in 1..p-2")]
    Exponent,
    /// The exponent is a multiple of the order of g, or of half of it.
    #[error("the public value is 1 or p-1, which the other side refuses")]
    Public,
    /// The peer's value fixes the shared one.
    #[error("the shared value is 0, 1 or p-1: both sides would agree on what everybody knows")]
    Degenerate,
    /// A number of a record is beyond its bound.
    #[error("{0}")]
    Limit(#[from] ddes_cipher::LimitError),
    /// A record is not authentic.
    #[error("the tag is wrong: another key, number, associated data or ciphertext")]
    Tag,
    /// ML-KEM's checks of its inputs.
    #[error("{0}")]
    Kem(#[from] ddes_session::v2::kem::KemError),
    /// FIPS 203, section 7.3: a decapsulation key that was changed, or is of two keys.
    #[error("dk is no decapsulation key: SHA3-256 of the ek in it is not the H(ek) in it")]
    KemHash,
    /// Bytes that are no public key of Ed25519.
    #[error("{0}")]
    PublicKey(#[from] ddes_identity::KeyError),
    /// The signature does not verify.
    #[error("the signature is not this key's over this message")]
    Signature,
}

impl CalcError {
    /// Whether the inputs make sense, and what they should have proven is false.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Tag | Self::Signature | Self::Padding)
    }
}

impl Calculation {
    /// Works it out.
    ///
    /// # Errors
    ///
    /// If an input has a wrong length or value, or if what it should prove is false.
    pub fn work(&self) -> Result<Worked, CalcError> {
        match self {
            Self::Dh { group, private, peer } => dh::work(group, private, peer.as_deref()),
            Self::Hkdf { salt, ikm, expand } => kdf::hkdf(salt.as_deref(), ikm, expand.as_ref()),
            Self::HkdfExpand { prk, expand } => kdf::expand_only(prk, expand),
            Self::Hmac { key, input } => kdf::hmac_steps(key, input),
            Self::Des { key, input, decrypt, pad, rounds } => {
                blocks::des(key, input, *decrypt, *pad, *rounds)
            }
            Self::Ddes { key1, key2, input, decrypt, pad } => {
                blocks::ddes([key1, key2], input, *decrypt, *pad)
            }
            Self::Counter { key1, key2, n, length } => function::counter([key1, key2], *n, *length),
            Self::KeyPair { key1, key2 } => function::key_pair([key1, key2]),
            Self::Keys { function, key } => function::keys(*function, key),
            Self::Seal { function, key, n, ad, input } => {
                function::seal(*function, key, *n, ad, input)
            }
            Self::Open { function, key, n, ad, input } => {
                function::open(*function, key, *n, ad, input)
            }
            Self::Rekey { key } => function::rekey(key),
            Self::NoiseStart { name, prologue } => noise::start(name, prologue),
            Self::MixHash { h, data } => noise::mix_hash(h, data),
            Self::MixKey { ck, input } => noise::mix_key(ck, input),
            Self::NoiseSplit { ck } => noise::split(ck),
            Self::KemGenerate { seed } => kem::generate(seed),
            Self::KemEncapsulate { ek, m } => kem::encapsulate(ek, m),
            Self::KemDecapsulate { key, ciphertext } => kem::decapsulate(key, ciphertext),
            Self::Ed25519 { public, message, signature } => {
                signature::bare(public, message, signature)
            }
            Self::SshSig { namespace, public, message, signature } => {
                signature::ssh(*namespace, public, message, signature)
            }
        }
    }

    /// What it is called.
    pub fn title(&self) -> &'static str {
        self.label().0
    }

    /// Where it is specified.
    pub fn source(&self) -> &'static str {
        self.label().1
    }

    /// Its formula, one equation a line.
    pub fn formula(&self) -> &'static str {
        self.label().2
    }

    /// Title, source and formula.
    fn label(&self) -> Label {
        match self {
            Self::Dh { peer: None, .. } => dh::PUBLIC,
            Self::Dh { peer: Some(_), .. } => dh::SHARED,
            Self::Hkdf { expand: None, .. } => kdf::EXTRACT,
            Self::Hkdf { expand: Some(_), .. } => kdf::HKDF,
            Self::HkdfExpand { .. } => kdf::EXPAND,
            Self::Hmac { .. } => kdf::HMAC,
            Self::Des { decrypt: false, .. } => blocks::DES,
            Self::Des { decrypt: true, .. } => blocks::DES_BACK,
            Self::Ddes { decrypt: false, .. } => blocks::DDES,
            Self::Ddes { decrypt: true, .. } => blocks::DDES_BACK,
            Self::Counter { .. } => function::COUNTER,
            Self::KeyPair { .. } => function::KEY_PAIR,
            Self::Keys { function: Function::Ddes, .. } => function::KEYS,
            Self::Keys { function: Function::DdesChaCha, .. } => function::KEYS_CHACHA,
            Self::Seal { function: Function::Ddes, .. } => function::SEAL,
            Self::Seal { function: Function::DdesChaCha, .. } => function::SEAL_CHACHA,
            Self::Open { function: Function::Ddes, .. } => function::OPEN,
            Self::Open { function: Function::DdesChaCha, .. } => function::OPEN_CHACHA,
            Self::Rekey { .. } => function::REKEY,
            Self::NoiseStart { .. } => noise::START,
            Self::MixHash { .. } => noise::MIX_HASH,
            Self::MixKey { .. } => noise::MIX_KEY,
            Self::NoiseSplit { .. } => noise::SPLIT,
            Self::KemGenerate { .. } => kem::GENERATE,
            Self::KemEncapsulate { .. } => kem::ENCAPSULATE,
            Self::KemDecapsulate { .. } => kem::DECAPSULATE,
            Self::Ed25519 { .. } => signature::ED25519,
            Self::SshSig { .. } => signature::SSHSIG,
        }
    }
}

/// `name: bytes`.
fn named(name: impl Into<Cow<'static, str>>, bytes: impl Into<Vec<u8>>) -> Named {
    Named { name: name.into(), value: Value::Bytes(bytes.into()) }
}

/// A step of one value.
/// What is calculated, where it is defined, and its formula.
type Label = (&'static str, &'static str, &'static str);

fn step(name: impl Into<Cow<'static, str>>, bytes: impl Into<Vec<u8>>) -> Step {
    Step { name: name.into(), chain: vec![named("", bytes)] }
}

/// A step that only says that something is so.
fn holds(name: impl Into<Cow<'static, str>>) -> Step {
    let yes = Named { name: "".into(), value: Value::Word("yes") };
    Step { name: name.into(), chain: vec![yes] }
}

/// An input of an exact length.
fn exactly<const N: usize>(
    name: &'static str,
    bytes: &[u8],
    expected: &'static str,
) -> Result<[u8; N], CalcError> {
    bytes.try_into().map_err(|_| CalcError::Length { name, length: bytes.len(), expected })
}

/// An input within the bound.
fn bounded(name: &'static str, bytes: &[u8]) -> Result<(), CalcError> {
    if bytes.len() > INPUT_BYTES_MAX {
        return Err(CalcError::Length { name, length: bytes.len(), expected: "at most 1 MiB" });
    }
    Ok(())
}
