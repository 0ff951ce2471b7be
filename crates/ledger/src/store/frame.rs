//! A frame: one batch in a segment.
//!
//! ```text
//! tag u32 || length u32 || batch u64 || time u64 || CRC-32 of these 24 bytes
//! || CRC-32 of the payload || chain [32] || payload                             little-endian
//! chain = SHA-256(chain before || the first 24 bytes || payload)
//! ```
//!
//! The tag depends on the ledger and on the segment's version, so that no client can send values
//! that look like a frame behind a torn one.

use std::io;

use sha2::{Digest, Sha256};

use super::segment::SegmentVersion;
use crate::Timestamp;

/// A value of the hash chain: it commits to all batches up to its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(pub [u8; 32]);

/// Numbers batches 1, 2, 3 …
pub type Batch = u64;

const FIELDS_BYTES: usize = 24;
pub(crate) const HEADER_BYTES: usize = FIELDS_BYTES + 4 + 4 + 32;

/// The first four bytes of every frame of one ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameTag([u8; 4]);

impl FrameTag {
    /// `SHA-256("D-DDES/2 frame" || version u32 || ledger id)[0..4]`; in a segment of version 1
    /// without the version. The chain covers the tag, so that the batches of one version cannot be
    /// passed off as those of another.
    pub(crate) fn new(ledger: &[u8; 16], version: SegmentVersion) -> Self {
        let hash = Sha256::new().chain_update(b"D-DDES/2 frame");
        let hash = match version {
            SegmentVersion::One => hash,
            SegmentVersion::Two => hash.chain_update(2_u32.to_le_bytes()),
        };
        let hash: [u8; 32] = hash.chain_update(ledger).finalize().into();
        let [a, b, c, d, ..] = hash;
        Self([a, b, c, d])
    }
}

/// A frame's header whose own checksum holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameHeader {
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

/// Writes the header of a frame into the first [`HEADER_BYTES`] bytes, which the payload follows;
/// returns its chain value. An error if the header has no room, or the payload 2^32 bytes.
pub(crate) fn seal(
    bytes: &mut [u8],
    tag: FrameTag,
    before: Chain,
    batch: Batch,
    time: Timestamp,
) -> io::Result<Chain> {
    let (header, payload) = bytes
        .split_first_chunk_mut::<HEADER_BYTES>()
        .ok_or_else(|| io::Error::other("a frame has no room for its header"))?;
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
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
    Ok(chain)
}

impl FrameHeader {
    /// The header at the start of `bytes`, if there is one.
    pub(crate) fn read(tag: FrameTag, bytes: &[u8]) -> Option<Self> {
        // The cheap test first: a search for frames tries every offset.
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

    /// The payload, if its checksum holds; `bytes` begin with the header.
    pub(crate) fn payload<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let payload = bytes.get(HEADER_BYTES..)?.get(..self.payload_bytes)?;
        let is_whole =
            crc32fast::hash(payload) == self.payload_sum || cfg!(ddes_mutant = "torn-tail");
        is_whole.then_some(payload)
    }

    /// The chain value of this batch, if the batch follows `before`.
    pub(crate) fn link(&self, before: Chain, payload: &[u8]) -> Option<Chain> {
        let chain = before.next(&self.fields, payload);
        (chain == self.chain || cfg!(ddes_mutant = "torn-tail")).then_some(chain)
    }
}
