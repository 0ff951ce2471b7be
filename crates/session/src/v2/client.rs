//! The client's side of one D-DDES/2 session.
//!
//! It numbers nothing and remembers nothing beyond the session: which values to send, and under
//! which numbers, is the outbox's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_cipher::{Function, LimitError};
use ddes_ffdhe::PublicValueError;
use ddes_identity::{Namespace, PublicKey};
use ddes_wire::frame::{Frame, Opcode, TooLong};
use ddes_wire::v2::{
    BODY_MAX, Data, Farewell, Hello, IdentityProof, Outcome as Answer, Reason, Rejection, Scope,
    Suite, TEXT_BYTES_MAX, Welcome,
};
use ddes_wire::{Sequence, Token, Total};
use zeroize::Zeroizing;

use super::noise::{Entropy, Finished, Initiator, NoiseError};
use super::record::{Link, RecordError};
use super::work::{Done, Job, Outcome, Work};
use super::{Ffdhe, protocol};
use crate::Phase;
use crate::inbound::Inbound;
use crate::outbound::Outbound;

/// What a client decides.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// The one suite it speaks; it never tries another by itself.
    pub suite: Suite,
    /// From the connection to a 20.
    pub handshake: Duration,
    /// The longest wait for the answer to a 30, and to a 50.
    pub reply: Duration,
}

/// What happened in a session.
#[derive(Debug)]
pub enum ClientEvent {
    /// The server holds this key. If it is known for the address dialled, continue with
    /// [`ClientSession::claim`] and [`ClientSession::prove`]. Else drop the session.
    ServerProven {
        /// The server's identity.
        key: PublicKey,
    },
    /// 20: values can be sent.
    Ready(Welcome),
    /// A 40. Go by its `last_seq`, never by the number of 40s.
    Answered(Answer),
    /// The session is over.
    Ended(ClientEnd),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    /// The server's 50, authentic: it came after the server's key was proven and found known.
    Farewell(Farewell),
    /// A 50 in the clear, or a sealed one before that: anybody on the path can create one. Show its
    /// reason as unproven; change no suite, key or outbox because of it.
    Rejected(Rejection),
    /// The server broke a rule, or the connection broke.
    Fault(ClientFault),
}

/// The rule a server broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// P-26.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// P-18: the stream ended without a 50.
    #[error("the connection ended without a 50")]
    Truncated,
    /// P-26.
    #[error("opcode {opcode} came out of order")]
    Opcode {
        /// What came.
        opcode: u32,
    },
    /// P-02: message 2 has another length than the suite's.
    #[error("the server's first message has {length} bytes")]
    Length {
        /// Its length.
        length: usize,
    },
    /// P-02 to P-04.
    #[error("the handshake: {0}")]
    Handshake(#[from] NoiseError<PublicValueError>),
    /// P-08.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// P-15, P-16.
    #[error("the server's proof of identity does not verify")]
    Proof,
    /// P-10, P-12, P-13: authentic, and no message.
    #[error("a message of opcode {opcode} is malformed")]
    Malformed {
        /// Its opcode.
        opcode: Opcode,
    },
    /// P-27.
    #[error("the server did not open the session in time")]
    HandshakeTimeout,
    /// P-27.
    #[error("the server did not answer in time")]
    ReplyTimeout,
    /// P-24.
    #[error("the server took nothing for {} s", crate::STALL_MAX.as_secs())]
    TakesNothing,
    /// P-07.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Why values were not taken for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The session is not open.
    #[error("the session is not open")]
    NotOpen,
    /// None, more than the server takes in a frame, or a numbering beyond its range.
    #[error("1 to {most} values go into a frame, and their numbers into 64 bits")]
    Count {
        /// The most values.
        most: u16,
    },
    /// What was sent before is to go out first.
    #[error("too much waits to be sent")]
    Full,
}

/// One D-DDES/2 session, seen from the client.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    state: State,
    inbound: Inbound,
    outbound: Outbound,
    events: VecDeque<ClientEvent>,
    work: Option<Job>,
    at_end: bool,
    /// The memory of a 30's plaintext.
    plaintext: Zeroizing<Vec<u8>>,
}

#[derive(Debug)]
enum State {
    /// Our first message is being computed.
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
    Keyed(Box<Keyed>),
    Done,
}

/// From the keys on: what is awaited, and the link.
#[derive(Debug)]
struct Keyed {
    link: Link,
    hash: [u8; 32],
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Message 3.
    AwaitProof {
        deadline: Instant,
    },
    /// The caller's word on the server's key.
    AwaitTrust {
        server: PublicKey,
        deadline: Instant,
    },
    /// 20.
    AwaitWelcome {
        deadline: Instant,
    },
    Open {
        token: Token,
        values_max: u16,
        awaited: Awaited,
    },
    /// Our 50 is sent.
    Leaving {
        deadline: Instant,
    },
}

impl Step {
    /// Message 3 has been verified, and its key found among those known: what is sealed is the
    /// server's word.
    fn is_proven(&self) -> bool {
        match self {
            Self::AwaitProof { .. } | Self::AwaitTrust { .. } => cfg!(ddes_mutant = "early-50"),
            Self::AwaitWelcome { .. } | Self::Open { .. } | Self::Leaving { .. } => true,
        }
    }
}

/// The answers still due.
#[derive(Debug, Default)]
struct Awaited {
    /// The highest number sent.
    highest: Sequence,
    /// Until when the next answer is due.
    until: Option<Instant>,
}

impl ClientSession {
    /// A connection was made. The client speaks first, once its public value is computed.
    pub fn new(config: ClientConfig, now: Instant, entropy: Entropy) -> Self {
        Self {
            config,
            state: State::Starting { deadline: now + config.handshake },
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            events: VecDeque::new(),
            work: Some(Job::Start { suite: config.suite, entropy }),
            at_end: false,
            plaintext: Zeroizing::default(),
        }
    }

    /// Whether the session can take bytes just now.
    pub fn wants_bytes(&self) -> bool {
        !self.at_end && !matches!(self.state, State::Done) && self.inbound.has_room()
    }

    /// Bytes from the server, in pieces of any size.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if !matches!(self.state, State::Done) {
            self.inbound.push(bytes);
            self.advance(now);
        }
    }

    /// The connection is gone.
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
                State::Keyed(keyed) if matches!(keyed.step, Step::Open { .. } | Step::Leaving { .. })
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

    /// The handshake's work; give its result to [`Self::handle_done`].
    pub fn poll_work(&mut self) -> Option<Work> {
        self.work.take().map(Work)
    }

    /// The result of [`Self::poll_work`].
    pub fn handle_done(&mut self, now: Instant, done: Done) {
        match (&self.state, done.0) {
            (State::Starting { deadline }, Outcome::Started(initiator, noise)) => {
                let hello = Hello { suite: self.config.suite, noise: &noise }.encode();
                self.outbound.push(now, Opcode::KeyVerification, &hello);
                self.state = State::AwaitAnswer { initiator, deadline: *deadline };
            }
            (State::Finishing { deadline }, Outcome::Finished(Ok(finished))) => {
                let Finished { hash, to_server, to_client } = finished;
                let link = Link::new(protocol(self.config.suite).cipher, to_server, to_client);
                let step = Step::AwaitProof { deadline: *deadline };
                self.state = State::Keyed(Box::new(Keyed { link, hash, step }));
            }
            (State::Finishing { .. }, Outcome::Finished(Err(error))) => {
                self.end(ClientEnd::Fault(error.into()));
            }
            // The session ended while the work ran.
            (
                _,
                Outcome::Started(..)
                | Outcome::Finished(_)
                | Outcome::Responded(_)
                | Outcome::Verified(_),
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

    /// The socket takes nothing any more: what is pending is given up. What the server said before
    /// may still be read.
    pub fn give_up_sending(&mut self) {
        self.outbound.clear();
    }

    /// How far the connection has come. From our own 50 on there is nothing more to send.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Done => Phase::Done,
            State::Keyed(keyed) if matches!(keyed.step, Step::Leaving { .. }) => Phase::Draining,
            State::Starting { .. }
            | State::AwaitAnswer { .. }
            | State::Finishing { .. }
            | State::Keyed(_) => Phase::Live,
        }
    }

    /// What `key` signs, for [`Namespace::Client`], to prove itself to the server of
    /// [`ClientEvent::ServerProven`]: h ‖ server key ‖ client key.
    pub fn claim(&self, key: &PublicKey) -> Option<Vec<u8>> {
        match &self.state {
            State::Keyed(keyed) => match &keyed.step {
                Step::AwaitTrust { server, .. } => {
                    Some([&keyed.hash[..], server.as_bytes(), key.as_bytes()].concat())
                }
                Step::AwaitProof { .. }
                | Step::AwaitWelcome { .. }
                | Step::Open { .. }
                | Step::Leaving { .. } => None,
            },
            State::Starting { .. }
            | State::AwaitAnswer { .. }
            | State::Finishing { .. }
            | State::Done => None,
        }
    }

    /// The server is trusted: message 4, with the signature of [`Self::claim`].
    pub fn prove(
        &mut self,
        now: Instant,
        key: &PublicKey,
        signature: [u8; 64],
    ) -> Result<(), SubmitError> {
        let State::Keyed(keyed) = &mut self.state else { return Err(SubmitError::NotOpen) };
        let Step::AwaitTrust { deadline, .. } = keyed.step else {
            return Err(SubmitError::NotOpen);
        };
        let proof = IdentityProof { key: *key.as_bytes(), signature };
        keyed.step = Step::AwaitWelcome { deadline };
        self.send(now, Opcode::KeyVerification, &proof.encode());
        Ok(())
    }

    /// 30: `values` under the numbers from `first_seq` on.
    pub fn submit(
        &mut self,
        now: Instant,
        first_seq: Sequence,
        values: &[i64],
    ) -> Result<(), SubmitError> {
        let reply = now + self.config.reply;
        let State::Keyed(keyed) = &mut self.state else { return Err(SubmitError::NotOpen) };
        let Step::Open { token, values_max, awaited } = &mut keyed.step else {
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
            // Never grown in place: that would leave a copy of the token behind.
            plaintext = Zeroizing::new(Vec::with_capacity(Data::bytes(values.len())));
        }
        Data::write(token, first_seq, values, &mut plaintext).ok_or(count)?;
        awaited.highest = awaited.highest.max(last);
        awaited.until.get_or_insert(reply);
        self.send(now, Opcode::EncryptedData, &plaintext);
        self.plaintext = plaintext;
        Ok(())
    }

    /// 50. The server answers what came before, then says its own.
    pub fn disconnect(&mut self, now: Instant, scope: Scope) -> Result<(), SubmitError> {
        let State::Keyed(keyed) = &mut self.state else { return Err(SubmitError::NotOpen) };
        if !matches!(keyed.step, Step::Open { .. }) {
            return Err(SubmitError::NotOpen);
        }
        keyed.step = Step::Leaving { deadline: now + self.config.reply };
        let (last_seq, sum, text) = (Sequence::NONE, Total::ZERO, String::new());
        let farewell = Farewell { reason: Reason::Bye, scope, last_seq, sum, text };
        self.send(now, Opcode::Disconnect, &farewell.encode());
        Ok(())
    }

    fn send(&mut self, now: Instant, opcode: Opcode, plaintext: &[u8]) {
        let State::Keyed(keyed) = &mut self.state else { return };
        if let Err(error) =
            self.outbound.push_record(now, &mut keyed.link.sealer, opcode, plaintext)
        {
            self.end(ClientEnd::Fault(error.into()));
        }
    }

    fn state_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Starting { deadline }
            | State::AwaitAnswer { deadline, .. }
            | State::Finishing { deadline } => Some(*deadline),
            State::Keyed(keyed) => match &keyed.step {
                Step::AwaitProof { deadline }
                | Step::AwaitTrust { deadline, .. }
                | Step::AwaitWelcome { deadline }
                | Step::Leaving { deadline } => Some(*deadline),
                Step::Open { awaited, .. } => awaited.until,
            },
            State::Done => None,
        }
    }

    fn advance(&mut self, now: Instant) {
        while matches!(self.state, State::AwaitAnswer { .. } | State::Keyed(_)) {
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
                State::Keyed(keyed) => {
                    keyed.handle_frame(now, self.config.reply, frame, &mut self.events)
                }
                State::AwaitAnswer { .. } => match answer(self.config.suite, frame) {
                    Ok(message) => self.finish(message),
                    Err(end) => Err(end),
                },
                State::Starting { .. } | State::Finishing { .. } | State::Done => Ok(()),
            };
            self.inbound.consume(length);
            if let Err(end) = outcome {
                self.end(end);
            }
        }
    }

    /// Message 2 is taken: the keys.
    fn finish(&mut self, message: Vec<u8>) -> Result<(), ClientEnd> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::AwaitAnswer { initiator, deadline } => {
                self.work = Some(Job::Finish { initiator, message });
                self.state = State::Finishing { deadline };
            }
            state @ (State::Starting { .. }
            | State::Finishing { .. }
            | State::Keyed(_)
            | State::Done) => {
                self.state = state;
            }
        }
        Ok(())
    }

    fn end(&mut self, end: ClientEnd) {
        if matches!(self.state, State::Done) {
            return;
        }
        self.state = State::Done;
        self.work = None;
        self.inbound.clear();
        self.outbound.clear();
        self.events.push_back(ClientEvent::Ended(end));
    }
}

/// Message 2, or a 50 in the clear in its place.
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

impl Keyed {
    fn handle_frame(
        &mut self,
        now: Instant,
        reply: Duration,
        frame: Frame<'_>,
        events: &mut VecDeque<ClientEvent>,
    ) -> Result<(), ClientEnd> {
        let number = frame.header.opcode;
        let out_of_order = ClientEnd::Fault(ClientFault::Opcode { opcode: number });
        let Some(opcode) = Opcode::from_number(number) else { return Err(out_of_order) };
        let plaintext = self.link.open(frame).map_err(|error| ClientEnd::Fault(error.into()))?;
        let malformed = ClientEnd::Fault(ClientFault::Malformed { opcode });
        match (&mut self.step, opcode) {
            (step, Opcode::Disconnect) => {
                let is_proven = step.is_proven();
                Err(Farewell::decode(&plaintext).map_or(malformed, |farewell| match is_proven {
                    true => ClientEnd::Farewell(farewell),
                    false => ClientEnd::Rejected(Rejection {
                        reason: farewell.reason,
                        text: farewell.text,
                    }),
                }))
            }
            (Step::AwaitProof { deadline }, Opcode::KeyVerification) => {
                let deadline = *deadline;
                let server = self.verify(&plaintext).ok_or(ClientEnd::Fault(ClientFault::Proof))?;
                self.step = Step::AwaitTrust { server, deadline };
                events.push_back(ClientEvent::ServerProven { key: server });
                Ok(())
            }
            (Step::AwaitWelcome { .. }, Opcode::SessionToken) => {
                let welcome = Welcome::decode(&plaintext).ok_or(malformed)?;
                let (token, values_max) = (welcome.token.clone(), welcome.values_max);
                self.step = Step::Open { token, values_max, awaited: Awaited::default() };
                events.push_back(ClientEvent::Ready(welcome));
                Ok(())
            }
            (step @ (Step::Open { .. } | Step::Leaving { .. }), Opcode::EncryptedResult) => {
                let answer = Answer::decode(&plaintext).ok_or(malformed)?;
                if let Step::Open { awaited, .. } = step {
                    let due = answer.last_seq < awaited.highest;
                    awaited.until = due.then_some(now + reply);
                }
                self.link.keep(plaintext);
                events.push_back(ClientEvent::Answered(answer));
                Ok(())
            }
            (
                Step::AwaitProof { .. }
                | Step::AwaitTrust { .. }
                | Step::AwaitWelcome { .. }
                | Step::Open { .. }
                | Step::Leaving { .. },
                Opcode::KeyVerification
                | Opcode::SessionToken
                | Opcode::EncryptedData
                | Opcode::EncryptedResult,
            ) => Err(out_of_order),
        }
    }

    /// Message 3: the key that it proves.
    fn verify(&self, plaintext: &[u8]) -> Option<PublicKey> {
        let proof = IdentityProof::decode(plaintext)?;
        let key = PublicKey::new(&proof.key).ok()?;
        let m = [&self.hash[..], key.as_bytes()].concat();
        key.verify(Namespace::Server, &m, &proof.signature).ok().map(|()| key)
    }
}
