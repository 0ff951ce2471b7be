//! Keys by their names.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

const NAMED: [(KeyCode, &str); 11] = [
    (KeyCode::Up, "up"),
    (KeyCode::Down, "down"),
    (KeyCode::PageUp, "page up"),
    (KeyCode::PageDown, "page down"),
    (KeyCode::Home, "home"),
    (KeyCode::End, "end"),
    (KeyCode::Enter, "enter"),
    (KeyCode::Esc, "esc"),
    (KeyCode::Backspace, "backspace"),
    (KeyCode::Tab, "tab"),
    (KeyCode::BackTab, "tab"),
];

/// A character as itself, with Control as `ctrl-x`; others as above. `None`: a key that means
/// nothing here, or one that is let go.
pub(super) fn name(key: KeyEvent) -> Option<String> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if let KeyCode::Char(c) = key.code {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        return Some(if is_control { format!("ctrl-{c}") } else { c.to_string() });
    }
    let named = NAMED.iter().find(|(code, _)| *code == key.code);
    named.map(|(_, name)| (*name).to_owned())
}
