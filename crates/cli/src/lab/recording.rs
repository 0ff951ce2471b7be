//! A captured session, for the rungs that listen and to hand out.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ddes_capture::{Conversation, Limits, ReadError};

use crate::failure::{Code, Failure};
use crate::inspect;

/// The conversation of a capture that is meant: the one with the number, else the first in which
/// integers were sent, since a first contact is a connection of its own.
pub(super) fn conversation(
    path: &Path,
    stream: Option<u32>,
    secrets: Option<&Path>,
    is_quiet: bool,
) -> Result<Conversation, Failure> {
    let name = path.display();
    let cannot = |error: &std::io::Error| {
        Failure::new(Code::Usage, format!("cannot read {name}: {error}")).cause_of_path(error).next(
            "ddes send --classic --capture FILE --capture-secrets 7 9 7     (makes a capture)",
        )
    };
    let given = secrets.map_or_else(|| Ok(Vec::new()), inspect::secrets)?;
    let file = File::open(path).map_err(|error| cannot(&error))?;
    let limits = Limits { only: stream, ..Limits::default() };
    let found = ddes_capture::read(BufReader::new(file), &limits, &given);
    let found = found.map_err(|error| match error {
        ReadError::Io(error) => cannot(&error),
        ReadError::Format => Failure::new(Code::Usage, format!("{name}: {error}"))
            .cause("it begins with the bytes of no capture format, or is compressed")
            .next("tcpdump -w FILE, or ddes capture -o FILE"),
    })?;
    let mut all = found.all;
    let count = all.len();
    let has_integers = |one: &Conversation| one.frames.iter().any(|frame| frame.opcode == 30);
    // Without integers anywhere the first says what is missing.
    let Some(place) = all.iter().position(has_integers).or((!all.is_empty()).then_some(0)) else {
        let what = match stream {
            Some(stream) => format!("{name} has no conversation {stream}"),
            None => format!("{name} has no conversation of this protocol"),
        };
        return Err(Failure::new(Code::Usage, what)
            .next(format!("ddes inspect {name}     (shows what is in it)")));
    };
    let conversation = all.swap_remove(place);
    if count > 1 && !is_quiet {
        crate::streams::say(&format!(
            "Note: {name} has {count} conversations; this is number {}. --stream N takes another.",
            conversation.number
        ));
    }
    match &conversation.refused {
        Some(refused) if !given.is_empty() => {
            Err(Failure::new(Code::Integrity, format!("{name}: {refused}"))
                .next("--secrets with those of this session, or --stream N"))
        }
        Some(refused) => {
            crate::streams::say(&format!("Note: the capture's secrets do not fit: {refused}."));
            Ok(conversation)
        }
        None if !given.is_empty() && conversation.session.is_none() => Err(Failure::new(
            Code::Integrity,
            format!("{name}: the secrets are of another session"),
        )
        .next("--secrets with those of this session, or --stream N")),
        None => Ok(conversation),
    }
}
