//! The frames of a traced session, without their content.

use std::collections::VecDeque;
use std::time::Instant;

use ddes_wire::frame::{HEADER_BYTES, Header};

/// The most frames that a traced session keeps until they are taken: the newest.
pub const SEEN_FRAMES_MAX: usize = 512;

/// Which side sent a frame, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    In,
    /// The server.
    Out,
}

/// One frame, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenFrame {
    /// When a received frame was processed, or a sent one was queued.
    pub at: Instant,
    /// Which side sent it.
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

/// Sees the frames of a session, if it is traced. Otherwise it takes the memory of a pointer.
#[derive(Debug, Default)]
pub(crate) struct FrameTap(Option<Box<SeenFrames>>);

impl FrameTap {
    /// Begins to keep frames, or drops those that are kept and keeps none.
    pub(crate) fn set(&mut self, is_traced: bool) {
        if !is_traced {
            self.0 = None;
        } else if self.0.is_none() {
            self.0 = Some(Box::default());
        }
    }

    pub(crate) fn see(
        &mut self,
        at: Instant,
        direction: Direction,
        header: Header,
        is_encrypted: bool,
    ) {
        let Some(seen) = &mut self.0 else { return };
        let bytes = header.length.saturating_add(HEADER_BYTES as u32);
        let opcode = header.opcode;
        if seen.frames.len() == SEEN_FRAMES_MAX {
            seen.frames.pop_front();
            seen.dropped += 1;
        }
        seen.frames.push_back(SeenFrame { at, direction, opcode, bytes, is_encrypted });
    }

    /// The frames since this was called last; none if the session is not traced.
    pub(crate) fn take(&mut self) -> SeenFrames {
        self.0.as_deref_mut().map(std::mem::take).unwrap_or(SeenFrames::default())
    }
}
