//! What threads ask of the scheduler, so that traffic does not wait for computations.

use crate::slice;

/// The nice value of threads that compute. Each step is worth about a quarter of processor time.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lets traffic have the processor before the calling thread, and before the threads that it
/// starts. Only Linux has a nice value for each thread: elsewhere this does nothing.
pub fn behind_traffic() {
    #[cfg(target_os = "linux")]
    may_be_refused(rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE));
}

/// Lets the calling thread run as soon as it wakes up.
pub(crate) fn at_once() {
    may_be_refused(slice::request_short_slices());
}

/// A system may refuse a request: it is old, or a container forbids the call. Then answers are
/// slower while others compute; nothing else changes, and nobody could do anything about it.
fn may_be_refused<E>(asked: Result<(), E>) {
    // See above.
    asked.unwrap_or(());
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_behind_traffic_has_its_nice_value_and_a_refusal_ends_nothing() {
        let thread = std::thread::spawn(|| {
            behind_traffic();
            rustix::process::getpriority_process(Some(rustix::thread::gettid()))
        });
        assert_eq!(thread.join().unwrap(), Ok(NICE));
        may_be_refused(Err(rustix::io::Errno::PERM));
    }
}
