//! Records: what a frame's body is once the handshake has given keys.
//!
//! A record is `EncryptWithAd(ad = the 8 header bytes, plaintext)`. Its number is implicit, one
//! counter for each direction, so a record replayed, dropped or moved does not open. This is not
//! the account's `Sequence`, which is durable and outlives sessions.

use ddes_cipher::{Ahead, CipherKey, Function, Key, LimitError, OpenError, TAG_BYTES};
use ddes_wire::frame::{Frame, HEADER_BYTES, Header, Opcode};
use zeroize::Zeroizing;

/// A record whose blocks bring the count under one key to this is the last under it (Sweet32:
/// 64-bit blocks).
pub const REKEY_BLOCKS: u64 = 1 << 20;

/// Blocks that cost as much as one (crates/cipher: a pass of 256 lanes), and 2 KiB for each
/// direction of a session that is not idle.
const PASS_BLOCKS: usize = 256;

/// Records of a direction after which it is taken to be busy: to be opened, and to count once, a
/// session needs no more.
const BUSY_RECORDS: u8 = 3;

/// Why a body is no record of its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Shorter than a tag.
    #[error("a record of {length} bytes is shorter than its tag")]
    Short {
        /// Its length.
        length: usize,
    },
    /// It does not open under its place's key and number.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The sending side of one direction.
#[derive(Debug)]
pub struct Sealer(DirectionKeys);

/// The receiving side of one direction.
#[derive(Debug)]
pub struct Opener(DirectionKeys);

/// Both directions, seen from one end.
#[derive(Debug)]
pub(super) struct RecordLayer {
    pub(super) sealer: Sealer,
    opener: Opener,
    /// Memory for the next plaintext; an idle session keeps none.
    scratch: Zeroizing<Vec<u8>>,
}

#[derive(Debug)]
struct DirectionKeys {
    function: Function,
    key: Key,
    expanded: CipherKey,
    /// Number of the next record; goes on when the key changes.
    nonce: u64,
    /// Blocks encrypted under this key.
    blocks: u64,
    /// Records since it last rested, up to [`BUSY_RECORDS`].
    busy_records: u8,
    /// Keystream of the next records; an idle session keeps none.
    ahead: Option<Box<Ahead>>,
}

impl Sealer {
    /// Records under `key`, from number 0.
    pub fn new(function: Function, key: Key) -> Self {
        Self(DirectionKeys::new(function, key))
    }

    /// Appends a frame to `out`: header, ciphertext, tag. Nothing is appended on an error.
    ///
    /// In a burst, keystream is made for as many records of this length as one pass of the engine
    /// has room for: one costs as much as all of them. [`Self::drop_keystream`] gives it up.
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
        // Never empty by accident: that would leave the plaintext in `out` unencrypted.
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

    /// Nothing waits to be sent: keeps no keystream.
    pub fn drop_keystream(&mut self) {
        self.0.drop_keystream();
    }
}

impl Opener {
    /// Records under `key`, from number 0.
    pub fn new(function: Function, key: Key) -> Self {
        Self(DirectionKeys::new(function, key))
    }

    /// Opens the body of a frame in place and gives the plaintext. After an error nothing more
    /// opens that should: end the session.
    ///
    /// Keystream is made ahead as by [`Sealer::seal`]. [`Self::drop_keystream`] gives it up.
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

    /// No burst is under way: keeps no keystream.
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

    /// The plaintext of a frame, wiped on drop: it may hold the session token. [`Self::recycle`] takes
    /// its memory back.
    pub(super) fn open(&mut self, frame: Frame<'_>) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        if body.capacity() < frame.body.len() {
            // Never grown in place: that would leave a copy of what was in it.
            body = Zeroizing::new(Vec::with_capacity(frame.body.len()));
        }
        body.extend_from_slice(frame.body);
        let length = self.opener.open(frame.header, &mut body)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// A plaintext that was dealt with.
    pub(super) fn recycle(&mut self, plaintext: Zeroizing<Vec<u8>>) {
        let before = std::mem::replace(&mut self.scratch, plaintext);
        if before.capacity() == 0 {
            // Wiping nothing is a masked store at no valid address, which some processors take 70
            // ns to see through.
            std::mem::forget(before);
        }
    }
}

impl DirectionKeys {
    fn new(function: Function, key: Key) -> Self {
        let expanded = function.key(&key);
        Self { function, key, expanded, nonce: 0, blocks: 0, busy_records: 0, ahead: None }
    }

    /// Keystream for this and the next records of `length` bytes, unless it is there. The first
    /// records, and one that fills a pass alone, have none made ahead.
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

    /// A record of `plaintext` bytes went through: both ends count alike, so both change keys after
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
