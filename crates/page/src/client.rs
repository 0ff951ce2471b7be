//! The client's side of the desk.

use std::time::{Duration, Instant};

use ddes_identity::{Namespace, PublicKey, SigningKey};
use ddes_session::v2::noise::Entropy;
use ddes_session::{Phase, classic, v2};
use ddes_wire::v2::{Scope, Status};
use ddes_wire::{ClientId, Sequence};
use zeroize::Zeroizing;

use crate::desk::PageProfile;
use crate::draws::Draws;

const HANDSHAKE: Duration = Duration::from_secs(10);
const REPLY: Duration = Duration::from_secs(10);

/// What happened, and which rule of PROTOCOL.md the server broke if it is a fault.
pub(crate) type Told = (String, Option<&'static str>);

/// One session of the client.
pub(crate) enum ClientSide {
    Classic {
        session: Box<classic::ClientSession>,
        /// Integers that wait: this wire has one at a time.
        waiting: Vec<u64>,
    },
    V2 {
        session: Box<v2::ClientSession>,
        identity: Box<SigningKey>,
        /// The key that the server must prove.
        trusted: PublicKey,
        /// The number of the next integer.
        next: Sequence,
    },
}

impl ClientSide {
    /// Connects for the `connection`-th time.
    pub(crate) fn connect(
        profile: PageProfile,
        draws: &Draws,
        connection: u32,
        trusted: PublicKey,
        now: Instant,
    ) -> Self {
        let label = |what: &str| format!("client/{connection}/{what}");
        match profile {
            PageProfile::Classic => {
                let id = ClientId::random(draws.draw("client/uuid"));
                let config = classic::ClientConfig { id, handshake: HANDSHAKE, reply: REPLY };
                let exponent = Zeroizing::new(draws.draw(&label("exponent")));
                let entropy = classic::ClientEntropy { exponent };
                let session = Box::new(classic::ClientSession::new(config, now, entropy));
                Self::Classic { session, waiting: Vec::new() }
            }
            PageProfile::V2(suite) => {
                let config = v2::ClientConfig { suite, handshake: HANDSHAKE, reply: REPLY };
                let entropy = Entropy {
                    dh: Zeroizing::new(draws.draw::<64>(&label("exponent")).to_vec()),
                    kem: Zeroizing::new(draws.draw(&label("kem"))),
                };
                Self::V2 {
                    session: Box::new(v2::ClientSession::new(config, now, entropy)),
                    identity: Box::new(SigningKey::from_seed(&draws.draw("client/identity"))),
                    trusted,
                    next: Sequence::new(1),
                }
            }
        }
    }

    /// Sends integers; why not, if they are not sent.
    pub(crate) fn send(&mut self, now: Instant, integers: &[i64]) -> Result<(), String> {
        match self {
            Self::Classic { session, waiting } => {
                let wide: Result<Vec<u64>, _> =
                    integers.iter().map(|integer| u64::try_from(*integer)).collect();
                let wide = wide.map_err(|_| "the classic wire has no negative integers")?;
                waiting.extend(wide);
                send_next(session, waiting, now)
            }
            Self::V2 { session, next, .. } => {
                let after = next.forward(integers.len() as u64);
                let after = after.map_err(|_| "the account's numbers are used up")?;
                session.submit(now, *next, integers).map_err(|error| error.to_string())?;
                *next = after;
                Ok(())
            }
        }
    }

    pub(crate) fn leave(&mut self, now: Instant) -> Result<(), String> {
        match self {
            Self::Classic { session, .. } => {
                session.disconnect(now).map_err(|error| error.to_string())
            }
            Self::V2 { session, .. } => {
                session.disconnect(now, Scope::Session).map_err(|error| error.to_string())
            }
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, bytes: &[u8]) {
        match (self, bytes.is_empty()) {
            (Self::Classic { session, .. }, false) => session.handle_bytes(now, bytes),
            (Self::Classic { session, .. }, true) => session.handle_eof(now),
            (Self::V2 { session, .. }, false) => session.handle_bytes(now, bytes),
            (Self::V2 { session, .. }, true) => session.handle_eof(now),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Classic { session, .. } => session.handle_timeout(now),
            Self::V2 { session, .. } => session.handle_timeout(now),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Classic { session, .. } => session.poll_timeout(),
            Self::V2 { session, .. } => session.poll_timeout(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Classic { session, .. } => session.phase(),
            Self::V2 { session, .. } => session.phase(),
        }
    }

    /// What it sends; it counts as sent.
    pub(crate) fn take_pending(&mut self, now: Instant) -> Vec<u8> {
        match self {
            Self::Classic { session, .. } => {
                let bytes = session.pending().to_vec();
                session.sent(now, bytes.len());
                bytes
            }
            Self::V2 { session, .. } => {
                let bytes = session.pending().to_vec();
                session.sent(now, bytes.len());
                bytes
            }
        }
    }

    /// Computes what the handshake asks for, and handles what happened next. `None`: nothing did.
    pub(crate) fn step(&mut self, now: Instant) -> Option<Told> {
        match self {
            Self::Classic { session, waiting } => {
                while let Some(work) = session.poll_work() {
                    session.handle_done(now, work.run());
                }
                let told = of_classic(session.poll_event()?);
                // Before the next answer: why it is not sent is told when the session ends.
                drop(send_next(session, waiting, now));
                Some(told)
            }
            Self::V2 { session, identity, trusted, next } => {
                while let Some(work) = session.poll_work() {
                    session.handle_done(now, work.run());
                }
                Some(match session.poll_event()? {
                    v2::ClientEvent::ServerProven { key } if key != *trusted => (
                        format!(
                            "the server proved {}, not the key known for it: nothing is sent",
                            key.fingerprint()
                        ),
                        Some("P-26"),
                    ),
                    v2::ClientEvent::ServerProven { .. } => {
                        let key = identity.public();
                        let claim = session.claim(&key)?;
                        let signature = identity.sign(Namespace::Client, &claim);
                        match session.prove(now, &key, signature) {
                            Ok(()) => ("the server's signature holds; sends its own".into(), None),
                            Err(error) => (error.to_string(), None),
                        }
                    }
                    v2::ClientEvent::Ready(welcome) => {
                        let standing = welcome.standing;
                        *next = standing.last_seq.forward(1).unwrap_or(*next);
                        (
                            format!(
                                "session {} is open; the sum is {}",
                                welcome.session, standing.sum
                            ),
                            None,
                        )
                    }
                    v2::ClientEvent::Answered(answer) if answer.status == Status::Applied => {
                        (format!("{} counted, the sum is {}", answer.last_seq, answer.sum), None)
                    }
                    v2::ClientEvent::Answered(answer) => {
                        *next = answer.last_seq.forward(1).unwrap_or(*next);
                        (format!("refused with status {}", answer.status as u8), None)
                    }
                    v2::ClientEvent::Ended(end) => of_v2_end(&end),
                })
            }
        }
    }
}

/// Sends the next integer that waits, if none is unanswered.
fn send_next(
    session: &mut classic::ClientSession,
    waiting: &mut Vec<u64>,
    now: Instant,
) -> Result<(), String> {
    let Some(first) = waiting.first() else { return Ok(()) };
    match session.submit(now, *first) {
        Ok(()) => {
            waiting.remove(0);
            Ok(())
        }
        Err(classic::SubmitError::Busy) => Ok(()),
        Err(error @ classic::SubmitError::NotOpen) => {
            waiting.clear();
            Err(error.to_string())
        }
    }
}

fn of_classic(event: classic::ClientEvent) -> Told {
    match event {
        classic::ClientEvent::KeyReceived { bits } => {
            (format!("a key of {bits} bits came; nobody signed it"), None)
        }
        classic::ClientEvent::KeySent => ("sends its key".into(), None),
        classic::ClientEvent::Ready { .. } => ("the token came: the session is open".into(), None),
        classic::ClientEvent::Acknowledged => ("the integer was received".into(), None),
        classic::ClientEvent::Result { sum } => (format!("the sum is {sum}"), None),
        classic::ClientEvent::Discarded { text } => {
            (format!("the server discarded the integer: {text}"), None)
        }
        classic::ClientEvent::LastSum { sum } => (format!("the last sum is {sum}"), None),
        classic::ClientEvent::Ended(classic::ClientEnd::Disconnected { text, .. }) => {
            (format!("the session is over: {text}"), None)
        }
        classic::ClientEvent::Ended(classic::ClientEnd::Idle) => {
            ("the session is over: nothing was counted for too long".into(), None)
        }
        classic::ClientEvent::Ended(classic::ClientEnd::Fault(fault)) => {
            (format!("ends the session: {fault}"), classic_rule(&fault))
        }
    }
}

/// As the variants of [`classic::ClientFault`] name them.
fn classic_rule(fault: &classic::ClientFault) -> Option<&'static str> {
    use classic::ClientFault as Fault;
    Some(match fault {
        Fault::NotClassic { .. } => "C-01",
        Fault::TooLong(_) => "C-02",
        Fault::Truncated => "C-24",
        Fault::Unexpected { .. } => "C-23",
        Fault::Key(_) => "C-06",
        Fault::Join(_) => "C-07",
        Fault::Token => "C-10",
        Fault::Hmac | Fault::Result => "C-15",
        Fault::HandshakeTimeout { .. } | Fault::ReplyTimeout { .. } => "C-19",
        Fault::TakesNothing => "C-20",
    })
}

fn of_v2_end(end: &v2::ClientEnd) -> Told {
    match end {
        v2::ClientEnd::Farewell(farewell) => {
            let reason = farewell.reason as u8;
            (format!("the server's 50, reason {reason}: {}", farewell.text), None)
        }
        v2::ClientEnd::Rejected(rejection) => {
            let reason = rejection.reason as u8;
            (format!("a 50 in the clear, reason {reason}: {}", rejection.text), None)
        }
        v2::ClientEnd::Fault(fault) => (format!("ends the session: {fault}"), v2_rule(fault)),
    }
}

/// As the variants of [`v2::ClientFault`] name them.
fn v2_rule(fault: &v2::ClientFault) -> Option<&'static str> {
    use v2::ClientFault as Fault;
    Some(match fault {
        Fault::TooLong(_) | Fault::Opcode { .. } => "P-26",
        Fault::Truncated => "P-18",
        Fault::Length { .. } | Fault::Handshake(_) => "P-02",
        Fault::Record(_) => "P-08",
        Fault::Proof => "P-15",
        Fault::Malformed { .. } => "P-12",
        Fault::HandshakeTimeout | Fault::ReplyTimeout => "P-27",
        Fault::TakesNothing => "P-24",
        Fault::Limit(_) => "P-07",
    })
}
