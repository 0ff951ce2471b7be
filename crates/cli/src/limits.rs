//! What the system allows a process.

use std::io;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// A file that would grow beyond its limit is an error of the write (EFBIG, handled as a full disk), and not the end of the process: SIGXFSZ, of either side.
pub(crate) fn file_size_is_an_error() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    // Its handler stays when the runtime is gone, and does nothing.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// Raises the soft limit on open files to `needed`, if it is lower; if it may not be, how many there may be.
pub(crate) fn open_files(needed: u64) -> Result<(), u64> {
    let limit = getrlimit(Resource::Nofile);
    let allows = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if allows(limit.current) {
        return Ok(());
    }
    let most = limit.maximum.unwrap_or(needed).min(needed);
    let raised = Rlimit { current: Some(most), maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() && most >= needed {
        return Ok(());
    }
    Err(getrlimit(Resource::Nofile).current.unwrap_or(most))
}
