//! What the HTTP server asks of the process around it.

use std::io;

use ddes_ledger::Statement;
use serde::{Deserialize, Serialize};

use crate::verification::VerificationFinding;

/// The process that serves: its configuration, its log, its keys and its end. A method may block.
pub trait Operations: Send + Sync {
    /// The configuration in force.
    fn config(&self) -> ConfigurationView;

    /// Reads the configuration again, and applies all of what can be applied, or nothing. An error
    /// says what is wrong, and where.
    fn reload(&self) -> Result<Reloaded, String>;

    /// Sets the level of the log from now on.
    fn set_log_level(&self, level: LogLevel) -> Result<(), String>;

    /// Reads a receipt, and checks its signature against the server's key.
    fn read_receipt(&self, text: &str) -> Result<Statement, ReceiptFault>;

    /// Tells of what a verification of the ledger found, and whether that is kept for the next
    /// start.
    fn verified(&self, finding: &VerificationFinding, kept: io::Result<()>);

    /// Ends every session and stops, as SIGTERM does.
    fn stop(&self);
}

/// The configuration in force, with the origin of each value.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConfigurationView {
    /// All settings.
    pub entries: Vec<ConfigEntry>,
    /// The file that was read.
    pub file: Option<String>,
}

/// One setting.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigEntry {
    /// Its name in the file, and as a flag.
    pub key: String,
    /// Its value, as text; `None` where nothing is set.
    pub value: Option<String>,
    /// What set it.
    pub origin: ValueOrigin,
    /// The flag, the variable, or the file and line that set it.
    pub r#where: Option<String>,
    /// Whether a reload applies a change of it.
    pub reloadable: bool,
}

/// What set a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueOrigin {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file.
    File,
    /// Nothing.
    Default,
    /// An operator of the running server, until the next reload.
    Operator,
}

/// What a reload did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reloaded {
    /// The settings that changed and are in force.
    pub changed: Vec<ConfigChange>,
    /// The settings that changed and need a restart.
    pub needs_restart: Vec<String>,
}

/// A setting that a reload changed.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigChange {
    /// Its name.
    pub key: String,
    /// Its value before.
    pub from: Option<String>,
    /// Its value now.
    pub to: Option<String>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Also warnings.
    Warn,
    /// Also what happens.
    Info,
    /// Also details.
    Debug,
}

/// Why a receipt is not accepted before the ledger is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptFault {
    /// The text is not a receipt.
    Unreadable(String),
    /// The server's key did not sign it.
    NotSigned(String),
}
