//! Double DES: every block encrypted twice, under two independent DES keys.
//!
//! ```text
//! DDES_E(m) = E(Key2, E(Key1, m))        DDES_D(c) = D(Key1, D(Key2, c))
//! ```
//!
//! `E` and `D` are DES (FIPS 46-3). Two keys of 56 bits do not give 112 bits of strength: a
//! meet-in-the-middle needs about 2^57 DES operations (Diffie and Hellman, 1977).
//!
//! This crate is independent of the protocol. [`DoubleDes`] works on whole blocks in place; [`ecb`]
//! adds the padding and the block-by-block mode of the classic profile; [`Function`] gives the
//! authenticated cipher functions of D-DDES/2, DDES and DDESChaCha.

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
