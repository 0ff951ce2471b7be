//! What one thread sends, and when: a closed loop that follows the answers, or an open one that
//! follows the clock.
//!
//! Pure: its inputs are the time, in nanoseconds since the run began, and what the server stated.

use std::collections::VecDeque;

use ddes_wire::v2::{Outcome, Status};
use ddes_wire::{Sequence, Standing, Total};

use crate::account::{LoadAccount, Mismatch, SentFrame};
use crate::schedule::Schedule;
use crate::stats::Stats;
use crate::values::Values;

/// The most frames that wait for their session in one thread. Arrivals beyond it are handled later
/// and keep their intended starts.
const WAITING_MAX: usize = if cfg!(test) { 1 << 12 } else { 1 << 20 };

/// The wait before frames are sent again after a 40 with status 3 or 4, in nanoseconds.
const AGAIN_NANOS: u64 = 100_000_000;

/// The measured part of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MeasuredWindow {
    pub(crate) from: u64,
    /// `None`: until every session has sent its share.
    pub(crate) until: Option<u64>,
}

impl MeasuredWindow {
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
    lanes: Vec<SessionLane>,
    pacing: Pacing,
    values: Values,
    /// The values of a frame.
    batch: u16,
    /// The most frames of a session in flight.
    depth: usize,
    /// The length of the measured part, if the run has one.
    span: Option<u64>,
    window: MeasuredWindow,
    /// No new frames are made.
    is_over: bool,
    /// Open loop: every session has been dealt its share.
    is_dealt: bool,
    /// When the last measured frame counted.
    finished: u64,
    /// Open loop: the lane that the next arrival is for, and how many wait in all.
    turn: usize,
    waiting: usize,
    /// What was measured since this was last reset.
    pub(crate) stats: Stats,
}

/// The account and the waiting arrivals of one session.
#[derive(Debug)]
struct SessionLane {
    /// The session's number in the whole run, which its values depend on.
    session: u64,
    account: LoadAccount,
    /// Measured values still to be sent, if the run has a number of them.
    quota: Option<u64>,
    /// Open loop: arrivals that the session could not take yet.
    waiting: VecDeque<Arrival>,
    /// Frames are sent again from this time on.
    again_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    intended: u64,
    values: u16,
}

impl Traffic {
    /// Traffic for sessions with these numbers and quotas.
    pub(crate) fn new(
        sessions: impl Iterator<Item = (u64, Option<u64>)>,
        pacing: Pacing,
        values: Values,
        batch: u16,
        depth: usize,
        span: Option<u64>,
    ) -> Self {
        let lanes = sessions.map(|(session, quota)| SessionLane {
            session,
            account: LoadAccount::default(),
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
            window: MeasuredWindow { from: u64::MAX, until: None },
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
        self.window = MeasuredWindow { from, until: self.span.map(|span| from + span) };
        if let Pacing::Open(schedule) = &mut self.pacing {
            schedule.delay(start);
        }
    }

    pub(crate) fn window(&self) -> MeasuredWindow {
        self.window
    }

    /// Open loop: gives the arrivals that are due to their lanes; calls `touched` with each lane.
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

    /// The next frame of a lane, if it may send one now: fills `out` with the values and returns
    /// the number of the first.
    pub(crate) fn next_frame(
        &mut self,
        lane: usize,
        now: u64,
        out: &mut Vec<i64>,
    ) -> Option<Sequence> {
        let lane = self.lanes.get_mut(lane)?;
        if lane.account.in_flight() >= self.depth {
            return None;
        }
        if lane.account.must_send_again() {
            if now < lane.again_at {
                return None;
            }
            let frame = lane.account.send_again()?;
            self.stats.errors.retried += 1;
            fill(&self.values, lane.session, frame.first, frame.count, out);
            return Some(Sequence::new(frame.first));
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
        lane.account.send(values, sum, intended, self.window.covers(intended));
        Some(Sequence::new(first))
    }

    /// Takes the 20 of a lane's session.
    pub(crate) fn opened(
        &mut self,
        lane: usize,
        now: u64,
        standing: &Standing,
    ) -> Result<(), Mismatch> {
        let mut tally = FrameTally {
            stats: &mut self.stats,
            finished: &mut self.finished,
            window: self.window,
            now,
        };
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        lane.again_at = now;
        lane.account.open(standing, |frame| tally.count(frame))
    }

    /// Takes a 40 of a lane's session.
    pub(crate) fn answered(
        &mut self,
        lane: usize,
        now: u64,
        outcome: &Outcome,
    ) -> Result<(), Mismatch> {
        let mut tally = FrameTally {
            stats: &mut self.stats,
            finished: &mut self.finished,
            window: self.window,
            now,
        };
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        tally.stats.errors.refused(outcome.status);
        lane.account.answer(outcome, |frame| tally.count(frame))?;
        match outcome.status {
            Status::Applied | Status::Gap => {}
            Status::Unavailable | Status::Malformed => {
                lane.again_at = now + AGAIN_NANOS;
            }
        }
        Ok(())
    }

    /// Takes the server's 50, which states the account for the last time.
    pub(crate) fn ended(
        &mut self,
        lane: usize,
        now: u64,
        last_seq: Sequence,
        sum: Total,
    ) -> Result<(), Mismatch> {
        let mut tally = FrameTally {
            stats: &mut self.stats,
            finished: &mut self.finished,
            window: self.window,
            now,
        };
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        lane.account.cover(last_seq, sum, |frame| tally.count(frame))
    }

    /// Ends the load, early or in time: no new frames are made, and those that wait are still sent.
    /// Returns when the measured part ended.
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

    /// Open loop: records the latencies of arrivals that were due and for which there was no room
    /// to wait.
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

    /// Whether a lane has frames to send again.
    pub(crate) fn must_send_again(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.account.must_send_again())
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

    /// Gives a lane up. Its unanswered frames enter the latencies with the time they have waited so
    /// far, which is a lower bound. Returns the number of their values.
    pub(crate) fn give_up(&mut self, lane: usize, now: u64) -> u64 {
        let Some(lane) = self.lanes.get_mut(lane) else { return 0 };
        let mut left = 0;
        for frame in lane.account.uncovered() {
            left += frame.values();
            if frame.is_measured {
                self.stats.latency.saturating_record(now.saturating_sub(frame.intended).max(1));
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

impl SessionLane {
    /// The size of the next frame: a whole batch, or what is left of the quota.
    fn draw(&mut self, batch: u16, is_measured: bool) -> u16 {
        match &mut self.quota {
            Some(quota) if is_measured => {
                let values = u16::try_from(*quota).unwrap_or(batch).min(batch);
                *quota -= u64::from(values);
                values
            }
            // Frames of the warm-up are not drawn from the quota.
            Some(0) => 0,
            Some(_) | None => batch,
        }
    }
}

fn fill(values: &Values, session: u64, first: u64, count: u16, out: &mut Vec<i64>) -> i128 {
    out.resize(count.into(), 0);
    values.fill(session, first, out)
}

/// Enters the frames that an answer covers into the measurements.
struct FrameTally<'a> {
    stats: &'a mut Stats,
    finished: &'a mut u64,
    window: MeasuredWindow,
    now: u64,
}

impl FrameTally<'_> {
    fn count(&mut self, frame: &SentFrame) {
        if frame.is_measured {
            self.stats.latency.saturating_record(self.now.saturating_sub(frame.intended).max(1));
        }
        // A rate counts what was answered within the window, no matter when it was sent.
        let counts = if self.window.until.is_some() {
            self.window.covers(self.now)
        } else {
            frame.is_measured
        };
        if counts {
            self.stats.values += frame.values();
            self.stats.frames += 1;
            *self.finished = self.now;
        }
    }
}

#[cfg(test)]
mod tests;
