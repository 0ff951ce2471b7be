//! The Noise Protocol Framework, revision 34: patterns NN and NNhfs.
//!
//! ```text
//! NN      -> e            NNhfs   -> e, e1
//!         <- e, ee                <- e, ee, ekem1
//! ```
//!
//! Generic over the DH function and the cipher function, so that published vectors run through the
//! code that production runs. Each message function consumes the state before it.

use ddes_cipher::{KEY_BYTES, Key, LimitError, OpenError, TAG_BYTES, Tag};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::kem::{self, DecapsulationKey, KemError};

/// The operations that Noise requires of a DH function (section 4.1).
pub trait Dh {
    /// A private key; using it consumes it.
    type Private;
    /// Why [`Self::check`] or [`Self::agree`] refuses a peer's public value.
    type Error: std::error::Error;

    /// DHLEN: length of public values in bytes.
    fn public_len(&self) -> usize;
    /// Checks a peer's public value as far as is possible without an exponentiation.
    fn check(&self, public: &[u8]) -> Result<(), Self::Error>;
    /// `GENERATE_KEYPAIR`: a private key and its public value, from the caller's random bytes.
    fn generate(&self, entropy: &[u8]) -> (Self::Private, Vec<u8>);
    /// `DH(private, public)`: the shared value, DHLEN bytes, or why the public value is refused.
    fn agree(
        &self,
        private: Self::Private,
        public: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Self::Error>;
}

/// The operations that Noise requires of a cipher function (section 4.2).
pub trait Cipher {
    /// A key after key expansion, reused for every message under it.
    type Key;

    /// Expands a key of [`KEY_BYTES`] for use in [`Self::seal`] and [`Self::open`].
    fn key(&self, key: &[u8; KEY_BYTES]) -> Self::Key;
    /// `ENCRYPT(k, n, ad, text)`: encrypts `text` in place and returns its tag.
    fn seal(key: &Self::Key, nonce: u64, ad: &[u8], text: &mut [u8]) -> Result<Tag, LimitError>;
    /// `DECRYPT(k, n, ad, text || tag)`: verifies the tag, then decrypts `text` in place.
    fn open(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        text: &mut [u8],
        tag: &Tag,
    ) -> Result<(), OpenError>;
}

/// A concrete protocol: a pattern with its DH and cipher functions (section 8).
#[derive(Clone, Debug)]
pub struct Protocol<D, C> {
    /// The protocol's Noise name, which initializes the handshake hash.
    pub name: &'static str,
    /// The DH function of tokens `e` and `ee`.
    pub dh: D,
    /// The cipher function of the handshake's encrypted parts.
    pub cipher: C,
    /// Whether the pattern has the modifier hfs, with ML-KEM-768.
    pub hfs: bool,
}

/// The randomness of one side of one handshake, drawn by the caller and wiped on drop.
pub struct Entropy {
    /// Seed of the DH key pair, as long as the DH function requires.
    pub dh: Zeroizing<Vec<u8>>,
    /// For ML-KEM: `d || z` on the initiator's side; the responder's `m` is its first 32 bytes.
    pub kem: Zeroizing<[u8; kem::SEED_BYTES]>,
}

impl ZeroizeOnDrop for Entropy {}

/// Why a handshake message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError<E: std::error::Error> {
    /// Shorter than the pattern's tokens.
    #[error("the handshake message is too short")]
    Length,
    /// The DH function refuses the public value.
    #[error("the public value: {0}")]
    Dh(E),
    /// ML-KEM refuses the key or ciphertext.
    #[error(transparent)]
    Kem(#[from] KemError),
    /// An encrypted part of the message is not authentic.
    #[error(transparent)]
    Open(OpenError),
    /// A payload is too long.
    #[error(transparent)]
    Limit(LimitError),
}

/// What both sides derive from the handshake.
#[derive(Debug)]
pub struct Finished {
    /// `h`, the handshake hash: unique to this handshake, and the same on both sides.
    pub hash: [u8; 32],
    /// Key of the records to the server (the responder).
    pub to_server: Key,
    /// Key of the records to the client (the initiator).
    pub to_client: Key,
}

impl ZeroizeOnDrop for Finished {}

/// What the initiator gets from the second message: the keys, and its payload.
pub type InitiatorOutcome = (Finished, Vec<u8>);

/// One step of a handshake with its state after it: for those who want to see it calculated.
///
/// A session keeps none. They are made by [`Initiator::start_traced`] and [`respond_traced`].
pub struct HandshakeStep {
    /// What is mixed in: `name`, `prologue`, `e`, `e1`, `payload`, `ee`, `ekem1`; `split` at the
    /// end.
    pub what: &'static str,
    /// What the step does with [`Self::input`].
    pub operation: SymmetricOperation,
    /// The bytes that are mixed in; of a key, the shared secret.
    pub input: Zeroizing<Vec<u8>>,
    /// `h` after the step.
    pub hash: [u8; 32],
    /// `ck` after the step.
    pub chaining_key: Key,
    /// `k` after the step; `None` before the first MixKey.
    pub key: Option<Key>,
}

impl ZeroizeOnDrop for HandshakeStep {}

impl std::fmt::Debug for HandshakeStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Step({:?} {})", self.operation, self.what)
    }
}

/// The operations of a SymmetricState (section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymmetricOperation {
    /// `h = ck = HASH(name)`, or the name and zeros if it is shorter than a hash.
    InitializeSymmetric,
    /// `h = HASH(h || input)`.
    MixHash,
    /// `ck, k = HKDF(ck, input, 2)`, and the nonce is 0.
    MixKey,
    /// The input was encrypted or opened under `k` with `h` before the step as associated data;
    /// then MixHash of the sealed bytes, which are the input here.
    SealAndHash,
    /// The keys of the two directions: `HKDF(ck, "", 2)`. The input is both, to the server first.
    Split,
}

/// The initiator, after it sent its message and before it received the responder's.
pub struct Initiator<D: Dh, C: Cipher> {
    protocol: Protocol<D, C>,
    symmetric: SymmetricState<C>,
    private: D::Private,
    decapsulation: Option<DecapsulationKey>,
}

impl<D: Dh, C: Cipher> Initiator<D, C> {
    /// `-> e[, e1]`, then the payload: the initiator's state and the first message, to send.
    pub fn start(
        protocol: Protocol<D, C>,
        prologue: &[u8],
        entropy: &Entropy,
        payload: &[u8],
    ) -> (Self, Vec<u8>) {
        let symmetric = SymmetricState::new(protocol.name, prologue, None);
        Self::begin(protocol, symmetric, entropy, payload)
    }

    /// Like [`Self::start`], for [`Self::finish_traced`].
    pub fn start_traced(
        protocol: Protocol<D, C>,
        prologue: &[u8],
        entropy: &Entropy,
        payload: &[u8],
    ) -> (Self, Vec<u8>) {
        let symmetric = SymmetricState::new(protocol.name, prologue, Some(Vec::new()));
        Self::begin(protocol, symmetric, entropy, payload)
    }

    fn begin(
        protocol: Protocol<D, C>,
        mut symmetric: SymmetricState<C>,
        entropy: &Entropy,
        payload: &[u8],
    ) -> (Self, Vec<u8>) {
        let (private, mut message) = protocol.dh.generate(&entropy.dh);
        symmetric.mix_hash("e", &message);
        let decapsulation = protocol.hfs.then(|| {
            let (private, public) = DecapsulationKey::generate(&entropy.kem);
            // No key yet: EncryptAndHash is MixHash.
            symmetric.mix_hash("e1", &public);
            message.extend(public);
            private
        });
        symmetric.mix_hash("payload", payload);
        message.extend_from_slice(payload);
        (Self { protocol, symmetric, private, decapsulation }, message)
    }

    /// `<- e, ee[, ekem1]`: processes the second message, and returns the keys and its payload.
    pub fn finish(self, message: &[u8]) -> Result<InitiatorOutcome, NoiseError<D::Error>> {
        self.finish_traced(message).map(|(answer, _)| answer)
    }

    /// Like [`Self::finish`], with all steps if [`Self::start_traced`] began.
    pub fn finish_traced(
        self,
        message: &[u8],
    ) -> Result<(InitiatorOutcome, Vec<HandshakeStep>), NoiseError<D::Error>> {
        let Self { protocol, mut symmetric, private, decapsulation } = self;
        let (public, mut rest) = split(message, protocol.dh.public_len())?;
        symmetric.mix_hash("e", public);
        symmetric.mix_key(
            "ee",
            &protocol.cipher,
            &protocol.dh.agree(private, public).map_err(NoiseError::Dh)?,
        );
        if let Some(decapsulation) = decapsulation {
            let (sealed, after) = split(rest, kem::CIPHERTEXT_BYTES + TAG_BYTES)?;
            let ciphertext = symmetric.open_and_hash("ekem1", sealed)?;
            let secret = decapsulation.decapsulate(&ciphertext)?;
            symmetric.mix_key("ekem1", &protocol.cipher, secret.as_ref());
            rest = after;
        }
        let payload = symmetric.open_and_hash("payload", rest)?;
        let (finished, steps) = symmetric.finish();
        Ok(((finished, payload), steps))
    }
}

impl<D: Dh, C: Cipher> std::fmt::Debug for Initiator<D, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Initiator(..)")
    }
}

/// The responder's result: the handshake is complete on its side.
#[derive(Debug)]
pub struct Response {
    /// The keys and the hash of the handshake.
    pub finished: Finished,
    /// The second message, to send to the initiator.
    pub message: Vec<u8>,
    /// The payload of the initiator's message.
    pub payload: Vec<u8>,
}

/// The parts of a first message, its public values checked.
struct First<'a> {
    public: &'a [u8],
    kem: Option<kem::EncapsulationKey>,
    kem_bytes: &'a [u8],
    payload: &'a [u8],
}

/// Splits a first message and checks both public values: nothing is computed for a bad one.
fn read_first<'a, D: Dh, C>(
    protocol: &Protocol<D, C>,
    message: &'a [u8],
) -> Result<First<'a>, NoiseError<D::Error>> {
    let (public, rest) = split(message, protocol.dh.public_len())?;
    let (kem_bytes, payload) =
        if protocol.hfs { split(rest, kem::PUBLIC_BYTES)? } else { (&[][..], rest) };
    protocol.dh.check(public).map_err(NoiseError::Dh)?;
    let kem = protocol.hfs.then(|| kem::EncapsulationKey::check(kem_bytes)).transpose()?;
    Ok(First { public, kem, kem_bytes, payload })
}

/// Checks a first message as far as is possible without an exponentiation or an encapsulation: in
/// some microseconds.
pub fn check<D: Dh, C>(
    protocol: &Protocol<D, C>,
    message: &[u8],
) -> Result<(), NoiseError<D::Error>> {
    read_first(protocol, message).map(drop)
}

/// The responder's whole handshake: processes the first message and builds the second.
pub fn respond<D: Dh, C: Cipher>(
    protocol: &Protocol<D, C>,
    prologue: &[u8],
    entropy: &Entropy,
    message: &[u8],
    payload: &[u8],
) -> Result<Response, NoiseError<D::Error>> {
    let symmetric = SymmetricState::new(protocol.name, prologue, None);
    answer(protocol, symmetric, entropy, message, payload).map(|(response, _)| response)
}

/// Like [`respond`], with all steps.
pub fn respond_traced<D: Dh, C: Cipher>(
    protocol: &Protocol<D, C>,
    prologue: &[u8],
    entropy: &Entropy,
    message: &[u8],
    payload: &[u8],
) -> Result<(Response, Vec<HandshakeStep>), NoiseError<D::Error>> {
    let symmetric = SymmetricState::new(protocol.name, prologue, Some(Vec::new()));
    answer(protocol, symmetric, entropy, message, payload)
}

fn answer<D: Dh, C: Cipher>(
    protocol: &Protocol<D, C>,
    mut symmetric: SymmetricState<C>,
    entropy: &Entropy,
    message: &[u8],
    payload: &[u8],
) -> Result<(Response, Vec<HandshakeStep>), NoiseError<D::Error>> {
    let First { public: peer, kem, kem_bytes, payload: rest } = read_first(protocol, message)?;
    symmetric.mix_hash("e", peer);
    let encapsulation = kem.map(|key| {
        // No key yet: EncryptAndHash is MixHash.
        symmetric.mix_hash("e1", kem_bytes);
        key.encapsulate(encapsulation_message(&entropy.kem))
    });
    symmetric.mix_hash("payload", rest);

    let (private, mut answer) = protocol.dh.generate(&entropy.dh);
    symmetric.mix_hash("e", &answer);
    let shared = protocol.dh.agree(private, peer).map_err(NoiseError::Dh)?;
    symmetric.mix_key("ee", &protocol.cipher, &shared);
    if let Some((ciphertext, secret)) = encapsulation {
        let sealed = symmetric.seal_and_hash("ekem1", ciphertext).map_err(NoiseError::Limit)?;
        answer.extend(sealed);
        symmetric.mix_key("ekem1", &protocol.cipher, secret.as_ref());
    }
    let sealed = symmetric.seal_and_hash("payload", payload.to_vec()).map_err(NoiseError::Limit)?;
    answer.extend(sealed);
    let (finished, steps) = symmetric.finish();
    Ok((Response { finished, message: answer, payload: rest.to_vec() }, steps))
}

/// The SymmetricState of section 5.2, with the one CipherState (section 5.1) of these patterns.
struct SymmetricState<C: Cipher> {
    chaining_key: Key,
    hash: [u8; 32],
    cipher: Option<CipherState<C>>,
    /// The steps so far, if somebody wants to see them. Boxed: mostly nobody does.
    trace: Option<Box<StepTrace>>,
}

/// The steps so far, and `k` as it was before its expansion.
struct StepTrace {
    steps: Vec<HandshakeStep>,
    key: Option<Key>,
}

struct CipherState<C: Cipher> {
    key: C::Key,
    nonce: u64,
}

impl<C: Cipher> SymmetricState<C> {
    /// `InitializeSymmetric(name)` of section 5.2, then `MixHash(prologue)`.
    fn new(name: &str, prologue: &[u8], trace: Option<Vec<HandshakeStep>>) -> Self {
        let hash = match name.len() {
            length @ ..=32 => {
                let mut hash = [0; 32];
                hash.iter_mut().zip(name.bytes()).take(length).for_each(|(to, from)| *to = from);
                hash
            }
            _ => Sha256::digest(name).into(),
        };
        let trace = trace.map(|steps| Box::new(StepTrace { steps, key: None }));
        let mut state = Self { chaining_key: Zeroizing::new(hash), hash, cipher: None, trace };
        state.note("name", SymmetricOperation::InitializeSymmetric, name.as_bytes());
        state.mix_hash("prologue", prologue);
        state
    }

    /// `h = HASH(h || data)`.
    fn mix_hash(&mut self, what: &'static str, data: &[u8]) {
        self.absorb(data);
        self.note(what, SymmetricOperation::MixHash, data);
    }

    fn absorb(&mut self, data: &[u8]) {
        self.hash = Sha256::new().chain_update(self.hash).chain_update(data).finalize().into();
    }

    /// Keeps a step and the state after it, if the handshake is traced.
    fn note(&mut self, what: &'static str, operation: SymmetricOperation, input: &[u8]) {
        let Some(trace) = &mut self.trace else { return };
        trace.steps.push(HandshakeStep {
            what,
            operation,
            input: Zeroizing::new(input.to_vec()),
            hash: self.hash,
            chaining_key: self.chaining_key.clone(),
            key: trace.key.clone(),
        });
    }

    /// `ck, k = HKDF(ck, input, 2)`, and a CipherState of `k`.
    fn mix_key(&mut self, what: &'static str, cipher: &C, input: &[u8]) {
        let (chaining_key, key) = hkdf2(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.cipher = Some(CipherState { key: cipher.key(&key), nonce: 0 });
        if let Some(trace) = &mut self.trace {
            trace.key = Some(key);
            self.note(what, SymmetricOperation::MixKey, input);
        }
    }

    /// `EncryptAndHash(text)`: without a key yet, the text itself.
    fn seal_and_hash(
        &mut self,
        what: &'static str,
        mut text: Vec<u8>,
    ) -> Result<Vec<u8>, LimitError> {
        if let Some(cipher) = &mut self.cipher {
            let tag = C::seal(&cipher.key, cipher.nonce, &self.hash, &mut text)?;
            cipher.nonce += 1;
            text.extend(tag);
        }
        self.absorb(&text);
        self.note(what, SymmetricOperation::SealAndHash, &text);
        Ok(text)
    }

    /// `DecryptAndHash(sealed)`: without a key yet, the bytes themselves.
    fn open_and_hash<E: std::error::Error>(
        &mut self,
        what: &'static str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, NoiseError<E>> {
        let mut text = sealed.to_vec();
        if let Some(cipher) = &mut self.cipher {
            let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(NoiseError::Length)?;
            text.truncate(body.len());
            C::open(&cipher.key, cipher.nonce, &self.hash, &mut text, tag)
                .map_err(NoiseError::Open)?;
            cipher.nonce += 1;
        }
        self.absorb(sealed);
        self.note(what, SymmetricOperation::SealAndHash, sealed);
        Ok(text)
    }

    /// `Split()`: the keys of the two directions.
    fn finish(mut self) -> (Finished, Vec<HandshakeStep>) {
        let (to_server, to_client) = hkdf2(&self.chaining_key, &[]);
        if self.trace.is_some() {
            let both = Zeroizing::new([&to_server[..], &to_client[..]].concat());
            self.note("split", SymmetricOperation::Split, &both);
        }
        let steps = self.trace.map_or_else(Vec::new, |trace| trace.steps);
        (Finished { hash: self.hash, to_server, to_client }, steps)
    }
}

/// Noise's `HKDF(ck, input, 2)`: RFC 5869's with `ck` as salt, no info, 64 bytes.
#[allow(clippy::expect_used, reason = "RFC 5869 gives up to 8160 bytes; these are 64")]
fn hkdf2(chaining_key: &Key, input: &[u8]) -> (Key, Key) {
    let mut okm = Zeroizing::new([[0; 32]; 2]);
    let (mut prk, hkdf) = Hkdf::<Sha256>::extract(Some(chaining_key.as_ref()), input);
    // Both keys can be derived from it.
    prk.as_mut_slice().zeroize();
    hkdf.expand(&[], okm.as_flattened_mut()).expect("an output far below the bound");
    (Zeroizing::new(okm[0]), Zeroizing::new(okm[1]))
}

fn split<E: std::error::Error>(message: &[u8], at: usize) -> Result<(&[u8], &[u8]), NoiseError<E>> {
    message.split_at_checked(at).ok_or(NoiseError::Length)
}

/// The responder's `m`: the first 32 of the 64 random bytes that either side draws.
#[allow(clippy::expect_used, reason = "the compiler checks the lengths")]
fn encapsulation_message(seed: &[u8; kem::SEED_BYTES]) -> &[u8; kem::MESSAGE_BYTES] {
    const { assert!(kem::MESSAGE_BYTES <= kem::SEED_BYTES) }
    seed.first_chunk().expect("a seed is at least as long as a message")
}
