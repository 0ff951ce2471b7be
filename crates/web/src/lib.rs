//! The HTTP server of a D-DDES server: the page, its API, metrics and health.
//!
//! It runs on a thread of its own, at low priority, and reads what the loop publishes
//! ([`ddes_server::watch`]). What it asks of the loop itself is bounded in rate, so that no number
//! of viewers slows the server down. docs/openapi.json describes the API; a test holds it to the
//! handlers.

mod about;
mod access;
mod answer;
mod api;
mod app;
mod aside;
mod error;
mod events;
mod files;
mod guarded;
mod headers;
mod health;
mod history;
mod listen;
mod login;
mod metrics;
mod mirror;
mod names;
mod operations;
mod page;
mod process;
mod ranking;
mod router;
mod server;
mod token;
mod totals;
mod verification;

pub use about::{About, ReloadableLimits};
pub use events::{Events, LogEvent};
pub use listen::CONNECTIONS_MAX;
pub use operations::{
    ConfigChange, ConfigEntry, ConfigurationView, LogLevel, Operations, ReceiptFault, Reloaded,
    ValueOrigin,
};
pub use server::{Draining, Web, WebError, WebHandle, WebOptions};
pub use token::AccessToken;
pub use verification::{VerificationFinding, VerificationOutcome};

/// Raised when a field of the API changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;
