//! The extension module of the Python package `ddes`: `ddes_client::blocking` for Python. The
//! package itself, with its documentation and its tests, is in python/.
//!
//! Whatever can wait lets go of the interpreter, and looks for signals every
//! [`waits::SIGNALS_EVERY`]. The client's own threads never touch the interpreter: what happens to
//! the session goes through a queue to a thread of Python, which logs it. So no thread of ours can
//! be caught by an interpreter that ends.

mod client;
mod failure;
mod given;
mod progress;
mod waits;

/// The extension module `ddes._ddes`.
#[pyo3::pymodule]
mod _ddes {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::client::PythonClient;
    #[pymodule_export]
    use crate::progress::ProgressQueue;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("ADD_MAX", ddes_client::ADD_MAX)?;
        module.add("VERSION", env!("CARGO_PKG_VERSION"))
    }
}
