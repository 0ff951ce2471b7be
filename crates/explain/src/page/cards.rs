//! Which calculations belong between which frames.

use ddes_capture::{Conversation, OpenedKeys};

use super::card::Card;
use super::{classic, v2};

/// All calculations of a conversation whose secrets are known, in the order of the frames that they
/// follow. Their anchors begin with `prefix`.
pub fn cards(conversation: &Conversation, prefix: &str) -> Vec<Card> {
    let mut cards = match &conversation.session {
        Some(OpenedKeys::Classic(opened)) => classic::cards(conversation, opened, prefix),
        Some(OpenedKeys::V2(opened)) => v2::cards(conversation, opened, prefix),
        None => Vec::new(),
    };
    // Those of one frame keep their order.
    cards.sort_by_key(|card| card.after);
    cards
}

/// The anchor of a frame.
pub(super) fn frame_anchor(prefix: &str, number: u32) -> String {
    format!("{prefix}frame-{number}")
}

/// A frame in a sentence: a link, if the page shows it.
pub(super) fn frame_link(prefix: &str, number: u32) -> String {
    // Numbers begin at 1, so the last frame of the page has this one.
    if number as usize > super::FRAMES_MAX {
        return format!("frame {number}");
    }
    format!("<a href=\"#{}\">frame {number}</a>", frame_anchor(prefix, number))
}
