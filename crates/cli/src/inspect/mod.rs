//! `ddes inspect`: what a capture says, frame by frame and field by field.

mod json;
mod show;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use ddes_capture::{
    Conversation, Conversations, Direction, Limits, NoteKind, ReadError, SECRETS_BYTES_MAX,
    SECRETS_MAX, SessionSecrets,
};
use ddes_wire::saturating;
use zeroize::Zeroizing;

use crate::args::InspectArgs;
use crate::failure::{Code, Failure};
use crate::streams::{Output, say};

const WRITE_BYTES: usize = 64 * 1024;

pub(crate) fn run(args: &InspectArgs) -> Result<(), Failure> {
    let (found, secrets) = open(args)?;
    let mut out = BufWriter::with_capacity(WRITE_BYTES, Output);
    let shown = match args.output.json {
        true => json::write(&mut out, &found, args),
        false => show::write(&mut out, &found, args),
    };
    shown.and_then(|()| out.flush()).map_err(|error| Failure::output(&error))?;
    verdict(args, &found, &secrets)
}

/// Reads the whole file with the secrets that are given; one without the conversation that was
/// asked for is an error.
pub(crate) fn open(args: &InspectArgs) -> Result<(Conversations, Vec<SessionSecrets>), Failure> {
    let secrets = args.secrets.as_deref().map_or_else(|| Ok(Vec::new()), secrets)?;
    let found = read(args, &secrets)?;
    if !args.output.quiet && !args.output.json {
        found.notes.iter().for_each(|note| say(&format!("Note: {note}.")));
    }
    let wanted = |number: u32| args.stream.is_none_or(|stream| stream == number);
    if found.all.iter().any(|conversation| wanted(conversation.number)) {
        Ok((found, secrets))
    } else {
        Err(nothing(args, &found))
    }
}

fn read(args: &InspectArgs, secrets: &[SessionSecrets]) -> Result<Conversations, Failure> {
    let name = args.file.display();
    let cannot = |error: &io::Error| {
        Failure::new(Code::No, format!("cannot read {name}: {error}"))
            .cause_of_path(error)
            .next("name a pcapng or pcap file; ddes capture makes one")
    };
    let source: Box<dyn Read> = match args.file.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(&args.file).map_err(|error| cannot(&error))?),
    };
    let limits = Limits {
        // A bound beyond what can be addressed is none.
        bytes_max: saturating::to_usize(args.max_memory),
        only: args.stream,
        ..Limits::default()
    };
    ddes_capture::read(source, &limits, secrets).map_err(|error| match error {
        ReadError::Io(error) => cannot(&error),
        ReadError::Format => Failure::new(Code::No, format!("{name}: {error}"))
            .cause("it begins with the bytes of no capture format, or is compressed")
            .next("tcpdump -w FILE, or ddes capture -o FILE"),
    })
}

/// The secrets of a file, one session a line.
pub(crate) fn secrets(path: &Path) -> Result<Vec<SessionSecrets>, Failure> {
    let bad = |what: String| {
        Failure::new(Code::Usage, format!("{}: {what}", path.display()))
            .next("docs/capture.md describes the file")
    };
    let file = File::open(path).map_err(|error| bad(error.to_string()))?;
    let mut lines = BufReader::new(file);
    let mut all = Vec::new();
    let mut number = 0;
    loop {
        let mut line = Zeroizing::new(String::new());
        let bound = SECRETS_BYTES_MAX as u64 + 1;
        let count = (&mut lines).take(bound).read_line(&mut line);
        if count.map_err(|error| bad(error.to_string()))? == 0 {
            break;
        }
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        if all.len() == SECRETS_MAX {
            return Err(bad(format!("it has secrets of more than {SECRETS_MAX} sessions")));
        }
        let secrets = SessionSecrets::from_json(line.trim());
        all.push(secrets.map_err(|error| bad(format!("line {number}: {error}")))?);
    }
    if all.is_empty() { Err(bad("it holds no secrets".into())) } else { Ok(all) }
}

/// A file in which nothing of this protocol is, or not the conversation that was asked for.
fn nothing(args: &InspectArgs, found: &Conversations) -> Failure {
    let name = args.file.display();
    let counts = found.counts;
    if let Some(stream) = args.stream
        && (!found.all.is_empty() || counts.others > 0)
    {
        return Failure::new(Code::No, format!("{name} has no conversation {stream}"))
            .next(format!("ddes inspect {name}     (shows all of them)"));
    }
    let cause = match found.notes.first() {
        Some(note) => note.clone(),
        None => format!(
            "it has {} packets: {} TCP connections of other protocols, {} packets of others",
            counts.packets, counts.other_connections, counts.other_packets
        ),
    };
    Failure::new(Code::No, format!("{name} holds no conversation of this protocol"))
        .cause(cause)
        .next("ddes capture --listen 127.0.0.1:0 --server HOST:PORT -o FILE")
}

/// What was shown already decides the exit code.
fn verdict(
    args: &InspectArgs,
    found: &Conversations,
    secrets: &[SessionSecrets],
) -> Result<(), Failure> {
    let shown = || {
        let wanted = |number: u32| args.stream.is_none_or(|stream| stream == number);
        found.all.iter().filter(move |conversation| wanted(conversation.number))
    };
    let name = args.file.display();
    if !secrets.is_empty() && shown().all(|conversation| conversation.session.is_none()) {
        let refused = shown().find_map(|conversation| conversation.refused.as_deref());
        let what = refused.unwrap_or("the secrets are of another session");
        return Err(Failure::new(Code::Integrity, format!("{name}: {what}"))
            .cause("nothing was decrypted; what is shown is what an eavesdropper sees"));
    }
    let failed: usize = shown()
        .flat_map(|conversation| &conversation.frames)
        .map(|frame| frame.checks.iter().filter(|check| !check.passed).count())
        .sum();
    if failed > 0 {
        let what = format!("{name}: {failed} checks failed");
        return Err(Failure::shown(Code::Integrity, what));
    }
    Ok(())
}

/// What the capture does not hold of a conversation, a line for each side.
fn missing(conversation: &Conversation) -> Vec<String> {
    [(Direction::ToServer, "client"), (Direction::ToClient, "server")]
        .into_iter()
        .map(|(direction, sender)| (conversation.missing(direction), direction, sender))
        .filter(|(missing, ..)| missing.bytes > 0)
        .map(|(missing, direction, sender)| {
            let what = format!("not whole: {} bytes from the {sender} are missing", missing.bytes);
            let last = conversation.frames.iter().rfind(|frame| frame.direction == direction);
            match (missing.is_end, last) {
                (false, _) => what,
                (true, Some(last)) => {
                    format!("{what}, and its end: its last frame here is #{}", last.number)
                }
                (true, None) => format!("{what}, and its end: it has no frame here"),
            }
        })
        .collect()
}

/// What a note says, for people.
fn note(kind: &NoteKind) -> String {
    match kind {
        NoteKind::Gap { bytes } => format!("{bytes} bytes are missing in the capture"),
        NoteKind::Unframed { bytes } => format!("{bytes} bytes belong to no whole frame"),
        NoteKind::Conflict { offset } => {
            format!("a retransmission differs at byte {offset}; the first transmission is shown")
        }
        NoteKind::Midway => "the capture began after the connection".to_owned(),
        NoteKind::Beyond { frames, bytes } => {
            format!("{frames} more frames, {bytes} bytes, are not shown (--max-memory, --stream)")
        }
        NoteKind::TooLong { length } => {
            format!("a header announces {length} bytes: what follows cannot be split")
        }
        NoteKind::Lost { record } => {
            format!("record {record} does not open: what follows this way is not decrypted")
        }
        NoteKind::Unchecked { what, why } => format!("{} not checked: {why}", what.name()),
    }
}
