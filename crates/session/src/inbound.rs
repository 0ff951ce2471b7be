//! Bytes received and not yet taken as frames.

use ddes_wire::frame::{self, Frame, HEADER_BYTES, TooLong};

/// Above this many bytes waiting a session wants no more until it has dealt with some.
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

    /// The frame that comes next, once it is whole.
    pub(crate) fn frame(&self, body_max: u32) -> Result<Option<Frame<'_>>, TooLong> {
        frame::split(self.waiting(), body_max)
    }

    /// Takes away `count` bytes of what [`Self::frame`] showed.
    pub(crate) fn consume(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.bytes.len());
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
    }

    /// Keeps no memory that it does not need: an idle session costs no buffer.
    pub(crate) fn free_buffers(&mut self) {
        if self.bytes.is_empty() {
            self.clear();
        }
    }

    /// Drops everything, and keeps no memory.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn waiting(&self) -> &[u8] {
        // `consume` never takes more than there is.
        &self.bytes[self.taken..]
    }

    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() - self.taken < WAITING_BYTES_MAX
    }
}

/// A largest frame must be able to become whole.
const _: () = assert!(WAITING_BYTES_MAX >= HEADER_BYTES + ddes_wire::classic::BODY_MAX as usize);
