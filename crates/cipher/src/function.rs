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

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;

/// A cipher function's key, wiped on drop.
pub type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Length of a tag in bytes.
pub const TAG_BYTES: usize = 16;

/// HMAC-SHA256, its first 16 bytes.
pub type Tag = [u8; TAG_BYTES];

/// The longest plaintext in bytes: blocks are counted in 16 bits, up to 8190 of them.
pub const PLAINTEXT_BYTES_MAX: usize = BLOCKS_MAX * size_of::<Block>();

/// Nonces are below this: they are 48 bits of the block counter.
pub const NONCE_END: u64 = 1 << 48;

const BLOCKS_MAX: usize = 8190;

/// Which of the two cipher functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// Double DES alone in counter mode: about 2^57 DES operations of secrecy.
    Ddes,
    /// Double DES and ChaCha20 (RFC 8439) under independent keys: as strong as the stronger.
    DdesChaCha,
}

/// What is beyond the function's range. Nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The nonce has more than 48 bits.
    #[error("all nonces of this key are used")]
    Nonce,
    /// The text is longer than [`PLAINTEXT_BYTES_MAX`].
    #[error("{length} bytes are too long for one message")]
    Length {
        /// Its length.
        length: usize,
    },
}

/// Why a message did not open. Nothing of it was decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Beyond the function's range.
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
        expand(key, info, okm.get_mut(..length).unwrap_or(&mut []));
        let [key1, key2] = [array_at(okm.as_ref(), 0), array_at(okm.as_ref(), 8)];
        let mac_key: Key = Zeroizing::new(array_at(okm.as_ref(), 16));
        let (key1, key2) = weak::key_pair(key1, key2);
        CipherKey {
            double: DoubleDes::new(&key1, &key2),
            mac: mac(&mac_key),
            chacha: match self {
                Self::Ddes => None,
                Self::DdesChaCha => Some(Zeroizing::new(array_at(okm.as_ref(), 48))),
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

    /// As [`Self::seal`], with keystream of this key that may be there already.
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

    /// Checks `tag` in constant time; decrypts `text` in place only if it is right.
    pub fn open(&self, nonce: u64, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), OpenError> {
        self.open_with(None, nonce, ad, text, tag)
    }

    /// As [`Self::open`], with keystream of this key that may be there already.
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

    /// Keystream for `records` records of up to `length` bytes, from `nonce` on: as many of them as
    /// one batch of the engine has room for.
    ///
    /// One short record costs as much as a batch of them, so this pays from the second record on.
    pub fn ahead(&self, nonce: u64, records: usize, length: usize) -> Ahead {
        let each = length.div_ceil(size_of::<Block>()).clamp(1, BLOCKS_MAX);
        let room = Engine::batch_blocks() / each;
        let end = nonce.saturating_add(records.clamp(1, room.max(1)) as u64).min(NONCE_END);
        let records = usize::try_from(end.saturating_sub(nonce)).unwrap_or(0);
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
            if let Some(low) = iv.last_chunk_mut() {
                *low = nonce.to_le_bytes();
            }
            ChaCha20::new((&**key).into(), &iv.into()).apply_keystream(text);
        }
    }

    fn apply_fresh_keystream(&self, nonce: u64, text: &mut [u8]) {
        let mut blocks = [[0; 8]; BATCH_BLOCKS];
        let mut counter = nonce << 16;
        for batch in text.chunks_mut(BATCH_BLOCKS * size_of::<Block>()) {
            let count = batch.len().div_ceil(size_of::<Block>());
            let used = blocks.get_mut(..count).unwrap_or(&mut []);
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
        let tag = array_at(&whole, 0);
        whole.zeroize();
        tag
    }
}

/// Double DES keystream of records to come, made in one batch: [`CipherKey::ahead`]. Wiped on drop.
pub struct Ahead {
    first: u64,
    /// Blocks of each record.
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
    /// Whether it has what a record of `length` bytes wants.
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

/// Zeros, at the speed of memory: `zeroize` writes byte by byte, which for keystream takes half as
/// long as making it.
fn wipe(blocks: &mut [Block]) {
    blocks.fill([0; 8]);
    // The compiler may not leave out what something it cannot see might read.
    core::hint::black_box(blocks);
}

/// Big-endian counters.
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

/// `N` bytes of `whole` from `at`; the callers' ranges lie inside.
fn array_at<const N: usize>(whole: &[u8], at: usize) -> [u8; N] {
    core::array::from_fn(|i| whole.get(at + i).copied().unwrap_or(0))
}

/// Key1, Key2, MacKey, ChaChaKey.
const OKM_BYTES: usize = 8 + 8 + KEY_BYTES + KEY_BYTES;

/// Blocks of keystream made at a time: the widest engine's batch.
const BATCH_BLOCKS: usize = 512;
