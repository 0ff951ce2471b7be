//! Filters text of a peer or of a file before it is shown to people.

use unicode_general_category::{GeneralCategory, get_general_category};

/// Whether a character only shows itself. The others move a cursor, reorder other characters, or
/// are invisible: control and format characters (bidirectional, zero-width, tags), line and
/// paragraph separators, private use, and unassigned code points.
pub fn is_plain(c: char) -> bool {
    // Most text is ASCII, for which this is a hundred times as fast.
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let is_seen = !matches!(
        get_general_category(c),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
    );
    is_seen && !is_filler(c)
}

/// Variation selectors, joiners and fillers: invisible marks and letters.
fn is_filler(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// The plain characters of `text`.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| is_plain(*c)).collect()
}

/// Like [`plain`], but keeps line feeds.
pub fn plain_lines(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || is_plain(*c)).collect()
}

/// The two hexadecimal digits of a byte, in lower case.
pub fn hex_digits(byte: u8) -> [char; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 0x0f].map(|digit| char::from(DIGITS[usize::from(digit)]))
}

/// The hexadecimal digits of bytes, in lower case and without blanks.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().copied().flat_map(hex_digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_the_digits_of_the_standard_library() {
        assert_eq!(hex(&[]), "");
        assert_eq!(hex(&[0x00, 0x0f, 0xf0, 0xff]), "000ff0ff");
        for byte in 0..=u8::MAX {
            assert_eq!(hex(&[byte]), format!("{byte:02x}"));
        }
    }
}
