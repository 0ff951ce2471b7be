//! Values, frames, and the messages of both profiles.
//!
//! No I/O and no cryptography: bytes in, typed messages out, and back. Integers are big-endian.
//! Every decoder accepts one canonical encoding within a bound, and refuses anything else.
//!
//! | I want to … | type |
//! |---|---|
//! | find the frames in a stream of bytes | [`frame::split`], [`frame::Header`] |
//! | know what a frame is | [`frame::Opcode`] |
//! | open a handshake of D-DDES/2, or read one | [`v2::Hello`], [`v2::Suite`] |
//! | read and write what a record holds: 20, 30, 40, 50 | [`v2::Welcome`], [`v2::Data`], [`v2::Outcome`], [`v2::Farewell`] |
//! | read and write the messages of the original programs | [`classic::DhPublicKey`], [`classic::Data`], [`classic::AggregateResult`] |
//! | count with integers and sums that cannot overflow unnoticed | [`Amount`], [`Total`], [`Sequence`] |
//! | list every field of every message, for a table or a dissector | [`schema::MESSAGES`] |
//! | show foreign text on a terminal | [`shown::plain()`] |
//!
//! ```
//! use ddes_wire::frame::{Header, Opcode, split};
//! use ddes_wire::v2::{BODY_MAX, Outcome, Status};
//! use ddes_wire::{Sequence, Total};
//!
//! // A 40. On the wire its body is sealed first: see `ddes_session`.
//! let outcome =
//!     Outcome { status: Status::Applied, last_seq: Sequence::new(2), sum: Total::new(92) };
//! let body = outcome.encode();
//! let header = Header { opcode: Opcode::EncryptedResult.number(), length: body.len() as u32 };
//! let bytes = [&header.encode()[..], &body].concat();
//!
//! assert!(split(&bytes[..20], BODY_MAX)?.is_none(), "not whole yet");
//! let frame = split(&bytes, BODY_MAX)?.unwrap();
//! assert_eq!(Opcode::from_number(frame.header.opcode), Some(Opcode::EncryptedResult));
//! assert_eq!(Outcome::decode(frame.body), Some(outcome));
//! # Ok::<(), ddes_wire::frame::TooLong>(())
//! ```

pub mod classic;
pub mod frame;
pub mod saturating;
pub mod schema;
pub mod shown;
pub mod v2;
mod value;

pub use value::{
    Amount, Amounts, ClientId, OverflowError, Sequence, SessionNumber, Standing, Token, Total,
};
