//! What one thread sends, and when: a closed loop that follows the answers, or an open one that
//! follows the clock.
//!
//! Pure: it takes the time, in nanoseconds since the run began, and what the server stated.

use std::collections::VecDeque;

use ddes_wire::v2::{Outcome, Status};
use ddes_wire::{Sequence, Standing, Total};

use crate::account::{Account, Frame, Mismatch};
use crate::schedule::Schedule;
use crate::stats::Stats;
use crate::values::Values;

/// Frames that wait for their session in one thread, at most. Beyond it arrivals are seen to later,
/// under their intended starts all the same.
const WAITING_MAX: usize = if cfg!(test) { 1 << 12 } else { 1 << 20 };

/// After a 40 that refuses for no fault of the numbering, what is open is sent again after so long,
/// in nanoseconds.
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
            Pacing::Open(schedule)
                if !self.is_over && !self.is_dealt && self.waiting < WAITING_MAX =>
            {
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

    /// The next frame of a lane, if it may send one now: its values in `out`, the number of the
    /// first.
    pub(crate) fn next_frame(
        &mut self,
        lane: usize,
        now: u64,
        out: &mut Vec<i64>,
    ) -> Option<Sequence> {
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
            fill(&self.values, lane.session, flight.first, flight.count, out);
            return Some(Sequence::new(flight.first));
        }
        let (intended, values) = match &self.pacing {
            Pacing::Open(_) => {
                let arrival = lane.waiting.pop_front()?;
                self.waiting -= 1;
                (arrival.intended, arrival.values)
            }
            Pacing::Closed
                if self.is_over || self.window.until.is_some_and(|until| now >= until) =>
            {
                return None;
            }
            Pacing::Closed => (now, lane.draw(self.batch, self.window.covers(now))),
        };
        if values == 0 {
            return None;
        }
        let first = lane.account.next_number();
        let sum = fill(&self.values, lane.session, first, values, out);
        lane.account.give(values, sum, intended, self.window.covers(intended));
        Some(Sequence::new(first))
    }

    /// A 20.
    pub(crate) fn opened(
        &mut self,
        lane: usize,
        now: u64,
        standing: &Standing,
    ) -> Result<(), Mismatch> {
        let mut tally = Tally {
            stats: &mut self.stats,
            finished: &mut self.finished,
            window: self.window,
            now,
        };
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        lane.again_at = now;
        lane.account.open(standing, |flight| tally.count(flight))
    }

    /// A 40.
    pub(crate) fn answered(
        &mut self,
        lane: usize,
        now: u64,
        outcome: &Outcome,
    ) -> Result<(), Mismatch> {
        let mut tally = Tally {
            stats: &mut self.stats,
            finished: &mut self.finished,
            window: self.window,
            now,
        };
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
        let mut tally = Tally {
            stats: &mut self.stats,
            finished: &mut self.finished,
            window: self.window,
            now,
        };
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        lane.account.cover(last_seq, sum, |flight| tally.count(flight))
    }

    /// The end, come early or in time: nothing new is given out, and what could not be sent yet
    /// still is. Gives when the measured part ended.
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

    /// Open loop: arrivals that were due and found no room to wait in are in the latencies all the
    /// same.
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

    /// A lane is given up. What it leaves unanswered is in the latencies as what it has waited so
    /// far, which is less than it would have been; gives how many values those are.
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
            // Before the measured part nothing is drawn from the share, and after it nothing is
            // left.
            Some(0) => 0,
            Some(_) | None => batch,
        }
    }
}

fn fill(values: &Values, session: u64, first: u64, count: u16, out: &mut Vec<i64>) -> i128 {
    out.resize(count.into(), 0);
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
        let counts = if self.window.until.is_some() {
            self.window.covers(self.now)
        } else {
            flight.is_measured
        };
        if counts {
            self.stats.values += flight.values();
            self.stats.frames += 1;
            *self.finished = self.now;
        }
    }
}

#[cfg(test)]
mod tests;
