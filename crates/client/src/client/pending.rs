//! The way from a program's thread to the thread of its client: calls there, answers back.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::ClientError;
use super::bell::BellEnd;
use super::call_book::Call;
use super::reply::{Caller, Reply};

/// From one try to the next where so many calls wait for the client's thread already that it takes
/// no more: channels of the standard library have no sending with a limit.
const SEND_AGAIN: Duration = Duration::from_millis(2);

/// The end of a socket pair that wakes the client's thread: it polls the other end.
#[derive(Clone)]
pub(super) struct Ring(pub(super) Arc<BellEnd>);

impl Ring {
    pub(super) fn ring(&self) {
        // Full: the thread is awake already. Closed: it has ended.
        drop((&*self.0).write(&[1]));
    }
}

pub(super) struct ThreadHandle {
    /// `None` only inside `drop`, which closes the channel before it wakes the thread.
    calls: Mutex<Option<SyncSender<Call>>>,
    ring: Ring,
}

impl ThreadHandle {
    pub(super) fn new(calls: SyncSender<Call>, ring: Ring) -> Self {
        Self { calls: Mutex::new(Some(calls)), ring }
    }

    pub(super) fn begin<T: Send + 'static>(
        &self,
        call: impl FnOnce(Reply<T>) -> Call,
    ) -> PendingCall<T> {
        let (sender, answer) = sync_channel(1);
        // Nobody may be there any more to take it.
        let (reply, caller) = Reply::new(move |outcome| drop(sender.send(outcome)));
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unsent = calls.map(|calls| (calls, call(reply)));
        PendingCall { unsent, answer, caller, ring: self.ring.clone() }
    }
}

impl Drop for ThreadHandle {
    fn drop(&mut self) {
        drop(self.calls.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        self.ring.ring();
    }
}

/// A call of a [`super::blocking::Client`] that is not answered yet.
///
/// Dropping it takes nothing back: what it asks for may still be done. [`Self::withdraw`] takes it
/// back. It does not keep the client alive: when the last client is dropped, the answer is
/// [`ClientError::Closed`].
#[must_use = "a call that nobody waits for may not even have been sent"]
pub struct PendingCall<T> {
    /// The call while it is not sent, and the way there.
    unsent: Option<(SyncSender<Call>, Call)>,
    answer: Receiver<Result<T, ClientError>>,
    caller: Caller,
    ring: Ring,
}

impl<T> PendingCall<T> {
    /// Waits for the answer, for `most` at most; `None`: there is none yet. After the answer there
    /// is no other: then it is [`ClientError::Closed`].
    pub fn wait(&mut self, most: Duration) -> Option<Result<T, ClientError>> {
        // A time beyond what the clock can tell: without limit.
        let until = Instant::now().checked_add(most);
        let left = |until: Option<Instant>| match until {
            Some(until) => until.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        };
        while let Some((calls, call)) = self.unsent.take() {
            match calls.try_send(call) {
                Ok(()) => self.ring.ring(),
                Err(TrySendError::Disconnected(_)) => return Some(Err(ClientError::Closed)),
                Err(TrySendError::Full(call)) => {
                    self.unsent = Some((calls, call));
                    let left = left(until);
                    if left.is_zero() {
                        return None;
                    }
                    thread::sleep(left.min(SEND_AGAIN));
                }
            }
        }
        match self.answer.recv_timeout(left(until)) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(ClientError::Closed)),
        }
    }

    /// Waits for the answer as long as it takes.
    pub fn answered(mut self) -> Result<T, ClientError> {
        if let Some((calls, call)) = self.unsent.take() {
            calls.send(call).map_err(|_| ClientError::Closed)?;
            self.ring.ring();
        }
        self.answer.recv().map_err(|_| ClientError::Closed)?
    }

    /// Takes the call back: what it asks for is not done, and never will be. `false`: it is being
    /// done, or done, and its answer comes without waiting for the server's connection.
    pub fn withdraw(&mut self) -> bool {
        self.unsent = None;
        let is_withdrawn = self.caller.withdraw();
        // The thread forgets it.
        self.ring.ring();
        is_withdrawn
    }
}

impl<T> std::fmt::Debug for PendingCall<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingCall")
            .field("is_sent", &self.unsent.is_none())
            .finish_non_exhaustive()
    }
}
