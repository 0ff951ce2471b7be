//! SIGTERM and Ctrl-C: a thread of their own, which writes nothing and waits for nobody.

use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::http::Stopper;
use crate::failure::Failure;

/// Each of them stops the server: the first lets sessions end, the second ends it at once.
pub(super) fn watch(stopper: Stopper) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::system("cannot watch for signals", &error))?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                stopper.stop();
            }
        })
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(())
}
