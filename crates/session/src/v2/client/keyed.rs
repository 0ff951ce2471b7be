//! The states of a client from the keys on, each named after what it waits for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_identity::{Namespace, PublicKey};
use ddes_wire::frame::{Frame, Opcode};
use ddes_wire::v2::{Farewell, IdentityProof, Outcome as Answer, Rejection, Welcome};
use ddes_wire::{Sequence, Token};

use super::{ClientEnd, ClientEvent, ClientFault};
use crate::v2::record::RecordLayer;

/// What the session holds once there are keys.
#[derive(Debug)]
pub(super) struct KeyedClient {
    pub(super) records: RecordLayer,
    pub(super) hash: [u8; 32],
    pub(super) step: KeyedStep,
}

#[derive(Debug)]
pub(super) enum KeyedStep {
    /// Waits for message 3.
    AwaitProof {
        deadline: Instant,
    },
    /// Waits for the caller to accept the server's key.
    AwaitTrust {
        server: PublicKey,
        deadline: Instant,
    },
    /// Waits for the server's 20.
    AwaitWelcome {
        deadline: Instant,
    },
    Open {
        token: Token,
        values_max: u16,
        awaited: Awaited,
    },
    /// Waits for the server's 50, after the client's own.
    Leaving {
        deadline: Instant,
    },
}

impl KeyedStep {
    /// Whether message 3 is verified and the caller accepted its key, so that records are known to
    /// be the server's.
    fn is_proven(&self) -> bool {
        match self {
            Self::AwaitProof { .. } | Self::AwaitTrust { .. } => cfg!(ddes_mutant = "early-50"),
            Self::AwaitWelcome { .. } | Self::Open { .. } | Self::Leaving { .. } => true,
        }
    }
}

/// The 40s that are still due.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// The highest number sent in a 30.
    pub(super) highest: Sequence,
    /// The deadline of the next 40; `None` if all values are answered.
    pub(super) until: Option<Instant>,
}
impl KeyedClient {
    pub(super) fn handle_frame(
        &mut self,
        now: Instant,
        reply: Duration,
        frame: Frame<'_>,
        events: &mut VecDeque<ClientEvent>,
    ) -> Result<(), ClientEnd> {
        let number = frame.header.opcode;
        let out_of_order = ClientEnd::Fault(ClientFault::Opcode { opcode: number });
        let Some(opcode) = Opcode::from_number(number) else { return Err(out_of_order) };
        let plaintext = self.records.open(frame).map_err(|error| ClientEnd::Fault(error.into()))?;
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
            (KeyedStep::AwaitProof { deadline }, Opcode::KeyVerification) => {
                let deadline = *deadline;
                let server = self.verify(&plaintext).ok_or(ClientEnd::Fault(ClientFault::Proof))?;
                self.step = KeyedStep::AwaitTrust { server, deadline };
                events.push_back(ClientEvent::ServerProven { key: server });
                Ok(())
            }
            (KeyedStep::AwaitWelcome { .. }, Opcode::SessionToken) => {
                let welcome = Welcome::decode(&plaintext).ok_or(malformed)?;
                let (token, values_max) = (welcome.token.clone(), welcome.values_max);
                self.step = KeyedStep::Open { token, values_max, awaited: Awaited::default() };
                events.push_back(ClientEvent::Ready(welcome));
                Ok(())
            }
            (
                step @ (KeyedStep::Open { .. } | KeyedStep::Leaving { .. }),
                Opcode::EncryptedResult,
            ) => {
                let answer = Answer::decode(&plaintext).ok_or(malformed)?;
                if let KeyedStep::Open { awaited, .. } = step {
                    let due = answer.last_seq < awaited.highest;
                    awaited.until = due.then_some(now + reply);
                }
                self.records.recycle(plaintext);
                events.push_back(ClientEvent::Answered(answer));
                Ok(())
            }
            (
                KeyedStep::AwaitProof { .. }
                | KeyedStep::AwaitTrust { .. }
                | KeyedStep::AwaitWelcome { .. }
                | KeyedStep::Open { .. }
                | KeyedStep::Leaving { .. },
                Opcode::KeyVerification
                | Opcode::SessionToken
                | Opcode::EncryptedData
                | Opcode::EncryptedResult,
            ) => Err(out_of_order),
        }
    }

    /// The key that message 3 proves; `None` if it does not verify.
    fn verify(&self, plaintext: &[u8]) -> Option<PublicKey> {
        let proof = IdentityProof::decode(plaintext)?;
        let key = PublicKey::new(&proof.key).ok()?;
        let m = [&self.hash[..], key.as_bytes()].concat();
        key.verify(Namespace::Server, &m, &proof.signature).ok().map(|()| key)
    }
}
