//! Slices on threads: each slice is taken by one thread, in order.

use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use super::{OnProgress, RecoverError, SearchProgress};

/// Progress is reported so often, if nothing is found.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Slices that are done and not yet counted.
const DONE_MAX: usize = 64;

/// Counts keys and time over all sweeps of a search.
pub(super) struct SweepMeter<'a> {
    progress: OnProgress<'a>,
    started: Instant,
    reported: Instant,
    /// Keys tried before this run.
    before: u64,
    tried: u64,
    of: u64,
}

impl<'a> SweepMeter<'a> {
    pub(super) fn new(progress: OnProgress<'a>, before: u64, of: u64) -> Self {
        let started = Instant::now();
        Self { progress, started, reported: started, before, tried: before, of }
    }

    pub(super) fn add(&mut self, keys: u64) {
        self.tried = self.tried.saturating_add(keys);
    }

    /// Reports the end: there is nothing more to stop.
    pub(super) fn end(&mut self, found: usize) {
        match self.report(found, true) {
            ControlFlow::Continue(()) | ControlFlow::Break(()) => {}
        }
    }

    /// Reports if it is time to, or if something was found.
    pub(super) fn report(&mut self, found: usize, now: bool) -> ControlFlow<()> {
        if !now && self.reported.elapsed() < REPORT_EVERY {
            return ControlFlow::Continue(());
        }
        self.reported = Instant::now();
        let elapsed = self.started.elapsed();
        let rate = (self.tried - self.before) as f64 / elapsed.as_secs_f64().max(1e-9);
        (self.progress)(&SearchProgress {
            tried: self.tried,
            before: self.before,
            of: self.of,
            found,
            elapsed,
            keys_per_second: rate,
        })
    }
}

/// Tells all threads of a search to stop if one panics: a scope waits for every one of them.
pub(super) struct StopOnPanic<'a>(pub(super) &'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Starts a thread; `false` if the system has none.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    run: impl FnOnce() + Send + 'scope,
) -> bool {
    #[cfg(test)]
    if !tests::has_thread() {
        return false;
    }
    Builder::new().name("search".into()).spawn_scoped(scope, run).is_ok()
}

/// The slices to try, and what a slice counts.
pub(super) struct Sweep {
    pub(super) slices: Range<u64>,
    pub(super) slice_keys: u64,
    pub(super) threads: NonZeroUsize,
    /// Stop at the first find.
    pub(super) first_only: bool,
}

/// How a sweep ended.
pub(super) enum Swept {
    /// All slices are done, or the first find was enough.
    Done,
    /// It was told to stop; this slice is the next.
    Stopped(u64),
}

impl Sweep {
    /// Tries each slice with `try_slice`, and adds to `found`.
    pub(super) fn run<F: Send>(
        self,
        try_slice: &(impl Fn(u64, &mut Vec<F>) + Sync),
        found: &mut Vec<F>,
        meter: &mut SweepMeter<'_>,
    ) -> Result<Swept, RecoverError> {
        let (next, stop) = (AtomicU64::new(self.slices.start), AtomicBool::new(false));
        let (next, stop, end) = (&next, &stop, self.slices.end);
        // More threads than slices would have nothing to do.
        let threads = (self.threads.get() as u64).min(end.saturating_sub(self.slices.start));
        let mut told_to_stop = false;
        std::thread::scope(|scope| {
            let _guard = StopOnPanic(stop);
            // Gone with this closure, so that nobody waits to be heard when it panics.
            let (sender, receiver) = sync_channel::<Vec<F>>(DONE_MAX);
            for number in 0..threads {
                let sender = sender.clone();
                let has_begun = start(scope, move || {
                    let _guard = StopOnPanic(stop);
                    while !stop.load(Ordering::Relaxed) {
                        let slice = next.fetch_add(1, Ordering::Relaxed);
                        if slice >= end {
                            return;
                        }
                        let mut found = Vec::new();
                        try_slice(slice, &mut found);
                        // Fails only if the receiver is gone, with all of this function.
                        if sender.send(found).is_err() {
                            return;
                        }
                    }
                });
                match (has_begun, number) {
                    (true, _) => {}
                    (false, 0) => return Err(RecoverError::NoThread),
                    // Those that run take all slices.
                    (false, _) => break,
                }
            }
            drop(sender);
            loop {
                let more = match receiver.recv_timeout(REPORT_EVERY) {
                    Ok(more) => {
                        meter.add(self.slice_keys);
                        more
                    }
                    Err(RecvTimeoutError::Timeout) => Vec::new(),
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                let is_news = !more.is_empty();
                found.extend(more);
                let is_enough = self.first_only && !found.is_empty();
                if meter.report(found.len(), is_news).is_break() {
                    told_to_stop = true;
                }
                if told_to_stop || is_enough {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            Ok(())
        })?;
        // Every slice below was taken, and who takes a slice finishes it.
        let next = next.load(Ordering::Relaxed).min(end);
        let is_whole = next == end || (self.first_only && !found.is_empty());
        Ok(if told_to_stop && !is_whole { Swept::Stopped(next) } else { Swept::Done })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;
    use std::sync::mpsc::channel;

    use super::*;

    std::thread_local! {
        static THREADS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// From now on the system gives this thread so many threads.
    pub(in super::super) fn limit_threads(left: usize) {
        THREADS_LEFT.set(left);
    }

    pub(super) fn has_thread() -> bool {
        let left = THREADS_LEFT.get();
        THREADS_LEFT.set(left.saturating_sub(1));
        left > 0
    }

    fn sweep(slices: u64) -> Sweep {
        let threads = NonZeroUsize::new(4).unwrap();
        Sweep { slices: 0..slices, slice_keys: 1, threads, first_only: false }
    }

    #[test]
    fn a_sweep_goes_on_with_the_threads_that_there_are() {
        for (left, is_possible) in [(0, false), (1, true), (3, true)] {
            limit_threads(left);
            let (mut found, mut go_on) =
                (Vec::new(), |_: &SearchProgress| ControlFlow::Continue(()));
            let mut meter = SweepMeter::new(&mut go_on, 0, 100);
            let swept = sweep(100).run(&|slice, found| found.push(slice), &mut found, &mut meter);
            found.sort_unstable();
            if is_possible {
                assert!(matches!(swept, Ok(Swept::Done)));
                assert!(found.iter().copied().eq(0..100), "{found:?}");
            } else {
                assert!(matches!(swept, Err(RecoverError::NoThread)) && found.is_empty());
            }
        }
    }

    /// Without a guard the others go on, and the scope waits for them for ever.
    #[test]
    fn a_panic_ends_all_threads() {
        for in_progress in [true, false] {
            let (sender, receiver) = channel();
            std::thread::spawn(move || {
                let caught = std::panic::catch_unwind(|| {
                    let mut report = |_: &SearchProgress| {
                        assert!(!in_progress, "of the test");
                        ControlFlow::Continue(())
                    };
                    let mut meter = SweepMeter::new(&mut report, 0, u64::MAX);
                    let wait = |slice: u64, _: &mut Vec<u64>| {
                        assert!(in_progress || slice != 20, "of the test");
                        std::thread::sleep(Duration::from_millis(1));
                    };
                    drop(sweep(u64::MAX).run(&wait, &mut Vec::new(), &mut meter));
                });
                sender.send(caught.is_err()).unwrap();
            });
            assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok(true));
        }
    }
}
