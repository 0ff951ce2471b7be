//! The table of a meet in the middle: for each middle block, which keys lead to it.
//!
//! An entry is 40 bits: an index, and as many bits of the block as are left of 40. Twelve entries
//! and their count are a line of 64 bytes, which is what a processor reads of memory at a time. The
//! block's other bits choose the line; entries for which it has no room go to the next. Filled to
//! [`ENTRIES_A_LINE`] on average, an entry takes 7.1 bytes.

use std::hint::black_box;

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;

/// Entries of a line.
const SLOTS: usize = 12;
const ENTRY_BYTES: usize = 5;
const ENTRY_BITS: u32 = 40;
const _: () = assert!(8 * ENTRY_BYTES == 40);
/// Where a line has its count.
const COUNT: usize = SLOTS * ENTRY_BYTES;

/// An entry is read as eight bytes.
const _: () = assert!((SLOTS - 1) * ENTRY_BYTES + 8 <= LINE_BYTES && COUNT < LINE_BYTES);

/// Bytes of a line.
pub(super) const LINE_BYTES: usize = 64;

/// Entries for each line, on average, of a full table.
pub(super) const ENTRIES_A_LINE: u64 = 9;

/// Lines that are read ahead of their use. Reads that do not wait for each other overlap.
const AHEAD: usize = 32;

/// Some of the middle blocks' entries.
pub(super) struct Table {
    /// Pages of their own, so that a line is one read, and huge where the system has them. Each
    /// entry is anywhere: finding a page of 4 KiB takes longer than reading a line of it.
    memory: MmapMut,
    lines: usize,
    /// Bits of an index.
    index_bits: u32,
}

/// An entry on its way into a table.
#[derive(Clone, Copy)]
pub(super) struct MiddleEntry {
    pub(super) middle: u64,
    pub(super) index: u64,
}

impl Table {
    /// An empty table of so many lines, for indices below `2^index_bits`; `None` if the system has
    /// no such memory.
    pub(super) fn new(lines: usize, index_bits: u32) -> Option<Self> {
        let memory = MmapMut::map_anon(lines.checked_mul(LINE_BYTES)?).ok()?;
        // A system without huge pages is slower; nothing else changes.
        #[cfg(target_os = "linux")]
        drop(memory.advise(Advice::HugePage));
        Some(Self { memory, lines, index_bits })
    }

    /// Whether there can be a table for so many entries with such indices.
    pub(super) const fn holds(index_bits: u32) -> bool {
        index_bits < ENTRY_BITS
    }

    pub(super) fn clear(&mut self) {
        self.memory.fill(0);
    }

    /// Adds entries, of which there must be fewer than slots in all.
    pub(super) fn insert(&mut self, entries: &[MiddleEntry]) {
        for some in entries.chunks(AHEAD) {
            self.read_ahead(some.iter().map(|entry| entry.middle));
            for entry in some {
                self.insert_one(*entry);
            }
        }
    }

    fn insert_one(&mut self, MiddleEntry { middle, index }: MiddleEntry) {
        let value = self.tag(middle) << self.index_bits | index;
        let mut at = self.line(middle);
        for _ in 0..self.lines {
            let line = &mut self.memory[at * LINE_BYTES..][..LINE_BYTES];
            let count = usize::from(line[COUNT]);
            if count < SLOTS {
                let bytes = value.to_le_bytes();
                line[count * ENTRY_BYTES..][..ENTRY_BYTES].copy_from_slice(&bytes[..ENTRY_BYTES]);
                line[COUNT] += 1;
                return;
            }
            at = self.after(at);
        }
    }

    /// The indices of entries that may be of this block: all that are, and few others.
    fn find(&self, middle: u64, found: &mut impl FnMut(u64)) {
        let tag = self.tag(middle);
        let index_mask = (1_u64 << self.index_bits) - 1;
        let mut at = self.line(middle);
        for _ in 0..self.lines {
            let line = &self.memory[at * LINE_BYTES..][..LINE_BYTES];
            let count = usize::from(line[COUNT]);
            for slot in 0..count.min(SLOTS) {
                let bytes = std::array::from_fn(|i| line[slot * ENTRY_BYTES + i]);
                let value = u64::from_le_bytes(bytes) & ((1 << ENTRY_BITS) - 1);
                if value >> self.index_bits == tag {
                    found(value & index_mask);
                }
            }
            if count < SLOTS {
                return;
            }
            at = self.after(at);
        }
    }

    fn read_ahead(&self, middles: impl Iterator<Item = u64>) {
        let count = |middle| self.memory[self.line(middle) * LINE_BYTES + COUNT];
        black_box(middles.fold(0_u8, |sum, middle| sum ^ count(middle)));
    }

    /// The block's high bits, as a share of all lines.
    fn line(&self, middle: u64) -> usize {
        share(middle, self.lines)
    }

    fn after(&self, line: usize) -> usize {
        if line + 1 == self.lines { 0 } else { line + 1 }
    }

    /// The block's low bits.
    fn tag(&self, middle: u64) -> u64 {
        middle & ((1 << (ENTRY_BITS - self.index_bits)) - 1)
    }
}

/// `of` times the fraction that the number is of 2^64.
pub(super) fn share(number: u64, of: usize) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "it is less than `of`")]
    let share = ((u128::from(number) * of as u128) >> 64) as usize;
    share
}

/// Several tables, one for each thread that fills them.
pub(super) struct Tables<'a>(pub(super) &'a [Table]);

impl Tables<'_> {
    /// Passes, for each of the blocks, its place and the indices that may be its own to `found`.
    pub(super) fn find(&self, middles: &[u64], mut found: impl FnMut(usize, u64)) {
        for (some, first) in middles.chunks(AHEAD).zip((0..).step_by(AHEAD)) {
            for middle in some {
                let table = &self.0[share(*middle, self.0.len())];
                table.read_ahead(std::iter::once(spread(*middle)));
            }
            for (i, middle) in some.iter().enumerate() {
                let table = &self.0[share(*middle, self.0.len())];
                table.find(spread(*middle), &mut |index| found(first + i, index));
            }
        }
    }
}

/// The high bits choose the table, so that the line takes others: the halves change places.
pub(super) fn spread(middle: u64) -> u64 {
    middle.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_in_a_full_table_with_lines_that_overflow() {
        let (lines, index_bits) = (100, 12);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut table = Table::new(lines, index_bits).unwrap();
        let entries: Vec<_> = (0..lines as u64 * SLOTS as u64 - 1)
            .map(|index| MiddleEntry { middle: rng.u64(..), index })
            .collect();
        table.insert(&entries);
        for entry in &entries {
            let mut found = Vec::new();
            table.find(entry.middle, &mut |index| found.push(index));
            assert!(found.contains(&entry.index), "{}", entry.index);
        }
        table.clear();
        table.find(entries[0].middle, &mut |index| panic!("{index} after clear"));
    }

    /// Equal blocks, as keys of DES give them now and then, are all found; others hardly ever.
    #[test]
    fn equal_blocks_are_all_found_and_others_are_rare() {
        let mut table = Table::new(64, 20).unwrap();
        let same = (0..40).map(|index| MiddleEntry { middle: 7 << 50 | 3, index });
        table.insert(&same.collect::<Vec<_>>());
        let mut found = Vec::new();
        table.find(7 << 50 | 3, &mut |index| found.push(index));
        found.sort_unstable();
        assert!(found.iter().copied().eq(0..40));
        let mut rng = fastrand::Rng::with_seed(2);
        let mut wrong = 0;
        for _ in 0..1000 {
            table.find(rng.u64(..), &mut |_| wrong += 1);
        }
        assert!(wrong < 100, "{wrong}");
    }
}
