//! A client from what the caller named, with the names and the rules of the command line.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ddes_client::blocking::Client;
use ddes_client::credentials::{self, ClientHome, CredentialError, DEFAULT_IDENTITY};
use ddes_client::{Builder, ServerAddress, Suite};
use zeroize::Zeroizing;

use crate::exported::DDES_ADOPT;
use crate::failure::CallError;

/// What the caller named. Nothing of it is the caller's memory.
pub(crate) struct OpenSettings {
    pub(crate) server: Option<String>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) identity: Option<OsString>,
    pub(crate) passphrase: Option<Zeroizing<Vec<u8>>>,
    pub(crate) trust: Option<OsString>,
    pub(crate) outbox: Option<PathBuf>,
    pub(crate) suite: Option<String>,
    pub(crate) timeout_ms: i64,
    pub(crate) patience_ms: i64,
    pub(crate) flags: u32,
}

impl OpenSettings {
    pub(crate) fn start(self) -> Result<Client, CallError> {
        let server = self.server.as_deref();
        let server = server.ok_or_else(|| CallError::usage("the option server is NULL"))?;
        let server: ServerAddress =
            server.parse().map_err(|error| CallError::usage(format!("server: {error}")))?;
        let mut builder = self.known(server)?.suite(self.suite()?);
        if self.flags & !DDES_ADOPT != 0 {
            return Err(CallError::usage(format!("flags {:#x} have no meaning", self.flags)));
        }
        if self.flags & DDES_ADOPT != 0 {
            builder = builder.adopt();
        }
        if self.timeout_ms != 0 {
            builder = builder.timeout(time(self.timeout_ms));
        }
        if self.patience_ms != 0 {
            builder = builder.patience(time(self.patience_ms));
        }
        if let Some(folder) = self.outbox {
            builder = builder.outbox(folder);
        }
        Ok(builder.start()?)
    }

    /// The two sides: whose identity it is, and which keys the server may have.
    fn known(&self, server: ServerAddress) -> Result<Builder<Client>, CallError> {
        let home = ClientHome::locate(self.home.as_deref().filter(is_named))?;
        let identity = self.identity.as_deref().unwrap_or(OsStr::new(DEFAULT_IDENTITY));
        let passphrase = self.passphrase.as_ref().map(|passphrase| passphrase.as_slice());
        let signer = credentials::identity(identity, &home, passphrase)?;
        let keys = match self.trust.as_deref() {
            Some(given) => credentials::trust(given, &server)?,
            None => credentials::trust_of_home(&home, &server)?,
        };
        if keys.is_empty() {
            return Err(CredentialError::Stranger { server }.into());
        }
        Ok(Client::builder(server, signer).trust_all(keys))
    }

    fn suite(&self) -> Result<Suite, CallError> {
        let [default, ..] = Suite::ALL;
        let Some(name) = self.suite.as_deref() else { return Ok(default) };
        let found = Suite::ALL.into_iter().find(|suite| suite.name() == name);
        found.ok_or_else(|| {
            let names = Suite::ALL.map(Suite::name).join(", ");
            CallError::usage(format!("suite '{name}': it is one of {names}"))
        })
    }
}

fn is_named(path: &&Path) -> bool {
    !path.as_os_str().is_empty()
}

fn time(millis: i64) -> Duration {
    // Without an end is as long as there is.
    wait(millis).unwrap_or(Duration::MAX)
}

/// A wait in milliseconds; a negative one has no end.
pub(crate) fn wait(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}
