//! `ddes lab hand-out`.

use std::io;
use std::path::PathBuf;

use ddes_capture::{Conversation, Writer, Written};
use ddes_lab::{HandOut, LabError, Recording, UNKNOWN_BITS, hand_out};

use super::args::HandOutArgs;
use super::recording::conversation;
use super::run::shell_word;
use crate::args::OutputArgs;
use crate::failure::{Code, Failure};
use crate::replace::{New, replace, spare};
use crate::screen::{Line, Screen};

/// A session to hand out is short.
const COPY_BYTES_MAX: u64 = 1 << 30;

pub(super) fn run(args: &HandOutArgs, output: &OutputArgs) -> Result<(), Failure> {
    let HandOutArgs { capture, copy, bits, .. } = args;
    spare(
        copy,
        [Some(capture), args.secrets.as_ref()].into_iter().flatten().map(PathBuf::as_path),
    )?;
    let session = conversation(capture, args.stream, args.secrets.as_deref(), output.quiet)?;
    let hints = hand_out(&Recording::of(&session), *bits).map_err(|error| match error {
        LabError::Unusable { what, next } => {
            let failure = Failure::new(Code::Usage, format!("{}: {what}", capture.display()));
            next.into_iter().fold(failure, Failure::next)
        }
        other @ (LabError::System { .. } | LabError::Unplanned(_) | LabError::Stopped) => {
            Failure::new(Code::No, other.to_string())
        }
    })?;
    let bytes = without_secrets(&session)
        .map_err(|error| Failure::system("cannot make the copy", &error))?;
    replace(copy, &bytes, New::REPORT).map_err(|error| error.failure(Code::No, copy))?;
    let HandOut { hint1, hint2 } = hints;
    let command = format!(
        "ddes lab run 9 --capture {} --hint1 {hint1} --hint2 {hint2} --bits {bits}",
        shell_word(&copy.display().to_string())
    );
    let frames = session.frames.len();
    let text = match output.quiet {
        true => command.clone(),
        false => format!(
            "{}: {frames} frames and no secrets. Unknown: the first {bits} bits of each key, \
             {UNKNOWN_BITS}.\n\n    {command}",
            copy.display()
        ),
    };
    let line = Line::new("handed_out", text)
        .with("path", copy.display().to_string())
        .with("frames", frames)
        .with("bits", *bits)
        .with("hint1", hint1)
        .with("hint2", hint2)
        .with("command", command);
    Screen::of(output).show_done(&line)
}

/// The frames of a session in packets made up around them, and nothing else.
fn without_secrets(session: &Conversation) -> io::Result<Vec<u8>> {
    let whole = |written| match written {
        Written::Whole => Ok(()),
        Written::Full => Err(io::Error::other("the session is too long to hand out")),
    };
    let mut writer = Writer::new(Vec::new(), COPY_BYTES_MAX)?;
    let connection = writer.open(session.began, session.client, session.server, None)?;
    let mut last = session.began;
    for frame in &session.frames {
        last = session.began.saturating_add(frame.at);
        whole(writer.data(connection, last, frame.direction, &frame.bytes)?)?;
    }
    whole(writer.close(connection, last, None)?)?;
    writer.finish()
}
