//! Every message of both wires as a table of fields, for programs that show bytes.
//!
//! The decoders do not use it, so that they stay readable and refuse what they must. A test holds
//! the tables to the encoders. The dissector for Wireshark is generated from them, and captures are
//! shown by them.
//!
//! Long because it is one table: a message is looked up, not read in order.

use std::ops::Range;

use crate::ClientId;
use crate::Token;
use crate::classic::HMAC_BYTES;
use crate::frame::{HEADER_BYTES, Opcode};
use crate::v2::{GroupSize, TAG_BYTES};

/// Which of the two wires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// The wire of the original programs.
    Classic,
    /// D-DDES/2.
    V2,
}

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The client.
    Client,
    /// The server.
    Server,
    /// Either of them.
    Either,
}

/// Where the fields of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldsPlace {
    /// In the body of the frame, in the clear.
    Body,
    /// In the plaintext of the body.
    Plaintext,
}

/// Which suites a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suites {
    /// All, and classic.
    All,
    /// `hybrid`, `hybrid-3072` and `hybrid-4096`.
    Hybrid,
    /// `ddes`, `ddes-3072` and `ddes-4096`.
    Ddes,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name among the messages of its wire: lower case, `_` for spaces.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// The wire that it belongs to.
    pub wire: Wire,
    /// Who sends it.
    pub sender: Sender,
    /// The opcode of its frame.
    pub opcode: Opcode,
    /// The suites that have it in this form.
    pub suites: Suites,
    /// Where its fields are.
    pub place: FieldsPlace,
    /// Its fields in their order; at most one has [`Size::Rest`].
    pub fields: &'static [FieldSchema],
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSchema {
    /// Its name among the fields of its message.
    pub name: &'static str,
    /// Its length.
    pub size: Size,
    /// How its bytes are read.
    pub kind: FieldKind,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

/// The length of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Bytes(usize),
    /// As many bytes as the prime of the suite's group has: DHLEN.
    Group,
    /// What the other fields leave.
    Rest,
}

/// How the bytes of a field are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A big-endian integer without a sign, of at most 8 bytes.
    Unsigned,
    /// A big-endian integer in two's complement, of at most 16 bytes.
    Signed,
    /// A big-endian integer that stands for something.
    Named(&'static [(u64, &'static str)]),
    /// Integers of 8 bytes in two's complement, one after the other.
    Integers,
    /// UTF-8 text.
    Text,
    /// A UUID.
    Uuid,
    /// Bytes without a structure of their own.
    Bytes,
}

impl Message {
    /// Where each field of a message of `length` bytes is; `None` if it is too short, or longer
    /// than its fields. `group` is needed for [`Size::Group`] only.
    pub fn split(
        &self,
        length: usize,
        group: Option<GroupSize>,
    ) -> Option<Vec<(&'static FieldSchema, Range<usize>)>> {
        let bytes = |field: &FieldSchema| match field.size {
            Size::Bytes(bytes) => Some(bytes),
            Size::Group => Some(group?.public_bytes()),
            Size::Rest => Some(0),
        };
        let fixed =
            self.fields.iter().try_fold(0, |sum: usize, field| Some(sum + bytes(field)?))?;
        let rest = length.checked_sub(fixed)?;
        let mut at = 0;
        let mut split = Vec::with_capacity(self.fields.len());
        for field in self.fields {
            let end = at + if field.size == Size::Rest { rest } else { bytes(field)? };
            split.push((field, at..end));
            at = end;
        }
        (at == length).then_some(split)
    }
}

/// Looks a number up in a table of [`FieldKind::Named`].
pub fn name_of(names: &'static [(u64, &'static str)], number: u64) -> Option<&'static str> {
    names.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

const fn field(
    name: &'static str,
    size: Size,
    kind: FieldKind,
    meaning: &'static str,
) -> FieldSchema {
    FieldSchema { name, size, kind, meaning }
}

/// The header of every frame of both wires.
pub const HEADER: &[FieldSchema] = &[
    field("opcode", Size::Bytes(4), FieldKind::Named(OPCODES), "what kind of frame this is"),
    field(
        "length",
        Size::Bytes(HEADER_BYTES - 4),
        FieldKind::Unsigned,
        "bytes of body that follow",
    ),
];

/// The five opcodes.
pub const OPCODES: &[(u64, &str)] = &[
    (10, "key verification"),
    (20, "session token"),
    (30, "encrypted data"),
    (40, "encrypted aggregate result"),
    (50, "disconnect"),
];

/// The suites, by their number in message 1.
pub const SUITES: &[(u64, &str)] = &[
    (0x01, "hybrid"),
    (0x02, "ddes"),
    (0x11, "hybrid-3072"),
    (0x12, "ddes-3072"),
    (0x21, "hybrid-4096"),
    (0x22, "ddes-4096"),
];

/// The statuses of a 40.
pub const STATUSES: &[(u64, &str)] =
    &[(0, "applied"), (1, "gap"), (3, "malformed"), (4, "ledger unavailable")];

/// The reasons of a 50.
pub const REASONS: &[(u64, &str)] = &[
    (0, "goodbye"),
    (1, "idle"),
    (2, "the server stops"),
    (3, "a newer session of the identity exists"),
    (4, "not authorized"),
    (5, "wrong token"),
    (6, "a record does not open"),
    (7, "another rule was broken"),
    (8, "version or suite not accepted"),
    (9, "too many sessions, or too fast"),
    (10, "an operator ended it"),
    (11, "the session is 24 hours old"),
];

/// The scopes of a 50.
pub const SCOPES: &[(u64, &str)] = &[(0, "this session"), (1, "every session of the server")];

const HELLO: Message = Message {
    name: "hello",
    title: "message 1: version, suite, ephemeral keys",
    wire: Wire::V2,
    sender: Sender::Client,
    opcode: Opcode::KeyVerification,
    suites: Suites::Hybrid,
    place: FieldsPlace::Body,
    fields: &[
        VERSION,
        SUITE,
        CLIENT_VALUE,
        field(
            "kem_key",
            Size::Bytes(1184),
            FieldKind::Bytes,
            "the client's ML-KEM-768 encapsulation key (FIPS 203), used once",
        ),
    ],
};

const VERSION: FieldSchema =
    field("version", Size::Bytes(1), FieldKind::Unsigned, "the protocol's version, 2");
const SUITE: FieldSchema =
    field("suite", Size::Bytes(1), FieldKind::Named(SUITES), "the one suite that the client names");
const CLIENT_VALUE: FieldSchema = field(
    "client_value",
    Size::Group,
    FieldKind::Bytes,
    "the client's Diffie-Hellman public value, g^x mod p, used once",
);
const SERVER_VALUE: FieldSchema = field(
    "server_value",
    Size::Group,
    FieldKind::Bytes,
    "the server's Diffie-Hellman public value, g^y mod p, used once",
);
const PAYLOAD_TAG: FieldSchema = field(
    "payload_tag",
    Size::Bytes(TAG_BYTES),
    FieldKind::Bytes,
    "the tag of the empty payload: the server knows the same handshake hash and key",
);
const TOKEN: FieldSchema = field(
    "token",
    Size::Bytes(Token::BYTES),
    FieldKind::Bytes,
    "the session's 16 random bytes, which each 30 repeats",
);
const LAST_SEQ: FieldSchema = field(
    "last_seq",
    Size::Bytes(8),
    FieldKind::Unsigned,
    "the number of the account's last counted value, which is also their count",
);
const SUM: FieldSchema =
    field("sum", Size::Bytes(16), FieldKind::Signed, "the sum of all the account's counted values");
const HMAC: FieldSchema = field(
    "hmac",
    Size::Bytes(HMAC_BYTES),
    FieldKind::Bytes,
    "HMAC-SHA256 under Key2 of the whole body before it",
);

/// A record around any message from message 3 on.
pub const RECORD: &[FieldSchema] = &[
    field(
        "ciphertext",
        Size::Rest,
        FieldKind::Bytes,
        "the encrypted message, as long as its plaintext",
    ),
    field(
        "tag",
        Size::Bytes(TAG_BYTES),
        FieldKind::Bytes,
        "HMAC-SHA256 under MacKey of record number, header and ciphertext, first 16 bytes",
    ),
];

/// All messages of both wires. A body in the clear and its plaintext are two entries.
pub const MESSAGES: &[Message] = &[
    Message {
        name: "server_key",
        title: "the server's public key",
        wire: Wire::Classic,
        sender: Sender::Server,
        opcode: Opcode::KeyVerification,
        suites: Suites::All,
        place: FieldsPlace::Body,
        fields: &[field(
            "pem",
            Size::Rest,
            FieldKind::Text,
            "prime, generator and the server's public value as PEM text, unsigned: anybody on the \
             path can put another in its place",
        )],
    },
    Message {
        name: "client_key",
        title: "the client's public key",
        wire: Wire::Classic,
        sender: Sender::Client,
        opcode: Opcode::KeyVerification,
        suites: Suites::All,
        place: FieldsPlace::Body,
        fields: &[field(
            "pem",
            Size::Rest,
            FieldKind::Text,
            "the client's public value in the server's group as PEM text, unsigned",
        )],
    },
    Message {
        name: "session_token",
        title: "the session token, encrypted",
        wire: Wire::Classic,
        sender: Sender::Server,
        opcode: Opcode::SessionToken,
        suites: Suites::All,
        place: FieldsPlace::Body,
        fields: &[field(
            "ciphertext",
            Size::Rest,
            FieldKind::Bytes,
            "the token under Key1 twice; its last block encrypts padding alone, 08 eight times",
        )],
    },
    Message {
        name: "session_token",
        title: "the session token",
        wire: Wire::Classic,
        sender: Sender::Server,
        opcode: Opcode::SessionToken,
        suites: Suites::All,
        place: FieldsPlace::Plaintext,
        fields: &[TOKEN],
    },
    Message {
        name: "integer",
        title: "an integer, encrypted",
        wire: Wire::Classic,
        sender: Sender::Client,
        opcode: Opcode::EncryptedData,
        suites: Suites::All,
        place: FieldsPlace::Body,
        fields: &[
            field(
                "ciphertext",
                Size::Rest,
                FieldKind::Bytes,
                "integer and UUID under Key1, then Key2, block by block (ECB)",
            ),
            field(
                "token",
                Size::Bytes(Token::BYTES),
                FieldKind::Bytes,
                "the session token, in the clear from now on",
            ),
            HMAC,
        ],
    },
    Message {
        name: "integer",
        title: "an integer",
        wire: Wire::Classic,
        sender: Sender::Client,
        opcode: Opcode::EncryptedData,
        suites: Suites::All,
        place: FieldsPlace::Plaintext,
        fields: &[
            field("integer", Size::Bytes(8), FieldKind::Unsigned, "the integer to count"),
            field(
                "client_id",
                Size::Bytes(ClientId::BYTES),
                FieldKind::Uuid,
                "the client's name, which the server does not read",
            ),
        ],
    },
    Message {
        name: "received",
        title: "the integer is counted, or discarded",
        wire: Wire::Classic,
        sender: Sender::Server,
        opcode: Opcode::EncryptedData,
        suites: Suites::All,
        place: FieldsPlace::Body,
        fields: &[field("text", Size::Rest, FieldKind::Text, "what the server says, in the clear")],
    },
    Message {
        name: "result",
        title: "the sum, encrypted",
        wire: Wire::Classic,
        sender: Sender::Server,
        opcode: Opcode::EncryptedResult,
        suites: Suites::All,
        place: FieldsPlace::Body,
        fields: &[
            field(
                "ciphertext",
                Size::Rest,
                FieldKind::Bytes,
                "the sum's decimal text under Key1, then Key2, block by block (ECB)",
            ),
            HMAC,
        ],
    },
    Message {
        name: "result",
        title: "the sum",
        wire: Wire::Classic,
        sender: Sender::Server,
        opcode: Opcode::EncryptedResult,
        suites: Suites::All,
        place: FieldsPlace::Plaintext,
        fields: &[field(
            "sum",
            Size::Rest,
            FieldKind::Text,
            "the session's sum so far, in decimal",
        )],
    },
    Message {
        name: "disconnect",
        title: "the end",
        wire: Wire::Classic,
        sender: Sender::Either,
        opcode: Opcode::Disconnect,
        suites: Suites::All,
        place: FieldsPlace::Body,
        fields: &[field(
            "text",
            Size::Rest,
            FieldKind::Text,
            "why the server ends the session, in the clear; empty from a client",
        )],
    },
    HELLO,
    Message { suites: Suites::Ddes, fields: &[VERSION, SUITE, CLIENT_VALUE], ..HELLO },
    ANSWER,
    Message { suites: Suites::Ddes, fields: &[SERVER_VALUE, PAYLOAD_TAG], ..ANSWER },
    Message {
        name: "rejection",
        title: "a refusal in the clear",
        wire: Wire::V2,
        sender: Sender::Server,
        opcode: Opcode::Disconnect,
        suites: Suites::All,
        place: FieldsPlace::Body,
        fields: &[
            field(
                "reason",
                Size::Bytes(1),
                FieldKind::Named(REASONS),
                "why, unproven: anybody on the path can send this",
            ),
            field("text", Size::Rest, FieldKind::Text, "the same for people, unproven"),
        ],
    },
    Message {
        name: "server_proof",
        title: "message 3: the server's key and signature",
        wire: Wire::V2,
        sender: Sender::Server,
        opcode: Opcode::KeyVerification,
        suites: Suites::All,
        place: FieldsPlace::Plaintext,
        fields: &[
            field(
                "server_key",
                Size::Bytes(32),
                FieldKind::Bytes,
                "the server's Ed25519 public key",
            ),
            field(
                "signature",
                Size::Bytes(64),
                FieldKind::Bytes,
                "Ed25519 signature of the handshake hash and the server's key, as SSHSIG",
            ),
        ],
    },
    Message {
        name: "client_proof",
        title: "message 4: the client's key and signature",
        wire: Wire::V2,
        sender: Sender::Client,
        opcode: Opcode::KeyVerification,
        suites: Suites::All,
        place: FieldsPlace::Plaintext,
        fields: &[
            field(
                "client_key",
                Size::Bytes(32),
                FieldKind::Bytes,
                "the client's Ed25519 public key",
            ),
            field(
                "signature",
                Size::Bytes(64),
                FieldKind::Bytes,
                "Ed25519 signature of the handshake hash and both keys, as SSHSIG",
            ),
        ],
    },
    Message {
        name: "welcome",
        title: "the token, and where the account stands",
        wire: Wire::V2,
        sender: Sender::Server,
        opcode: Opcode::SessionToken,
        suites: Suites::All,
        place: FieldsPlace::Plaintext,
        fields: &[
            TOKEN,
            field(
                "session",
                Size::Bytes(8),
                FieldKind::Unsigned,
                "the session's number in its account",
            ),
            LAST_SEQ,
            field(
                "last_session",
                Size::Bytes(8),
                FieldKind::Unsigned,
                "the session that counted value last_seq",
            ),
            SUM,
            field(
                "idle_millis",
                Size::Bytes(4),
                FieldKind::Unsigned,
                "silence after which the session ends, in milliseconds",
            ),
            field("values_max", Size::Bytes(2), FieldKind::Unsigned, "the most integers of one 30"),
        ],
    },
    Message {
        name: "data",
        title: "integers",
        wire: Wire::V2,
        sender: Sender::Client,
        opcode: Opcode::EncryptedData,
        suites: Suites::All,
        place: FieldsPlace::Plaintext,
        fields: &[
            TOKEN,
            field(
                "first_seq",
                Size::Bytes(8),
                FieldKind::Unsigned,
                "the number of the first integer in the account; the others follow",
            ),
            field("count", Size::Bytes(2), FieldKind::Unsigned, "how many integers follow"),
            field("values", Size::Rest, FieldKind::Integers, "the integers to count"),
        ],
    },
    Message {
        name: "outcome",
        title: "where the account stands",
        wire: Wire::V2,
        sender: Sender::Server,
        opcode: Opcode::EncryptedResult,
        suites: Suites::All,
        place: FieldsPlace::Plaintext,
        fields: &[
            field("status", Size::Bytes(1), FieldKind::Named(STATUSES), "what became of the 30"),
            LAST_SEQ,
            SUM,
        ],
    },
    Message {
        name: "farewell",
        title: "goodbye",
        wire: Wire::V2,
        sender: Sender::Either,
        opcode: Opcode::Disconnect,
        suites: Suites::All,
        place: FieldsPlace::Plaintext,
        fields: &[
            field("reason", Size::Bytes(1), FieldKind::Named(REASONS), "why the session ends"),
            field("scope", Size::Bytes(1), FieldKind::Named(SCOPES), "which sessions end"),
            LAST_SEQ,
            SUM,
            field("text", Size::Rest, FieldKind::Text, "the same for people"),
        ],
    },
];

const ANSWER: Message = Message {
    name: "answer",
    title: "message 2: ephemeral keys",
    wire: Wire::V2,
    sender: Sender::Server,
    opcode: Opcode::KeyVerification,
    suites: Suites::Hybrid,
    place: FieldsPlace::Body,
    fields: &[
        SERVER_VALUE,
        field(
            "kem_ciphertext",
            Size::Bytes(1088),
            FieldKind::Bytes,
            "the ML-KEM-768 ciphertext (FIPS 203), encrypted under the key of the \
             Diffie-Hellman value",
        ),
        field(
            "kem_tag",
            Size::Bytes(TAG_BYTES),
            FieldKind::Bytes,
            "the tag of the encrypted ML-KEM ciphertext",
        ),
        PAYLOAD_TAG,
    ],
};
