//! Streams to conversations: profile, client and server, fields, and what the secrets open.

mod classic;
mod open;
mod record;
mod v2;
mod work;

use std::time::Duration;

use ddes_wire::frame::{HEADER_BYTES, Header, Opcode};
use ddes_wire::schema::{self, FieldSchema, FieldsPlace, HEADER, Message, Sender, Suites, Wire};
use ddes_wire::v2::{GroupSize, Suite, VERSION};

use crate::conversation::{
    Check, Conversation, Direction, Field, FieldValue, Frame, Note, NoteKind, Plain, Profile, What,
};
use crate::opened::OpenedKeys;
use crate::secrets::SessionSecrets;
use crate::streams::Stream;

/// The secrets that are tried on one conversation: those that name its addresses first.
const TRIALS_MAX: usize = 64;

pub(crate) use open::OpenRefusal;
pub(crate) use work::WorkBudget;

/// The conversation of a stream, with what opens it: of its own secrets and those for all streams.
pub(crate) fn conversation(
    stream: Stream,
    own: &[SessionSecrets],
    shared: &[SessionSecrets],
    work: &mut WorkBudget,
) -> Conversation {
    let mut conversation = clear(stream);
    match &conversation.profile {
        Profile::Classic => classic::read_keys(&mut conversation),
        Profile::V2 { .. } => v2::check_clear(&mut conversation),
    }
    match open::first(&conversation, own.iter().chain(shared), TRIALS_MAX, work) {
        Ok(Some((opened, secrets))) => {
            (conversation.session, conversation.secrets) = (Some(opened), Some(secrets));
        }
        Ok(None) => {}
        Err(refusal) => conversation.refused = Some(refusal.to_string()),
    }
    decrypt(&mut conversation, work);
    conversation
}

/// The keys that one end's secrets lead to on a stream that goes on, without what is inside.
pub(crate) fn keys(
    stream: Stream,
    secrets: &SessionSecrets,
    work: &mut WorkBudget,
) -> Result<OpenedKeys, OpenRefusal> {
    open::open(&clear(stream), secrets, work)
}

/// What everybody sees, before anything is checked.
fn clear(stream: Stream) -> Conversation {
    let first = stream.frames.first();
    let recognised = first.and_then(|mark| {
        let bytes = stream.halves[mark.half].kept.get(mark.found.start, mark.found.bytes)?;
        recognise(bytes, mark.half, stream.opener)
    });
    let (profile, client) = recognised.unwrap_or((Profile::V2 { suite: None }, 0));
    let mut conversation = skeleton(stream, profile, client);
    name_all(&mut conversation);
    conversation
}

/// Decrypts and checks what the session of a conversation allows.
fn decrypt(conversation: &mut Conversation, work: &mut WorkBudget) {
    let Some(mut opened) = conversation.session.take() else { return };
    match &mut opened {
        OpenedKeys::Classic(keys) => classic::decrypt(conversation, keys),
        OpenedKeys::V2(keys) => v2::decrypt(conversation, keys, work),
    }
    conversation.session = Some(opened);
}

/// Which wire the first frame belongs to, and which half is the client.
fn recognise(bytes: &[u8], half: usize, opener: Option<usize>) -> Option<(Profile, usize)> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let opcode = Opcode::from_number(Header::decode(*header).opcode);
    let is_text = body.first().is_some_and(|byte| byte.is_ascii_graphic());
    let by_opener = |fallback: usize| opener.unwrap_or(fallback);
    Some(match (opcode, body) {
        (Some(Opcode::KeyVerification), [VERSION, id, ..]) => {
            (Profile::V2 { suite: Suite::from_id(*id) }, by_opener(half))
        }
        // The server of classic speaks first.
        (Some(Opcode::KeyVerification), _) if is_text => (Profile::Classic, by_opener(1 - half)),
        (Some(Opcode::EncryptedData | Opcode::Disconnect), _) if is_text => {
            (Profile::Classic, by_opener(1 - half))
        }
        // Tokens and sums come from servers; 24 bytes are two blocks and a token's padding.
        (Some(Opcode::SessionToken), [..]) if body.len() == 24 => {
            (Profile::Classic, by_opener(1 - half))
        }
        (Some(Opcode::EncryptedResult), _) if body.len() % 8 == 0 => {
            (Profile::Classic, by_opener(1 - half))
        }
        (Some(Opcode::EncryptedData), _) if body.len() == 80 && body.len() % 8 == 0 => {
            (Profile::Classic, by_opener(half))
        }
        (Some(Opcode::SessionToken | Opcode::EncryptedResult), _) => {
            (Profile::V2 { suite: None }, by_opener(1 - half))
        }
        (Some(Opcode::KeyVerification | Opcode::EncryptedData | Opcode::Disconnect) | None, _) => {
            (Profile::V2 { suite: None }, by_opener(half))
        }
    })
}

/// Frames with their bytes and headers, and the notes.
fn skeleton(mut stream: Stream, profile: Profile, client: usize) -> Conversation {
    let marks = std::mem::take(&mut stream.frames);
    let notes = std::mem::take(&mut stream.notes);
    let mut frames = Vec::with_capacity(marks.len());
    for mark in &marks {
        let kept = &stream.halves[mark.half].kept;
        let Some(bytes) = kept.get(mark.found.start, mark.found.bytes) else { continue };
        let direction = Stream::direction(client, mark.half);
        let at = mark.at.saturating_sub(stream.began);
        frames.push(frame(frames.len(), at, direction, bytes.to_vec()));
    }
    let mut notes: Vec<Note> = notes
        .into_iter()
        .map(|note| Note {
            before_frame: number(note.before),
            direction: note.half.map(|half| Stream::direction(client, half)),
            kind: note.kind,
        })
        .collect();
    if stream.halves.iter().any(|half| !half.began) {
        notes.insert(0, Note { before_frame: 1, direction: None, kind: NoteKind::Midway });
    }
    Conversation {
        number: stream.number,
        profile,
        client: stream.ends[client],
        server: stream.ends[1 - client],
        began: stream.began,
        frames,
        end: stream.end(client),
        notes,
        missing_to_server: stream.missing[client],
        missing_to_client: stream.missing[1 - client],
        session: None,
        secrets: None,
        refused: None,
    }
}

/// The number of the frame at an index. Frames are bounded far below 2^32.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX - 1) + 1
}

fn frame(index: usize, at: Duration, direction: Direction, bytes: Vec<u8>) -> Frame {
    let opcode = bytes.first_chunk().map_or(0, |opcode| u32::from_be_bytes(*opcode));
    // A header that is cut short has the fields that are whole.
    let fields = HEADER.iter().zip([0..4, 4..HEADER_BYTES]);
    let fields = fields.filter_map(|(schema, range)| field(schema, range, &bytes)).collect();
    Frame {
        number: number(index),
        at,
        direction,
        opcode,
        name: "unknown",
        bytes,
        fields,
        der: None,
        plain: None,
        checks: Vec::new(),
    }
}

/// Gives each frame the name and the fields that its place in the conversation says.
fn name_all(conversation: &mut Conversation) {
    let Conversation { profile, frames, .. } = conversation;
    let mut seen_keys = [0_u32; 2];
    for frame in frames {
        let sender = usize::from(frame.direction == Direction::ToClient);
        let is_key = frame.opcode == Opcode::KeyVerification.number();
        let nth = seen_keys[sender];
        seen_keys[sender] += u32::from(is_key);
        match profile {
            Profile::Classic => {
                let message = message(Wire::Classic, frame, FieldsPlace::Body, Suites::All);
                set(frame, message, None);
            }
            Profile::V2 { suite } => {
                // The first 10 of each side is in the clear; so is a 50 in place of message 2.
                let is_clear = is_key && nth == 0;
                let is_rejection =
                    frame.opcode == Opcode::Disconnect.number() && seen_keys[1] == 0 && sender == 1;
                let suites = match suite {
                    Some(suite) if suite.is_hybrid() => Suites::Hybrid,
                    Some(_) => Suites::Ddes,
                    None => Suites::All,
                };
                if is_clear || is_rejection {
                    let message = message(Wire::V2, frame, FieldsPlace::Body, suites);
                    set(frame, message, suite.map(Suite::group));
                } else {
                    let message = message(Wire::V2, frame, FieldsPlace::Plaintext, Suites::All);
                    record_fields(frame, message);
                }
            }
        }
    }
}

/// The message that a frame is, by its opcode and sender.
fn message(
    wire: Wire,
    frame: &Frame,
    place: FieldsPlace,
    suites: Suites,
) -> Option<&'static Message> {
    let sender = frame.direction.sender();
    schema::MESSAGES.iter().find(|message| {
        message.wire == wire
            && message.place == place
            && message.opcode.number() == frame.opcode
            && (message.sender == sender || message.sender == Sender::Either)
            && (message.suites == suites || message.suites == Suites::All)
    })
}

/// Sets the name and the clear fields of a frame; a length that does not fit is a failed check.
fn set(frame: &mut Frame, message: Option<&'static Message>, group: Option<GroupSize>) {
    let Some(message) = message else {
        return frame.checks.push(unknown_opcode(frame.opcode));
    };
    frame.name = message.title;
    let body = frame.bytes.len() - HEADER_BYTES;
    let fields = message.split(body, group).and_then(|split| {
        let fields = split.into_iter().map(|(schema, range)| {
            field(schema, range.start + HEADER_BYTES..range.end + HEADER_BYTES, &frame.bytes)
        });
        fields.collect::<Option<Vec<_>>>()
    });
    match fields {
        Some(fields) => frame.fields.extend(fields),
        None => frame.checks.push(Check {
            what: What::Length,
            rule: Some(if message.wire == Wire::V2 { "P-01" } else { "C-01" }),
            passed: false,
            detail: format!("{body} bytes do not fit {}", message.title),
        }),
    }
}

/// Sets the name of a frame whose body is a record, and the fields around the ciphertext.
fn record_fields(frame: &mut Frame, message: Option<&'static Message>) {
    match message {
        Some(message) => frame.name = message.title,
        None => frame.checks.push(unknown_opcode(frame.opcode)),
    }
    let end = frame.bytes.len();
    let Some(tag) = end.checked_sub(ddes_wire::v2::TAG_BYTES).filter(|tag| *tag >= HEADER_BYTES)
    else {
        return frame.checks.push(Check {
            what: What::Length,
            rule: Some("P-08"),
            passed: false,
            detail: format!("{} bytes are shorter than a tag", end - HEADER_BYTES),
        });
    };
    let fields = schema::RECORD.iter().zip([HEADER_BYTES..tag, tag..end]);
    frame.fields.extend(fields.filter_map(|(schema, range)| field(schema, range, &frame.bytes)));
}

fn unknown_opcode(opcode: u32) -> Check {
    Check {
        what: What::Order,
        rule: None,
        passed: false,
        detail: format!("no message of this side has opcode {opcode}"),
    }
}

/// The field in a range of bytes; `None` if they end before it does.
fn field(
    schema: &'static FieldSchema,
    range: std::ops::Range<usize>,
    bytes: &[u8],
) -> Option<Field> {
    let value = FieldValue::read(schema.kind, bytes.get(range.clone())?);
    Some(Field { name: schema.name, range, value, meaning: schema.meaning })
}

/// The fields of a plaintext; `None` if its length does not fit the message.
fn plain_fields(message: &'static Message, plaintext: &[u8]) -> Option<Vec<Field>> {
    let split = message.split(plaintext.len(), None)?;
    split.into_iter().map(|(schema, range)| field(schema, range, plaintext)).collect()
}

/// The decrypted content of a frame, with the fields of its message.
fn plain(
    wire: Wire,
    frame: &Frame,
    bytes: Vec<u8>,
    record: Option<u64>,
    epoch: usize,
) -> Option<Plain> {
    let message = message(wire, frame, FieldsPlace::Plaintext, Suites::All);
    let fields = message.and_then(|message| plain_fields(message, &bytes));
    let is_known = fields.is_some();
    // What no message of the wire describes is shown as bytes alone.
    let fields = fields.into_iter().flatten().collect();
    let plain = Plain { bytes, fields, record, epoch };
    (is_known || record.is_some() || !plain.bytes.is_empty()).then_some(plain)
}

fn check(what: What, rule: &'static str, passed: bool, detail: impl Into<String>) -> Check {
    Check { what, rule: Some(rule), passed, detail: detail.into() }
}

/// Whether a public value is in 2..p-2, without an exponentiation. Leading zeros are allowed.
fn in_range(value: &[u8], prime: &[u8]) -> bool {
    let (value, prime) = (trimmed(value), trimmed(prime));
    let Some((last, front)) = prime.split_last() else { return false };
    let is_small = value.is_empty() || value == [1];
    // p is odd: p-1 differs from it in the last bit only.
    let below = [front, &[last ^ 1]].concat();
    let is_below = (value.len(), value) < (below.len(), &below[..]);
    !is_small && is_below
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}
