//! Secrets of 32 bytes: the token of the API, login codes and the ids of browser sessions.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// 32 random bytes, as 64 hexadecimal digits outside this process. Compared in constant time, and
/// wiped when dropped.
pub struct AccessToken(Zeroizing<[u8; AccessToken::BYTES]>);

impl AccessToken {
    /// The length of a token.
    pub const BYTES: usize = 32;

    /// A new token.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        getrandom::fill(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    /// Parses 64 hexadecimal digits; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != Self::BYTES || !rest.is_empty() {
            return None;
        }
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    /// The 64 hexadecimal digits, wiped when dropped.
    pub fn to_hex(&self) -> Zeroizing<String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // With its final capacity, so that no growth leaves a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(2 * Self::BYTES));
        for byte in self.0.iter() {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }

    /// A second copy, for whoever it is given to.
    pub(crate) fn copy(&self) -> Self {
        Self(self.0.clone())
    }

    /// Whether both are the same, in constant time.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_ref()).into()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_64_hexadecimal_digits_and_debug_shows_none_of_them() {
        let token = AccessToken::random().unwrap();
        let text = token.to_hex();
        assert!(text.len() == 64 && AccessToken::parse(&text).unwrap().is(&token));
        assert!(!AccessToken::random().unwrap().is(&token));
        for bad in ["", &text[1..], &format!("{}g", &text[1..]), &format!("{}00", *text)] {
            assert!(AccessToken::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
