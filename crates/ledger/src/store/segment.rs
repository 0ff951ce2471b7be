//! A segment's head: its header, and two superblocks written in turn. Each has a sector of its own.
//!
//! ```text
//! header     = "DdsJ" || version u32 || ledger [16] || number u64 || bytes u64
//!              || frame bytes u64 || first batch u64 || chain [32] || CRC-32
//! superblock = "DdsS" || number u64 || generation u64 || durable batch u64 || sealed u8
//!              || CRC-32                                                     little-endian
//! ```

use std::io::ErrorKind;

use super::frame::{Batch, Chain};
use super::{Damage, Disk, DiskFile, StoreError};

/// Bytes of the head; the first batch follows it.
const HEAD_BYTES: usize = 4096;
/// Offset of a segment's first batch.
pub(crate) const DATA: u64 = HEAD_BYTES as u64;
const SECTOR_BYTES: usize = 512;
const SECTOR: u64 = SECTOR_BYTES as u64;
const HEADER_BYTES: usize = 4 + 4 + 16 + 8 + 8 + 8 + 8 + 32 + 4;
const SUPERBLOCK_BYTES: usize = 4 + 8 + 8 + 8 + 1 + 4;
const HEADER_MAGIC: &[u8; 4] = b"DdsJ";
const SUPERBLOCK_MAGIC: &[u8; 4] = b"DdsS";
/// Bytes of one read of a segment.
const PIECE_BYTES: usize = 1024 * 1024;
/// Upper bound on a segment's bytes, whatever its header says.
pub(super) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// All batch numbers are below this, whatever a file says.
pub(super) const BATCH_MAX: Batch = 1 << 62;

const _: () = assert!(
    HEADER_BYTES as u64 <= SECTOR && SUPERBLOCK_BYTES <= HEADER_BYTES && 3 * SECTOR <= DATA
);

/// The format of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SegmentVersion {
    /// Its batches name no checkpoint, except those that upgraded the ledger to version 2.
    One,
    /// Batches name each checkpoint that the ledger relies on, and the segments that are deleted.
    Two,
}

impl SegmentVersion {
    /// The version of new segments.
    pub(crate) const NEW: Self = Self::Two;

    fn encode(self) -> [u8; 4] {
        let number: u32 = match self {
            Self::One => 1,
            Self::Two => 2,
        };
        number.to_le_bytes()
    }

    fn decode(bytes: [u8; 4]) -> Option<Self> {
        [Self::One, Self::Two].into_iter().find(|version| version.encode() == bytes)
    }
}

/// A segment's header, which is written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: SegmentVersion,
    pub(crate) ledger: [u8; 16],
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    /// The most bytes of one frame in it.
    pub(crate) frame_bytes_max: u64,
    pub(crate) first_batch: Batch,
    /// The chain value before the first batch.
    pub(crate) chain: Chain,
}

/// What a segment states about its end; rewritten as the segment grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) number: u64,
    pub(crate) generation: u64,
    /// This batch was durable before this was written.
    pub(crate) durable: Batch,
    /// The next segment exists.
    pub(crate) sealed: bool,
}

/// A segment in memory.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    /// The superblock of the higher generation.
    pub(crate) superblock: Superblock,
    /// Offsets of superblocks that cannot be read: torn by a crash, or damaged.
    pub(crate) unreadable: Vec<u64>,
    pub(crate) bytes: Vec<u8>,
}

/// The prefix of every segment's file name.
pub(crate) const PREFIX: &str = "journal-";

pub(crate) fn name(number: u64) -> String {
    format!("{PREFIX}{number:010}")
}

/// The numbers of the segments among `names`, ascending.
pub(crate) fn numbers(names: &[String]) -> Vec<u64> {
    let number = |entry: &String| {
        let number = entry.strip_prefix(PREFIX)?.parse().ok()?;
        (name(number) == *entry).then_some(number)
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = HEADER_MAGIC.to_vec();
        bytes.extend(self.version.encode());
        bytes.extend(self.ledger);
        for number in [self.number, self.bytes, self.frame_bytes_max, self.first_batch] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.chain.0);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = checked(bytes.get(..HEADER_BYTES)?, HEADER_MAGIC)?;
        let (version, rest) = rest.split_first_chunk()?;
        let version = SegmentVersion::decode(*version)?;
        let (ledger, rest) = rest.split_first_chunk()?;
        let (numbers, chain) = rest.split_at_checked(32)?;
        let (numbers, _) = numbers.as_chunks();
        let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_le_bytes).collect();
        let [number, bytes, frame_bytes_max, first_batch] = numbers[..] else { return None };
        let chain = Chain(*chain.first_chunk()?);
        let header =
            Self { version, ledger: *ledger, number, bytes, frame_bytes_max, first_batch, chain };
        (first_batch < BATCH_MAX).then_some(header)
    }
}

impl Superblock {
    pub(crate) fn offset(&self) -> u64 {
        SECTOR * (1 + self.generation % 2)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = SUPERBLOCK_MAGIC.to_vec();
        for number in [self.number, self.generation, self.durable] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.push(self.sealed.into());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = checked(bytes.get(..SUPERBLOCK_BYTES)?, SUPERBLOCK_MAGIC)?;
        let (numbers, sealed) = rest.as_chunks();
        let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_le_bytes).collect();
        let ([number, generation, durable], [sealed]) = (&numbers[..], sealed) else { return None };
        Some(Self {
            number: *number,
            generation: *generation,
            durable: *durable,
            sealed: *sealed != 0,
        })
    }
}

/// The bytes between the magic and the checksum, if both hold.
fn checked<'a>(bytes: &'a [u8], magic: &[u8; 4]) -> Option<&'a [u8]> {
    let (body, sum) = bytes.split_last_chunk()?;
    (u32::from_le_bytes(*sum) == crc32fast::hash(body)).then(|| body.strip_prefix(magic))?
}

/// Both superblocks of a segment with their offsets; `None` for one that cannot be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Superblocks([(u64, Option<Superblock>); 2]);

impl Superblocks {
    pub(crate) fn newest(&self) -> Option<Superblock> {
        self.0.iter().filter_map(|(_, block)| *block).max_by_key(|block| block.generation)
    }

    /// Offsets of those that cannot be read: torn by a crash, or damaged.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = u64> {
        self.0.iter().filter(|(_, block)| block.is_none()).map(|(offset, _)| *offset)
    }
}

/// Reads a segment's head and checks its length. `expected` is the first batch that it should hold.
pub(crate) fn read_head(
    disk: &dyn Disk,
    number: u64,
    expected: Batch,
) -> Result<(SegmentHeader, Superblocks), StoreError> {
    let name = name(number);
    let failed = StoreError::disk(&name);
    let file = disk.open(&name).map_err(&failed)?;
    let len = file.len().map_err(&failed)?;
    let damage = |offset, why: &str| Damage {
        file: name.clone(),
        offset,
        batch: expected,
        why: why.to_owned(),
    };
    if len < DATA {
        return Err(damage(len, "the segment was cut off: it has no whole head").into());
    }
    let mut bytes = vec![0; HEAD_BYTES];
    file.read_at(0, &mut bytes).map_err(&failed)?;
    let header = SegmentHeader::decode(&bytes).filter(|header| header.number == number);
    let header = header.ok_or_else(|| damage(0, "the segment's header is damaged"))?;
    if len != header.bytes || len > SEGMENT_BYTES_MAX {
        let why = format!(
            "the segment has {len} bytes, and was made with {}: it was cut off",
            header.bytes
        );
        return Err(damage(len.min(header.bytes), &why).into());
    }
    let slots = [SECTOR_BYTES, 2 * SECTOR_BYTES].map(|at| {
        let block = Superblock::decode(&bytes[at..]).filter(|block| block.number == number);
        (at as u64, block)
    });
    Ok((header, Superblocks(slots)))
}

impl Segment {
    /// Reads a whole segment; `expected` is the first batch that it should hold.
    pub(crate) fn read(disk: &dyn Disk, number: u64, expected: Batch) -> Result<Self, StoreError> {
        // The head first: a superblock read last might name a batch that was read as zeros.
        let (header, superblocks) = read_head(disk, number, expected)?;
        let name = name(number);
        let bytes = disk.open(&name).and_then(|file| read_pieces(&*file, header.bytes));
        let bytes = bytes.map_err(StoreError::disk(&name))?;
        let superblock = superblocks.newest().ok_or_else(|| no_superblock(number, expected))?;
        Ok(Self { name, header, superblock, unreadable: superblocks.unreadable().collect(), bytes })
    }
}

/// The damage of a segment whose two superblocks cannot be read.
pub(super) fn no_superblock(number: u64, expected: Batch) -> Damage {
    let why = "neither superblock can be read".to_owned();
    Damage { file: name(number), offset: SECTOR, batch: expected, why }
}

/// The first `len` bytes of a file.
pub(super) fn read_pieces(file: &dyn DiskFile, len: u64) -> std::io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| ErrorKind::OutOfMemory)?;
    let mut bytes = vec![0; len];
    for (i, piece) in bytes.chunks_mut(PIECE_BYTES).enumerate() {
        file.read_at((i * PIECE_BYTES) as u64, piece)?;
    }
    Ok(bytes)
}
