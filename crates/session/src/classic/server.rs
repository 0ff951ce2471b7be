//! The server's side of one classic session.
//!
//! Long because it is one state machine whose states, inputs and one way to end are read together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_ffdhe::{Exponent, Group, PublicValue, PublicValueError, SharedSecret};
use ddes_wire::classic::{self, BODY_MAX, Data, DhKeyError, DhPublicKey, text};
use ddes_wire::frame::{Frame, HEADER_BYTES, Opcode, TooLong};
use ddes_wire::{Amount, Standing, Token, Total, saturating};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::crypto::{BodyError, SessionKeys};
use super::{ExchangeJob, ExchangeOutcome, HandshakeDone, HandshakeWork};
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::tap::{Direction, SeenFrames};
use crate::{DRAIN_MAX, Phase, Ticket};

/// The longest body of a client's 10: over twice the length in PEM of a key of 8192 bits with X9.42
/// parameters.
const KEY_BODY_MAX: u32 = 8 * 1024;

/// The most bytes kept before the client has its token: those of a 10.
const KEY_BYTES_MAX: usize = HEADER_BYTES + KEY_BODY_MAX as usize;

/// The settings that all classic sessions of a server share.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The Diffie-Hellman group that the server offers.
    pub group: Group,
    /// A session ends after this long without a counted integer.
    pub idle: Duration,
    /// The longest time from the connection to the client's public key.
    pub handshake: Duration,
    /// Whether one client's 50 ends every session, as in the original (rule C-18).
    pub end_all: bool,
}

/// The randomness of one session, drawn by the caller.
pub struct ServerEntropy {
    /// Seed of the private exponent, of which the group uses as many bytes as it needs.
    pub exponent: Zeroizing<[u8; super::ENTROPY_BYTES_MAX]>,
    /// The bytes of the session token.
    pub token: Zeroizing<[u8; Token::BYTES]>,
}

/// What happened in a session.
#[derive(Debug)]
pub enum ServerEvent {
    /// The client's public key is accepted.
    KeyVerified,
    /// The session token is to be sent; the idle timer runs.
    TokenShared,
    /// The client submitted this integer. Give its ticket to [`ServerSession::settle`] or
    /// [`ServerSession::refuse`].
    Submit {
        /// The right to answer it, once.
        ticket: Ticket,
        /// The integer to count.
        amount: Amount,
    },
    /// A 30 was authentic but did not decrypt. Nothing is counted, and the session continues.
    Tampered,
    /// A frame was ignored, as the original does (rule C-16).
    Ignored {
        /// The opcode of the ignored frame.
        opcode: u32,
    },
    /// A sum is to be sent to the client.
    ResultSent {
        /// The sum of the session's integers.
        sum: Total,
    },
    /// The session is over.
    Ended(ServerEnd),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEnd {
    /// The client sent a 50.
    Bye,
    /// The client closed the connection without one.
    Closed,
    /// The idle timer ran out.
    Idle {
        /// Whether an integer had been counted, so that a last 40 was sent.
        counted: bool,
    },
    /// The server decided to end it, for the reason given.
    Ordered(EndReason),
    /// The client broke a rule.
    Fault(Fault),
}

/// Why this side ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The server is shutting down.
    Shutdown,
    /// Another client's 50 ends every session.
    EndAll,
    /// An operator ended the session.
    Operator,
    /// The ledger cannot count.
    LedgerUnavailable,
    /// The client's address began too many handshakes per second (rule C-21).
    TooFast,
    /// Too many connections, handshakes or sessions (rule C-21).
    TooMany,
}

/// How a client broke the protocol. [`Fault::rule`] says which rule it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A frame is longer than the state allows.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// The first frame is not the client's key.
    #[error("opcode {opcode} came where the client's key was expected")]
    ExpectedKey {
        /// The opcode of the received frame.
        opcode: u32,
    },
    /// The body of the 10 is not a Diffie-Hellman key in PEM.
    #[error(transparent)]
    Key(#[from] DhKeyError),
    /// The key's parameters differ from the server's.
    #[error("the client's key lies in another group than the server's")]
    OtherGroup,
    /// The public value is out of range.
    #[error("the client's public value: {0}")]
    PublicValue(#[from] PublicValueError),
    /// A 30 carries a token other than its session's.
    #[error("the session token is wrong")]
    Token,
    /// The HMAC of a 30 does not verify.
    #[error("the HMAC is wrong")]
    Hmac,
    /// No key came before the handshake deadline.
    #[error("no key came before the handshake deadline")]
    HandshakeTimeout,
    /// The client did not read what was sent to it.
    #[error("the client took nothing for {} s", crate::STALL_MAX.as_secs())]
    TakesNothing,
}

impl Fault {
    /// The rule of PROTOCOL.md that the client broke.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "C-02",
            Self::Truncated => "C-03",
            Self::ExpectedKey { .. } => "C-05",
            Self::Key(_) => "C-06",
            Self::OtherGroup => "C-07",
            Self::PublicValue(_) => "C-08",
            Self::Token => "C-12",
            Self::Hmac => "C-13",
            Self::HandshakeTimeout => "C-19",
            Self::TakesNothing => "C-20",
        }
    }

    /// The text of the client's 50; `None` where the client could not read one.
    fn farewell(&self) -> Option<&'static str> {
        match self {
            Self::TooLong(_) => Some(text::TOO_LONG),
            Self::ExpectedKey { .. } => Some(text::EXPECTED_KEY),
            Self::Key(_) | Self::OtherGroup | Self::PublicValue(_) => Some(text::INVALID_KEY),
            Self::Token => Some(text::INVALID_TOKEN),
            Self::Hmac => Some(text::INVALID_HMAC),
            Self::HandshakeTimeout => Some(text::HANDSHAKE_TIMEOUT),
            Self::Truncated | Self::TakesNothing => None,
        }
    }
}

impl EndReason {
    fn farewell(self) -> &'static str {
        match self {
            Self::Shutdown => text::SHUTDOWN,
            Self::EndAll => text::END_ALL,
            Self::Operator => text::OPERATOR,
            Self::LedgerUnavailable => text::LEDGER,
            Self::TooFast | Self::TooMany => text::FULL,
        }
    }
}

/// One classic session, seen from the server.
#[derive(Debug)]
pub struct ServerSession {
    config: Arc<ServerConfig>,
    state: ServerState,
    inbound: Inbound,
    outbound: Outbound,
    events: VecDeque<ServerEvent>,
    work: Option<ExchangeJob>,
    /// The client shut down its direction.
    at_end: bool,
    tickets: u64,
}

#[derive(Debug)]
enum ServerState {
    /// The server's public value is being computed.
    Generating {
        token: Token,
        deadline: Instant,
    },
    AwaitKey(AwaitKey),
    /// The shared value is being computed.
    Agreeing {
        token: Token,
        deadline: Instant,
    },
    Open(Box<OpenServer>),
    Draining {
        until: Instant,
    },
    Done,
}

#[derive(Debug)]
struct AwaitKey {
    exponent: Exponent,
    token: Token,
    deadline: Instant,
}

#[derive(Debug)]
struct OpenServer {
    keys: SessionKeys,
    token: Token,
    idle_at: Instant,
    /// The sum; `None` before an integer is counted.
    sum: Option<Total>,
    /// The ticket number of the submission that waits for the ledger. Meanwhile no frame is
    /// processed.
    awaiting: Option<u64>,
    /// Why the session ends once the ledger has answered.
    ending: Option<EndReason>,
}

impl ServerSession {
    /// Begins a session on an accepted connection. The server sends first, once its public value is
    /// computed.
    pub fn new(config: Arc<ServerConfig>, now: Instant, entropy: ServerEntropy) -> Self {
        let deadline = now + config.handshake;
        let group = config.group.clone();
        Self {
            config,
            state: ServerState::Generating { token: Token::new(*entropy.token), deadline },
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            events: VecDeque::new(),
            work: Some(ExchangeJob::Generate { group, entropy: entropy.exponent }),
            at_end: false,
            tickets: 0,
        }
    }

    /// Whether the session accepts bytes now. While it does not, do not read the socket.
    pub fn wants_bytes(&self) -> bool {
        self.room() > 0
    }

    /// How many bytes the session accepts now: read at most this many from the socket. Before the
    /// token this is what a client's key can have (rule C-02).
    pub fn room(&self) -> usize {
        let can_take = !self.at_end && self.inbound.has_room() && self.outbound.has_room();
        match self.state {
            ServerState::Draining { .. } => usize::MAX,
            ServerState::Open(_) if can_take => usize::MAX,
            ServerState::Generating { .. }
            | ServerState::AwaitKey(_)
            | ServerState::Agreeing { .. }
                if can_take =>
            {
                KEY_BYTES_MAX.saturating_sub(self.inbound.waiting().len())
            }
            ServerState::Generating { .. }
            | ServerState::AwaitKey(_)
            | ServerState::Agreeing { .. }
            | ServerState::Open(_)
            | ServerState::Done => 0,
        }
    }

    /// Bytes from the client, in pieces of any size. Before the token, more bytes than a key can
    /// have end the session.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match self.state {
            ServerState::Draining { .. } | ServerState::Done => return,
            ServerState::Generating { .. }
            | ServerState::AwaitKey(_)
            | ServerState::Agreeing { .. } => {
                let waiting = self.inbound.waiting().len();
                if waiting + bytes.len() > KEY_BYTES_MAX {
                    let length = saturating::to_u32((waiting + bytes.len()) as u64);
                    return self.end(
                        now,
                        ServerEnd::Fault(Fault::TooLong(TooLong { length, most: KEY_BODY_MAX })),
                    );
                }
            }
            ServerState::Open(_) => {}
        }
        self.inbound.push(bytes);
        self.advance(now);
    }

    /// The client shut down its direction, or the connection broke. A client without a token can no
    /// longer send an integer, so nothing more is computed for it.
    pub fn handle_eof(&mut self, now: Instant) {
        self.at_end = true;
        match self.state {
            ServerState::Generating { .. } | ServerState::Agreeing { .. } => self.close(now),
            ServerState::AwaitKey(_)
            | ServerState::Open(_)
            | ServerState::Draining { .. }
            | ServerState::Done => {
                self.advance(now);
            }
        }
    }

    /// Ends the session at the end of the stream.
    fn close(&mut self, now: Instant) {
        let is_whole = self.inbound.waiting().is_empty();
        self.end(
            now,
            if is_whole { ServerEnd::Closed } else { ServerEnd::Fault(Fault::Truncated) },
        );
    }

    /// The connection broke: nothing can be sent any more.
    pub fn handle_reset(&mut self, now: Instant) {
        self.outbound.clear();
        self.inbound.clear();
        self.handle_eof(now);
        if self.phase() == Phase::Live {
            self.end(now, ServerEnd::Closed);
            self.outbound.clear();
        }
    }

    /// The clock reached [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outbound.poll_timeout().is_some_and(|at| at <= now) {
            self.outbound.clear();
            match self.state {
                ServerState::Draining { .. } | ServerState::Done => self.state = ServerState::Done,
                ServerState::Generating { .. }
                | ServerState::AwaitKey(_)
                | ServerState::Agreeing { .. }
                | ServerState::Open(_) => {
                    self.end(now, ServerEnd::Fault(Fault::TakesNothing));
                }
            }
        }
        match &self.state {
            ServerState::Generating { deadline, .. }
            | ServerState::AwaitKey(AwaitKey { deadline, .. })
            | ServerState::Agreeing { deadline, .. }
                if *deadline <= now =>
            {
                self.end(now, ServerEnd::Fault(Fault::HandshakeTimeout));
            }
            ServerState::Open(open) if open.awaiting.is_none() && open.idle_at <= now => {
                let counted = open.sum.is_some();
                self.end(now, ServerEnd::Idle { counted });
            }
            ServerState::Draining { until } if *until <= now => self.state = ServerState::Done,
            ServerState::Generating { .. }
            | ServerState::AwaitKey(_)
            | ServerState::Agreeing { .. }
            | ServerState::Open(_)
            | ServerState::Draining { .. }
            | ServerState::Done => {}
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let state = match &self.state {
            ServerState::Generating { deadline, .. }
            | ServerState::AwaitKey(AwaitKey { deadline, .. })
            | ServerState::Agreeing { deadline, .. } => Some(*deadline),
            ServerState::Open(open) => self.idle_at().filter(|_| open.awaiting.is_none()),
            ServerState::Draining { until } => Some(*until),
            ServerState::Done => None,
        };
        state.into_iter().chain(self.outbound.poll_timeout()).min()
    }

    /// When the idle timer runs out; `None` before the token.
    pub fn idle_at(&self) -> Option<Instant> {
        match &self.state {
            ServerState::Open(open) => Some(open.idle_at),
            ServerState::Generating { .. }
            | ServerState::AwaitKey(_)
            | ServerState::Agreeing { .. }
            | ServerState::Draining { .. }
            | ServerState::Done => None,
        }
    }

    /// The next exponentiation of the handshake. Give its result to [`Self::handle_done`].
    pub fn poll_work(&mut self) -> Option<HandshakeWork> {
        self.work.take().map(HandshakeWork)
    }

    /// Continues the handshake with the result of [`Self::poll_work`].
    pub fn handle_done(&mut self, now: Instant, done: HandshakeDone) {
        match (std::mem::replace(&mut self.state, ServerState::Done), done.0) {
            (
                ServerState::Generating { token, deadline },
                ExchangeOutcome::Generated(exponent, public),
            ) => {
                self.offer_key(now, &public);
                if !matches!(self.state, ServerState::Draining { .. }) {
                    self.state = ServerState::AwaitKey(AwaitKey { exponent, token, deadline });
                }
            }
            (ServerState::Agreeing { token, .. }, ExchangeOutcome::Agreed(Ok(secret))) => {
                self.share_token(now, token, &secret);
            }
            (ServerState::Agreeing { .. }, ExchangeOutcome::Agreed(Err(error))) => {
                self.end(now, ServerEnd::Fault(Fault::PublicValue(error)));
            }
            // The session ended while this was computed.
            (state, _) => self.state = state,
        }
        self.advance(now);
    }

    /// What to send next; empty if nothing.
    pub fn pending(&self) -> &[u8] {
        self.outbound.pending()
    }

    /// `count` bytes of [`Self::pending`] went out.
    pub fn sent(&mut self, now: Instant, count: usize) {
        self.outbound.sent(now, count);
        self.advance(now);
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
            ServerState::Generating { .. }
            | ServerState::AwaitKey(_)
            | ServerState::Agreeing { .. }
            | ServerState::Open(_) => Phase::Live,
        }
    }

    /// Acknowledges the submission of `ticket`, which the ledger counted, and sends the sum (rule
    /// C-15).
    pub fn settle(&mut self, now: Instant, ticket: Ticket, standing: Standing) {
        let number = ticket.redeem();
        let ServerState::Open(open) = &mut self.state else { return };
        if open.awaiting != Some(number) {
            return;
        }
        open.awaiting = None;
        open.sum = Some(standing.sum);
        open.idle_at = now + self.config.idle;
        self.outbound.push(now, Opcode::EncryptedData, text::RECEIVED.as_bytes());
        self.outbound.push(now, Opcode::EncryptedResult, &open.keys.seal_total(standing.sum));
        self.events.push_back(ServerEvent::ResultSent { sum: standing.sum });
        if let Some(reason) = open.ending {
            self.end(now, ServerEnd::Ordered(reason));
        }
        self.advance(now);
    }

    /// Ends the session: the ledger refused the submission of `ticket` and would refuse others.
    pub fn refuse(&mut self, now: Instant, ticket: Ticket) {
        let number = ticket.redeem();
        let ServerState::Open(open) = &mut self.state else { return };
        if open.awaiting == Some(number) {
            self.end(now, ServerEnd::Ordered(EndReason::LedgerUnavailable));
        }
    }

    /// Ends the session for `reason`, after the ledger's answer if one is awaited.
    pub fn order_end(&mut self, now: Instant, reason: EndReason) {
        match &mut self.state {
            ServerState::Open(open) if open.awaiting.is_some() => open.ending = Some(reason),
            ServerState::Generating { .. }
            | ServerState::AwaitKey(_)
            | ServerState::Agreeing { .. }
            | ServerState::Open(_) => {
                self.end(now, ServerEnd::Ordered(reason));
            }
            ServerState::Draining { .. } | ServerState::Done => {}
        }
    }

    /// Processes received frames as long as the state and the bounds allow.
    fn advance(&mut self, now: Instant) {
        while self.takes_frames() {
            let body_max =
                if matches!(self.state, ServerState::Open(_)) { BODY_MAX } else { KEY_BODY_MAX };
            let frame = match self.inbound.frame(body_max) {
                Ok(Some(frame)) => frame,
                Ok(None) if self.at_end => return self.close(now),
                Ok(None) => return,
                Err(too_long) => return self.end(now, ServerEnd::Fault(too_long.into())),
            };
            let length = frame.len();
            let opcode = frame.header.opcode;
            let is_encrypted = opcode == Opcode::EncryptedData.number();
            self.outbound.tap.see(now, Direction::In, opcode, length, is_encrypted);
            let outcome = match std::mem::replace(&mut self.state, ServerState::Done) {
                ServerState::AwaitKey(state) => {
                    state.handle_frame(&self.config.group, frame, &mut self.events, &mut self.work)
                }
                ServerState::Open(state) => state.handle_frame(
                    now,
                    frame,
                    &mut self.outbound,
                    &mut self.events,
                    &mut self.tickets,
                ),
                state @ (ServerState::Generating { .. }
                | ServerState::Agreeing { .. }
                | ServerState::Draining { .. }
                | ServerState::Done) => Ok(state),
            };
            self.inbound.consume(length);
            match outcome {
                Ok(state) => self.state = state,
                Err(end) => self.end(now, end),
            }
        }
    }

    fn takes_frames(&self) -> bool {
        let ready = match &self.state {
            ServerState::AwaitKey(_) => true,
            ServerState::Open(open) => open.awaiting.is_none(),
            ServerState::Generating { .. }
            | ServerState::Agreeing { .. }
            | ServerState::Draining { .. }
            | ServerState::Done => false,
        };
        ready && self.outbound.has_room()
    }

    /// Sends the server's 10 (rule C-04).
    fn offer_key(&mut self, now: Instant, public: &PublicValue) {
        let group = &self.config.group;
        let key = DhPublicKey {
            prime: group.prime().to_vec(),
            generator: group.generator().to_vec(),
            public: public.as_bytes().to_vec(),
        };
        match key.to_pem() {
            Ok(pem) => self.outbound.push(now, Opcode::KeyVerification, pem.as_bytes()),
            Err(error) => self.end(now, ServerEnd::Fault(error.into())),
        }
    }

    /// Sends the 20 (rule C-10) and starts the idle timer.
    fn share_token(&mut self, now: Instant, token: Token, secret: &SharedSecret) {
        let keys = SessionKeys::derive(secret);
        self.outbound.push(now, Opcode::SessionToken, &keys.seal_token(&token));
        self.events.push_back(ServerEvent::TokenShared);
        let idle_at = now + self.config.idle;
        self.state = ServerState::Open(Box::new(OpenServer {
            keys,
            token,
            idle_at,
            sum: None,
            awaiting: None,
            ending: None,
        }));
    }

    /// Ends the session: queues the last frames, then drains. No other function ends one.
    fn end(&mut self, now: Instant, end: ServerEnd) {
        let state =
            std::mem::replace(&mut self.state, ServerState::Draining { until: now + DRAIN_MAX });
        let last_sum = match &state {
            ServerState::Open(open) => open.sum.map(|sum| open.keys.seal_total(sum)),
            ServerState::Generating { .. }
            | ServerState::AwaitKey(_)
            | ServerState::Agreeing { .. }
            | ServerState::Draining { .. }
            | ServerState::Done => None,
        };
        let (result, farewell) = match &end {
            ServerEnd::Bye => {
                (None, Some(if self.config.end_all { text::END_ALL } else { text::END }))
            }
            ServerEnd::Idle { counted: true } => (last_sum, None),
            ServerEnd::Idle { counted: false } => (None, Some(text::IDLE)),
            ServerEnd::Ordered(EndReason::Shutdown) => {
                (last_sum, Some(EndReason::Shutdown.farewell()))
            }
            ServerEnd::Ordered(reason) => (None, Some(reason.farewell())),
            ServerEnd::Fault(fault) => (None, fault.farewell()),
            ServerEnd::Closed => (None, None),
        };
        if let Some(body) = result {
            self.outbound.push(now, Opcode::EncryptedResult, &body);
        }
        if let Some(text) = farewell {
            self.outbound.push(now, Opcode::Disconnect, text.as_bytes());
        }
        if matches!(end, ServerEnd::Fault(Fault::TakesNothing)) {
            self.state = ServerState::Done;
        }
        self.work = None;
        self.inbound.clear();
        self.events.push_back(ServerEvent::Ended(end));
    }
}

impl AwaitKey {
    /// Handles the client's 10: its key must parse, be in the server's group and in range. Then the
    /// shared value is to be computed.
    fn handle_frame(
        self,
        group: &Group,
        frame: Frame<'_>,
        events: &mut VecDeque<ServerEvent>,
        work: &mut Option<ExchangeJob>,
    ) -> Result<ServerState, ServerEnd> {
        let fault = ServerEnd::Fault;
        if frame.header.opcode == Opcode::Disconnect.number() {
            return Err(ServerEnd::Bye);
        }
        if frame.header.opcode != Opcode::KeyVerification.number() {
            return Err(fault(Fault::ExpectedKey { opcode: frame.header.opcode }));
        }
        let key = DhPublicKey::from_pem(frame.body).map_err(|error| fault(error.into()))?;
        if !group.is(&key.prime, &key.generator) {
            return Err(fault(Fault::OtherGroup));
        }
        let peer =
            PublicValue::received(group, &key.public).map_err(|error| fault(error.into()))?;
        events.push_back(ServerEvent::KeyVerified);
        *work = Some(ExchangeJob::Agree { exponent: self.exponent, peer });
        Ok(ServerState::Agreeing { token: self.token, deadline: self.deadline })
    }
}

impl OpenServer {
    fn handle_frame(
        self: Box<Self>,
        now: Instant,
        frame: Frame<'_>,
        outbound: &mut Outbound,
        events: &mut VecDeque<ServerEvent>,
        tickets: &mut u64,
    ) -> Result<ServerState, ServerEnd> {
        match Opcode::from_number(frame.header.opcode) {
            Some(Opcode::Disconnect) => Err(ServerEnd::Bye),
            Some(Opcode::EncryptedData) if !frame.body.is_empty() => self
                .handle_data(now, frame.body, outbound, events, tickets)
                .map_err(ServerEnd::Fault),
            Some(
                Opcode::KeyVerification
                | Opcode::SessionToken
                | Opcode::EncryptedData
                | Opcode::EncryptedResult,
            )
            | None => {
                events.push_back(ServerEvent::Ignored { opcode: frame.header.opcode });
                Ok(ServerState::Open(self))
            }
        }
    }

    /// Handles a 30: checks the token, then the HMAC, then the ciphertext (rules C-12 to C-14).
    fn handle_data(
        mut self: Box<Self>,
        now: Instant,
        body: &[u8],
        outbound: &mut Outbound,
        events: &mut VecDeque<ServerEvent>,
        tickets: &mut u64,
    ) -> Result<ServerState, Fault> {
        let data = Data::decode(body).ok_or(Fault::Token)?;
        if !bool::from(Token::new(*data.token).ct_eq(&self.token)) {
            return Err(Fault::Token);
        }
        match self.keys.open_data(&data) {
            Ok(plaintext) => {
                *tickets += 1;
                self.awaiting = Some(*tickets);
                let amount = classic::amount(&plaintext);
                events.push_back(ServerEvent::Submit { ticket: Ticket(*tickets), amount });
            }
            Err(BodyError::Tampered) => {
                outbound.push(now, Opcode::EncryptedData, text::TAMPERING.as_bytes());
                events.push_back(ServerEvent::Tampered);
            }
            Err(BodyError::Hmac) => return Err(Fault::Hmac),
        }
        Ok(ServerState::Open(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_names_the_rule_that_protocol_md_states() {
        let table = [
            (Fault::TooLong(TooLong { length: 9, most: 8 }), "C-02"),
            (Fault::Truncated, "C-03"),
            (Fault::ExpectedKey { opcode: 30 }, "C-05"),
            (Fault::Key(DhKeyError::Pem), "C-06"),
            (Fault::OtherGroup, "C-07"),
            (Fault::PublicValue(PublicValueError::Range), "C-08"),
            (Fault::Token, "C-12"),
            (Fault::Hmac, "C-13"),
            (Fault::HandshakeTimeout, "C-19"),
            (Fault::TakesNothing, "C-20"),
        ];
        for (fault, rule) in table {
            assert_eq!(fault.rule(), rule, "{fault:?}");
        }
    }
}
