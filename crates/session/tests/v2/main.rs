//! D-DDES/2: handshake, records, and the server's side against clients of every kind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, knows its numbers, and begins its clock somewhere"
)]

mod a_client_round;
mod a_full_round;
mod a_recorded_session;
mod a_second_noise;
mod any_bytes;
mod bad_first_messages;
mod bytes_before_a_proof;
mod conversations;
mod deadlines;
mod dishonest_clients;
mod ends_before_a_session;
mod frames_out_of_place;
mod handshakes;
mod idle_and_old;
mod numbering;
mod operators;
mod peers_that_read_nothing;
mod published_noise_vectors;
mod records;
mod replayed_and_changed;
mod secrets;
mod servers_that_lie;
mod silent_peers;
mod silent_servers;
mod streams_cut_short;
mod too_much_at_once;
mod vectors;
mod world;
mod wrong_suites;
mod wrong_tokens;
