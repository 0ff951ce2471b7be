//! The D-DDES server.
//!
//! The line between pure and not runs through this crate: [`endpoint`] takes bytes, time and
//! randomness and holds every session; the drivers around it (sockets, the clerk's thread, the
//! clock) are thin. See ARCHITECTURE.md.

mod clerk;
mod drive;
pub mod endpoint;
mod listen;

pub use listen::{Handle, Options, Server, Stopped};
