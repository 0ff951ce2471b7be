//! Records: the encrypted bodies of frames after the handshake.
//!
//! A record is `EncryptWithAd(ad = the 8 header bytes, plaintext)`. Its number is implicit, one
//! counter for each direction, so a record replayed, dropped or moved does not open. This is not
//! the account's `Sequence`, which is durable and outlives sessions.

use ddes_cipher::{Ahead, CipherKey, Function, Key, LimitError, OpenError, TAG_BYTES};
use ddes_wire::frame::{Frame, HEADER_BYTES, Header, Opcode};
use zeroize::Zeroizing;

/// The key changes after the record that brings the blocks under it to this number (Sweet32: blocks
/// have 64 bits).
pub const REKEY_BLOCKS: u64 = 1 << 20;

/// Blocks that one pass of the cipher computes (256 lanes): computing fewer costs the same. Their
/// keystream takes 2 KiB for each direction of an active session.
const PASS_BLOCKS: usize = 256;

/// Records after which a direction counts as busy. A session that opens and counts one value needs
/// fewer.
const BUSY_RECORDS: u8 = 3;

/// Why a frame's body is not a valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Shorter than a tag.
    #[error("a record of {length} bytes is shorter than its tag")]
    Short {
        /// The length of the body in bytes.
        length: usize,
    },
    /// It is not authentic under the current key and record number.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The sending side of one direction.
#[derive(Debug)]
pub struct Sealer(DirectionKeys);

/// The receiving side of one direction.
#[derive(Debug)]
pub struct Opener(DirectionKeys);

/// Both directions of a connection, at one end of it.
#[derive(Debug)]
pub(super) struct RecordLayer {
    pub(super) sealer: Sealer,
    opener: Opener,
    /// Buffer for the next plaintext; an idle session holds none.
    scratch: Zeroizing<Vec<u8>>,
}

#[derive(Debug)]
struct DirectionKeys {
    function: Function,
    key: Key,
    expanded: CipherKey,
    /// Number of the next record. It keeps counting when the key changes.
    nonce: u64,
    /// Blocks processed under the current key.
    blocks: u64,
    /// Records since the direction was last idle, counted up to [`BUSY_RECORDS`].
    busy_records: u8,
    /// Precomputed keystream of the next records; an idle session holds none.
    ahead: Option<Box<Ahead>>,
}

impl Sealer {
    /// A direction whose first record has number 0 and is under `key`.
    pub fn new(function: Function, key: Key) -> Self {
        Self(DirectionKeys::new(function, key))
    }

    /// Appends a frame to `out`: header, ciphertext, tag. Nothing is appended on an error.
    ///
    /// A busy direction computes the keystream of as many records of this length as fit into one
    /// pass of the cipher, since one record costs as much as all. [`Self::drop_keystream`] frees
    /// it.
    pub fn seal(
        &mut self,
        opcode: Opcode,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), LimitError> {
        let length = plaintext.len() + TAG_BYTES;
        let too_long = LimitError::Length { length: plaintext.len() };
        let header = Header {
            opcode: opcode.number(),
            length: u32::try_from(length).map_err(|_| too_long)?,
        };
        let header = header.encode();
        let start = out.len();
        self.0.make_keystream_ahead(plaintext.len());
        out.extend_from_slice(&header);
        out.extend_from_slice(plaintext);
        // Indexed, not looked up with a fallback: sealing an empty text instead would leave the
        // plaintext in `out` unencrypted.
        let text = &mut out[start + HEADER_BYTES..];
        match self.0.expanded.seal_with(self.0.ahead.as_deref(), self.0.nonce, &header, text) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                self.0.count(plaintext.len());
                Ok(())
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }

    /// The direction is idle: frees precomputed keystream.
    pub fn drop_keystream(&mut self) {
        self.0.drop_keystream();
    }
}

impl Opener {
    /// A direction whose first record has number 0 and is under `key`.
    pub fn new(function: Function, key: Key) -> Self {
        Self(DirectionKeys::new(function, key))
    }

    /// Decrypts the body of a frame in place and returns the plaintext. After an error the record
    /// numbers of the two ends differ: end the session.
    ///
    /// Keystream is precomputed as by [`Sealer::seal`]. [`Self::drop_keystream`] frees it.
    pub fn open<'a>(
        &mut self,
        header: Header,
        body: &'a mut [u8],
    ) -> Result<&'a [u8], RecordError> {
        let length = body.len();
        let (text, tag) =
            body.split_last_chunk_mut::<TAG_BYTES>().ok_or(RecordError::Short { length })?;
        self.0.make_keystream_ahead(text.len());
        self.0.expanded.open_with(
            self.0.ahead.as_deref(),
            self.0.nonce,
            &header.encode(),
            text,
            tag,
        )?;
        self.0.count(text.len());
        Ok(text)
    }

    /// The direction is idle: frees precomputed keystream.
    pub fn drop_keystream(&mut self) {
        self.0.drop_keystream();
    }
}

impl RecordLayer {
    pub(super) fn new(function: Function, outwards: Key, inwards: Key) -> Self {
        let (sealer, opener) = (Sealer::new(function, outwards), Opener::new(function, inwards));
        Self { sealer, opener, scratch: Zeroizing::default() }
    }

    pub(super) fn free_buffers(&mut self) {
        self.sealer.drop_keystream();
        self.opener.drop_keystream();
        self.scratch = Zeroizing::default();
    }

    /// The plaintext of a frame, wiped on drop, since it may hold the session token. Give it to
    /// [`Self::recycle`] to reuse its memory.
    pub(super) fn open(&mut self, frame: Frame<'_>) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        if body.capacity() < frame.body.len() {
            // Not grown in place: reallocation would leave an unwiped copy behind.
            body = Zeroizing::new(Vec::with_capacity(frame.body.len()));
        }
        body.extend_from_slice(frame.body);
        let length = self.opener.open(frame.header, &mut body)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Keeps the memory of a processed plaintext for the next one.
    pub(super) fn recycle(&mut self, plaintext: Zeroizing<Vec<u8>>) {
        let before = std::mem::replace(&mut self.scratch, plaintext);
        if before.capacity() == 0 {
            // Wiping an empty vector is a masked store to a dangling address, which takes some
            // processors 70 ns.
            std::mem::forget(before);
        }
    }
}

impl DirectionKeys {
    fn new(function: Function, key: Key) -> Self {
        let expanded = function.key(&key);
        Self { function, key, expanded, nonce: 0, blocks: 0, busy_records: 0, ahead: None }
    }

    /// Computes the keystream of this and the next records of `length` bytes, unless it exists. Not
    /// for the first records, nor for a record that fills a pass alone.
    fn make_keystream_ahead(&mut self, length: usize) {
        if self.busy_records < BUSY_RECORDS {
            self.busy_records += 1;
            return;
        }
        let records = PASS_BLOCKS / length.div_ceil(8).max(1);
        if records > 1 && !self.ahead.as_ref().is_some_and(|ahead| ahead.covers(self.nonce, length))
        {
            self.ahead = Some(Box::new(self.expanded.ahead(self.nonce, records, length)));
        }
    }

    fn drop_keystream(&mut self) {
        (self.busy_records, self.ahead) = (0, None);
    }

    /// Counts a record of `plaintext` bytes. Both ends count the same, so both change keys after
    /// the same record.
    fn count(&mut self, plaintext: usize) {
        self.nonce += 1;
        self.blocks += plaintext.div_ceil(8) as u64;
        if self.blocks >= REKEY_BLOCKS {
            self.key = self.function.rekey(&self.key);
            self.expanded = self.function.key(&self.key);
            self.blocks = 0;
            self.ahead = None;
        }
    }
}
