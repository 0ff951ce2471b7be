//! The embedded store: a journal of batches in preallocated segments, and checkpoints.
//! docs/ledger.md has the format and every crash point.

mod checkpoint;
mod copy;
mod disk;
mod frame;
mod heads;
mod held;
mod journal;
mod record;
mod segment;
mod walk;

use std::io;
use std::time::Duration;

pub use checkpoint::{CheckpointDone, CheckpointWork};
pub use disk::{Disk, DiskFile, Folder, PlaceError};
pub use frame::{Batch, Chain};
pub use record::{Added, NamedCheckpoint, Record};

pub(crate) use checkpoint::{
    Checkpoint, CheckpointMark, CheckpointReader, Draft, FolderNames, KeptCheckpoint, NEW,
    Obsolete, Part, Slices, is_name as is_checkpoint, obsolete,
};
pub(crate) use checkpoint::{CheckpointOutcome, name as checkpoint_name};
pub(crate) use copy::{copy, remove_copy};
pub(crate) use heads::Heads;
pub(crate) use journal::{Closed, Journal};
pub(crate) use record::{FIXED_BYTES_MAX, VALUE_BYTES_MAX};
pub(crate) use record::{
    put_account, put_add, put_amounts, put_checkpoint, put_end, put_open, put_raise, put_raised,
    put_trim, take, take_amounts,
};
pub(crate) use segment::{DATA, SegmentVersion, name as segment_name};
pub(crate) use walk::{JournalEnd, Seen, Start, walk};

/// Whether a folder holds a ledger, complete or not. A process that was killed while it created a
/// ledger may have left none.
pub fn holds_ledger(disk: &dyn Disk) -> io::Result<bool> {
    let is_ledgers = |name: &String| name.starts_with(segment::PREFIX) || checkpoint::is_name(name);
    Ok(disk.list()?.iter().any(is_ledgers))
}

/// Sizes of files and batches, and how long history is kept.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Bytes of a segment: at least a header and a frame. The first segments are smaller.
    pub segment_bytes: u64,
    /// Bytes of records at which a frame takes no further record.
    pub frame_bytes: usize,
    /// The most values of one submission.
    pub values_max: usize,
    /// Bytes of journal between two checkpoints; twice the bytes of the newest checkpoint if that
    /// is more.
    pub checkpoint_bytes: u64,
    /// Minimum accounts per checkpoint slice while commits run. A slice has as many bytes of
    /// accounts as the commits since the slice before added to the journal.
    pub slice_accounts: u32,
    /// Accounts per checkpoint slice in a pause.
    pub pause_accounts: u32,
    /// Age at which segments that a checkpoint covers are deleted; `None` keeps all segments.
    pub history: Option<Duration>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            frame_bytes: 1024 * 1024,
            values_max: 8_186,
            checkpoint_bytes: 256 * 1024 * 1024,
            slice_accounts: 64,
            pause_accounts: 512,
            history: None,
        }
    }
}

/// The first segment is smaller by this power of two; each next one doubles, up to
/// [`StoreOptions::segment_bytes`].
const FIRST_SEGMENT_SHIFT: u32 = 4;

impl StoreOptions {
    /// The most bytes one frame has.
    pub(crate) fn frame_bytes_max(&self) -> u64 {
        let record = FIXED_BYTES_MAX + self.values_max * VALUE_BYTES_MAX;
        // Opening a session of a new account adds two records.
        (frame::HEADER_BYTES + self.frame_bytes + record + FIXED_BYTES_MAX) as u64
    }

    /// Bytes of the segment numbered `number`, from 1.
    pub(crate) fn bytes_of_segment(&self, number: u64) -> u64 {
        let shift = u32::try_from(number - 1)
            .map_or(0, |before| FIRST_SEGMENT_SHIFT.saturating_sub(before));
        let least = (DATA + 2 * self.frame_bytes_max()).next_multiple_of(4096);
        (self.segment_bytes >> shift).max(least)
    }
}

/// A place where a ledger is not as this program wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, offset {offset}, batch {batch}: {why}")]
pub struct Damage {
    /// Name of the damaged file in the ledger's folder.
    pub file: String,
    /// Offset of the damage in it, in bytes.
    pub offset: u64,
    /// The batch that is there, or should be.
    pub batch: Batch,
    /// Which check failed, for people.
    pub why: String,
}

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of the ledger is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The folder holds no ledger.
    #[error("there is no ledger in this folder")]
    Missing,
    /// The folder already holds a ledger, and must not.
    #[error("there is a ledger in this folder already")]
    Taken,
    /// A call of the file system failed.
    #[error("{file}: {error}")]
    Disk {
        /// Name of the file, or a description such as "the folder".
        file: String,
        /// What the system says.
        error: io::Error,
    },
}

impl StoreError {
    pub(crate) fn disk(file: &str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Disk { file: file.to_owned(), error }
    }
}
