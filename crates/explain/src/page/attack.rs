//! What somebody learns who has no key and reads carefully.
//!
//! Everything here is computed from the bytes on the wire alone, so it is the same with secrets and
//! without.

use std::ops::Range;

use ddes_capture::{Conversation, Direction, Frame, Profile};

use super::FRAMES_MAX;
use super::acts::{Act, acts};
use super::cards::frame_link;
use super::html::{count, thousands};
use super::repeats::{BLOCK_BYTES, Others, Repeats, cipher_blocks};

/// The integer, the UUID in two blocks, and a block of padding.
const INTEGER_BLOCKS: usize = 4;

/// Bytes of a frame that an attacker marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameMark {
    /// Where, in the frame.
    pub(super) range: Range<usize>,
    /// A letter for equal blocks, a word for what is known.
    pub(super) label: String,
    /// The same number for the same bytes.
    pub(super) hue: usize,
}

/// A sentence about a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lesson {
    /// Trusted markup: all that is foreign in it was escaped.
    pub(super) html: String,
    /// Whether the wire gives something away here, or withstands.
    pub(super) is_flaw: bool,
    /// The rung of the ladder that shows it.
    pub(super) rung: Option<u32>,
}

/// Marks and lessons of each frame on the page, in the order of the frames.
pub(super) struct AttackMarks {
    pub(super) marks: Vec<Vec<FrameMark>>,
    /// Those of the numbers in the PEM text.
    pub(super) der_marks: Vec<Vec<FrameMark>>,
    pub(super) lessons: Vec<Vec<Lesson>>,
    /// Blocks of 8 bytes in the whole conversation, and how many were seen before.
    pub(super) compared: usize,
    pub(super) repeated: usize,
}

pub(super) fn attack(conversation: &Conversation, prefix: &str) -> AttackMarks {
    let acts = acts(conversation);
    let repeats = Repeats::of(conversation, &acts);
    let rows = conversation.frames.iter().zip(&acts).take(FRAMES_MAX);
    AttackMarks {
        marks: rows.clone().map(|(frame, act)| marks(frame, *act, &repeats)).collect(),
        der_marks: rows.clone().map(|(frame, act)| der_marks(frame, *act)).collect(),
        lessons: rows
            .map(|(frame, act)| match conversation.profile {
                Profile::Classic => of_classic(frame, *act, &repeats, prefix),
                Profile::V2 { .. } => of_v2(frame, *act),
            })
            .collect(),
        compared: repeats.compared,
        repeated: repeats.repeated,
    }
}

fn marks(frame: &Frame, act: Act, repeats: &Repeats<'_>) -> Vec<FrameMark> {
    let mut marks = Vec::new();
    let ranges = cipher_blocks(frame, act);
    let last = ranges.len().saturating_sub(1);
    for (i, range) in ranges.into_iter().enumerate() {
        if act == Act::Token && i == last {
            marks.push(FrameMark { range, label: "08×8".to_owned(), hue: 0 });
        } else if let Some(number) = repeats.number(frame, &range) {
            marks.push(FrameMark { range, label: letter(number), hue: number % 5 + 1 });
        }
    }
    if let Some(token) = frame.field("token").filter(|_| act == Act::Integer) {
        marks.push(FrameMark { range: token.range.clone(), label: "token".to_owned(), hue: 0 });
    }
    if let (Some(pem), Some(public)) = (frame.field("pem"), public_letters(act)) {
        let label = format!("p, g and {public}, unsigned");
        marks.push(FrameMark { range: pem.range.clone(), label, hue: 0 });
    }
    marks
}

/// The public value of a classic 10, in the letters of the page.
fn public_letters(act: Act) -> Option<&'static str> {
    match act {
        Act::ServerKey => Some("g^y"),
        Act::ClientKey => Some("g^x"),
        Act::Token
        | Act::Integer
        | Act::Received
        | Act::Result
        | Act::ClientEnd
        | Act::ServerEnd
        | Act::Hello
        | Act::Answer
        | Act::ServerProof
        | Act::ClientProof
        | Act::Welcome
        | Act::Data
        | Act::Outcome
        | Act::Farewell
        | Act::Rejection
        | Act::Unknown => None,
    }
}

/// The numbers in the PEM text of a classic 10: a middleman puts a public value in the place of
/// another.
fn der_marks(frame: &Frame, act: Act) -> Vec<FrameMark> {
    let (Some(der), Some(public)) = (&frame.der, public_letters(act)) else { return Vec::new() };
    let names = [("prime", "p"), ("generator", "g"), ("public", public)];
    let found = names.into_iter().filter_map(|(name, label)| Some((der.field(name)?, label)));
    found
        .map(|(field, label)| FrameMark {
            range: field.range.clone(),
            label: label.to_owned(),
            hue: 0,
        })
        .collect()
}

/// A to Z, then A1 and so on.
fn letter(number: usize) -> String {
    let letter = char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 26]);
    if number < 26 { letter.to_string() } else { format!("{letter}{}", number / 26) }
}

fn flaw(html: impl Into<String>, rung: u32) -> Lesson {
    Lesson { html: html.into(), is_flaw: true, rung: Some(rung) }
}

fn stands(html: impl Into<String>) -> Lesson {
    Lesson { html: html.into(), is_flaw: false, rung: None }
}

/// `frame 4, frame 6 and 3 more`, with links.
fn named(others: &Others, prefix: &str) -> String {
    let shown: Vec<String> =
        others.named.iter().map(|number| frame_link(prefix, *number)).collect();
    match (shown.split_last(), others.more) {
        (Some((last, [])), 0) => last.clone(),
        (Some((last, front)), 0) => format!("{} and {last}", front.join(", ")),
        (_, more) => format!("{} and {} more", shown.join(", "), thousands(more)),
    }
}

fn of_classic(frame: &Frame, act: Act, repeats: &Repeats<'_>, prefix: &str) -> Vec<Lesson> {
    match act {
        Act::ServerKey => vec![
            flaw(
                "Nobody signs this. Whoever is on the path puts a value of their own in its place, \
                 runs one handshake with each side, and reads and changes every integer.",
                5,
            ),
            flaw("The server computes before it knows anything about who asks.", 7),
        ],
        Act::ClientKey => vec![flaw(
            "Nobody signs this either. The middleman answers the server with a value of their own.",
            5,
        )],
        Act::Token => vec![flaw(
            "The last block is known: eight bytes 08 under Key1 twice, in every session. Trying \
             all 2<sup>56</sup> keys Key1 costs two DES a trial and needs no memory; the token, \
             which the next 30 shows in the clear, tells the right one.",
            9,
        )],
        Act::Integer => of_integer(frame, repeats, prefix),
        Act::Received => vec![flaw("Plain text under no key: anybody on the path can say it.", 8)],
        Act::Result => of_result(frame, repeats, prefix),
        Act::ClientEnd => vec![flaw(
            "Eight bytes without a key. In the original they end the session of every client.",
            6,
        )],
        Act::ServerEnd => vec![Lesson {
            html: "Plain text under no key: anybody on the path can send it.".to_owned(),
            is_flaw: true,
            rung: None,
        }],
        Act::Hello
        | Act::Answer
        | Act::ServerProof
        | Act::ClientProof
        | Act::Welcome
        | Act::Data
        | Act::Outcome
        | Act::Farewell
        | Act::Rejection
        | Act::Unknown => Vec::new(),
    }
}

fn of_integer(frame: &Frame, repeats: &Repeats<'_>, prefix: &str) -> Vec<Lesson> {
    let mut lessons = vec![flaw(
        "The session token stands here in the clear. It proves nothing from now on, and it is the \
         plaintext of the 20: two more blocks known under Key1.",
        1,
    )];
    let blocks = cipher_blocks(frame, Act::Integer);
    let elsewhere = |range: &Range<usize>| repeats.with_block(frame, range);
    let same = blocks.first().map_or_else(Others::default, elsewhere);
    if !same.is_empty() {
        let where_ = named(&same, prefix);
        lessons.push(flaw(
            format!("Block 0 is that of {where_}: the same integer was sent, whatever it is."),
            2,
        ));
    }
    let identical = repeats.with_body(frame);
    if !identical.is_empty() {
        let where_ = named(&identical, prefix);
        lessons.push(flaw(
            format!(
                "The whole frame is that of {where_}, HMAC included. The server cannot tell a \
                 repeated frame from a new one: recorded and sent again, it counts again."
            ),
            3,
        ));
    } else {
        lessons.push(flaw("Recorded and sent again in this session, it counts again.", 3));
    }
    let mut behind = blocks.iter().take(INTEGER_BLOCKS).skip(1);
    if behind.any(|range| !elsewhere(range).is_empty()) {
        lessons.push(flaw(
            "Within the session the last three blocks, UUID and padding, never change. Only block \
             0 tells the frames apart, and it depends on the integer alone: whoever knows some \
             integers makes a codebook of block 0, and reads the others in it.",
            4,
        ));
    }
    lessons
}

fn of_result(frame: &Frame, repeats: &Repeats<'_>, prefix: &str) -> Vec<Lesson> {
    let mut lessons = vec![flaw(
        "Its HMAC uses the same key as the client’s. A client’s own 30, sent back to it as a 40, \
         passes: the opcode is covered by nothing.",
        8,
    )];
    let blocks = cipher_blocks(frame, Act::Result);
    let first = blocks.first();
    let same = first.map_or_else(Others::default, |range| repeats.with_block(frame, range));
    if !same.is_empty() {
        let where_ = named(&same, prefix);
        lessons.push(flaw(format!("Its first block is that of {where_}: the same digits."), 2));
    }
    lessons
}

fn of_v2(frame: &Frame, act: Act) -> Vec<Lesson> {
    let sealed = frame.body().len().saturating_sub(ddes_wire::v2::TAG_BYTES);
    match act {
        Act::Hello => vec![
            stands(
                "Version and suite can be read. Both go into the hash that is signed, so a changed \
                 byte ends the handshake (P-02).",
            ),
            stands("Too many connections are refused before anything is computed (P-28)."),
        ],
        Act::Answer => vec![stands(
            "A middleman may answer in the server’s place. It gets no further than message 3, \
             which it cannot sign (P-15).",
        )],
        Act::ServerProof => vec![stands(
            "Who only listens does not learn which server this is. The key and signature are \
             inside (P-14).",
        )],
        Act::ClientProof => vec![stands(
            "The client’s identity is sent to a server that it knows already, and to nobody else \
             (P-26).",
        )],
        Act::Welcome => vec![stands("The token never stands in the clear on this wire (P-20).")],
        Act::Data => of_data(sealed),
        Act::Outcome => vec![stands(
            "Another key than that of the 30s, and the opcode is under the tag: a 30 sent back \
             does not open (P-08).",
        )],
        Act::Farewell => vec![stands(
            "An end that is not inside a record is an error: the connection was cut (P-18).",
        )],
        Act::Rejection => vec![Lesson {
            html:
                "Anybody on the path can send this. The client takes it for a lost connection, and \
                   changes nothing because of it (P-26)."
                    .to_owned(),
            is_flaw: true,
            rung: None,
        }],
        Act::ServerKey
        | Act::ClientKey
        | Act::Token
        | Act::Integer
        | Act::Received
        | Act::Result
        | Act::ClientEnd
        | Act::ServerEnd
        | Act::Unknown => Vec::new(),
    }
}

/// A 30: token 16, first_seq 8, count 2, then 8 bytes a value.
fn of_data(sealed: usize) -> Vec<Lesson> {
    let values = sealed.saturating_sub(26) / BLOCK_BYTES;
    vec![
        Lesson {
            html: format!(
                "The length says how many integers are inside: {}. This wire does not hide it.",
                count(values, "integer", "integers")
            ),
            is_flaw: true,
            rung: None,
        },
        stands("Sent again, it meets another record number and does not open (P-08)."),
        stands("Equal integers look different: no keystream is used twice (P-05)."),
    ]
}

/// The headline of what an attacker has, for the summary of the page.
pub(super) fn verdict(conversation: &Conversation, attack: &AttackMarks) -> String {
    let direction = |frame: &&Frame| frame.direction == Direction::ToServer;
    let sent = conversation.frames.iter().filter(direction).filter(|frame| frame.opcode == 30);
    let sent = count(sent.count(), "frame", "frames");
    let compared = count(attack.compared, "block", "blocks");
    let repeats = count(attack.repeated, "repeats an earlier one", "repeat earlier ones");
    match conversation.profile {
        Profile::Classic => format!(
            "Of {compared} of ciphertext {repeats}. The session token stands in the clear in \
             {sent}. Nothing is signed, and nothing is numbered."
        ),
        Profile::V2 { .. } => format!(
            "Of {compared} of ciphertext {repeats}. Opcodes, times and lengths can be seen; \
             nothing else."
        ),
    }
}
