//! The server's side of one D-DDES/2 session.
//!
//! Long because it is one state machine whose inputs and one way to end are read together. The
//! states of the handshake are in `server/handshake.rs`.

mod handshake;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_cipher::LimitError;
use ddes_identity::{PublicKey, SigningKey};
use ddes_wire::frame::{Frame, Opcode};
use ddes_wire::v2::{
    BODY_MAX, Data, Farewell, Outcome as Answer, Reason, Rejection, Scope, Status, Suite, Welcome,
};
use ddes_wire::{Amounts, Sequence, SessionNumber, Standing, Token, Total, saturating};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::end::{Fault, Refused, ServerEnd};
use super::noise::Entropy;
use super::record::RecordLayer;
use super::work::{HandshakeDone, HandshakeJob, HandshakeOutcome, HandshakeWork};
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::tap::{Direction, SeenFrames};
use crate::{DRAIN_MAX, Phase, Ticket};
pub use handshake::FIRST_BYTES_MAX;
use handshake::{AwaitHello, AwaitOpening, Handshake, KeyedHandshake};

/// The most submissions of one session that wait for the ledger. At this number the session
/// processes no further frame.
pub const SUBMISSIONS_MAX: usize = 64;

/// The age at which a session ends. The client connects again, with fresh keys.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings that all D-DDES/2 sessions of a server share.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The suites that clients may use.
    pub suites: Vec<Suite>,
    /// The signing key of the server's identity.
    pub key: SigningKey,
    /// A session ends after this long without a counted value.
    pub idle: Duration,
    /// The longest time from the connection to a verified message 4.
    pub handshake: Duration,
    /// The most values that one 30 may hold.
    pub values_max: u16,
}

/// The randomness of one session, drawn by the caller.
pub struct ServerEntropy {
    /// Randomness for the handshake.
    pub noise: Entropy,
    /// The bytes of the session token.
    pub token: Zeroizing<[u8; Token::BYTES]>,
}

/// What happened in a session.
#[derive(Debug)]
pub enum ServerEvent {
    /// The client proved that it holds this key. Answer with [`ServerSession::admit`] or
    /// [`ServerSession::turn_away`].
    Authenticated {
        /// The right to answer it, once.
        ticket: Ticket,
        /// The client's key. Boxed to keep events small, since every session keeps memory for one.
        key: Box<PublicKey>,
    },
    /// The 20 is to be sent; the idle timer runs.
    TokenShared,
    /// The client submitted these values. Give the ledger's verdict to
    /// [`ServerSession::handle_verdict`]; [`ServerSession::flush_answers`] then answers the client.
    Submit {
        /// The right to answer it, once.
        ticket: Ticket,
        /// The number of the first value.
        first_seq: Sequence,
        /// The submitted values, at least one.
        amounts: Amounts,
    },
    /// A 40 is to be sent to the client.
    Answered(Answer),
    /// An operator asked to end every session of this server.
    EndAll,
    /// The session is over.
    Ended(ServerEnd),
}

/// One D-DDES/2 session, seen from the server.
#[derive(Debug)]
pub struct ServerSession {
    config: Arc<ServerConfig>,
    state: ServerState,
    inbound: Inbound,
    outbound: Outbound,
    events: VecDeque<ServerEvent>,
    work: Option<HandshakeJob>,
    /// The client shut down its direction.
    at_end: bool,
    tickets: u64,
}

#[derive(Debug)]
enum ServerState {
    Handshake(Handshake),
    Open(Box<EstablishedSession>),
    Draining { until: Instant },
    Done,
}

impl ServerState {
    /// The state of the handshake, for a transition that consumes it and sets the next state.
    fn take_handshake(&mut self) -> Option<Handshake> {
        match std::mem::replace(self, Self::Done) {
            Self::Handshake(handshake) => Some(handshake),
            other @ (Self::Open(_) | Self::Draining { .. } | Self::Done) => {
                *self = other;
                None
            }
        }
    }
}

#[derive(Debug)]
struct EstablishedSession {
    records: RecordLayer,
    token: Token,
    is_operator: bool,
    idle_at: Instant,
    old_at: Instant,
    standing: Standing,
    /// Submissions without an answer so far, oldest first.
    waiting: VecDeque<PendingSubmission>,
    /// How the session ends once all submissions are answered.
    leaving: Option<ServerEnd>,
}

#[derive(Debug)]
struct PendingSubmission {
    ticket: u64,
    verdict: Option<Result<Standing, Status>>,
}

impl ServerSession {
    /// Begins a session on an accepted connection. The client sends first.
    pub fn new(config: Arc<ServerConfig>, now: Instant, entropy: ServerEntropy) -> Self {
        let deadline = now + config.handshake;
        let token = Token::new(*entropy.token);
        let first = Handshake::Hello(AwaitHello { entropy: entropy.noise, token, deadline });
        Self {
            config,
            state: ServerState::Handshake(first),
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            // Mostly one at a time; it grows where there are more.
            events: VecDeque::with_capacity(1),
            work: None,
            at_end: false,
            tickets: 0,
        }
    }

    /// Whether the session accepts bytes now. While it does not, do not read the socket.
    pub fn wants_bytes(&self) -> bool {
        self.room() > 0
    }

    /// How many bytes the session accepts now: read at most this many from the socket. Before the
    /// client's proof this is what the handshake can hold (rule P-17).
    pub fn room(&self) -> usize {
        let can_take = match self.state {
            ServerState::Draining { .. } => true,
            ServerState::Done => false,
            ServerState::Handshake(_) | ServerState::Open(_) => {
                !self.at_end
                    && self.inbound.has_room()
                    && self.outbound.has_room()
                    && !self.has_backlog()
            }
        };
        match self.handshake_bytes_max() {
            _ if !can_take => 0,
            None => usize::MAX,
            Some(most) => most.saturating_sub(self.inbound.waiting().len()),
        }
    }

    /// Bytes from the client, in pieces of any size. Before the client's proof, more bytes than the
    /// handshake can hold end the session.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.is_over() {
            let waiting = self.inbound.waiting().len();
            let room =
                self.handshake_bytes_max().map_or(rest.len(), |most| most.saturating_sub(waiting));
            let (taken, later) = rest.split_at(room.min(rest.len()));
            self.inbound.push(taken);
            self.advance(now);
            let is_too_much = self.handshake_bytes_max().is_some_and(|most| {
                let waiting = self.inbound.waiting().len();
                waiting > most || (waiting == most && !later.is_empty())
            });
            if is_too_much {
                return self.end(now, ServerEnd::Fault(Fault::Early));
            }
            if later.is_empty() {
                return;
            }
            rest = later;
        }
    }

    /// The client shut down its direction, or the connection broke. A client without a 20 can no
    /// longer send a value, so no session opens for it.
    pub fn handle_eof(&mut self, now: Instant) {
        self.at_end = true;
        match &self.state {
            ServerState::Handshake(handshake) if !handshake.awaits_client() => {
                self.end(now, ServerEnd::Fault(Fault::Truncated));
            }
            ServerState::Handshake(_)
            | ServerState::Open(_)
            | ServerState::Draining { .. }
            | ServerState::Done => {
                self.advance(now);
            }
        }
    }

    /// Whether the identity of [`ServerEvent::Authenticated`] still waits for its answer.
    pub fn is_opening(&self) -> bool {
        matches!(self.state, ServerState::Handshake(Handshake::Opening(_)))
    }

    /// The connection broke: nothing can be sent any more.
    pub fn handle_reset(&mut self, now: Instant) {
        if !self.is_over() {
            self.end(now, self.cut_off());
        }
        self.outbound.clear();
        self.state = ServerState::Done;
    }

    /// The clock reached [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outbound.poll_timeout().is_some_and(|at| at <= now) {
            self.outbound.clear();
            if self.is_over() {
                self.state = ServerState::Done;
            } else {
                self.end(now, ServerEnd::Fault(Fault::TakesNothing));
            }
        }
        let is_due = self.state_timeout().is_some_and(|at| at <= now);
        match &mut self.state {
            ServerState::Handshake(_) if is_due => {
                self.end(now, ServerEnd::Fault(Fault::HandshakeTimeout));
            }
            ServerState::Open(open) if is_due => {
                let end = if open.old_at <= now { ServerEnd::TooOld } else { ServerEnd::Idle };
                open.leaving.get_or_insert(end);
                self.leave(now);
            }
            ServerState::Draining { .. } if is_due => self.state = ServerState::Done,
            ServerState::Handshake(_)
            | ServerState::Open(_)
            | ServerState::Draining { .. }
            | ServerState::Done => {}
        }
    }

    /// When the idle timer runs out; `None` before the 20.
    pub fn idle_at(&self) -> Option<Instant> {
        match &self.state {
            ServerState::Open(open) => Some(open.idle_at),
            ServerState::Handshake(_) | ServerState::Draining { .. } | ServerState::Done => None,
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.state_timeout().into_iter().chain(self.outbound.poll_timeout()).min()
    }

    /// The next computation of the handshake. Give its result to [`Self::handle_done`].
    pub fn poll_work(&mut self) -> Option<HandshakeWork> {
        self.work.take().map(HandshakeWork)
    }

    /// Continues the handshake with the result of [`Self::poll_work`].
    pub fn handle_done(&mut self, now: Instant, done: HandshakeDone) {
        if let Some(handshake) = self.state.take_handshake() {
            let (handshake, outcome) = self.after_work(now, handshake, done.0);
            self.state = ServerState::Handshake(handshake);
            if let Err(fault) = outcome {
                self.end(now, ServerEnd::Fault(fault));
            }
        }
        self.advance(now);
    }

    /// The handshake's next state after a computation, or the fault that it found.
    fn after_work(
        &mut self,
        now: Instant,
        handshake: Handshake,
        outcome: HandshakeOutcome,
    ) -> (Handshake, Result<(), Fault>) {
        match (handshake, outcome) {
            (Handshake::Response(state), HandshakeOutcome::Responded(Ok(answer))) => {
                let (response, proof) = *answer;
                let (state, sent) = state.send(now, &response, &proof, &mut self.outbound);
                (Handshake::Proof(state), sent.map_err(Fault::from))
            }
            (state @ Handshake::Response(_), HandshakeOutcome::Responded(Err(error))) => {
                (state, Err(error.into()))
            }
            (Handshake::Verification(state), HandshakeOutcome::Verified(Some(key))) => {
                self.tickets += 1;
                let (ticket, key) = (Ticket(self.tickets), Box::new(key));
                self.events.push_back(ServerEvent::Authenticated { ticket, key });
                (Handshake::Opening(state.prove(self.tickets)), Ok(()))
            }
            (state @ Handshake::Verification(_), HandshakeOutcome::Verified(None)) => {
                (state, Err(Fault::Proof))
            }
            // A session gives out no other computation in these states.
            (state, _) => (state, Ok(())),
        }
    }

    /// What to send next; empty if nothing.
    pub fn pending(&self) -> &[u8] {
        self.outbound.pending()
    }

    /// `count` bytes of [`Self::pending`] went out. Frames that waited for this are processed by
    /// [`Self::process_backlog`].
    pub fn sent(&mut self, now: Instant, count: usize) {
        self.outbound.sent(now, count);
        self.free_handshake_buffers();
    }

    /// Whether [`Self::process_backlog`] has something to do: a received frame, or the stream's
    /// end, can be processed now.
    pub fn has_backlog(&self) -> bool {
        self.body_max()
            .is_some_and(|most| self.at_end || !matches!(self.inbound.frame(most), Ok(None)))
    }

    /// Processes the received frames that waited for [`Self::sent`] or [`Self::flush_answers`], as
    /// far as the bounds allow. Returns the number of bytes processed.
    pub fn process_backlog(&mut self, now: Instant) -> usize {
        let before = self.inbound.waiting().len();
        self.advance(now);
        before.saturating_sub(self.inbound.waiting().len())
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// Begins to keep the session's frames for [`Self::take_frames`], or ends that.
    pub fn set_traced(&mut self, is_traced: bool) {
        self.outbound.tap.set_traced(is_traced);
    }

    /// The frames of a traced session since this was called last.
    pub fn take_frames(&mut self) -> SeenFrames {
        self.outbound.tap.take()
    }

    /// How far the connection has come.
    pub fn phase(&self) -> Phase {
        match self.state {
            ServerState::Done => Phase::Done,
            ServerState::Draining { .. } if self.at_end && self.outbound.is_empty() => Phase::Done,
            ServerState::Draining { .. } => Phase::Draining,
            ServerState::Handshake(_) | ServerState::Open(_) => Phase::Live,
        }
    }

    /// Sets whether the identity of an open session may end all sessions (rule P-22).
    pub fn set_operator(&mut self, may: bool) {
        if let ServerState::Open(open) = &mut self.state {
            open.is_operator = may;
        }
    }

    /// Sends the 20 (rule P-10): the identity of [`ServerEvent::Authenticated`] is authorized, and
    /// `session` is durable.
    pub fn admit(
        &mut self,
        now: Instant,
        ticket: Ticket,
        session: SessionNumber,
        standing: Standing,
        is_operator: bool,
    ) {
        let number = ticket.redeem();
        match self.state.take_handshake() {
            Some(Handshake::Opening(AwaitOpening { keyed, ticket })) if ticket == number => {
                self.open(now, *keyed, session, standing, is_operator);
            }
            Some(handshake) => self.state = ServerState::Handshake(handshake),
            None => {}
        }
        self.advance(now);
    }

    /// Sends the 20 and starts the idle timer.
    fn open(
        &mut self,
        now: Instant,
        keyed: KeyedHandshake,
        session: SessionNumber,
        standing: Standing,
        is_operator: bool,
    ) {
        let KeyedHandshake { mut records, token } = keyed;
        let welcome = Welcome {
            token: token.clone(),
            session,
            standing,
            idle_millis: saturating::to_u32(saturating::millis(self.config.idle)),
            values_max: self.config.values_max,
        };
        let welcome = Zeroizing::new(welcome.encode());
        let sent =
            self.outbound.push_record(now, &mut records.sealer, Opcode::SessionToken, &welcome);
        self.state = ServerState::Open(Box::new(EstablishedSession {
            records,
            token,
            is_operator,
            idle_at: now + self.config.idle,
            old_at: now + AGE_MAX,
            standing,
            waiting: VecDeque::with_capacity(1),
            leaving: None,
        }));
        match sent {
            Ok(()) => self.events.push_back(ServerEvent::TokenShared),
            Err(error) => self.end(now, ServerEnd::Fault(error.into())),
        }
    }

    /// Ends the session: the identity of [`ServerEvent::Authenticated`] is not authorized. The
    /// client receives the same 50 as for a false proof (rule P-19).
    pub fn turn_away(&mut self, now: Instant, ticket: Ticket) {
        let number = ticket.redeem();
        if let ServerState::Handshake(Handshake::Opening(opening)) = &self.state
            && opening.ticket == number
        {
            self.end(now, ServerEnd::Fault(Fault::NotAuthorized));
        }
    }

    /// The ledger's verdict on the submission of `ticket`: durably counted, or refused.
    /// [`Self::flush_answers`] answers several verdicts at once. A superseded session ends
    /// immediately.
    pub fn handle_verdict(
        &mut self,
        now: Instant,
        ticket: Ticket,
        verdict: Result<Standing, Refused>,
    ) {
        let number = ticket.redeem();
        let verdict = match verdict {
            Ok(standing) => Ok(standing),
            Err(Refused::Gap) => Err(Status::Gap),
            Err(Refused::Malformed) => Err(Status::Malformed),
            Err(Refused::Unavailable) => Err(Status::Unavailable),
            Err(Refused::Superseded) => return self.order_end(now, Reason::Superseded, true),
        };
        let ServerState::Open(open) = &mut self.state else { return };
        // Tickets are numbered without a gap, so the difference is the index.
        let at = open.waiting.front().and_then(|first| number.checked_sub(first.ticket));
        let waiting = at.and_then(|at| open.waiting.get_mut(usize::try_from(at).ok()?));
        if let Some(waiting) = waiting.filter(|waiting| waiting.ticket == number) {
            waiting.verdict = Some(verdict);
        }
    }

    /// Answers the decided submissions, in their order: one 40 for consecutive ones that were
    /// counted, since `last_seq` covers them (rule P-12), and one for each refusal. Frames that
    /// waited for this are processed by [`Self::process_backlog`].
    pub fn flush_answers(&mut self, now: Instant) {
        let ServerState::Open(open) = &mut self.state else { return };
        while let Some(verdict) = open.waiting.front().and_then(|waiting| waiting.verdict) {
            open.waiting.pop_front();
            let status = match verdict {
                Ok(standing) => {
                    open.standing = standing;
                    open.idle_at = now + self.config.idle;
                    if open.waiting.front().is_some_and(|next| matches!(next.verdict, Some(Ok(_))))
                    {
                        // The next submission's 40 covers this one.
                        continue;
                    }
                    Status::Applied
                }
                Err(status) => status,
            };
            let answer = open.answer(status);
            let sealer = &mut open.records.sealer;
            match self.outbound.push_record(now, sealer, Opcode::EncryptedResult, &answer.encode())
            {
                Ok(()) => self.events.push_back(ServerEvent::Answered(answer)),
                Err(error) => return self.end(now, ServerEnd::Fault(error.into())),
            }
        }
        self.leave(now);
    }

    /// Frees precomputed keystream and empty buffers. The driver calls this for idle sessions.
    pub fn free_buffers(&mut self) {
        if let ServerState::Open(open) = &mut self.state {
            open.records.free_buffers();
            open.waiting.shrink_to(0);
        }
        self.inbound.free_buffers();
        self.outbound.free_buffers();
        self.events.shrink_to(0);
    }

    /// Ends the session for `reason`: immediately if `at_once`, otherwise after all submissions are
    /// answered.
    pub fn order_end(&mut self, now: Instant, reason: Reason, at_once: bool) {
        match &mut self.state {
            ServerState::Open(open) if !at_once => {
                open.leaving = Some(ServerEnd::Ordered(reason));
                self.leave(now);
            }
            ServerState::Draining { .. } | ServerState::Done => {}
            ServerState::Handshake(_) | ServerState::Open(_) => {
                self.end(now, ServerEnd::Ordered(reason));
            }
        }
    }

    /// Ends the session, since the ledger cannot open it: its disk is full or failed, or its
    /// database is away (rule P-33).
    pub fn end_without_ledger(&mut self, now: Instant) {
        if !self.is_over() {
            self.end(now, ServerEnd::LedgerUnavailable);
        }
    }

    /// Ends the session instead of answering message 1, since the client's address began more than
    /// `most` handshakes per second (rule P-28). Work that was given out is of no use.
    pub fn decline(&mut self, now: Instant, most: u32) {
        if matches!(self.state, ServerState::Handshake(Handshake::Response(_))) {
            self.end(now, ServerEnd::TooFast { most });
        }
    }

    /// Frees empty buffers before the session is open: the handshake's messages are longer than
    /// those that follow.
    fn free_handshake_buffers(&mut self) {
        if !matches!(self.state, ServerState::Open(_)) {
            self.inbound.free_buffers();
            self.outbound.free_buffers();
        }
    }

    /// How the session ends where the stream ends without a 50 (rule P-18).
    fn cut_off(&self) -> ServerEnd {
        match &self.state {
            ServerState::Handshake(handshake) => {
                handshake.cut_off(self.inbound.waiting().is_empty())
            }
            ServerState::Open(_) | ServerState::Draining { .. } | ServerState::Done => {
                ServerEnd::Fault(Fault::Truncated)
            }
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, ServerState::Draining { .. } | ServerState::Done)
    }

    fn state_timeout(&self) -> Option<Instant> {
        match &self.state {
            ServerState::Handshake(handshake) => handshake.deadline(),
            // The idle timer is suspended while a 30 waits for the ledger.
            ServerState::Open(open) if open.waiting.is_empty() => {
                Some(open.idle_at.min(open.old_at))
            }
            ServerState::Open(_) | ServerState::Done => None,
            ServerState::Draining { until } => Some(*until),
        }
    }

    /// Processes received frames as long as the state and the bounds allow.
    fn advance(&mut self, now: Instant) {
        while let Some(body_max) = self.body_max() {
            let frame = match self.inbound.frame(body_max) {
                Ok(Some(frame)) => frame,
                Ok(None) if self.at_end => return self.end(now, self.cut_off()),
                Ok(None) => return,
                Err(too_long) => return self.end(now, ServerEnd::Fault(too_long.into())),
            };
            let length = frame.len();
            let is_encrypted = !matches!(self.state, ServerState::Handshake(Handshake::Hello(_)));
            let opcode = frame.header.opcode;
            self.outbound.tap.see(now, Direction::In, opcode, length, is_encrypted);
            let outcome = match &mut self.state {
                // By reference: moving the state out and back would cost time for every frame.
                ServerState::Open(open) => {
                    open.handle_frame(now, &self.config, frame, &mut self.events, &mut self.tickets)
                }
                ServerState::Handshake(_) | ServerState::Draining { .. } | ServerState::Done => {
                    match self.state.take_handshake() {
                        Some(handshake) => {
                            let (handshake, outcome) = handshake.handle_frame(&self.config, frame);
                            self.state = ServerState::Handshake(handshake);
                            outcome.map(|job| self.work = job).map_err(ServerEnd::Fault)
                        }
                        None => Ok(()),
                    }
                }
            };
            self.inbound.consume(length);
            self.free_handshake_buffers();
            match outcome {
                Ok(()) => self.flush_answers(now),
                Err(end) => self.end(now, end),
            }
        }
    }

    /// The longest body that the state accepts; `None` while it accepts no frame.
    fn body_max(&self) -> Option<u32> {
        if !self.outbound.has_room() {
            return None;
        }
        match &self.state {
            ServerState::Handshake(handshake) => handshake.body_max(),
            ServerState::Open(open)
                if open.waiting.len() < SUBMISSIONS_MAX && open.leaving.is_none() =>
            {
                Some(BODY_MAX)
            }
            ServerState::Open(_) | ServerState::Draining { .. } | ServerState::Done => None,
        }
    }

    /// The most bytes kept before the client's proof is verified: those of the next message.
    fn handshake_bytes_max(&self) -> Option<usize> {
        match &self.state {
            ServerState::Handshake(handshake) => Some(handshake.bytes_max()),
            ServerState::Open(_) | ServerState::Draining { .. } | ServerState::Done => None,
        }
    }

    /// Ends a session that is to end, once no submission waits for the ledger.
    fn leave(&mut self, now: Instant) {
        let ServerState::Open(open) = &mut self.state else { return };
        if open.waiting.is_empty()
            && let Some(end) = open.leaving.take()
        {
            self.end(now, end);
        }
    }

    /// Ends the session: queues the last frames, then drains. No other function ends one.
    fn end(&mut self, now: Instant, end: ServerEnd) {
        let state =
            std::mem::replace(&mut self.state, ServerState::Draining { until: now + DRAIN_MAX });
        let reason = end.reason();
        let sealed = match (state, reason) {
            (ServerState::Handshake(handshake), Some(reason)) => match handshake.into_records() {
                Some(records) => self.farewell(now, records, Standing::default(), reason, &end),
                None => {
                    let rejection = Rejection { reason, text: end.text(reason) };
                    self.outbound.push(now, Opcode::Disconnect, &rejection.encode());
                    Ok(())
                }
            },
            (ServerState::Open(mut open), Some(reason)) => {
                let last = matches!(reason, Reason::Idle | Reason::ShuttingDown)
                    .then(|| open.answer(Status::Applied));
                last.map_or(Ok(()), |answer| {
                    let sealer = &mut open.records.sealer;
                    self.outbound.push_record(
                        now,
                        sealer,
                        Opcode::EncryptedResult,
                        &answer.encode(),
                    )
                })
                .and_then(|()| self.farewell(now, open.records, open.standing, reason, &end))
            }
            (_, None) | (ServerState::Draining { .. } | ServerState::Done, Some(_)) => Ok(()),
        };
        if sealed.is_err() || matches!(end, ServerEnd::Fault(Fault::TakesNothing)) {
            self.state = ServerState::Done;
        }
        self.work = None;
        self.inbound.clear();
        self.events.push_back(ServerEvent::Ended(end));
    }

    fn farewell(
        &mut self,
        now: Instant,
        mut records: RecordLayer,
        standing: Standing,
        reason: Reason,
        end: &ServerEnd,
    ) -> Result<(), LimitError> {
        let farewell = Farewell {
            reason,
            scope: Scope::Session,
            last_seq: standing.last_seq,
            sum: standing.sum,
            text: end.text(reason),
        };
        self.outbound.push_record(now, &mut records.sealer, Opcode::Disconnect, &farewell.encode())
    }
}

impl EstablishedSession {
    fn handle_frame(
        &mut self,
        now: Instant,
        config: &ServerConfig,
        frame: Frame<'_>,
        events: &mut VecDeque<ServerEvent>,
        tickets: &mut u64,
    ) -> Result<(), ServerEnd> {
        if self.old_at <= now {
            self.leaving = Some(ServerEnd::TooOld);
            return Ok(());
        }
        let opcode = frame.header.opcode;
        let fault = |fault: Fault| ServerEnd::Fault(fault);
        match Opcode::from_number(opcode) {
            Some(Opcode::EncryptedData) => {
                let plaintext = self.records.open(frame).map_err(|error| fault(error.into()))?;
                self.handle_data(config.values_max, &plaintext, events, tickets).map_err(fault)?;
                self.records.recycle(plaintext);
                Ok(())
            }
            Some(Opcode::Disconnect) => {
                let plaintext = self.records.open(frame).map_err(|error| fault(error.into()))?;
                let farewell =
                    Farewell::decode(&plaintext).ok_or_else(|| fault(Fault::Farewell))?;
                self.leaving = Some(match (farewell.scope, self.is_operator) {
                    (Scope::All, false) => fault(Fault::NotOperator),
                    (Scope::All, true) => {
                        events.push_back(ServerEvent::EndAll);
                        ServerEnd::Bye
                    }
                    (Scope::Session, _) => ServerEnd::Bye,
                });
                Ok(())
            }
            Some(Opcode::KeyVerification | Opcode::SessionToken | Opcode::EncryptedResult)
            | None => Err(fault(Fault::Opcode { opcode })),
        }
    }

    /// A 30: the token is checked before the rest is parsed (rule P-20).
    fn handle_data(
        &mut self,
        values_max: u16,
        plaintext: &[u8],
        events: &mut VecDeque<ServerEvent>,
        tickets: &mut u64,
    ) -> Result<(), Fault> {
        let (token, rest) = Data::token(plaintext).ok_or(Fault::Token)?;
        if !bool::from(token.ct_eq(&self.token)) {
            return Err(Fault::Token);
        }
        *tickets += 1;
        let verdict = match Data::decode(rest, values_max) {
            Some(data) => {
                let (first_seq, amounts) = (data.first_seq, data.amounts());
                events.push_back(ServerEvent::Submit {
                    ticket: Ticket(*tickets),
                    first_seq,
                    amounts,
                });
                None
            }
            None => Some(Err(Status::Malformed)),
        };
        self.waiting.push_back(PendingSubmission { ticket: *tickets, verdict });
        Ok(())
    }

    fn answer(&self, status: Status) -> Answer {
        let (last_seq, sum): (Sequence, Total) = (self.standing.last_seq, self.standing.sum);
        Answer { status, last_seq, sum }
    }
}
