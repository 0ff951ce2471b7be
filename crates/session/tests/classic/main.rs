//! The classic profile: rounds, timers, and hostile input. One scenario a file.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and knows its numbers"
)]
#![allow(clippy::disallowed_methods, reason = "a scenario starts its virtual clock somewhere")]

mod world;

mod a_client_round;
mod a_full_round;
mod deadlines;
mod fields_in_pieces;
mod idle_timer;
mod invalid_hmac;
mod invalid_keys;
mod invalid_padding;
mod invalid_token;
mod length_of_four_gigabytes;
mod opcodes_out_of_order;
mod orders_to_end;
mod peers_that_read_nothing;
mod server_keys_a_client_refuses;
mod servers_that_lie;
mod silent_peers;
mod streams_cut_short;
mod too_much_at_once;
