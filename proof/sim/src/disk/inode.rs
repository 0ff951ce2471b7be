//! A simulated file: what the system shows of it, and what the platter holds.

use sha2::{Digest, Sha256};

use crate::random::Random;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) seen: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Since the last sync, in order.
    pub(super) writes: Vec<(usize, Vec<u8>)>,
    /// How long it was since the last sync, in order, before it was as long as it is.
    pub(super) lengths: Vec<usize>,
    /// It has room up to here, if that is more than its length.
    pub(super) allocated: usize,
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy)]
pub(super) enum Survival {
    Nothing,
    All,
    Pages,
    Sectors,
}

impl Inode {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.lengths.push(self.seen.len());
        put(&mut self.seen, offset, bytes);
        self.writes.push((offset, bytes.to_vec()));
    }

    /// It ends after `bytes`. The system may have written back some of what was beyond.
    pub(super) fn cut(&mut self, bytes: usize, random: &mut Random) {
        if random.one_in(2) {
            let (writes, lengths) = (self.writes.clone(), self.lengths.clone());
            self.settle(Survival::Sectors, random);
            (self.writes, self.lengths) = (writes, lengths);
        }
        for (offset, written) in &mut self.writes {
            written.truncate(bytes.saturating_sub(*offset));
        }
        self.writes.retain(|(_, written)| !written.is_empty());
        self.lengths.push(self.seen.len());
        self.seen.truncate(bytes);
        self.allocated = 0;
    }

    /// Up to where it has room.
    pub(super) fn held(&self) -> usize {
        self.seen.len().max(self.allocated)
    }

    /// What was written since the last sync reaches the platter, or does not.
    pub(super) fn settle(&mut self, survival: Survival, random: &mut Random) {
        let writes = std::mem::take(&mut self.writes);
        let lengths = std::mem::take(&mut self.lengths);
        let grain = match survival {
            Survival::Nothing => return,
            Survival::All | Survival::Pages => PAGE,
            Survival::Sectors => SECTOR,
        };
        let is_all = matches!(survival, Survival::All);
        let mut places = Vec::new();
        for (offset, bytes) in &writes {
            places.extend(offset / grain..(offset + bytes.len()).div_ceil(grain));
        }
        places.sort_unstable();
        places.dedup();
        for place in places {
            let (from, to) = (place * grain, ((place + 1) * grain).min(self.seen.len()));
            let touching: Vec<_> =
                writes.iter().filter(|(at, bytes)| *at < to && at + bytes.len() > from).collect();
            let applied = if is_all { touching.len() } else { random.index(touching.len() + 1) };
            if applied == touching.len() {
                // As it was seen at last, with what a failed sync took for written; nothing where
                // the file has become shorter since.
                let page = self.seen.get(from..to).unwrap_or(&[]);
                put(&mut self.durable, from, page);
                continue;
            }
            for (at, bytes) in touching.into_iter().take(applied) {
                let (begin, end) = (from.max(*at), to.min(at + bytes.len()));
                put(&mut self.durable, begin, bytes.get(begin - at..end - at).unwrap_or(&[]));
            }
        }
        // Any length that it has had, whatever is written up to there.
        let nth = if is_all || random.one_in(2) {
            lengths.len()
        } else {
            random.index(lengths.len() + 1)
        };
        self.durable.resize(lengths.get(nth).copied().unwrap_or(self.seen.len()), 0);
    }
}

/// Sectors of a write, each with its offset.
pub(super) fn pieces(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        pieces.push((at, piece));
        (at, rest) = (at + piece.len(), after);
    }
    pieces
}

/// Writes into `file`, which grows as it must.
fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    if let Some(place) = file.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

/// As crates/ledger's checkpoint.rs lays out a file: a head of 92 bytes, then a slice's 13, a key
/// of 32, and in the account 20 bytes before its sum.
pub(super) fn edit_sum(file: &mut [u8]) -> bool {
    const HEAD: usize = 92;
    const SLICE: u8 = 1;
    let end = file.len().saturating_sub(32);
    if file.get(HEAD) != Some(&SLICE) {
        return false;
    }
    let Some(byte) = file.get_mut(HEAD + 13 + 32 + 20) else { return false };
    *byte = byte.wrapping_add(1);
    let Some((body, sum)) = file.split_at_mut_checked(end) else { return false };
    sum.copy_from_slice(&Sha256::digest(body));
    true
}
