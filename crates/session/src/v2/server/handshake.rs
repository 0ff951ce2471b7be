//! The states of a session before it is open, each named after what it waits for.
//!
//! A transition consumes a state and returns the next one. What can fail is checked before, so a
//! session that ends still has the state that says how to tell the client.

use std::sync::Arc;
use std::time::Instant;

use ddes_cipher::LimitError;
use ddes_wire::Token;
use ddes_wire::frame::{Frame, HEADER_BYTES, Opcode};
use ddes_wire::v2::{Hello, IdentityProof, Suite, TAG_BYTES};

use super::ServerConfig;
use crate::outbound::Outbound;
use crate::v2::end::{End, Fault};
use crate::v2::noise::{self, Entropy, Response};
use crate::v2::protocol;
use crate::v2::record::Link;
use crate::v2::work::{Claim, Job};

/// What the session waits for.
#[derive(Debug)]
pub(super) enum Handshake {
    /// Message 1.
    Hello(AwaitHello),
    /// Messages 2 and 3, which are being computed.
    Response(AwaitResponse),
    /// Message 4.
    Proof(AwaitProof),
    /// The verification of message 4, which is being computed.
    Verification(AwaitVerification),
    /// The authorization of the proven identity, and its session in the ledger.
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
    keyed: Box<Keyed>,
    hash: [u8; 32],
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct AwaitVerification {
    keyed: Box<Keyed>,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct AwaitOpening {
    pub(super) keyed: Box<Keyed>,
    /// The number of the ticket that answers.
    pub(super) ticket: u64,
}

/// What a session has from its keys on, boxed: transitions do not copy keys.
#[derive(Debug)]
pub(super) struct Keyed {
    pub(super) link: Link,
    pub(super) token: Token,
}

impl Handshake {
    /// The longest body that is taken; `None` while no frame is. Only the exact lengths fit.
    pub(super) fn body_max(&self) -> Option<u32> {
        match self {
            Self::Hello(_) => Some(HELLO_BYTES_MAX),
            Self::Proof(_) => Some(PROOF_BODY_BYTES),
            Self::Response(_) | Self::Verification(_) | Self::Opening(_) => None,
        }
    }

    /// How many received bytes are kept: the frame that is due, or the next one.
    pub(super) fn bytes_max(&self) -> usize {
        match self {
            Self::Hello(_) => FIRST_BYTES_MAX,
            Self::Response(_) | Self::Proof(_) | Self::Verification(_) | Self::Opening(_) => {
                HEADER_BYTES + PROOF_BODY_BYTES as usize
            }
        }
    }

    /// When the handshake is over; no longer once the identity is proven.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Hello(state) => Some(state.deadline),
            Self::Response(state) => Some(state.deadline),
            Self::Proof(state) => Some(state.deadline),
            Self::Verification(state) => Some(state.deadline),
            Self::Opening(_) => None,
        }
    }

    /// Whether the next step is the client's.
    pub(super) fn awaits_client(&self) -> bool {
        self.body_max().is_some()
    }

    /// How the session ends where the stream does, with or without a part of a frame before.
    pub(super) fn cut_off(&self, is_between_frames: bool) -> End {
        match self {
            Self::Hello(_) if is_between_frames => End::Closed,
            Self::Proof(_) if is_between_frames => End::Left,
            Self::Hello(_)
            | Self::Response(_)
            | Self::Proof(_)
            | Self::Verification(_)
            | Self::Opening(_) => End::Fault(Fault::Truncated),
        }
    }

    /// Message 1 or 4. The work that it leads to, or what is wrong with it; then the state is the
    /// same as before.
    pub(super) fn handle_frame(
        self,
        config: &Arc<ServerConfig>,
        frame: Frame<'_>,
    ) -> (Self, Result<Option<Job>, Fault>) {
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

    /// The link to seal a farewell with; none before there are keys.
    pub(super) fn into_link(self) -> Option<Link> {
        match self {
            Self::Hello(_) | Self::Response(_) => None,
            Self::Proof(AwaitProof { keyed, .. })
            | Self::Verification(AwaitVerification { keyed, .. })
            | Self::Opening(AwaitOpening { keyed, .. }) => Some(keyed.link),
        }
    }
}

impl AwaitHello {
    /// Message 1 is good: messages 2 and 3 are to be computed.
    fn respond(
        self,
        config: &Arc<ServerConfig>,
        suite: Suite,
        message: Vec<u8>,
    ) -> (AwaitResponse, Job) {
        let Self { entropy, token, deadline } = self;
        let job = Job::Respond { suite, entropy, message, config: Arc::clone(config) };
        (AwaitResponse { suite, token, deadline }, job)
    }
}

impl AwaitResponse {
    /// Messages 2 and 3 are computed: sends them.
    pub(super) fn send(
        self,
        now: Instant,
        response: &Response,
        proof: &IdentityProof,
        outbound: &mut Outbound,
    ) -> (AwaitProof, Result<(), LimitError>) {
        let Self { suite, token, deadline } = self;
        let finished = &response.finished;
        let link = Link::new(
            protocol(suite).cipher,
            finished.to_client.clone(),
            finished.to_server.clone(),
        );
        let mut keyed = Box::new(Keyed { link, token });
        outbound.push(now, Opcode::KeyVerification, &response.message);
        let sealer = &mut keyed.link.sealer;
        let sent = outbound.push_record(now, sealer, Opcode::KeyVerification, &proof.encode());
        (AwaitProof { keyed, hash: finished.hash, deadline }, sent)
    }
}

impl AwaitProof {
    /// Message 4, not yet verified.
    fn open(&mut self, frame: Frame<'_>) -> Result<IdentityProof, Fault> {
        let opcode = frame.header.opcode;
        if opcode != Opcode::KeyVerification.number() {
            return Err(Fault::Opcode { opcode });
        }
        IdentityProof::decode(&self.keyed.link.open(frame)?).ok_or(Fault::Proof)
    }

    /// Message 4 has its form: whether it is a proof is to be computed.
    fn verify(self, config: &ServerConfig, proof: IdentityProof) -> (AwaitVerification, Job) {
        let Self { keyed, hash, deadline } = self;
        let job = Job::Verify(Box::new(Claim { proof, server: config.key.public(), hash }));
        (AwaitVerification { keyed, deadline }, job)
    }
}

impl AwaitVerification {
    /// The identity is proven: `ticket` is the right to say whether its session opens.
    pub(super) fn prove(self, ticket: u64) -> AwaitOpening {
        AwaitOpening { keyed: self.keyed, ticket }
    }
}

/// Message 1: its suite and Noise message, whose public values are in range. A bad one costs no
/// exponentiation and no encapsulation (rules P-03, P-04).
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

/// The longest frame of a client that has said nothing yet.
pub const FIRST_BYTES_MAX: usize = HEADER_BYTES + HELLO_BYTES_MAX as usize;

/// The longest message 1, `hybrid-4096`.
const HELLO_BYTES_MAX: u32 = 1_698;

/// Message 4.
#[allow(clippy::cast_possible_truncation, reason = "96 and 16")]
const PROOF_BODY_BYTES: u32 = (IdentityProof::BYTES + TAG_BYTES) as u32;
