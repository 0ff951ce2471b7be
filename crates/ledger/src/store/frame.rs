//! A frame: one batch in a segment.
//!
//! ```text
//! tag u32 || length u32 || batch u64 || time u64 || CRC-32 of these 24 bytes || CRC-32 of the payload || chain [32] || payload
//! chain = SHA-256(chain before || the first 24 bytes || payload)                                          little-endian
//! ```
//!
//! The tag is the ledger's own and of the segment's version, so that no client can send values that
//! look like a frame where one is torn.

use sha2::{Digest, Sha256};

use super::segment::Version;
use crate::Timestamp;

/// A value of the chain: it stands for all batches up to its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(pub [u8; 32]);

/// Numbers batches 1, 2, 3 …
pub type Batch = u64;

const FIELDS_BYTES: usize = 24;
pub(crate) const HEADER_BYTES: usize = FIELDS_BYTES + 4 + 4 + 32;

/// What the frames of one ledger begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag([u8; 4]);

impl Tag {
    /// `SHA-256("D-DDES/2 frame" || version u32 || ledger id)[0..4]`; in a segment of version 1
    /// without the version. The chain goes over the tag: no segment's batches can be passed off as
    /// those of another version.
    pub(crate) fn new(ledger: &[u8; 16], version: Version) -> Self {
        let hash = Sha256::new().chain_update(b"D-DDES/2 frame");
        let hash = match version {
            Version::One => hash,
            Version::Two => hash.chain_update(2_u32.to_le_bytes()),
        };
        let hash: [u8; 32] = hash.chain_update(ledger).finalize().into();
        let [a, b, c, d, ..] = hash;
        Self([a, b, c, d])
    }
}

/// A frame's header, whose own checksum holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) payload_bytes: usize,
    pub(crate) batch: Batch,
    pub(crate) time: Timestamp,
    fields: [u8; FIELDS_BYTES],
    payload_sum: u32,
    chain: Chain,
}

impl Chain {
    /// Before the first batch of a ledger.
    pub(crate) fn genesis(ledger: &[u8; 16]) -> Self {
        Self(Sha256::new().chain_update(b"D-DDES/2 ledger").chain_update(ledger).finalize().into())
    }

    fn next(self, fields: &[u8; FIELDS_BYTES], payload: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(self.0).chain_update(fields).chain_update(payload);
        Self(hash.finalize().into())
    }
}

/// Completes a frame whose payload stands in `bytes` behind [`HEADER_BYTES`] bytes of room; its
/// chain value.
pub(crate) fn seal(
    bytes: &mut [u8],
    tag: Tag,
    before: Chain,
    batch: Batch,
    time: Timestamp,
) -> Chain {
    let Some((header, payload)) = bytes.split_first_chunk_mut::<HEADER_BYTES>() else {
        return before;
    };
    // A payload is bounded far below 2^32 bytes.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut fields = [0; FIELDS_BYTES];
    fields[..4].copy_from_slice(&tag.0);
    fields[4..8].copy_from_slice(&length.to_le_bytes());
    fields[8..16].copy_from_slice(&batch.to_le_bytes());
    fields[16..].copy_from_slice(&time.0.to_le_bytes());
    let chain = before.next(&fields, payload);
    header[..24].copy_from_slice(&fields);
    header[24..28].copy_from_slice(&crc32fast::hash(&fields).to_le_bytes());
    header[28..32].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    header[32..].copy_from_slice(&chain.0);
    chain
}

impl Header {
    /// The header at the start of `bytes`, if there is one.
    pub(crate) fn read(tag: Tag, bytes: &[u8]) -> Option<Self> {
        // Most places that are looked at hold none.
        let header = bytes.strip_prefix(&tag.0).and(Some(bytes))?.first_chunk::<HEADER_BYTES>()?;
        let (fields, rest) = header.split_first_chunk::<FIELDS_BYTES>()?;
        let (_, numbers) = fields.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let (payload_sum, chain) = rest.split_first_chunk()?;
        if u32::from_le_bytes(*sum) != crc32fast::hash(fields) {
            return None;
        }
        let (length, numbers) = numbers.split_first_chunk()?;
        let (batch, time) = numbers.split_first_chunk()?;
        Some(Self {
            payload_bytes: usize::try_from(u32::from_le_bytes(*length)).ok()?,
            batch: u64::from_le_bytes(*batch),
            time: Timestamp(u64::from_le_bytes(*time.first_chunk()?)),
            fields: *fields,
            payload_sum: u32::from_le_bytes(*payload_sum),
            chain: Chain(*chain.first_chunk()?),
        })
    }

    /// Its payload, if it is whole; `bytes` begin with the header.
    pub(crate) fn payload<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let payload = bytes.get(HEADER_BYTES..)?.get(..self.payload_bytes)?;
        let is_whole =
            crc32fast::hash(payload) == self.payload_sum || cfg!(ddes_mutant = "torn-tail");
        is_whole.then_some(payload)
    }

    /// The chain value with this batch, if it is the one that follows `before`.
    pub(crate) fn link(&self, before: Chain, payload: &[u8]) -> Option<Chain> {
        let chain = before.next(&self.fields, payload);
        (chain == self.chain || cfg!(ddes_mutant = "torn-tail")).then_some(chain)
    }
}
