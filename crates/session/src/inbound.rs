//! Received bytes that are not yet consumed as frames.

use ddes_wire::frame::{self, Frame, HEADER_BYTES, TooLong};

/// A session with this many unconsumed bytes asks for no more until it has processed some.
const WAITING_BYTES_MAX: usize = HEADER_BYTES + 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Inbound {
    bytes: Vec<u8>,
    taken: usize,
}

impl Inbound {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, once all of its bytes are here.
    pub(crate) fn frame(&self, body_max: u32) -> Result<Option<Frame<'_>>, TooLong> {
        frame::split(self.waiting(), body_max)
    }

    /// Drops the first `count` unconsumed bytes: those of the frame that [`Self::frame`] returned.
    pub(crate) fn consume(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.bytes.len());
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
    }

    /// Frees the buffer if it is empty, so that an idle session holds none.
    pub(crate) fn free_buffers(&mut self) {
        if self.bytes.is_empty() {
            self.clear();
        }
    }

    /// Drops all bytes and frees the buffer.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn waiting(&self) -> &[u8] {
        // In range: `consume` caps `taken` at the length.
        &self.bytes[self.taken..]
    }

    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() - self.taken < WAITING_BYTES_MAX
    }
}

/// The largest frame must fit.
const _: () = assert!(WAITING_BYTES_MAX >= HEADER_BYTES + ddes_wire::classic::BODY_MAX as usize);
