//! A ledger that several servers share: its accounts are rows of a database, and each of them has a
//! chained history.
//!
//! This module is what every program that keeps or checks such a ledger agrees on: rows, entries
//! and their chain ([`SharedRow`], [`HistoryEntry`]), and what one connection of a server decides
//! and in which order ([`LedgerLane`]). It does no I/O: a driver sends the statements.
//! docs/decisions/0021 has the argument.

mod lane;
mod row;

pub use lane::{LaneOptions, LaneStep, LedgerLane, LostHistory, Swap};
pub use row::{Audited, EntryError, HistoryEntry, RowKey, SharedRow, genesis};
