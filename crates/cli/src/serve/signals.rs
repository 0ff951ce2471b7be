//! SIGTERM and Ctrl-C: a thread of their own, which writes nothing and waits for nobody.

use std::thread;

use ddes_server::ServerHandle;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Each of them stops the server: the first lets sessions end, the second ends it at once. The
/// console is told, to report it.
pub(super) fn watch(handle: ServerHandle) -> Result<mpsc::Receiver<()>, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::system("cannot watch for signals", &error))?;
    let (told, heard) = mpsc::channel(1);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                handle.stop();
                // It says so once; a console that is gone or busy says nothing.
                told.try_send(()).unwrap_or(());
            }
        })
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(heard)
}
