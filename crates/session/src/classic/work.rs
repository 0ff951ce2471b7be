//! The exponentiations of a handshake, apart from the session that asks for them.

use std::fmt;
use std::num::NonZeroU32;

use ddes_ffdhe::{Exponent, Group, GroupError, PublicValue, PublicValueError, SharedSecret};
use ddes_wire::classic::{DhKeyError, DhPublicKey};
use zeroize::{Zeroizing, zeroize_stack};

/// As much of the stack as an exchange may have left secrets on.
const STACK_BYTES: usize = 64 * 1024;

/// Enough random bytes for an exponent of any group that is taken.
pub const ENTROPY_BYTES_MAX: usize = 64;

/// The random bytes of an exponent, before the group and so their number is known.
pub(super) type Entropy = Zeroizing<[u8; ENTROPY_BYTES_MAX]>;

/// Exponentiations a session asks for. They take up to a millisecond (a received group that is
/// not known: more), so they run outside the session, on any thread.
#[derive(Debug)]
pub struct Work(pub(super) Job);

/// The result of [`Work`].
#[derive(Debug)]
pub struct Done(pub(super) Outcome);

pub(super) enum Job {
    /// The server's public value.
    Generate { group: Group, entropy: Entropy },
    /// The server's shared value.
    Agree { exponent: Exponent, peer: PublicValue },
    /// All of the client's part.
    Join(Box<Join>),
}

/// The client's part of the exchange: the server's group is checked, then both values computed.
pub(super) struct Join {
    pub(super) server: DhPublicKey,
    pub(super) entropy: Entropy,
}

#[derive(Debug)]
pub(super) enum Outcome {
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
    /// C-07.
    #[error("the server's Diffie-Hellman group: {0}")]
    Group(#[from] GroupError),
    /// C-08.
    #[error("the server's public value: {0}")]
    PublicValue(#[from] PublicValueError),
    /// Our own key could not be written in the server's group.
    #[error(transparent)]
    Key(#[from] DhKeyError),
}

impl Work {
    /// What the handshake that the server's first work begins costs, in those over 2048 bits; 1 for
    /// other work.
    pub fn cost(&self) -> NonZeroU32 {
        match &self.0 {
            Job::Generate { group, .. } => crate::cost(group.prime_len()),
            Job::Agree { .. } | Job::Join(_) => NonZeroU32::MIN,
        }
    }

    /// Runs it.
    pub fn run(self) -> Done {
        let done = self.compute();
        zeroize_stack::<STACK_BYTES>();
        done
    }

    /// Apart, so that its stack is below [`Self::run`]'s.
    #[inline(never)]
    fn compute(self) -> Done {
        Done(match self.0 {
            Job::Generate { group, entropy } => {
                let exponent = draw(&group, &entropy);
                let public = exponent.public_value();
                Outcome::Generated(exponent, public)
            }
            Job::Agree { exponent, peer } => Outcome::Agreed(exponent.agree(&peer)),
            Job::Join(join) => Outcome::Joined(Box::new(join.run())),
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

fn draw(group: &Group, entropy: &Entropy) -> Exponent {
    Exponent::from_entropy(group, &entropy[..group.exponent_len()])
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generate { .. } => "Generate(..)",
            Self::Agree { .. } => "Agree(..)",
            Self::Join(_) => "Join(..)",
        })
    }
}
