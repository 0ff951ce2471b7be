//! Bytes to send, the time limit for a peer that does not read them, and the tap of a traced
//! session.

use std::time::{Duration, Instant};

use ddes_cipher::LimitError;
use ddes_wire::frame::{HEADER_BYTES, Header, Opcode};

use crate::tap::{Direction, FrameTap};
use crate::v2::record::Sealer;

/// A session with this many unsent bytes processes no further frame until some are sent.
pub const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// A peer that reads nothing for this long while bytes are pending is disconnected.
pub const STALL_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Outbound {
    bytes: Vec<u8>,
    sent: usize,
    /// When the peer counts as stalled; set while bytes are pending.
    stalled_at: Option<Instant>,
    /// Sees the frames of both directions, in their order.
    pub(crate) tap: FrameTap,
}

impl Outbound {
    /// Appends one frame. All bodies are built here and far shorter than `u32::MAX` bytes.
    pub(crate) fn push(&mut self, now: Instant, opcode: Opcode, body: &[u8]) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "our own bodies are bounded by the profile"
        )]
        let header = Header { opcode: opcode.number(), length: body.len() as u32 };
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(body);
        // Without a record around it, only a classic body with a token or a sum is encrypted.
        let is_encrypted = matches!(opcode, Opcode::SessionToken | Opcode::EncryptedResult);
        let length = HEADER_BYTES + body.len();
        self.tap.see(now, Direction::Out, opcode.number(), length, is_encrypted);
        self.stalled_at.get_or_insert(now + STALL_MAX);
    }

    /// Appends one frame whose body is a record. Nothing is appended on an error.
    pub(crate) fn push_record(
        &mut self,
        now: Instant,
        sealer: &mut Sealer,
        opcode: Opcode,
        plaintext: &[u8],
    ) -> Result<(), LimitError> {
        let start = self.bytes.len();
        sealer.seal(opcode, plaintext, &mut self.bytes)?;
        let length = self.bytes.len() - start;
        self.tap.see(now, Direction::Out, opcode.number(), length, true);
        self.stalled_at.get_or_insert(now + STALL_MAX);
        Ok(())
    }

    pub(crate) fn pending(&self) -> &[u8] {
        // In range: `sent()` caps the count at the length.
        &self.bytes[self.sent..]
    }

    /// The first `count` bytes of [`Self::pending`] were handed to the socket.
    pub(crate) fn sent(&mut self, now: Instant, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            (self.sent, self.stalled_at) = (0, None);
        } else if count > 0 {
            self.stalled_at = Some(now + STALL_MAX);
        }
    }

    /// Frees the buffer if it is empty, so that an idle session holds none.
    pub(crate) fn free_buffers(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Drops what is pending: it will not be sent.
    pub(crate) fn clear(&mut self) {
        let tap = std::mem::take(&mut self.tap);
        *self = Self { tap, ..Self::default() };
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.pending().len() < UNSENT_BYTES_MAX
    }

    /// When the peer will have read nothing for [`STALL_MAX`]; `None` if nothing is pending.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.stalled_at
    }
}
