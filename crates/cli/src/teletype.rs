//! A prompt on a terminal that cannot move its cursor: what is said while a question stands goes
//! below it, and the question is put again.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::streams::{decorate, to_stdout};

/// The question that stands on the last line, which the reader and the screen share.
#[derive(Clone, Debug)]
pub(crate) struct Teletype {
    question: Arc<Mutex<Option<String>>>,
}

impl Teletype {
    pub(crate) fn new() -> Self {
        Self { question: Arc::new(Mutex::new(None)) }
    }

    pub(crate) fn ask(&self, question: &str) {
        let mut standing = self.question.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever cannot see the question can still answer it.
        decorate(question);
        *standing = Some(question.to_owned());
    }

    /// The line is done, and its end was typed.
    pub(crate) fn answered(&self) {
        *self.question.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        let standing = self.question.lock().unwrap_or_else(PoisonError::into_inner);
        match &*standing {
            Some(question) => to_stdout(&format!("\n{text}{question}")),
            None => to_stdout(text),
        }
    }

    /// Leaves the question where it stands.
    pub(crate) fn leave(&self) {
        if self.question.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            decorate("\n");
        }
    }
}
