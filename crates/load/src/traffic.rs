//! What one thread sends, and when: a closed loop that follows the answers, or an open one that follows the clock.
//!
//! Pure: it takes the time, in nanoseconds since the run began, and what the server stated.

use std::collections::VecDeque;

use ddes_wire::v2::{Outcome, Status};
use ddes_wire::{Sequence, Standing, Total};

use crate::account::{Account, Frame, Mismatch};
use crate::schedule::Schedule;
use crate::stats::Stats;
use crate::values::Values;

/// Frames that wait for their session in one thread, at most. Beyond it arrivals are seen to later, under their intended starts all the same.
const WAITING_MAX: usize = if cfg!(test) { 1 << 12 } else { 1 << 20 };

/// After a 40 that refuses for no fault of the numbering, what is open is sent again after so long, in nanoseconds.
const AGAIN_NANOS: u64 = 100_000_000;

/// The part of the run that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: u64,
    /// `None`: until every session has sent its share.
    pub(crate) until: Option<u64>,
}

impl Window {
    pub(crate) fn covers(&self, at: u64) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// How a thread paces its sessions.
#[derive(Clone, Debug)]
pub(crate) enum Pacing {
    Closed,
    Open(Schedule),
}

/// The traffic of one thread's sessions.
#[derive(Debug)]
pub(crate) struct Traffic {
    lanes: Vec<Lane>,
    pacing: Pacing,
    values: Values,
    /// Values a frame.
    batch: u16,
    /// Frames of a session on their way, at most.
    depth: usize,
    /// How long the measured part is, where the run has a time.
    span: Option<u64>,
    window: Window,
    /// Nothing new is given out.
    is_over: bool,
    /// Open loop: every session has been dealt its share.
    is_dealt: bool,
    /// When the last measured frame counted.
    finished: u64,
    /// Open loop: the lane that the next arrival is for, and how many wait in all.
    turn: usize,
    waiting: usize,
    /// What was measured since this was last taken.
    pub(crate) stats: Stats,
}

/// One session's part.
#[derive(Debug)]
struct Lane {
    /// The session's number in the whole run, which its values depend on.
    session: u64,
    account: Account,
    /// Measured values still to be sent, where the run has a number of them.
    quota: Option<u64>,
    /// Open loop: arrivals that the session could not take yet.
    waiting: VecDeque<Arrival>,
    /// Nothing is sent again before.
    again_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    intended: u64,
    values: u16,
}

impl Traffic {
    /// For sessions of these numbers and quotas.
    pub(crate) fn new(
        sessions: impl Iterator<Item = (u64, Option<u64>)>,
        pacing: Pacing,
        values: Values,
        batch: u16,
        depth: usize,
        span: Option<u64>,
    ) -> Self {
        let lanes = sessions.map(|(session, quota)| Lane {
            session,
            account: Account::default(),
            quota,
            waiting: VecDeque::new(),
            again_at: 0,
        });
        Self {
            lanes: lanes.collect(),
            pacing,
            values,
            batch,
            depth,
            span,
            window: Window { from: u64::MAX, until: None },
            is_over: false,
            is_dealt: false,
            finished: 0,
            turn: 0,
            waiting: 0,
            stats: Stats::default(),
        }
    }

    /// The load begins at `start`, the measured part `warmup` later.
    pub(crate) fn begin(&mut self, start: u64, warmup: u64) {
        let from = start + warmup;
        self.window = Window { from, until: self.span.map(|span| from + span) };
        if let Pacing::Open(schedule) = &mut self.pacing {
            schedule.delay(start);
        }
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Open loop: sees to the arrivals that are due; `touched` is told for which lanes.
    pub(crate) fn arrive(&mut self, now: u64, mut touched: impl FnMut(usize)) {
        while !self.is_over && !self.is_dealt && self.waiting < WAITING_MAX {
            let Pacing::Open(schedule) = &mut self.pacing else { return };
            let intended = schedule.peek();
            if intended > now || self.window.until.is_some_and(|until| intended >= until) {
                return;
            }
            let is_measured = self.window.covers(intended);
            let Some((lane, values)) = self.next_lane(is_measured) else {
                self.is_dealt = true;
                return;
            };
            let Pacing::Open(schedule) = &mut self.pacing else { return };
            schedule.advance();
            if is_measured {
                self.stats.lag.saturating_record(now - intended);
            }
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.waiting.push_back(Arrival { intended, values });
                self.waiting += 1;
            }
            touched(lane);
        }
    }

    /// Open loop: when the next arrival is due.
    pub(crate) fn next_arrival(&self) -> Option<u64> {
        match &self.pacing {
            Pacing::Open(schedule) if !self.is_over && !self.is_dealt && self.waiting < WAITING_MAX => {
                Some(schedule.peek()).filter(|at| self.window.until.is_none_or(|until| *at < until))
            }
            Pacing::Open(_) | Pacing::Closed => None,
        }
    }

    /// Sessions take turns; those that have sent their share are passed over.
    fn next_lane(&mut self, is_measured: bool) -> Option<(usize, u16)> {
        for _ in 0..self.lanes.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % self.lanes.len();
            let lane = self.lanes.get_mut(turn)?;
            let values = lane.draw(self.batch, is_measured);
            if values > 0 {
                return Some((turn, values));
            }
        }
        None
    }

    /// The next frame of a lane, if it may send one now: its values in `out`, the number of the first.
    pub(crate) fn next_frame(&mut self, lane: usize, now: u64, out: &mut Vec<i64>) -> Option<Sequence> {
        let lane = self.lanes.get_mut(lane)?;
        if lane.account.flights() >= self.depth {
            return None;
        }
        if lane.account.must_give_again() {
            if now < lane.again_at {
                return None;
            }
            let flight = lane.account.give_again()?;
            self.stats.errors.retried += 1;
            fill(&self.values, lane.session, flight.first, flight.values(), out);
            return Some(Sequence::new(flight.first));
        }
        let (intended, values) = match &self.pacing {
            Pacing::Open(_) => {
                let arrival = lane.waiting.pop_front()?;
                self.waiting -= 1;
                (arrival.intended, arrival.values)
            }
            Pacing::Closed if self.is_over || self.window.until.is_some_and(|until| now >= until) => {
                return None;
            }
            Pacing::Closed => (now, lane.draw(self.batch, self.window.covers(now))),
        };
        if values == 0 {
            return None;
        }
        let first = lane.account.next_number();
        let sum = fill(&self.values, lane.session, first, values.into(), out);
        lane.account.give(values.into(), sum, intended, self.window.covers(intended));
        Some(Sequence::new(first))
    }

    /// A 20.
    pub(crate) fn opened(&mut self, lane: usize, now: u64, standing: &Standing) -> Result<(), Mismatch> {
        let mut tally =
            Tally { stats: &mut self.stats, finished: &mut self.finished, window: self.window, now };
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        lane.again_at = now;
        lane.account.open(standing, |flight| tally.count(flight))
    }

    /// A 40.
    pub(crate) fn answered(&mut self, lane: usize, now: u64, outcome: &Outcome) -> Result<(), Mismatch> {
        let mut tally =
            Tally { stats: &mut self.stats, finished: &mut self.finished, window: self.window, now };
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        tally.stats.errors.refused(outcome.status);
        lane.account.answer(outcome, |flight| tally.count(flight))?;
        match outcome.status {
            Status::Applied | Status::Gap => {}
            Status::Unavailable | Status::Malformed => {
                lane.again_at = now + AGAIN_NANOS;
            }
        }
        Ok(())
    }

    /// The server's 50: the last word on the account.
    pub(crate) fn ended(
        &mut self,
        lane: usize,
        now: u64,
        last_seq: Sequence,
        sum: Total,
    ) -> Result<(), Mismatch> {
        let mut tally =
            Tally { stats: &mut self.stats, finished: &mut self.finished, window: self.window, now };
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        lane.account.cover(last_seq, sum, |flight| tally.count(flight))
    }

    /// The end, come early or in time: nothing new is given out, and what could not be sent yet still is. Gives when the measured part ended.
    pub(crate) fn finish(&mut self, now: u64) -> u64 {
        self.count_unsent(now);
        self.is_over = true;
        let until = match self.window.until {
            Some(until) => until.min(now),
            None if self.finished > 0 && self.is_all_settled() => self.finished,
            None => now,
        };
        self.window.until = Some(until);
        self.finished = until;
        until
    }

    /// Open loop: arrivals that were due and found no room to wait in are in the latencies all the same.
    fn count_unsent(&mut self, now: u64) {
        let until = self.window.until.map_or(now, |until| until.min(now));
        if self.waiting < WAITING_MAX || self.is_over {
            return;
        }
        let Pacing::Open(schedule) = &mut self.pacing else { return };
        while schedule.peek() < until {
            if self.window.covers(schedule.peek()) {
                self.stats.errors.unsent += 1;
                self.stats.latency.saturating_record((now - schedule.peek()).max(1));
            }
            schedule.advance();
        }
    }

    /// When the measured part ended.
    pub(crate) fn finished(&self) -> u64 {
        self.finished
    }

    fn is_all_settled(&self) -> bool {
        (0..self.lanes.len()).all(|lane| self.is_settled(lane))
    }

    /// Whether a lane has something to send again.
    pub(crate) fn must_give_again(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.account.must_give_again())
    }

    /// Whether a lane has sent all that it will, and all of it counts.
    pub(crate) fn is_settled(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_none_or(|lane| {
            lane.waiting.is_empty()
                && lane.account.uncovered().next().is_none()
                && (self.is_over || lane.quota == Some(0))
        })
    }

    /// How many values of a lane count, and their sum.
    pub(crate) fn covered(&self, lane: usize) -> (u64, i128) {
        self.lanes.get(lane).map_or((0, 0), |lane| lane.account.covered())
    }

    /// A lane is given up. What it leaves unanswered is in the latencies as what it has waited so far, which is less than it would have been;
    /// gives how many values those are.
    pub(crate) fn give_up(&mut self, lane: usize, now: u64) -> u64 {
        let Some(lane) = self.lanes.get_mut(lane) else { return 0 };
        let mut left = 0;
        for flight in lane.account.uncovered() {
            left += flight.values();
            if flight.is_measured {
                self.stats.latency.saturating_record(now.saturating_sub(flight.intended).max(1));
            }
        }
        for arrival in &lane.waiting {
            left += u64::from(arrival.values);
            if self.window.covers(arrival.intended) {
                self.stats.latency.saturating_record(now.saturating_sub(arrival.intended).max(1));
            }
        }
        self.waiting -= lane.waiting.len();
        lane.waiting.clear();
        lane.quota = Some(0);
        left
    }
}

impl Lane {
    /// The size of its next frame: a whole one, or what is left of its share.
    fn draw(&mut self, batch: u16, is_measured: bool) -> u16 {
        match &mut self.quota {
            Some(quota) if is_measured => {
                let values = u16::try_from(*quota).unwrap_or(batch).min(batch);
                *quota -= u64::from(values);
                values
            }
            // Before the measured part nothing is drawn from the share, and after it nothing is left.
            Some(0) => 0,
            Some(_) | None => batch,
        }
    }
}

fn fill(values: &Values, session: u64, first: u64, count: u64, out: &mut Vec<i64>) -> i128 {
    // A frame has at most 8186 values.
    out.resize(usize::try_from(count).unwrap_or(0), 0);
    values.fill(session, first, out)
}

/// Where a frame that counts is entered.
struct Tally<'a> {
    stats: &'a mut Stats,
    finished: &'a mut u64,
    window: Window,
    now: u64,
}

impl Tally<'_> {
    fn count(&mut self, flight: &Frame) {
        if flight.is_measured {
            self.stats.latency.saturating_record(self.now.saturating_sub(flight.intended).max(1));
        }
        // A rate is what was answered within the time, whenever it was sent.
        let counts =
            if self.window.until.is_some() { self.window.covers(self.now) } else { flight.is_measured };
        if counts {
            self.stats.values += flight.values();
            self.stats.frames += 1;
            *self.finished = self.now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::schedule::Arrivals;

    const SECOND: u64 = 1_000_000_000;

    fn traffic(pacing: Pacing, depth: usize, quota: Option<u64>, span: Option<u64>) -> Traffic {
        let values = Values::parse("uniform:1..9", 1).unwrap();
        let mut traffic = Traffic::new([(0, quota), (1, quota)].into_iter(), pacing, values, 1, depth, span);
        for lane in 0..2 {
            traffic.opened(lane, 0, &Standing::default()).unwrap();
        }
        traffic.begin(0, 0);
        traffic
    }

    /// A server that takes 100 µs for a frame, one after the other, and does nothing at all from 3 s to 4 s.
    fn answer_at(arrival: u64, busy: &mut u64) -> u64 {
        let mut at = arrival.max(*busy) + SECOND / 10_000;
        if at > 3 * SECOND && arrival.max(*busy) < 4 * SECOND {
            at = at.max(4 * SECOND + SECOND / 10_000);
        }
        *busy = at;
        at
    }

    /// Runs against that server on virtual time, until nothing is left to do.
    fn run(traffic: &mut Traffic, end: u64) {
        let mut sums = [(0, 0); 2];
        let (mut busy, mut out) = (0, Vec::new());
        let mut answers: BTreeMap<(u64, u64), (usize, Outcome)> = BTreeMap::new();
        let (mut now, mut order) = (0, 0);
        loop {
            traffic.arrive(now, |_| {});
            for (lane, sum) in sums.iter_mut().enumerate() {
                while let Some(first) = traffic.next_frame(lane, now, &mut out) {
                    let last = first.get() + out.len() as u64 - 1;
                    sum.0 = last;
                    sum.1 += out.iter().map(|value| i128::from(*value)).sum::<i128>();
                    let outcome = Outcome {
                        status: Status::Applied,
                        last_seq: Sequence::new(last),
                        sum: Total::new(sum.1),
                    };
                    order += 1;
                    answers.insert((answer_at(now, &mut busy), order), (lane, outcome));
                }
            }
            let next = answers.keys().next().map(|(at, _)| *at);
            let arrival = traffic.next_arrival().filter(|at| *at < end);
            let Some(at) = next.into_iter().chain(arrival).min() else { break };
            now = now.max(at);
            while let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= now) {
                let (lane, outcome) = entry.remove();
                traffic.answered(lane, now, &outcome).unwrap();
            }
        }
        traffic.finish(end);
        assert!((0..2).all(|lane| traffic.is_settled(lane)));
        assert_eq!([traffic.covered(0), traffic.covered(1)], sums);
    }

    #[test]
    fn a_stall_shows_in_the_open_loop_for_all_that_it_delays_and_in_the_closed_one_once_a_frame() {
        let schedule = Schedule::new(Arrivals::Constant, 1_000.0, 0.0, 1);
        let mut open = traffic(Pacing::Open(schedule), 4, None, Some(10 * SECOND));
        run(&mut open, 10 * SECOND);
        let latency = &open.stats.latency;
        assert_eq!(latency.len(), 10_000);
        // 1000 arrivals fall into the stall and wait 1 s to nothing, and it takes 111 more to catch up: of the slowest tenth, nearly all.
        let slow = latency.len() - latency.count_between(0, SECOND / 1_000);
        assert!((1_080..1_130).contains(&slow), "{slow}");
        assert!(latency.max() > 99 * SECOND / 100);
        let p95 = latency.value_at_quantile(0.95);
        assert!((45 * SECOND / 100..65 * SECOND / 100).contains(&p95), "{p95}");
        // None of it was this side's delay: arrivals were seen to in time, though the sessions could not take them.
        assert!(open.stats.lag.max() <= SECOND / 1_000, "{}", open.stats.lag.max());

        let mut closed = traffic(Pacing::Closed, 4, None, Some(10 * SECOND));
        run(&mut closed, 10 * SECOND);
        let slow = closed.stats.latency.len() - closed.stats.latency.count_between(0, SECOND / 1_000);
        assert_eq!(slow, 8, "two sessions of four frames each");
        assert!(closed.stats.latency.value_at_quantile(0.999) < SECOND / 1_000);
    }

    #[test]
    fn arrivals_that_were_seen_to_late_keep_their_intended_starts() {
        let schedule = Schedule::new(Arrivals::Constant, 1_000.0, 0.0, 1);
        let mut traffic = traffic(Pacing::Open(schedule), 100, None, Some(SECOND));
        let (mut touched, mut out) = (0, Vec::new());
        // This program slept for half a second.
        traffic.arrive(SECOND / 2, |_| touched += 1);
        assert_eq!(touched, 501);
        assert_eq!(traffic.stats.lag.max(), traffic.stats.lag.highest_equivalent(SECOND / 2));
        let mut sum = 0;
        let first = traffic.next_frame(0, SECOND / 2, &mut out).unwrap();
        sum += out.iter().map(|value| i128::from(*value)).sum::<i128>();
        let outcome = Outcome { status: Status::Applied, last_seq: first, sum: Total::new(sum) };
        traffic.answered(0, SECOND / 2 + 1_000, &outcome).unwrap();
        assert!(traffic.stats.latency.max() >= SECOND / 2);
    }

    #[test]
    fn arrivals_beyond_all_room_are_counted_and_have_waited_to_the_end() {
        let schedule = Schedule::new(Arrivals::Constant, 1_000.0, 0.0, 1);
        let mut traffic = traffic(Pacing::Open(schedule), 1, None, Some(10 * SECOND));
        // The server takes nothing at all.
        (0..=10).for_each(|second| traffic.arrive(second * SECOND, |_| {}));
        assert!(traffic.next_arrival().is_none());
        traffic.finish(10 * SECOND + 5);
        let left = traffic.give_up(0, 10 * SECOND) + traffic.give_up(1, 10 * SECOND);
        assert_eq!((left, traffic.stats.errors.unsent), (WAITING_MAX as u64, 10_000 - WAITING_MAX as u64));
        assert_eq!(traffic.stats.latency.len(), 10_000);
        let median = traffic.stats.latency.value_at_quantile(0.5);
        assert!(median.abs_diff(5 * SECOND) < SECOND / 100, "{median}");
    }

    #[test]
    fn a_number_of_values_is_sent_to_the_last_one_and_no_further() {
        for pacing in [Pacing::Closed, Pacing::Open(Schedule::new(Arrivals::Poisson, 1e4, 0.0, 1))] {
            let mut traffic = traffic(pacing, 3, Some(50), None);
            run(&mut traffic, u64::MAX);
            assert_eq!((traffic.covered(0).0, traffic.covered(1).0, traffic.stats.values), (50, 50, 100));
            assert_eq!(traffic.stats.latency.len(), 100);
        }
    }

    #[test]
    fn what_the_warm_up_sent_is_not_measured() {
        let mut traffic = traffic(Pacing::Closed, 1, None, Some(SECOND));
        traffic.begin(0, SECOND);
        let mut out = Vec::new();
        let first = traffic.next_frame(0, 1, &mut out).unwrap();
        let outcome = Outcome { status: Status::Applied, last_seq: first, sum: Total::new(out[0].into()) };
        traffic.answered(0, SECOND - 1, &outcome).unwrap();
        assert_eq!((traffic.stats.latency.len(), traffic.stats.values), (0, 0));
    }

    #[test]
    fn what_is_given_up_is_in_the_latencies_as_what_it_has_waited() {
        let schedule = Schedule::new(Arrivals::Constant, 2.0, 0.0, 1);
        let mut traffic = traffic(Pacing::Open(schedule), 1, None, Some(10 * SECOND));
        traffic.arrive(9 * SECOND, |_| {});
        let mut out = Vec::new();
        traffic.next_frame(0, 9 * SECOND, &mut out).unwrap();
        // 0, 1, 2 … 9 s: one was sent, nine wait.
        assert_eq!(traffic.give_up(0, 10 * SECOND), 10);
        let latency = &traffic.stats.latency;
        assert_eq!((latency.len(), latency.max()), (10, latency.highest_equivalent(10 * SECOND)));
    }

    #[test]
    fn a_ledger_that_is_unavailable_is_asked_again_after_a_while() {
        let mut traffic = traffic(Pacing::Closed, 2, None, Some(10 * SECOND));
        let mut out = Vec::new();
        let numbers = |traffic: &mut Traffic, now, out: &mut Vec<i64>| {
            std::iter::from_fn(|| traffic.next_frame(0, now, out)).map(Sequence::get).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&mut traffic, 0, &mut out), [1, 2]);
        for status in [Status::Unavailable, Status::Gap] {
            let outcome = Outcome { status, last_seq: Sequence::NONE, sum: Total::ZERO };
            traffic.answered(0, 5, &outcome).unwrap();
        }
        assert!(numbers(&mut traffic, 6, &mut out).is_empty());
        assert_eq!(numbers(&mut traffic, 5 + AGAIN_NANOS, &mut out), [1, 2]);
        let errors = traffic.stats.errors;
        assert_eq!((errors.unavailable, errors.gaps, errors.retried, errors.total()), (1, 1, 2, 2));
    }
}
