//! libddes: the client for C, and for every language that calls C (docs/decisions/0025).
//!
//! `include/ddes.h` is made from this crate by cbindgen: what it says to its readers is said in
//! exported.rs, the only file that sees a caller's pointers. Everything else is safe:
//! settings.rs makes a client of what was given, registry.rs knows which clients are open, and
//! failure.rs keeps what went wrong for `ddes_last_error`.

pub mod exported;
mod failure;
mod registry;
mod settings;
