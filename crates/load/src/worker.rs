//! One thread of a run: its sessions and their event loop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ddes_client::delivery::Backoff;
use ddes_session::v2::{ClientConfig, ClientEnd, ClientEvent, SubmitError};
use ddes_wire::saturating::nanos;
use ddes_wire::v2::{Reason, Welcome};
use mio::event::Event;
use mio::{Events, Poll, Token};

use crate::alarm::Alarm;
use crate::ended::{GivenUp, SessionVerdict, ThreadEnded, ThreadUse};
use crate::identity;
use crate::plan::{HANDSHAKES_MAX, Plan};
use crate::processor::ThreadUsage;
use crate::shared::RunState;
use crate::socket::LoadSocket;
use crate::stats::histogram;
use crate::traffic::{MeasuredWindow, Traffic};

/// How often deadlines are checked.
const TICK: Duration = Duration::from_millis(100);
/// How often the start of the load is checked for.
const RAMP_TICK: Duration = Duration::from_millis(5);

const READ_BYTES: usize = 64 * 1024;
const EVENTS_MAX: usize = 1024;

/// The longest wait of a session; shorter than a client's because a run ends soon.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

const ALARM: Token = Token(usize::MAX);

pub(crate) struct Worker<'a> {
    plan: &'a Plan,
    shared: &'a RunState,
    slot: usize,
    poll: Poll,
    alarm: Alarm,
    alarm_at: u64,
    seats: Vec<SessionSeat>,
    traffic: Traffic,
    /// When to connect which seat, earliest first.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    buffer: Box<[u8]>,
    scratch: Vec<i64>,
    ended: ThreadEnded,
    /// The number of seats that are done.
    done: usize,
    is_started: bool,
    /// When the current interval began; `None` outside the measured part.
    cut_at: Option<u64>,
    usage: ThreadUsage,
    /// Seats that have something to send.
    touched: Vec<usize>,
}

/// The place of one session, connected or not.
struct SessionSeat {
    session: u32,
    socket: Option<LoadSocket>,
    state: SessionSeatState,
    /// The session has been open.
    was_open: bool,
    /// Since when attempts to open it have failed.
    trying_since: Option<u64>,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionSeatState {
    Waiting,
    Handshaking { since: u64 },
    Open,
    Leaving,
    Done,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        shared: &'a RunState,
        slot: usize,
        sessions: impl Iterator<Item = u32>,
        traffic: Traffic,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let seats: Vec<SessionSeat> = sessions
            .map(|session| SessionSeat {
                session,
                socket: None,
                state: SessionSeatState::Waiting,
                was_open: false,
                trying_since: None,
                backoff: Backoff::up_to(BACKOFF_MAX),
            })
            .collect();
        let ramp = nanos(plan.ramp);
        let when = |session: u32| {
            u64::try_from(u128::from(ramp) * u128::from(session) / u128::from(plan.sessions.max(1)))
                .unwrap_or(ramp)
        };
        let due =
            seats.iter().enumerate().map(|(seat, it)| Reverse((when(it.session), seat))).collect();
        let ended = ThreadEnded {
            verdicts: Vec::new(),
            handshakes: histogram(),
            failed: None,
            finished: 0,
            used: ThreadUse::default(),
        };
        Ok(Self {
            plan,
            shared,
            slot,
            poll,
            alarm,
            alarm_at: 0,
            seats,
            traffic,
            due,
            buffer: vec![0; READ_BYTES].into(),
            scratch: Vec::new(),
            ended,
            done: 0,
            is_started: false,
            cut_at: None,
            usage: ThreadUsage::default(),
            touched: Vec::new(),
        })
    }

    /// Runs all sessions to their ends.
    pub(crate) fn run(mut self) -> io::Result<ThreadEnded> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        if !self.ramp(&mut events)? {
            return Ok(self.conclude());
        }
        for seat in 0..self.seats.len() {
            self.pump(seat);
        }
        let MeasuredWindow { from, until } = self.traffic.window();
        let (mut cut, mut tick, mut last_call) = (from, from, None);
        while self.done < self.seats.len() {
            let now = self.now();
            if now >= cut && last_call.is_none() {
                self.cut(now);
                cut += nanos(self.plan.interval);
            }
            // Before the end is handled: what was due until then is part of the run, even if this
            // thread is late.
            self.arrive(now);
            let is_over =
                self.shared.stop.load(Ordering::Relaxed) || until.is_some_and(|until| now >= until);
            if is_over && last_call.is_none() {
                last_call = Some(now + nanos(self.plan.timeout));
                self.finish(now);
            }
            if now >= tick {
                tick = now + nanos(TICK);
                self.check_deadlines();
                if last_call.is_some_and(|last_call| now >= last_call) {
                    self.give_up_the_rest();
                }
            }
            self.connect(now);
            self.wait(
                &mut events,
                if last_call.is_none() { cut.min(tick).min(until.unwrap_or(tick)) } else { tick },
            )?;
        }
        Ok(self.conclude())
    }

    /// Opens the sessions and waits for the start of the load; `false` if the run was stopped.
    fn ramp(&mut self, events: &mut Events) -> io::Result<bool> {
        let mut tick = 0;
        loop {
            let now = self.now();
            if self.shared.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if let Some(start) = self.shared.start.get().filter(|start| now >= **start) {
                self.traffic.begin(*start, nanos(self.plan.warmup));
                self.is_started = true;
                return Ok(true);
            }
            if now >= tick {
                tick = now + nanos(TICK);
                self.check_deadlines();
            }
            self.connect(now);
            self.wait(events, now + nanos(RAMP_TICK))?;
        }
    }

    fn now(&self) -> u64 {
        self.shared.nanos(Instant::now())
    }

    /// Waits for the sockets, at most until `next` or the next arrival.
    fn wait(&mut self, events: &mut Events, next: u64) -> io::Result<()> {
        let now = self.now();
        let arrival = self.traffic.next_arrival();
        if let Some(arrival) = arrival
            && arrival > now
            && arrival != self.alarm_at
        {
            self.alarm.set(Duration::from_nanos(arrival - now))?;
            self.alarm_at = arrival;
        }
        let next = arrival.map_or(next, |arrival| next.min(arrival));
        match self.poll.poll(events, Some(Duration::from_nanos(next.saturating_sub(now)))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in events.iter() {
            if event.token() != ALARM {
                self.handle(event);
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: &Event) {
        let seat = event.token().0;
        let Some(SessionSeat { socket: Some(socket), .. }) = self.seats.get_mut(seat) else {
            return;
        };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let now = socket.receive(&mut self.buffer);
            self.handle_events(seat, now);
        }
        self.pump(seat);
    }

    /// Handles a session's events.
    fn handle_events(&mut self, seat: usize, at: Instant) {
        let now = self.shared.nanos(at);
        while let Some(event) =
            self.seats.get_mut(seat).and_then(|seat| seat.socket.as_mut()?.poll_event())
        {
            match event {
                ClientEvent::Answered(outcome) => {
                    if let Err(mismatch) = self.traffic.answered(seat, now, &outcome) {
                        return self.settle(seat, SessionVerdict::Wrong(mismatch));
                    }
                }
                ClientEvent::ServerProven { key } if self.plan.trusted.contains(&key) => {
                    if let Some(SessionSeat { session, socket: Some(socket), .. }) =
                        self.seats.get_mut(seat)
                    {
                        socket.prove(at, &identity::key(self.plan.seed, u64::from(*session)));
                    }
                }
                ClientEvent::ServerProven { .. } => return self.give_up(seat, GivenUp::Untrusted),
                ClientEvent::Ready(welcome) => self.opened(seat, now, &welcome),
                ClientEvent::Ended(end) => return self.handle_end(seat, now, end),
            }
        }
    }

    fn opened(&mut self, at: usize, now: u64, welcome: &Welcome) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        if let SessionSeatState::Handshaking { since } = seat.state {
            self.shared.handshakes.fetch_sub(1, Ordering::Relaxed);
            if !seat.was_open {
                self.ended.handshakes.saturating_record((now - since).max(1));
            }
        }
        seat.state = SessionSeatState::Open;
        seat.trying_since = None;
        seat.backoff.reset();
        self.shared.up.fetch_add(1, Ordering::Relaxed);
        if seat.was_open {
            self.traffic.stats.errors.reopened += 1;
        } else {
            seat.was_open = true;
            self.shared.opened.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(mismatch) = self.traffic.opened(at, now, &welcome.standing) {
            self.settle(at, SessionVerdict::Wrong(mismatch));
        }
    }

    /// A session has ended, on our request or not.
    fn handle_end(&mut self, at: usize, now: u64, end: ClientEnd) {
        let leaving =
            self.seats.get(at).is_some_and(|seat| seat.state == SessionSeatState::Leaving);
        let farewell = match &end {
            ClientEnd::Farewell(farewell) => Some(farewell),
            ClientEnd::Rejected(_) | ClientEnd::Fault(_) => None,
        };
        // The 50 of an open session states the account whatever its reason; an earlier 50 does not.
        let was_open =
            leaving || self.seats.get(at).is_some_and(|seat| seat.state == SessionSeatState::Open);
        if let Some(farewell) = farewell.filter(|_| was_open)
            && let Err(mismatch) = self.traffic.ended(at, now, farewell.last_seq, farewell.sum)
        {
            return self.settle(at, SessionVerdict::Wrong(mismatch));
        }
        if leaving && farewell.is_some_and(|farewell| farewell.reason == Reason::Bye) {
            let (count, sum) = self.traffic.covered(at);
            return self.settle(at, SessionVerdict::Right { count, sum });
        }
        let is_final = farewell
            .is_some_and(|said| [Reason::Superseded, Reason::NotAuthorized].contains(&said.reason));
        if is_final {
            self.traffic.stats.errors.lost += u64::from(was_open);
            return self.give_up(at, GivenUp::Ended(end));
        }
        self.lost(at, now, was_open, end);
    }

    /// Connects it again, later each time.
    fn lost(&mut self, at: usize, now: u64, was_open: bool, end: ClientEnd) {
        self.traffic.stats.errors.lost += u64::from(was_open);
        self.close_socket(at);
        let Some(seat) = self.seats.get_mut(at) else { return };
        let since = *seat.trying_since.get_or_insert(now);
        if now - since > nanos(self.plan.patience) {
            return self.give_up(at, GivenUp::Ended(end));
        }
        let random = crate::values::mix(now ^ u64::from(seat.session));
        let wait = nanos(seat.backoff.next(random));
        self.due.push(Reverse((now + wait, at)));
    }

    /// Connects the seats that are due, a bounded number at a time.
    fn connect(&mut self, now: u64) {
        while let Some(Reverse((when, at))) = self.due.peek().copied() {
            if when > now || self.shared.handshakes.load(Ordering::Relaxed) >= HANDSHAKES_MAX {
                return;
            }
            self.due.pop();
            let Some(seat) =
                self.seats.get_mut(at).filter(|seat| seat.state == SessionSeatState::Waiting)
            else {
                continue;
            };
            let config = ClientConfig {
                suite: self.plan.suite,
                handshake: self.plan.timeout,
                reply: self.plan.timeout,
            };
            let (began, registry) = (Instant::now(), self.poll.registry());
            match LoadSocket::open(self.plan.address, config, began, registry, Token(at)) {
                Ok(socket) => {
                    seat.socket = Some(socket);
                    seat.state = SessionSeatState::Handshaking { since: self.shared.nanos(began) };
                    self.shared.handshakes.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.give_up(at, GivenUp::Lost(error.to_string())),
            }
        }
    }

    /// Open loop: gives the arrivals that are due to their sessions.
    fn arrive(&mut self, now: u64) {
        let mut touched = std::mem::take(&mut self.touched);
        self.traffic.arrive(now, |lane| touched.push(lane));
        for seat in touched.drain(..) {
            self.pump(seat);
        }
        self.touched = touched;
    }

    /// Sends what a session may send now.
    fn pump(&mut self, at: usize) {
        let Some(SessionSeat { socket: Some(socket), state, .. }) = self.seats.get_mut(at) else {
            return;
        };
        let instant = Instant::now();
        let now = self.shared.nanos(instant);
        loop {
            let mut is_more = false;
            while self.is_started && *state == SessionSeatState::Open && socket.has_room() {
                let Some(first) = self.traffic.next_frame(at, now, &mut self.scratch) else {
                    break;
                };
                match socket.submit(instant, first, &self.scratch) {
                    Ok(()) => is_more = true,
                    // Its next event is its end; what it had is sent again in the next session.
                    Err(SubmitError::NotOpen) => break,
                    // The server takes fewer values in a frame than the plan puts into one.
                    Err(error @ (SubmitError::Count { .. } | SubmitError::Full)) => {
                        return self.give_up(at, GivenUp::Lost(error.to_string()));
                    }
                }
            }
            if self.is_started
                && *state == SessionSeatState::Open
                && self.traffic.is_settled(at)
                && socket.disconnect(instant)
            {
                *state = SessionSeatState::Leaving;
                self.shared.up.fetch_sub(1, Ordering::Relaxed);
            }
            if !socket.flush(instant) || !is_more {
                break;
            }
        }
    }

    /// Handles timeouts, and retries whose pause is over.
    fn check_deadlines(&mut self) {
        for at in 0..self.seats.len() {
            let Some(SessionSeat { socket: Some(socket), .. }) = self.seats.get_mut(at) else {
                continue;
            };
            let now = Instant::now();
            socket.handle_timeout(now);
            self.handle_events(at, now);
            if self.traffic.must_send_again(at) {
                self.pump(at);
            }
        }
    }

    /// The measured part begins, or one of its intervals ends.
    fn cut(&mut self, now: u64) {
        let usage = ThreadUsage::now();
        match self.cut_at {
            Some(before) => {
                let (span, spent) = (now.saturating_sub(before), usage.since(self.usage));
                let (stats, used) = (&mut self.traffic.stats, &mut self.ended.used);
                stats.span += span;
                stats.cpu += spent.cpu;
                used.span += span;
                used.cpu += spent.cpu;
                used.waited += spent.waited;
                self.hand_out();
            }
            None => self.traffic.stats.forget_warmup(),
        }
        self.usage = usage;
        self.cut_at = Some(now);
    }

    fn hand_out(&mut self) {
        if let Some(slot) = self.shared.slots.get(self.slot) {
            slot.lock().unwrap_or_else(PoisonError::into_inner).merge(&self.traffic.stats);
        }
        self.traffic.stats.reset();
    }

    /// The measured part ends.
    fn finish(&mut self, now: u64) {
        let until = self.traffic.finish(now);
        if self.cut_at.is_some() {
            self.cut(until);
            self.cut_at = None;
        }
        for seat in 0..self.seats.len() {
            self.pump(seat);
        }
    }

    fn give_up_the_rest(&mut self) {
        for at in 0..self.seats.len() {
            if self.seats.get(at).is_some_and(|seat| seat.state != SessionSeatState::Done) {
                let why = format!(
                    "no last word from the server within {} s",
                    self.plan.timeout.as_secs()
                );
                self.give_up(at, GivenUp::Lost(why));
            }
        }
    }

    fn give_up(&mut self, at: usize, why: GivenUp) {
        let Some(seat) = self.seats.get(at) else { return };
        let (session, words) = (seat.session, why.to_string());
        if !self.is_started && self.ended.failed.is_none() {
            self.ended.failed = Some((session, why));
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        let values = self.traffic.give_up(at, self.now());
        self.settle(at, SessionVerdict::Open { why: words, values });
    }

    fn settle(&mut self, at: usize, verdict: SessionVerdict) {
        self.close_socket(at);
        let Some(seat) = self.seats.get_mut(at) else { return };
        if seat.state != SessionSeatState::Done {
            seat.state = SessionSeatState::Done;
            self.done += 1;
            self.ended.verdicts.push((seat.session, verdict));
        }
    }

    /// Closes the socket; the seat waits.
    fn close_socket(&mut self, at: usize) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        if let Some(socket) = seat.socket.take() {
            socket.close(self.poll.registry());
        }
        match seat.state {
            SessionSeatState::Handshaking { .. } => {
                self.shared.handshakes.fetch_sub(1, Ordering::Relaxed);
                seat.state = SessionSeatState::Waiting;
            }
            SessionSeatState::Open => {
                self.shared.up.fetch_sub(1, Ordering::Relaxed);
                seat.state = SessionSeatState::Waiting;
            }
            SessionSeatState::Leaving => seat.state = SessionSeatState::Waiting,
            SessionSeatState::Waiting | SessionSeatState::Done => {}
        }
    }

    fn conclude(mut self) -> ThreadEnded {
        if self.cut_at.is_some() {
            let now = self.traffic.finish(self.now());
            self.cut(now);
        }
        self.hand_out();
        self.ended.finished = self.traffic.finished();
        self.ended
    }
}
