//! Ctrl-Z at a prompt or on a screen: the terminal is given back to the shell, and taken again when
//! the shell says go on.
//!
//! The editor's own way takes it again before all threads have stopped, and then the shell has the
//! last word on its mode.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_current_process_group};
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use rustyline::{Cmd, ConditionalEventHandler, Event, EventContext, KeyEvent, RepeatCount};
use signal_hook::consts::SIGCONT;

use crate::terminal;

const CTRL_Z: u8 = 0x1a;

/// Where nobody can continue a process the system does not stop it: it goes on after so long.
const STOPPED_FROM: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub(crate) struct Suspend {
    /// The terminal as the shell left it.
    before: Termios,
}

impl Suspend {
    pub(crate) fn key() -> KeyEvent {
        KeyEvent::ctrl('Z')
    }

    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { before: tcgetattr(stdin())? })
    }

    /// Stops this process until the shell continues it. The terminal has the shell's mode
    /// meanwhile, and afterwards the one that it has now.
    pub(crate) fn suspend(&self) -> io::Result<()> {
        let edited = tcgetattr(stdin())?;
        let continued = Arc::new(AtomicBool::new(false));
        let watch = signal_hook::flag::register(SIGCONT, Arc::clone(&continued))?;
        let outcome = self.stop(&continued);
        signal_hook::low_level::unregister(watch);
        tcsetattr(stdin(), OptionalActions::Drain, &edited)?;
        outcome
    }

    /// All of the job, as the terminal would: whoever started this one may wait for it.
    fn stop(&self, continued: &AtomicBool) -> io::Result<()> {
        tcsetattr(stdin(), OptionalActions::Drain, &self.before)?;
        kill_current_process_group(Signal::TSTP)?;
        let since = Instant::now();
        while !continued.load(Ordering::Relaxed) && since.elapsed() < STOPPED_FROM {
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl ConditionalEventHandler for Suspend {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        // The user may have set another key, or none.
        if self.before.special_codes[SpecialCodeIndex::VSUSP] != CTRL_Z {
            return None;
        }
        // A terminal that is gone is found out by the next read.
        terminal::restored(self.suspend());
        Some(Cmd::Repaint)
    }
}
