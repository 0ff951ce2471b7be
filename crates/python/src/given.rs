//! What a Python program gives: integers, times, and names of keys.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use ddes_client::credentials::{self, ClientHome, CredentialError, DEFAULT_IDENTITY, TrustedKey};
use ddes_client::{ADD_MAX, ClientError, ServerAddress, Signer, Suite};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};
use zeroize::Zeroizing;

use crate::failure::{of_client, usage};

/// The most keys that one server may have.
const TRUSTED_MAX: usize = 1024;
/// A longer wait has no limit: no program sees its end.
const SECONDS_MAX: f64 = 365.0 * 24.0 * 60.0 * 60.0;

/// One integer, or an iterable of them: at most [`ADD_MAX`].
pub(crate) fn integers(given: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    if given.is_instance_of::<PyInt>() {
        return Ok(vec![integer(given, 0)?]);
    }
    let items = match given.try_iter() {
        Ok(items) => items,
        // A single one of another type, as numpy has them; or none at all, which says so.
        Err(error) if error.is_instance_of::<PyTypeError>(given.py()) => {
            return Ok(vec![integer(given, 0)?]);
        }
        Err(error) => return Err(error),
    };
    let mut integers = Vec::new();
    for item in items {
        if integers.len() == ADD_MAX {
            return Err(of_client(given.py(), &ClientError::TooMany));
        }
        integers.push(integer(&item?, integers.len())?);
    }
    Ok(integers)
}

/// Exact, or an error: nothing is rounded or cut.
fn integer(given: &Bound<'_, PyAny>, place: usize) -> PyResult<i64> {
    given.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(given.py()) {
            let text = format!("integer {place} is not within 64 bits (-2**63 to 2**63 - 1)");
            return usage(given.py(), &text);
        }
        error
    })
}

/// A time to wait: `None` is without a limit.
pub(crate) fn seconds(
    py: Python<'_>,
    name: &str,
    given: Option<f64>,
) -> PyResult<Option<Duration>> {
    match given {
        None => Ok(None),
        Some(seconds) if seconds >= SECONDS_MAX => Ok(None),
        Some(seconds) if seconds >= 0.0 => Ok(Some(Duration::from_secs_f64(seconds))),
        Some(_) => Err(usage(py, &format!("{name} is a number of seconds, 0 or more"))),
    }
}

pub(crate) fn server(py: Python<'_>, given: &str) -> PyResult<ServerAddress> {
    given.parse().map_err(|error| usage(py, &format!("{error}")))
}

pub(crate) fn suite(py: Python<'_>, given: &str) -> PyResult<Suite> {
    let found = Suite::ALL.into_iter().find(|suite| suite.name() == given);
    found.ok_or_else(|| {
        let names = Suite::ALL.map(Suite::name).join(", ");
        usage(py, &format!("suite is one of {names}"))
    })
}

/// A passphrase, as text or as bytes.
pub(crate) fn passphrase(given: &Bound<'_, PyAny>) -> PyResult<Zeroizing<Vec<u8>>> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(Zeroizing::new(bytes.as_bytes().to_vec()));
    }
    Ok(Zeroizing::new(given.extract::<String>()?.into_bytes()))
}

/// How a program names a key.
pub(crate) enum KeyName {
    /// A name, a path or the key itself, which may be a secret.
    Text(Zeroizing<String>),
    /// An `os.PathLike`: a path in any case.
    Path(PathBuf),
}

impl KeyName {
    fn of(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        if given.is_instance_of::<PyString>() {
            return Ok(Self::Text(Zeroizing::new(given.extract()?)));
        }
        if let Ok(bytes) = given.cast::<PyBytes>() {
            let text = std::str::from_utf8(bytes.as_bytes());
            let text = text.map_err(|_| usage(given.py(), "a key as bytes is ASCII text"))?;
            return Ok(Self::Text(Zeroizing::new(text.to_owned())));
        }
        Ok(Self::Path(given.extract()?))
    }

    /// The identity of a client; without one, that of the home.
    pub(crate) fn identity(given: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let default = || Ok(Self::Text(Zeroizing::new(DEFAULT_IDENTITY.to_owned())));
        given.map_or_else(default, Self::of)
    }

    /// The keys of a server: one, or an iterable of them.
    pub(crate) fn trusted(given: &Bound<'_, PyAny>) -> PyResult<Vec<Self>> {
        let one = Self::of(given);
        if one.is_ok() || given.hasattr("__fspath__")? {
            return Ok(vec![one?]);
        }
        let mut names = Vec::new();
        for item in given.try_iter()? {
            if names.len() == TRUSTED_MAX {
                return Err(usage(given.py(), &format!("at most {TRUSTED_MAX} keys are trusted")));
            }
            names.push(Self::of(&item?)?);
        }
        Ok(names)
    }

    pub(crate) fn signer(
        &self,
        home: &ClientHome,
        passphrase: Option<&[u8]>,
    ) -> Result<Signer, CredentialError> {
        match self {
            Self::Text(text) => credentials::identity(OsStr::new(text.as_str()), home, passphrase),
            Self::Path(path) => credentials::identity_file(path, passphrase),
        }
    }

    pub(crate) fn keys(&self, server: &ServerAddress) -> Result<Vec<TrustedKey>, CredentialError> {
        match self {
            Self::Text(text) => credentials::trust(OsStr::new(text.as_str()), server),
            Self::Path(path) => credentials::trust_file(path, server),
        }
    }
}
