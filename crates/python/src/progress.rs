//! What happens to a session, for Python's `logging`: the client's thread puts lines into a queue,
//! and a thread of Python takes them out. The client never waits for whoever logs.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};

use ddes_client::Progress;
use ddes_wire::shown::plain;
use pyo3::prelude::*;

/// Lines that wait to be logged; with more they are dropped and counted.
const LINES_MAX: usize = 256;

/// The levels of Python's `logging`.
const INFO: u8 = 20;
const WARNING: u8 = 30;

/// A level and a text.
type LoggedLine = (u8, String);

/// The client's end of the queue.
pub(crate) struct ProgressLog {
    lines: SyncSender<LoggedLine>,
    dropped: u64,
}

/// Python's end.
#[pyclass(module = "ddes._ddes", frozen)]
pub(crate) struct ProgressQueue(Mutex<Receiver<LoggedLine>>);

pub(crate) fn queue() -> (ProgressLog, ProgressQueue) {
    let (lines, queue) = sync_channel(LINES_MAX);
    (ProgressLog { lines, dropped: 0 }, ProgressQueue(Mutex::new(queue)))
}

impl ProgressLog {
    /// Counts and sums are the program's business: no line has them.
    pub(crate) fn note(&mut self, progress: &Progress) {
        let line = match progress {
            Progress::Opened(_) => (INFO, "a session is open".to_owned()),
            Progress::Counted(_) => return,
            Progress::Unavailable => {
                let text = "the server's ledger takes no integers at present; trying again";
                (WARNING, text.to_owned())
            }
            Progress::Lost { why, retry } => {
                let what = plain(&why.whole().to_string());
                let when = match retry {
                    Some(wait) => format!("connecting again in {:.1} s", wait.as_secs_f32()),
                    None => "connecting again with the next integer".to_owned(),
                };
                (WARNING, format!("{what}; {when}"))
            }
        };
        self.put(line);
    }

    fn put(&mut self, line: LoggedLine) {
        if self.dropped > 0 {
            let text = format!("{} lines before this one were dropped", self.dropped);
            if self.lines.try_send((WARNING, text)).is_ok() {
                self.dropped = 0;
            }
        }
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.dropped += 1,
            // Nobody logs.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

#[pymethods]
impl ProgressQueue {
    /// The next line as its level and text; None once the client has ended.
    fn next(&self, py: Python<'_>) -> Option<LoggedLine> {
        py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).recv().ok())
    }
}
