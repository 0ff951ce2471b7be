//! The messages of the original programs. Weak on purpose; see PROTOCOL.md, rules C-01 to C-24.

mod key;
pub mod text;

pub use key::{DhKeyError, DhPublicKey, der_of_pem};

use crate::{Amount, ClientId, Token, Total};

/// The longest body that is accepted, in bytes. The originals have no bound (rule C-02).
pub const BODY_MAX: u32 = 64 * 1024;

/// Length of an HMAC-SHA256.
pub const HMAC_BYTES: usize = 32;

/// The body of the client's 30: `ciphertext ‖ token ‖ HMAC` (rule C-11).
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Double DES of the plaintext.
    pub ciphertext: &'a [u8],
    /// The session token, in the clear.
    pub token: &'a [u8; Token::BYTES],
    /// HMAC over `ciphertext ‖ token`.
    pub hmac: &'a [u8; HMAC_BYTES],
    /// What the HMAC covers.
    pub authenticated: &'a [u8],
}

impl<'a> Data<'a> {
    /// Splits a body, starting at its end; `None` if it is too short to have a token and an HMAC.
    pub fn decode(body: &'a [u8]) -> Option<Self> {
        let (authenticated, hmac) = body.split_last_chunk()?;
        let (ciphertext, token) = authenticated.split_last_chunk()?;
        Some(Self { ciphertext, token, hmac, authenticated })
    }
}

/// The body of the server's 40: `ciphertext ‖ HMAC` (rule C-15).
#[derive(Clone, Copy, Debug)]
pub struct AggregateResult<'a> {
    /// Double DES of the sum's decimal text.
    pub ciphertext: &'a [u8],
    /// HMAC over the ciphertext.
    pub hmac: &'a [u8; HMAC_BYTES],
}

impl<'a> AggregateResult<'a> {
    /// Splits a body, starting at its end; `None` if it is too short to have an HMAC.
    pub fn decode(body: &'a [u8]) -> Option<Self> {
        let (ciphertext, hmac) = body.split_last_chunk()?;
        Some(Self { ciphertext, hmac })
    }
}

/// The plaintext of a 30: the integer as 8 bytes unsigned, then the client's UUID.
pub fn plaintext(value: u64, client: &ClientId) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&value.to_be_bytes());
    bytes[8..].copy_from_slice(client.as_bytes());
    bytes
}

/// The integer of a plaintext: its first 8 bytes, or all of a shorter one (rule C-14).
pub fn amount(plaintext: &[u8]) -> Amount {
    let integer = plaintext.iter().take(8).fold(0, |integer, byte| integer << 8 | u64::from(*byte));
    Amount::from(integer)
}

/// The sum of a 40 from its decimal text: `0`, or digits without a leading zero.
/// `None` for anything else, and above 2^127 - 1, which takes 2^63 integers.
pub fn total(text: &[u8]) -> Option<Total> {
    const DIGITS_MAX: usize = 39;
    let canonical = match text {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < DIGITS_MAX && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().map(Total::new)
}
