//! `ddes lab run`.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use ddes_lab::{
    ClassicKeys, Lab, LabError, Listener, RUNGS, Recording, Rung, Said, SearchResume, Seed,
    Settings, Side, Voice,
};
use serde_json::Value;

use super::args::{BITS, LabRunArgs, MEMORY, OnlySide, RungChoice};
use super::narrate::{Narrator, evidence};
use super::read_text;
use super::recording::conversation;
use crate::args::OutputArgs;
use crate::failure::{Code, Failure};
use crate::home::quoted;
use crate::replace::{New, ReplaceError, Writing, replace, spare};
use crate::screen::Line;

/// A stopped search is a few lines; its finds are few.
const RESUME_BYTES_MAX: u64 = 64 * 1024;

pub(crate) fn run(args: &LabRunArgs, output: &OutputArgs) -> Result<(), Failure> {
    if let Some(path) = &args.evidence {
        let read = [&args.capture, &args.resume, &args.secrets];
        spare(path, read.into_iter().flatten().map(PathBuf::as_path))?;
    }
    let resume = args.resume.as_deref().map(|path| read_resume(path, args)).transpose()?;
    let rungs = chosen(args, resume.as_ref())?;
    let recording =
        args.capture.as_deref().map(|path| read_capture(path, args, output.quiet)).transpose()?;
    if let Some(recording) = &recording {
        must_be_read(args, recording, &rungs, resume.as_ref())?;
    }
    let seed = match (&resume, &args.seed) {
        (Some(resume), _) => Seed::named(&resume.seed),
        (None, Some(name)) => Seed::named(name),
        (None, None) => Seed::drawn()
            .map_err(|error| Failure::system("the system gives no randomness", &error))?,
    };
    let threads = args.threads.or_else(|| available_parallelism().ok());
    let settings = Settings {
        bits: resume.as_ref().map_or(args.bits.unwrap_or(BITS), |resume| resume.bits),
        memory_bytes: resume
            .as_ref()
            .map_or(args.memory.unwrap_or(MEMORY), |resume| resume.memory_bytes),
        // Where the system does not say, one thread is always there.
        threads: threads.unwrap_or(NonZeroUsize::MIN).get(),
    };
    // Before the rungs: what cannot be written is known before hours of a search.
    // Of a recorded session it holds the keys and the integers.
    let new = if recording.is_some() { New::EXPORT } else { New::REPORT };
    let file = args.evidence.as_deref().map(|path| (path, Writing::begin(path, new)));
    let file = file
        .map(|(path, begun)| begun.map(|file| (path, file)).map_err(|error| (path, error)))
        .transpose()
        .map_err(|(path, error)| unwritten(path, error))?;
    let given = RunInput { args, recording, resume, seed, settings };
    let mut narrator = Narrator::new(output);
    let mut trials = Vec::new();
    let outcome = all(&given, &rungs, &mut narrator, &mut trials);
    // What there is, whatever ended the rungs.
    let written = match file {
        Some((path, file)) => {
            let evidence = evidence(given.seed.name(), settings.bits, args.quiz, &trials);
            write_evidence(file, &evidence).map_err(|error| unwritten(path, error))
        }
        None => Ok(()),
    };
    outcome.and(written)
}

/// What the rungs run with.
struct RunInput<'a> {
    args: &'a LabRunArgs,
    recording: Option<Recording>,
    resume: Option<SearchResume>,
    seed: Seed,
    settings: Settings,
}

/// The wires that are attacked. A search that was stopped in the second half goes on there.
fn sides(args: &LabRunArgs, resume: Option<&SearchResume>) -> &'static [Side] {
    match args.only {
        None if resume.is_some_and(|resume| resume.side() == Side::V2) => &[Side::V2],
        None => &[Side::Classic, Side::V2],
        Some(OnlySide::Classic) => &[Side::Classic],
        Some(OnlySide::V2) => &[Side::V2],
    }
}

fn side_of(recording: &Recording) -> Side {
    if recording.is_classic { Side::Classic } else { Side::V2 }
}

/// A capture that no attack would read is a mistake.
fn must_be_read(
    args: &LabRunArgs,
    recording: &Recording,
    rungs: &[&'static Rung],
    resume: Option<&SearchResume>,
) -> Result<(), Failure> {
    let side = side_of(recording);
    let reads = |rung: &&Rung| rung.reads.contains(&side);
    if rungs.iter().any(&reads) && sides(args, resume).contains(&side) {
        return Ok(());
    }
    let readers: Vec<_> = RUNGS.iter().filter(reads).map(|rung| rung.number.to_string()).collect();
    let readers = readers.join(", ");
    let title = side.title();
    let failure = Failure::new(
        Code::Usage,
        match rungs {
            [rung] if rung.reads.is_empty() => "this rung does not read captures".to_owned(),
            _ => format!("nothing that was asked for reads a capture of {title}"),
        },
    );
    let cause = match sides(args, resume).contains(&side) {
        true => format!("of {title}, rungs {readers} only listen; the others act on the session"),
        false => format!("--only leaves {title} out"),
    };
    Err(failure.cause(cause).next(format!("ddes lab run N --capture FILE     (N: {readers})")))
}

/// The rungs that were asked for; a stopped search continues its own.
fn chosen(args: &LabRunArgs, resume: Option<&SearchResume>) -> Result<Vec<&'static Rung>, Failure> {
    let rungs: Vec<_> = match args.rung {
        RungChoice::All => RUNGS.iter().collect(),
        RungChoice::One(number) => Rung::numbered(number).into_iter().collect(),
    };
    match resume {
        Some(resume) if args.rung != RungChoice::One(resume.rung) => Err(Failure::new(
            Code::Usage,
            format!("the stopped search is one of rung {}", resume.rung),
        )
        .next(format!("ddes lab run {} --resume FILE", resume.rung))),
        Some(resume) if !sides(args, Some(resume)).contains(&resume.side()) => Err(Failure::new(
            Code::Usage,
            format!("the stopped search is one against {}", resume.side().title()),
        )
        .next(format!("ddes lab run {} --resume FILE     (without --only)", resume.rung))),
        Some(_) | None => Ok(rungs),
    }
}

fn all(
    given: &RunInput<'_>,
    rungs: &[&'static Rung],
    narrator: &mut Narrator,
    trials: &mut Vec<Value>,
) -> Result<(), Failure> {
    let RunInput { args, recording, resume, seed, settings } = given;
    let sides = sides(args, resume.as_ref());
    let hints = args.hint1.zip(args.hint2).map(|(key1, key2)| ClassicKeys { key1, key2 });
    let mut unexpected = Vec::new();
    let mut is_first = true;
    for &rung in rungs {
        if !is_first && !args.no_pause {
            narrator.pause()?;
        }
        narrator.rung(rung, RUNGS.len(), seed.name());
        for side in sides {
            if !std::mem::take(&mut is_first) && *side != sides[0] && !args.no_pause {
                narrator.pause()?;
            }
            narrator.begin(rung, *side)?;
            let is_read =
                |recording: &&Recording| rung.reads.contains(side) && side_of(recording) == *side;
            if let Some(recording) = recording {
                tell_if_unread(recording, rung, *side, narrator);
            }
            let recording = recording.as_ref().filter(is_read).cloned();
            let source = if recording.is_some() { "capture" } else { "live" };
            let mut lab = Lab {
                seed: seed.clone(),
                settings: *settings,
                recording,
                hints,
                known: args.known.clone(),
                is_quiz: args.quiz,
                resume: resume.clone(),
                listener: &mut *narrator,
            };
            let outcome = rung.attack(*side)(&mut lab);
            if let Some(failure) = narrator.failure.take() {
                return Err(failure);
            }
            let trial = match outcome {
                Ok(trial) => trial,
                Err(error) => return Err(failed(error, rung, *side, args, narrator)),
            };
            if !Rung::is_as_expected(*side, &trial) {
                unexpected.push(Unexpected { rung: rung.number, side: *side, source });
            }
            let is_interrupted = narrator.is_interrupted();
            narrator.end(&trial, args.evidence.is_some());
            if let Some(failure) = narrator.failure.take() {
                return Err(failure);
            }
            let mut entry = trial.json();
            entry["rung"] = rung.number.into();
            entry["name"] = rung.name.into();
            entry["wire"] = side.name().into();
            entry["source"] = source.into();
            trials.push(entry);
            if is_interrupted {
                return Err(Failure::interrupted());
            }
        }
    }
    summary(given, rungs, &unexpected, narrator)
}

/// The capture is of one wire, and some rungs act: what runs on a live session instead says so.
fn tell_if_unread(recording: &Recording, rung: &Rung, side: Side, narrator: &mut Narrator) {
    let text = if rung.reads.is_empty() {
        "This rung reads no capture: what follows is live, on servers of the lab.".to_owned()
    } else if side_of(recording) != side {
        let title = side_of(recording).title();
        format!("The capture is of {title}: what follows is live, on a server of the lab.")
    } else if !rung.reads.contains(&side) {
        let title = side.title();
        format!("Against {title} this rung reads no capture: what follows is live.")
    } else {
        return;
    };
    narrator.say(&Said { voice: Voice::Scene, text });
}

/// An attack that ended in another way than it has to.
struct Unexpected {
    rung: u8,
    side: Side,
    source: &'static str,
}

impl std::fmt::Display for Unexpected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rung {} against {}", self.rung, self.side.title())
    }
}

fn summary(
    given: &RunInput<'_>,
    rungs: &[&'static Rung],
    unexpected: &[Unexpected],
    narrator: &mut Narrator,
) -> Result<(), Failure> {
    let RunInput { args, seed, settings, resume, .. } = given;
    let count = rungs.len() * sides(args, resume.as_ref()).len();
    let text = if rungs.len() > 1 {
        format!("\n{} of {count} attacks ended as they have to.", count - unexpected.len())
    } else {
        rungs.first().map_or_else(String::new, |rung| format!("\n{}", rung.teaches))
    };
    let names: Vec<_> = unexpected.iter().map(Unexpected::to_string).collect();
    let line = Line::new("ended", text)
        .with("rung_count", rungs.len())
        .with("attacks", count)
        .with("unexpected", names.clone())
        .with("seed", seed.name());
    narrator.line(&line);
    if let Some(failure) = narrator.failure.take() {
        return Err(failure);
    }
    let Some(first) = unexpected.first() else { return Ok(()) };
    let cause = match first.source {
        "capture" => "the capture is not of one whole session, or the lab is broken",
        _ => "the lab, or what it attacks, is broken",
    };
    let next = format!(
        "ddes lab run {}{} --seed {} --bits {} --evidence FILE     (for a report)",
        first.rung,
        flags(args),
        shell_word(seed.name()),
        settings.bits
    );
    Err(Failure::new(Code::No, format!("an attack ended unexpectedly: {}", names.join(", ")))
        .cause(cause)
        .next(next))
}

/// The flags that say which session is attacked, to repeat a run.
fn flags(args: &LabRunArgs) -> String {
    let mut flags = String::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            flags.push_str(&format!(" --{name} {}", shell_word(&value)));
        }
    };
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let key = |key: Option<[u8; 8]>| key.map(|key| format!("{:016x}", u64::from_be_bytes(key)));
    let known: Vec<_> = args.known.iter().map(u64::to_string).collect();
    add("capture", path(&args.capture));
    add("stream", args.stream.map(|stream| stream.to_string()));
    add("secrets", path(&args.secrets));
    let only = args.only.map(|only| match only {
        OnlySide::Classic => "classic".to_owned(),
        OnlySide::V2 => "v2".to_owned(),
    });
    add("only", only);
    add("hint1", key(args.hint1));
    add("hint2", key(args.hint2));
    add("known", (!known.is_empty()).then(|| known.join(",")));
    if args.quiz {
        flags.push_str(" --quiz");
    }
    flags
}

/// A word as a shell takes it.
pub(super) fn shell_word(word: &str) -> String {
    quoted(Path::new(word))
}

/// Why a rung has no verdict. A search that was stopped leaves what it takes to go on.
fn failed(
    error: LabError,
    rung: &Rung,
    side: Side,
    args: &LabRunArgs,
    narrator: &mut Narrator,
) -> Failure {
    let place = format!("rung {} against {}", rung.number, side.title());
    match error {
        LabError::Stopped => match narrator.stopped.take().map(|resume| keep(&resume)) {
            Some(Ok(path)) => Failure::new(Code::Interrupted, "the search was stopped").next(
                format!("ddes lab run {} --resume {}{}", rung.number, path.display(), flags(args)),
            ),
            Some(Err(failure)) => failure.after("the search was stopped"),
            None => Failure::interrupted(),
        },
        LabError::Unusable { what, next } => {
            let failure = Failure::new(Code::Usage, format!("{place}: {what}"));
            next.into_iter().fold(failure, Failure::next)
        }
        error @ (LabError::System { .. } | LabError::Unplanned(_)) => {
            Failure::new(Code::No, format!("{place}: {error}"))
        }
    }
}

/// In the folder of the user, who looks there. A part of a key may be in it.
fn keep(resume: &SearchResume) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(format!("lab-{}.state", resume.rung));
    replace(&path, resume.to_string().as_bytes(), New::EXPORT)
        .map_err(|error| error.failure(Code::No, &path))?;
    Ok(path)
}

fn read_resume(path: &Path, args: &LabRunArgs) -> Result<SearchResume, Failure> {
    let again = |rung: &str| format!("ddes lab run {rung} --resume {}", path.display());
    let named = [
        ("--seed", args.seed.is_some()),
        ("--bits", args.bits.is_some()),
        ("--memory", args.memory.is_some()),
    ];
    if let Some((name, _)) = named.iter().find(|(_, is_named)| *is_named) {
        let rung = match args.rung {
            RungChoice::One(number) => number.to_string(),
            RungChoice::All => "N".to_owned(),
        };
        return Err(Failure::new(Code::Usage, format!("--resume takes no {name}"))
            .cause("the file of a stopped search holds its seed, bits and memory")
            .next(again(&rung)));
    }
    let usage = |what: String| {
        Failure::new(Code::Usage, format!("{}: {what}", path.display()))
            .cause("it is written when Ctrl-C stops a search")
            .next("leave out --resume to search from the start")
    };
    let text = read_text(path, RESUME_BYTES_MAX).map_err(|error| usage(error.to_string()))?;
    text.parse().map_err(|error: ddes_lab::ResumeError| usage(error.to_string()))
}

fn read_capture(path: &Path, args: &LabRunArgs, is_quiet: bool) -> Result<Recording, Failure> {
    let conversation = conversation(path, args.stream, args.secrets.as_deref(), is_quiet)?;
    Ok(Recording::of(&conversation))
}

fn write_evidence(mut file: Writing, evidence: &Value) -> Result<(), ReplaceError> {
    file.write_all(format!("{evidence:#}\n").as_bytes())?;
    file.end()
}

fn unwritten(path: &Path, error: ReplaceError) -> Failure {
    error.failure(Code::No, path).or_next("--evidence FILE in a folder that exists and is yours")
}
