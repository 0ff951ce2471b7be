//! What travels and what is counted: values, frames and the messages of both profiles.
//!
//! No I/O and no cryptography: bytes in, typed messages out, and back. Integers are big-endian.
//! Every decoder takes one canonical encoding, has a bound, and refuses the rest with an error
//! that names what was wrong.

pub mod classic;
pub mod frame;
pub mod shown;
pub mod v2;
mod value;

pub use value::{
    Amount, Amounts, ClientId, OverflowError, Sequence, SessionNumber, Standing, Token, Total,
};
