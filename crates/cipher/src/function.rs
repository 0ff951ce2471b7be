//! The authenticated cipher functions of D-DDES/2.

use alloc::vec;
use alloc::vec::Vec;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Block, DoubleDes, Engine, weak};

/// Length of a cipher function's key in bytes.
pub const KEY_BYTES: usize = 32;

/// A cipher function's key, wiped on drop.
pub type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Length of a tag in bytes.
pub const TAG_BYTES: usize = 16;

/// An authentication tag: the first 16 bytes of an HMAC-SHA256.
pub type Tag = [u8; TAG_BYTES];

/// The longest plaintext in bytes: 8190 blocks, whose count fits 16 bits.
pub const PLAINTEXT_BYTES_MAX: usize = BLOCKS_MAX * size_of::<Block>();

/// Upper bound of nonces, exclusive: a nonce is 48 bits of the block counter.
pub const NONCE_END: u64 = 1 << 48;

const BLOCKS_MAX: usize = 8190;

/// One of the two cipher functions of D-DDES/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// Double DES alone in counter mode: about 2^57 DES operations of secrecy.
    Ddes,
    /// Double DES and ChaCha20 (RFC 8439) under independent keys: as strong as the stronger of
    /// them.
    DdesChaCha,
}

/// A nonce or a length is out of range. Nothing was encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The nonce has more than 48 bits.
    #[error("all nonces of this key are used")]
    Nonce,
    /// The text is longer than [`PLAINTEXT_BYTES_MAX`].
    #[error("{length} bytes are too long for one message")]
    Length {
        /// The text's length in bytes.
        length: usize,
    },
}

/// Why a message was not decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The nonce or the length is out of range.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The tag is wrong: another key, nonce, associated data or ciphertext.
    #[error("the authentication tag is wrong")]
    Tag,
}

impl Function {
    /// Expands `key` once: HKDF-Expand-SHA256 to Key1, Key2, MacKey and, for DDESChaCha, ChaChaKey.
    pub fn key(self, key: &[u8; KEY_BYTES]) -> CipherKey {
        let mut okm = Zeroizing::new([0; OKM_BYTES]);
        let (info, length) = match self {
            Self::Ddes => (&b"D-DDES/2 DDES"[..], OKM_BYTES - KEY_BYTES),
            Self::DdesChaCha => (&b"D-DDES/2 DDESChaCha"[..], OKM_BYTES),
        };
        expand(key, info, &mut okm[..length]);
        let (key1, key2) = (part::<0, 8, _>(&okm), part::<8, 8, _>(&okm));
        let mac_key: Key = Zeroizing::new(part::<16, KEY_BYTES, _>(&okm));
        let (key1, key2) = weak::key_pair(key1, key2);
        CipherKey {
            double: DoubleDes::new(&key1, &key2),
            mac: mac(&mac_key),
            chacha: match self {
                Self::Ddes => None,
                Self::DdesChaCha => Some(Zeroizing::new(part::<48, KEY_BYTES, _>(&okm))),
            },
        }
    }

    /// `REKEY(k) = HKDF-Expand-SHA256(k, "D-DDES/2 rekey", 32)`.
    pub fn rekey(self, key: &[u8; KEY_BYTES]) -> Key {
        let mut next = Zeroizing::new([0; KEY_BYTES]);
        expand(key, b"D-DDES/2 rekey", next.as_mut());
        next
    }
}

/// An expanded key of a [`Function`]. Wiped on drop.
pub struct CipherKey {
    double: DoubleDes,
    mac: Hmac<Sha256>,
    chacha: Option<Key>,
}

impl ZeroizeOnDrop for CipherKey {}

impl CipherKey {
    /// Encrypts `text` in place.
    ///
    /// ```text
    /// ct  = pt XOR DDES-CTR [XOR ChaCha20(ChaChaKey, 0^4 || n little-endian, from block 0)]
    /// tag = HMAC-SHA256(MacKey, n || len(ad) || ad || ct)[0..16]
    /// ```
    pub fn seal(&self, nonce: u64, ad: &[u8], text: &mut [u8]) -> Result<Tag, LimitError> {
        self.seal_with(None, nonce, ad, text)
    }

    /// Like [`Self::seal`], but uses keystream from [`Self::ahead`] if it covers the record.
    pub fn seal_with(
        &self,
        ahead: Option<&Ahead>,
        nonce: u64,
        ad: &[u8],
        text: &mut [u8],
    ) -> Result<Tag, LimitError> {
        check_limits(nonce, text.len())?;
        self.apply_keystream(ahead, nonce, text);
        Ok(self.tag(nonce, ad, text))
    }

    /// Checks `tag` in constant time, and decrypts `text` in place only if it is right.
    pub fn open(&self, nonce: u64, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), OpenError> {
        self.open_with(None, nonce, ad, text, tag)
    }

    /// Like [`Self::open`], but uses keystream from [`Self::ahead`] if it covers the record.
    pub fn open_with(
        &self,
        ahead: Option<&Ahead>,
        nonce: u64,
        ad: &[u8],
        text: &mut [u8],
        tag: &Tag,
    ) -> Result<(), OpenError> {
        check_limits(nonce, text.len())?;
        if !bool::from(self.tag(nonce, ad, text).ct_eq(tag)) {
            return Err(OpenError::Tag);
        }
        self.apply_keystream(ahead, nonce, text);
        Ok(())
    }

    /// Keystream for up to `records` records of up to `length` bytes, from `nonce` on: as many as
    /// one batch of the engine holds.
    ///
    /// A batch takes as long as one short record, so this saves time from the second record on.
    pub fn ahead(&self, nonce: u64, records: usize, length: usize) -> Ahead {
        let each = length.div_ceil(size_of::<Block>()).clamp(1, BLOCKS_MAX);
        let room = Engine::batch_blocks() / each;
        let end = nonce.saturating_add(records.clamp(1, room.max(1)) as u64).min(NONCE_END);
        #[allow(clippy::cast_possible_truncation, reason = "at most `room` or 1")]
        let records = end.saturating_sub(nonce) as usize;
        let mut blocks = vec![[0; 8]; records * each];
        for (n, record) in (nonce..end).zip(blocks.chunks_exact_mut(each)) {
            count_from(n << 16, record);
        }
        self.double.encrypt(&mut blocks);
        Ahead { first: nonce, each, blocks }
    }

    /// `DDES-CTR = E(Key2, E(Key1, block(0))) || …`, `block(i) = n << 16 | i`.
    fn apply_keystream(&self, ahead: Option<&Ahead>, nonce: u64, text: &mut [u8]) {
        match ahead.and_then(|ahead| ahead.of(nonce, text.len())) {
            Some(blocks) => xor(text, blocks),
            None => self.apply_fresh_keystream(nonce, text),
        }
        if let Some(key) = &self.chacha {
            let mut iv = [0; 12];
            iv[4..].copy_from_slice(&nonce.to_le_bytes());
            ChaCha20::new((&**key).into(), &iv.into()).apply_keystream(text);
        }
    }

    fn apply_fresh_keystream(&self, nonce: u64, text: &mut [u8]) {
        let mut blocks = [[0; 8]; BATCH_BLOCKS];
        let mut counter = nonce << 16;
        for batch in text.chunks_mut(BATCH_BLOCKS * size_of::<Block>()) {
            let count = batch.len().div_ceil(size_of::<Block>());
            let used = &mut blocks[..count];
            self.double.encrypt_counters(counter, used);
            counter += count as u64;
            xor(batch, used);
            wipe(used);
        }
    }

    fn tag(&self, nonce: u64, ad: &[u8], text: &[u8]) -> Tag {
        let mut mac = self.mac.clone();
        mac.update(&nonce.to_be_bytes());
        mac.update(&(ad.len() as u64).to_be_bytes());
        mac.update(ad);
        mac.update(text);
        let mut whole: [u8; KEY_BYTES] = mac.finalize().into_bytes().into();
        let tag = part::<0, TAG_BYTES, _>(&whole);
        whole.zeroize();
        tag
    }
}

/// Double DES keystream for later records, computed in one batch ([`CipherKey::ahead`]). Wiped on
/// drop.
pub struct Ahead {
    first: u64,
    /// Blocks for each record.
    each: usize,
    blocks: Vec<Block>,
}

impl ZeroizeOnDrop for Ahead {}

impl Drop for Ahead {
    fn drop(&mut self) {
        wipe(&mut self.blocks);
    }
}

impl Ahead {
    /// Whether it holds the keystream for a record of `length` bytes with this nonce.
    pub fn covers(&self, nonce: u64, length: usize) -> bool {
        self.of(nonce, length).is_some()
    }

    fn of(&self, nonce: u64, length: usize) -> Option<&[Block]> {
        let record = usize::try_from(nonce.checked_sub(self.first)?).ok()?;
        let blocks = self.blocks.get(record.checked_mul(self.each)?..)?.get(..self.each)?;
        blocks.get(..length.div_ceil(size_of::<Block>()))
    }
}

impl core::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Ahead(..)")
    }
}

/// Zeros blocks at the speed of memory. `zeroize` writes byte by byte, which takes half as long as
/// computing the keystream.
fn wipe(blocks: &mut [Block]) {
    blocks.fill([0; 8]);
    // Keeps the compiler from removing the writes: it must assume that this reads them.
    core::hint::black_box(blocks);
}

/// Fills `blocks` with the big-endian counters from `first` on.
fn count_from(first: u64, blocks: &mut [Block]) {
    for (counter, block) in (first..).zip(blocks) {
        *block = counter.to_be_bytes();
    }
}

fn xor(text: &mut [u8], keystream: &[Block]) {
    for (byte, key) in text.iter_mut().zip(keystream.as_flattened()) {
        *byte ^= key;
    }
}

impl core::fmt::Debug for CipherKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CipherKey(..)")
    }
}

fn check_limits(nonce: u64, length: usize) -> Result<(), LimitError> {
    if nonce >= NONCE_END {
        return Err(LimitError::Nonce);
    }
    if length > PLAINTEXT_BYTES_MAX {
        return Err(LimitError::Length { length });
    }
    Ok(())
}

#[allow(clippy::expect_used, reason = "RFC 5869 gives up to 8160 bytes; ours are 80 at most")]
fn expand(key: &[u8; KEY_BYTES], info: &[u8], okm: &mut [u8]) {
    let hkdf = Hkdf::<Sha256>::from_prk(key).expect("a key as long as the hash");
    hkdf.expand(info, okm).expect("an output far below the bound");
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &Key) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.as_ref()).expect("a key of any length")
}

/// The `N` bytes of `whole` from `AT` on; the compiler checks that they lie inside.
fn part<const AT: usize, const N: usize, const WHOLE: usize>(whole: &[u8; WHOLE]) -> [u8; N] {
    const { assert!(AT + N <= WHOLE) };
    core::array::from_fn(|i| whole[AT + i])
}

/// Bytes of Key1, Key2, MacKey and ChaChaKey, in this order.
const OKM_BYTES: usize = 8 + 8 + KEY_BYTES + KEY_BYTES;

/// Blocks of keystream computed at a time: a batch of the widest engine.
const BATCH_BLOCKS: usize = 512;
