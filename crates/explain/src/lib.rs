//! What D-DDES computes, step by step, and a conversation as a page that explains it.
//!
//! [`Calculation`] is one application of a formula to given bytes: it works it out step by step,
//! and gives the line of `ddes calc` and the line of Python that give the same result. [`document`]
//! makes one self-contained page of a captured conversation, with calculations between its frames.
//!
//! Whatever is in here is meant to be shown: nothing is wiped, and not everything takes constant
//! time. It is for captures whose secrets were written down on purpose, and for the examples of
//! textbooks.

mod calc;
mod page;

pub use calc::{
    Argument, CalcError, Calculation, DhGroup, HkdfExpansion, INPUT_BYTES_MAX, KemKey, Named,
    Python, Step, Value, Worked,
};
pub use page::{Card, CardRole, Claim, FRAMES_MAX, Sources, cards, document, forget_secrets};
