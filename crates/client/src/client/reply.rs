//! How a call of a client is answered, and how its caller leaves before that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::ClientError;

/// The states of a call, beginning with the first.
const AWAITED: u8 = 0;
/// What the call asks for is being done.
const BEGUN: u8 = 1;
/// The caller waits no more; what the call asks for may still be done.
const LEFT: u8 = 2;
/// The caller took the call back before it was begun: it must not be done.
const WITHDRAWN: u8 = 3;

/// Answers a call, once.
pub(super) struct Reply<T> {
    answer: Box<dyn FnOnce(Result<T, ClientError>) + Send>,
    state: Arc<AtomicU8>,
}

impl<T> Reply<T> {
    /// A reply that passes the outcome to `answer`, and the caller whom it is for.
    pub(super) fn new(
        answer: impl FnOnce(Result<T, ClientError>) + Send + 'static,
    ) -> (Self, Caller) {
        let state = Arc::new(AtomicU8::new(AWAITED));
        (Self { answer: Box::new(answer), state: Arc::clone(&state) }, Caller(state))
    }

    /// Answers, whether or not anybody still waits.
    pub(super) fn answer(self, outcome: Result<T, ClientError>) {
        (self.answer)(outcome);
    }

    /// Whether the caller still waits.
    pub(super) fn is_awaited(&self) -> bool {
        [AWAITED, BEGUN].contains(&self.state.load(Ordering::Acquire))
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.state.load(Ordering::Acquire) == WITHDRAWN
    }

    /// From here on the call cannot be withdrawn; `false` if it was before.
    pub(super) fn begin(&self) -> bool {
        let begun = |state| (state != WITHDRAWN).then_some(BEGUN);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, begun).is_ok()
    }
}

/// The caller's side of a call. Dropping it tells that nobody waits any more.
pub(super) struct Caller(Arc<AtomicU8>);

impl Caller {
    /// Takes the call back: it is not done, and never will be. `false`: it is being done, or done.
    pub(super) fn withdraw(&self) -> bool {
        self.replace(WITHDRAWN)
    }

    fn replace(&self, state: u8) -> bool {
        self.0.compare_exchange(AWAITED, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // It stays withdrawn, or begun, where it is.
        self.replace(LEFT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_either_begun_or_withdrawn() {
        let (reply, caller) = Reply::<()>::new(|_| {});
        assert!(reply.is_awaited() && reply.begin());
        assert!(!caller.withdraw() && reply.is_awaited());

        let (reply, caller) = Reply::<()>::new(|_| {});
        assert!(caller.withdraw());
        drop(caller);
        assert!(reply.is_withdrawn() && !reply.is_awaited() && !reply.begin());
    }

    #[test]
    fn a_call_whose_caller_left_may_still_be_done() {
        let (reply, caller) = Reply::<()>::new(|_| {});
        drop(caller);
        assert!(!reply.is_awaited() && !reply.is_withdrawn() && reply.begin());
    }
}
