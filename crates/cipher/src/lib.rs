//! Double DES: every block encrypted twice, under two independent DES keys.
//!
//! ```text
//! DDES_E(m) = E(Key2, E(Key1, m))        DDES_D(c) = D(Key1, D(Key2, c))
//! ```
//!
//! `E` and `D` are DES (FIPS 46-3). Two keys of 56 bits do not give 112 bits of strength: a
//! meet-in-the-middle needs about 2^57 DES operations (Diffie and Hellman, 1977).
//!
//! This crate is independent of the protocol.
//!
//! | I want to … | type |
//! |---|---|
//! | encrypt and authenticate messages | [`Function`], [`CipherKey`] |
//! | compute keystream before the message is there | [`CipherKey::ahead`] |
//! | encrypt whole blocks twice, or once | [`DoubleDes`], [`Des`] |
//! | encrypt as the classic profile does, with padding and block by block | [`ecb`] |
//! | make two keys from bytes, neither of them weak | [`key_pair`] |
//! | choose how many blocks are computed at a time | [`Engine`] |
//! | search for a key | [`KeySearch`], [`KeySpace`] |
//! | meet in the middle | [`KeyBlocks`] |
//!
//! ```
//! use ddes_cipher::{Function, OpenError};
//!
//! let key = Function::DdesChaCha.key(&[7; 32]);
//! let mut text = *b"42, 50";
//! // A number, never used twice under a key, and what is authenticated beside the text.
//! let tag = key.seal(0, b"header", &mut text)?;
//! assert_ne!(&text, b"42, 50");
//! assert_eq!(key.open(1, b"header", &mut text, &tag), Err(OpenError::Tag));
//! key.open(0, b"header", &mut text, &tag)?;
//! assert_eq!(&text, b"42, 50");
//! # Ok::<(), OpenError>(())
//! ```
//!
//! One block of FIPS 81, and its key found again where eight of its bits are known to be missing:
//!
//! ```
//! use ddes_cipher::{Des, DesKey, Engine, KeySearch, KeySpace, Passes};
//!
//! let key = DesKey::new(0x0123_4567_89ab_cdef_u64.to_be_bytes());
//! let text = *b"Now is t";
//! let mut blocks = [text];
//! Des::new(&key).encrypt(&mut blocks);
//! assert_eq!(u64::from_be_bytes(blocks[0]), 0x3fa4_0e8a_984d_4815);
//!
//! let search = KeySearch::new(Passes::One, text, blocks[0]);
//! let space = KeySpace::around(&key, 0xff);
//! let mut found = Vec::new();
//! for slice in 0..space.slices() {
//!     search.scan(Engine::best(64), &space, slice, &mut |number| found.push(space.key(number)));
//! }
//! assert!(found.iter().any(|found| found.bits() == key.bits()));
//! ```

#![no_std]

extern crate alloc;

mod bitslice;
mod des;
mod double;
pub mod ecb;
mod function;
mod weak;

pub use crate::bitslice::{Engine, KeyBlocks, KeySearch, KeySpace, Passes, SearchDirection};
pub use crate::des::{Block, Des, DesKey};
pub use crate::double::DoubleDes;
pub use crate::function::{
    Ahead, CipherKey, Function, KEY_BYTES, Key, LimitError, NONCE_END, OpenError,
    PLAINTEXT_BYTES_MAX, TAG_BYTES, Tag,
};
pub use crate::weak::key_pair;
