//! Copies a ledger to a second folder: a backup, also while another process writes the first.

use std::io::ErrorKind;

use super::checkpoint::{self, Checkpoint, FolderNames};
use super::frame::Batch;
use super::segment::{self, Segment, Superblock};
use super::walk::Start;
use super::{Damage, Disk, StoreError};

/// The name of a file while it is written.
const NEW: &str = "copy.new";

/// Copies `from`, from segment `first` up to `end`, which a walk has found, into an empty folder.
/// Checkpoints first: what is copied later is newer.
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
        let durable = if is_last { end.batch } else { segment.superblock.durable };
        if is_last {
            zero_after(&mut segment, end)?;
        }
        // The end of the copy, which the writer of the original may have passed.
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

/// Zeros what a writer has added after `end` since the walk found it.
fn zero_after(segment: &mut Segment, end: &Start) -> Result<(), StoreError> {
    let added = usize::try_from(end.offset).ok().and_then(|end| segment.bytes.get_mut(end..));
    if let Some(added) = added {
        added.fill(0);
        return Ok(());
    }
    let (file, why) = (segment.name.clone(), "the segment ends before this place".to_owned());
    Err(Damage { file, offset: end.offset, batch: end.batch, why }.into())
}

/// Copies a checkpoint, unless it is damaged. One that was deleted meanwhile may be missing, unless
/// the journal begins at it, which the caller checks.
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
    // The open file stays readable even if its name is removed.
    let len = file.len().map_err(&failed)?;
    let bytes = segment::read_pieces(&*file, len).map_err(&failed)?;
    put(to, &name, &[(0, &bytes)])?;
    let is_whole =
        Checkpoint::read(to, batch)?.is_some_and(|checkpoint| checkpoint.slices.end <= end.batch);
    if is_whole { Ok(()) } else { to.remove(&name).map_err(&failed) }
}

/// Removes the files of an unfinished copy.
pub(crate) fn remove_copy(to: &dyn Disk) -> Result<(), StoreError> {
    let names = FolderNames::read(to)?;
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
