//! The S-boxes of DES as logic circuits: their tables (FIPS 46-3), and what a circuit is.
//!
//! A *table* is a function of the six input bits: bit `x` of a `u64` is its value for the input
//! `x`, the six bits b1…b6 read as a number. Every wire is *normalised*: it is 0 for the input 0. A
//! function and its complement are one wire, so that complements cost nothing: of the gates on
//! normalised wires, five of two inputs are enough (`a & b`, `!a & b`, `a & !b`, `a | b`, `a ^ b`),
//! each one instruction. What a circuit computes is `S(x) ^ S(0)`; who uses it adds `S(0)`.

mod circuit;
mod emit;
pub mod round;
pub mod search;
mod tables;

pub use circuit::{Circuit, Gate, INPUTS, Malformed};
pub use emit::{assembly, assembly_of_each, assembly_of_part, source};
pub use tables::{SBOXES, of_zero, target};
