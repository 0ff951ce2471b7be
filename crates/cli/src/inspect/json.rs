//! The same for programs: one JSON object a line.

use std::io::{self, Write};

use ddes_capture::{
    Check, Conversation, Conversations, Direction, End, Epoch, Field, FieldValue as Says, Frame,
    Missing, OpenedKeys, Plain, Profile, part,
};
use ddes_wire::shown::hex;
use serde_json::{Value, json};

use super::note;
use crate::args::InspectArgs;
use crate::screen::Line;

pub(super) fn write(
    out: &mut impl Write,
    found: &Conversations,
    args: &InspectArgs,
) -> io::Result<()> {
    let counts = found.counts;
    let file = Line::new("file", "")
        .with("file", args.file.display().to_string())
        .with("packets", counts.packets)
        .with("other_packets", counts.other_packets)
        .with("other_connections", counts.other_connections)
        .with("unfollowed", counts.unfollowed)
        .with("notes", found.notes.clone());
    file.write(out, true)?;
    for conversation in &found.all {
        if args.stream.is_none_or(|stream| stream == conversation.number) {
            of_conversation(out, conversation, args)?;
        }
    }
    Ok(())
}

fn of_conversation(
    out: &mut impl Write,
    conversation: &Conversation,
    args: &InspectArgs,
) -> io::Result<()> {
    let suite = match conversation.profile {
        Profile::Classic => None,
        Profile::V2 { suite } => suite.map(|suite| suite.name()),
    };
    let end = match conversation.end {
        End::Open => "open",
        End::Closed => "closed",
        End::Reset { by: Direction::ToServer } => "reset by the client",
        End::Reset { by: Direction::ToClient } => "reset by the server",
    };
    let mut line = Line::new("conversation", "")
        .with("stream", conversation.number)
        .with("wire", conversation.profile.name())
        .with("suite", suite)
        .with("client", conversation.client.to_string())
        .with("server", conversation.server.to_string())
        .with("began", super::show::time(conversation.began))
        .with("frames", conversation.frames.len())
        .with("end", end)
        .with("missing_to_server", missing(conversation.missing_to_server))
        .with("missing_to_client", missing(conversation.missing_to_client))
        .with("is_opened", conversation.session.is_some())
        .with("refused", conversation.refused.clone());
    if args.keys {
        line = line.with("keys", conversation.session.as_ref().map(keys));
    }
    line.write(out, true)?;
    for (index, frame) in conversation.frames.iter().enumerate() {
        notes(out, conversation, |number| number == frame.number || (index == 0 && number == 0))?;
        of_frame(out, conversation.number, frame)?;
    }
    let last = conversation.frames.last().map_or(0, |frame| frame.number);
    notes(out, conversation, |number| number > last)
}

fn missing(missing: Missing) -> Value {
    json!({ "bytes": missing.bytes, "is_end": missing.is_end })
}

fn notes(
    out: &mut impl Write,
    conversation: &Conversation,
    is_here: impl Fn(u32) -> bool,
) -> io::Result<()> {
    for found in conversation.notes.iter().filter(|note| is_here(note.before_frame)) {
        Line::new("note", "")
            .with("stream", conversation.number)
            .with("before_frame", found.before_frame)
            .with("from", found.direction.map(sender))
            .with("what", note(&found.kind))
            .write(out, true)?;
    }
    Ok(())
}

fn of_frame(out: &mut impl Write, stream: u32, frame: &Frame) -> io::Result<()> {
    Line::new("frame", "")
        .with("stream", stream)
        .with("number", frame.number)
        .with("at", frame.at.as_secs_f64())
        .with("from", sender(frame.direction))
        .with("opcode", frame.opcode)
        .with("name", frame.name)
        .with("hex", hex(&frame.bytes))
        .with("fields", fields(&frame.fields, &frame.bytes))
        .with("der", frame.der.as_ref().map(plain))
        .with("plain", frame.plain.as_ref().map(plain))
        .with("checks", frame.checks.iter().map(check).collect::<Vec<_>>())
        .write(out, true)
}

fn sender(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "client",
        Direction::ToClient => "server",
    }
}

fn plain(plain: &Plain) -> Value {
    json!({
        "hex": hex(&plain.bytes),
        "fields": fields(&plain.fields, &plain.bytes),
        "record": plain.record,
        "epoch": plain.record.map(|_| plain.epoch),
    })
}

fn fields(fields: &[Field], bytes: &[u8]) -> Vec<Value> {
    let field = |field: &Field| {
        let inside = part(bytes, &field.range);
        // Integers are text: they exceed 2^53.
        let (value, stands_for) = match &field.value {
            Says::Integer(integer) => (json!(integer.to_string()), None),
            Says::Named { number, name } => (json!(number.to_string()), *name),
            Says::Integers(all) => {
                (json!(all.iter().map(ToString::to_string).collect::<Vec<_>>()), None)
            }
            Says::Text(text) => (json!(text), None),
            Says::Bytes => (Value::Null, None),
        };
        json!({
            "name": field.name,
            "offset": field.range.start,
            "length": field.range.len(),
            "hex": hex(inside),
            "value": value,
            "stands_for": stands_for,
            "meaning": field.meaning,
        })
    };
    fields.iter().map(field).collect()
}

fn check(check: &Check) -> Value {
    json!({
        "what": check.what.name(),
        "rule": check.rule,
        "passed": check.passed,
        "detail": check.detail,
    })
}

fn keys(opened: &OpenedKeys) -> Value {
    let epochs = |epochs: &[Epoch]| {
        let epoch = |epoch: &Epoch| {
            json!({
                "first_record": epoch.first_record,
                "key": hex(&epoch.key[..]),
                "key1": hex(&epoch.key1[..]),
                "key2": hex(&epoch.key2[..]),
                "mac_key": hex(&epoch.mac_key[..]),
                "chacha_key": epoch.chacha_key.as_ref().map(|key| hex(&key[..])),
            })
        };
        epochs.iter().map(epoch).collect::<Vec<_>>()
    };
    match opened {
        OpenedKeys::Classic(keys) => json!({
            "shared": keys.shared.as_ref().map(|shared| hex(shared)),
            "prk": keys.prk.as_ref().map(|prk| hex(&prk[..])),
            "key1": hex(&keys.key1[..]),
            "key2": hex(&keys.key2[..]),
            "token": keys.token.as_ref().map(|token| hex(&token[..])),
        }),
        OpenedKeys::V2(keys) => json!({
            "hash": keys.hash.map(|hash| hex(&hash)),
            "to_server": epochs(&keys.to_server),
            "to_client": epochs(&keys.to_client),
            "token": keys.token.as_ref().map(|token| hex(&token[..])),
        }),
    }
}
