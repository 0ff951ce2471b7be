//! The 30s of one session: what is not answered yet, going back after a refusal, the pause after a
//! status 4 (rules P-08 and P-12).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_wire::Sequence;
use ddes_wire::v2::Status;

/// The longest queue of unanswered 30s: what a server keeps of one session.
pub const FLIGHT_MAX: usize = 64;

/// The pause after a 40 with status 4, which leaves open whether the values count.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(1);

/// Frames in flight, each known by the number of its last value; `T` is what the sender keeps of a
/// frame.
///
/// A server answers every 30 once and in order. After a refused one it refuses all behind it, each
/// with a 40 of its own. They are sent again only after the last of these 40s: an earlier answer
/// could be taken for that of the second attempt.
#[derive(Debug)]
pub struct Flight<T> {
    /// Sent and not answered, oldest first.
    sent: VecDeque<(Sequence, T)>,
    /// Answered with a refusal since the last time all was answered, oldest first; older than all
    /// of `sent`.
    refused: VecDeque<(Sequence, T)>,
    /// To be sent again, oldest first; newer than all of `sent`.
    again: VecDeque<(Sequence, T)>,
    paused_until: Option<Instant>,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self {
            sent: VecDeque::new(),
            refused: VecDeque::new(),
            again: VecDeque::new(),
            paused_until: None,
        }
    }
}

impl<T> Flight<T> {
    /// Frames sent and not answered.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Whether every frame was answered and none is to be sent again.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.refused.is_empty() && self.again.is_empty()
    }

    /// Every frame that the server has not covered, oldest first.
    pub fn uncovered(&self) -> impl Iterator<Item = &T> {
        self.refused.iter().chain(&self.sent).chain(&self.again).map(|(_, frame)| frame)
    }

    /// Whether another frame may be sent while at most `most` are unanswered.
    pub fn may_send(&self, most: usize) -> bool {
        self.paused_until.is_none() && self.refused.is_empty() && self.sent.len() < most
    }

    /// Notes a frame that was sent; its last value has the number `last`.
    pub fn handle_sent(&mut self, last: Sequence, frame: T) {
        self.sent.push_back((last, frame));
    }

    /// The oldest frame that an answer covers whose last value has the number `last_seq`. To be
    /// called until there is none.
    pub fn poll_covered(&mut self, last_seq: Sequence) -> Option<T> {
        // A frame refused with status 4 may have been counted after all, so all three are looked
        // at, oldest first.
        let frames = [&mut self.refused, &mut self.sent, &mut self.again];
        let oldest = frames.into_iter().find(|frames| !frames.is_empty())?;
        let frame = oldest.pop_front_if(|(last, _)| *last <= last_seq);
        self.turn_back();
        frame.map(|(_, frame)| frame)
    }

    /// The status of a 40, once [`Self::poll_covered`] has removed what it covers.
    pub fn handle_status(&mut self, now: Instant, status: Status) {
        if status == Status::Applied {
            return;
        }
        if status == Status::Unavailable {
            self.paused_until = Some(now + UNAVAILABLE_PAUSE);
        }
        self.handle_refusal();
    }

    /// The oldest frame was refused.
    pub fn handle_refusal(&mut self) {
        self.refused.extend(self.sent.pop_front());
        self.turn_back();
    }

    /// The session is over: what was not covered is to be sent again in the next one.
    pub fn handle_end(&mut self) {
        self.paused_until = None;
        self.refused.append(&mut self.sent);
        self.turn_back();
    }

    /// When the pause ends.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.paused_until
    }

    /// The clock has advanced.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|until| now < *until);
    }

    /// Whether frames are to be sent again.
    pub fn must_send_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// The oldest frame to be sent again; the caller sends it and calls [`Self::handle_sent`].
    pub fn poll_again(&mut self) -> Option<(Sequence, T)> {
        self.again.pop_front()
    }

    /// For a sender that makes its frames again from the first uncovered value on: whether it has
    /// to go back there now.
    pub fn poll_go_back(&mut self) -> bool {
        let goes_back = !self.again.is_empty();
        self.again.clear();
        goes_back
    }

    /// Once all is answered, what was refused is to be sent again, before what waits for that
    /// already.
    fn turn_back(&mut self) {
        if self.sent.is_empty() {
            self.refused.append(&mut self.again);
            std::mem::swap(&mut self.refused, &mut self.again);
        }
    }
}
