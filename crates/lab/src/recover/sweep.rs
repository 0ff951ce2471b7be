//! Slices on threads: each slice is taken by one thread, in order.

use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use super::{OnProgress, Progress};

/// Progress is reported so often, if nothing is found.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Slices that are done and not yet counted.
const DONE_MAX: usize = 64;

/// Counts keys and time over all sweeps of a search.
pub(super) struct Meter<'a> {
    progress: OnProgress<'a>,
    started: Instant,
    reported: Instant,
    /// Keys tried before this run.
    before: u64,
    tried: u64,
    of: u64,
}

impl<'a> Meter<'a> {
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
        (self.progress)(&Progress {
            tried: self.tried,
            of: self.of,
            found,
            elapsed,
            keys_per_second: rate,
        })
    }
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
        meter: &mut Meter<'_>,
    ) -> Swept {
        let (next, stop) = (AtomicU64::new(self.slices.start), AtomicBool::new(false));
        let (next, stop, end) = (&next, &stop, self.slices.end);
        let (sender, receiver) = sync_channel::<Vec<F>>(DONE_MAX);
        let mut told_to_stop = false;
        std::thread::scope(|scope| {
            for _ in 0..self.threads.get() {
                let sender = sender.clone();
                scope.spawn(move || {
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
        });
        // Every slice below was taken, and who takes a slice finishes it.
        let next = next.load(Ordering::Relaxed).min(end);
        let is_whole = next == end || (self.first_only && !found.is_empty());
        if told_to_stop && !is_whole { Swept::Stopped(next) } else { Swept::Done }
    }
}
