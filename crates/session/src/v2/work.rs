//! The handshake's exponentiations and signatures, to be run wherever they hurt nobody.

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

/// As much of the stack as a handshake may have left secrets on: ML-KEM takes the most of it.
const STACK_BYTES: usize = 64 * 1024;

/// Work a session asks for.
#[derive(Debug)]
#[must_use = "the session waits for its result"]
pub struct Work(pub(super) Job);

/// The result of [`Work`], for the session that asked.
#[derive(Debug)]
pub struct Done(pub(super) Outcome);

pub(super) enum Job {
    /// The client's first message.
    Start { suite: Suite, entropy: Entropy },
    /// What the client makes of the server's.
    Finish { initiator: Box<Initiator<Ffdhe, Function>>, message: Vec<u8> },
    /// The server's whole share of the handshake, and its proof.
    Respond { suite: Suite, entropy: Entropy, message: Vec<u8>, config: Arc<ServerConfig> },
    /// Whether a client's proof, message 4, is one.
    Verify(Box<Claim>),
}

/// What message 4 claims.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) proof: IdentityProof,
    pub(super) server: PublicKey,
    pub(super) hash: [u8; 32],
}

#[derive(Debug)]
pub(super) enum Outcome {
    Started(Box<Initiator<Ffdhe, Function>>, Vec<u8>),
    Finished(Result<Finished, NoiseError<PublicValueError>>),
    /// With message 3's plaintext.
    Responded(Result<Box<(Response, IdentityProof)>, NoiseError<PublicValueError>>),
    /// The key that is proven.
    Verified(Option<PublicKey>),
}

impl Work {
    /// What the server's share of the handshake costs, in those of suites over 2048 bits; 1 for
    /// other work.
    pub fn cost(&self) -> NonZeroU32 {
        match &self.0 {
            Job::Respond { suite, .. } => crate::cost(suite.group().public_bytes()),
            Job::Start { .. } | Job::Finish { .. } | Job::Verify(_) => NonZeroU32::MIN,
        }
    }

    /// Runs it: some 0.1 ms to 2 ms of computation, no I/O.
    pub fn run(self) -> Done {
        let done = self.compute();
        zeroize_stack::<STACK_BYTES>();
        done
    }

    /// Apart, so that its stack is below [`Self::run`]'s.
    #[inline(never)]
    fn compute(self) -> Done {
        match self.0 {
            Job::Start { suite, entropy } => {
                let (initiator, message) =
                    Initiator::start(protocol(suite), &prologue(suite), &entropy, &[]);
                Done(Outcome::Started(Box::new(initiator), message))
            }
            Job::Finish { initiator, message } => {
                // The payload is empty: message 2 has exactly its length.
                Done(Outcome::Finished(initiator.finish(&message).map(|(finished, _)| finished)))
            }
            Job::Respond { suite, entropy, message, config } => {
                let response = respond(&protocol(suite), &prologue(suite), &entropy, &message, &[]);
                Done(Outcome::Responded(response.map(|response| {
                    let proof = prove(&config, &response);
                    Box::new((response, proof))
                })))
            }
            Job::Verify(claim) => Done(Outcome::Verified(claim.verify())),
        }
    }
}

/// The server's key, and its signature over the handshake and that key (rule P-15).
fn prove(config: &ServerConfig, response: &Response) -> IdentityProof {
    let key = config.key.public();
    let message = [&response.finished.hash[..], key.as_bytes()].concat();
    IdentityProof { key: *key.as_bytes(), signature: config.key.sign(Namespace::Server, &message) }
}

impl Claim {
    /// The client's key, if its signature is one over the handshake and both keys (rule P-15).
    fn verify(&self) -> Option<PublicKey> {
        let key = PublicKey::new(&self.proof.key).ok()?;
        let message = [&self.hash[..], self.server.as_bytes(), key.as_bytes()].concat();
        key.verify(Namespace::Client, &message, &self.proof.signature).ok().map(|()| key)
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start { suite, .. } => write!(f, "Start({suite:?})"),
            Self::Finish { .. } => f.write_str("Finish(..)"),
            Self::Respond { suite, .. } => write!(f, "Respond({suite:?})"),
            Self::Verify(_) => f.write_str("Verify(..)"),
        }
    }
}
