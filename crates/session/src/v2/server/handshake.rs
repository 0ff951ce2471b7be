//! The states of a session before it is open, each named after what it waits for.
//!
//! A transition consumes a state and returns the next one. What can fail is checked before it, so
//! that a session that ends still has the state that says how to tell the client.

use std::sync::Arc;
use std::time::Instant;

use ddes_cipher::LimitError;
use ddes_wire::Token;
use ddes_wire::frame::{Frame, HEADER_BYTES, Opcode};
use ddes_wire::v2::{Hello, IdentityProof, Suite, TAG_BYTES};

use super::ServerConfig;
use crate::outbound::Outbound;
use crate::v2::end::{Fault, ServerEnd};
use crate::v2::noise::{self, Entropy, Response};
use crate::v2::protocol;
use crate::v2::record::RecordLayer;
use crate::v2::work::{HandshakeJob, ProofCheck};

/// What the session waits for, with the data of that state.
#[derive(Debug)]
pub(super) enum Handshake {
    /// Waits for message 1.
    Hello(AwaitHello),
    /// Waits for the computation of messages 2 and 3.
    Response(AwaitResponse),
    /// Waits for message 4.
    Proof(AwaitProof),
    /// Waits for the verification of message 4.
    Verification(AwaitVerification),
    /// Waits for the authorization of the proven identity, and for its session in the ledger.
    Opening(AwaitOpening),
}

pub(super) struct AwaitHello {
    pub(super) entropy: Entropy,
    pub(super) token: Token,
    pub(super) deadline: Instant,
}

impl std::fmt::Debug for AwaitHello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AwaitHello(..)")
    }
}

#[derive(Debug)]
pub(super) struct AwaitResponse {
    suite: Suite,
    token: Token,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct AwaitProof {
    keyed: Box<KeyedHandshake>,
    hash: [u8; 32],
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct AwaitVerification {
    keyed: Box<KeyedHandshake>,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct AwaitOpening {
    pub(super) keyed: Box<KeyedHandshake>,
    /// The number of the ticket that answers the authentication.
    pub(super) ticket: u64,
}

/// What a session holds once it has keys. Boxed, so that transitions do not copy keys.
#[derive(Debug)]
pub(super) struct KeyedHandshake {
    pub(super) records: RecordLayer,
    pub(super) token: Token,
}

impl Handshake {
    /// The longest body that the state accepts; `None` while it accepts no frame.
    pub(super) fn body_max(&self) -> Option<u32> {
        match self {
            Self::Hello(_) => Some(HELLO_BYTES_MAX),
            Self::Proof(_) => Some(PROOF_BODY_BYTES),
            Self::Response(_) | Self::Verification(_) | Self::Opening(_) => None,
        }
    }

    /// The most received bytes to keep: those of the next message.
    pub(super) fn bytes_max(&self) -> usize {
        match self {
            Self::Hello(_) => FIRST_BYTES_MAX,
            Self::Response(_) | Self::Proof(_) | Self::Verification(_) | Self::Opening(_) => {
                HEADER_BYTES + PROOF_BODY_BYTES as usize
            }
        }
    }

    /// The handshake's deadline; `None` once the identity is proven.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Hello(state) => Some(state.deadline),
            Self::Response(state) => Some(state.deadline),
            Self::Proof(state) => Some(state.deadline),
            Self::Verification(state) => Some(state.deadline),
            Self::Opening(_) => None,
        }
    }

    /// Whether the state waits for a message of the client.
    pub(super) fn awaits_client(&self) -> bool {
        self.body_max().is_some()
    }

    /// How the session ends if the stream ends in this state.
    pub(super) fn cut_off(&self, is_between_frames: bool) -> ServerEnd {
        match self {
            Self::Hello(_) if is_between_frames => ServerEnd::Closed,
            Self::Proof(_) if is_between_frames => ServerEnd::Left,
            Self::Hello(_)
            | Self::Response(_)
            | Self::Proof(_)
            | Self::Verification(_)
            | Self::Opening(_) => ServerEnd::Fault(Fault::Truncated),
        }
    }

    /// Handles message 1 or 4. Returns the next state and its computation, or the same state and
    /// the fault of the message.
    pub(super) fn handle_frame(
        self,
        config: &Arc<ServerConfig>,
        frame: Frame<'_>,
    ) -> (Self, Result<Option<HandshakeJob>, Fault>) {
        match self {
            Self::Hello(state) => match hello(config, frame) {
                Ok((suite, message)) => {
                    let (state, job) = state.respond(config, suite, message);
                    (Self::Response(state), Ok(Some(job)))
                }
                Err(fault) => (Self::Hello(state), Err(fault)),
            },
            Self::Proof(mut state) => match state.open(frame) {
                Ok(proof) => {
                    let (state, job) = state.verify(config, proof);
                    (Self::Verification(state), Ok(Some(job)))
                }
                Err(fault) => (Self::Proof(state), Err(fault)),
            },
            state @ (Self::Response(_) | Self::Verification(_) | Self::Opening(_)) => {
                (state, Ok(None))
            }
        }
    }

    /// The record layer that encrypts a farewell; `None` before there are keys.
    pub(super) fn into_records(self) -> Option<RecordLayer> {
        match self {
            Self::Hello(_) | Self::Response(_) => None,
            Self::Proof(AwaitProof { keyed, .. })
            | Self::Verification(AwaitVerification { keyed, .. })
            | Self::Opening(AwaitOpening { keyed, .. }) => Some(keyed.records),
        }
    }
}

impl AwaitHello {
    /// Message 1 is valid: messages 2 and 3 are to be computed.
    fn respond(
        self,
        config: &Arc<ServerConfig>,
        suite: Suite,
        message: Vec<u8>,
    ) -> (AwaitResponse, HandshakeJob) {
        let Self { entropy, token, deadline } = self;
        let job = HandshakeJob::Respond { suite, entropy, message, config: Arc::clone(config) };
        (AwaitResponse { suite, token, deadline }, job)
    }
}

impl AwaitResponse {
    /// Sends messages 2 and 3, which are computed.
    pub(super) fn send(
        self,
        now: Instant,
        response: &Response,
        proof: &IdentityProof,
        outbound: &mut Outbound,
    ) -> (AwaitProof, Result<(), LimitError>) {
        let Self { suite, token, deadline } = self;
        let finished = &response.finished;
        let records = RecordLayer::new(
            protocol(suite).cipher,
            finished.to_client.clone(),
            finished.to_server.clone(),
        );
        let mut keyed = Box::new(KeyedHandshake { records, token });
        outbound.push(now, Opcode::KeyVerification, &response.message);
        let sealer = &mut keyed.records.sealer;
        let sent = outbound.push_record(now, sealer, Opcode::KeyVerification, &proof.encode());
        (AwaitProof { keyed, hash: finished.hash, deadline }, sent)
    }
}

impl AwaitProof {
    /// Decrypts and parses message 4; its signature is not verified yet.
    fn open(&mut self, frame: Frame<'_>) -> Result<IdentityProof, Fault> {
        let opcode = frame.header.opcode;
        if opcode != Opcode::KeyVerification.number() {
            return Err(Fault::Opcode { opcode });
        }
        IdentityProof::decode(&self.keyed.records.open(frame)?).ok_or(Fault::Proof)
    }

    /// Message 4 is well-formed: its signature is to be verified.
    fn verify(
        self,
        config: &ServerConfig,
        proof: IdentityProof,
    ) -> (AwaitVerification, HandshakeJob) {
        let Self { keyed, hash, deadline } = self;
        let job =
            HandshakeJob::Verify(Box::new(ProofCheck { proof, server: config.key.public(), hash }));
        (AwaitVerification { keyed, deadline }, job)
    }
}

impl AwaitVerification {
    /// The identity is proven. `ticket` is the right to say whether its session opens.
    pub(super) fn prove(self, ticket: u64) -> AwaitOpening {
        AwaitOpening { keyed: self.keyed, ticket }
    }
}

/// Parses message 1 and checks its public values, before any exponentiation or encapsulation is
/// spent on it (rules P-03 and P-04).
fn hello(config: &ServerConfig, frame: Frame<'_>) -> Result<(Suite, Vec<u8>), Fault> {
    let opcode = frame.header.opcode;
    if opcode != Opcode::KeyVerification.number() {
        return Err(Fault::Opcode { opcode });
    }
    let Hello { suite, noise: message } = Hello::decode(frame.body)?;
    if !config.suites.contains(&suite) {
        return Err(Fault::Suite { suite });
    }
    noise::check(&protocol(suite), message)?;
    Ok((suite, message.to_vec()))
}

/// The longest first frame of a client, header included.
pub const FIRST_BYTES_MAX: usize = HEADER_BYTES + HELLO_BYTES_MAX as usize;

/// The length of the longest message 1, that of suite `hybrid-4096`.
const HELLO_BYTES_MAX: u32 = 1_698;

/// The length of the frame body that holds message 4.
#[allow(clippy::cast_possible_truncation, reason = "96 and 16")]
const PROOF_BODY_BYTES: u32 = (IdentityProof::BYTES + TAG_BYTES) as u32;
