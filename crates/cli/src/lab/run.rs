//! `ddes lab run`.

use std::fs::{self, File};
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use ddes_capture::Limits;
use ddes_lab::{ClassicKeys, Lab, LabError, RUNGS, Recording, Resume, Rung, Seed, Settings, Side};
use serde_json::Value;

use super::args::{Choice, OnlySide, RunArgs};
use super::narrate::{Narrator, evidence};
use crate::args::OutputArgs;
use crate::failure::{Code, Failure};
use crate::replace::{New, replace};
use crate::screen::Line;

/// A stopped search is a few lines; its finds are few.
const RESUME_BYTES_MAX: u64 = 64 * 1024;

pub(crate) fn run(args: &RunArgs, output: &OutputArgs) -> Result<(), Failure> {
    let resume = args.resume.as_deref().map(read_resume).transpose()?;
    let rungs = chosen(args, resume.as_ref())?;
    if args.capture.is_some() && !rungs.iter().any(|rung| rung.reads_captures) {
        return Err(Failure::new(Code::Usage, "this rung does not read captures")
            .cause("it acts on the session while it runs; 1, 2, 4, 9, 10 and 11 only listen"));
    }
    let recording = args.capture.as_deref().map(|path| read_capture(path, args)).transpose()?;
    let seed = match (&resume, &args.seed) {
        (Some(resume), _) => Seed::named(&resume.seed),
        (None, Some(name)) => Seed::named(name),
        (None, None) => Seed::drawn()
            .map_err(|error| Failure::system("the system gives no randomness", &error))?,
    };
    let mut narrator = Narrator::new(output);
    let mut trials = Vec::new();
    let outcome =
        all(args, &rungs, recording.as_ref(), resume.as_ref(), &seed, &mut narrator, &mut trials);
    // What there is, whatever ended the rungs.
    let written = match &args.evidence {
        Some(path) => {
            let bits = args.bits;
            write_evidence(path, &evidence(seed.name(), bits, &trials))
        }
        None => Ok(()),
    };
    outcome.and(written)
}

/// The rungs that were asked for; a stopped search continues its own.
fn chosen(args: &RunArgs, resume: Option<&Resume>) -> Result<Vec<&'static Rung>, Failure> {
    let rungs: Vec<_> = match args.rung {
        Choice::All => RUNGS.iter().collect(),
        Choice::One(number) => Rung::numbered(number).into_iter().collect(),
    };
    match resume {
        Some(resume) if args.rung != Choice::One(resume.rung) => Err(Failure::new(
            Code::Usage,
            format!("the stopped search is one of rung {}", resume.rung),
        )
        .next(format!("ddes lab run {} --resume FILE", resume.rung))),
        Some(_) | None => Ok(rungs),
    }
}

fn all(
    args: &RunArgs,
    rungs: &[&'static Rung],
    recording: Option<&Recording>,
    resume: Option<&Resume>,
    seed: &Seed,
    narrator: &mut Narrator,
    trials: &mut Vec<Value>,
) -> Result<(), Failure> {
    let threads = args.threads.or_else(|| available_parallelism().ok());
    let settings = Settings {
        bits: resume.map_or(args.bits, |resume| resume.bits),
        memory_bytes: resume.map_or(args.memory, |resume| resume.memory_bytes),
        // Where the system does not say, one thread is always there.
        threads: threads.unwrap_or(NonZeroUsize::MIN).get(),
    };
    let sides: &[Side] = match args.only {
        None => &[Side::Classic, Side::V2],
        Some(OnlySide::Classic) => &[Side::Classic],
        Some(OnlySide::V2) => &[Side::V2],
    };
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
            let recording = recording.filter(|_| rung.reads_captures).cloned();
            let mut lab = Lab {
                seed: seed.clone(),
                settings,
                recording,
                hints,
                resume: resume.cloned(),
                listener: &mut *narrator,
            };
            let outcome = rung.attack(*side)(&mut lab);
            if let Some(failure) = narrator.failure.take() {
                return Err(failure);
            }
            let trial = match outcome {
                Ok(trial) => trial,
                Err(error) => return Err(failed(error, rung, *side, narrator)),
            };
            if !Rung::is_as_expected(*side, &trial) {
                unexpected.push(format!("rung {} against {}", rung.number, side.title()));
            }
            narrator.end(&trial, args.evidence.is_some());
            if let Some(failure) = narrator.failure.take() {
                return Err(failure);
            }
            let mut entry = trial.json();
            entry["rung"] = rung.number.into();
            entry["name"] = rung.name.into();
            entry["wire"] = side.name().into();
            trials.push(entry);
        }
    }
    summary(rungs, sides, seed, &unexpected, narrator)
}

fn summary(
    rungs: &[&'static Rung],
    sides: &[Side],
    seed: &Seed,
    unexpected: &[String],
    narrator: &mut Narrator,
) -> Result<(), Failure> {
    let count = rungs.len() * sides.len();
    let text = if rungs.len() > 1 {
        format!("\n{} of {count} attacks ended as they have to.", count - unexpected.len())
    } else {
        rungs.first().map_or_else(String::new, |rung| format!("\n{}", rung.teaches))
    };
    let line = Line::new("ended", text)
        .with("rung_count", rungs.len())
        .with("attacks", count)
        .with("unexpected", unexpected.to_vec())
        .with("seed", seed.name());
    narrator.line(&line);
    if let Some(failure) = narrator.failure.take() {
        return Err(failure);
    }
    if unexpected.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Code::No, format!("an attack ended unexpectedly: {}", unexpected.join(", ")))
        .cause("the lab, or what it attacks, is broken")
        .next(format!("ddes lab run all --seed '{}' --evidence FILE", seed.name())))
}

/// Why a rung has no verdict. A search that was stopped leaves what it takes to go on.
fn failed(error: LabError, rung: &Rung, side: Side, narrator: &mut Narrator) -> Failure {
    let place = format!("rung {} against {}", rung.number, side.title());
    match error {
        LabError::Stopped => match narrator.stopped.take().map(|resume| keep(&resume)) {
            Some(Ok(path)) => Failure::new(Code::Interrupted, "the search was stopped")
                .next(format!("ddes lab run {} --resume {}", rung.number, path.display())),
            Some(Err(failure)) => failure.after("the search was stopped"),
            None => Failure::interrupted(),
        },
        LabError::Unusable(what) => Failure::new(Code::Usage, format!("{place}: {what}")),
        error @ (LabError::System { .. } | LabError::Unplanned(_)) => {
            Failure::new(Code::No, format!("{place}: {error}"))
        }
    }
}

/// In the folder of the user, who looks there. A part of a key may be in it.
fn keep(resume: &Resume) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(format!("lab-{}.state", resume.rung));
    replace(&path, resume.to_string().as_bytes(), New::EXPORT)
        .map_err(|error| error.failure(Code::No, &path))?;
    Ok(path)
}

fn read_resume(path: &Path) -> Result<Resume, Failure> {
    let usage = |what: String| {
        Failure::new(Code::Usage, format!("{}: {what}", path.display()))
            .cause("it is written when Ctrl-C stops a search")
    };
    let metadata = fs::metadata(path).map_err(|error| usage(error.to_string()))?;
    if metadata.len() > RESUME_BYTES_MAX {
        return Err(usage(format!("it has more than {RESUME_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
    text.parse().map_err(|error: ddes_lab::ResumeError| usage(error.to_string()))
}

fn read_capture(path: &Path, args: &RunArgs) -> Result<Recording, Failure> {
    let usage = |what: String| Failure::new(Code::Usage, format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| usage(error.to_string()))?;
    let limits = Limits { only: args.stream, ..Limits::default() };
    let conversations = ddes_capture::read(BufReader::new(file), &limits, &[])
        .map_err(|error| usage(error.to_string()))?;
    let conversation = conversations.all.first().ok_or_else(|| {
        usage("it has no conversation of this protocol".into())
            .next(format!("ddes inspect {}", path.display()))
    })?;
    if let Some(refused) = &conversation.refused {
        crate::streams::say(&format!("note: the capture's secrets do not fit: {refused}"));
    }
    Ok(Recording::of(conversation))
}

fn write_evidence(path: &Path, evidence: &Value) -> Result<(), Failure> {
    let text = format!("{evidence:#}\n");
    replace(path, text.as_bytes(), New::REPORT).map_err(|error| error.failure(Code::No, path))
}
