//! Errors of the client as the exceptions of `ddes.errors`.

use ddes_client::credentials::CredentialError;
use ddes_client::{ClientError, FailureClass};
use ddes_wire::shown::plain_lines;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// The exception of a class; its text may have words of a server in it, and they are made fit to be
/// shown.
pub(crate) fn exception(py: Python<'_>, class: FailureClass, text: &str) -> PyErr {
    let name = match class {
        FailureClass::Refused => "RefusedError",
        FailureClass::Usage => "UsageError",
        FailureClass::Connect => "ConnectError",
        FailureClass::Identity => "IdentityError",
        FailureClass::Integrity => "IntegrityError",
        FailureClass::Timeout => "TimeoutError",
    };
    let found = py.import("ddes.errors").and_then(|module| module.getattr(name));
    match found.and_then(|found| Ok(found.cast_into::<PyType>()?)) {
        Ok(kind) => PyErr::from_type(kind, (plain_lines(text),)),
        // The package is not whole: then that is what to report.
        Err(error) => error,
    }
}

pub(crate) fn usage(py: Python<'_>, text: &str) -> PyErr {
    exception(py, FailureClass::Usage, text)
}

pub(crate) fn of_client(py: Python<'_>, error: &ClientError) -> PyErr {
    exception(py, error.class(), &error.to_string())
}

pub(crate) fn of_credential(py: Python<'_>, error: &CredentialError) -> PyErr {
    exception(py, error.class(), &error.to_string())
}
