//! The lines of a list, as OpenSSH reads them: bytes, of which only a comment need not be text; LF
//! or CR LF; fields apart by any blanks and tabs.

use std::borrow::Cow;

/// What editors on some systems put before a text.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Each line with its end, and its number from 1.
pub(crate) fn numbered(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    (1..).zip(text.split_inclusive(|byte| *byte == b'\n'))
}

/// What a line says; nothing if it is empty or a comment. Bytes that are no UTF-8 become U+FFFD,
/// which is in no key, address or option.
pub(crate) fn content(line: &[u8]) -> Option<Cow<'_, str>> {
    let line = match String::from_utf8_lossy(line) {
        Cow::Borrowed(line) => Cow::Borrowed(line.trim_matches(BLANKS_AND_ENDS)),
        Cow::Owned(line) => Cow::Owned(line.trim_matches(BLANKS_AND_ENDS).to_owned()),
    };
    (!line.is_empty() && !line.starts_with('#')).then_some(line)
}

pub(crate) fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(BLANKS).filter(|field| !field.is_empty())
}

/// The first field, and what follows it.
pub(crate) fn first_field(line: &str) -> Option<(&str, &str)> {
    line.split_once(BLANKS).map(|(first, rest)| (first, rest.trim_start_matches(BLANKS)))
}

pub(crate) const BLANKS: [char; 2] = [' ', '\t'];
const BLANKS_AND_ENDS: [char; 4] = [' ', '\t', '\r', '\n'];
