//! `ddes explain`: a captured session as one self-contained page.

pub(crate) mod args;

use std::path::{Path, PathBuf};

use ddes_capture::{Conversation, Conversations};
use ddes_explain::{FRAMES_MAX, Sources};

use crate::args::InspectArgs;
use crate::failure::{Code, Failure};
use crate::inspect;
use crate::replace::{New, replace, spare};
use crate::screen::{Line, Screen};
use crate::streams::{self, say};
use args::ExplainArgs;

/// Memory for the frames of a capture: a page shows few.
const MEMORY_MAX: u64 = 256 << 20;

pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let read = [Some(&args.file), args.compare.as_ref(), args.secrets.as_ref()];
    spare(&args.page, read.into_iter().flatten().map(PathBuf::as_path))?;
    let mut found = open(args, &args.file, args.secrets.as_deref(), args.stream)?;
    let mut other = match &args.compare {
        Some(path) => Some((open(args, path, None, args.compare_stream)?, path)),
        None => None,
    };
    if args.without_secrets {
        forget(&mut found);
        other.iter_mut().for_each(|(found, _)| forget(found));
    }
    let main = chosen(&found, args.stream, &args.file)?;
    tell_of_choice(
        args,
        &found,
        &Choice {
            file: &args.file,
            taken: main,
            is_named: args.stream.is_some(),
            of: "",
            flag: "--stream",
        },
    );
    tell_of_secrets(main);
    let other = match &other {
        Some((found, path)) => {
            let other = counterpart(found, main, args, path)?;
            tell_of_choice(
                args,
                found,
                &Choice {
                    file: path,
                    taken: other,
                    is_named: args.compare_stream.is_some(),
                    of: " on the other wire",
                    flag: "--compare-stream",
                },
            );
            Some((other, path))
        }
        None => None,
    };
    let (name, other_name) = (file_name(&args.file), other.map(|(_, path)| file_name(path)));
    let sources = Sources {
        main,
        file: &name,
        other: other.map(|(other, _)| other).zip(other_name.as_deref()),
    };
    let page = ddes_explain::document(&sources);
    let has_secrets = main.session.is_some()
        || other.is_some_and(|(conversation, _)| conversation.session.is_some());
    write(args, &page, has_secrets)?;
    told(args, &sources, &page, has_secrets)
}

/// A conversation that was taken of a file.
struct Choice<'a> {
    file: &'a Path,
    taken: &'a Conversation,
    /// Whether its number was given.
    is_named: bool,
    /// Of which conversations it is the first one.
    of: &'static str,
    /// The flag that takes a number.
    flag: &'static str,
}

/// Whether integers were sent.
fn counts(conversation: &Conversation) -> bool {
    conversation.frames.iter().any(|frame| frame.opcode == 30)
}

/// Reads a capture; a file in which nothing of this protocol is, is an error.
fn open(
    args: &ExplainArgs,
    file: &Path,
    secrets: Option<&Path>,
    stream: Option<u32>,
) -> Result<Conversations, Failure> {
    let as_inspect = InspectArgs {
        file: file.to_owned(),
        stream,
        secrets: secrets.map(Path::to_owned),
        full: false,
        keys: false,
        max_memory: MEMORY_MAX,
        output: args.output.clone(),
    };
    inspect::open(&as_inspect).map(|(found, _)| found)
}

/// What nobody gave: the page shows what is on the wire.
fn forget(found: &mut Conversations) {
    found.all.iter_mut().for_each(ddes_explain::forget_secrets);
}

/// The conversation with the number; without one the first in which integers were sent, since a
/// first contact is a connection of its own.
fn chosen<'a>(
    found: &'a Conversations,
    stream: Option<u32>,
    file: &Path,
) -> Result<&'a Conversation, Failure> {
    let one = match stream {
        Some(stream) => found.all.iter().find(|one| one.number == stream),
        None => found.all.iter().find(|one| counts(one)).or(found.all.first()),
    };
    one.ok_or_else(|| {
        Failure::new(Code::No, format!("{} has no such conversation", file.display()))
            .next(format!("ddes inspect {}     (shows all of them)", file.display()))
    })
}

/// The conversation that is put beside another: one on the other wire, if there is one.
fn counterpart<'a>(
    found: &'a Conversations,
    main: &Conversation,
    args: &ExplainArgs,
    path: &Path,
) -> Result<&'a Conversation, Failure> {
    if args.compare_stream.is_some() {
        return chosen(found, args.compare_stream, path);
    }
    let others = || found.all.iter().filter(|one| one.profile.name() != main.profile.name());
    match others().find(|one| counts(one)).or(others().next()) {
        Some(other) => Ok(other),
        None => Err(Failure::new(
            Code::No,
            format!("{} holds no conversation of the other wire", path.display()),
        )
        .cause(format!("both speak {}", main.profile.name()))
        .next("ddes send --capture FILE2 with or without --classic; or --compare-stream N")),
    }
}

/// Which conversation was taken where a file has several, and how to take another.
fn tell_of_choice(args: &ExplainArgs, found: &Conversations, choice: &Choice<'_>) {
    if found.all.len() < 2 || choice.is_named || args.output.quiet {
        return;
    }
    let file = choice.file.display();
    let with = if counts(choice.taken) { " with integers" } else { "" };
    say(&format!(
        "Note: {file} has {} conversations. The page shows number {}, the first{}{with}. \
         {} N shows another; ddes inspect {file} lists them.",
        found.all.len(),
        choice.taken.number,
        choice.of,
        choice.flag
    ));
}

fn tell_of_secrets(main: &Conversation) {
    if let Some(refused) = &main.refused {
        say(&format!("Note: {refused}. The page shows what an eavesdropper sees."));
    }
}

/// A page with secrets in it is its owner's alone.
fn write(args: &ExplainArgs, page: &str, has_secrets: bool) -> Result<(), Failure> {
    if is_data(args) {
        return streams::to_stdout(page).map_err(|error| Failure::output(&error));
    }
    let new = if has_secrets { New::EXPORT } else { New::REPORT };
    replace(&args.page, page.as_bytes(), new).map_err(|error| error.failure(Code::No, &args.page))
}

fn told(
    args: &ExplainArgs,
    sources: &Sources<'_>,
    page: &str,
    has_secrets: bool,
) -> Result<(), Failure> {
    if is_data(args) {
        return Ok(());
    }
    let Sources { main, .. } = sources;
    let calculations = ddes_explain::cards(main, "").len();
    let path = args.page.display();
    let secrets = if has_secrets {
        "It holds the secrets of the session: whoever has it reads everything."
    } else {
        "It holds no secrets: what an eavesdropper sees."
    };
    let frames = main.frames.len();
    let text = format!(
        "{path}: {} of {frames} frames, {calculations} calculations. {secrets}",
        frames.min(FRAMES_MAX)
    );
    let line = Line::new("page", text)
        .with("path", path.to_string())
        .with("conversation", main.number)
        .with("profile", main.profile.name())
        .with("frames", frames)
        .with("calculations", calculations)
        .with("bytes", page.len())
        .with("has_secrets", has_secrets);
    if args.output.quiet && !args.output.json {
        return Ok(());
    }
    Screen::of(&args.output).show_done(&line)
}

/// Whether standard output is the page.
fn is_data(args: &ExplainArgs) -> bool {
    args.page.as_os_str() == "-"
}

/// Without its folders: the page may be given away.
fn file_name(path: &Path) -> String {
    if path.as_os_str() == "-" {
        return "standard input".to_owned();
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
