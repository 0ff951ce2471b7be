//! The client's side of one classic session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_wire::classic::{BODY_MAX, DhKeyError, DhPublicKey, text};
use ddes_wire::frame::{Frame, HEADER_BYTES, Header, Opcode, TooLong};
use ddes_wire::{ClientId, Token, Total, shown};
use zeroize::Zeroizing;

use super::crypto::{BodyError, SessionKeys};
use super::{
    ExchangeJob, ExchangeOutcome, ExponentEntropy, HandshakeDone, HandshakeWork, Join, JoinError,
};
use crate::Phase;
use crate::inbound::Inbound;
use crate::outbound::Outbound;

/// The longest text of a 50 or a 30 to show, in characters.
const TEXT_CHARS_MAX: usize = 256;

/// The settings of a client's session.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The UUID sent with each integer.
    pub id: ClientId,
    /// The longest wait for the server's key, and for the token after ours. The original computes
    /// fresh parameters for each connection, which takes it 1 s to 60 s.
    pub handshake: Duration,
    /// The longest wait for both answers to an integer.
    pub reply: Duration,
}

/// The randomness of one session, drawn by the caller.
pub struct ClientEntropy {
    /// For the private exponent; the server's group takes as many bytes as it needs.
    pub exponent: Zeroizing<[u8; super::ENTROPY_BYTES_MAX]>,
}

/// What happened in a session.
#[derive(Debug)]
pub enum ClientEvent {
    /// The server's key came; its group is being checked and the shared value computed.
    KeyReceived {
        /// Length of the prime in bits.
        bits: usize,
    },
    /// The client's key is to be sent.
    KeySent,
    /// The server's session token came: integers can be sent.
    Ready {
        /// The token, which classic clients show, as the original does.
        token: Token,
    },
    /// The server received the integer: the first of its two answers.
    Acknowledged,
    /// The server's sum, in answer to an integer.
    Result {
        /// The sum that includes the integer.
        sum: Total,
    },
    /// The server discarded the integer and counted nothing.
    Discarded {
        /// Its text, without control characters.
        text: String,
    },
    /// A sum that answers no integer: the server sends it before it closes.
    LastSum {
        /// The sum of all counted integers.
        sum: Total,
    },
    /// The session is over.
    Ended(ClientEnd),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    /// The server's 50, or the end of the stream after our own.
    Disconnected {
        /// Whether the client had sent a 50 before.
        asked: bool,
        /// The server's text, without control characters; empty if none came.
        text: String,
    },
    /// The server's idle timer ran out: it said so, or sent a last sum.
    Idle,
    /// The peer broke a rule, or did not answer in time.
    Fault(ClientFault),
}

/// How a server broke the protocol, or that it did not answer in time, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// The first bytes are not a frame of this protocol (rule C-01).
    #[error("what answers does not speak the classic protocol (it began with {first:02x?})")]
    NotClassic {
        /// As many of the first bytes as a frame header has.
        first: [u8; HEADER_BYTES],
    },
    /// A frame is longer than the limit (rule C-02).
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The stream ended without a 50 or a last sum (rule C-24).
    #[error("the connection ended without a word (truncated)")]
    Truncated,
    /// An opcode is unknown, or not allowed in the current state (rule C-23).
    #[error("opcode {opcode} came where {expected} was expected")]
    Unexpected {
        /// The opcode of the received frame.
        opcode: u32,
        /// What the state allows, for the message.
        expected: &'static str,
    },
    /// The server's key is not a Diffie-Hellman key in PEM (rule C-06).
    #[error(transparent)]
    Key(#[from] DhKeyError),
    /// The server's group or public value is not acceptable (rules C-07 and C-08).
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The session token does not decrypt (rule C-10).
    #[error("the session token does not decrypt")]
    Token,
    /// The HMAC of a 40 is wrong (rule C-15).
    #[error("the HMAC of the sum is wrong")]
    Hmac,
    /// A 40 does not decrypt to a decimal number (rule C-15).
    #[error("the sum does not decrypt to a decimal number")]
    Result,
    /// The handshake took longer than its deadline (rule C-19).
    #[error("nothing came within {} s", .waited.as_secs())]
    HandshakeTimeout {
        /// The longest wait that the settings allow.
        waited: Duration,
        /// Whether the server had sent nothing at all.
        silent: bool,
    },
    /// An integer was not answered in time (rule C-19).
    #[error("no answer to the integer came within {} s", .waited.as_secs())]
    ReplyTimeout {
        /// The longest wait that the settings allow.
        waited: Duration,
    },
    /// The server read nothing while bytes were pending (rule C-20).
    #[error("the server took nothing for {} s", crate::STALL_MAX.as_secs())]
    TakesNothing,
}

/// Why an integer was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The session is not ready yet, or over.
    #[error("the session is not open")]
    NotOpen,
    /// The previous integer is not answered yet: classic sends one at a time.
    #[error("an integer still waits for its answer")]
    Busy,
}

/// One classic session, seen from the client.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    state: ClientState,
    inbound: Inbound,
    outbound: Outbound,
    events: VecDeque<ClientEvent>,
    work: Option<ExchangeJob>,
    has_received: bool,
}

#[derive(Debug)]
enum ClientState {
    AwaitKey {
        entropy: Box<ExponentEntropy>,
        deadline: Instant,
    },
    /// The server's group is being checked and the exponentiations computed.
    Joining {
        deadline: Instant,
    },
    AwaitToken {
        keys: SessionKeys,
        deadline: Instant,
    },
    Open(OpenClient),
    Done,
}

#[derive(Debug)]
struct OpenClient {
    keys: SessionKeys,
    token: Token,
    waits_for: WaitsFor,
    /// The client's own 50 is sent.
    asked: bool,
    /// A last sum came: the server closes next.
    last_sum: bool,
}

#[derive(Clone, Copy, Debug)]
enum WaitsFor {
    Nothing,
    Acknowledgement { deadline: Instant },
    Result { deadline: Instant },
}

impl ClientSession {
    /// Begins a session on a new connection. The server sends first.
    pub fn new(config: ClientConfig, now: Instant, entropy: ClientEntropy) -> Self {
        let deadline = now + config.handshake;
        Self {
            config,
            state: ClientState::AwaitKey { entropy: Box::new(entropy.exponent), deadline },
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            events: VecDeque::new(),
            work: None,
            has_received: false,
        }
    }

    /// Whether the session accepts bytes now.
    pub fn wants_bytes(&self) -> bool {
        !matches!(self.state, ClientState::Done) && self.inbound.has_room()
    }

    /// Bytes from the server, in pieces of any size.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if !matches!(self.state, ClientState::Done) {
            self.has_received |= !bytes.is_empty();
            self.inbound.push(bytes);
            self.advance(now);
        }
    }

    /// The server closed the connection, or it was reset.
    pub fn handle_eof(&mut self, _now: Instant) {
        let end = match &self.state {
            ClientState::Done => return,
            ClientState::Open(open) if open.asked => {
                ClientEnd::Disconnected { asked: true, text: String::new() }
            }
            ClientState::Open(open) if open.last_sum => ClientEnd::Idle,
            ClientState::AwaitKey { .. }
            | ClientState::Joining { .. }
            | ClientState::AwaitToken { .. }
            | ClientState::Open(_) => ClientEnd::Fault(ClientFault::Truncated),
        };
        self.end(end);
    }

    /// The clock reached [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outbound.poll_timeout().is_some_and(|at| at <= now) {
            return self.end(ClientEnd::Fault(ClientFault::TakesNothing));
        }
        if self.state_deadline().is_none_or(|at| at > now) {
            return;
        }
        let silent = !self.has_received;
        let end = match &self.state {
            ClientState::Open(open) if open.asked => {
                ClientEnd::Disconnected { asked: true, text: String::new() }
            }
            ClientState::Open(_) => {
                ClientEnd::Fault(ClientFault::ReplyTimeout { waited: self.config.reply })
            }
            ClientState::AwaitKey { .. }
            | ClientState::Joining { .. }
            | ClientState::AwaitToken { .. }
            | ClientState::Done => ClientEnd::Fault(ClientFault::HandshakeTimeout {
                waited: self.config.handshake,
                silent,
            }),
        };
        self.end(end);
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.state_deadline().into_iter().chain(self.outbound.poll_timeout()).min()
    }

    /// The exponentiations to compute. Give their result to [`Self::handle_done`].
    pub fn poll_work(&mut self) -> Option<HandshakeWork> {
        self.work.take().map(HandshakeWork)
    }

    /// Takes the result of [`Self::poll_work`] and sends the client's 10.
    pub fn handle_done(&mut self, now: Instant, done: HandshakeDone) {
        let (ClientState::Joining { .. }, ExchangeOutcome::Joined(joined)) = (&self.state, done.0)
        else {
            return;
        };
        match *joined {
            Ok(joined) => {
                self.outbound.push(now, Opcode::KeyVerification, joined.key.as_bytes());
                self.events.push_back(ClientEvent::KeySent);
                let deadline = now + self.config.handshake;
                self.state =
                    ClientState::AwaitToken { keys: SessionKeys::derive(&joined.secret), deadline };
            }
            Err(error) => return self.end(ClientEnd::Fault(error.into())),
        }
        self.advance(now);
    }

    /// What to send next; empty if nothing. Write it in one call if possible: the original reads
    /// each field with a single `recv`.
    pub fn pending(&self) -> &[u8] {
        self.outbound.pending()
    }

    /// `count` bytes of [`Self::pending`] went out.
    pub fn sent(&mut self, now: Instant, count: usize) {
        self.outbound.sent(now, count);
    }

    /// Drops what is pending, since the connection accepts no more bytes.
    pub fn give_up_sending(&mut self) {
        self.outbound.clear();
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// How far the connection has come. A client never drains, since the server closes last.
    pub fn phase(&self) -> Phase {
        if matches!(self.state, ClientState::Done) { Phase::Done } else { Phase::Live }
    }

    /// Sends 30 with one integer. Its answers are [`ClientEvent::Acknowledged`] and
    /// [`ClientEvent::Result`], or [`ClientEvent::Discarded`].
    pub fn submit(&mut self, now: Instant, value: u64) -> Result<(), SubmitError> {
        let ClientState::Open(open) = &mut self.state else { return Err(SubmitError::NotOpen) };
        if open.asked {
            return Err(SubmitError::NotOpen);
        }
        if !matches!(open.waits_for, WaitsFor::Nothing) {
            return Err(SubmitError::Busy);
        }
        open.waits_for = WaitsFor::Acknowledgement { deadline: now + self.config.reply };
        let body = open.keys.seal_data(&open.token, value, &self.config.id);
        self.outbound.push(now, Opcode::EncryptedData, &body);
        Ok(())
    }

    /// Sends 50, twice as the original does, and waits for the server's.
    pub fn disconnect(&mut self, now: Instant) -> Result<(), SubmitError> {
        let ClientState::Open(open) = &mut self.state else { return Err(SubmitError::NotOpen) };
        if !open.asked {
            open.asked = true;
            open.waits_for = WaitsFor::Result { deadline: now + self.config.reply };
            self.outbound.push(now, Opcode::Disconnect, &[]);
            self.outbound.push(now, Opcode::Disconnect, &[]);
        }
        Ok(())
    }

    fn state_deadline(&self) -> Option<Instant> {
        match &self.state {
            ClientState::AwaitKey { deadline, .. }
            | ClientState::Joining { deadline }
            | ClientState::AwaitToken { deadline, .. } => Some(*deadline),
            ClientState::Open(open) => match open.waits_for {
                WaitsFor::Nothing => None,
                WaitsFor::Acknowledgement { deadline } | WaitsFor::Result { deadline } => {
                    Some(deadline)
                }
            },
            ClientState::Done => None,
        }
    }

    fn advance(&mut self, now: Instant) {
        while !matches!(self.state, ClientState::Joining { .. } | ClientState::Done) {
            if let Some(fault) = self.foreign() {
                return self.end(ClientEnd::Fault(fault));
            }
            let frame = match self.inbound.frame(BODY_MAX) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(too_long) => return self.end(ClientEnd::Fault(too_long.into())),
            };
            let length = frame.len();
            let state = std::mem::replace(&mut self.state, ClientState::Done);
            let outcome = if frame.header.opcode == Opcode::Disconnect.number() {
                Err(disconnected(&state, frame.body))
            } else {
                state.handle_frame(now, &self.config, frame, &mut self.events, &mut self.work)
            };
            self.inbound.consume(length);
            match outcome {
                Ok(state) => self.state = state,
                Err(end) => self.end(end),
            }
        }
    }

    /// The fault of a peer whose first bytes are not a classic frame. It is found before the length
    /// is used: text read as a length would make the client wait for a body that never comes.
    fn foreign(&self) -> Option<ClientFault> {
        let ClientState::AwaitKey { .. } = self.state else { return None };
        let first = *self.inbound.waiting().first_chunk()?;
        let opcode = Opcode::from_number(Header::decode(first).opcode);
        opcode.is_none().then_some(ClientFault::NotClassic { first })
    }

    fn end(&mut self, end: ClientEnd) {
        self.state = ClientState::Done;
        self.work = None;
        self.inbound.clear();
        self.outbound.clear();
        self.events.push_back(ClientEvent::Ended(end));
    }
}

impl ClientState {
    /// Any frame but a 50.
    fn handle_frame(
        self,
        now: Instant,
        config: &ClientConfig,
        frame: Frame<'_>,
        events: &mut VecDeque<ClientEvent>,
        work: &mut Option<ExchangeJob>,
    ) -> Result<Self, ClientEnd> {
        let opcode = frame.header.opcode;
        let unexpected = |expected| ClientEnd::Fault(ClientFault::Unexpected { opcode, expected });
        match self {
            Self::AwaitKey { entropy, .. } if opcode == Opcode::KeyVerification.number() => {
                let server = DhPublicKey::from_pem(frame.body)
                    .map_err(|error| ClientEnd::Fault(error.into()))?;
                events.push_back(ClientEvent::KeyReceived { bits: server.prime.len() * 8 });
                *work = Some(ExchangeJob::Join(Box::new(Join { server, entropy: *entropy })));
                Ok(Self::Joining { deadline: now + config.handshake })
            }
            Self::AwaitToken { keys, .. } if opcode == Opcode::SessionToken.number() => {
                let token =
                    keys.open_token(frame.body).ok_or(ClientEnd::Fault(ClientFault::Token))?;
                events.push_back(ClientEvent::Ready { token: token.clone() });
                let waits_for = WaitsFor::Nothing;
                Ok(Self::Open(OpenClient { keys, token, waits_for, asked: false, last_sum: false }))
            }
            Self::Open(open) => open.handle_frame(frame, events).map(Self::Open),
            Self::AwaitKey { .. } => Err(unexpected("10, the server's key,")),
            Self::AwaitToken { .. } => Err(unexpected("20, the session token,")),
            Self::Joining { .. } | Self::Done => Err(unexpected("nothing")),
        }
    }
}

impl OpenClient {
    /// 30 and 40 (rule C-15).
    fn handle_frame(
        mut self,
        frame: Frame<'_>,
        events: &mut VecDeque<ClientEvent>,
    ) -> Result<Self, ClientEnd> {
        let opcode = frame.header.opcode;
        match (Opcode::from_number(opcode), self.waits_for) {
            (Some(Opcode::EncryptedData), WaitsFor::Acknowledgement { deadline }) => {
                if frame.body == text::RECEIVED.as_bytes() {
                    self.waits_for = WaitsFor::Result { deadline };
                    events.push_back(ClientEvent::Acknowledged);
                } else {
                    self.waits_for = WaitsFor::Nothing;
                    events.push_back(ClientEvent::Discarded { text: printable(frame.body) });
                }
            }
            (Some(Opcode::EncryptedResult), waits_for) => {
                let sum = self.keys.open_total(frame.body).map_err(|error| {
                    ClientEnd::Fault(match error {
                        BodyError::Hmac => ClientFault::Hmac,
                        BodyError::Tampered => ClientFault::Result,
                    })
                })?;
                if !self.asked && matches!(waits_for, WaitsFor::Result { .. }) {
                    self.waits_for = WaitsFor::Nothing;
                    events.push_back(ClientEvent::Result { sum });
                } else {
                    self.last_sum = true;
                    events.push_back(ClientEvent::LastSum { sum });
                }
            }
            (
                Some(
                    Opcode::KeyVerification
                    | Opcode::SessionToken
                    | Opcode::EncryptedData
                    | Opcode::Disconnect,
                )
                | None,
                _,
            ) => {
                let expected = "30, 40 or 50";
                return Err(ClientEnd::Fault(ClientFault::Unexpected { opcode, expected }));
            }
        }
        Ok(self)
    }
}

/// How a 50 of the server ends the session; it may come in any state.
fn disconnected(state: &ClientState, body: &[u8]) -> ClientEnd {
    if body == text::IDLE.as_bytes() {
        return ClientEnd::Idle;
    }
    let asked = matches!(state, ClientState::Open(open) if open.asked);
    ClientEnd::Disconnected { asked, text: printable(body) }
}

/// The server's text without control characters, and no longer than [`TEXT_CHARS_MAX`].
fn printable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().filter(|c| shown::is_plain(*c)).take(TEXT_CHARS_MAX).collect()
}
