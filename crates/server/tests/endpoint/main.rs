//! An endpoint under a clock of its own, a ledger behind it, clients before it. One scenario a
//! file.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and looks at what it is about"
)]

mod a_full_ledger;
mod a_full_queue;
mod a_grant_that_changes;
mod a_newer_session;
mod actions_in_order;
mod counted_causes;
mod ladders;
mod much_at_once;
mod original;
mod peers_that_are_gone;
mod rows_in_turn;
mod silent_networks;
mod too_many_a_second;
mod world;
