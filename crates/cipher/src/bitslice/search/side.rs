//! One end of the cipher, under as many keys as a lane has bits.

use super::stale::{KEPT_ROUNDS, STALE};
use super::{FIRST_COMPARED, THEN_COMPARED};
use crate::Block;
use crate::bitslice::lane::Lane;
use crate::bitslice::schedule::{KEY_LANES, PassDirection};
use crate::bitslice::{Half, initial};

/// The rounds from a block on, for one batch of keys after the other.
pub(super) struct SearchSide<L> {
    direction: PassDirection,
    /// R(-1) and R(0), which are the block's, and R(1) to R(3).
    kept: [Half<L>; 2 + KEPT_ROUNDS],
    /// The last two halves, if there are more rounds.
    halves: [Half<L>; 2],
    /// So many rounds are computed whole.
    rounds: usize,
    /// The half of the round after them: what S1 to S3 read of it, or all.
    part: Half<L>,
    /// The half that is compared, where `is_there` has the S-box's bit.
    compared: Half<L>,
    is_there: u8,
}

impl<L: Lane> SearchSide<L> {
    #[inline(always)]
    pub(super) fn new(direction: PassDirection, block: Block, rounds: usize) -> Self {
        let word = u64::from_le_bytes(block);
        let [left, right] = initial(|bit| L::splat((word >> bit & 1).wrapping_neg()));
        let zeros = [L::splat(0); 32];
        let mut kept = [zeros; 2 + KEPT_ROUNDS];
        (kept[0], kept[1]) = (left, right);
        let halves = [zeros; 2];
        Self { direction, kept, halves, rounds, part: zeros, compared: zeros, is_there: 0 }
    }

    /// Computes the whole rounds under the next keys, of which one bit has changed (or all).
    #[inline(always)]
    pub(super) fn advance(&mut self, changed: Option<u8>, keys: &[L; KEY_LANES]) {
        let stale = match changed {
            Some(bit) => STALE[self.direction as usize][usize::from(bit)],
            None => [!0; KEPT_ROUNDS],
        };
        for round in 0..self.rounds.min(KEPT_ROUNDS) {
            let (before, after) = self.kept.split_at_mut(round + 2);
            let halves = [&before[round], &before[round + 1]];
            L::sboxes(stale[round], halves, &mut after[0], keys, (self.direction, round));
        }
        // Beyond the kept rounds nothing stays.
        self.is_there &= stale.get(self.rounds).map_or(0, |stale| !stale);
        if self.rounds > KEPT_ROUNDS {
            let start = [&self.kept[KEPT_ROUNDS], &self.kept[KEPT_ROUNDS + 1]];
            let rounds = KEPT_ROUNDS..self.rounds;
            L::rounds_each(start, self.halves.each_mut(), keys, (self.direction, rounds));
        }
    }

    /// What is compared first. One round further than whole rounds, and the first S-boxes of the
    /// next; or the first S-boxes of the next, of which some may be there, where all rounds are
    /// kept.
    #[inline(always)]
    pub(super) fn compare_first(&mut self, keys: &[L; KEY_LANES]) {
        if self.rounds < KEPT_ROUNDS {
            self.compute_kept(FIRST_COMPARED, keys);
            return;
        }
        let [before, last] = last(&self.kept, &self.halves, self.rounds);
        L::part([before, last], &mut self.part, keys, (self.direction, self.rounds));
        let round = (self.direction, self.rounds + 1);
        L::sboxes(FIRST_COMPARED, [last, &self.part], &mut self.compared, keys, round);
    }

    /// The rest of what is compared.
    #[inline(always)]
    pub(super) fn compare_then(&mut self, keys: &[L; KEY_LANES]) {
        if self.rounds < KEPT_ROUNDS {
            self.compute_kept(THEN_COMPARED, keys);
            return;
        }
        let [before, last] = last(&self.kept, &self.halves, self.rounds);
        L::sboxes(!0, [before, last], &mut self.part, keys, (self.direction, self.rounds));
        let round = (self.direction, self.rounds + 1);
        L::sboxes(THEN_COMPARED, [last, &self.part], &mut self.compared, keys, round);
    }

    #[inline(always)]
    fn compute_kept(&mut self, sboxes: u8, keys: &[L; KEY_LANES]) {
        let halves = [&self.kept[self.rounds], &self.kept[self.rounds + 1]];
        let missing = sboxes & !self.is_there;
        L::sboxes(missing, halves, &mut self.compared, keys, (self.direction, self.rounds));
        self.is_there |= sboxes;
    }

    /// What is compared, as far as it was computed.
    #[inline(always)]
    pub(super) fn compared(&self) -> &Half<L> {
        &self.compared
    }

    /// The halves of the last two whole rounds.
    #[inline(always)]
    pub(super) fn last(&self) -> [&Half<L>; 2] {
        last(&self.kept, &self.halves, self.rounds)
    }
}

/// See [`Side::last`].
#[inline(always)]
fn last<'a, L>(
    kept: &'a [Half<L>; 2 + KEPT_ROUNDS],
    [one, other]: &'a [Half<L>; 2],
    rounds: usize,
) -> [&'a Half<L>; 2] {
    match rounds.checked_sub(KEPT_ROUNDS) {
        None | Some(0) => [&kept[rounds], &kept[rounds + 1]],
        Some(more) if more % 2 == 1 => [other, one],
        Some(_) => [one, other],
    }
}
