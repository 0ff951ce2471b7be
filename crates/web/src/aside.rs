//! Threads for work that reads files or takes long.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::ApiError;

/// Threads at a time. Of what may wait for a disk for ever there is less: the lists of names, the
/// process' configuration, the ledger's files and its verification, each one at a time.
pub(crate) const ASIDE_MAX: usize = 8;

/// The places of such work.
#[derive(Clone, Debug)]
pub(crate) struct Aside(Arc<Semaphore>);

impl Aside {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ASIDE_MAX)))
    }

    /// Runs `work` on a thread of its own. Work cannot be stopped once it has begun, so it keeps
    /// its place until it ends: clients that leave bring no more of it than there are threads.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let failed = || ApiError::internal("a thread of the HTTP server panicked: see its log");
        // The places are never closed.
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|_| failed())?;
        let placed = move || {
            let done = work();
            drop(place);
            done
        };
        tokio::task::spawn_blocking(placed).await.map_err(|_| failed())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use super::*;

    /// Begins what a request does, and leaves.
    pub(crate) fn abandon(request: impl Future) {
        let mut request = pin!(request);
        let polled = request.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }

    /// A runtime as the server's, whose only thread for such work waits until the gate is dropped.
    pub(crate) fn gated() -> (tokio::runtime::Runtime, mpsc::Sender<()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
        let (gate, opened) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || opened.recv().unwrap_err());
        (runtime, gate)
    }

    #[test]
    fn what_clients_that_left_have_begun_is_bounded_by_the_threads() {
        let (runtime, gate) = gated();
        let (aside, begun) = (Aside::new(), Arc::new(AtomicUsize::new(0)));
        let entered = runtime.enter();
        for _ in 0..400 {
            let begun = Arc::clone(&begun);
            abandon(aside.run(move || begun.fetch_add(1, Ordering::SeqCst)));
        }
        drop(entered);
        drop(gate);
        assert_eq!(runtime.block_on(aside.run(|| 7)).unwrap(), 7);
        assert_eq!(begun.load(Ordering::SeqCst), ASIDE_MAX);
    }

    #[test]
    fn work_that_panics_gives_its_place_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let aside = Aside::new();
        let fails = || runtime.block_on(aside.run(|| panic!("as it must"))).is_err();
        assert!((0..2 * ASIDE_MAX).all(|_| fails()));
    }
}
