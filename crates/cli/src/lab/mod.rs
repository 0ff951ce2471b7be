//! `ddes lab`: attacks to run, to read and to grade.

pub(crate) mod args;
mod grade;
mod hand_out;
mod narrate;
mod progress;
mod recording;
mod run;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ddes_lab::{RUNGS, Rung};
use serde_json::json;

use crate::failure::Failure;
use crate::screen::{Line, Screen};
use args::{LabArgs, LabCommand};

/// What `ddes lab` alone says before the list.
const INTRODUCTION: &str = "\
The lab attacks the classic wire, which falls, and D-DDES/2, which does not.
Servers, clients and attackers are in this process, on 127.0.0.1 only, and are
gone when it ends.

  ddes lab run 1      the first rung: what is seen, done and gained
  ddes lab run all    the whole ladder
  ddes lab ls         this list
  ddes lab grade      the questions of the course in docs/course";

pub(crate) fn run(args: &LabArgs) -> Result<(), Failure> {
    let output = &args.output;
    match &args.command {
        None => {
            let mut screen = Screen::of(output);
            if !output.json && !output.quiet {
                screen.show(&Line::new("lab", format!("{INTRODUCTION}\n")))?;
            }
            list(&mut screen)
        }
        Some(LabCommand::Ls) => list(&mut Screen::of(output)),
        Some(LabCommand::Run(run)) => run::run(run, output),
        Some(LabCommand::HandOut(args)) => hand_out::run(args, output),
        Some(LabCommand::Grade(grade)) => grade::run(grade, output),
    }
}

/// The text of a file, if it is no longer than that: a pipe or a device does not say its length.
fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    String::from_utf8(text).map_err(|_| io::Error::other("it is no text in UTF-8"))
}

fn list(screen: &mut Screen) -> Result<(), Failure> {
    RUNGS.iter().try_for_each(|rung| screen.show(&row(rung)))
}

fn row(rung: &Rung) -> Line {
    Line::new("rung", format!("{:>2}  {}", rung.number, rung.title))
        .with("rung", rung.number)
        .with("name", rung.name)
        .with("title", rung.title)
        .with("flaw", rung.flaw)
        .with("teaches", rung.teaches)
        .with("reads_captures", !rung.reads.is_empty())
        .with("has_bits", json!(rung.has_bits))
}
