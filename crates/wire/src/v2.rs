//! D-DDES/2: suites, the bodies of the handshake, and the messages inside records. Integers are
//! big-endian; each message has exactly one encoding.

use smallvec::SmallVec;

use crate::frame::HEADER_BYTES;
use crate::{Amount, Amounts, Sequence, SessionNumber, Standing, Token, Total, shown};

/// The protocol's version, first byte of a client's first body.
pub const VERSION: u8 = 2;

/// The longest body of a frame in bytes, tag included.
pub const BODY_MAX: u32 = 65_535;

/// The tag of a record in bytes.
pub const TAG_BYTES: usize = 16;

/// The most values that one 30 holds.
pub const VALUES_MAX: u16 = 8_186;

/// The most bytes of text in a 50.
pub const TEXT_BYTES_MAX: usize = 256;

/// Bytes of a 30 without its values: token, first_seq, count.
const DATA_FIXED_BYTES: usize = Token::BYTES + 8 + 2;

const _: () = assert!(
    DATA_FIXED_BYTES + 8 * VALUES_MAX as usize + TAG_BYTES <= BODY_MAX as usize
        && HEADER_BYTES == 8
);

/// The length of the DH group's prime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupSize {
    /// 2048 bits: ffdhe2048 of RFC 7919.
    Bits2048,
    /// 3072 bits: ffdhe3072 of RFC 7919.
    Bits3072,
    /// 4096 bits: ffdhe4096 of RFC 7919.
    Bits4096,
}

impl GroupSize {
    /// DHLEN: length of public values and shared values in bytes.
    pub fn public_bytes(self) -> usize {
        match self {
            Self::Bits2048 => 256,
            Self::Bits3072 => 384,
            Self::Bits4096 => 512,
        }
    }
}

/// A suite. The client names it and the server accepts or refuses it; nothing is negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// FFDHE with ML-KEM-768, DDESChaCha.
    Hybrid(GroupSize),
    /// FFDHE alone, DDES: for study, about 2^57 DES operations of secrecy.
    Ddes(GroupSize),
}

impl Suite {
    /// All of them, the default first.
    pub const ALL: [Self; 6] = [
        Self::Hybrid(GroupSize::Bits2048),
        Self::Hybrid(GroupSize::Bits3072),
        Self::Hybrid(GroupSize::Bits4096),
        Self::Ddes(GroupSize::Bits2048),
        Self::Ddes(GroupSize::Bits3072),
        Self::Ddes(GroupSize::Bits4096),
    ];

    /// Its number on the wire.
    pub fn id(self) -> u8 {
        let group = match self.group() {
            GroupSize::Bits2048 => 0x00,
            GroupSize::Bits3072 => 0x10,
            GroupSize::Bits4096 => 0x20,
        };
        group | if self.is_hybrid() { 0x01 } else { 0x02 }
    }

    /// The suite with this number on the wire.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.id() == id)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hybrid(GroupSize::Bits2048) => "hybrid",
            Self::Hybrid(GroupSize::Bits3072) => "hybrid-3072",
            Self::Hybrid(GroupSize::Bits4096) => "hybrid-4096",
            Self::Ddes(GroupSize::Bits2048) => "ddes",
            Self::Ddes(GroupSize::Bits3072) => "ddes-3072",
            Self::Ddes(GroupSize::Bits4096) => "ddes-4096",
        }
    }

    /// The name of its Noise protocol.
    pub fn noise_name(self) -> &'static str {
        match self {
            Self::Hybrid(GroupSize::Bits2048) => "Noise_NNhfs_FFDHE2048+MLKEM768_DDESChaCha_SHA256",
            Self::Hybrid(GroupSize::Bits3072) => "Noise_NNhfs_FFDHE3072+MLKEM768_DDESChaCha_SHA256",
            Self::Hybrid(GroupSize::Bits4096) => "Noise_NNhfs_FFDHE4096+MLKEM768_DDESChaCha_SHA256",
            Self::Ddes(GroupSize::Bits2048) => "Noise_NN_FFDHE2048_DDES_SHA256",
            Self::Ddes(GroupSize::Bits3072) => "Noise_NN_FFDHE3072_DDES_SHA256",
            Self::Ddes(GroupSize::Bits4096) => "Noise_NN_FFDHE4096_DDES_SHA256",
        }
    }

    /// The size of its DH group.
    pub fn group(self) -> GroupSize {
        match self {
            Self::Hybrid(group) | Self::Ddes(group) => group,
        }
    }

    /// Whether it includes ML-KEM-768 and ChaCha20.
    pub fn is_hybrid(self) -> bool {
        matches!(self, Self::Hybrid(_))
    }

    /// Length of the client's first body (message 1).
    pub fn hello_bytes(self) -> usize {
        2 + self.group().public_bytes() + if self.is_hybrid() { 1_184 } else { 0 }
    }

    /// Length of the server's first body (message 2).
    pub fn answer_bytes(self) -> usize {
        self.group().public_bytes()
            + TAG_BYTES
            + if self.is_hybrid() { 1_088 + TAG_BYTES } else { 0 }
    }
}

/// Message 1, decoded: version, suite, Noise message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The suite that the client names.
    pub suite: Suite,
    /// The Noise message, of the suite's length.
    pub noise: &'a [u8],
}

/// Why a first body is not a valid message 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The version is not 2, or no suite has this number.
    #[error("version {version}, suite 0x{suite:02x} does not exist here")]
    Unsupported {
        /// The version in the message.
        version: u8,
        /// The suite number in the message.
        suite: u8,
    },
    /// The body does not have the suite's length.
    #[error("the client's first message has {length} bytes")]
    Length {
        /// The length of the body in bytes.
        length: usize,
    },
}

impl<'a> Hello<'a> {
    /// Decodes a body of exactly the suite's length.
    pub fn decode(body: &'a [u8]) -> Result<Self, HelloError> {
        let length = body.len();
        let (&[version, id], noise) =
            body.split_first_chunk().ok_or(HelloError::Length { length })?;
        let suite = Suite::from_id(id).filter(|_| version == VERSION);
        let suite = suite.ok_or(HelloError::Unsupported { version, suite: id })?;
        if length != suite.hello_bytes() {
            return Err(HelloError::Length { length });
        }
        Ok(Self { suite, noise })
    }

    /// Encodes the body of message 1.
    pub fn encode(&self) -> Vec<u8> {
        [&[VERSION, self.suite.id()], self.noise].concat()
    }
}

/// Messages 3 and 4: the signer's key, and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProof {
    /// The signer's Ed25519 public key.
    pub key: [u8; 32],
    /// The signature, which proves that the signer holds the key.
    pub signature: [u8; 64],
}

impl IdentityProof {
    /// Length of the plaintext in bytes.
    pub const BYTES: usize = 96;

    /// Decodes exactly [`Self::BYTES`]; `None` for another length.
    pub fn decode(plaintext: &[u8]) -> Option<Self> {
        let plaintext: &[u8; Self::BYTES] = plaintext.try_into().ok()?;
        let (key, signature) = plaintext.split_first_chunk()?;
        Some(Self { key: *key, signature: signature.try_into().ok()? })
    }

    /// Encodes the plaintext of the message.
    pub fn encode(&self) -> Vec<u8> {
        [&self.key[..], &self.signature].concat()
    }
}

/// 20: the session, and the standing of its account.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// The token that each 30 of the session repeats.
    pub token: Token,
    /// The session's number in its account.
    pub session: SessionNumber,
    /// The account's standing when the session opened.
    pub standing: Standing,
    /// Silence after which the session ends, in milliseconds.
    pub idle_millis: u32,
    /// The most values that the server accepts in one 30.
    pub values_max: u16,
}

impl Welcome {
    /// Length of the plaintext in bytes.
    pub const BYTES: usize = Token::BYTES + 8 + 8 + 8 + 16 + 4 + 2;

    /// Decodes exactly [`Self::BYTES`] with `values_max` in `1..=VALUES_MAX`; `None` otherwise.
    pub fn decode(plaintext: &[u8]) -> Option<Self> {
        let mut fields = Fields(plaintext);
        let welcome = Self {
            token: Token::new(fields.take()?),
            session: SessionNumber::new(u64::from_be_bytes(fields.take()?)),
            standing: {
                let last_seq = Sequence::new(u64::from_be_bytes(fields.take()?));
                let last_session = SessionNumber::new(u64::from_be_bytes(fields.take()?));
                Standing {
                    last_seq,
                    last_session,
                    sum: Total::new(i128::from_be_bytes(fields.take()?)),
                }
            },
            idle_millis: u32::from_be_bytes(fields.take()?),
            values_max: u16::from_be_bytes(fields.take()?),
        };
        fields.end()?;
        (1..=VALUES_MAX).contains(&welcome.values_max).then_some(welcome)
    }

    /// Encodes the plaintext of the message.
    pub fn encode(&self) -> Vec<u8> {
        [
            &self.token.as_bytes()[..],
            &self.session.get().to_be_bytes(),
            &self.standing.last_seq.get().to_be_bytes(),
            &self.standing.last_session.get().to_be_bytes(),
            &self.standing.sum.get().to_be_bytes(),
            &self.idle_millis.to_be_bytes(),
            &self.values_max.to_be_bytes(),
        ]
        .concat()
    }
}

/// 30: values and the number of the first.
#[derive(Clone, Debug)]
pub struct Data {
    /// The number of the first value.
    pub first_seq: Sequence,
    /// The values: at least one, at most [`VALUES_MAX`].
    pub values: SmallVec<[i64; 2]>,
}

impl Data {
    /// Splits off the token, which is compared before the remainder is decoded.
    pub fn token(plaintext: &[u8]) -> Option<(Token, &[u8])> {
        plaintext.split_first_chunk().map(|(token, rest)| (Token::new(*token), rest))
    }

    /// Decodes what follows the token; `None` unless it holds exactly `1..=most` values.
    pub fn decode(rest: &[u8], most: u16) -> Option<Self> {
        let mut fields = Fields(rest);
        let first_seq = Sequence::new(u64::from_be_bytes(fields.take()?));
        let count = u16::from_be_bytes(fields.take()?);
        let (values, remainder) = fields.0.as_chunks();
        let fits = (1..=most).contains(&count)
            && values.len() == usize::from(count)
            && remainder.is_empty();
        fits.then(|| Self {
            first_seq,
            values: values.iter().copied().map(i64::from_be_bytes).collect(),
        })
    }

    /// Encodes the plaintext; `None` if there are no values or more than [`VALUES_MAX`].
    pub fn encode(&self, token: &Token) -> Option<Vec<u8>> {
        let mut plaintext = Vec::with_capacity(Self::bytes(self.values.len()));
        Self::write(token, self.first_seq, &self.values, &mut plaintext).map(|()| plaintext)
    }

    /// Appends the [`Self::bytes`] of the plaintext to `out`. Appends nothing and returns `None`
    /// where [`Self::encode`] does.
    pub fn write(
        token: &Token,
        first_seq: Sequence,
        values: &[i64],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let count =
            u16::try_from(values.len()).ok().filter(|count| (1..=VALUES_MAX).contains(count))?;
        out.extend_from_slice(token.as_bytes());
        out.extend_from_slice(&first_seq.get().to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        out.extend(values.iter().flat_map(|value| value.to_be_bytes()));
        Some(())
    }

    /// Length in bytes of the plaintext with `values` values.
    pub fn bytes(values: usize) -> usize {
        DATA_FIXED_BYTES + 8 * values
    }

    /// The values as the ledger takes them.
    pub fn amounts(&self) -> Amounts {
        self.values.iter().copied().map(Amount::from).collect()
    }
}

/// The result of a 30, as a 40 states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// All values up to `last_seq` are counted.
    Applied = 0,
    /// Refused: it would leave a gap in the numbering.
    Gap = 1,
    /// Refused: first number 0, numbering beyond its range, wrong length.
    Malformed = 3,
    /// Unknown whether it was applied: send the values again under the same numbers.
    Unavailable = 4,
}

impl Status {
    /// The status with this number on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Applied, Self::Gap, Self::Malformed, Self::Unavailable]
            .into_iter()
            .find(|status| *status as u8 == number)
    }
}

/// 40: the account after a 30.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The result of the 30.
    pub status: Status,
    /// The number of the last value counted, which is also their count.
    pub last_seq: Sequence,
    /// The sum of all values counted.
    pub sum: Total,
}

impl Outcome {
    /// Length of the plaintext in bytes.
    pub const BYTES: usize = 1 + 8 + 16;

    /// Decodes exactly [`Self::BYTES`] with a known status; `None` otherwise.
    pub fn decode(plaintext: &[u8]) -> Option<Self> {
        let mut fields = Fields(plaintext);
        let [status] = fields.take()?;
        let outcome = Self {
            status: Status::from_number(status)?,
            last_seq: Sequence::new(u64::from_be_bytes(fields.take()?)),
            sum: Total::new(i128::from_be_bytes(fields.take()?)),
        };
        fields.end().map(|()| outcome)
    }

    /// Encodes the plaintext of the message.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut plaintext = [self.status as u8; Self::BYTES];
        let fields =
            self.last_seq.get().to_be_bytes().into_iter().chain(self.sum.get().to_be_bytes());
        plaintext.iter_mut().skip(1).zip(fields).for_each(|(to, from)| *to = from);
        plaintext
    }
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The sender has nothing more to send.
    Bye = 0,
    /// No data came for the idle time.
    Idle = 1,
    /// The server is shutting down.
    ShuttingDown = 2,
    /// A newer session of the same account exists.
    Superseded = 3,
    /// The identity is unknown, or lacks the right.
    NotAuthorized = 4,
    /// A 30 named another token.
    Token = 5,
    /// A record failed its authentication.
    Authentication = 6,
    /// The peer broke another rule of the protocol.
    Protocol = 7,
    /// The server does not take this version or suite.
    Unsupported = 8,
    /// Too many sessions, or too fast.
    TooMany = 9,
    /// An operator ended the session.
    Operator = 10,
    /// The session is 24 hours old.
    TooOld = 11,
}

impl Reason {
    /// All of them, by number.
    pub const ALL: [Self; 12] = [
        Self::Bye,
        Self::Idle,
        Self::ShuttingDown,
        Self::Superseded,
        Self::NotAuthorized,
        Self::Token,
        Self::Authentication,
        Self::Protocol,
        Self::Unsupported,
        Self::TooMany,
        Self::Operator,
        Self::TooOld,
    ];

    /// The reason as text for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::Idle => "no data came for too long",
            Self::ShuttingDown => "the server is shutting down",
            Self::Superseded => "a newer session of the same identity has begun",
            Self::NotAuthorized => "not authorized",
            Self::Token => "the session token is wrong",
            Self::Authentication => "a message failed its authentication",
            Self::Protocol => "protocol error",
            Self::Unsupported => "this version or suite is not taken here",
            Self::TooMany => "too many sessions, or too fast",
            Self::Operator => "ended by an operator",
            Self::TooOld => "the session is too old; connect again",
        }
    }

    /// The reason with this number on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Which sessions a 50 ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scope {
    /// The sender's own session.
    Session = 0,
    /// Every session of the server; only operators may ask for it.
    All = 1,
}

/// 50: the sender's last frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Why the session ends.
    pub reason: Reason,
    /// Which of the server's sessions end.
    pub scope: Scope,
    /// From the server, the account; zero from a client.
    pub last_seq: Sequence,
    /// From the server, the account; zero from a client.
    pub sum: Total,
    /// Text for people: at most [`TEXT_BYTES_MAX`] bytes, plain characters only
    /// ([`shown::is_plain`]).
    pub text: String,
}

impl Farewell {
    /// Decodes a plaintext; `None` unless all fields are in range and the text is UTF-8.
    pub fn decode(plaintext: &[u8]) -> Option<Self> {
        let mut fields = Fields(plaintext);
        let [reason, scope] = fields.take()?;
        Some(Self {
            reason: Reason::from_number(reason)?,
            scope: match scope {
                0 => Scope::Session,
                1 => Scope::All,
                _ => return None,
            },
            last_seq: Sequence::new(u64::from_be_bytes(fields.take()?)),
            sum: Total::new(i128::from_be_bytes(fields.take()?)),
            text: text(fields.0)?,
        })
    }

    /// Encodes the plaintext, with the text cut at [`TEXT_BYTES_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let text = &self.text[..self.text.floor_char_boundary(TEXT_BYTES_MAX)];
        [
            &[self.reason as u8, self.scope as u8][..],
            &self.last_seq.get().to_be_bytes(),
            &self.sum.get().to_be_bytes(),
            text.as_bytes(),
        ]
        .concat()
    }
}

/// The unencrypted 50 that a server may send in place of message 2. It is not authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The stated reason, which is not authenticated.
    pub reason: Reason,
    /// Text for people, as in [`Farewell`].
    pub text: String,
}

impl Rejection {
    /// Decodes a body; `None` unless it is a known reason and a text.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let (&reason, rest) = body.split_first()?;
        Some(Self { reason: Reason::from_number(reason)?, text: text(rest)? })
    }

    /// Encodes the body, with the text cut at [`TEXT_BYTES_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let text = &self.text[..self.text.floor_char_boundary(TEXT_BYTES_MAX)];
        [&[self.reason as u8], text.as_bytes()].concat()
    }
}

/// A peer's text without characters that are not plain; `None` if it is too long or not UTF-8.
fn text(bytes: &[u8]) -> Option<String> {
    let bytes = Some(bytes).filter(|bytes| bytes.len() <= TEXT_BYTES_MAX)?;
    let text = std::str::from_utf8(bytes).ok()?;
    Some(shown::plain(text))
}

/// Reads fields of fixed length in order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
