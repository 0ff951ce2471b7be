//! What a capture says: conversations, their frames, the fields of each and what was checked.
//!
//! This is the model that `inspect` prints, `explain` draws and the lab attacks. It holds what was
//! on the wire byte for byte; everything else points into those bytes by ranges.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use ddes_wire::schema::{FieldKind, Sender, name_of};
use ddes_wire::v2::Suite;

use crate::opened::OpenedKeys;
use crate::secrets::SessionSecrets;

/// Everything that was found in one capture.
#[derive(Debug, Default)]
pub struct Conversations {
    /// The conversations of this protocol, in the order of their first packets.
    pub all: Vec<Conversation>,
    /// What else there is to say about the file: traffic that was ignored, a truncated end, bounds
    /// that were reached.
    pub notes: Vec<String>,
    /// What the file holds besides.
    pub counts: CaptureCounts,
}

/// What a file held, conversations or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// Packets in the file.
    pub packets: u64,
    /// Packets that are not TCP over IPv4 or IPv6, or that cannot be read.
    pub other_packets: u64,
    /// TCP connections that do not speak this protocol, or that say nothing.
    pub other_connections: u64,
    /// TCP connections that were not followed because a bound was reached.
    pub unfollowed: u64,
    /// Conversations other than the one that was asked for.
    pub others: u64,
}

/// One TCP connection that speaks one of the two wires.
#[derive(Debug)]
pub struct Conversation {
    /// Its number in the capture, from 1 on: what `--stream` names.
    pub number: u32,
    /// Which wire it speaks.
    pub profile: Profile,
    /// Where the client is.
    pub client: SocketAddr,
    /// Where the server is.
    pub server: SocketAddr,
    /// When its first packet was captured, since 1970-01-01 UTC.
    pub began: Duration,
    /// The frames of both directions that are whole, in the order in which they were complete.
    pub frames: Vec<Frame>,
    /// How the connection ended.
    pub end: End,
    /// What is missing or strange: gaps, conflicting retransmissions, frames beyond a bound.
    pub notes: Vec<Note>,
    /// What the capture does not hold of what the client sent.
    pub missing_to_server: Missing,
    /// What it does not hold of what the server sent.
    pub missing_to_client: Missing,
    /// What the secrets gave; `None` shows what an eavesdropper sees.
    pub session: Option<OpenedKeys>,
    /// The secrets that opened it: what one end drew.
    pub secrets: Option<SessionSecrets>,
    /// Why secrets that were tried did not open it. Never both this and a session.
    pub refused: Option<String>,
}

/// What a capture does not hold of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many bytes, in all gaps.
    pub bytes: u64,
    /// Whether no whole frame of the direction follows them: its end is missing.
    pub is_end: bool,
}

/// Which wire a conversation speaks: decided by who speaks first, and the first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The wire of the original programs (rules C-01 to C-24).
    Classic,
    /// D-DDES/2.
    V2 {
        /// The suite that message 1 names; `None` if the capture does not hold message 1.
        suite: Option<Suite>,
    },
}

/// Who sent a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Client to server.
    ToServer,
    /// Server to client.
    ToClient,
}

/// One frame, header and body.
#[derive(Debug)]
pub struct Frame {
    /// Its number in the conversation, from 1 on.
    pub number: u32,
    /// When its last byte was captured, since the conversation began.
    pub at: Duration,
    /// Who sent it.
    pub direction: Direction,
    /// The opcode in its header, which may be unknown.
    pub opcode: u32,
    /// What it is, in a few words: `message 1`, `integers`; `unknown` for what no message matches.
    pub name: &'static str,
    /// Header and body, as they were on the wire.
    pub bytes: Vec<u8>,
    /// The fields of header and body.
    pub fields: Vec<Field>,
    /// Classic 10: the DER inside the PEM text, which everybody can read: fields `prime`,
    /// `generator` and `public`.
    pub der: Option<Plain>,
    /// What is inside, if the secrets open it.
    pub plain: Option<Plain>,
    /// What was checked, in the order in which a receiver checks it.
    pub checks: Vec<Check>,
}

/// The decrypted content of a frame.
pub struct Plain {
    /// The plaintext; for classic without its padding.
    pub bytes: Vec<u8>,
    /// Its fields; their ranges point into [`Self::bytes`].
    pub fields: Vec<Field>,
    /// D-DDES/2: the record's number in its direction, which is the nonce.
    pub record: Option<u64>,
    /// D-DDES/2: which key of its direction opened it: 0 until the first rekey.
    pub epoch: usize,
}

/// One field of a frame or of a plaintext.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name in [`ddes_wire::schema`].
    pub name: &'static str,
    /// Where it is, in [`Frame::bytes`] or [`Plain::bytes`].
    pub range: Range<usize>,
    /// What it says.
    pub value: FieldValue,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

/// What a field says.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// An integer of up to 64 bits without a sign, or up to 128 with one.
    Integer(i128),
    /// An integer that stands for something: an opcode, a suite, a status, a reason.
    Named {
        /// The integer.
        number: u64,
        /// What it stands for; `None` if nothing has this number.
        name: Option<&'static str>,
    },
    /// Several integers, one after the other, 8 bytes each.
    Integers(Vec<i64>),
    /// Text, only plain characters of it ([`ddes_wire::shown`]).
    Text(String),
    /// Bytes: those of the range.
    Bytes,
}

/// Something that was checked, as a receiver would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub what: What,
    /// The rule of PROTOCOL.md that demands it.
    pub rule: Option<&'static str>,
    /// Whether it holds.
    pub passed: bool,
    /// What was found, in a few words: both values where a comparison failed.
    pub detail: String,
}

/// What a [`Check`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The length in the header, or of the body.
    Length,
    /// The opcode, and its place in the conversation.
    Order,
    /// A public value or key in its range.
    PublicValue,
    /// Classic: the HMAC of a 30 or 40.
    Hmac,
    /// D-DDES/2: the tag of a record or of a part of message 2.
    Tag,
    /// The session token.
    Token,
    /// Classic: whole blocks and PKCS#7.
    Padding,
    /// The signature of message 3 or 4.
    Signature,
    /// The plaintext has the one encoding of its message.
    Encoding,
    /// The numbering of values (D-DDES/2).
    Sequence,
    /// The sum that a 40 or 50 states is that of the integers seen.
    Sum,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The capture ends first.
    Open,
    /// Both directions were closed.
    Closed,
    /// One side reset the connection.
    Reset {
        /// Who sent the reset.
        by: Direction,
    },
}

/// Something about a conversation that is no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The number of the frame before which it belongs: 1 is before all.
    pub before_frame: u32,
    /// Who sent what it is about.
    pub direction: Option<Direction>,
    /// What it is.
    pub kind: NoteKind,
}

/// The kinds of notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// Bytes that the capture does not hold.
    Gap {
        /// How many.
        bytes: u64,
    },
    /// Bytes that belong to no whole frame: a cut frame, or what follows a gap.
    Unframed {
        /// How many.
        bytes: u64,
    },
    /// A retransmission brought other bytes than the first transmission, which counts.
    Conflict {
        /// Where in the direction's stream the first difference is.
        offset: u64,
    },
    /// The capture began after the connection.
    Midway,
    /// More frames followed than are kept.
    Beyond {
        /// How many frames.
        frames: u64,
        /// How many bytes they have.
        bytes: u64,
    },
    /// A frame announces more than any message may have: what follows cannot be split.
    TooLong {
        /// The length that it announces.
        length: u32,
    },
    /// A record did not open: what follows in its direction is not decrypted.
    Lost {
        /// The number that its record has, as far as is known.
        record: u64,
    },
    /// Something that a receiver checks could not be checked here, in this frame and in others.
    Unchecked {
        /// What was not checked.
        what: What,
        /// Why, in a sentence without a full stop.
        why: &'static str,
    },
}

impl Conversation {
    /// What the capture does not hold of a direction.
    pub fn missing(&self, direction: Direction) -> Missing {
        match direction {
            Direction::ToServer => self.missing_to_server,
            Direction::ToClient => self.missing_to_client,
        }
    }
}

impl Frame {
    /// The field with this name, if the frame has it in the clear.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The bytes of a field in the clear.
    pub fn field_bytes(&self, name: &str) -> Option<&[u8]> {
        self.bytes.get(self.field(name)?.range.clone())
    }

    /// The body without the header.
    pub fn body(&self) -> &[u8] {
        part(&self.bytes, &(ddes_wire::frame::HEADER_BYTES..self.bytes.len()))
    }

    /// Whether everything that was checked holds.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// The bytes that a range names, of the frame or the plaintext that it was made for. Of others it
/// may name bytes that are not there: then none.
pub fn part<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    // The decoder makes no field beyond its bytes, and what is drawn in a field stays within it.
    bytes.get(range.clone()).unwrap_or(&[])
}

impl Plain {
    /// The field with this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The bytes of a field.
    pub fn field_bytes(&self, name: &str) -> Option<&[u8]> {
        self.bytes.get(self.field(name)?.range.clone())
    }
}

/// A plaintext may hold the session token.
impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plain({} bytes)", self.bytes.len())
    }
}

impl FieldValue {
    /// The integer, if it is one.
    pub fn integer(&self) -> Option<i128> {
        match self {
            Self::Integer(integer) => Some(*integer),
            Self::Named { number, .. } => Some(i128::from(*number)),
            Self::Integers(_) | Self::Text(_) | Self::Bytes => None,
        }
    }

    /// What `bytes` say, read as `kind`.
    pub(crate) fn read(kind: FieldKind, bytes: &[u8]) -> Self {
        // Of more than eight bytes the last: those before them are shifted out.
        let unsigned = || bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        match kind {
            FieldKind::Unsigned => Self::Integer(i128::from(unsigned())),
            FieldKind::Signed => Self::Integer(signed(bytes)),
            FieldKind::Named(names) => {
                Self::Named { number: unsigned(), name: name_of(names, unsigned()) }
            }
            FieldKind::Integers => Self::Integers(
                bytes.as_chunks().0.iter().map(|bytes| i64::from_be_bytes(*bytes)).collect(),
            ),
            FieldKind::Text => {
                Self::Text(ddes_wire::shown::plain_lines(&String::from_utf8_lossy(bytes)))
            }
            FieldKind::Bytes | FieldKind::Uuid => Self::Bytes,
        }
    }
}

/// Up to 16 bytes in two's complement.
fn signed(bytes: &[u8]) -> i128 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| number << 8 | i128::from(*byte))
}

impl Profile {
    /// The name that people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::V2 { .. } => "D-DDES/2",
        }
    }
}

impl Direction {
    /// Who sent it.
    pub fn sender(self) -> Sender {
        match self {
            Self::ToServer => Sender::Client,
            Self::ToClient => Sender::Server,
        }
    }

    /// The other one.
    pub fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

impl What {
    /// The word that people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Order => "order",
            Self::PublicValue => "public value",
            Self::Hmac => "HMAC",
            Self::Tag => "tag",
            Self::Token => "token",
            Self::Padding => "padding",
            Self::Signature => "signature",
            Self::Encoding => "encoding",
            Self::Sequence => "sequence",
            Self::Sum => "sum",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_the_bytes_up_to_the_end_and_none_beyond_it() {
        assert_eq!(part(&[1, 2, 3], &(1..3)), [2, 3]);
        assert_eq!(part(&[1, 2, 3], &(3..3)), [0; 0]);
        assert_eq!(part(&[1, 2, 3], &(1..4)), [0; 0]);
    }

    #[test]
    fn of_more_than_eight_bytes_the_last_eight_are_the_number() {
        let number = |bytes| FieldValue::read(FieldKind::Unsigned, bytes).integer();
        assert_eq!(number(&[]), Some(0));
        assert_eq!(number(&[0xff; 8]), Some(u64::MAX.into()));
        assert_eq!(number(&[1, 0, 0, 0, 0, 0, 0, 0, 2]), Some(2));
    }
}
