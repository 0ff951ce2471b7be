//! The whole terminal, taken for a screen and given back at every end: the alternate screen, no
//! cursor, and keys that come one by one without an echo.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::terminal;

/// The alternate screen, without the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
/// Colours off, the cursor, the screen that was there before.
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";

/// The terminal is given back when this is dropped, and before the message of a panic.
pub(super) struct TerminalWindow {
    taken: Arc<TakenTerminal>,
}

struct TakenTerminal {
    terminal: OwnedFd,
    before: Termios,
    /// What writes there, while the terminal is taken.
    out: Mutex<Option<Box<dyn Write + Send>>>,
}

impl TerminalWindow {
    pub(super) fn take(
        terminal: impl AsFd,
        mut out: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        enter(&terminal, &before, &mut out)?;
        let taken = TakenTerminal { terminal, before, out: Mutex::new(Some(Box::new(out))) };
        let window = Self { taken: Arc::new(taken) };
        let (taken, report) = (Arc::clone(&window.taken), panic::take_hook());
        // The hook stays for the rest of the process, where there is nothing left to give back.
        panic::set_hook(Box::new(move |what| {
            taken.give_back();
            report(what);
        }));
        Ok(window)
    }

    /// Stops this process as Ctrl-Z does, and takes the terminal again when it continues.
    pub(super) fn suspend(&self, stop: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut out = self.taken.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(out) = out.as_mut() else { return Ok(()) };
        leave(&self.taken.terminal, &self.taken.before, out)?;
        let stopped = stop();
        enter(&self.taken.terminal, &self.taken.before, out)?;
        stopped
    }

    /// Takes the terminal again after somebody else has used it.
    pub(super) fn retake(&self) -> io::Result<()> {
        let mut out = self.taken.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(out) = out.as_mut() else { return Ok(()) };
        enter(&self.taken.terminal, &self.taken.before, out)
    }
}

impl Drop for TerminalWindow {
    fn drop(&mut self) {
        self.taken.give_back();
    }
}

impl TakenTerminal {
    fn give_back(&self) {
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut out) = out {
            terminal::restored(leave(&self.terminal, &self.before, &mut out));
        }
    }
}

fn enter(terminal: &OwnedFd, before: &Termios, out: &mut impl Write) -> io::Result<()> {
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(terminal, OptionalActions::Now, &raw)?;
    out.write_all(ENTER.as_bytes())?;
    out.flush()
}

fn leave(terminal: &OwnedFd, before: &Termios, out: &mut impl Write) -> io::Result<()> {
    let written = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    // Flush: the rest of a key that was pressed last is not for the shell.
    tcsetattr(terminal, OptionalActions::Flush, before)?;
    written
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::LocalModes;

    use super::*;

    #[derive(Clone, Default)]
    struct WrittenBytes(Arc<Mutex<Vec<u8>>>);

    impl Write for WrittenBytes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_and_an_end_give_the_terminal_back_once() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        let is_line_by_line =
            || tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ICANON);
        for panics in [true, false] {
            let written = WrittenBytes::default();
            let ended = catch_unwind(AssertUnwindSafe(|| {
                let window = TerminalWindow::take(&terminal, written.clone()).unwrap();
                assert!(!is_line_by_line());
                let mut was_given_back = false;
                let stop = || {
                    was_given_back = is_line_by_line();
                    Ok(())
                };
                window.suspend(stop).unwrap();
                assert!(was_given_back);
                assert!(!is_line_by_line());
                assert!(!panics, "on purpose");
            }));
            assert_eq!(ended.is_err(), panics);
            assert!(is_line_by_line());
            let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            assert_eq!(written, [ENTER, LEAVE, ENTER, LEAVE].concat());
        }
    }
}
