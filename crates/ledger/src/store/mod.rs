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

pub use checkpoint::{Done, Work};
pub use disk::{Disk, DiskFile, Folder, PlaceError};
pub use frame::{Batch, Chain};
pub use record::{Added, Named, Record};

pub(crate) use checkpoint::{
    Checkpoint, Draft, Kept, Mark, NEW, Names, Obsolete, Part, Reader, Slices,
    is_name as is_checkpoint, obsolete,
};
pub(crate) use checkpoint::{Outcome as WorkOutcome, name as checkpoint_name};
pub(crate) use copy::{copy, remove_copy};
pub(crate) use heads::Heads;
pub(crate) use journal::{Closed, Journal};
pub(crate) use record::{FIXED_BYTES_MAX, VALUE_BYTES_MAX};
pub(crate) use record::{
    put_account, put_add, put_checkpoint, put_end, put_open, put_raise, put_trim, take,
};
pub(crate) use segment::{DATA, Version, name as segment_name};
pub(crate) use walk::{End, Seen, Start, walk};

/// Whether a folder holds a ledger, whole or not: a maker that was killed early may have left none.
pub fn holds_ledger(disk: &dyn Disk) -> io::Result<bool> {
    let is_ledgers = |name: &String| name.starts_with(segment::PREFIX) || checkpoint::is_name(name);
    Ok(disk.list()?.iter().any(is_ledgers))
}

/// How large things are, and how long they are kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of a segment; the first ones are smaller. At least a frame's and a header's.
    pub segment_bytes: u64,
    /// A frame takes no further record when it has so many bytes of them.
    pub frame_bytes: usize,
    /// Most values of one submission.
    pub values_max: usize,
    /// A checkpoint is due after so many bytes of journal, or twice those of the newest one where
    /// that is more.
    pub checkpoint_bytes: u64,
    /// Beside commits it takes up as many bytes of accounts as they add to the journal, no fewer
    /// accounts than these at a time.
    pub slice_accounts: u32,
    /// So many in a pause.
    pub pause_accounts: u32,
    /// Segments that an older checkpoint covers are deleted when they are so old; never, where
    /// there is none.
    pub history: Option<Duration>,
}

impl Default for Options {
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

/// The first segment of a ledger is so much smaller; each one doubles, up to
/// [`Options::segment_bytes`].
const FIRST_SEGMENT_SHIFT: u32 = 4;

impl Options {
    /// The most bytes one frame has.
    pub(crate) fn frame_bytes_max(&self) -> u64 {
        let record = FIXED_BYTES_MAX + self.values_max * VALUE_BYTES_MAX;
        // A new account is a record of its own beside its opening.
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

/// Where a ledger was changed by something that is not this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, offset {offset}, batch {batch}: {why}")]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The byte in it.
    pub offset: u64,
    /// The batch that stands there, or should.
    pub batch: Batch,
    /// What is wrong.
    pub why: String,
}

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// There is none.
    #[error("there is no ledger in this folder")]
    Missing,
    /// There is one where there must be none.
    #[error("there is a ledger in this folder already")]
    Taken,
    /// The disk refuses.
    #[error("{file}: {error}")]
    Disk {
        /// The file.
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
