//! The D-DDES server.
//!
//! One part of this crate is pure: [`endpoint`] holds every session and takes bytes, time and
//! randomness as arguments. The parts around it that do I/O (sockets, the clerk's thread, the
//! clock) are thin. See ARCHITECTURE.md.

mod access;
mod action;
mod admission;
mod books;
mod clerk;
mod drive;
pub mod endpoint;
mod files;
mod line;
mod listen;
mod mail;
mod network;
mod notice;
mod pool;
pub mod priority;
mod queue;
mod rate;
mod refuse;
mod session;
mod slice;
mod timers;
pub mod watch;

pub use access::{Access, DatabaseKeys, Lists};
pub use books::ServerBooks;
pub use clerk::LedgerView;
pub use files::Files;
pub use listen::{LiveSettings, Pulse, Report, Server, ServerHandle, ServerOptions, Stopped};
