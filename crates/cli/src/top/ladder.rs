//! The messages of one session, as far as they were asked for.

use super::view::moved;
use crate::api::answers::{Ladder, LadderFrame};

/// Frames that are kept.
const FRAMES_MAX: usize = 512;

/// The ladder of one session, as far as it is known.
#[derive(Debug)]
pub(super) struct SessionLadder {
    pub(super) id: u64,
    pub(super) about: Option<Ladder>,
    pub(super) frames: Vec<LadderFrame>,
    /// Frames that are not among them any more.
    pub(super) dropped: u64,
    pub(super) error: Option<String>,
    /// The frame that is explained; `None` follows the newest.
    pub(super) selected: Option<usize>,
}

impl SessionLadder {
    pub(super) fn new(id: u64) -> Self {
        Self { id, about: None, frames: Vec::new(), dropped: 0, error: None, selected: None }
    }

    /// An answer that is not to the newest question would repeat frames.
    pub(super) fn handle(
        &mut self,
        ladder: Option<Result<Ladder, String>>,
        asked: Option<(u64, Option<u64>)>,
    ) {
        let newest = self.frames.last().map(|frame| frame.seq);
        let Some(ladder) = ladder.filter(|_| asked == Some((self.id, newest))) else { return };
        match ladder {
            Ok(mut ladder) => {
                self.error = None;
                let is_new = |frame: &LadderFrame| newest.is_none_or(|newest| frame.seq > newest);
                self.frames.extend(std::mem::take(&mut ladder.frames).into_iter().filter(is_new));
                let excess = self.frames.len().saturating_sub(FRAMES_MAX);
                self.frames.drain(..excess);
                self.selected = self.selected.map(|place| place.saturating_sub(excess));
                self.dropped = ladder.dropped.saturating_add(excess as u64);
                self.about = Some(ladder);
            }
            Err(error) => self.error = Some(error),
        }
    }

    pub(super) fn handle_key(&mut self, key: &str, rows: usize) {
        let last = self.frames.len().saturating_sub(1);
        let place = moved(key, self.selected.unwrap_or(last), rows, self.frames.len());
        self.selected = (place < last).then_some(place);
    }
}
