//! The terminal below a prompt.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::stdio::dup2_stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::terminal;

/// The terminal of standard input, and its mode before the prompt.
#[derive(Clone, Debug)]
pub(crate) struct Borrowed {
    terminal: Arc<OwnedFd>,
    before: Termios,
}

impl Borrowed {
    pub(super) fn new() -> io::Result<Self> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self { before: tcgetattr(&terminal)?, terminal: Arc::new(terminal) })
    }

    /// Takes the terminal from the prompt for good, and sets the mode that it had. The editor sets
    /// its own mode on another thread, which may be about to: standard input leads to nothing by
    /// then, so that nothing it does comes after this.
    pub(crate) fn give_back(&self) {
        let silenced = File::open("/dev/null").and_then(|nothing| Ok(dup2_stdin(nothing)?));
        terminal::restored(silenced);
        let reset = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        terminal::restored(reset.map_err(io::Error::from));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::LocalModes;

    use super::*;

    #[test]
    fn once_the_terminal_is_given_back_nothing_on_standard_input_sets_its_mode() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        dup2_stdin(&terminal).unwrap();
        let borrowed = Borrowed::new().unwrap();
        let mut raw = borrowed.before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).unwrap();
        assert!(!tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ICANON));
        borrowed.give_back();
        // As the editor's thread may, that was about to.
        assert!(tcsetattr(io::stdin(), OptionalActions::Now, &raw).is_err());
        assert!(tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ICANON));
    }
}
