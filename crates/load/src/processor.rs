//! The processor time that a thread has used, and how long it has waited for a processor.

use std::fs::File;
use std::io::Read;

use rustix::time::{ClockId, clock_gettime};

/// The calling thread's use of the processors, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadUsage {
    pub(crate) cpu: u64,
    /// Time in which the thread was ready and no processor was free; 0 if the system does not
    /// report it.
    pub(crate) waited: u64,
}

impl ThreadUsage {
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        // This clock starts at 0 with the thread, so neither part is negative.
        let cpu = time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs();
        Self { cpu, waited: waited().unwrap_or(0) }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

/// The second field of `schedstat` (Linux, Documentation/scheduler/sched-stats.rst): nanoseconds on
/// a run queue.
fn waited() -> Option<u64> {
    let mut text = [0; 128];
    let length =
        File::open("/proc/thread-self/schedstat").and_then(|mut file| file.read(&mut text)).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The processor time of a process of this machine, user and system, in nanoseconds, from
/// `/proc/PID/stat`.
pub fn cpu_of(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold blanks and parentheses; the other fields follow its last parenthesis
    // (proc(5): state is the third, utime the 14th).
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_in_the_thread_and_in_the_process() {
        let (before, process) = (ThreadUsage::now(), cpu_of(std::process::id()));
        let mut state = 1_u64;
        while ThreadUsage::now().since(before).cpu < 30_000_000 {
            state = std::hint::black_box(state.wrapping_mul(3));
        }
        if let Some(process) = process {
            // Its clock ticks every 10 ms.
            assert!(cpu_of(std::process::id()).unwrap() >= process + 10_000_000);
        }
        assert_eq!(cpu_of(u32::MAX), None);
    }
}
