//! The client's side of one D-DDES/2 session.
//!
//! It assigns no numbers and keeps nothing after the session: the outbox decides which values to
//! send under which numbers.

mod keyed;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_cipher::{Function, LimitError};
use ddes_ffdhe::PublicValueError;
use ddes_identity::PublicKey;
use ddes_wire::frame::{Frame, Opcode, TooLong};
use ddes_wire::v2::{
    BODY_MAX, Data, Farewell, Hello, IdentityProof, Outcome as Answer, Reason, Rejection, Scope,
    Suite, TEXT_BYTES_MAX, Welcome,
};
use ddes_wire::{Sequence, Total};
use zeroize::Zeroizing;

use super::noise::{Entropy, Finished, Initiator, NoiseError};
use super::record::{RecordError, RecordLayer};
use super::work::{HandshakeDone, HandshakeJob, HandshakeOutcome, HandshakeWork};
use super::{Ffdhe, protocol};
use crate::Phase;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use keyed::{KeyedClient, KeyedStep};

/// The settings of a client's session.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// The suite to use. The session never falls back to another.
    pub suite: Suite,
    /// The longest time from the connection to the server's 20.
    pub handshake: Duration,
    /// The longest wait for the answer to a 30 or a 50.
    pub reply: Duration,
}

/// What happened in a session.
#[derive(Debug)]
pub enum ClientEvent {
    /// The server proved that it holds this key. If the key is the one known for the dialled
    /// address, continue with [`ClientSession::claim`] and [`ClientSession::prove`]; otherwise drop
    /// the session.
    ServerProven {
        /// The public key of the server's identity.
        key: PublicKey,
    },
    /// The server's 20: values can be sent.
    Ready(Welcome),
    /// A 40. Only its `last_seq` says what is counted: one 40 may answer several 30s.
    Answered(Answer),
    /// The session is over.
    Ended(ClientEnd),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    /// An authentic 50 from the server: it came after the server proved its key and the caller
    /// accepted that key.
    Farewell(Farewell),
    /// A 50 in the clear, or an encrypted one before the server's key was accepted. Anybody on the
    /// path can create one. Show its reason as unproven, and change no suite, key or outbox because
    /// of it.
    Rejected(Rejection),
    /// The server broke a rule, did not answer in time, or closed the connection without a 50.
    Fault(ClientFault),
}

/// How a server broke the protocol, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// A frame is longer than any message (rule P-26).
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The stream ended without a 50 (rule P-18).
    #[error("the connection ended without a 50")]
    Truncated,
    /// An opcode is unknown, or not allowed in the current state (rule P-26).
    #[error("opcode {opcode} came out of order")]
    Opcode {
        /// The opcode of the received frame.
        opcode: u32,
    },
    /// Message 2 has a wrong length for the suite (rule P-02).
    #[error("the server's first message has {length} bytes")]
    Length {
        /// The length of the body in bytes.
        length: usize,
    },
    /// Message 2 is not a valid Noise message (rules P-02 to P-04).
    #[error("the handshake: {0}")]
    Handshake(#[from] NoiseError<PublicValueError>),
    /// A record is too short or not authentic (rule P-08).
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Message 3 does not prove the server's identity (rules P-15 and P-16).
    #[error("the server's proof of identity does not verify")]
    Proof,
    /// The plaintext of an authentic record is malformed (rules P-10, P-12 and P-13).
    #[error("a message of opcode {opcode} is malformed")]
    Malformed {
        /// The opcode of the record's frame.
        opcode: Opcode,
    },
    /// No 20 came before the handshake deadline (rule P-27).
    #[error("the server did not open the session in time")]
    HandshakeTimeout,
    /// A 30 or a 50 was not answered in time (rule P-27).
    #[error("the server did not answer in time")]
    ReplyTimeout,
    /// The server read nothing while bytes were pending (rule P-24).
    #[error("the server took nothing for {} s", crate::STALL_MAX.as_secs())]
    TakesNothing,
    /// A message, or the keystream under one key, would exceed the cipher's limit (rule P-07).
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Why values were not accepted for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The session is not open.
    #[error("the session is not open")]
    NotOpen,
    /// There is no value, there are more than the server accepts in one frame, or their numbers
    /// exceed the range.
    #[error("1 to {most} values go into a frame, and their numbers into 64 bits")]
    Count {
        /// The largest number of values that the server accepts in one frame.
        most: u16,
    },
    /// Too many bytes are pending: send them first.
    #[error("too much waits to be sent")]
    Full,
}

/// One D-DDES/2 session, seen from the client.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    state: ClientState,
    inbound: Inbound,
    outbound: Outbound,
    events: VecDeque<ClientEvent>,
    work: Option<HandshakeJob>,
    at_end: bool,
    /// Buffer for the plaintext of a 30.
    plaintext: Zeroizing<Vec<u8>>,
}

#[derive(Debug)]
enum ClientState {
    /// Message 1 is being computed.
    Starting {
        deadline: Instant,
    },
    AwaitAnswer {
        initiator: Box<Initiator<Ffdhe, Function>>,
        deadline: Instant,
    },
    /// The keys are being computed.
    Finishing {
        deadline: Instant,
    },
    Keyed(Box<KeyedClient>),
    Done,
}

impl ClientSession {
    /// Begins a session on a new connection. The client sends first, once its public value is
    /// computed.
    pub fn new(config: ClientConfig, now: Instant, entropy: Entropy) -> Self {
        Self {
            config,
            state: ClientState::Starting { deadline: now + config.handshake },
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            events: VecDeque::new(),
            work: Some(HandshakeJob::Start { suite: config.suite, entropy }),
            at_end: false,
            plaintext: Zeroizing::default(),
        }
    }

    /// Whether the session accepts bytes now.
    pub fn wants_bytes(&self) -> bool {
        !self.at_end && !matches!(self.state, ClientState::Done) && self.inbound.has_room()
    }

    /// Bytes from the server, in pieces of any size.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if !matches!(self.state, ClientState::Done) {
            self.inbound.push(bytes);
            self.advance(now);
        }
    }

    /// The server shut down its direction, or the connection broke.
    pub fn handle_eof(&mut self, now: Instant) {
        self.at_end = true;
        self.advance(now);
    }

    /// The clock reached [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outbound.poll_timeout().is_some_and(|at| at <= now) {
            self.end(ClientEnd::Fault(ClientFault::TakesNothing));
        } else if self.state_timeout().is_some_and(|at| at <= now) {
            let replying = matches!(
                &self.state,
                ClientState::Keyed(keyed)
                    if matches!(keyed.step, KeyedStep::Open { .. } | KeyedStep::Leaving { .. })
            );
            let fault =
                if replying { ClientFault::ReplyTimeout } else { ClientFault::HandshakeTimeout };
            self.end(ClientEnd::Fault(fault));
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
        match (&self.state, done.0) {
            (ClientState::Starting { deadline }, HandshakeOutcome::Started(initiator, noise)) => {
                let hello = Hello { suite: self.config.suite, noise: &noise }.encode();
                self.outbound.push(now, Opcode::KeyVerification, &hello);
                self.state = ClientState::AwaitAnswer { initiator, deadline: *deadline };
            }
            (ClientState::Finishing { deadline }, HandshakeOutcome::Finished(Ok(finished))) => {
                let Finished { hash, to_server, to_client } = finished;
                let records =
                    RecordLayer::new(protocol(self.config.suite).cipher, to_server, to_client);
                let step = KeyedStep::AwaitProof { deadline: *deadline };
                self.state = ClientState::Keyed(Box::new(KeyedClient { records, hash, step }));
            }
            (ClientState::Finishing { .. }, HandshakeOutcome::Finished(Err(error))) => {
                self.end(ClientEnd::Fault(error.into()));
            }
            // The session ended while this was computed.
            (
                _,
                HandshakeOutcome::Started(..)
                | HandshakeOutcome::Finished(_)
                | HandshakeOutcome::Responded(_)
                | HandshakeOutcome::Verified(_),
            ) => {}
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
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Drops what is pending, since the socket accepts nothing more. What the server sent before
    /// may still be read.
    pub fn give_up_sending(&mut self) {
        self.outbound.clear();
    }

    /// How far the connection has come. After its own 50 the client sends nothing more.
    pub fn phase(&self) -> Phase {
        match &self.state {
            ClientState::Done => Phase::Done,
            ClientState::Keyed(keyed) if matches!(keyed.step, KeyedStep::Leaving { .. }) => {
                Phase::Draining
            }
            ClientState::Starting { .. }
            | ClientState::AwaitAnswer { .. }
            | ClientState::Finishing { .. }
            | ClientState::Keyed(_) => Phase::Live,
        }
    }

    /// What `key` signs, for [`ddes_identity::Namespace::Client`], to prove itself to the server of
    /// [`ClientEvent::ServerProven`]: h ‖ server key ‖ client key.
    pub fn claim(&self, key: &PublicKey) -> Option<Vec<u8>> {
        match &self.state {
            ClientState::Keyed(keyed) => match &keyed.step {
                KeyedStep::AwaitTrust { server, .. } => {
                    Some([&keyed.hash[..], server.as_bytes(), key.as_bytes()].concat())
                }
                KeyedStep::AwaitProof { .. }
                | KeyedStep::AwaitWelcome { .. }
                | KeyedStep::Open { .. }
                | KeyedStep::Leaving { .. } => None,
            },
            ClientState::Starting { .. }
            | ClientState::AwaitAnswer { .. }
            | ClientState::Finishing { .. }
            | ClientState::Done => None,
        }
    }

    /// Accepts the server's key and sends message 4, with the signature of [`Self::claim`].
    pub fn prove(
        &mut self,
        now: Instant,
        key: &PublicKey,
        signature: [u8; 64],
    ) -> Result<(), SubmitError> {
        let ClientState::Keyed(keyed) = &mut self.state else { return Err(SubmitError::NotOpen) };
        let KeyedStep::AwaitTrust { deadline, .. } = keyed.step else {
            return Err(SubmitError::NotOpen);
        };
        let proof = IdentityProof { key: *key.as_bytes(), signature };
        keyed.step = KeyedStep::AwaitWelcome { deadline };
        self.send(now, Opcode::KeyVerification, &proof.encode());
        Ok(())
    }

    /// Sends a 30 with `values`, numbered from `first_seq` on.
    pub fn submit(
        &mut self,
        now: Instant,
        first_seq: Sequence,
        values: &[i64],
    ) -> Result<(), SubmitError> {
        let reply = now + self.config.reply;
        let ClientState::Keyed(keyed) = &mut self.state else { return Err(SubmitError::NotOpen) };
        let KeyedStep::Open { token, values_max, awaited } = &mut keyed.step else {
            return Err(SubmitError::NotOpen);
        };
        let count = SubmitError::Count { most: *values_max };
        if values.len() > usize::from(*values_max) {
            return Err(count);
        }
        if !self.outbound.has_room() {
            return Err(SubmitError::Full);
        }
        let last = (values.len() as u64).checked_sub(1).ok_or(count)?;
        let last = first_seq.forward(last).map_err(|_| count)?;
        let mut plaintext = std::mem::take(&mut self.plaintext);
        plaintext.clear();
        if plaintext.capacity() < Data::bytes(values.len()) {
            // Not grown in place: reallocation would leave an unwiped copy of the token behind.
            plaintext = Zeroizing::new(Vec::with_capacity(Data::bytes(values.len())));
        }
        Data::write(token, first_seq, values, &mut plaintext).ok_or(count)?;
        awaited.highest = awaited.highest.max(last);
        awaited.until.get_or_insert(reply);
        self.send(now, Opcode::EncryptedData, &plaintext);
        self.plaintext = plaintext;
        Ok(())
    }

    /// Sends a 50. The server first answers the 30s before it, then sends its own 50.
    pub fn disconnect(&mut self, now: Instant, scope: Scope) -> Result<(), SubmitError> {
        let ClientState::Keyed(keyed) = &mut self.state else { return Err(SubmitError::NotOpen) };
        if !matches!(keyed.step, KeyedStep::Open { .. }) {
            return Err(SubmitError::NotOpen);
        }
        keyed.step = KeyedStep::Leaving { deadline: now + self.config.reply };
        let (last_seq, sum, text) = (Sequence::NONE, Total::ZERO, String::new());
        let farewell = Farewell { reason: Reason::Bye, scope, last_seq, sum, text };
        self.send(now, Opcode::Disconnect, &farewell.encode());
        Ok(())
    }

    fn send(&mut self, now: Instant, opcode: Opcode, plaintext: &[u8]) {
        let ClientState::Keyed(keyed) = &mut self.state else { return };
        if let Err(error) =
            self.outbound.push_record(now, &mut keyed.records.sealer, opcode, plaintext)
        {
            self.end(ClientEnd::Fault(error.into()));
        }
    }

    fn state_timeout(&self) -> Option<Instant> {
        match &self.state {
            ClientState::Starting { deadline }
            | ClientState::AwaitAnswer { deadline, .. }
            | ClientState::Finishing { deadline } => Some(*deadline),
            ClientState::Keyed(keyed) => match &keyed.step {
                KeyedStep::AwaitProof { deadline }
                | KeyedStep::AwaitTrust { deadline, .. }
                | KeyedStep::AwaitWelcome { deadline }
                | KeyedStep::Leaving { deadline } => Some(*deadline),
                KeyedStep::Open { awaited, .. } => awaited.until,
            },
            ClientState::Done => None,
        }
    }

    fn advance(&mut self, now: Instant) {
        while matches!(self.state, ClientState::AwaitAnswer { .. } | ClientState::Keyed(_)) {
            let frame = match self.inbound.frame(BODY_MAX) {
                Ok(Some(frame)) => frame,
                Ok(None) if self.at_end => {
                    return self.end(ClientEnd::Fault(ClientFault::Truncated));
                }
                Ok(None) => return,
                Err(too_long) => return self.end(ClientEnd::Fault(too_long.into())),
            };
            let length = frame.len();
            let outcome = match &mut self.state {
                ClientState::Keyed(keyed) => {
                    keyed.handle_frame(now, self.config.reply, frame, &mut self.events)
                }
                ClientState::AwaitAnswer { .. } => match answer(self.config.suite, frame) {
                    Ok(message) => self.finish(message),
                    Err(end) => Err(end),
                },
                ClientState::Starting { .. }
                | ClientState::Finishing { .. }
                | ClientState::Done => Ok(()),
            };
            self.inbound.consume(length);
            if let Err(end) = outcome {
                self.end(end);
            }
        }
    }

    /// Message 2 is here: the keys are to be computed.
    fn finish(&mut self, message: Vec<u8>) -> Result<(), ClientEnd> {
        match std::mem::replace(&mut self.state, ClientState::Done) {
            ClientState::AwaitAnswer { initiator, deadline } => {
                self.work = Some(HandshakeJob::Finish { initiator, message });
                self.state = ClientState::Finishing { deadline };
            }
            state @ (ClientState::Starting { .. }
            | ClientState::Finishing { .. }
            | ClientState::Keyed(_)
            | ClientState::Done) => {
                self.state = state;
            }
        }
        Ok(())
    }

    fn end(&mut self, end: ClientEnd) {
        if matches!(self.state, ClientState::Done) {
            return;
        }
        self.state = ClientState::Done;
        self.work = None;
        self.inbound.clear();
        self.outbound.clear();
        self.events.push_back(ClientEvent::Ended(end));
    }
}

/// The Noise message of message 2, or the 50 in the clear that replaces it.
fn answer(suite: Suite, frame: Frame<'_>) -> Result<Vec<u8>, ClientEnd> {
    let fault = ClientEnd::Fault;
    match Opcode::from_number(frame.header.opcode) {
        Some(Opcode::KeyVerification) if frame.body.len() == suite.answer_bytes() => {
            Ok(frame.body.to_vec())
        }
        Some(Opcode::KeyVerification) => {
            Err(fault(ClientFault::Length { length: frame.body.len() }))
        }
        Some(Opcode::Disconnect) => Err(match Rejection::decode(frame.body) {
            Some(rejection) if frame.body.len() <= 1 + TEXT_BYTES_MAX => {
                ClientEnd::Rejected(rejection)
            }
            Some(_) | None => fault(ClientFault::Malformed { opcode: Opcode::Disconnect }),
        }),
        Some(Opcode::SessionToken | Opcode::EncryptedData | Opcode::EncryptedResult) | None => {
            Err(fault(ClientFault::Opcode { opcode: frame.header.opcode }))
        }
    }
}
