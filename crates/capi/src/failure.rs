//! What went wrong, as a status and in words, and that no panic reaches the caller.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ddes_client::credentials::CredentialError;
use ddes_client::{ClientError, FailureClass};
use ddes_wire::shown::plain_lines;

use crate::exported::DdesStatus;

/// Why a call was not done.
#[derive(Debug)]
pub(crate) struct CallError {
    status: DdesStatus,
    what: String,
}

impl CallError {
    pub(crate) fn new(status: DdesStatus, what: impl Into<String>) -> Self {
        Self { status, what: what.into() }
    }

    /// The caller's mistake.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(DdesStatus::DdesUsage, what)
    }
}

impl From<ClientError> for CallError {
    fn from(error: ClientError) -> Self {
        Self::new(status(error.class()), error.to_string())
    }
}

impl From<CredentialError> for CallError {
    fn from(error: CredentialError) -> Self {
        Self::new(status(error.class()), error.to_string())
    }
}

fn status(class: FailureClass) -> DdesStatus {
    match class {
        FailureClass::Refused => DdesStatus::DdesNo,
        FailureClass::Usage => DdesStatus::DdesUsage,
        FailureClass::Connect => DdesStatus::DdesConnect,
        FailureClass::Identity => DdesStatus::DdesIdentity,
        FailureClass::Integrity => DdesStatus::DdesIntegrity,
        FailureClass::Timeout => DdesStatus::DdesTimeout,
    }
}

thread_local! {
    /// The words of this thread's last failure.
    static LAST: RefCell<Option<CString>> = const { RefCell::new(None) };
}

/// Does what the caller asked for. A failure, and also a panic, becomes a status and the thread's
/// last error.
pub(crate) fn guarded(call: impl FnOnce() -> Result<(), CallError>) -> DdesStatus {
    // A call changes nothing but through locks and channels, which stay whole: see `registry`.
    let outcome = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        // What it holds may panic when it is dropped.
        std::mem::forget(panic);
        Err(CallError::new(DdesStatus::DdesInternal, "a fault of this library, which it reported"))
    });
    match outcome {
        Ok(()) => DdesStatus::DdesOk,
        Err(CallError { status, what }) => {
            keep(&what);
            status
        }
    }
}

/// Whoever's words are in it, they are fit to be shown.
fn keep(what: &str) {
    // An error: there is a NUL, which is among what is not fit. A thread that ends keeps nothing.
    if let Ok(text) = CString::new(plain_lines(what)) {
        drop(LAST.try_with(|last| last.replace(Some(text))));
    }
}

/// The words of this thread's last failure, for as long as no other call fails in it.
pub(crate) fn last() -> *const c_char {
    let words = |last: &RefCell<Option<CString>>| {
        last.borrow().as_ref().map_or(NONE.as_ptr(), |text| text.as_ptr())
    };
    // A thread that ends has lost its words.
    LAST.try_with(words).unwrap_or(NONE.as_ptr())
}

const NONE: &CStr = c"";
