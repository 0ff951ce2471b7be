//! Asks Linux for short scheduler slices, so that the loop runs at once where the handshake pool
//! uses all processors. The crate's only `unsafe`: a system call that no library wraps.

#![allow(
    unsafe_code,
    reason = "each block says why it holds, and the test asks the system what came of it"
)]

use std::io;

/// The shortest slice that Linux grants, in nanoseconds.
#[cfg(target_os = "linux")]
const SLICE_NANOS: u64 = 100_000;

/// Requests short slices for the calling thread; its share of the processor stays the same. Linux
/// (since 6.12) lets a thread that wakes up preempt a running thread with a longer slice. Otherwise
/// it waits until that thread has used up its slice, some milliseconds. Systems without this
/// feature ignore the request.
pub(crate) fn request_short_slices() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let nice = rustix::process::getpriority_process(None)?;
        #[allow(clippy::cast_possible_truncation, reason = "48 bytes")]
        #[allow(clippy::cast_sign_loss, reason = "the policy is 0")]
        let wanted = libc::sched_attr {
            size: size_of::<libc::sched_attr>() as u32,
            sched_policy: libc::SCHED_OTHER as u32,
            sched_flags: 0,
            sched_nice: nice,
            sched_priority: 0,
            sched_runtime: SLICE_NANOS,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: sched_setattr(2) reads as many bytes of `wanted` as its field `size` says, which
        // is its size, and keeps no pointer to it; 0 is the calling thread.
        let outcome = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The slice, and the nice value.
    fn now() -> (u64, i32) {
        // SAFETY: all fields are integers.
        let mut is: libc::sched_attr = unsafe { std::mem::zeroed() };
        // SAFETY: sched_getattr(2) writes at most as many bytes as its third argument says, which
        // is the size of `is`; 0 is the calling thread.
        let outcome = unsafe {
            libc::syscall(libc::SYS_sched_getattr, 0, &raw mut is, size_of::<libc::sched_attr>(), 0)
        };
        assert_eq!(outcome, 0);
        (is.sched_runtime, is.sched_nice)
    }

    #[test]
    fn the_slice_is_short_where_there_is_such_a_thing_and_nothing_else_changes() {
        std::thread::spawn(|| {
            let (before, nice) = now();
            request_short_slices().unwrap();
            // Before 6.12 it is always 0.
            assert_eq!(now(), (if before == 0 { 0 } else { SLICE_NANOS }, nice));
        })
        .join()
        .unwrap();
    }
}
