//! The classic profile's mode: PKCS#7 padding to 8 bytes, then ECB.
//!
//! ```text
//! pad(m)  = m ‖ n bytes of value n,  n = 8 - (len(m) mod 8)      (RFC 5652, section 6.3)
//! seal(m) = DDES_E(pad(m)), block by block, no IV
//! ```
//!
//! Equal blocks give equal ciphertext. This weakness is a lesson of the classic profile, and
//! intended.

use alloc::vec::Vec;

use crate::{Block, DoubleDes};

const BLOCK_BYTES: usize = size_of::<Block>();

/// Why a ciphertext was not decrypted to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcbError {
    /// The ciphertext is empty, or not a multiple of 8 bytes long.
    Length,
    /// The decrypted last block does not end in PKCS#7 padding.
    Padding,
}

/// `DDES_E(pad(message))`: always 1 to 8 bytes longer than `message`.
pub fn seal(key: &DoubleDes, message: &[u8]) -> Vec<u8> {
    let padding = BLOCK_BYTES - message.len() % BLOCK_BYTES;
    let mut bytes = Vec::with_capacity(message.len() + padding);
    bytes.extend_from_slice(message);
    // `padding` is 1 to 8.
    #[allow(clippy::cast_possible_truncation, reason = "at most BLOCK_BYTES")]
    bytes.resize(message.len() + padding, padding as u8);
    key.encrypt(bytes.as_chunks_mut().0);
    bytes
}

/// The message whose [`seal`] is `ciphertext`.
///
/// Padding is checked without an early exit. The two errors differ on purpose: the classic profile
/// authenticates before it decrypts, so neither is an oracle.
pub fn open(key: &DoubleDes, ciphertext: &[u8]) -> Result<Vec<u8>, EcbError> {
    if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK_BYTES) {
        return Err(EcbError::Length);
    }
    let mut bytes = ciphertext.to_vec();
    key.decrypt(bytes.as_chunks_mut().0);
    let message = bytes.len() - padding(&bytes).ok_or(EcbError::Padding)?;
    bytes.truncate(message);
    Ok(bytes)
}

fn padding(bytes: &[u8]) -> Option<usize> {
    let last = bytes.last_chunk::<BLOCK_BYTES>()?;
    let n = last[BLOCK_BYTES - 1];
    let mut wrong = u8::from(n == 0) | u8::from(usize::from(n) > BLOCK_BYTES);
    for (i, byte) in (1u8..).zip(last.iter().rev()) {
        wrong |= u8::from(i <= n) & u8::from(*byte != n);
    }
    (wrong == 0).then_some(usize::from(n))
}
