//! Hexadecimal text as people write it, and as programs print it.

/// Why a text is not hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// A character that is no digit.
    #[error("{0:?} is no hexadecimal digit")]
    Digit(char),
    /// An odd number of digits.
    #[error("{}", half(.0))]
    Half(String),
}

fn half(digits: &str) -> String {
    match digits.len() {
        1 => format!("one hexadecimal digit is half a byte: write 0{digits}"),
        count => format!(
            "{count} hexadecimal digits end in half a byte: a digit is missing, perhaps a leading 0"
        ),
    }
}

/// Digits in pairs, of either case; blanks, colons and a leading 0x are left out.
pub fn read(text: &str) -> Result<Vec<u8>, HexError> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or(text);
    let mut nibbles = Vec::new();
    let mut shown = String::new();
    for c in digits.chars().filter(|c| !c.is_ascii_whitespace() && *c != ':') {
        let nibble = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        nibbles.push(nibble.ok_or(HexError::Digit(c))?);
        shown.push(c);
    }
    let (pairs, rest) = nibbles.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(HexError::Half(shown));
    }
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Eight bytes, as of a DES key.
pub fn key(text: &str) -> Result<[u8; 8], String> {
    let bytes = read(text).map_err(|error| error.to_string())?;
    let count = bytes.len();
    bytes.try_into().map_err(|_| format!("a DES key has 16 hexadecimal digits, not {}", 2 * count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_text_has_blanks_colons_and_a_prefix_or_none() {
        for text in ["0011ff", "00:11:FF", " 00 11\nff ", "0x0011ff", "0X0011FF"] {
            assert_eq!(read(text), Ok(vec![0x00, 0x11, 0xff]), "{text}");
        }
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("0g"), Err(HexError::Digit('g')));
        assert!(read("é0").is_err());
        assert_eq!(crate::hex(&[0, 0xab]), "00ab");
    }

    #[test]
    fn half_a_byte_is_an_error_that_says_what_to_write() {
        let said = |text| read(text).unwrap_err().to_string();
        assert!(said("5").ends_with("write 05"), "{}", said("5"));
        assert!(said("0x123").starts_with("3 hexadecimal digits"), "{}", said("0x123"));
    }

    #[test]
    fn a_key_has_eight_bytes() {
        let expect = [1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        assert_eq!(key("0123456789abcDEF"), Ok(expect));
        assert_eq!(key("0x01:23:45:67:89:ab:cd:ef"), Ok(expect));
        assert!(key("01234567").unwrap_err().contains("not 8"));
        assert!(key("+123456789abcdef").is_err());
    }
}
