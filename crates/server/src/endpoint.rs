//! Many sessions, one ledger queue. No I/O, no clock, no randomness of its own.
//!
//! Long because it is the one place where sessions and the ledger meet, and what each says to the other is read together.
//!
//! Whoever drives an endpoint hands every call's consequences on: [`Endpoint::poll_work`], [`Endpoint::poll_claim`],
//! [`Endpoint::poll_request`], [`Endpoint::poll_wake`] and [`Endpoint::poll_notice`], each until it gives `None`.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use ddes_identity::{Grant, PublicKey, Role};
use ddes_ledger::{AccountId, AccountNumber, Opening, Operation, Outcome, Refusal, Submission, Verdict};
use ddes_session::{Phase, Ticket, classic, v2};
use ddes_wire::classic::text;
use ddes_wire::frame::{Header, Opcode};
use ddes_wire::v2::{Reason, Rejection, Status};
use ddes_wire::{Amounts, Sequence, SessionNumber, Standing};
use slab::Slab;
use smallvec::smallvec;

pub use crate::admission::Bounds;
use crate::admission::{Admission, Declined, Place};
use crate::network::Network;
pub use crate::notice::{Admitted, Notice, NoticeEvent, SessionView};
pub use crate::session::{Classic, Done, Entropy, Order, Profiles, Work};
use crate::session::{Event, Session};

/// So many bytes of frames that wait are dealt with in a turn, beside what is read in it: less than a millisecond's work.
const BEHIND_BYTES: usize = 32 * 1024;

/// So many sessions let go of what they kept at a time: less than a millisecond.
const LET_GO_MAX: usize = 64;

/// What bounds an endpoint, and what it speaks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections, and what peers may do that have proven nothing; one too many is told so and closed (rule P-28).
    pub bounds: Bounds,
    /// Most values that wait for the ledger; beyond them nothing is read from any connection.
    pub queued_values_max: usize,
    /// Whether to tell of each integer and each sum: somebody looks at them.
    pub tells_values: bool,
    /// The first number that no classic account of the ledger had.
    pub classic_first: u64,
    /// The wires.
    pub profiles: Profiles,
}

/// One connection of this endpoint. Never given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    slot: usize,
    serial: u64,
}

impl ConnectionId {
    /// Where its endpoint keeps it; another connection's once it is removed.
    pub(crate) fn slot(self) -> usize {
        self.slot
    }

    #[cfg(test)]
    pub(crate) fn numbered(serial: u64) -> Self {
        Self { slot: 0, serial }
    }

    /// The number people see: 1 for the first connection, and so on.
    pub fn serial(self) -> u64 {
        self.serial
    }
}

/// An identity that is proven: say through [`Endpoint::handle_grant`] what it may do.
#[derive(Debug)]
pub struct Claim {
    /// Whose.
    pub connection: ConnectionId,
    /// Right to one answer.
    pub ticket: Ticket,
    /// The identity.
    pub key: PublicKey,
}

/// Work for the ledger, in order.
#[derive(Debug)]
pub struct Request {
    /// Whose it is, and the right to one answer, through [`Endpoint::handle_outcomes`]; nobody waits where there is none.
    pub to: Option<(ConnectionId, Ticket)>,
    /// What to do.
    pub operation: Operation,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The server is full.
    #[error("{most} connections are open already")]
    Connections {
        /// The bound.
        most: usize,
    },
    /// So it is of connections that have proven nothing, and all of them have begun a handshake.
    #[error("{most} connections have not proven an identity yet")]
    Unproven {
        /// The bound.
        most: usize,
    },
    /// The address is, or with IPv6 a network that it is in.
    #[error("{most} connections of this address have not proven an identity yet")]
    Address {
        /// The bound.
        most: usize,
    },
    /// The address comes too often.
    #[error("this address connects more than {most} times a second")]
    TooFast {
        /// The bound.
        most: u32,
    },
}

impl Full {
    /// The frame that says so to a client: of a D-DDES/2 server the 50 in the clear with reason 9 (rule P-23), else classic's (rule C-21).
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

/// All sessions of one thread of the server.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    connections: Slab<Connection>,
    serial: u64,
    /// The next classic account.
    classic_next: u64,
    admission: Admission,
    /// The newest session of each identity that has one.
    newest: HashMap<AccountNumber, ConnectionId>,
    /// Connections that keep something for a burst, or may: all but those with [`Stir::Resting`].
    stirred: Vec<ConnectionId>,
    /// Those that shall keep it no longer.
    tired: Vec<ConnectionId>,
    /// Values that wait for the ledger, and connections that are not read from because of them.
    queued_values: usize,
    held: Vec<ConnectionId>,
    /// Sessions that sent more than is dealt with at once; they go on in turn.
    behind: VecDeque<ConnectionId>,
    /// See [`Self::take_traffic`].
    has_traffic: bool,
    work: VecDeque<(ConnectionId, Work)>,
    /// Connections whose work was handed out, and that nobody waits for any more.
    cancels: VecDeque<ConnectionId>,
    claims: VecDeque<Claim>,
    requests: VecDeque<Request>,
    wakes: VecDeque<ConnectionId>,
    notices: VecDeque<Notice>,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    peer: SocketAddr,
    session: Session,
    admitted: Option<Admitted>,
    account: Option<AccountNumber>,
    number: SessionNumber,
    standing: Standing,
    place: Place,
    /// It had to go for another: told so, as far as its socket takes it at once, and closed.
    gives_way: bool,
    /// Among [`Endpoint::held`].
    is_held: bool,
    /// Has a verdict that its client was not told yet.
    has_heard: bool,
    /// Has sent values.
    is_at_work: bool,
    /// Among [`Endpoint::behind`].
    is_behind: bool,
    stir: Stir,
}

/// Whether a session keeps something for a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stir {
    /// Bytes came since the last look.
    Active,
    /// None came since the last look.
    Quiet,
    /// It keeps nothing.
    Resting,
}

impl Endpoint {
    /// An endpoint without connections.
    pub fn new(config: Config) -> Self {
        Self {
            classic_next: config.classic_first,
            admission: Admission::new(config.bounds.clone()),
            config,
            connections: Slab::new(),
            serial: 0,
            newest: HashMap::new(),
            stirred: Vec::new(),
            tired: Vec::new(),
            queued_values: 0,
            held: Vec::new(),
            behind: VecDeque::new(),
            has_traffic: false,
            work: VecDeque::new(),
            cancels: VecDeque::new(),
            claims: VecDeque::new(),
            requests: VecDeque::new(),
            wakes: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// A client connected.
    pub fn accept(&mut self, now: Instant, peer: SocketAddr, entropy: Entropy) -> Result<ConnectionId, Full> {
        let room = self.admission.admit(now, peer)?;
        if let Some(other) = room.gives_way {
            self.give_way(now, other);
        }
        self.serial += 1;
        let slot = self.connections.vacant_entry();
        let id = ConnectionId { slot: slot.key(), serial: self.serial };
        slot.insert(Connection {
            id,
            peer,
            session: Session::new(&self.config.profiles, now, entropy),
            admitted: None,
            account: None,
            number: SessionNumber::NONE,
            standing: Standing::default(),
            place: self.admission.enter(room, id),
            gives_way: false,
            is_held: false,
            has_heard: false,
            is_at_work: false,
            is_behind: false,
            stir: Stir::Resting,
        });
        let event = NoticeEvent::Connected;
        self.notices.push_back(Notice { connection: id, peer, is_proven: false, event });
        self.collect(now, id);
        Ok(id)
    }

    /// A connection goes for another that comes. It holds its slot until it is removed.
    fn give_way(&mut self, now: Instant, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id) {
            connection.gives_way = true;
        }
        self.leave(id);
        self.end(now, id, Order::TooMany);
    }

    /// Bytes from a client.
    pub fn handle_bytes(&mut self, now: Instant, id: ConnectionId, bytes: &[u8]) {
        if let Some(connection) = self.connection_mut(id) {
            let before = std::mem::replace(&mut connection.stir, Stir::Active);
            connection.session.handle_bytes(now, bytes);
            if before == Stir::Resting {
                self.stirred.push(id);
            }
            self.collect(now, id);
        }
    }

    /// A client shut down its direction.
    pub fn handle_eof(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |session| session.handle_eof(now));
    }

    /// A connection broke.
    pub fn handle_reset(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |session| session.handle_reset(now));
    }

    /// The clock reached [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |session| session.handle_timeout(now));
    }

    /// The result of [`Self::poll_work`].
    pub fn handle_done(&mut self, now: Instant, id: ConnectionId, done: Done) {
        self.place(id, Admission::finish);
        self.with(now, id, |session| session.handle_done(now, done));
        self.wakes.push_back(id);
    }

    /// What the identity of a [`Claim`] may do: nothing, or count.
    pub fn handle_grant(&mut self, now: Instant, claim: Claim, grant: Option<Grant>) {
        let Claim { connection: id, ticket, key } = claim;
        let Some(connection) = self.connection_mut(id) else { return };
        let Session::V2(session) = &mut connection.session else { return };
        // Whose peer is gone opens no session: it would end that of the client's next connection, or be ended by it.
        if !session.is_opening() {
            return;
        }
        match grant {
            Some(Grant { role, name, .. }) => {
                let admitted = Admitted { key, name, is_operator: role == Role::Operator };
                let account = AccountId::Identity(*key.as_bytes());
                connection.admitted = Some(admitted.clone());
                let event = NoticeEvent::Admitted(Box::new(admitted));
                self.requests
                    .push_back(Request { to: Some((id, ticket)), operation: Operation::Open(account) });
                self.notify(id, event);
                self.place(id, Admission::prove);
            }
            None => {
                session.turn_away(now, ticket);
                self.notify(id, NoticeEvent::TurnedAway { key });
            }
        }
        self.collect(now, id);
        self.wakes.push_back(id);
    }

    /// What the identity of an admitted session may do from now on.
    pub fn handle_regrant(&mut self, id: ConnectionId, grant: Grant) {
        let Some(connection) = self.connection_mut(id) else { return };
        let (Some(admitted), Session::V2(session)) = (&mut connection.admitted, &mut connection.session)
        else {
            return;
        };
        let now = Admitted { key: admitted.key, name: grant.name, is_operator: grant.role == Role::Operator };
        if now != *admitted {
            session.set_operator(now.is_operator);
            *admitted = now.clone();
            self.notify(id, NoticeEvent::Regranted(Box::new(now)));
        }
    }

    /// The ledger's answers to [`Request`]s. A client hears once of all that was counted together.
    pub fn handle_outcomes(
        &mut self,
        now: Instant,
        outcomes: impl IntoIterator<Item = (ConnectionId, Ticket, Outcome)>,
    ) {
        let mut heard = Vec::new();
        for (id, ticket, outcome) in outcomes {
            match outcome {
                Outcome::Opened(opening) => self.handle_opening(now, id, ticket, opening),
                Outcome::Decided(verdict) => self.handle_verdict(now, id, ticket, verdict),
                // Nobody waits for these.
                Outcome::Ended(_) => {}
            }
            if let Some(connection) = self.connection_mut(id)
                && !std::mem::replace(&mut connection.has_heard, true)
            {
                heard.push(id);
            }
        }
        for id in heard {
            let Some(connection) = self.connection_mut(id) else { continue };
            connection.has_heard = false;
            if let Session::V2(session) = &mut connection.session {
                session.tell(now);
            }
            self.collect(now, id);
            self.look_behind(id);
            self.wakes.push_back(id);
        }
    }

    /// The newest session of an account is the only one.
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
                self.end(now, older, Order::Superseded);
            }
            if self.connection(id).is_none() {
                self.newest.remove(&account);
            }
        }
        let Some(connection) = self.connection_mut(id) else { return };
        let Session::V2(session) = &mut connection.session else { return };
        match opening {
            Ok(Opening { account, session: number, proof }) => {
                connection.account = Some(account);
                connection.number = number;
                connection.standing = proof.standing();
                let is_operator = connection.admitted.as_ref().is_some_and(|admitted| admitted.is_operator);
                session.admit(now, ticket, number, proof.standing(), is_operator);
            }
            Err(Refusal::Unavailable) => {
                drop(ticket);
                connection.session.order_end(now, Order::LedgerUnavailable);
            }
            // Its session numbers are used up.
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
            (Session::Classic(session), Ok(proof)) => session.settle(now, ticket, proof.standing()),
            (Session::Classic(session), Err(_)) => session.refuse(now, ticket),
            (Session::V2(session), Ok(proof)) => session.note(ticket, Ok(proof.standing())),
            (Session::V2(session), Err(Refusal::Superseded { .. })) => {
                session.refuse(now, ticket, v2::Refused::Superseded);
            }
            (Session::V2(session), Err(refusal)) => session.note(ticket, Err(refused(refusal))),
            (Session::Undecided(_) | Session::Gone, _) => {}
        }
    }

    /// The ledger has done so many queued values.
    pub fn handle_done_values(&mut self, count: usize) {
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
    pub fn end_all(&mut self, now: Instant, order: Order, except: Option<ConnectionId>) {
        let all: Vec<_> = self.connections.iter().map(|(_, connection)| connection.id).collect();
        for id in all.into_iter().filter(|id| Some(*id) != except) {
            self.end(now, id, order);
        }
    }

    /// Ends one session; whether there was one.
    pub fn end(&mut self, now: Instant, id: ConnectionId, order: Order) -> bool {
        let found = self.connection(id).is_some();
        self.with(now, id, |session| session.order_end(now, order));
        self.wakes.push_back(id);
        found
    }

    /// The connection is closed; its slot is free again.
    pub fn remove(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |session| session.handle_reset(now));
        self.leave(id);
        if self.connection(id).is_none() {
            return;
        }
        let connection = self.connections.remove(id.slot);
        match connection.account {
            Some(account @ AccountNumber::Classic(_)) => {
                self.requests.push_back(Request { to: None, operation: Operation::End(account) });
            }
            Some(account @ AccountNumber::Identity(_)) if self.newest.get(&account) == Some(&id) => {
                self.newest.remove(&account);
            }
            Some(AccountNumber::Identity(_)) | None => {}
        }
    }

    /// What to send on a connection.
    pub fn pending(&self, id: ConnectionId) -> &[u8] {
        self.connection(id).map_or(&[], |connection| connection.session.pending())
    }

    /// `count` bytes of [`Self::pending`] went out.
    pub fn sent(&mut self, now: Instant, id: ConnectionId, count: usize) {
        self.with(now, id, |session| session.sent(now, count));
        self.look_behind(id);
    }

    /// Deals with frames that sessions had sent too many of at once, each in its turn and all together little: who sends much keeps nobody waiting who sends little.
    pub fn go_on(&mut self, now: Instant) {
        let mut bytes = 0;
        while bytes < BEHIND_BYTES && self.can_go_on() {
            let Some(id) = self.behind.pop_front() else { return };
            let Some(connection) = self.connection_mut(id) else { continue };
            connection.is_behind = false;
            bytes += connection.session.go_on(now);
            self.collect(now, id);
            // It may be read again.
            self.wakes.push_back(id);
        }
    }

    /// Whether [`Self::go_on`] has something to do now.
    pub fn can_go_on(&self) -> bool {
        !self.behind.is_empty() && self.queued_values <= self.config.queued_values_max
    }

    fn look_behind(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id)
            && connection.session.has_more()
            && !std::mem::replace(&mut connection.is_behind, true)
        {
            self.behind.push_back(id);
        }
    }

    /// Whether to read from a connection just now. Where it is too much for the ledger, the connection is woken when it is not.
    pub fn wants_bytes(&mut self, id: ConnectionId) -> bool {
        self.room(id) > 0
    }

    /// How many bytes to read from it at a time just now.
    pub fn room(&mut self, id: ConnectionId) -> usize {
        let is_full = self.queued_values > self.config.queued_values_max;
        let Some(connection) = self.connection_mut(id) else { return 0 };
        let room = connection.session.room();
        if room > 0 && is_full && !std::mem::replace(&mut connection.is_held, true) {
            self.held.push(id);
        }
        if is_full { 0 } else { room }
    }

    /// Whether, since this was asked last, a session sent values that had counted some before: whether there is traffic to be in the way of.
    pub fn take_traffic(&mut self) -> bool {
        std::mem::take(&mut self.has_traffic)
    }

    /// How far a connection has come.
    pub fn phase(&self, id: ConnectionId) -> Phase {
        match self.connection(id) {
            Some(connection) if !connection.gives_way => connection.session.phase(),
            Some(_) | None => Phase::Done,
        }
    }

    /// When to call [`Self::handle_timeout`] for a connection.
    pub fn poll_timeout(&self, id: ConnectionId) -> Option<Instant> {
        self.connection(id)?.session.poll_timeout()
    }

    /// An exponentiation to run on any thread.
    pub fn poll_work(&mut self) -> Option<(ConnectionId, Work)> {
        loop {
            let (id, work) = self.work.pop_front()?;
            if self.connection(id).is_some_and(|connection| connection.place.is_computing()) {
                return Some((id, work));
            }
        }
    }

    /// A connection for whose work, handed out before, nobody waits any more: it is gone, or its time is up. Skip it.
    pub fn poll_cancel(&mut self) -> Option<ConnectionId> {
        self.cancels.pop_front()
    }

    /// Where a connection comes from: what waits for a thread waits in turn with other networks' work.
    pub(crate) fn network(&self, id: ConnectionId) -> Option<Network> {
        self.connection(id).map(|connection| connection.place.network())
    }

    /// An identity to look up.
    pub fn poll_claim(&mut self) -> Option<Claim> {
        self.claims.pop_front()
    }

    /// Work for the ledger.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// A connection whose state changed by another's doing: look at it again.
    pub fn poll_wake(&mut self) -> Option<ConnectionId> {
        self.wakes.pop_front()
    }

    /// Something to show.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Sessions that were quiet since this was called last shall keep nothing for bursts any more ([`Self::let_go`]), and addresses that keep to their rates are forgotten.
    pub fn rest(&mut self, now: Instant) {
        self.admission.forget(now);
        let Self { stirred, tired, connections, .. } = self;
        stirred.retain(|id| {
            let connection = connections.get_mut(id.slot).filter(|connection| connection.id == *id);
            let Some(connection) = connection else { return false };
            connection.stir = match connection.stir {
                Stir::Active => Stir::Quiet,
                Stir::Quiet | Stir::Resting => {
                    tired.push(*id);
                    Stir::Resting
                }
            };
            connection.stir != Stir::Resting
        });
        // As many as stirred at a time once may never again.
        if stirred.is_empty() {
            *stirred = Vec::new();
        }
    }

    /// Some of those sessions let go of it; whether there are more. Thousands at once would keep the others waiting.
    pub fn let_go(&mut self) -> bool {
        for id in self.tired.split_off(self.tired.len().saturating_sub(LET_GO_MAX)) {
            if let Some(connection) = self.connection_mut(id)
                && connection.stir == Stir::Resting
                && let Session::V2(session) = &mut connection.session
            {
                session.rest();
            }
        }
        if self.tired.is_empty() {
            self.tired = Vec::new();
        }
        !self.tired.is_empty()
    }

    /// How many connections are open.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// All sessions.
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

    fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(id.slot).filter(|connection| connection.id == id)
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id.slot).filter(|connection| connection.id == id)
    }

    /// Acts on a session; whatever happened is collected.
    fn with(&mut self, now: Instant, id: ConnectionId, act: impl FnOnce(&mut Session)) {
        if let Some(connection) = self.connection_mut(id) {
            act(&mut connection.session);
            self.collect(now, id);
        }
    }

    fn notify(&mut self, id: ConnectionId, event: NoticeEvent) {
        if event.is_of_values() && !self.config.tells_values {
            return;
        }
        if let Some(Connection { peer, admitted, .. }) = self.connection(id) {
            let (peer, is_proven) = (*peer, admitted.is_some());
            self.notices.push_back(Notice { connection: id, peer, is_proven, event });
        }
    }

    /// Acts on a connection's place; `None` where there is no such connection.
    fn place<T>(&mut self, id: ConnectionId, act: impl FnOnce(&mut Admission, &mut Place) -> T) -> Option<T> {
        let Self { connections, admission, .. } = self;
        let connection = connections.get_mut(id.slot).filter(|connection| connection.id == id)?;
        Some(act(admission, &mut connection.place))
    }

    /// A connection counts no more.
    fn leave(&mut self, id: ConnectionId) {
        if self.place(id, Admission::leave) == Some(true) {
            self.cancels.push_back(id);
        }
    }

    /// A session is over: its work, if any is under way, is of no use.
    fn call_back(&mut self, id: ConnectionId) {
        if self.place(id, Admission::finish) == Some(true) {
            self.cancels.push_back(id);
        }
    }

    /// Hands on what a session has to say.
    fn collect(&mut self, now: Instant, id: ConnectionId) {
        loop {
            let Some(connection) = self.connection_mut(id) else { return };
            if let Some(work) = connection.session.poll_work() {
                self.hand_out(now, id, work);
                continue;
            }
            let Some(event) = connection.session.poll_event() else { return };
            let event = match event {
                Event::Classic(event) => self.handle_classic(now, id, event),
                Event::V2(event) => self.handle_v2(now, id, event),
            };
            if let Some(event) = event {
                self.notify(id, event);
            }
        }
    }

    /// The first work of a session begins its handshake, where its address may begin one.
    fn hand_out(&mut self, now: Instant, id: ConnectionId, work: Work) {
        let begun = self.place(id, |admission, place| {
            match work {
                // The classic server speaks first.
                Work::Classic(_) => {}
                Work::V2(_) => admission.hear(place),
            }
            admission.begin(now, place, work.cost())
        });
        let Some(connection) = self.connection_mut(id) else { return };
        match begun {
            Some(Ok(())) => self.work.push_back((id, work)),
            Some(Err(Declined::TooFast(most))) => connection.session.decline(now, most),
            Some(Err(Declined::TooMany)) => connection.session.order_end(now, Order::TooMany),
            None => {}
        }
    }

    fn handle_classic(
        &mut self,
        now: Instant,
        id: ConnectionId,
        event: classic::Event,
    ) -> Option<NoticeEvent> {
        Some(match event {
            classic::Event::Submit { ticket, amount } => {
                self.open_classic(id)?;
                let connection = self.connection_mut(id)?;
                // The number after the last asked for; the ledger has the last word.
                let first_seq = connection.standing.last_seq.forward(1).ok()?;
                let request = connection.submit(ticket, first_seq, smallvec![amount])?;
                self.requests.push_back(request);
                self.queued_values += 1;
                NoticeEvent::Received { first: amount, count: 1 }
            }
            classic::Event::TokenShared => NoticeEvent::TokenShared,
            classic::Event::Ended(end) => {
                let ends_all = |classic: &Classic| classic.config.end_all;
                if end == classic::End::Bye && self.config.profiles.classic.as_ref().is_some_and(ends_all) {
                    self.end_all(now, Order::ClassicEndAll, Some(id));
                }
                self.call_back(id);
                NoticeEvent::ClassicEnded(end)
            }
            classic::Event::KeyVerified => {
                if !self.place(id, Admission::turn_classic)? {
                    self.connection_mut(id)?.session.order_end(now, Order::TooMany);
                }
                NoticeEvent::KeyVerified
            }
            classic::Event::Tampered => NoticeEvent::Tampered,
            classic::Event::Ignored { opcode } => NoticeEvent::Ignored { opcode },
            classic::Event::ResultSent { sum } => NoticeEvent::ResultSent { status: Status::Applied, sum },
        })
    }

    /// A classic account opens with its session's first integer: a session without one writes nothing.
    fn open_classic(&mut self, id: ConnectionId) -> Option<()> {
        let number = self.classic_next;
        let connection = self.connection_mut(id)?;
        if connection.account.is_none() {
            connection.account = Some(AccountNumber::Classic(number));
            // The only session of its account.
            connection.number = SessionNumber::new(1);
            // In the order in which they open, not in that of their connections: numbers only ascend.
            self.classic_next = number.saturating_add(1);
            let operation = Operation::Open(AccountId::Classic(number));
            self.requests.push_back(Request { to: None, operation });
        }
        Some(())
    }

    fn handle_v2(&mut self, now: Instant, id: ConnectionId, event: v2::Event) -> Option<NoticeEvent> {
        Some(match event {
            v2::Event::Authenticated { ticket, key } => {
                self.claims.push_back(Claim { connection: id, ticket, key: *key });
                return None;
            }
            v2::Event::TokenShared => NoticeEvent::TokenShared,
            v2::Event::Submit { ticket, first_seq, amounts } => {
                let (first, count) = (*amounts.first()?, amounts.len());
                let connection = self.connection_mut(id)?;
                let is_at_work = std::mem::replace(&mut connection.is_at_work, true);
                let request = connection.submit(ticket, first_seq, amounts)?;
                self.has_traffic |= is_at_work;
                self.requests.push_back(request);
                self.queued_values += count;
                NoticeEvent::Received { first, count }
            }
            v2::Event::Answered(answer) => NoticeEvent::ResultSent { status: answer.status, sum: answer.sum },
            v2::Event::EndAll => {
                self.end_all(now, Order::Operator, Some(id));
                return None;
            }
            v2::Event::Ended(end) => {
                self.call_back(id);
                NoticeEvent::Ended(end)
            }
        })
    }
}

impl Connection {
    fn submit(&self, ticket: Ticket, first_seq: Sequence, amounts: Amounts) -> Option<Request> {
        let (account, session) = (self.account?, self.number);
        let submission = Submission { account, session, first_seq, amounts };
        Some(Request { to: Some((self.id, ticket)), operation: Operation::Add(submission) })
    }
}

/// The ledger's words in the session's.
fn refused(refusal: Refusal) -> v2::Refused {
    match refusal {
        Refusal::Gap { .. } => v2::Refused::Gap,
        Refusal::Malformed => v2::Refused::Malformed,
        Refusal::Superseded { .. } => v2::Refused::Superseded,
        Refusal::Unavailable => v2::Refused::Unavailable,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Duration;

    use ddes_identity::SigningKey;
    use zeroize::Zeroizing;

    use super::*;

    pub(crate) fn profiles() -> Profiles {
        let second = Duration::from_secs(1);
        let suite = ddes_wire::v2::Suite::Ddes(ddes_wire::v2::GroupSize::Bits2048);
        let (suites, key) = (vec![suite], SigningKey::from_seed(&[1; 32]));
        let v2 = v2::ServerConfig { suites, key, idle: second, handshake: second, values_max: 1 };
        Profiles { v2: Arc::new(v2), classic: None }
    }

    /// Of a connection that has sent a first message.
    pub(crate) fn first_work() -> Work {
        let (mut endpoint, now) = (endpoint(), Instant::now());
        let id = accept(&mut endpoint, now);
        let hello = [&[0, 0, 0, 10, 0, 0, 1, 2, 2, 2][..], &[3; 256]].concat();
        endpoint.handle_bytes(now, id, &hello);
        endpoint.poll_work().unwrap().1
    }

    fn accept(endpoint: &mut Endpoint, now: Instant) -> ConnectionId {
        let entropy = Entropy {
            exponent: Zeroizing::new([0; _]),
            kem: Zeroizing::new([0; _]),
            token: Zeroizing::new([0; _]),
        };
        endpoint.accept(now, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), entropy).unwrap()
    }

    fn endpoint() -> Endpoint {
        Endpoint::new(Config {
            bounds: Bounds::of(9),
            queued_values_max: 9,
            tells_values: false,
            classic_first: 0,
            profiles: profiles(),
        })
    }

    #[test]
    fn only_connections_that_stirred_are_looked_at_until_they_rest() {
        let (mut endpoint, now) = (endpoint(), Instant::now());
        let accept = |endpoint: &mut Endpoint| accept(endpoint, now);
        let [first, second, _silent] = [0; 3].map(|_| accept(&mut endpoint));
        // A part of a header ends nothing.
        endpoint.handle_bytes(now, first, &[0]);
        endpoint.rest(now);
        endpoint.handle_bytes(now, second, &[0]);
        endpoint.handle_bytes(now, second, &[0]);
        assert_eq!(endpoint.stirred, [first, second]);
        endpoint.rest(now);
        assert_eq!(endpoint.stirred, [second]);
        endpoint.handle_bytes(now, first, &[0]);
        endpoint.rest(now);
        assert_eq!(endpoint.stirred, [first]);
        // Who comes into the slot of one that is gone is somebody else.
        endpoint.remove(now, first);
        let third = accept(&mut endpoint);
        endpoint.handle_bytes(now, third, &[0]);
        endpoint.rest(now);
        assert_eq!(endpoint.stirred, [third]);
    }
}
