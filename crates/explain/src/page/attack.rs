//! What somebody learns who has no key and reads carefully.
//!
//! Everything here is computed from the bytes on the wire alone, so it is the same with secrets and
//! without.

use std::collections::BTreeMap;
use std::ops::Range;

use ddes_capture::{Conversation, Direction, Frame, Profile};

use super::acts::{Act, acts};
use super::cards::frame_anchor;
use super::html::count;

const BLOCK_BYTES: usize = 8;
/// The integer, the UUID in two blocks, and a block of padding.
const INTEGER_BLOCKS: usize = 4;
/// Frames that a mark or a sentence names; the others are counted.
const NAMED_MAX: usize = 4;

/// Bytes of a frame that an attacker marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
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

/// Marks and lessons of each frame, in the order of the frames.
pub(super) struct Attack {
    pub(super) marks: Vec<Vec<Mark>>,
    /// Those of the numbers in the PEM text.
    pub(super) der_marks: Vec<Vec<Mark>>,
    pub(super) lessons: Vec<Vec<Lesson>>,
    /// Blocks of 8 bytes that were compared, and how many were seen before.
    pub(super) compared: usize,
    pub(super) repeated: usize,
}

pub(super) fn attack(conversation: &Conversation, prefix: &str) -> Attack {
    let acts = acts(conversation);
    let blocks = Blocks::of(conversation, &acts);
    let rows = conversation.frames.iter().zip(&acts);
    Attack {
        marks: rows.clone().map(|(frame, act)| marks(frame, *act, &blocks)).collect(),
        der_marks: rows.clone().map(|(frame, act)| der_marks(frame, *act)).collect(),
        lessons: rows
            .map(|(frame, act)| match conversation.profile {
                Profile::Classic => of_classic(frame, *act, conversation, &acts, &blocks, prefix),
                Profile::V2 { .. } => of_v2(frame, *act),
            })
            .collect(),
        compared: blocks.compared,
        repeated: blocks.repeated,
    }
}

/// Where each block of ciphertext stands: frames and places.
struct Blocks {
    places: BTreeMap<[u8; BLOCK_BYTES], Vec<(u32, usize)>>,
    /// The blocks that stand in more than one place, in the order of their first one.
    twice: Vec<[u8; BLOCK_BYTES]>,
    compared: usize,
    repeated: usize,
}

impl Blocks {
    fn of(conversation: &Conversation, acts: &[Act]) -> Self {
        let mut places: BTreeMap<_, Vec<(u32, usize)>> = BTreeMap::new();
        let mut order = Vec::new();
        for (frame, act) in conversation.frames.iter().zip(acts) {
            for range in cipher_blocks(frame, *act) {
                let bytes = frame.bytes.get(range.clone());
                let Some(block) = bytes.and_then(|bytes| bytes.try_into().ok()) else { continue };
                let block: [u8; BLOCK_BYTES] = block;
                let known = places.entry(block).or_default();
                if known.is_empty() {
                    order.push(block);
                }
                known.push((frame.number, range.start));
            }
        }
        let compared = places.values().map(Vec::len).sum();
        let repeated = places.values().map(|places| places.len() - 1).sum();
        order.retain(|block| places.get(block).is_some_and(|places| places.len() > 1));
        Self { places, twice: order, compared, repeated }
    }

    /// The number of a block that stands in more than one place.
    fn number(&self, block: &[u8]) -> Option<usize> {
        self.twice.iter().position(|twice| twice == block)
    }

    /// The other frames that have this block.
    fn elsewhere(&self, block: Option<&[u8]>, frame: u32) -> Vec<u32> {
        let block: Option<[u8; BLOCK_BYTES]> = block.and_then(|block| block.try_into().ok());
        let places = block.and_then(|block| self.places.get(&block));
        let mut frames: Vec<u32> = places
            .into_iter()
            .flatten()
            .map(|(number, _)| *number)
            .filter(|number| *number != frame)
            .collect();
        frames.dedup();
        frames
    }
}

/// The blocks of a frame that are ciphertext; of a record as if it were in ECB, to show that it is
/// not.
fn cipher_blocks(frame: &Frame, act: Act) -> Vec<Range<usize>> {
    let is_sealed = matches!(
        act,
        Act::Token
            | Act::Integer
            | Act::Result
            | Act::ServerProof
            | Act::ClientProof
            | Act::Welcome
            | Act::Data
            | Act::Outcome
            | Act::Farewell
    );
    let Some(field) = frame.field("ciphertext").filter(|_| is_sealed) else { return Vec::new() };
    let starts = field.range.clone().step_by(BLOCK_BYTES);
    starts
        .map(|start| start..start + BLOCK_BYTES)
        .filter(|range| range.end <= field.range.end)
        .collect()
}

fn marks(frame: &Frame, act: Act, blocks: &Blocks) -> Vec<Mark> {
    let mut marks = Vec::new();
    let ranges = cipher_blocks(frame, act);
    let last = ranges.len().saturating_sub(1);
    for (i, range) in ranges.into_iter().enumerate() {
        let Some(block) = frame.bytes.get(range.clone()) else { continue };
        if act == Act::Token && i == last {
            marks.push(Mark { range, label: "08×8".to_owned(), hue: 0 });
        } else if let Some(number) = blocks.number(block) {
            marks.push(Mark { range, label: letter(number), hue: number % 5 + 1 });
        }
    }
    if let Some(token) = frame.field("token").filter(|_| act == Act::Integer) {
        marks.push(Mark { range: token.range.clone(), label: "token".to_owned(), hue: 0 });
    }
    if let (Some(pem), Some(public)) = (frame.field("pem"), public_letters(act)) {
        let label = format!("p, g and {public}, unsigned");
        marks.push(Mark { range: pem.range.clone(), label, hue: 0 });
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
fn der_marks(frame: &Frame, act: Act) -> Vec<Mark> {
    let (Some(der), Some(public)) = (&frame.der, public_letters(act)) else { return Vec::new() };
    let names = [("prime", "p"), ("generator", "g"), ("public", public)];
    let found = names.into_iter().filter_map(|(name, label)| Some((der.field(name)?, label)));
    found
        .map(|(field, label)| Mark { range: field.range.clone(), label: label.to_owned(), hue: 0 })
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
fn named(frames: &[u32], prefix: &str) -> String {
    let link =
        |number: &u32| format!("<a href=\"#{}\">frame {number}</a>", frame_anchor(prefix, *number));
    let shown: Vec<String> = frames.iter().take(NAMED_MAX).map(link).collect();
    let more = frames.len().saturating_sub(NAMED_MAX);
    match (shown.split_last(), more) {
        (Some((last, [])), 0) => last.clone(),
        (Some((last, front)), 0) => format!("{} and {last}", front.join(", ")),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

fn of_classic(
    frame: &Frame,
    act: Act,
    conversation: &Conversation,
    acts: &[Act],
    blocks: &Blocks,
    prefix: &str,
) -> Vec<Lesson> {
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
            "The last block is known: eight bytes 08 under Key1 twice, in every session. Trying all \
             2<sup>56</sup> keys Key1 costs two DES a trial and needs no memory; the token, which the \
             next 30 shows in the clear, tells the right one.",
            9,
        )],
        Act::Integer => of_integer(frame, conversation, acts, blocks, prefix),
        Act::Received => vec![flaw("Plain text under no key: anybody on the path can say it.", 8)],
        Act::Result => of_result(frame, blocks, prefix),
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

fn of_integer(
    frame: &Frame,
    conversation: &Conversation,
    acts: &[Act],
    blocks: &Blocks,
    prefix: &str,
) -> Vec<Lesson> {
    let mut lessons = vec![flaw(
        "The session token stands here in the clear. It proves nothing from now on, and it is the \
         plaintext of the 20: two more blocks known under Key1.",
        1,
    )];
    let body = frame.body();
    let same = blocks.elsewhere(body.get(..BLOCK_BYTES), frame.number);
    if !same.is_empty() {
        let where_ = named(&same, prefix);
        lessons.push(flaw(
            format!("Block 0 is that of {where_}: the same integer was sent, whatever it is."),
            2,
        ));
    }
    let others = conversation.frames.iter().zip(acts).filter(|(other, act)| {
        **act == Act::Integer && other.number != frame.number && other.body() == body
    });
    let identical: Vec<u32> = others.map(|(other, _)| other.number).collect();
    if !identical.is_empty() {
        let where_ = named(&identical, prefix);
        lessons.push(flaw(
            format!(
                "The whole frame is that of {where_}, HMAC included. The server cannot tell a repeated \
                 frame from a new one: recorded and sent again, it counts again."
            ),
            3,
        ));
    } else {
        lessons.push(flaw("Recorded and sent again in this session, it counts again.", 3));
    }
    let repeated = (1..INTEGER_BLOCKS).filter(|i| {
        let block = body.get(i * BLOCK_BYTES..(i + 1) * BLOCK_BYTES);
        !blocks.elsewhere(block, frame.number).is_empty()
    });
    if repeated.count() > 0 {
        lessons.push(flaw(
            "Within the session the last three blocks, UUID and padding, never change. Only block 0 \
             tells the frames apart, and it depends on the integer alone: whoever knows some integers \
             makes a codebook of block 0, and reads the others in it.",
            4,
        ));
    }
    lessons
}

fn of_result(frame: &Frame, blocks: &Blocks, prefix: &str) -> Vec<Lesson> {
    let mut lessons = vec![flaw(
        "Its HMAC uses the same key as the client’s. A client’s own 30, sent back to it as a 40, \
         passes: the opcode is covered by nothing.",
        8,
    )];
    let same = blocks.elsewhere(frame.body().get(..BLOCK_BYTES), frame.number);
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
            "A middleman may answer in the server’s place. It gets no further than message 3, which \
             it cannot sign (P-15).",
        )],
        Act::ServerProof => vec![stands(
            "Who only listens does not learn which server this is. The key and signature are inside \
             (P-14).",
        )],
        Act::ClientProof => vec![stands(
            "The client’s identity is sent to a server that it knows already, and to nobody else \
             (P-26).",
        )],
        Act::Welcome => vec![stands("The token never stands in the clear on this wire (P-20).")],
        Act::Data => of_data(sealed),
        Act::Outcome => vec![stands(
            "Another key than that of the 30s, and the opcode is under the tag: a 30 sent back does \
             not open (P-08).",
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
pub(super) fn verdict(conversation: &Conversation, attack: &Attack) -> String {
    let direction = |frame: &&Frame| frame.direction == Direction::ToServer;
    let sent = conversation.frames.iter().filter(direction).filter(|frame| frame.opcode == 30);
    let sent = count(sent.count(), "frame", "frames");
    let compared = count(attack.compared, "block", "blocks");
    let repeats = count(attack.repeated, "repeats an earlier one", "repeat earlier ones");
    match conversation.profile {
        Profile::Classic => format!(
            "Of {compared} of ciphertext {repeats}. The session token stands in the clear in {sent}. \
             Nothing is signed, and nothing is numbered."
        ),
        Profile::V2 { .. } => format!(
            "Of {compared} of ciphertext {repeats}. Opcodes, times and lengths can be seen; nothing \
             else."
        ),
    }
}
