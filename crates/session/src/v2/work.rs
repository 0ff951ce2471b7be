//! The handshake's exponentiations and signatures, separate from the session so that they run on
//! any thread.

use std::num::NonZeroU32;
use std::sync::Arc;

use ddes_cipher::Function;
use ddes_ffdhe::PublicValueError;
use ddes_identity::{Namespace, PublicKey};
use ddes_wire::v2::{IdentityProof, Suite};
use zeroize::zeroize_stack;

use super::noise::{Entropy, Finished, Initiator, NoiseError, Response, respond};
use super::server::ServerConfig;
use super::{Ffdhe, prologue, protocol};

/// Bytes of stack to wipe after a handshake: more than its deepest call uses, which is ML-KEM's.
const STACK_BYTES: usize = 64 * 1024;

/// A computation that a session asks for, to run on any thread.
#[derive(Debug)]
#[must_use = "the session waits for its result"]
pub struct HandshakeWork(pub(super) HandshakeJob);

/// The result of [`HandshakeWork`], for the session that asked.
#[derive(Debug)]
pub struct HandshakeDone(pub(super) HandshakeOutcome);

pub(super) enum HandshakeJob {
    /// Builds the client's first message.
    Start { suite: Suite, entropy: Entropy },
    /// Processes the server's message 2 on the client.
    Finish { initiator: Box<Initiator<Ffdhe, Function>>, message: Vec<u8> },
    /// Computes message 2 and the server's proof of identity, the plaintext of message 3.
    Respond { suite: Suite, entropy: Entropy, message: Vec<u8>, config: Arc<ServerConfig> },
    /// Verifies the client's proof of identity, message 4.
    Verify(Box<ProofCheck>),
}

/// A client's proof, with what its signature must cover.
#[derive(Debug)]
pub(super) struct ProofCheck {
    pub(super) proof: IdentityProof,
    pub(super) server: PublicKey,
    pub(super) hash: [u8; 32],
}

#[derive(Debug)]
pub(super) enum HandshakeOutcome {
    Started(Box<Initiator<Ffdhe, Function>>, Vec<u8>),
    Finished(Result<Finished, NoiseError<PublicValueError>>),
    /// Message 2, and the plaintext of message 3.
    Responded(Result<Box<(Response, IdentityProof)>, NoiseError<PublicValueError>>),
    /// The client's key; `None` if the proof does not verify.
    Verified(Option<PublicKey>),
}

impl HandshakeWork {
    /// The cost of the server's part of a handshake, in handshakes over 2048 bits; 1 for other
    /// work.
    pub fn cost(&self) -> NonZeroU32 {
        match &self.0 {
            HandshakeJob::Respond { suite, .. } => crate::cost(suite.group().public_bytes()),
            HandshakeJob::Start { .. } | HandshakeJob::Finish { .. } | HandshakeJob::Verify(_) => {
                NonZeroU32::MIN
            }
        }
    }

    /// The suite that the client's message 1 names, of the work that answers it.
    pub fn suite(&self) -> Option<Suite> {
        match &self.0 {
            HandshakeJob::Respond { suite, .. } => Some(*suite),
            HandshakeJob::Start { .. } | HandshakeJob::Finish { .. } | HandshakeJob::Verify(_) => {
                None
            }
        }
    }

    /// Computes the result in 0.1 ms to 2 ms, without I/O.
    pub fn run(self) -> HandshakeDone {
        let done = self.compute();
        zeroize_stack::<STACK_BYTES>();
        done
    }

    /// A function of its own, so that [`Self::run`] can wipe its stack frame.
    #[inline(never)]
    fn compute(self) -> HandshakeDone {
        match self.0 {
            HandshakeJob::Start { suite, entropy } => {
                let (initiator, message) =
                    Initiator::start(protocol(suite), &prologue(suite), &entropy, &[]);
                HandshakeDone(HandshakeOutcome::Started(Box::new(initiator), message))
            }
            HandshakeJob::Finish { initiator, message } => {
                // The payload is empty: the length of message 2 was checked.
                HandshakeDone(HandshakeOutcome::Finished(
                    initiator.finish(&message).map(|(finished, _)| finished),
                ))
            }
            HandshakeJob::Respond { suite, entropy, message, config } => {
                let response = respond(&protocol(suite), &prologue(suite), &entropy, &message, &[]);
                HandshakeDone(HandshakeOutcome::Responded(response.map(|response| {
                    let proof = prove(&config, &response);
                    Box::new((response, proof))
                })))
            }
            HandshakeJob::Verify(claim) => {
                HandshakeDone(HandshakeOutcome::Verified(claim.verify()))
            }
        }
    }
}

/// The server's key, and its signature over the handshake hash and that key (rule P-15).
fn prove(config: &ServerConfig, response: &Response) -> IdentityProof {
    let key = config.key.public();
    let message = [&response.finished.hash[..], key.as_bytes()].concat();
    IdentityProof { key: *key.as_bytes(), signature: config.key.sign(Namespace::Server, &message) }
}

impl ProofCheck {
    /// The client's key, if its signature covers the handshake hash and both keys (rule P-15).
    fn verify(&self) -> Option<PublicKey> {
        let key = PublicKey::new(&self.proof.key).ok()?;
        let message = [&self.hash[..], self.server.as_bytes(), key.as_bytes()].concat();
        key.verify(Namespace::Client, &message, &self.proof.signature).ok().map(|()| key)
    }
}

impl std::fmt::Debug for HandshakeJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start { suite, .. } => write!(f, "Start({suite:?})"),
            Self::Finish { .. } => f.write_str("Finish(..)"),
            Self::Respond { suite, .. } => write!(f, "Respond({suite:?})"),
            Self::Verify(_) => f.write_str("Verify(..)"),
        }
    }
}
