//! Processor time of the calling thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has computed so far.
pub(crate) fn processor_time() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    let secs = u64::try_from(spent.tv_sec);
    let nanos = u32::try_from(spent.tv_nsec);
    match (secs, nanos) {
        (Ok(secs), Ok(nanos)) => Duration::new(secs, nanos),
        // The clock starts at 0 with the thread, and never shows a negative time.
        (Err(_), _) | (_, Err(_)) => Duration::ZERO,
    }
}
