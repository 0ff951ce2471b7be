//! The classic profile: rounds, timers, and hostile input. One scenario a file.

mod world;

mod a_client_round;
mod a_full_round;
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
