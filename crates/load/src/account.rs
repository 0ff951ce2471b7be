//! One account under load: its numbering, the frames in flight, and whether the server's sums are
//! right.
//!
//! Every sum that the server states is checked, not only the last: a 40 names the number it covers,
//! and what was sent up to that number is known.

use ddes_client::delivery::Flight;
use ddes_wire::v2::{Outcome, Status};
use ddes_wire::{Sequence, Standing, Total};

/// A frame that the ledger does not cover yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentFrame {
    /// The number of its first value.
    pub(crate) first: u64,
    /// How many values it has, at least 1.
    pub(crate) count: u16,
    /// The account's sum once it counts.
    sum: i128,
    /// When it should have been sent, in nanoseconds since the run began.
    pub(crate) intended: u64,
    /// Whether its latency is one of those measured.
    pub(crate) is_measured: bool,
}

impl SentFrame {
    pub(crate) fn values(&self) -> u64 {
        self.count.into()
    }

    /// The number of its last value.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.values() - 1
    }
}

/// The server states another count or sum than that of the values sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The count by what was sent, at the end of the last frame that the server covers.
    pub expected_count: u64,
    /// The sum of these values.
    pub expected_sum: i128,
    /// How many values the server states.
    pub stated_count: u64,
    /// The sum that the server states.
    pub stated_sum: i128,
}

/// What was sent to one account, against what the server states of it.
#[derive(Debug, Default)]
pub(crate) struct LoadAccount {
    /// The first 20 came: the account starts with the count and sum in it.
    is_known: bool,
    /// The last number sent, and the sum up to it.
    given: (u64, i128),
    /// The last number covered, and the sum up to it.
    covered: (u64, i128),
    flight: Flight<SentFrame>,
}

impl LoadAccount {
    /// The next value's number.
    pub(crate) fn next_number(&self) -> u64 {
        self.given.0 + 1
    }

    /// The number of frames sent and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.flight.len()
    }

    /// Frames that do not count yet, oldest first.
    pub(crate) fn uncovered(&self) -> impl Iterator<Item = &SentFrame> {
        self.flight.uncovered()
    }

    /// How many values count, and their sum.
    pub(crate) fn covered(&self) -> (u64, i128) {
        self.covered
    }

    /// Takes a 20. The account starts at the first one; a later one confirms frames that were in
    /// flight, and the others are to be sent again.
    pub(crate) fn open(
        &mut self,
        standing: &Standing,
        counted: impl FnMut(&SentFrame),
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

    /// Notes a new frame as sent: `count` values with the sum `sum`, under the next numbers.
    pub(crate) fn send(
        &mut self,
        count: u16,
        sum: i128,
        intended: u64,
        is_measured: bool,
    ) -> SentFrame {
        let (first, last) = (self.given.0 + 1, self.given.0 + u64::from(count));
        self.given = (last, self.given.1 + sum);
        let frame = SentFrame { first, count, sum: self.given.1, intended, is_measured };
        self.flight.handle_sent(Sequence::new(last), frame);
        frame
    }

    /// The oldest frame to be sent again, which is noted as sent. All of these come before new
    /// ones.
    pub(crate) fn send_again(&mut self) -> Option<SentFrame> {
        let (last, frame) = self.flight.poll_again()?;
        self.flight.handle_sent(last, frame);
        Some(frame)
    }

    /// Whether frames wait to be sent again.
    pub(crate) fn must_send_again(&self) -> bool {
        self.flight.must_send_again()
    }

    /// Takes a 40; calls `counted` with each frame that it covers.
    pub(crate) fn answer(
        &mut self,
        outcome: &Outcome,
        counted: impl FnMut(&SentFrame),
    ) -> Result<(), Mismatch> {
        self.cover(outcome.last_seq, outcome.sum, counted)?;
        if outcome.status != Status::Applied {
            // There is no pause after status 4 either: the load measures how soon the server takes
            // values again.
            self.flight.handle_refusal();
        }
        Ok(())
    }

    /// Takes a count and a sum that the server states. They have to be those at the end of a frame
    /// that was sent, because each counts whole or not at all.
    pub(crate) fn cover(
        &mut self,
        last_seq: Sequence,
        sum: Total,
        mut counted: impl FnMut(&SentFrame),
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
    fn three_on_their_way() -> LoadAccount {
        let mut account = LoadAccount::default();
        account.open(&standing(10, 100), |_| panic!("nothing was sent")).unwrap();
        for intended in [1, 2, 3] {
            account.send(2, 7, intended, true);
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
        assert_eq!((starts, account.in_flight(), account.covered()), (vec![1, 2], 1, (14, 114)));
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
        assert!(!account.must_send_again());
        account.answer(&outcome(Status::Gap, 12, 107), |_| {}).unwrap();
        let numbers: Vec<_> =
            std::iter::from_fn(|| account.send_again()).map(|f| (f.first, f.last())).collect();
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
        assert_eq!(account.send_again().map(|flight| flight.first), Some(11));
        // The first pass was applied whole.
        account.answer(&outcome(Status::Applied, 16, 121), |_| {}).unwrap();
        assert!(!account.must_send_again() && account.in_flight() == 0);
    }

    #[test]
    fn a_new_session_settles_what_the_last_one_left_open() {
        let mut account = three_on_their_way();
        let mut counted = 0;
        account.open(&standing(12, 107), |_| counted += 1).unwrap();
        assert_eq!((counted, account.in_flight()), (1, 0));
        assert_eq!(account.send_again().map(|flight| flight.first), Some(13));
        // A ledger that went back is no ledger.
        assert!(account.open(&standing(10, 100), |_| {}).is_err());
    }
}
