//! Text and bytes as HTML.

use ddes_wire::shown;

/// Bytes of a value that are shown where it has no room: of its beginning, and of its end.
const SHORT_ENDS: (usize, usize) = (8, 4);

/// Foreign text: only characters that are fit to be shown, escaped.
pub(super) fn text(text: &str) -> String {
    escaped(&shown::plain(text))
}

/// As [`text`], of several lines.
pub(super) fn lines(text: &str) -> String {
    escaped(&shown::plain_lines(text))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `00 11 ff`: wraps between bytes.
pub(super) fn spaced(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(3 * bytes.len());
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        out.extend(shown::hex_digits(*byte));
    }
    out
}

/// Hexadecimal without blanks; of a long value its ends, and how long it is.
pub(super) fn short(bytes: &[u8]) -> String {
    let (front, back) = SHORT_ENDS;
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    if bytes.len() <= front + back + 4 {
        return shown::hex(bytes);
    }
    let (head, tail) = (&bytes[..front], &bytes[bytes.len() - back..]);
    format!("{}…{}", shown::hex(head), shown::hex(tail))
}

/// What is behind a title in the other conversation of a page: nothing has the same title twice.
pub(super) fn elsewhere(prefix: &str) -> &'static str {
    if prefix.is_empty() { "" } else { ", other capture" }
}

/// A title, already escaped; that it is in the other conversation is heard, and not seen.
pub(super) fn heading(title: &str, elsewhere: &str) -> String {
    let unseen = format!("<span class=\"unseen\">{elsewhere}</span>");
    format!("{title}{}", if elsewhere.is_empty() { "" } else { &unseen })
}

/// `1 byte`, `2 bytes`; thousands apart.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_no_markup_and_turns_nothing_round() {
        assert_eq!(text("<b>&\"'\u{202e}\u{1b}[2J"), "&lt;b&gt;&amp;&quot;&#39;[2J");
        assert_eq!(lines("a\n<"), "a\n&lt;");
    }

    #[test]
    fn numbers_and_bytes_are_short_and_can_be_read() {
        assert_eq!(thousands(65_536), "65\u{202f}536");
        assert_eq!(count(1, "byte", "bytes"), "1 byte");
        assert_eq!(short(&[0xab; 16]), "ab".repeat(16));
        assert_eq!(short(&[0xab; 17]), format!("{}…{}", "ab".repeat(8), "ab".repeat(4)));
        assert_eq!(spaced(&[0, 0x1f]), "00 1f");
    }
}
