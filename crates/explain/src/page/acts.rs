//! What each frame is in its conversation, and the words for it.

use std::collections::BTreeMap;

use ddes_capture::{Conversation, Direction, Frame, Profile};

/// What a frame does, whatever it is encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    ServerKey,
    ClientKey,
    Token,
    Integer,
    Received,
    Result,
    ClientEnd,
    ServerEnd,
    Hello,
    Answer,
    ServerProof,
    ClientProof,
    Welcome,
    Data,
    Outcome,
    Farewell,
    Rejection,
    Unknown,
}

/// The act of each frame, in their order.
pub(super) fn acts(conversation: &Conversation) -> Vec<Act> {
    let frames = conversation.frames.iter();
    let mut keys = [0_u32; 2];
    frames
        .map(|frame| {
            let side = usize::from(frame.direction == Direction::ToClient);
            if frame.opcode == 10 {
                keys[side] += 1;
            }
            match conversation.profile {
                Profile::Classic => of_classic(frame),
                Profile::V2 { .. } => of_v2(frame, keys),
            }
        })
        .collect()
}

fn of_classic(frame: &Frame) -> Act {
    match (frame.opcode, frame.direction) {
        (10, Direction::ToClient) => Act::ServerKey,
        (10, Direction::ToServer) => Act::ClientKey,
        (20, Direction::ToClient) => Act::Token,
        (30, Direction::ToServer) => Act::Integer,
        (30, Direction::ToClient) => Act::Received,
        (40, Direction::ToClient) => Act::Result,
        (50, Direction::ToServer) => Act::ClientEnd,
        (50, Direction::ToClient) => Act::ServerEnd,
        _ => Act::Unknown,
    }
}

/// `keys`: how many 10s have come to the server and to the client, this one included.
fn of_v2(frame: &Frame, keys: [u32; 2]) -> Act {
    match (frame.opcode, frame.direction) {
        (10, Direction::ToServer) if keys[0] == 1 => Act::Hello,
        (10, Direction::ToServer) if keys[0] == 2 => Act::ClientProof,
        (10, Direction::ToClient) if keys[1] == 1 => Act::Answer,
        (10, Direction::ToClient) if keys[1] == 2 => Act::ServerProof,
        (20, Direction::ToClient) => Act::Welcome,
        (30, Direction::ToServer) => Act::Data,
        (40, Direction::ToClient) => Act::Outcome,
        (50, Direction::ToClient) if keys[1] == 0 => Act::Rejection,
        (50, _) => Act::Farewell,
        _ => Act::Unknown,
    }
}

/// The headings of the frames, in their order. What happens more than once is numbered: no two
/// frames have the same heading.
pub(super) fn titles(conversation: &Conversation, acts: &[Act]) -> Vec<String> {
    let titles: Vec<&str> = conversation
        .frames
        .iter()
        .zip(acts)
        .map(|(frame, act)| act.title(frame.direction))
        .collect();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for title in &titles {
        counts.entry(title).or_default().1 += 1;
    }
    titles
        .into_iter()
        .map(|title| {
            let (nth, all) = counts.entry(title).or_default();
            *nth += 1;
            if *all == 1 { title.to_owned() } else { format!("{title}, {nth} of {all}") }
        })
        .collect()
}

impl Act {
    /// The heading of its card, without its number.
    fn title(self, direction: Direction) -> &'static str {
        match self {
            Self::ServerKey => "The server’s public key",
            Self::ClientKey => "The client’s public key",
            Self::Token => "The session token",
            Self::Integer => "Integer",
            Self::Received => "Acknowledgement",
            Self::Result => "Sum",
            Self::ClientEnd => "The client’s end",
            Self::ServerEnd => "The server’s end",
            Self::Hello => "Message 1: the client’s ephemeral keys",
            Self::Answer => "Message 2: the server’s ephemeral keys",
            Self::ServerProof => "Message 3: the server proves who it is",
            Self::ClientProof => "Message 4: the client proves who it is",
            Self::Welcome => "Token, and where the account stands",
            Self::Data => "Integers, numbered",
            Self::Outcome => "Answer: where the account stands now",
            Self::Farewell if direction == Direction::ToServer => "The client’s goodbye",
            Self::Farewell => "The server’s goodbye",
            Self::Rejection => "Refusal in the clear",
            Self::Unknown => "Unknown frame",
        }
    }

    /// What happens, in a sentence or two that need no key.
    pub(super) fn story(self) -> &'static str {
        match self {
            Self::ServerKey => {
                "The server speaks first. It names a group, a prime p and a generator g, and its \
                 own value g^y mod p, as PEM text. Nothing is secret yet, and nothing is signed."
            }
            Self::ClientKey => {
                "The client answers with g^x mod p in the server’s group. Now each side can \
                 compute g^(xy) mod p from its own exponent and the other’s value. The wire does \
                 not carry it."
            }
            Self::Token => {
                "The server draws 16 random bytes and encrypts them with DES under Key1, twice. \
                 The client is to repeat them with each integer."
            }
            Self::Integer => {
                "The client sends an integer and its own UUID under Double DES, then the token in \
                 the clear, then an HMAC over both."
            }
            Self::Received => "The server says in plain text that it has counted the integer.",
            Self::Result => "The server sends the session’s sum as decimal text under Double DES.",
            Self::ClientEnd => {
                "The client leaves. In the original this ends the session of every client."
            }
            Self::ServerEnd => "The server ends the session and says why, in the clear.",
            Self::Hello => {
                "The client speaks first. It names one suite and sends values that it uses once: \
                 g^x mod p and, in the hybrid suites, an ML-KEM key. Nothing is negotiated, so \
                 there is nothing to downgrade."
            }
            Self::Answer => {
                "The server answers with g^y mod p and, in the hybrid suites, a secret that only \
                 the holder of the ML-KEM key can open. Both sides mix every byte so far into one \
                 hash."
            }
            Self::ServerProof => {
                "The first record. The server signs the hash of the handshake with its long-term \
                 key: a middleman would have another hash."
            }
            Self::ClientProof => {
                "The client has recognised the server’s key, and signs the same hash with its own. \
                 Only now does the server learn who it is."
            }
            Self::Welcome => {
                "The server opens the account: the token of this session, how many integers are \
                 counted, and their sum."
            }
            Self::Data => {
                "The client sends numbered integers. The record’s own number is nowhere on the \
                 wire: both sides count."
            }
            Self::Outcome => {
                "What is counted is on the server’s disk before this is sent: the last number, and \
                 the exact sum."
            }
            Self::Farewell => {
                "Each side says that it has finished, inside a record: a cut connection cannot \
                 pass for an end."
            }
            Self::Rejection => {
                "The server refuses before any key exists. Anybody on the path could have sent \
                 this."
            }
            Self::Unknown => "No message of this wire has this opcode from this side.",
        }
    }

    /// What both sides now do, for a reader who cannot see it.
    pub(super) fn unseen(self) -> Option<&'static str> {
        match self {
            Self::ClientKey => {
                Some("Both sides now compute the shared value, and Key1 and Key2 from it.")
            }
            Self::Answer => Some(
                "Both sides now compute the shared values, the handshake hash, and a key for each \
                 direction.",
            ),
            Self::Token => Some("The client decrypts the token, block by block."),
            Self::Integer => Some("The server compares the token, checks the HMAC, and decrypts."),
            Self::Result => Some("The client checks the HMAC, and decrypts the sum."),
            Self::ServerProof | Self::ClientProof => {
                Some("The receiver opens the record, and verifies the signature in it.")
            }
            Self::Welcome | Self::Data | Self::Outcome | Self::Farewell => {
                Some("The receiver checks the tag, and decrypts only then.")
            }
            Self::ServerKey
            | Self::Hello
            | Self::Received
            | Self::ClientEnd
            | Self::ServerEnd
            | Self::Rejection
            | Self::Unknown => None,
        }
    }
}

/// What the original calls the five opcodes.
pub(super) fn opcode_name(opcode: u32) -> &'static str {
    match opcode {
        10 => "key verification",
        20 => "session token",
        30 => "encrypted data",
        40 => "encrypted result",
        50 => "disconnect",
        _ => "unknown",
    }
}
