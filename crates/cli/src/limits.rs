//! What the system allows a process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
