//! The server's side of one classic session.
//!
//! Long because it is one state machine: its states, its inputs and its one end are read together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_ffdhe::{Exponent, Group, PublicValue, PublicValueError, SharedSecret};
use ddes_wire::classic::{self, BODY_MAX, Data, DhKeyError, DhPublicKey, text};
use ddes_wire::frame::{Frame, HEADER_BYTES, Opcode, TooLong};
use ddes_wire::{Amount, Standing, Token, Total};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::crypto::{BodyError, Keys};
use super::{Done, Job, Outcome, Work};
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::{DRAIN_MAX, Phase, Ticket};

/// The longest body of a client's 10: more than twice what a key of 8192 bits with X9.42 parameters
/// takes as PEM.
const KEY_BODY_MAX: u32 = 8 * 1024;

/// Kept of a client's before it has its token: a 10.
const KEY_BYTES_MAX: usize = HEADER_BYTES + KEY_BODY_MAX as usize;

/// What all classic sessions of a server share.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The Diffie-Hellman group offered.
    pub group: Group,
    /// Silence after which a session ends.
    pub idle: Duration,
    /// From accept to the client's public key.
    pub handshake: Duration,
    /// One client's 50 ends every session, as in the original (rule C-18).
    pub end_all: bool,
}

/// The randomness of one session, drawn by the caller.
pub struct ServerEntropy {
    /// For the private exponent; the group takes as many bytes as it needs.
    pub exponent: Zeroizing<[u8; super::ENTROPY_BYTES_MAX]>,
    /// For the session token.
    pub token: Zeroizing<[u8; Token::BYTES]>,
}

/// What happened in a session.
#[derive(Debug)]
pub enum Event {
    /// The client's public key is accepted.
    KeyVerified,
    /// The session token is on its way; the idle timer runs.
    TokenShared,
    /// Count this integer, then `settle` or `refuse` the ticket.
    Submit {
        /// Right to one answer.
        ticket: Ticket,
        /// The integer.
        amount: Amount,
    },
    /// A 30 was authentic but did not decrypt; nothing is counted and the session goes on.
    Tampered,
    /// A frame was ignored, as the original does (rule C-16).
    Ignored {
        /// Its opcode.
        opcode: u32,
    },
    /// The sum went to the client.
    ResultSent {
        /// The sum.
        sum: Total,
    },
    /// The session is over.
    Ended(End),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The client's 50.
    Bye,
    /// The client closed the connection without one.
    Closed,
    /// The idle timer.
    Idle {
        /// Whether an integer had been counted, so that a last 40 was sent.
        counted: bool,
    },
    /// This side's decision.
    Ordered(Reason),
    /// The client broke a rule.
    Fault(Fault),
}

/// Why this side ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The server stops.
    Shutdown,
    /// Another client's 50, where that ends all.
    EndAll,
    /// An operator's word.
    Operator,
    /// The ledger cannot count.
    LedgerUnavailable,
    /// Too many handshakes a second of its address (rule C-21).
    TooFast,
    /// Too many connections, handshakes or sessions (rule C-21).
    TooMany,
}

/// How a client broke the protocol. [`Fault::rule`] says which rule it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A frame longer than its place allows.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// The first frame is not the client's key.
    #[error("opcode {opcode} came where the client's key was expected")]
    ExpectedKey {
        /// What came.
        opcode: u32,
    },
    /// The body of the 10 is not a Diffie-Hellman key in PEM.
    #[error(transparent)]
    Key(#[from] DhKeyError),
    /// The key has other parameters than the server's.
    #[error("the client's key lies in another group than the server's")]
    OtherGroup,
    /// The public value is out of range.
    #[error("the client's public value: {0}")]
    PublicValue(#[from] PublicValueError),
    /// A 30 with another token than that of its session.
    #[error("the session token is wrong")]
    Token,
    /// A 30 whose HMAC does not verify.
    #[error("the HMAC is wrong")]
    Hmac,
    /// The client's key took too long.
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

    /// What the client hears of it; nothing where it would not be read.
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

impl Reason {
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
    state: State,
    inbound: Inbound,
    outbound: Outbound,
    events: VecDeque<Event>,
    work: Option<Job>,
    /// The peer has shut down its direction.
    at_end: bool,
    tickets: u64,
}

#[derive(Debug)]
enum State {
    /// Our public value is being computed.
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
    Open(Box<Open>),
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
struct Open {
    keys: Keys,
    token: Token,
    idle_at: Instant,
    /// The sum, once an integer is counted.
    sum: Option<Total>,
    /// The submission that waits for the ledger. No further frame is taken meanwhile.
    awaiting: Option<u64>,
    /// To be ended as soon as the ledger has answered.
    ending: Option<Reason>,
}

impl ServerSession {
    /// A connection was accepted. The server speaks first, once its public value is computed.
    pub fn new(config: Arc<ServerConfig>, now: Instant, entropy: ServerEntropy) -> Self {
        let deadline = now + config.handshake;
        let group = config.group.clone();
        Self {
            config,
            state: State::Generating { token: Token::new(*entropy.token), deadline },
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            events: VecDeque::new(),
            work: Some(Job::Generate { group, entropy: entropy.exponent }),
            at_end: false,
            tickets: 0,
        }
    }

    /// Whether the session can take bytes just now. While it cannot, do not read the socket.
    pub fn wants_bytes(&self) -> bool {
        self.room() > 0
    }

    /// How many bytes the session can take just now: read no more of the socket at a time. Before
    /// the token that is what a key can be (rule C-02).
    pub fn room(&self) -> usize {
        let can_take = !self.at_end && self.inbound.has_room() && self.outbound.has_room();
        match self.state {
            State::Draining { .. } => usize::MAX,
            State::Open(_) if can_take => usize::MAX,
            State::Generating { .. } | State::AwaitKey(_) | State::Agreeing { .. } if can_take => {
                KEY_BYTES_MAX.saturating_sub(self.inbound.waiting().len())
            }
            State::Generating { .. }
            | State::AwaitKey(_)
            | State::Agreeing { .. }
            | State::Open(_)
            | State::Done => 0,
        }
    }

    /// Bytes from the client, in pieces of any size. Before the token more than a key can be ends
    /// the session.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match self.state {
            State::Draining { .. } | State::Done => return,
            State::Generating { .. } | State::AwaitKey(_) | State::Agreeing { .. } => {
                let waiting = self.inbound.waiting().len();
                if waiting + bytes.len() > KEY_BYTES_MAX {
                    let length = u32::try_from(waiting + bytes.len()).unwrap_or(u32::MAX);
                    return self.end(
                        now,
                        End::Fault(Fault::TooLong(TooLong { length, most: KEY_BODY_MAX })),
                    );
                }
            }
            State::Open(_) => {}
        }
        self.inbound.push(bytes);
        self.advance(now);
    }

    /// The client shut down its direction, or the connection is gone. Before the token it has
    /// nothing to say that could still count: nothing more is computed.
    pub fn handle_eof(&mut self, now: Instant) {
        self.at_end = true;
        match self.state {
            State::Generating { .. } | State::Agreeing { .. } => self.close(now),
            State::AwaitKey(_) | State::Open(_) | State::Draining { .. } | State::Done => {
                self.advance(now);
            }
        }
    }

    /// The stream ended.
    fn close(&mut self, now: Instant) {
        let is_whole = self.inbound.waiting().is_empty();
        self.end(now, if is_whole { End::Closed } else { End::Fault(Fault::Truncated) });
    }

    /// The connection is gone in both directions.
    pub fn handle_reset(&mut self, now: Instant) {
        self.outbound.clear();
        self.inbound.clear();
        self.handle_eof(now);
        if self.phase() == Phase::Live {
            self.end(now, End::Closed);
            self.outbound.clear();
        }
    }

    /// The clock reached [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outbound.poll_timeout().is_some_and(|at| at <= now) {
            self.outbound.clear();
            match self.state {
                State::Draining { .. } | State::Done => self.state = State::Done,
                State::Generating { .. }
                | State::AwaitKey(_)
                | State::Agreeing { .. }
                | State::Open(_) => {
                    self.end(now, End::Fault(Fault::TakesNothing));
                }
            }
        }
        match &self.state {
            State::Generating { deadline, .. }
            | State::AwaitKey(AwaitKey { deadline, .. })
            | State::Agreeing { deadline, .. }
                if *deadline <= now =>
            {
                self.end(now, End::Fault(Fault::HandshakeTimeout));
            }
            State::Open(open) if open.awaiting.is_none() && open.idle_at <= now => {
                let counted = open.sum.is_some();
                self.end(now, End::Idle { counted });
            }
            State::Draining { until } if *until <= now => self.state = State::Done,
            State::Generating { .. }
            | State::AwaitKey(_)
            | State::Agreeing { .. }
            | State::Open(_)
            | State::Draining { .. }
            | State::Done => {}
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Generating { deadline, .. }
            | State::AwaitKey(AwaitKey { deadline, .. })
            | State::Agreeing { deadline, .. } => Some(*deadline),
            State::Open(open) => self.idle_at().filter(|_| open.awaiting.is_none()),
            State::Draining { until } => Some(*until),
            State::Done => None,
        };
        state.into_iter().chain(self.outbound.poll_timeout()).min()
    }

    /// When the idle timer runs out, once it runs.
    pub fn idle_at(&self) -> Option<Instant> {
        match &self.state {
            State::Open(open) => Some(open.idle_at),
            State::Generating { .. }
            | State::AwaitKey(_)
            | State::Agreeing { .. }
            | State::Draining { .. }
            | State::Done => None,
        }
    }

    /// An exponentiation to run; give its result to [`Self::handle_done`].
    pub fn poll_work(&mut self) -> Option<Work> {
        self.work.take().map(Work)
    }

    /// The result of [`Self::poll_work`].
    pub fn handle_done(&mut self, now: Instant, done: Done) {
        match (std::mem::replace(&mut self.state, State::Done), done.0) {
            (State::Generating { token, deadline }, Outcome::Generated(exponent, public)) => {
                self.offer_key(now, &public);
                if !matches!(self.state, State::Draining { .. }) {
                    self.state = State::AwaitKey(AwaitKey { exponent, token, deadline });
                }
            }
            (State::Agreeing { token, .. }, Outcome::Agreed(Ok(secret))) => {
                self.share_token(now, token, &secret);
            }
            (State::Agreeing { .. }, Outcome::Agreed(Err(error))) => {
                self.end(now, End::Fault(Fault::PublicValue(error)));
            }
            // The session ended while the work ran, or the work was another's.
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
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How far the connection has come.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Done => Phase::Done,
            State::Draining { .. } if self.at_end && self.outbound.is_empty() => Phase::Done,
            State::Draining { .. } => Phase::Draining,
            State::Generating { .. }
            | State::AwaitKey(_)
            | State::Agreeing { .. }
            | State::Open(_) => Phase::Live,
        }
    }

    /// The ledger counted the submission of `ticket`: acknowledge, and send the sum (rule C-15).
    pub fn settle(&mut self, now: Instant, ticket: Ticket, standing: Standing) {
        let number = ticket.redeem();
        let State::Open(open) = &mut self.state else { return };
        if open.awaiting != Some(number) {
            return;
        }
        open.awaiting = None;
        open.sum = Some(standing.sum);
        open.idle_at = now + self.config.idle;
        self.outbound.push(now, Opcode::EncryptedData, text::RECEIVED.as_bytes());
        self.outbound.push(now, Opcode::EncryptedResult, &open.keys.seal_total(standing.sum));
        self.events.push_back(Event::ResultSent { sum: standing.sum });
        if let Some(reason) = open.ending {
            self.end(now, End::Ordered(reason));
        }
        self.advance(now);
    }

    /// The ledger did not count the submission of `ticket`, nor will it count another.
    pub fn refuse(&mut self, now: Instant, ticket: Ticket) {
        let number = ticket.redeem();
        let State::Open(open) = &mut self.state else { return };
        if open.awaiting == Some(number) {
            self.end(now, End::Ordered(Reason::LedgerUnavailable));
        }
    }

    /// Ends the session from this side, after the ledger's answer where one is awaited.
    pub fn order_end(&mut self, now: Instant, reason: Reason) {
        match &mut self.state {
            State::Open(open) if open.awaiting.is_some() => open.ending = Some(reason),
            State::Generating { .. }
            | State::AwaitKey(_)
            | State::Agreeing { .. }
            | State::Open(_) => {
                self.end(now, End::Ordered(reason));
            }
            State::Draining { .. } | State::Done => {}
        }
    }

    /// Takes frames for as long as the state and the bounds allow.
    fn advance(&mut self, now: Instant) {
        while self.takes_frames() {
            let body_max =
                if matches!(self.state, State::Open(_)) { BODY_MAX } else { KEY_BODY_MAX };
            let frame = match self.inbound.frame(body_max) {
                Ok(Some(frame)) => frame,
                Ok(None) if self.at_end => return self.close(now),
                Ok(None) => return,
                Err(too_long) => return self.end(now, End::Fault(too_long.into())),
            };
            let length = frame.len();
            let outcome = match std::mem::replace(&mut self.state, State::Done) {
                State::AwaitKey(state) => {
                    state.handle_frame(&self.config.group, frame, &mut self.events, &mut self.work)
                }
                State::Open(state) => state.handle_frame(
                    now,
                    frame,
                    &mut self.outbound,
                    &mut self.events,
                    &mut self.tickets,
                ),
                state @ (State::Generating { .. }
                | State::Agreeing { .. }
                | State::Draining { .. }
                | State::Done) => Ok(state),
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
            State::AwaitKey(_) => true,
            State::Open(open) => open.awaiting.is_none(),
            State::Generating { .. }
            | State::Agreeing { .. }
            | State::Draining { .. }
            | State::Done => false,
        };
        ready && self.outbound.has_room()
    }

    /// 10 from the server (rule C-04).
    fn offer_key(&mut self, now: Instant, public: &PublicValue) {
        let group = &self.config.group;
        let key = DhPublicKey {
            prime: group.prime().to_vec(),
            generator: group.generator().to_vec(),
            public: public.as_bytes().to_vec(),
        };
        match key.to_pem() {
            Ok(pem) => self.outbound.push(now, Opcode::KeyVerification, pem.as_bytes()),
            Err(error) => self.end(now, End::Fault(error.into())),
        }
    }

    /// 20 (rule C-10). The idle timer starts here.
    fn share_token(&mut self, now: Instant, token: Token, secret: &SharedSecret) {
        let keys = Keys::derive(secret);
        self.outbound.push(now, Opcode::SessionToken, &keys.seal_token(&token));
        self.events.push_back(Event::TokenShared);
        let idle_at = now + self.config.idle;
        self.state = State::Open(Box::new(Open {
            keys,
            token,
            idle_at,
            sum: None,
            awaiting: None,
            ending: None,
        }));
    }

    /// The one place where a session ends: last frames, then drain.
    fn end(&mut self, now: Instant, end: End) {
        let state = std::mem::replace(&mut self.state, State::Draining { until: now + DRAIN_MAX });
        let last_sum = match &state {
            State::Open(open) => open.sum.map(|sum| open.keys.seal_total(sum)),
            State::Generating { .. }
            | State::AwaitKey(_)
            | State::Agreeing { .. }
            | State::Draining { .. }
            | State::Done => None,
        };
        let (result, farewell) = match &end {
            End::Bye => (None, Some(if self.config.end_all { text::END_ALL } else { text::END })),
            End::Idle { counted: true } => (last_sum, None),
            End::Idle { counted: false } => (None, Some(text::IDLE)),
            End::Ordered(Reason::Shutdown) => (last_sum, Some(Reason::Shutdown.farewell())),
            End::Ordered(reason) => (None, Some(reason.farewell())),
            End::Fault(fault) => (None, fault.farewell()),
            End::Closed => (None, None),
        };
        if let Some(body) = result {
            self.outbound.push(now, Opcode::EncryptedResult, &body);
        }
        if let Some(text) = farewell {
            self.outbound.push(now, Opcode::Disconnect, text.as_bytes());
        }
        if matches!(end, End::Fault(Fault::TakesNothing)) {
            self.state = State::Done;
        }
        self.work = None;
        self.inbound.clear();
        self.events.push_back(Event::Ended(end));
    }
}

impl AwaitKey {
    /// The client's 10: parsed, in our group, in range; then the shared value.
    fn handle_frame(
        self,
        group: &Group,
        frame: Frame<'_>,
        events: &mut VecDeque<Event>,
        work: &mut Option<Job>,
    ) -> Result<State, End> {
        let fault = End::Fault;
        if frame.header.opcode == Opcode::Disconnect.number() {
            return Err(End::Bye);
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
        events.push_back(Event::KeyVerified);
        *work = Some(Job::Agree { exponent: self.exponent, peer });
        Ok(State::Agreeing { token: self.token, deadline: self.deadline })
    }
}

impl Open {
    fn handle_frame(
        self: Box<Self>,
        now: Instant,
        frame: Frame<'_>,
        outbound: &mut Outbound,
        events: &mut VecDeque<Event>,
        tickets: &mut u64,
    ) -> Result<State, End> {
        match Opcode::from_number(frame.header.opcode) {
            Some(Opcode::Disconnect) => Err(End::Bye),
            Some(Opcode::EncryptedData) if !frame.body.is_empty() => {
                self.handle_data(now, frame.body, outbound, events, tickets).map_err(End::Fault)
            }
            Some(
                Opcode::KeyVerification
                | Opcode::SessionToken
                | Opcode::EncryptedData
                | Opcode::EncryptedResult,
            )
            | None => {
                events.push_back(Event::Ignored { opcode: frame.header.opcode });
                Ok(State::Open(self))
            }
        }
    }

    /// 30: token, then HMAC, then the ciphertext (rules C-12 to C-14).
    fn handle_data(
        mut self: Box<Self>,
        now: Instant,
        body: &[u8],
        outbound: &mut Outbound,
        events: &mut VecDeque<Event>,
        tickets: &mut u64,
    ) -> Result<State, Fault> {
        let data = Data::decode(body).ok_or(Fault::Token)?;
        if !bool::from(Token::new(*data.token).ct_eq(&self.token)) {
            return Err(Fault::Token);
        }
        match self.keys.open_data(&data) {
            Ok(plaintext) => {
                *tickets += 1;
                self.awaiting = Some(*tickets);
                let amount = classic::amount(&plaintext);
                events.push_back(Event::Submit { ticket: Ticket(*tickets), amount });
            }
            Err(BodyError::Tampered) => {
                outbound.push(now, Opcode::EncryptedData, text::TAMPERING.as_bytes());
                events.push_back(Event::Tampered);
            }
            Err(BodyError::Hmac) => return Err(Fault::Hmac),
        }
        Ok(State::Open(self))
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
