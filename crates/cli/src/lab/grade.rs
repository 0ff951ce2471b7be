//! `ddes lab grade`.

use std::path::Path;

use ddes_lab::course::{EXERCISES, Mark, Marked, grade};
use ddes_lab::{LabError, Seed};
use serde_json::Value;

use super::args::GradeArgs;
use super::read_text;
use super::run::shell_word;
use crate::args::OutputArgs;
use crate::failure::{Code, Failure};
use crate::screen::{Line, Screen};

/// The answers of a student are some kilobytes.
const ANSWERS_BYTES_MAX: u64 = 1024 * 1024;

pub(crate) fn run(args: &GradeArgs, output: &OutputArgs) -> Result<(), Failure> {
    let mut screen = Screen::of(output);
    let seed = args.seed.as_deref().map(Seed::named);
    let Some(path) = &args.answers else { return form(&mut screen, seed.as_ref()) };
    let Some(seed) = seed else {
        return Err(Failure::new(Code::Usage, "whose answers are these? --seed is missing")
            .cause("answers follow from the seed that the rungs were run with; evidence holds it")
            .next(format!("ddes lab grade {} --seed NAME", path.display())));
    };
    let answers = read(path)?;
    let marked = grade(&answers, &seed).map_err(|error| match error {
        LabError::Unusable { what, .. } => {
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
    let count = |mark| marked.iter().filter(|marked| marked.mark == mark).count();
    let right = count(Mark::Right);
    let text = format!("{right} of {} answers of {} are right.", marked.len(), seed.name());
    let total = Line::new("graded", text)
        .with("seed", seed.name())
        .with("right", right)
        .with("questions", marked.len());
    screen.show(&total)?;
    if right == marked.len() {
        return Ok(());
    }
    let parts = [
        (count(Mark::Wrong), "wrong"),
        (count(Mark::Unreadable), "not in the form that the question asks for"),
        (count(Mark::Missing), "missing"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let failure =
        Failure::new(Code::No, format!("not all answers are right: {}", parts.join(", ")));
    // Nearly every answer follows from the seed.
    let is_of_another = right == 0 && count(Mark::Wrong) > 0;
    Err(if is_of_another {
        failure.cause(
            "none is right: the seed must be the one that the rungs were run with, in upper and \
             lower case as it was",
        )
    } else {
        failure
    })
}

fn line(marked: &Marked) -> Line {
    let Marked { exercise, question, mark } = marked;
    let word = match mark {
        Mark::Unreadable => format!("not {}", question.form().words()),
        Mark::Right | Mark::Wrong | Mark::Missing => mark.name().to_owned(),
    };
    let text = format!("{:>2}  {:<17}{word}", exercise.number, question.name);
    Line::new("marked", text)
        .with("exercise", exercise.number)
        .with("question", question.name)
        .with("mark", mark.name())
        .with("form", question.form().words())
}

/// Every question, as a file to fill in.
fn form(screen: &mut Screen, seed: Option<&Seed>) -> Result<(), Failure> {
    if screen.is_json() {
        for exercise in EXERCISES {
            for question in exercise.questions {
                let line = Line::new("question", "")
                    .with("exercise", exercise.number)
                    .with("title", exercise.title)
                    .with("rungs", exercise.rungs.to_vec())
                    .with("question", question.name)
                    .with("form", question.form().words())
                    .with("asks", question.asks(seed));
                screen.show(&line)?;
            }
        }
        return Ok(());
    }
    let name = seed.map_or_else(|| "NAME".to_owned(), |seed| shell_word(seed.name()));
    let numbers = match seed {
        Some(_) => "",
        None => "# Some questions have letters here: with --seed the form has numbers.\n",
    };
    let mut text = format!(
        "# Answers to the exercises of docs/course.\n{numbers}# Run each rung with --seed {name} \
         --quiz. Then: ddes lab grade FILE --seed {name}\n"
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
            text.push_str(&format!(
                "# {} ({})\n# {} = \"\"\n",
                question.asks(seed),
                question.form().words(),
                question.name
            ));
        }
    }
    screen.show(&Line::new("form", text.trim_end()))
}

fn read(path: &Path) -> Result<Value, Failure> {
    let usage = |what: String| Failure::new(Code::Usage, format!("{}: {what}", path.display()));
    let unread = |error: std::io::Error| {
        usage(error.to_string()).next("ddes lab grade --seed NAME > FILE     (makes a form)")
    };
    let text = read_text(path, ANSWERS_BYTES_MAX).map_err(unread)?;
    let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    if is_json {
        serde_json::from_str(&text).map_err(|error| {
            usage(error.to_string()).next("a name that ends in .toml, if it is TOML")
        })
    } else {
        toml::from_str(&text).map_err(|error| {
            usage(error.to_string())
                .next("hexadecimal and lists of numbers in quotes: token = \"0c3f…\"")
        })
    }
}
