//! `ddes lab grade`.

use std::fs;
use std::path::Path;

use ddes_lab::course::{EXERCISES, Mark, Marked, grade};
use ddes_lab::{LabError, Seed};
use serde_json::Value;

use super::args::GradeArgs;
use crate::args::OutputArgs;
use crate::failure::{Code, Failure};
use crate::screen::{Line, Screen};

/// The answers of a student are some kilobytes.
const ANSWERS_BYTES_MAX: u64 = 1024 * 1024;

pub(crate) fn run(args: &GradeArgs, output: &OutputArgs) -> Result<(), Failure> {
    let mut screen = Screen::of(output);
    let (Some(path), Some(name)) = (&args.answers, &args.seed) else {
        return form(&mut screen, args.seed.as_deref());
    };
    let answers = read(path)?;
    let marked = grade(&answers, &Seed::named(name)).map_err(|error| match error {
        LabError::Unusable(what) => {
            Failure::new(Code::Usage, format!("{}: {what}", path.display()))
                .next("ddes lab grade     (a form with every question)")
        }
        other @ (LabError::System { .. } | LabError::Unplanned(_) | LabError::Stopped) => {
            Failure::new(Code::No, other.to_string())
        }
    })?;
    for entry in &marked {
        let is_news = entry.mark != Mark::Right;
        if output.json || is_news || !output.quiet {
            screen.show(&line(entry))?;
        }
    }
    let right = marked.iter().filter(|marked| marked.mark == Mark::Right).count();
    let text = format!("{right} of {} answers of {name} are right.", marked.len());
    let total = Line::new("graded", text)
        .with("seed", name.as_str())
        .with("right", right)
        .with("questions", marked.len());
    screen.show(&total)?;
    if right == marked.len() {
        return Ok(());
    }
    Err(Failure::new(Code::No, format!("{} answers are wrong or missing", marked.len() - right))
        .cause("answers depend on the seed: it must be the one that the rungs were run with"))
}

fn line(marked: &Marked) -> Line {
    let Marked { exercise, question, mark } = marked;
    let text = format!("{:>2}  {:<17}{}", exercise.number, question.name, mark.name());
    Line::new("marked", text)
        .with("exercise", exercise.number)
        .with("question", question.name)
        .with("mark", mark.name())
}

/// Every question, as a file to fill in.
fn form(screen: &mut Screen, seed: Option<&str>) -> Result<(), Failure> {
    if screen.is_json() {
        for exercise in EXERCISES {
            for question in exercise.questions {
                let line = Line::new("question", "")
                    .with("exercise", exercise.number)
                    .with("title", exercise.title)
                    .with("rungs", exercise.rungs.to_vec())
                    .with("question", question.name)
                    .with("asks", question.asks);
                screen.show(&line)?;
            }
        }
        return Ok(());
    }
    let seed = seed.map_or_else(|| "NAME".to_owned(), |name| format!("'{name}'"));
    let mut text = format!(
        "# Answers to the exercises of docs/course.\n# Run each rung with --seed {seed}. Then: ddes \
         lab grade FILE --seed {seed}\n"
    );
    for exercise in EXERCISES {
        let rungs: Vec<_> = exercise.rungs.iter().map(u8::to_string).collect();
        text.push_str(&format!(
            "\n# {}. {} (rung {})\n[{}]\n",
            exercise.number,
            exercise.title,
            rungs.join(" and "),
            exercise.table()
        ));
        for question in exercise.questions {
            text.push_str(&format!("# {}\n# {} = \"\"\n", question.asks, question.name));
        }
    }
    screen.show(&Line::new("form", text.trim_end()))
}

fn read(path: &Path) -> Result<Value, Failure> {
    let usage = |what: String| Failure::new(Code::Usage, format!("{}: {what}", path.display()));
    let metadata = fs::metadata(path).map_err(|error| usage(error.to_string()))?;
    if metadata.len() > ANSWERS_BYTES_MAX {
        return Err(usage(format!("it has more than {ANSWERS_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
    let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    if is_json {
        serde_json::from_str(&text).map_err(|error| usage(error.to_string()))
    } else {
        toml::from_str(&text).map_err(|error| usage(error.to_string()))
    }
}
