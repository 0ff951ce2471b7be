//! A conversation as one self-contained page: "the illustrated D-DDES".
//!
//! The page asks nobody for anything: script and style are inside, and its content security policy
//! allows them by their hashes and nothing else. Without the script it is whole too; the script
//! adds what moves.

mod acts;
mod attack;
mod beside;
mod bytes;
mod card;
mod cards;
mod classic;
mod document;
mod drawn;
mod frame;
mod html;
mod repeats;
mod v2;

use ddes_capture::{Conversation, NoteKind, What};

pub use card::{Card, CardRole, Claim};
pub use cards::cards;
pub use document::document;

/// The most frames of a conversation that a page shows.
pub const FRAMES_MAX: usize = 400;

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The conversation that is explained.
    pub main: &'a Conversation,
    /// The name of its file.
    pub file: &'a str,
    /// The same act on the other wire, beside it.
    pub other: Option<(&'a Conversation, &'a str)>,
}

/// Leaves of a conversation what an eavesdropper has.
pub fn forget_secrets(conversation: &mut Conversation) {
    (conversation.session, conversation.secrets, conversation.refused) = (None, None, None);
    let is_of_keys =
        |kind: &NoteKind| matches!(kind, NoteKind::Lost { .. } | NoteKind::Unchecked { .. });
    conversation.notes.retain(|note| !is_of_keys(&note.kind));
    for frame in &mut conversation.frames {
        frame.plain = None;
        frame.checks.retain(|check| match check.what {
            What::Length | What::Order | What::PublicValue => true,
            What::Hmac
            | What::Tag
            | What::Token
            | What::Padding
            | What::Signature
            | What::Encoding
            | What::Sequence
            | What::Sum => false,
        });
    }
}
