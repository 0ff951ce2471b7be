//! `ddes bench`: load, what it found, and two runs beside each other.

pub(crate) mod args;
mod compare;
mod consent;
mod live;
mod prepare;
mod report;
mod run;

use args::{BenchCommand, KeysArgs};

use crate::failure::Failure;
use crate::screen::{Line, Screen};

pub(crate) fn run(command: &BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Run(args) => run::run(args),
        BenchCommand::Compare(args) => compare::run(args),
        BenchCommand::Keys(args) => keys(args),
    }
}

fn keys(args: &KeysArgs) -> Result<(), Failure> {
    let mut screen = Screen::of(&args.output);
    (0..args.sessions).try_for_each(|session| {
        let key = ddes_load::key(args.seed, session.into()).public().to_openssh();
        let name = format!("bench-{}-{session}", args.seed);
        screen.show(&Line::new("key", format!("{key} {name}")).with("key", key).with("name", name))
    })
}
