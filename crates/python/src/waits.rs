//! Waiting for the client's thread, without the interpreter and open to signals.

use std::time::{Duration, Instant};

use ddes_client::{FailureClass, PendingCall};
use pyo3::prelude::*;

use crate::failure::{exception, of_client};

/// How often a call that waits looks for signals, Ctrl-C among them.
pub(crate) const SIGNALS_EVERY: Duration = Duration::from_millis(50);
/// How long a call may still take that has begun: an outbox is written, or a session ended, whose
/// server has 10 s to answer.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

/// The answer to a call. On a signal whose handler raises, and at the end of `limit`, the call is
/// taken back.
pub(crate) fn answer<T: Send>(
    py: Python<'_>,
    mut call: PendingCall<T>,
    limit: Option<Duration>,
) -> PyResult<T> {
    let until = limit.and_then(|limit| Instant::now().checked_add(limit));
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let slice = left.map_or(SIGNALS_EVERY, |left| left.min(SIGNALS_EVERY));
        if let Some(answer) = py.detach(|| call.wait(slice)) {
            return answer.map_err(|error| of_client(py, &error));
        }
        if let Err(raised) = py.check_signals() {
            // What could not be taken back is done, and the program still hears of its signal.
            drop(take_back(py, &mut call));
            return Err(raised);
        }
        if left.is_some_and(|left| left.is_zero()) {
            return match take_back(py, &mut call) {
                Some(answer) => answer,
                None => Err(exception(py, FailureClass::Timeout, "no answer within the timeout")),
            };
        }
    }
}

/// `None`: the call is not done, and never will be. Else it was done at this very moment, and this
/// is its answer.
fn take_back<T: Send>(py: Python<'_>, call: &mut PendingCall<T>) -> Option<PyResult<T>> {
    if call.withdraw() {
        return None;
    }
    Some(match py.detach(|| call.wait(SETTLED_WITHIN)) {
        Some(answer) => answer.map_err(|error| of_client(py, &error)),
        None => {
            let text = "the call had begun, and whether it is done is not known";
            Err(exception(py, FailureClass::Timeout, text))
        }
    })
}
