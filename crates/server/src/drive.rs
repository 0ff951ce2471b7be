//! The loop that drives an endpoint: one thread serves all sockets, and blocks only in one poll of
//! all of them.
//!
//! Long because the parts of a turn are read together: each does what the one before it marked.
//!
//! A turn reads once from each ready socket, and calls the endpoint's `handle_timeout` for a
//! bounded part of its backlog, so that no connection delays the others. Then it does all
//! consequences together: one batch for the ledger, one write for each connection with pending
//! bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_session::Phase;
use ddes_session::wiretap::{Drawn, Passed, Wiretap};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustix::event::{PollFd, PollFlags, Timespec};
use slab::Slab;
use zeroize::Zeroizing;

use crate::access::{AccessControl, seconds};
use crate::clerk::{LedgerAnswer, ServerLedger};
use crate::endpoint::{
    Action, ConnectionEntropy, ConnectionId, EndOrder, Endpoint, Request, SessionView, SessionWork,
};
use crate::listen::{LiveSettings, Pulse, Report, Stopped};
use crate::mail::{Mail, Mailbox, ServerCommand, reply, reply_to_thread};
use crate::pool::Pool;
use crate::priority;
use crate::refuse::{RefusalStep, RefusedConnection};
use crate::timers::Timers;
use crate::watch::{DriverCounts, Publisher};

pub(crate) const LISTENER: Token = Token(0);
pub(crate) const MAIL: Token = Token(1);
/// The token of the socket at place 0; tokens and places count up together.
const SOCKETS: usize = 2;

/// The most bytes of one read. All connections share the buffer.
const READ_BYTES_MAX: usize = 64 * 1024;
/// The most events per turn: few enough that what a turn reads of sockets and sessions is still
/// cached when it writes. With 1,024 a value among 10,000 sessions costs a tenth more.
const EVENTS_MAX: usize = 64;
/// The most connections accepted per turn, which takes some 0.1 ms.
const ACCEPTS_MAX: usize = 4;
/// The pause after a failed accept, for example where no more files can be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often changed rights are applied to open sessions. A removed right that has to be confirmed
/// by a second reading takes two of these.
const ACCESS_TICK: Duration = Duration::from_secs(1);
/// A stop waits this long for connections that have proved nothing: one stranger who keeps silent
/// does not hold it up for the five seconds in which a session may end.
const UNPROVEN_STOP_MAX: Duration = Duration::from_millis(500);
/// Without traffic for this long, the loop computes a single handshake itself: it delays no
/// traffic, and waking the pool would add a tenth to its time.
const QUIET: Duration = Duration::from_millis(10);

/// A connection's socket, with a session or being refused.
#[derive(Debug)]
enum Socket {
    Session(Box<SessionSocket>),
    Refused(Box<RefusedConnection>),
}

#[derive(Debug)]
struct SessionSocket {
    stream: TcpStream,
    id: ConnectionId,
    /// Reported by the system since the socket last returned `WouldBlock`.
    readable: bool,
    writable: bool,
    /// The stream or the connection has ended, behind bytes that may still be unread. The system
    /// reports this only once.
    is_ending: bool,
    /// Whether it is in [`LoopState::ready`], and in [`LoopState::dirty`].
    is_ready: bool,
    is_dirty: bool,
    /// Whether the sending direction is shut down.
    is_shut: bool,
    armed: Option<Instant>,
}

/// The loop, with everything that it drives.
pub(crate) struct Driver {
    pub(crate) poll: Poll,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) listener: Option<TcpListener>,
    pub(crate) endpoint: Endpoint,
    pub(crate) ledger: ServerLedger,
    pub(crate) pool: Pool,
    pub(crate) access: AccessControl,
    pub(crate) observe: Box<dyn FnMut(Report)>,
    /// With classic enabled, how long a client may stay silent before it counts as classic.
    pub(crate) silence: Option<Duration>,
    pub(crate) drain: Duration,
    pub(crate) refusals_max: usize,
    /// `None` if nobody watches.
    pub(crate) publisher: Option<Publisher>,
    /// Hears what passes the sockets; mostly nobody.
    pub(crate) wiretap: Option<Arc<dyn Wiretap>>,
    pub(crate) state: LoopState,
}

/// The state that only the loop uses.
pub(crate) struct LoopState {
    sockets: Slab<Socket>,
    /// The place of each connection's socket, indexed by the endpoint's slots.
    places: Vec<usize>,
    ready: Vec<usize>,
    dirty: Vec<usize>,
    timers: Timers,
    buffer: Box<[u8]>,
    refusals: usize,
    /// When to accept again; `None` until the listener reports a connection.
    accept_at: Option<Instant>,
    access_at: Instant,
    stopping: Option<Stopping>,
    failure: Option<String>,
    /// The name of another thread that panicked.
    panicked: Option<String>,
}

/// How long the open connections delay the end of the loop.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// While a client that has proved itself is connected.
    until: Instant,
    /// While there are only others: the time for their notice to arrive.
    unproven_until: Instant,
}

/// Actions that are collected, then done together.
#[derive(Default)]
struct DeferredActions {
    work: Vec<(ConnectionId, SessionWork)>,
    /// Requests that form one batch for the ledger.
    requests: Vec<Request>,
    /// Done after the work, since they may cancel some of it.
    cancels: Vec<ConnectionId>,
}

impl LoopState {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            sockets: Slab::new(),
            places: Vec::new(),
            ready: Vec::new(),
            dirty: Vec::new(),
            timers: Timers::default(),
            buffer: vec![0; READ_BYTES_MAX].into(),
            refusals: 0,
            accept_at: None,
            access_at: now + ACCESS_TICK,
            stopping: None,
            failure: None,
            panicked: None,
        }
    }
}

impl Driver {
    pub(crate) fn run(mut self) -> io::Result<Stopped> {
        priority::at_once();
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let now = Instant::now();
            if self.state.panicked.is_some() {
                break;
            }
            if self.stop_at().is_some_and(|at| at <= now) || self.has_stopped() {
                break;
            }
            match self.poll.poll(&mut events, self.poll_timeout(now)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            let now = Instant::now();
            events.iter().for_each(|event| self.note_event(now, event));
            for mail in self.mailbox.take() {
                self.handle_mail(now, mail);
            }
            self.accept(now);
            self.read_ready(now);
            self.handle_timers(now);
            self.endpoint.handle_timeout(now);
            self.do_deferred();
            let due = self.publisher.as_mut().filter(|publisher| publisher.poll_timeout() <= now);
            if let Some(publisher) = due {
                publisher.counts.ledger.database = self.ledger.keeper_counts();
                publisher.handle_timeout(now, &mut self.endpoint);
            }
        }
        self.publish_now();
        // Sessions that are still open are counted and closed.
        let cut = self.endpoint.proven();
        self.mailbox.close();
        self.pool.stop();
        let clerk = self.ledger.stop();
        match self.state.panicked.or((!clerk).then(|| "clerk".into())) {
            // Nothing does that thread's work any more: a stopped server is better than one that
            // waits for it.
            Some(name) => Err(io::Error::other(format!("the thread '{name}' panicked"))),
            None => Ok(Stopped { cut, failure: self.state.failure }),
        }
    }

    fn has_stopped(&self) -> bool {
        self.state.stopping.is_some() && self.endpoint.is_empty()
    }

    /// When the loop ends, whoever is connected then.
    fn stop_at(&self) -> Option<Instant> {
        let Stopping { until, unproven_until } = self.state.stopping?;
        Some(if self.endpoint.proven() == 0 { until.min(unproven_until) } else { until })
    }

    /// Time until the next deadline; `None` blocks until an event.
    fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        let LoopState { ready, timers, accept_at, access_at, .. } = &self.state;
        if !ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let (endpoint_at, ledger_at) = (self.endpoint.poll_timeout(), self.ledger.poll_timeout());
        let publish_at = self.publisher.as_ref().map(Publisher::poll_timeout);
        let times = [
            timers.next(),
            *accept_at,
            Some(*access_at),
            self.stop_at(),
            endpoint_at,
            ledger_at,
            publish_at,
        ];
        times.into_iter().flatten().min().map(|at| at.saturating_duration_since(now))
    }

    fn note_event(&mut self, now: Instant, event: &Event) {
        let place = match event.token() {
            LISTENER => return self.state.accept_at = Some(now),
            MAIL => return,
            Token(token) => token - SOCKETS,
        };
        match self.state.sockets.get_mut(place) {
            Some(Socket::Session(session)) => {
                session.is_ending |= event.is_read_closed() || event.is_error();
                session.readable |= event.is_readable() || session.is_ending;
                session.writable |= event.is_writable();
                if session.readable {
                    mark(&mut self.state.ready, &mut session.is_ready, place);
                }
                mark(&mut self.state.dirty, &mut session.is_dirty, place);
            }
            // Served once per turn, however often it is ready.
            Some(Socket::Refused(refusal)) => {
                mark(&mut self.state.ready, &mut refusal.is_ready, place);
            }
            None => {}
        }
    }

    fn accept(&mut self, now: Instant) {
        let Some(listener) = &self.listener else {
            // Otherwise the loop would not block while sessions drain.
            self.state.accept_at = None;
            return;
        };
        if self.state.accept_at.is_none_or(|at| now < at) {
            return;
        }
        let mut accepted = Vec::new();
        self.state.accept_at = loop {
            if accepted.len() == ACCEPTS_MAX {
                break Some(now);
            }
            match listener.accept() {
                Ok(connection) => accepted.push(connection),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
                Err(_) => break Some(now + ACCEPT_PAUSE),
            }
        };
        for (stream, peer) in accepted {
            // Otherwise each answer waits for the client's delayed TCP acknowledgement, 44 ms.
            let Ok(()) = stream.set_nodelay(true) else { continue };
            let Ok(entropy) = entropy() else { continue };
            // Who listens gets a copy, since the session takes what was drawn.
            let copy = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
            let drawn = self.wiretap.is_some();
            let drawn = drawn.then(|| (copy(&*entropy.exponent), copy(&*entropy.kem)));
            match self.endpoint.accept(now, peer, entropy) {
                Ok(id) => {
                    if let Some((dh, kem)) = &drawn {
                        self.report_opened(&stream, peer, id, Drawn { dh, kem: Some(kem) });
                    }
                    self.add_session(stream, id);
                }
                Err(full) if self.state.refusals < self.refusals_max => {
                    self.state.refusals += 1;
                    let refusal = RefusedConnection::new(stream, full, now, self.silence);
                    let place = self.state.sockets.insert(Socket::Refused(Box::new(refusal)));
                    self.register(place);
                    self.advance_refusal(now, place);
                }
                Err(_) => {}
            }
        }
    }

    fn report_opened(
        &self,
        stream: &TcpStream,
        peer: SocketAddr,
        id: ConnectionId,
        drawn: Drawn<'_>,
    ) {
        // A socket without an address is closed already.
        if let (Some(wiretap), Ok(own)) = (&self.wiretap, stream.local_addr()) {
            wiretap.passed(id.serial(), Passed::Opened { own, peer, drawn });
        }
    }

    fn add_session(&mut self, stream: TcpStream, id: ConnectionId) {
        let session = SessionSocket {
            stream,
            id,
            readable: false,
            writable: true,
            is_ending: false,
            is_ready: false,
            is_dirty: false,
            is_shut: false,
            armed: None,
        };
        let place = self.state.sockets.insert(Socket::Session(Box::new(session)));
        let places = &mut self.state.places;
        if places.len() <= id.slot() {
            places.resize(id.slot() + 1, usize::MAX);
        }
        places[id.slot()] = place;
        self.register(place);
        self.wake(id);
    }

    fn register(&mut self, place: usize) {
        let token = Token(place + SOCKETS);
        let interests = Interest::READABLE | Interest::WRITABLE;
        let registered = match self.state.sockets.get_mut(place) {
            Some(Socket::Session(session)) => {
                self.poll.registry().register(&mut session.stream, token, interests)
            }
            Some(Socket::Refused(refusal)) => {
                self.poll.registry().register(refusal.stream(), token, interests)
            }
            None => return,
        };
        if registered.is_err() {
            self.close(Instant::now(), place);
        }
    }

    fn advance_refusal(&mut self, now: Instant, place: usize) {
        let Some(Socket::Refused(refusal)) = self.state.sockets.get_mut(place) else { return };
        match refusal.advance(now, &mut self.state.buffer) {
            RefusalStep::Over => self.close(now, place),
            RefusalStep::Waits => {
                let at = refusal.poll_timeout();
                self.state.timers.set(place, &mut refusal.armed, Some(at));
            }
            RefusalStep::HasMore => mark(&mut self.state.ready, &mut refusal.is_ready, place),
        }
    }

    /// Reads once from each ready connection that accepts bytes.
    fn read_ready(&mut self, now: Instant) {
        for place in std::mem::take(&mut self.state.ready) {
            let session = match self.state.sockets.get_mut(place) {
                Some(Socket::Session(session)) => session,
                Some(Socket::Refused(refusal)) => {
                    refusal.is_ready = false;
                    self.advance_refusal(now, place);
                    continue;
                }
                None => continue,
            };
            session.is_ready = false;
            mark(&mut self.state.dirty, &mut session.is_dirty, place);
            if !session.readable {
                continue;
            }
            let room = self.endpoint.room(session.id).min(READ_BYTES_MAX);
            if room == 0 {
                continue;
            }
            match session.stream.read(&mut self.state.buffer[..room]) {
                Ok(0) => {
                    session.readable = false;
                    self.endpoint.handle_eof(now, session.id);
                }
                Ok(count) => {
                    // A short read emptied the socket, and more bytes cause an event. The end of
                    // the stream, if it came with these bytes, causes none.
                    session.readable = count == room || session.is_ending;
                    let bytes = &self.state.buffer[..count];
                    if let Some(wiretap) = &self.wiretap {
                        wiretap.passed(session.id.serial(), Passed::Received(bytes));
                    }
                    self.endpoint.handle_bytes(now, session.id, bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => session.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    session.readable = false;
                    self.endpoint.handle_reset(now, session.id);
                }
            }
        }
    }

    /// Handles all timers that are due: connections, rights, the ledger's pause.
    fn handle_timers(&mut self, now: Instant) {
        while let Some((place, at)) = self.state.timers.pop(now) {
            match self.state.sockets.get_mut(place) {
                Some(Socket::Session(session)) if session.armed == Some(at) => {
                    session.armed = None;
                    mark(&mut self.state.dirty, &mut session.is_dirty, place);
                    if self.endpoint.connection_timeout(session.id).is_some_and(|due| due <= now) {
                        self.endpoint.handle_connection_timeout(now, session.id);
                    }
                }
                Some(Socket::Refused(refusal)) if refusal.armed == Some(at) => {
                    refusal.armed = None;
                    self.advance_refusal(now, place);
                }
                Some(Socket::Session(_) | Socket::Refused(_)) | None => {}
            }
        }
        if self.state.access_at <= now {
            self.state.access_at = now + ACCESS_TICK;
            self.revoke(now);
        }
        let answers = self.ledger.handle_timeout(now);
        self.handle_answers(now, answers);
    }

    /// Does what the endpoint asks for, until it asks for nothing more.
    fn do_deferred(&mut self) {
        loop {
            let now = Instant::now();
            let DeferredActions { work, requests, cancels } = self.poll_actions(now);
            if work.is_empty()
                && requests.is_empty()
                && cancels.is_empty()
                && self.state.dirty.is_empty()
            {
                return;
            }
            self.compute(now, work);
            for id in cancels {
                self.pool.cancel(id);
            }
            if !requests.is_empty() {
                let answers = self.ledger.submit(requests);
                self.handle_answers(now, answers);
            }
            for place in std::mem::take(&mut self.state.dirty) {
                self.flush(now, place);
            }
        }
    }

    /// Does the endpoint's actions, and collects those that are done together.
    fn poll_actions(&mut self, now: Instant) -> DeferredActions {
        let mut all = DeferredActions::default();
        while let Some(action) = self.endpoint.poll_action() {
            match action {
                Action::Authorize(request) => {
                    // The client may have closed the connection, and the event for it may still be
                    // on its way.
                    self.end_if_gone(now, request.connection, has_ended);
                    self.refresh(now);
                    let grant = self.access.grant(&request.key, seconds());
                    self.endpoint.handle_grant(now, request, grant);
                }
                Action::Compute(id, work) => {
                    if !self.end_if_gone(now, id, |_| false) {
                        all.work.push((id, work));
                    }
                }
                Action::Commit(request) => all.requests.push(request),
                Action::Wake(id) => self.wake(id),
                Action::Cancel(id) => all.cancels.push(id),
                Action::Notify(notice) => (self.observe)(Report::Session(notice)),
            }
        }
        all
    }

    fn compute(&mut self, now: Instant, work: Vec<(ConnectionId, SessionWork)>) {
        let is_quiet =
            now.duration_since(self.endpoint.traffic_at()) > QUIET && self.state.ready.is_empty();
        if is_quiet && work.len() == 1 {
            for (id, work) in work {
                let done = work.run();
                self.endpoint.handle_done(Instant::now(), id, done);
            }
        } else {
            for (id, work) in work {
                if let Some(network) = self.endpoint.network(id) {
                    self.pool.submit(network, id, work);
                }
            }
        }
    }

    /// Ends a connection whose session is not open yet if its client has closed it or its sending
    /// direction, as far as is known or `ask` finds out. What the client sent before is of no use
    /// then. Returns whether it ended.
    fn end_if_gone(&mut self, now: Instant, id: ConnectionId, ask: fn(&TcpStream) -> bool) -> bool {
        let place = self.state.places.get(id.slot()).copied();
        let is_gone = match place.and_then(|place| self.state.sockets.get(place)) {
            Some(Socket::Session(session)) if session.id == id => {
                session.is_ending || ask(&session.stream)
            }
            Some(Socket::Session(_) | Socket::Refused(_)) | None => true,
        };
        if is_gone {
            self.endpoint.handle_eof(now, id);
            self.wake(id);
        }
        is_gone
    }

    fn wake(&mut self, id: ConnectionId) {
        let Some(place) = self.state.places.get(id.slot()).copied() else { return };
        if let Some(Socket::Session(session)) = self.state.sockets.get_mut(place)
            && session.id == id
        {
            mark(&mut self.state.dirty, &mut session.is_dirty, place);
        }
    }

    /// Writes pending bytes as far as the socket accepts them, then closes, shuts down, reads or
    /// sets a timer as the connection requires.
    fn flush(&mut self, now: Instant, place: usize) {
        let Some(Socket::Session(session)) = self.state.sockets.get_mut(place) else { return };
        session.is_dirty = false;
        let id = session.id;
        while session.writable && !self.endpoint.pending(id).is_empty() {
            match session.stream.write(self.endpoint.pending(id)) {
                Ok(count) => {
                    if let Some(wiretap) = &self.wiretap {
                        let sent = &self.endpoint.pending(id)[..count];
                        wiretap.passed(id.serial(), Passed::Sent(sent));
                    }
                    self.endpoint.sent(now, id, count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => session.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.endpoint.handle_reset(now, id),
            }
        }
        match self.endpoint.phase(id) {
            Phase::Done => return self.close(now, place),
            Phase::Draining if !session.is_shut && self.endpoint.pending(id).is_empty() => {
                session.is_shut = true;
                if session.stream.shutdown(Shutdown::Write).is_err() {
                    self.endpoint.handle_reset(now, id);
                    return self.close(now, place);
                }
            }
            Phase::Draining | Phase::Live => {}
        }
        if session.readable && self.endpoint.wants_bytes(id) {
            mark(&mut self.state.ready, &mut session.is_ready, place);
        }
        self.state.timers.set(place, &mut session.armed, self.endpoint.connection_timeout(id));
    }

    fn close(&mut self, now: Instant, place: usize) {
        match self.state.sockets.try_remove(place) {
            Some(Socket::Session(session)) => {
                if let Some(wiretap) = &self.wiretap {
                    wiretap.passed(session.id.serial(), Passed::Closed);
                }
                self.endpoint.remove(now, session.id);
            }
            Some(Socket::Refused(_)) => self.state.refusals -= 1,
            None => {}
        }
        // The place may stay in a list and belong to another connection by then, which is then
        // checked once more than necessary.
    }

    fn handle_mail(&mut self, now: Instant, mail: Mail) {
        match mail {
            Mail::Work(id, done) => self.endpoint.handle_done(now, id, done),
            Mail::Answers(answers) => self.handle_answers(now, answers),
            Mail::Command(command) => self.handle_command(now, command),
            Mail::Panicked(name) => self.state.panicked = Some(name),
        }
    }

    /// Passes the ledger's answers on to sessions and to the operator.
    fn handle_answers(&mut self, now: Instant, answers: Vec<LedgerAnswer>) {
        let (mut values, mut outcomes) = (0, Vec::with_capacity(answers.len()));
        for answer in answers {
            match answer {
                LedgerAnswer::Done { connection, ticket, outcome } => {
                    outcomes.push((connection, ticket, outcome));
                }
                LedgerAnswer::Batch { values: count, took } => {
                    values += count;
                    if let Some(took) = took {
                        self.count(|counts| counts.ledger.commits.record(took));
                    }
                }
                LedgerAnswer::Health(health) => {
                    self.count(|counts| counts.ledger.health.clone_from(&health));
                    if let ddes_ledger::Health::Failed(why) = &health {
                        self.state.failure = Some(why.clone());
                        self.stop(now);
                    }
                    (self.observe)(Report::Ledger(health));
                }
                LedgerAnswer::Checkpoint(error) => {
                    self.count(|counts| counts.ledger.checkpoint_failures += 1);
                    (self.observe)(Report::Checkpoint(error));
                }
            }
        }
        self.endpoint.handle_outcomes(now, values, outcomes);
    }

    /// Lets `add` count something, if somebody watches.
    fn count(&mut self, add: impl FnOnce(&mut DriverCounts)) {
        if let Some(publisher) = &mut self.publisher {
            add(&mut publisher.counts);
        }
    }

    fn stop(&mut self, now: Instant) {
        if let Some(stopping) = &mut self.state.stopping {
            // A second call stops immediately.
            stopping.until = now;
            stopping.unproven_until = now;
            return;
        }
        let (until, unproven_until) = (now + self.drain, now + UNPROVEN_STOP_MAX);
        self.state.stopping = Some(Stopping { until, unproven_until });
        self.listener = None;
        self.endpoint.end_all(now, EndOrder::Shutdown, None);
        self.count(|counts| counts.is_stopping = true);
        self.publish_now();
        (self.observe)(Report::Stopping(self.drain));
    }

    fn publish_now(&mut self) {
        if let Some(publisher) = &mut self.publisher {
            publisher.counts.ledger.database = self.ledger.keeper_counts();
            publisher.publish(Instant::now(), &mut self.endpoint);
        }
    }

    fn handle_command(&mut self, now: Instant, command: ServerCommand) {
        match command {
            ServerCommand::Stop => self.stop(now),
            ServerCommand::Ledger(question) => self.ledger.ask(question),
            ServerCommand::PinTrace { serial, is_pinned, found } => {
                reply(found, self.endpoint.pin_trace(serial, is_pinned));
            }
            ServerCommand::Pulse(asker) => {
                let connections = self.endpoint.len();
                reply(asker, Pulse { connections, is_stopping: self.state.stopping.is_some() });
            }
            ServerCommand::Sessions(sessions) => {
                reply(sessions, self.endpoint.sessions().collect());
            }
            ServerCommand::End { serial, ended } => {
                let is_meant = |view: &SessionView| {
                    serial.is_none_or(|serial| view.connection.serial() == serial)
                };
                let meant: Vec<_> = self.endpoint.sessions().filter(is_meant).collect();
                for view in &meant {
                    self.endpoint.end(now, view.connection, EndOrder::Operator);
                }
                reply(ended, meant.len());
            }
            ServerCommand::Apply { settings, applied } => {
                self.apply(*settings);
                reply_to_thread(&applied, ());
            }
        }
    }

    fn apply(&mut self, settings: LiveSettings) {
        let LiveSettings { bounds, idle, notices, drain, refusals_max, history } = settings;
        self.endpoint.set_limits(bounds, idle, notices);
        self.ledger.set_history(history);
        (self.drain, self.refusals_max) = (drain, refusals_max);
    }

    /// Reads the lists of authorized keys again if they changed.
    fn refresh(&mut self, now: Instant) {
        for fault in self.access.refresh(now) {
            self.count(|counts| counts.access_errors += 1);
            (self.observe)(Report::Access(fault));
        }
        let faults = self.access.faults();
        self.count(|counts| counts.access_faults = faults);
    }

    /// Applies what the lists grant now to open sessions, and ends those of identities that are no
    /// longer authorized.
    fn revoke(&mut self, now: Instant) {
        self.refresh(now);
        let wall = seconds();
        if !self.access.take_change(wall) {
            return;
        }
        let sessions: Vec<_> = self.endpoint.sessions().collect();
        for view in sessions {
            let Some(admitted) = view.admitted else { continue };
            match self.access.grant(&admitted.key, wall) {
                Some(grant) => self.endpoint.handle_regrant(view.connection, grant),
                None => {
                    self.endpoint.end(now, view.connection, EndOrder::NotAuthorized);
                }
            }
        }
    }
}

/// What `poll` says of a stream whose peer will send nothing more. Only Linux tells that apart from
/// a stream that both sides have closed.
#[cfg(target_os = "linux")]
const PEER_CLOSED: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const PEER_CLOSED: PollFlags = PollFlags::HUP;

/// Asks the system whether the client has closed the connection: the event for it may still be on
/// its way.
fn has_ended(stream: &TcpStream) -> bool {
    let mut asked = [PollFd::new(stream, PEER_CLOSED)];
    let ended = PEER_CLOSED | PollFlags::HUP | PollFlags::ERR;
    match rustix::event::poll(&mut asked, Some(&Timespec::default())) {
        Ok(_) => asked.iter().any(|found| found.revents().intersects(ended)),
        // A later read finds out.
        Err(_) => false,
    }
}

/// Adds a place to a list, unless it is on it already.
fn mark(list: &mut Vec<usize>, is_on_it: &mut bool, place: usize) {
    if !std::mem::replace(is_on_it, true) {
        list.push(place);
    }
}

fn entropy() -> Result<ConnectionEntropy, getrandom::Error> {
    let mut entropy = ConnectionEntropy {
        exponent: Zeroizing::new([0; _]),
        kem: Zeroizing::new([0; _]),
        token: Zeroizing::new([0; _]),
    };
    getrandom::fill(entropy.exponent.as_mut())?;
    getrandom::fill(entropy.kem.as_mut())?;
    getrandom::fill(entropy.token.as_mut())?;
    Ok(entropy)
}
