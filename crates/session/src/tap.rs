//! The frames of a traced session, without their content.

use std::collections::VecDeque;
use std::time::Instant;

use ddes_wire::saturating;

/// The most frames that a traced session keeps until they are taken: the newest.
pub const SEEN_FRAMES_MAX: usize = 512;

/// Which way a frame went, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// One frame, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenFrame {
    /// When a received frame was processed, or a sent one was queued.
    pub at: Instant,
    /// Which way it went.
    pub direction: Direction,
    /// The opcode, which may be unknown.
    pub opcode: u32,
    /// Its length on the wire, header included.
    pub bytes: u32,
    /// Whether its body is encrypted, or the part of it that says anything.
    pub is_encrypted: bool,
}

/// The frames of a session since they were last taken.
#[derive(Debug, Default)]
pub struct SeenFrames {
    /// Oldest first.
    pub frames: VecDeque<SeenFrame>,
    /// Older frames that were dropped.
    pub dropped: u64,
}

/// Keeps the frames of a session if it is traced. Otherwise it holds a pointer and nothing else.
#[derive(Debug, Default)]
pub(crate) struct FrameTap(Option<Box<SeenFrames>>);

impl FrameTap {
    /// Begins to keep frames, or drops those that are kept and keeps none.
    pub(crate) fn set_traced(&mut self, is_traced: bool) {
        if !is_traced {
            self.0 = None;
        } else if self.0.is_none() {
            self.0 = Some(Box::default());
        }
    }

    /// A frame of `bytes` bytes was received or queued.
    #[inline]
    pub(crate) fn see(
        &mut self,
        at: Instant,
        direction: Direction,
        opcode: u32,
        bytes: usize,
        is_encrypted: bool,
    ) {
        if let Some(seen) = &mut self.0 {
            let bytes = saturating::to_u32(bytes as u64);
            seen.push(SeenFrame { at, direction, opcode, bytes, is_encrypted });
        }
    }

    /// The frames since this was called last; none if the session is not traced.
    pub(crate) fn take(&mut self) -> SeenFrames {
        self.0.as_deref_mut().map_or_else(SeenFrames::default, std::mem::take)
    }
}

impl SeenFrames {
    /// Not inlined: few sessions are traced, and each frame of the others passes here too.
    #[cold]
    fn push(&mut self, frame: SeenFrame) {
        if self.frames.len() == SEEN_FRAMES_MAX {
            self.frames.pop_front();
            self.dropped += 1;
        }
        self.frames.push_back(frame);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a scenario starts its virtual clock somewhere")]
mod tests {
    use super::*;

    #[test]
    fn one_frame_more_than_fits_drops_the_oldest() {
        let at = Instant::now();
        let mut tap = FrameTap::default();
        let see = |tap: &mut FrameTap, count: usize| {
            (1..=count).for_each(|bytes| tap.see(at, Direction::In, 30, bytes, true));
            let SeenFrames { frames, dropped } = tap.take();
            (frames.front().map(|frame| frame.bytes), frames.len(), dropped)
        };
        assert_eq!(see(&mut tap, 1), (None, 0, 0));
        tap.set_traced(true);
        assert_eq!(see(&mut tap, SEEN_FRAMES_MAX), (Some(1), SEEN_FRAMES_MAX, 0));
        assert_eq!(see(&mut tap, SEEN_FRAMES_MAX + 1), (Some(2), SEEN_FRAMES_MAX, 1));
        // Set again, it keeps what it has.
        tap.see(at, Direction::Out, 40, 9, true);
        tap.set_traced(true);
        assert_eq!(see(&mut tap, 0), (Some(9), 1, 0));
        tap.set_traced(false);
        assert_eq!(see(&mut tap, 1), (None, 0, 0));
    }
}
