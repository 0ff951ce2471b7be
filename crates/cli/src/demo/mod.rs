//! `ddes demo`: a server and three clients in processes of their own, to look at and to kill.

mod child;
mod client;
mod folder;
mod lines;
mod meter;
mod page;
mod party;
mod show;
mod watch;

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::screen::Line;
use child::DemoMessage;
pub(crate) use client::run as run_client;
use folder::TemporaryHome;
use party::Party;
use show::Show;
use watch::Demo;

/// Messages that wait; a child that says more waits.
const MESSAGES_MAX: usize = 1024;

pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let (tell, messages) = sync_channel(MESSAGES_MAX);
    // First: from here on nothing ends this process without what follows.
    watch_signals(tell.clone())?;
    let show = Show::new(&args.output);
    let home = TemporaryHome::make()?;
    let party = Party::new(home.path(), tell)?;
    // Its processes end before the folder is removed, on every way out.
    let outcome = Demo::new(party, messages, &show, home.path()).run(args);
    // What cannot be shown is reported; the folder goes in any case.
    let left = show.leave();
    let path = home.path().display().to_string();
    let removed = home.remove().map_err(|error| {
        Failure::system(&format!("cannot remove {path}"), &error).next(format!("rm -r {path}"))
    });
    outcome.and(left).and(removed)?;
    show.line(&Line::new("removed", format!("Removed {path}.")).with("home", path))
}

fn watch_signals(tell: SyncSender<DemoMessage>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP])
        .map_err(|error| Failure::system("cannot watch for signals", &error))?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if tell.send(DemoMessage::Signal(signal)).is_err() {
                    return;
                }
            }
        })
        .map(drop)
        .map_err(|error| Failure::system("cannot start a thread", &error))
}
