//! Whether the kernel's clock is synchronized (adjtimex(2)), whichever program does that.

#![allow(unsafe_code, reason = "a system call that no library here wraps")]

use std::io;

/// Reads the kernel's state, and changes nothing.
pub(super) fn is_synchronized() -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: all fields of timex are integers, for which zero is a value; with `modes` zero
        // nothing is set.
        let mut state: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: adjtimex(2) writes one timex to `state`, which is one, and keeps no pointer.
        let outcome = unsafe { libc::adjtimex(&raw mut state) };
        if outcome < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(outcome != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0)
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::ErrorKind::Unsupported.into())
}
