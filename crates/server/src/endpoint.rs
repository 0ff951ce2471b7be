//! Many sessions and one queue of requests for the ledger. Pure: no I/O, clock or randomness.
//!
//! Long because it is a driver's whole contract: inputs, actions and the ledger's answers are read
//! together. What the sessions report is in `endpoint/events.rs`, what others watch in
//! `endpoint/watched.rs`.
//!
//! A driver works in turns. In each of them it
//!
//! - gives the endpoint what happened, through the `handle_*` functions;
//! - calls [`Endpoint::handle_timeout`], and does so at the latest when [`Endpoint::poll_timeout`]
//!   is due;
//! - does what [`Endpoint::poll_action`] asks for, until that returns `None`;
//! - checks each connection that it touched or that [`Action::Wake`] names: it writes `pending`,
//!   follows `phase`, reads at most `room`, and sets a timer for `connection_timeout`.

mod events;
#[cfg(test)]
pub(crate) mod tests;
mod watched;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::{Grant, Role};
use ddes_ledger::{
    AccountId, AccountNumber, Opening, Operation, OperationOutcome, Refusal, Verdict,
};
use ddes_session::{Phase, Ticket, classic, v2};
use ddes_wire::classic::text;
use ddes_wire::frame::{Header, Opcode};
use ddes_wire::v2::{Reason, Rejection};
use ddes_wire::{SessionNumber, Standing};
use slab::Slab;

pub use crate::action::{Action, AuthorizationRequest, Request};
pub use crate::admission::Bounds;
use crate::admission::{Admission, AdmissionEntry};
use crate::network::Network;
pub use crate::notice::{Admitted, Notice, NoticeEvent, Notices, SessionView};
use crate::session::AnySession;
pub use crate::session::{
    Classic, ConnectionEntropy, EndOrder, Profiles, SessionDone, SessionWork,
};
use crate::watch::Recorder;

/// Backlog bytes processed per turn, in addition to what is read: less than a millisecond's work.
const BACKLOG_BYTES_MAX: usize = 32 * 1024;

/// How often sessions are checked for having become idle.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// Sessions whose buffers are freed per turn: less than a millisecond's work.
const FREED_MAX: usize = 64;

/// The settings of an endpoint.
#[derive(Clone, Debug)]
pub struct Config {
    /// The limits on connections and on clients without a proven identity. A connection beyond a
    /// limit is refused with a message (rule P-28).
    pub bounds: Bounds,
    /// The most values that wait for the ledger. Beyond them no connection is read.
    pub queued_values_max: usize,
    /// Which notices to build.
    pub notices: Notices,
    /// The number of the next classic account: higher than any in the ledger.
    pub classic_first: u64,
    /// The profiles that clients may use.
    pub profiles: Profiles,
}

/// Identifies one connection of this endpoint. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    slot: usize,
    serial: u64,
}

impl ConnectionId {
    /// The connection's index in the endpoint. Another connection may have it after this one is
    /// removed.
    pub(crate) fn slot(self) -> usize {
        self.slot
    }

    #[cfg(test)]
    pub(crate) fn numbered(serial: u64) -> Self {
        Self { slot: 0, serial }
    }

    /// The number that operators see, counted from 1 in the order of connecting.
    pub fn serial(self) -> u64 {
        self.serial
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The server has the most connections.
    #[error("{most} connections are open already")]
    Connections {
        /// The limit that is reached.
        most: usize,
    },
    /// The server has the most unproven connections, and all of them have begun a handshake.
    #[error("{most} connections have not proven an identity yet")]
    Unproven {
        /// The limit that is reached.
        most: usize,
    },
    /// The address, or an IPv6 network that it is in, has the most unproven connections.
    #[error("{most} connections of this address have not proven an identity yet")]
    Address {
        /// The limit that is reached.
        most: usize,
    },
    /// The address connects too often.
    #[error("this address connects more than {most} times a second")]
    TooFast {
        /// The limit that is reached.
        most: u32,
    },
}

impl Full {
    /// The frame that tells the client: a 50 in the clear with reason 9 (rule P-23), or the classic
    /// one (rule C-21).
    pub fn farewell(&self, classic: bool) -> Vec<u8> {
        let body = if classic {
            text::FULL.as_bytes().to_vec()
        } else {
            Rejection { reason: Reason::TooMany, text: self.to_string() }.encode()
        };
        #[allow(clippy::cast_possible_truncation, reason = "a short text")]
        let header = Header { opcode: Opcode::Disconnect.number(), length: body.len() as u32 };
        [&header.encode()[..], &body].concat()
    }
}

/// All sessions of a server's loop.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    connections: Slab<EndpointConnection>,
    serial: u64,
    /// The number of the next classic account.
    classic_next: u64,
    admission: Admission,
    /// The newest session of each identity that has one.
    newest: HashMap<AccountNumber, ConnectionId>,
    /// Connections whose buffers are [`Buffers::Used`] or [`Buffers::Idle`].
    buffered: Vec<ConnectionId>,
    /// Connections whose idle buffers are still to be freed.
    to_free: Vec<ConnectionId>,
    /// Values that wait for the ledger, and connections that are not read because there are too
    /// many.
    queued_values: usize,
    held: Vec<ConnectionId>,
    /// Connections with frames that are received and not yet processed, in the order of their
    /// turns.
    backlog: VecDeque<ConnectionId>,
    /// When sessions are next checked for having become idle.
    check_at: Instant,
    /// The time of the last [`Self::handle_timeout`].
    turn_at: Instant,
    /// The time that [`Self::traffic_at`] returns.
    traffic_at: Instant,
    work: VecDeque<(ConnectionId, SessionWork)>,
    /// Connections whose work was given out, and whose result is no longer needed.
    cancels: VecDeque<ConnectionId>,
    authorizations: VecDeque<AuthorizationRequest>,
    requests: VecDeque<Request>,
    wakes: VecDeque<ConnectionId>,
    notices: VecDeque<Notice>,
    /// What others watch; `None` if nobody does.
    recorder: Option<Box<Recorder>>,
    /// Whether the ledger has to hear of the end of an identity's session.
    tells_ends: bool,
}

#[derive(Debug)]
struct EndpointConnection {
    id: ConnectionId,
    peer: SocketAddr,
    session: AnySession,
    admitted: Option<Admitted>,
    account: Option<AccountNumber>,
    number: SessionNumber,
    standing: Standing,
    admission: AdmissionEntry,
    /// It is evicted for a new connection: it is sent a 50, if its socket accepts it at once, and
    /// closed.
    is_evicted: bool,
    /// Whether it is in [`Endpoint::held`].
    is_held: bool,
    /// Whether it has a verdict that its client was not sent yet.
    has_verdict: bool,
    /// Whether its client has submitted values.
    has_submitted: bool,
    /// Whether it is in [`Endpoint::backlog`].
    has_backlog: bool,
    buffers: Buffers,
}

/// What a session keeps in memory for more bytes of a burst: buffers and keystream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Buffers {
    /// Bytes came since the last check.
    Used,
    /// No bytes came since the last check.
    Idle,
    /// They are freed, or about to be.
    Freed,
}

impl Endpoint {
    /// An endpoint without connections.
    pub fn new(now: Instant, config: Config) -> Self {
        Self {
            classic_next: config.classic_first,
            admission: Admission::new(config.bounds.clone()),
            config,
            connections: Slab::new(),
            serial: 0,
            newest: HashMap::new(),
            buffered: Vec::new(),
            to_free: Vec::new(),
            queued_values: 0,
            held: Vec::new(),
            backlog: VecDeque::new(),
            check_at: now + IDLE_CHECK,
            turn_at: now,
            traffic_at: now,
            work: VecDeque::new(),
            cancels: VecDeque::new(),
            authorizations: VecDeque::new(),
            requests: VecDeque::new(),
            wakes: VecDeque::new(),
            notices: VecDeque::new(),
            recorder: None,
            tells_ends: false,
        }
    }

    /// Reports the end of each identity's session that the ledger has opened to it, as
    /// [`Operation::End`], after all other requests of the session.
    #[must_use]
    pub fn telling_ends(self) -> Self {
        Self { tells_ends: true, ..self }
    }

    /// Replaces settings, all at once. The idle time is that of sessions that begin from now on: an
    /// open one keeps the time that it began with.
    pub fn set_limits(&mut self, bounds: Bounds, idle: Duration, notices: Notices) {
        self.admission.set_bounds(bounds.clone());
        let Config { profiles: Profiles { v2, classic }, .. } = &mut self.config;
        if v2.idle != idle {
            *v2 = Arc::new(v2::ServerConfig { idle, ..(**v2).clone() });
            if let Some(Classic { config, .. }) = classic {
                *config = Arc::new(classic::ServerConfig { idle, ..(**config).clone() });
            }
        }
        (self.config.bounds, self.config.notices) = (bounds, notices);
    }

    /// Adds a connection, or refuses it. May evict another one for it.
    pub fn accept(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        entropy: ConnectionEntropy,
    ) -> Result<ConnectionId, Full> {
        let room = self.admission.admit(now, peer).inspect_err(|full| {
            if let Some(recorder) = &mut self.recorder {
                recorder.refuse(now, peer, (*full).into());
            }
        })?;
        if let Some(other) = room.evicts {
            self.evict(now, other);
        }
        self.serial += 1;
        let slot = self.connections.vacant_entry();
        let id = ConnectionId { slot: slot.key(), serial: self.serial };
        slot.insert(EndpointConnection {
            id,
            peer,
            session: AnySession::new(&self.config.profiles, now, entropy),
            admitted: None,
            account: None,
            number: SessionNumber::NONE,
            standing: Standing::default(),
            admission: self.admission.enter(room, id),
            is_evicted: false,
            is_held: false,
            has_verdict: false,
            has_submitted: false,
            has_backlog: false,
            buffers: Buffers::Freed,
        });
        self.record_accepted(now, id);
        self.notify(id, || NoticeEvent::Connected);
        self.collect(now, id);
        Ok(id)
    }

    /// Ends a connection to make room for a new one. It keeps its slot until it is removed.
    fn evict(&mut self, now: Instant, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id) {
            connection.is_evicted = true;
        }
        self.leave(id);
        self.end(now, id, EndOrder::TooMany);
    }

    /// Bytes from a client.
    pub fn handle_bytes(&mut self, now: Instant, id: ConnectionId, bytes: &[u8]) {
        if let Some(connection) = self.connection_mut(id) {
            let before = std::mem::replace(&mut connection.buffers, Buffers::Used);
            connection.session.handle_bytes(now, bytes);
            self.record(|recorder| recorder.counts.received_bytes += bytes.len() as u64);
            if before == Buffers::Freed {
                self.buffered.push(id);
            }
            self.collect(now, id);
        }
    }

    /// A client shut down its direction.
    pub fn handle_eof(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |session| session.handle_eof(now));
    }

    /// A connection broke: nothing can be sent on it any more.
    pub fn handle_reset(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |session| session.handle_reset(now));
    }

    /// The clock reached [`Self::connection_timeout`].
    pub fn handle_connection_timeout(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |session| session.handle_timeout(now));
    }

    /// Does one turn's part of the endpoint's own tasks: frees the buffers of idle sessions, and
    /// processes frames of the backlog. Does only what is due, so a driver may call this in every
    /// turn.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.turn_at = now;
        if self.check_at <= now {
            self.check_at = now + IDLE_CHECK;
            self.admission.forget(now);
            self.find_idle();
        }
        self.process_backlog(now);
        self.free_buffers();
    }

    /// When to call [`Self::handle_timeout`]; a time in the past if the last turn left something to
    /// do. `None`: the endpoint has no task of its own.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.can_process_backlog() || !self.to_free.is_empty() {
            return Some(self.turn_at);
        }
        let must_check = !self.buffered.is_empty() || self.admission.has_rates();
        must_check.then_some(self.check_at)
    }

    /// The result of an [`Action::Compute`].
    pub fn handle_done(&mut self, now: Instant, id: ConnectionId, done: SessionDone) {
        self.with_admission(id, Admission::finish);
        self.with(now, id, |session| session.handle_done(now, done));
        self.wakes.push_back(id);
    }

    /// The rights of the identity of an [`AuthorizationRequest`]; `None` if it is not authorized.
    pub fn handle_grant(
        &mut self,
        now: Instant,
        request: AuthorizationRequest,
        grant: Option<Grant>,
    ) {
        let AuthorizationRequest { connection: id, ticket, key } = request;
        let Some(connection) = self.connection_mut(id) else { return };
        let AnySession::V2(session) = &mut connection.session else { return };
        // If the client is gone, no session opens: it would supersede the one of the client's next
        // connection, or be superseded by it.
        if !session.is_opening() {
            return;
        }
        match grant {
            Some(Grant { role, name, .. }) => {
                let admitted = Admitted { key, name, is_operator: role == Role::Operator };
                let account = AccountId::Identity(*key.as_bytes());
                connection.admitted = Some(admitted.clone());
                self.requests.push_back(Request {
                    to: Some((id, ticket)),
                    operation: Operation::Open(account),
                });
                self.notify(id, || NoticeEvent::Admitted(Box::new(admitted)));
                self.with_admission(id, Admission::prove);
            }
            None => {
                session.turn_away(now, ticket);
                self.notify(id, || NoticeEvent::TurnedAway { key });
            }
        }
        self.collect(now, id);
        self.wakes.push_back(id);
    }

    /// Changes the rights of an admitted session's identity.
    pub fn handle_regrant(&mut self, id: ConnectionId, grant: Grant) {
        let Some(connection) = self.connection_mut(id) else { return };
        let (Some(admitted), AnySession::V2(session)) =
            (&mut connection.admitted, &mut connection.session)
        else {
            return;
        };
        let now = Admitted {
            key: admitted.key,
            name: grant.name,
            is_operator: grant.role == Role::Operator,
        };
        if now != *admitted {
            session.set_operator(now.is_operator);
            *admitted = now.clone();
            self.notify(id, || NoticeEvent::Regranted(Box::new(now)));
        }
    }

    /// The ledger's answers to [`Request`]s with `values` values in all. A client receives one 40
    /// for all of its values among them that were counted.
    pub fn handle_outcomes(
        &mut self,
        now: Instant,
        values: usize,
        outcomes: impl IntoIterator<Item = (ConnectionId, Ticket, OperationOutcome)>,
    ) {
        self.unqueue(values);
        let mut to_answer = Vec::new();
        for (id, ticket, outcome) in outcomes {
            match outcome {
                OperationOutcome::Opened(opening) => self.handle_opening(now, id, ticket, opening),
                OperationOutcome::Decided(verdict) => self.handle_verdict(now, id, ticket, verdict),
                // No connection waits for these.
                OperationOutcome::Ended(_) => {}
            }
            if let Some(connection) = self.connection_mut(id)
                && !std::mem::replace(&mut connection.has_verdict, true)
            {
                to_answer.push(id);
            }
        }
        for id in to_answer {
            let Some(connection) = self.connection_mut(id) else { continue };
            connection.has_verdict = false;
            if let AnySession::V2(session) = &mut connection.session {
                session.flush_answers(now);
            }
            self.collect(now, id);
            self.note_backlog(id);
            self.wakes.push_back(id);
        }
    }

    /// The ledger opened a session, or refused to. A new session of an account ends the account's
    /// older one.
    fn handle_opening(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ticket: Ticket,
        opening: Result<Opening, Refusal>,
    ) {
        if let Ok(Opening { account, .. }) = opening {
            let older = self.newest.insert(account, id).filter(|older| *older != id);
            if let Some(older) = older {
                // What the same batch counted for it is answered first, and its 50 states it.
                if let Some(connection) = self.connection_mut(older)
                    && let AnySession::V2(session) = &mut connection.session
                {
                    session.flush_answers(now);
                }
                self.end(now, older, EndOrder::Superseded);
            }
            if self.connection(id).is_none() {
                self.newest.remove(&account);
                self.tell_end(account);
            }
        }
        let Some(connection) = self.connection_mut(id) else { return };
        if let Ok(Opening { account, .. }) = opening {
            connection.account = Some(account);
        }
        let AnySession::V2(session) = &mut connection.session else { return };
        match opening {
            Ok(Opening { account: _, session: number, proof }) => {
                connection.number = number;
                connection.standing = proof.standing();
                let is_operator =
                    connection.admitted.as_ref().is_some_and(|admitted| admitted.is_operator);
                session.admit(now, ticket, number, proof.standing(), is_operator);
            }
            Err(Refusal::Unavailable) => {
                // Not answered: the session ends instead.
                drop(ticket);
                connection.session.order_end(now, EndOrder::LedgerUnavailable);
            }
            // The account has used all of its session numbers.
            Err(Refusal::Malformed | Refusal::Gap { .. } | Refusal::Superseded { .. }) => {
                session.turn_away(now, ticket);
            }
        }
    }

    fn handle_verdict(&mut self, now: Instant, id: ConnectionId, ticket: Ticket, verdict: Verdict) {
        let Some(connection) = self.connection_mut(id) else { return };
        if let Ok(proof) = &verdict {
            connection.standing = proof.standing();
        }
        match (&mut connection.session, verdict) {
            (AnySession::Classic(session), Ok(proof)) => {
                session.settle(now, ticket, proof.standing());
            }
            (AnySession::Classic(session), Err(_)) => session.refuse(now, ticket),
            (AnySession::V2(session), verdict) => {
                let verdict = verdict.map(|proof| proof.standing()).map_err(refused);
                session.handle_verdict(now, ticket, verdict);
            }
            (AnySession::Undecided(_) | AnySession::Gone, _) => {}
        }
    }

    /// `count` queued values are committed or refused.
    fn unqueue(&mut self, count: usize) {
        self.queued_values = self.queued_values.saturating_sub(count);
        if self.queued_values <= self.config.queued_values_max {
            for id in std::mem::take(&mut self.held) {
                if let Some(connection) = self.connection_mut(id) {
                    connection.is_held = false;
                    self.wakes.push_back(id);
                }
            }
        }
    }

    /// Ends every session but `except`.
    pub fn end_all(&mut self, now: Instant, order: EndOrder, except: Option<ConnectionId>) {
        let all: Vec<_> = self.connections.iter().map(|(_, connection)| connection.id).collect();
        for id in all.into_iter().filter(|id| Some(*id) != except) {
            self.end(now, id, order);
        }
    }

    /// Ends one session. Returns whether the connection exists.
    pub fn end(&mut self, now: Instant, id: ConnectionId, order: EndOrder) -> bool {
        let found = self.connection(id).is_some();
        self.with(now, id, |session| session.order_end(now, order));
        self.wakes.push_back(id);
        found
    }

    /// The driver closed the connection: frees its slot.
    pub fn remove(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |session| session.handle_reset(now));
        self.leave(id);
        if self.connection(id).is_none() {
            return;
        }
        self.record_removal(id);
        let connection = self.connections.remove(id.slot);
        match connection.account {
            Some(account @ AccountNumber::Classic(_)) => {
                self.requests.push_back(Request { to: None, operation: Operation::End(account) });
            }
            Some(account @ AccountNumber::Identity(_)) => {
                if self.newest.get(&account) == Some(&id) {
                    self.newest.remove(&account);
                }
                self.tell_end(account);
            }
            None => {}
        }
    }

    /// An identity's session that was opened is over.
    fn tell_end(&mut self, account: AccountNumber) {
        if self.tells_ends {
            self.requests.push_back(Request { to: None, operation: Operation::End(account) });
        }
    }

    /// The bytes to send on a connection; none if it is gone.
    pub fn pending(&self, id: ConnectionId) -> &[u8] {
        self.connection(id).map_or(&[], |connection| connection.session.pending())
    }

    /// `count` bytes of [`Self::pending`] went out.
    pub fn sent(&mut self, now: Instant, id: ConnectionId, count: usize) {
        self.record(|recorder| recorder.counts.sent_bytes += count as u64);
        self.with(now, id, |session| session.sent(now, count));
        self.note_backlog(id);
    }

    /// Processes a bounded part of the backlog, one session after the other, so that sessions with
    /// few frames do not wait for those with many.
    fn process_backlog(&mut self, now: Instant) {
        let mut bytes = 0;
        while bytes < BACKLOG_BYTES_MAX && self.can_process_backlog() {
            let Some(id) = self.backlog.pop_front() else { return };
            let Some(connection) = self.connection_mut(id) else { continue };
            connection.has_backlog = false;
            bytes += connection.session.process_backlog(now);
            self.collect(now, id);
            // It may accept bytes again.
            self.wakes.push_back(id);
        }
    }

    fn can_process_backlog(&self) -> bool {
        !self.backlog.is_empty() && self.queued_values <= self.config.queued_values_max
    }

    fn note_backlog(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id)
            && connection.session.has_backlog()
            && !std::mem::replace(&mut connection.has_backlog, true)
        {
            self.backlog.push_back(id);
        }
    }

    /// Whether to read from a connection now. If too many values wait for the ledger,
    /// [`Action::Wake`] names the connection once there are fewer.
    pub fn wants_bytes(&mut self, id: ConnectionId) -> bool {
        self.room(id) > 0
    }

    /// The most bytes to read from a connection now; 0 for the reasons of [`Self::wants_bytes`].
    pub fn room(&mut self, id: ConnectionId) -> usize {
        let is_full = self.queued_values > self.config.queued_values_max;
        let Some(connection) = self.connection_mut(id) else { return 0 };
        let room = connection.session.room();
        if room > 0 && is_full && !std::mem::replace(&mut connection.is_held, true) {
            self.held.push(id);
        }
        if is_full { 0 } else { room }
    }

    /// When a session last submitted values that was not submitting its first; initially the time
    /// of creation.
    pub fn traffic_at(&self) -> Instant {
        self.traffic_at
    }

    /// How far a connection has come.
    pub fn phase(&self, id: ConnectionId) -> Phase {
        match self.connection(id) {
            Some(connection) if !connection.is_evicted => connection.session.phase(),
            Some(_) | None => Phase::Done,
        }
    }

    /// When to call [`Self::handle_connection_timeout`] for a connection.
    pub fn connection_timeout(&self, id: ConnectionId) -> Option<Instant> {
        self.connection(id)?.session.poll_timeout()
    }

    /// The next action for the driver; `None` if there is none.
    ///
    /// Authorizations come first, since their answers cause requests; then work, requests, wakes,
    /// cancels and notices. So a driver receives all requests together, and a cancel after its
    /// work.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(request) = self.authorizations.pop_front() {
            return Some(Action::Authorize(request));
        }
        if let Some((id, work)) = self.next_work() {
            return Some(Action::Compute(id, work));
        }
        if let Some(request) = self.requests.pop_front() {
            return Some(Action::Commit(request));
        }
        if let Some(id) = self.wakes.pop_front() {
            return Some(Action::Wake(id));
        }
        if let Some(id) = self.cancels.pop_front() {
            return Some(Action::Cancel(id));
        }
        self.notices.pop_front().map(Action::Notify)
    }

    /// The oldest work whose result is still needed.
    fn next_work(&mut self) -> Option<(ConnectionId, SessionWork)> {
        loop {
            let (id, work) = self.work.pop_front()?;
            if self.connection(id).is_some_and(|connection| connection.admission.is_computing()) {
                return Some((id, work));
            }
        }
    }

    /// The network of a connection. Networks take turns in the handshake queue.
    pub(crate) fn network(&self, id: ConnectionId) -> Option<Network> {
        self.connection(id).map(|connection| connection.admission.network())
    }

    /// Finds the sessions that received nothing since the check before this one.
    fn find_idle(&mut self) {
        let Self { buffered, to_free, connections, .. } = self;
        buffered.retain(|id| {
            let connection = connections.get_mut(id.slot).filter(|connection| connection.id == *id);
            let Some(connection) = connection else { return false };
            connection.buffers = match connection.buffers {
                Buffers::Used => Buffers::Idle,
                Buffers::Idle | Buffers::Freed => {
                    to_free.push(*id);
                    Buffers::Freed
                }
            };
            connection.buffers != Buffers::Freed
        });
        // Freed, since it may never be as long again.
        if buffered.is_empty() {
            *buffered = Vec::new();
        }
    }

    /// Frees the buffers of some idle sessions. Freeing thousands at once would delay active ones.
    fn free_buffers(&mut self) {
        for id in self.to_free.split_off(self.to_free.len().saturating_sub(FREED_MAX)) {
            if let Some(connection) = self.connection_mut(id)
                && connection.buffers == Buffers::Freed
                && let AnySession::V2(session) = &mut connection.session
            {
                session.free_buffers();
            }
        }
        if self.to_free.is_empty() {
            self.to_free = Vec::new();
        }
    }

    /// The number of open connections.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The number of open connections whose clients have proved an identity or speak classic.
    pub fn proven(&self) -> usize {
        self.connections.len() - self.admission.unproven()
    }

    /// All connections with their sessions, as an operator sees them.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView> {
        self.connections.iter().map(|(_, connection)| SessionView {
            connection: connection.id,
            peer: connection.peer,
            admitted: connection.admitted.clone(),
            count: connection.standing.last_seq.get(),
            sum: connection.standing.sum,
            idle_at: connection.session.idle_at(),
        })
    }

    fn connection(&self, id: ConnectionId) -> Option<&EndpointConnection> {
        self.connections.get(id.slot).filter(|connection| connection.id == id)
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut EndpointConnection> {
        self.connections.get_mut(id.slot).filter(|connection| connection.id == id)
    }

    /// Calls `act` on a session, then collects the consequences.
    fn with(&mut self, now: Instant, id: ConnectionId, act: impl FnOnce(&mut AnySession)) {
        if let Some(connection) = self.connection_mut(id) {
            act(&mut connection.session);
            self.collect(now, id);
        }
    }

    fn notify(&mut self, id: ConnectionId, event: impl FnOnce() -> NoticeEvent) {
        if self.config.notices == Notices::Nothing {
            return;
        }
        let event = event();
        if !self.config.notices.include(&event) {
            return;
        }
        if let Some(EndpointConnection { peer, admitted, .. }) = self.connection(id) {
            let (peer, is_proven) = (*peer, admitted.is_some());
            self.notices.push_back(Notice { connection: id, peer, is_proven, event });
        }
    }

    /// Calls `act` on what admission holds of a connection; `None` if there is no such connection.
    fn with_admission<T>(
        &mut self,
        id: ConnectionId,
        act: impl FnOnce(&mut Admission, &mut AdmissionEntry) -> T,
    ) -> Option<T> {
        let Self { connections, admission, .. } = self;
        let connection = connections.get_mut(id.slot).filter(|connection| connection.id == id)?;
        Some(act(admission, &mut connection.admission))
    }

    /// Removes a connection from the counts of admission.
    fn leave(&mut self, id: ConnectionId) {
        if self.with_admission(id, Admission::leave) == Some(true) {
            self.cancels.push_back(id);
        }
    }

    /// A session ended: if it has work under way, cancels it.
    fn cancel_work(&mut self, id: ConnectionId) {
        if self.with_admission(id, Admission::finish) == Some(true) {
            self.cancels.push_back(id);
        }
    }
}

/// Converts the ledger's refusal into the session's.
fn refused(refusal: Refusal) -> v2::Refused {
    match refusal {
        Refusal::Gap { .. } => v2::Refused::Gap,
        Refusal::Malformed => v2::Refused::Malformed,
        Refusal::Superseded { .. } => v2::Refused::Superseded,
        Refusal::Unavailable => v2::Refused::Unavailable,
    }
}
