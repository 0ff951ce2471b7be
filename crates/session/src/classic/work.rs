//! The exponentiations of a handshake, separate from the session so that they run on any thread.

use std::fmt;
use std::num::NonZeroU32;

use ddes_ffdhe::{Exponent, Group, GroupError, PublicValue, PublicValueError, SharedSecret};
use ddes_wire::classic::{DhKeyError, DhPublicKey};
use zeroize::{Zeroizing, zeroize_stack};

/// Bytes of stack to wipe after an exchange: more than its deepest call uses.
const STACK_BYTES: usize = 64 * 1024;

/// Random bytes that suffice for an exponent of any accepted group.
pub const ENTROPY_BYTES_MAX: usize = 64;

/// The random bytes of an exponent, drawn before the group says how many it needs.
pub(super) type ExponentEntropy = Zeroizing<[u8; ENTROPY_BYTES_MAX]>;

/// Exponentiations that a session asks for. They take up to a millisecond, or more for a received
/// group that is not a known one, so they run outside the session, on any thread.
#[derive(Debug)]
pub struct HandshakeWork(pub(super) ExchangeJob);

/// The result of [`HandshakeWork`], for the session that asked.
#[derive(Debug)]
pub struct HandshakeDone(pub(super) ExchangeOutcome);

pub(super) enum ExchangeJob {
    /// Computes the server's public value.
    Generate { group: Group, entropy: ExponentEntropy },
    /// Computes the shared value on the server.
    Agree { exponent: Exponent, peer: PublicValue },
    /// Checks the server's key and computes both values on the client.
    Join(Box<Join>),
}

/// The client's part of the exchange: the server's group is checked, then both values computed.
pub(super) struct Join {
    pub(super) server: DhPublicKey,
    pub(super) entropy: ExponentEntropy,
}

#[derive(Debug)]
pub(super) enum ExchangeOutcome {
    Generated(Exponent, PublicValue),
    Agreed(Result<SharedSecret, PublicValueError>),
    Joined(Box<Result<Joined, JoinError>>),
}

/// A client's own key as PEM, and the shared value.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) key: String,
    pub(super) secret: SharedSecret,
}

/// Why a client refuses a server's key (rules C-06 to C-08).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The server's group is not acceptable (rule C-07).
    #[error("the server's Diffie-Hellman group: {0}")]
    Group(#[from] GroupError),
    /// The server's public value is not acceptable (rule C-08).
    #[error("the server's public value: {0}")]
    PublicValue(#[from] PublicValueError),
    /// The client's key cannot be encoded in the server's group.
    #[error(transparent)]
    Key(#[from] DhKeyError),
}

impl HandshakeWork {
    /// The cost of the handshake that this work begins on the server, in handshakes over 2048 bits;
    /// 1 for other work.
    pub fn cost(&self) -> NonZeroU32 {
        match &self.0 {
            ExchangeJob::Generate { group, .. } => crate::cost(group.prime_len()),
            ExchangeJob::Agree { .. } | ExchangeJob::Join(_) => NonZeroU32::MIN,
        }
    }

    /// Computes the result, without I/O.
    pub fn run(self) -> HandshakeDone {
        let done = self.compute();
        zeroize_stack::<STACK_BYTES>();
        done
    }

    /// A function of its own, so that [`Self::run`] can wipe its stack frame.
    #[inline(never)]
    fn compute(self) -> HandshakeDone {
        HandshakeDone(match self.0 {
            ExchangeJob::Generate { group, entropy } => {
                let exponent = draw(&group, &entropy);
                let public = exponent.public_value();
                ExchangeOutcome::Generated(exponent, public)
            }
            ExchangeJob::Agree { exponent, peer } => ExchangeOutcome::Agreed(exponent.agree(&peer)),
            ExchangeJob::Join(join) => ExchangeOutcome::Joined(Box::new(join.run())),
        })
    }
}

impl Join {
    fn run(self) -> Result<Joined, JoinError> {
        let group = Group::received(&self.server.prime, &self.server.generator)?;
        let peer = PublicValue::received(&group, &self.server.public)?;
        let exponent = draw(&group, &self.entropy);
        let public = exponent.public_value().as_bytes().to_vec();
        let secret = exponent.agree(&peer)?;
        let key = DhPublicKey { public, ..self.server }.to_pem()?;
        Ok(Joined { key, secret })
    }
}

fn draw(group: &Group, entropy: &ExponentEntropy) -> Exponent {
    Exponent::from_entropy(group, &entropy[..group.exponent_len()])
}

impl fmt::Debug for ExchangeJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generate { .. } => "Generate(..)",
            Self::Agree { .. } => "Agree(..)",
            Self::Join(_) => "Join(..)",
        })
    }
}
