//! What the system allows a process.

use std::io;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGXFSZ;

/// Memory holds keys: none of it is written to a file when the process dies, and no other process
/// of the user reads it.
pub(crate) fn no_core_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // Elsewhere another process of the user reads it only with rights that the system asks for.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// A write beyond `ulimit -f` fails, and is handled as a full disk, where it would have ended the
/// process without a word.
pub(crate) fn hear_of_file_sizes() -> io::Result<()> {
    // Any handler does: the error of the write is what counts.
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// Raises the soft limit on open files to `needed`, if it is lower; if it may not be, how many
/// there may be.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    use super::*;

    #[test]
    fn a_server_leaves_no_core_and_is_read_by_nobody() {
        no_core_dumps().unwrap();
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
