//! SIGTERM, Ctrl-C and SIGHUP: a thread of their own, which writes nothing and waits for nobody.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::control::Control;
use super::http::Stopper;
use crate::failure::Failure;

/// SIGTERM and Ctrl-C stop the server: the first lets sessions end, the second ends it at once.
/// SIGHUP asks for a reload; but where the terminal is closed that
/// the server was started on, it stops the server, since nobody sees the server any more.
pub(super) fn watch(stopper: Stopper, control: Control) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])
        .map_err(|error| Failure::system("cannot watch for signals", &error))?;
    let terminal = Terminal::of_process();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if signal == SIGHUP && !terminal.has_hung_up() {
                    control.ask_reload();
                    continue;
                }
                stopper.stop();
            }
        })
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(())
}

/// Which of the standard streams were a terminal at the start.
struct Terminal {
    is_input: bool,
    is_output: bool,
}

impl Terminal {
    fn of_process() -> Self {
        Self { is_input: io::stdin().is_terminal(), is_output: io::stdout().is_terminal() }
    }

    /// Whether it was closed: then no signal of the system means a reload.
    fn has_hung_up(&self) -> bool {
        self.is_input && has_hung_up(&io::stdin()) || self.is_output && has_hung_up(&io::stdout())
    }
}

fn has_hung_up(stream: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(stream, PollFlags::empty())];
    match poll(&mut asked, Some(&Timespec::default())) {
        Ok(_) => asked.iter().any(|found| found.revents().contains(PollFlags::HUP)),
        Err(_) => false,
    }
}
