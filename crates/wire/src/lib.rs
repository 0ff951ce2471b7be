//! Values, frames, and the messages of both profiles.
//!
//! No I/O and no cryptography: bytes in, typed messages out, and back. Integers are big-endian.
//! Every decoder accepts one canonical encoding within a bound, and refuses anything else.

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
