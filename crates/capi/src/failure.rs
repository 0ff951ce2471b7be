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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = include_str!("../include/ddes.h");
    const EXCEPTIONS: &str = include_str!("../../../python/ddes/errors.py");
    const RAISED: &str = include_str!("../../python/src/failure.rs");

    const ALL: [FailureClass; 6] = [
        FailureClass::Refused,
        FailureClass::Usage,
        FailureClass::Connect,
        FailureClass::Identity,
        FailureClass::Integrity,
        FailureClass::Timeout,
    ];

    /// Not compiled with a class that it does not name: that one belongs into `ALL`, too.
    fn name(class: FailureClass) -> &'static str {
        match class {
            FailureClass::Refused => "Refused",
            FailureClass::Usage => "Usage",
            FailureClass::Connect => "Connect",
            FailureClass::Identity => "Identity",
            FailureClass::Integrity => "Integrity",
            FailureClass::Timeout => "Timeout",
        }
    }

    /// Each class of Python's exceptions, with its exit code: that of the class above it, unless it
    /// has its own.
    fn exceptions() -> Vec<(&'static str, u8)> {
        let mut found = Vec::new();
        for class in EXCEPTIONS.split("\nclass ").skip(1) {
            let (name, body) = class.split_once('(').unwrap();
            let own = body.lines().find_map(|line| line.trim().strip_prefix("exit_code"));
            let own = own.map(|rest| rest.rsplit(' ').next().unwrap().parse().unwrap());
            let above: Option<&(_, u8)> = found.first();
            found.push((name, own.unwrap_or_else(|| above.unwrap().1)));
        }
        found
    }

    #[test]
    fn a_failure_has_one_number_in_rust_c_and_python() {
        let exceptions = exceptions();
        assert_eq!(exceptions.len(), 1 + ALL.len(), "{exceptions:?}");
        for class in ALL {
            let (code, status) = (class.code(), status(class));
            assert_eq!(status as i32, i32::from(code), "{class:?}");
            let in_c = format!("{status:?}").replacen("Ddes", "DDES_", 1).to_uppercase();
            assert!(HEADER.contains(&format!("  {in_c} = {code},\n")), "{in_c}");
            let exception = format!("{}Error", name(class));
            assert!(exceptions.contains(&(&exception, code)), "{exception}: {exceptions:?}");
            let raised = format!("FailureClass::{} => \"{exception}\",\n", name(class));
            assert!(RAISED.contains(&raised), "{raised}");
        }
        let codes: std::collections::BTreeSet<u8> = ALL.map(FailureClass::code).into();
        assert_eq!(codes, (1..=6).collect());
    }
}
