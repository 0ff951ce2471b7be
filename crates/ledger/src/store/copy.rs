//! A second folder with the same ledger: a backup, also while the first is being written.

use super::checkpoint::{self, Checkpoint, Names};
use super::segment::{self, Segment, Superblock};
use super::walk::Start;
use super::{Disk, StoreError};

/// Under this name a file is written before it gets its own.
const NEW: &str = "copy.new";

/// Copies what `from` holds up to `end`, where a walk has found the end, into an empty folder. Checkpoints first: what is copied later is newer.
pub(crate) fn copy(from: &dyn Disk, names: &Names, end: &Start, to: &dyn Disk) -> Result<(), StoreError> {
    for batch in &names.checkpoints {
        // One that does not hold is no use there either, and one that is gone was replaced.
        if matches!(Checkpoint::read(from, *batch), Ok(Some(checkpoint)) if checkpoint.slices.end <= end.batch)
        {
            let name = checkpoint::name(*batch);
            let file = from.open(&name).map_err(StoreError::disk(&name))?;
            let len = file.len().map_err(StoreError::disk(&name))?;
            let bytes = segment::read_pieces(&*file, len).map_err(StoreError::disk(&name))?;
            put(to, &name, &[(0, &bytes)])?;
        }
    }
    for number in names.segments.iter().filter(|number| **number <= end.segment) {
        let mut segment = Segment::read(from, *number, 0)?;
        let is_last = *number == end.segment;
        let used =
            if is_last { usize::try_from(end.offset).unwrap_or(usize::MAX) } else { segment.bytes.len() };
        let durable = if is_last { end.batch } else { segment.superblock.durable };
        segment.bytes.get_mut(used..).unwrap_or(&mut []).fill(0);
        // The end as the copy has it, whatever the writer has done since.
        let blocks =
            [0, 1].map(|generation| Superblock { number: *number, generation, durable, sealed: !is_last });
        let blocks = blocks.map(|block| (block.offset(), block.encode()));
        let [first, second] = &blocks;
        put(to, &segment.name, &[(0, &segment.bytes), (first.0, &first.1), (second.0, &second.1)])?;
    }
    Ok(())
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
