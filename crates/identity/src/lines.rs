//! The lines of a list, parsed as OpenSSH does: bytes that must be text except in comments, line
//! ends LF or CR LF, fields separated by blanks and tabs.

use std::borrow::Cow;

/// The mark that some editors write at the start of a text.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Each line with its line ending, numbered from 1.
pub(crate) fn numbered(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    (1..).zip(text.split_inclusive(|byte| *byte == b'\n'))
}

/// The content of a line; `None` if it is empty or a comment. Invalid UTF-8 becomes U+FFFD, which
/// no key, address or option contains.
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

/// Splits a line into its first field and the remainder.
pub(crate) fn first_field(line: &str) -> Option<(&str, &str)> {
    line.split_once(BLANKS).map(|(first, rest)| (first, rest.trim_start_matches(BLANKS)))
}

pub(crate) const BLANKS: [char; 2] = [' ', '\t'];
const BLANKS_AND_ENDS: [char; 4] = [' ', '\t', '\r', '\n'];
