//! One account under load: its numbering, what is on its way, and whether the server's sums are
//! right.
//!
//! Every sum that the server states is checked, not only the last: a 40 names the number it covers,
//! and what was sent up to that number is known.

use ddes_client::delivery::Flight;
use ddes_wire::v2::{Outcome, Status};
use ddes_wire::{Sequence, Standing, Total};

/// A frame that the ledger does not cover yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// The number of its first value.
    pub(crate) first: u64,
    /// How many values it has, at least 1.
    pub(crate) count: u16,
    /// The account's sum once it counts.
    sum: i128,
    /// When it was to be sent, in nanoseconds since the run began.
    pub(crate) intended: u64,
    /// Whether its latency is one of those measured.
    pub(crate) is_measured: bool,
}

impl Frame {
    pub(crate) fn values(&self) -> u64 {
        self.count.into()
    }

    /// The number of its last value.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.values() - 1
    }
}

/// What the server states of an account is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// How many values count, as far as this side can tell.
    pub expected_count: u64,
    /// Their sum.
    pub expected_sum: i128,
    /// How many the server says there are.
    pub stated_count: u64,
    /// The sum it says they have.
    pub stated_sum: i128,
}

#[derive(Debug, Default)]
pub(crate) struct Account {
    /// What the first 20 stated is taken over.
    is_known: bool,
    /// Through the last number given out.
    given: (u64, i128),
    /// Through the last number covered.
    covered: (u64, i128),
    flight: Flight<Frame>,
}

impl Account {
    /// The next value's number.
    pub(crate) fn next_number(&self) -> u64 {
        self.given.0 + 1
    }

    /// Frames on their way.
    pub(crate) fn flights(&self) -> usize {
        self.flight.len()
    }

    /// Frames that do not count yet, oldest first.
    pub(crate) fn uncovered(&self) -> impl Iterator<Item = &Frame> {
        self.flight.uncovered()
    }

    /// How many values count, and their sum.
    pub(crate) fn covered(&self) -> (u64, i128) {
        self.covered
    }

    /// A 20. The first one is where the account starts; a later one settles what was on its way,
    /// and the rest is to be sent again.
    pub(crate) fn open(
        &mut self,
        standing: &Standing,
        counted: impl FnMut(&Frame),
    ) -> Result<(), Mismatch> {
        if !self.is_known {
            self.is_known = true;
            self.given = (standing.last_seq.get(), standing.sum.get());
            self.covered = self.given;
        }
        self.cover(standing.last_seq, standing.sum, counted)?;
        self.flight.handle_end();
        Ok(())
    }

    /// `count` values of the sum `sum`, under the next numbers, are on their way; the number of the
    /// first.
    pub(crate) fn give(
        &mut self,
        count: u16,
        sum: i128,
        intended: u64,
        is_measured: bool,
    ) -> Frame {
        let (first, last) = (self.given.0 + 1, self.given.0 + u64::from(count));
        self.given = (last, self.given.1 + sum);
        let frame = Frame { first, count, sum: self.given.1, intended, is_measured };
        self.flight.handle_sent(Sequence::new(last), frame);
        frame
    }

    /// The oldest frame that is to be sent again; it is on its way now. New ones come behind these.
    pub(crate) fn give_again(&mut self) -> Option<Frame> {
        let (last, frame) = self.flight.poll_again()?;
        self.flight.handle_sent(last, frame);
        Some(frame)
    }

    /// Whether frames wait to be sent again.
    pub(crate) fn must_give_again(&self) -> bool {
        self.flight.must_send_again()
    }

    /// A 40. `counted` is told of each frame that it covers.
    pub(crate) fn answer(
        &mut self,
        outcome: &Outcome,
        counted: impl FnMut(&Frame),
    ) -> Result<(), Mismatch> {
        self.cover(outcome.last_seq, outcome.sum, counted)?;
        if outcome.status != Status::Applied {
            // Without a pause also after status 4: what is measured is how soon the server takes
            // values again.
            self.flight.handle_refusal();
        }
        Ok(())
    }

    /// What the server states has to be the sum at the end of a frame that was sent: each counts
    /// whole or not at all.
    pub(crate) fn cover(
        &mut self,
        last_seq: Sequence,
        sum: Total,
        mut counted: impl FnMut(&Frame),
    ) -> Result<(), Mismatch> {
        while let Some(frame) = self.flight.poll_covered(last_seq) {
            self.covered = (frame.last(), frame.sum);
            counted(&frame);
        }
        if self.covered == (last_seq.get(), sum.get()) {
            return Ok(());
        }
        Err(Mismatch {
            expected_count: self.covered.0,
            expected_sum: self.covered.1,
            stated_count: last_seq.get(),
            stated_sum: sum.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use ddes_wire::SessionNumber;

    use super::*;

    fn standing(count: u64, sum: i128) -> Standing {
        Standing {
            last_seq: Sequence::new(count),
            last_session: SessionNumber::NONE,
            sum: Total::new(sum),
        }
    }

    fn outcome(status: Status, count: u64, sum: i128) -> Outcome {
        Outcome { status, last_seq: Sequence::new(count), sum: Total::new(sum) }
    }

    /// An account with a history of 10 values, sum 100, and three frames of 2 values, sum 7, on
    /// their way.
    fn three_on_their_way() -> Account {
        let mut account = Account::default();
        account.open(&standing(10, 100), |_| panic!("nothing was sent")).unwrap();
        for intended in [1, 2, 3] {
            account.give(2, 7, intended, true);
        }
        account
    }

    #[test]
    fn one_answer_covers_several_frames_and_sums_go_on_from_the_history() {
        let mut account = three_on_their_way();
        let mut starts = Vec::new();
        account
            .answer(&outcome(Status::Applied, 14, 114), |flight| starts.push(flight.intended))
            .unwrap();
        assert_eq!((starts, account.flights(), account.covered()), (vec![1, 2], 1, (14, 114)));
        assert_eq!(account.next_number(), 17);
    }

    #[test]
    fn a_sum_that_is_off_by_one_is_caught_and_so_is_a_count() {
        for (count, sum) in
            [(12, 108), (12, 106), (13, 107), (10, 101), (17, 121), (18, 128), (9, 93)]
        {
            let mismatch = three_on_their_way()
                .answer(&outcome(Status::Applied, count, sum), |_| {})
                .unwrap_err();
            assert_eq!((mismatch.stated_count, mismatch.stated_sum), (count, sum));
        }
    }

    #[test]
    fn after_a_refusal_everything_behind_it_is_sent_again_once_all_of_it_was_refused() {
        let mut account = three_on_their_way();
        account.answer(&outcome(Status::Applied, 12, 107), |_| {}).unwrap();
        account.answer(&outcome(Status::Unavailable, 12, 107), |_| {}).unwrap();
        assert!(!account.must_give_again());
        account.answer(&outcome(Status::Gap, 12, 107), |_| {}).unwrap();
        let numbers: Vec<_> =
            std::iter::from_fn(|| account.give_again()).map(|f| (f.first, f.last())).collect();
        assert_eq!(numbers, [(13, 14), (15, 16)]);
        account.answer(&outcome(Status::Applied, 16, 121), |_| {}).unwrap();
        assert_eq!((account.uncovered().count(), account.covered()), (0, (16, 121)));
    }

    #[test]
    fn what_a_status_4_left_open_may_turn_out_to_count() {
        let mut account = three_on_their_way();
        for status in [Status::Unavailable, Status::Gap, Status::Gap] {
            account.answer(&outcome(status, 10, 100), |_| {}).unwrap();
        }
        assert_eq!(account.give_again().map(|flight| flight.first), Some(11));
        // The first pass was applied whole.
        account.answer(&outcome(Status::Applied, 16, 121), |_| {}).unwrap();
        assert!(!account.must_give_again() && account.flights() == 0);
    }

    #[test]
    fn a_new_session_settles_what_the_last_one_left_open() {
        let mut account = three_on_their_way();
        let mut counted = 0;
        account.open(&standing(12, 107), |_| counted += 1).unwrap();
        assert_eq!((counted, account.flights()), (1, 0));
        assert_eq!(account.give_again().map(|flight| flight.first), Some(13));
        // A ledger that went back is no ledger.
        assert!(account.open(&standing(10, 100), |_| {}).is_err());
    }
}
