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

pub use about::{About, Limits};
pub use events::{Event, Events};
pub use listen::CONNECTIONS_MAX;
pub use operations::{
    ConfigChange, ConfigEntry, Configuration, LogLevel, Operations, Origin, ReceiptFault, Reloaded,
};
pub use server::{Draining, Web, WebError, WebHandle, WebOptions};
pub use token::Token;
pub use verification::{Finding, Outcome};

/// Raised when a field of the API changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;
