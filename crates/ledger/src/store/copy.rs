//! A second folder with the same ledger: a backup, also while the first is being written.

use std::io::ErrorKind;

use super::checkpoint::{self, Checkpoint, Names};
use super::frame::Batch;
use super::segment::{self, Segment, Superblock};
use super::walk::Start;
use super::{Disk, StoreError};

/// Under this name a file is written before it gets its own.
const NEW: &str = "copy.new";

/// Copies what `from` holds from segment `first` up to `end`, where a walk has found the end, into
/// an empty folder. Checkpoints first: what is copied later is newer.
pub(crate) fn copy(
    from: &dyn Disk,
    checkpoints: &[Batch],
    first: u64,
    end: &Start,
    to: &dyn Disk,
) -> Result<(), StoreError> {
    for batch in checkpoints {
        copy_checkpoint(from, *batch, end, to)?;
    }
    for number in first..=end.segment {
        let number = &number;
        let mut segment = Segment::read(from, *number, 0)?;
        let is_last = *number == end.segment;
        let used = if is_last {
            usize::try_from(end.offset).unwrap_or(usize::MAX)
        } else {
            segment.bytes.len()
        };
        let durable = if is_last { end.batch } else { segment.superblock.durable };
        segment.bytes.get_mut(used..).unwrap_or(&mut []).fill(0);
        // The end as the copy has it, whatever the writer has done since.
        let blocks = [0, 1].map(|generation| Superblock {
            number: *number,
            generation,
            durable,
            sealed: !is_last,
        });
        let blocks = blocks.map(|block| (block.offset(), block.encode()));
        let [first, second] = &blocks;
        put(to, &segment.name, &[(0, &segment.bytes), (first.0, &first.1), (second.0, &second.1)])?;
    }
    Ok(())
}

/// One that does not hold is no use there either. One that was replaced meanwhile need not be
/// there, unless the journal begins at it.
fn copy_checkpoint(
    from: &dyn Disk,
    batch: Batch,
    end: &Start,
    to: &dyn Disk,
) -> Result<(), StoreError> {
    let name = checkpoint::name(batch);
    let failed = StoreError::disk(&name);
    let file = match from.open(&name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.map_err(&failed)?,
    };
    // From here on it can be read, whatever becomes of its name.
    let len = file.len().map_err(&failed)?;
    let bytes = segment::read_pieces(&*file, len).map_err(&failed)?;
    put(to, &name, &[(0, &bytes)])?;
    let is_whole =
        Checkpoint::read(to, batch)?.is_some_and(|checkpoint| checkpoint.slices.end <= end.batch);
    if is_whole { Ok(()) } else { to.remove(&name).map_err(&failed) }
}

/// Removes what a copy had come to.
pub(crate) fn remove_copy(to: &dyn Disk) -> Result<(), StoreError> {
    let names = Names::read(to)?;
    let segments = names.segments.iter().map(|number| segment::name(*number));
    let checkpoints = names.checkpoints.iter().map(|batch| checkpoint::name(*batch));
    segments
        .chain(checkpoints)
        .try_for_each(|name| to.remove(&name).map_err(StoreError::disk(&name)))
}

fn put(to: &dyn Disk, name: &str, pieces: &[(u64, &[u8])]) -> Result<(), StoreError> {
    let write = || {
        let file = to.create(NEW, 0)?;
        pieces.iter().try_for_each(|(offset, bytes)| file.write_at(*offset, bytes))?;
        file.sync()?;
        to.publish(NEW, name)
    };
    write().map_err(StoreError::disk(name))
}
