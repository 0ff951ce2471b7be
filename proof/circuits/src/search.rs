//! Kwan's search ("Reducing the gate count of bitslice DES", 2000), from many random starts over a
//! pool of partial circuits.
//!
//! To make a target where a mask cares: take a wire that is it; else one new gate; else two; else
//! split on an input bit, make the target on one side, correct it on the other, and join. Kwan adds
//! outputs in a fixed order; here a pool keeps the smallest circuits seen for each *set* of
//! outputs, and each step extends a random one of them by a random output, within the size of the
//! best of its set.

mod pool;
mod three;
mod two;
mod wires;

pub use pool::{Outcome, Pool};
pub use wires::Basis;
