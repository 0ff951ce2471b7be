//! The frame of both profiles: `opcode u32 ‖ length u32 ‖ body`.

use std::fmt;

/// Length of the opcode and the length field together.
pub const HEADER_BYTES: usize = 8;

/// The five opcodes of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Opcode {
    /// 10: a public key, or proof of one.
    KeyVerification = 10,
    /// 20: the session token.
    SessionToken = 20,
    /// 30: encrypted data from the client; the acknowledgement in classic.
    EncryptedData = 30,
    /// 40: the encrypted sum.
    EncryptedResult = 40,
    /// 50: the end of the session.
    Disconnect = 50,
}

impl Opcode {
    /// The opcode with that number, if it is one of the five.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            10 => Some(Self::KeyVerification),
            20 => Some(Self::SessionToken),
            30 => Some(Self::EncryptedData),
            40 => Some(Self::EncryptedResult),
            50 => Some(Self::Disconnect),
            _ => None,
        }
    }

    /// The number on the wire.
    pub fn number(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// The first 8 bytes of a frame, unchecked: the opcode may be unknown and the length too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The frame's type, in its first four bytes.
    pub opcode: u32,
    /// Bytes of body that it announces.
    pub length: u32,
}

impl Header {
    /// Reads the two fields.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let fields = u64::from_be_bytes(bytes);
        #[allow(clippy::cast_possible_truncation, reason = "the two halves of a u64")]
        Self { opcode: (fields >> 32) as u32, length: fields as u32 }
    }

    /// Writes the two fields.
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        (u64::from(self.opcode) << 32 | u64::from(self.length)).to_be_bytes()
    }
}

/// A whole frame at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Opcode and length, as received.
    pub header: Header,
    /// The body, of `header.length` bytes.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Length of the frame in bytes, header included.
    pub fn len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Always false: a frame has a header.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// A frame announces a longer body than the profile allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame announces {length} bytes of body, at most {most} are allowed")]
pub struct TooLong {
    /// The announced length in bytes.
    pub length: u32,
    /// The longest body that is allowed, in bytes.
    pub most: u32,
}

/// The frame at the start of `buffer`; `None` while it is incomplete.
///
/// The length is checked as soon as the header is complete, before any of the body has come.
pub fn split(buffer: &[u8], most: u32) -> Result<Option<Frame<'_>>, TooLong> {
    let Some((header, rest)) = buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let header = Header::decode(*header);
    if header.length > most {
        return Err(TooLong { length: header.length, most });
    }
    let body = rest.split_at_checked(header.length as usize);
    Ok(body.map(|(body, _)| Frame { header, body }))
}
