//! Many sessions, one ledger queue. No I/O, no clock, no randomness of its own.
//!
//! Whoever drives an endpoint hands every call's consequences on: [`Endpoint::poll_work`],
//! [`Endpoint::poll_request`], [`Endpoint::poll_wake`] and [`Endpoint::poll_notice`], each until
//! it gives `None`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ddes_ledger::{AccountId, Submission, Verdict};
use ddes_session::classic::{Done, End, Event, Reason, ServerConfig, ServerEntropy, ServerSession, Work};
use ddes_session::{Phase, Ticket};
use ddes_wire::classic::text;
use ddes_wire::frame::{Header, Opcode};
use ddes_wire::{Amount, Sequence, SessionNumber, Total};
use slab::Slab;

/// What bounds an endpoint.
#[derive(Clone, Debug)]
pub struct Config {
    /// Most connections at a time; one more is told so and closed.
    pub connections_max: usize,
    /// The classic profile.
    pub classic: ServerConfig,
}

/// One connection of this endpoint. Never given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    slot: usize,
    serial: u64,
}

impl ConnectionId {
    /// The number people see: 1 for the first connection, and so on.
    pub fn serial(self) -> u64 {
        self.serial
    }
}

/// Work for the ledger, in order.
#[derive(Debug)]
pub enum Request {
    /// Open an account.
    Open(AccountId),
    /// Count values, then give the verdict to [`Endpoint::handle_verdict`].
    Add {
        /// Whose they are.
        connection: ConnectionId,
        /// Right to one answer.
        ticket: Ticket,
        /// The values.
        submission: Submission,
    },
    /// Drop an account that ends with its session.
    Forget(AccountId),
}

/// Something a person may want to see.
#[derive(Debug)]
pub struct Notice {
    /// Where it happened.
    pub connection: ConnectionId,
    /// The client's address.
    pub peer: SocketAddr,
    /// What.
    pub event: NoticeEvent,
}

/// What happened in a session.
#[derive(Debug)]
pub enum NoticeEvent {
    /// A client connected.
    Connected,
    /// Its key was accepted.
    KeyVerified,
    /// It has its session token.
    TokenShared,
    /// An integer was authentic.
    Received {
        /// The integer.
        amount: Amount,
    },
    /// The sum went back.
    ResultSent {
        /// The sum.
        sum: Total,
    },
    /// A frame was authentic but did not decrypt.
    Tampered,
    /// A frame was ignored.
    Ignored {
        /// Its opcode.
        opcode: u32,
    },
    /// The session is over.
    Ended(End),
}

/// A session as an operator sees it.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Its number.
    pub connection: ConnectionId,
    /// The client's address.
    pub peer: SocketAddr,
    /// Integers counted.
    pub count: u64,
    /// Their sum.
    pub sum: Total,
    /// When its idle timer runs out; `None` before the token.
    pub idle_at: Option<Instant>,
}

/// No more connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{most} connections are open already")]
pub struct Full {
    /// The bound.
    pub most: usize,
}

impl Full {
    /// The frame that says so to the client (rule C-21).
    pub fn farewell(&self) -> Vec<u8> {
        let body = text::FULL.as_bytes();
        #[allow(clippy::cast_possible_truncation, reason = "a short constant text")]
        let header = Header { opcode: Opcode::Disconnect.number(), length: body.len() as u32 };
        [&header.encode(), body].concat()
    }
}

/// All sessions of one thread of the server.
#[derive(Debug)]
pub struct Endpoint {
    connections_max: usize,
    classic: Arc<ServerConfig>,
    connections: Slab<Connection>,
    serial: u64,
    work: VecDeque<(ConnectionId, Work)>,
    requests: VecDeque<Request>,
    wakes: VecDeque<ConnectionId>,
    notices: VecDeque<Notice>,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    peer: SocketAddr,
    session: ServerSession,
    account: Option<AccountId>,
    last_seq: Sequence,
    sum: Total,
}

impl Endpoint {
    /// An endpoint without connections.
    pub fn new(config: Config) -> Self {
        Self {
            connections_max: config.connections_max,
            classic: Arc::new(config.classic),
            connections: Slab::new(),
            serial: 0,
            work: VecDeque::new(),
            requests: VecDeque::new(),
            wakes: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// A client connected.
    pub fn accept(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        entropy: ServerEntropy,
    ) -> Result<ConnectionId, Full> {
        if self.connections.len() >= self.connections_max {
            return Err(Full { most: self.connections_max });
        }
        self.serial += 1;
        let slot = self.connections.vacant_entry();
        let id = ConnectionId { slot: slot.key(), serial: self.serial };
        let session = ServerSession::new(Arc::clone(&self.classic), now, entropy);
        slot.insert(Connection {
            id,
            peer,
            session,
            account: None,
            last_seq: Sequence::NONE,
            sum: Total::ZERO,
        });
        self.notices.push_back(Notice { connection: id, peer, event: NoticeEvent::Connected });
        self.collect(now, id);
        Ok(id)
    }

    /// Bytes from a client.
    pub fn handle_bytes(&mut self, now: Instant, id: ConnectionId, bytes: &[u8]) {
        self.with(now, id, |session| session.handle_bytes(now, bytes));
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
        self.with(now, id, |session| session.handle_done(now, done));
        self.wakes.push_back(id);
    }

    /// The ledger's answer to a [`Request::Add`].
    pub fn handle_verdict(&mut self, now: Instant, id: ConnectionId, ticket: Ticket, verdict: Verdict) {
        let Some(connection) = self.connection_mut(id) else { return };
        match verdict {
            Ok(receipt) => {
                let standing = receipt.standing();
                connection.sum = standing.sum;
                connection.session.settle(now, ticket, standing);
            }
            Err(_) => connection.session.refuse(now, ticket),
        }
        self.collect(now, id);
        self.wakes.push_back(id);
    }

    /// Ends every session.
    pub fn end_all(&mut self, now: Instant, reason: Reason) {
        let all: Vec<_> = self.connections.iter().map(|(_, connection)| connection.id).collect();
        for id in all {
            self.end(now, id, reason);
        }
    }

    /// Ends one session; whether there was one.
    pub fn end(&mut self, now: Instant, id: ConnectionId, reason: Reason) -> bool {
        let found = self.connection(id).is_some();
        self.with(now, id, |session| session.order_end(now, reason));
        self.wakes.push_back(id);
        found
    }

    /// The connection is closed; its slot is free again.
    pub fn remove(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |session| session.handle_reset(now));
        if self.connection(id).is_none() {
            return;
        }
        let connection = self.connections.remove(id.slot);
        if let Some(account) = connection.account {
            self.requests.push_back(Request::Forget(account));
        }
    }

    /// What to send on a connection.
    pub fn pending(&self, id: ConnectionId) -> &[u8] {
        self.connection(id).map_or(&[], |connection| connection.session.pending())
    }

    /// `count` bytes of [`Self::pending`] went out.
    pub fn sent(&mut self, now: Instant, id: ConnectionId, count: usize) {
        self.with(now, id, |session| session.sent(now, count));
    }

    /// Whether to read from a connection just now.
    pub fn wants_bytes(&self, id: ConnectionId) -> bool {
        self.connection(id).is_some_and(|connection| connection.session.wants_bytes())
    }

    /// How far a connection has come.
    pub fn phase(&self, id: ConnectionId) -> Phase {
        self.connection(id).map_or(Phase::Done, |connection| connection.session.phase())
    }

    /// When to call [`Self::handle_timeout`] for a connection.
    pub fn poll_timeout(&self, id: ConnectionId) -> Option<Instant> {
        self.connection(id)?.session.poll_timeout()
    }

    /// An exponentiation to run on any thread.
    pub fn poll_work(&mut self) -> Option<(ConnectionId, Work)> {
        self.work.pop_front()
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
            count: connection.last_seq.get(),
            sum: connection.sum,
            idle_at: connection.session.idle_at(),
        })
    }

    fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(id.slot).filter(|connection| connection.id == id)
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id.slot).filter(|connection| connection.id == id)
    }

    fn with(&mut self, now: Instant, id: ConnectionId, act: impl FnOnce(&mut ServerSession)) {
        if let Some(connection) = self.connection_mut(id) {
            act(&mut connection.session);
            self.collect(now, id);
        }
    }

    /// Hands on what a session has to say.
    fn collect(&mut self, now: Instant, id: ConnectionId) {
        let mut end_all = false;
        let Some(connection) = self.connections.get_mut(id.slot).filter(|connection| connection.id == id)
        else {
            return;
        };
        if let Some(work) = connection.session.poll_work() {
            self.work.push_back((id, work));
        }
        while let Some(event) = connection.session.poll_event() {
            let event = match event {
                Event::Submit { ticket, amount } => {
                    self.requests.extend(connection.submit(ticket, amount));
                    NoticeEvent::Received { amount }
                }
                Event::TokenShared => {
                    let account = AccountId::Classic(id.serial);
                    connection.account = Some(account);
                    self.requests.push_back(Request::Open(account));
                    NoticeEvent::TokenShared
                }
                Event::Ended(end) => {
                    end_all |= end == End::Bye && self.classic.end_all;
                    NoticeEvent::Ended(end)
                }
                Event::KeyVerified => NoticeEvent::KeyVerified,
                Event::Tampered => NoticeEvent::Tampered,
                Event::Ignored { opcode } => NoticeEvent::Ignored { opcode },
                Event::ResultSent { sum } => NoticeEvent::ResultSent { sum },
            };
            self.notices.push_back(Notice { connection: id, peer: connection.peer, event });
        }
        if end_all {
            self.end_all(now, Reason::EndAll);
        }
    }
}

impl Connection {
    /// A classic session is the only one of its account, so its number is always the first.
    fn submit(&mut self, ticket: Ticket, amount: Amount) -> Option<Request> {
        let first_seq = self.last_seq.forward(1).ok()?;
        self.last_seq = first_seq;
        let submission = Submission {
            account: self.account?,
            session: SessionNumber::new(1),
            first_seq,
            amounts: vec![amount],
        };
        Some(Request::Add { connection: self.id, ticket, submission })
    }
}
