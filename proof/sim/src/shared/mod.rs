//! The other kind of world: servers that share a ledger in a database.
//!
//! Endpoints and lanes are those of the servers (`ddes_server::endpoint`, `ddes_ledger::shared`).
//! The database is a simulated one. The tests of `ddes_ledger` have another, of 130 lines, which
//! does a whole turn of a lane in one call. Here messages and locks take time, transactions of
//! several servers are open side by side, and a standby takes over. Those tests have no use for
//! that, and nothing outside proof/ may depend on proof/.

mod backend;
mod database;
mod faults;
mod judge;
mod keeper;
#[cfg(test)]
mod promises;
mod tables;
mod visitor;
mod wanderer;
mod world;

pub(crate) use world::DatabaseWorld;
