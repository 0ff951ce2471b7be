//! `ddes doctor`: looks over a machine and a home as a server's, and says what to do about each
//! finding. It reads and measures; the only thing it writes is the file of the disk's measurement.

mod books;
mod clock;
mod disk;
mod files;
mod limits;
mod machine;
mod ntp;
mod ports;
mod settings;

use std::io;

use ddes_wire::shown::plain_lines;

use crate::args::DoctorArgs;
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::screen::{Line, Screen};
use crate::terminal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FindingLevel {
    Ok,
    Warn,
    Fail,
}

impl FindingLevel {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was found out about one topic.
#[derive(Debug)]
struct Finding {
    topic: &'static str,
    level: FindingLevel,
    text: String,
    /// A command, or what to change; whatever is not in order has one.
    remedy: Option<String>,
}

impl Finding {
    fn ok(topic: &'static str, text: impl Into<String>) -> Self {
        Self { topic, level: FindingLevel::Ok, text: text.into(), remedy: None }
    }

    fn warn(topic: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { topic, level: FindingLevel::Warn, text: text.into(), remedy: Some(remedy.into()) }
    }

    fn fail(topic: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { topic, level: FindingLevel::Fail, text: text.into(), remedy: Some(remedy.into()) }
    }

    /// A failure, with its next command, or else with `remedy`.
    fn failed(topic: &'static str, failure: &Failure, remedy: &str) -> Self {
        Self::fail(topic, failure.what(), failure.next_command().unwrap_or(remedy))
    }

    fn line(&self) -> Line {
        let level = match self.level {
            FindingLevel::Ok => self.level.name().to_owned(),
            FindingLevel::Warn => {
                terminal::styled(&io::stdout(), terminal::LABEL, self.level.name())
            }
            FindingLevel::Fail => {
                terminal::styled(&io::stdout(), terminal::LOUD, self.level.name())
            }
        };
        let pad = " ".repeat(4 - self.level.name().len());
        let mut text = format!("{level}{pad}  {:8}  {}", self.topic, plain_lines(&self.text));
        if let Some(remedy) = &self.remedy {
            text.push_str(&format!("\n                try: {}", plain_lines(remedy)));
        }
        Line::styled("finding", text)
            .with("topic", self.topic)
            .with("level", self.level.name())
            .with("text", self.text.clone())
            .with("remedy", self.remedy.clone())
    }
}

pub(crate) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let clocks = clock::Clocks::start();
    let home = Home::locate(&args.home)?;
    let (serve, of_settings) = settings::find(args)?;
    let ledger = serve.ledger.clone().unwrap_or_else(|| home.ledger());
    let mut screen = Screen::of(&args.output);
    let mut counts = [0_u32; 3];
    let mut show = |findings: Vec<Finding>| {
        for finding in findings {
            counts[finding.level as usize] += 1;
            if !args.output.quiet || finding.level != FindingLevel::Ok {
                screen.show(&finding.line())?;
            }
        }
        Ok::<_, Failure>(())
    };
    // Each is shown as soon as it is known: a disk may hang.
    show(vec![of_settings])?;
    show(ports::look(&serve, &home))?;
    show(limits::look(&serve, &home))?;
    let database = crate::ledger::database(&ledger);
    show(files::look(&home, serve.http.http_read_token.as_deref(), database.is_some()))?;
    match database {
        Some(place) => show(books::look_shared(&home, &ledger, place, serve.require_standby))?,
        None => {
            show(books::look(&home, &ledger))?;
            show(disk::look(&ledger))?;
        }
    }
    show(machine::look())?;
    show(clocks.look())?;
    let [passed, warned, failed] = counts;
    let text = format!("{passed} ok, {warned} to look at, {failed} failed");
    let line = Line::new("doctor", text.clone())
        .with("passed", passed)
        .with("warned", warned)
        .with("failed", failed);
    if !args.output.quiet {
        screen.show(&line)?;
    }
    if failed > 0 { Err(Failure::shown(Code::No, text)) } else { Ok(()) }
}
