//! Which keys are searched, and in which order.

use super::FIRST_COMPARED;
use super::stale::STALE;
use crate::DesKey;
use crate::bitslice::schedule::KEY_BITS;

/// Bits of the numbers of a slice's keys.
const SLICE_BITS: u32 = 20;

/// A batch's keys differ in the lowest bits of their numbers: in so many at most.
pub(super) const LANE_BITS_MAX: usize = 9;

/// Keys that agree in some of their 56 bits and differ in all others: 2 to the power of
/// [`Self::bits`] keys.
///
/// Key bits are written as a number below 2^56: bit `7·byte + i` of it is a key byte's i-th bit from
/// the top, so parity is left out. Each key of the space has a number from 0 on, in the order in
/// which the search takes the least time; [`Self::key`] gives the key. A search takes 2^20 numbers
/// at a time, a *slice*.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeySpace {
    /// The key bits that are the same in all keys; zeros elsewhere.
    known: u64,
    unknown: u64,
    /// The unknown bits in the order of the number's bits.
    order: [u8; KEY_BITS],
}

impl KeySpace {
    /// How many keys DES has, as a power of two.
    pub const BITS_MAX: u32 = 56;

    /// The keys that agree with `known` except in the bits of `unknown`. Bits from 2^56 on are
    /// ignored.
    pub fn new(known: u64, unknown: u64) -> Self {
        let unknown = unknown & ((1 << KEY_BITS) - 1);
        Self { known: known & ((1 << KEY_BITS) - 1) & !unknown, unknown, order: order(unknown) }
    }

    /// The keys that agree with `key` except in the bits of `unknown`.
    pub fn around(key: &DesKey, unknown: u64) -> Self {
        Self::new(key.bits(), unknown)
    }

    /// All keys of DES.
    pub fn all() -> Self {
        Self::new(0, !0)
    }

    /// How many bits are unknown.
    pub fn bits(&self) -> u32 {
        self.unknown.count_ones()
    }

    /// The bits that are known and set.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// The bits that are unknown.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// How many keys there are.
    pub fn keys(&self) -> u64 {
        1 << self.bits()
    }

    /// How many slices there are; the last one is as large as the others.
    pub fn slices(&self) -> u64 {
        1 << self.bits().saturating_sub(SLICE_BITS)
    }

    /// How many keys a slice has.
    pub fn slice_keys(&self) -> u64 {
        1 << self.bits().min(SLICE_BITS)
    }

    /// Whether the key is in the space; parity is ignored.
    pub fn contains(&self, key: &DesKey) -> bool {
        key.bits() & !self.unknown == self.known
    }

    /// The key with this number, with odd parity. Bits beyond the space are ignored.
    pub fn key(&self, number: u64) -> DesKey {
        DesKey::with_odd_parity(self.key_bits(number))
    }

    pub(super) fn key_bits(&self, number: u64) -> u64 {
        let chosen = self.order().iter().enumerate().filter(|(i, _)| number >> i & 1 == 1);
        chosen.fold(self.known, |bits, (_, bit)| bits | 1 << bit)
    }

    /// Key bits by the bits of the number, the lowest first.
    pub(super) fn order(&self) -> &[u8] {
        &self.order[..self.bits() as usize]
    }
}

/// Key bits are no secret of the space, but they may be most of one.
impl core::fmt::Debug for KeySpace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KeySpace({} bits unknown)", self.bits())
    }
}

/// A batch changes one bit of those after the lanes', mostly the first, so these are the bits for
/// which the fewest S-boxes need another look. Lanes hold every value anyway, so they take the bits
/// for which the most do. What is left changes from slice to slice.
fn order(unknown: u64) -> [u8; KEY_BITS] {
    let mut bits = [0; KEY_BITS];
    let mut count = 0;
    for (to, bit) in bits.iter_mut().zip((0..56_u8).filter(|bit| unknown >> bit & 1 == 1)) {
        *to = bit;
        count += 1;
    }
    let cheapest_first = &mut bits[..count];
    cheapest_first.sort_unstable_by_key(|bit| (cost(*bit), *bit));
    let lanes = count.min(LANE_BITS_MAX);
    cheapest_first.rotate_right(lanes);
    bits
}

/// S-boxes that a change of the bit makes stale: in the kept rounds from both ends, as a search of
/// two passes has them; then in what a search of one pass computes of them.
fn cost(bit: u8) -> [u32; 2] {
    let [front, back] = [0, 1].map(|side| STALE[side][usize::from(bit)]);
    let count = |rounds: &[u8]| rounds.iter().map(|sboxes| sboxes.count_ones()).sum::<u32>();
    [count(&front) + count(&back), count(&front) + count(&[back[0], back[1] & FIRST_COMPARED])]
}
