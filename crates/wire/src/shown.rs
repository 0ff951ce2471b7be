//! Text of a peer or of a file, before people are shown it.

use unicode_general_category::{GeneralCategory, get_general_category};

/// Whether a character is only what it looks like. Control and format characters (bidirectional
/// ones, zero-width ones, tags among them), line and paragraph separators, private use and what is
/// not assigned move a cursor, turn the order of others round, or are not seen at all.
pub fn is_plain(c: char) -> bool {
    // Nearly all of it, a hundred times as quickly.
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

/// Variation selectors, joiners and fillers: marks and letters that are not seen.
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

/// The text without characters that are not plain.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| is_plain(*c)).collect()
}

/// As [`plain`], of a text of several lines.
pub fn plain_lines(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || is_plain(*c)).collect()
}
