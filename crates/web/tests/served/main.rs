//! The HTTP server beside a real server on loopback: who may ask for what, the numbers that all
//! views agree on, and clients that mean harm.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and knows its numbers"
)]

mod access;
mod accounts;
mod actions;
mod document;
mod events;
mod hostile;
mod ledgers;
mod numbers;
mod schema;
mod world;
