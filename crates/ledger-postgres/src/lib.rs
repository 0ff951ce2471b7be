//! A ledger that several servers share, in a PostgreSQL database.
//!
//! The rules stay where every ledger has them, in `ddes-ledger`: a lane
//! ([`ddes_ledger::shared::LedgerLane`]) reads what it does not know, decides, and swaps; this
//! crate sends its statements. docs/scale.md says how to set it up, docs/decisions/0021 why it is
//! right.

pub mod audit;
mod authorized;
mod checks;
mod connection;
mod init;
mod keeper;
mod migrate;
mod numeric;
mod password;
mod place;
mod questions;
mod raise;
mod schema;
mod service;

pub use authorized::{
    AuthorizedError, AuthorizedRow, AuthorizedTaker, authorize, authorized, unauthorize,
};
pub use connection::{DatabaseError, FoundDatabase};
pub use init::init;
pub use keeper::{PostgresKeeper, PostgresOptions};
pub use migrate::{BegunArrival, DatabaseArrival, DatabaseDeparture, MigrateError};
pub use place::{DatabaseUrl, DatabaseUrlError};
pub use raise::raise;
pub use schema::definition;
