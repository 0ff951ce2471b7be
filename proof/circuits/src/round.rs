//! A whole round, as an order of instructions and with registers given: what the compiler does not
//! find.
//!
//! An S-box is deep and narrow, so a processor needs two or more in flight. It looks ahead some 64
//! vector instructions; beyond that the order must do it. Of each half, one S-box's outputs go to
//! all but two of the next round's, so the order of S-boxes matters too.
//!
//! VPTERNLOG overwrites an operand. Zen 4 copies a register by renaming it, for nothing, but a
//! VPTERNLOG that overwrites such a copy takes two slots (measured). So the register an operand was
//! computed in is overwritten, and who needs that operand later reads the copy.

mod order;
mod registers;

use crate::circuit::Circuit;
use crate::search::Basis;
use crate::tables::{expanded, permuted};

/// In which order, and how S-boxes overlap. Found by measuring some hundred of them; nothing but
/// speed depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// S-boxes, 0 to 7, each once: all of them, or some.
    pub order: &'static [usize],
    /// An S-box is due so many steps after the one before.
    pub distance: f64,
    /// Gates a step.
    pub width: usize,
    /// Steps until a gate's output is there.
    pub latency: usize,
    /// Of gates that are due at about the same time, this decides which is first.
    pub seed: u64,
    /// The outputs that are asked for, of each S-box, a bit each; the lowest is the first output.
    /// Gates that only others need are left out.
    pub outputs: [u8; 8],
}

impl Plan {
    /// The outputs that S-boxes `readers` of the next round read.
    pub fn for_readers(self, readers: &[usize]) -> Self {
        let mut outputs = [0; 8];
        for bit in readers.iter().flat_map(|sbox| (0..6).map(|i| expanded(*sbox, i))) {
            let output = (0..32).find(|output| permuted(*output) == bit).unwrap_or(0);
            outputs[output / 4] |= 1 << (output % 4);
        }
        Self { outputs, ..self }
    }
}

/// All outputs of all S-boxes.
pub const ALL_OUTPUTS: [u8; 8] = [0b1111; 8];

/// One instruction, or two that belong together. Registers and spill slots are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// `register = key ^ right[bit]`; the key's place in a window, of complements or not.
    Input {
        /// Register.
        to: usize,
        /// Bit of the right half.
        bit: usize,
        /// The key's place.
        key: usize,
        /// From the window of complements, in those rounds that have one.
        complement: bool,
    },
    /// A gate of two inputs that is an instruction. The second may come from a spill slot.
    Two {
        /// `and`, `andn` (of the first's complement), `or`, `xor`.
        name: &'static str,
        /// Register.
        to: usize,
        /// Register.
        first: usize,
        /// Register or slot.
        second: Place,
    },
    /// VPTERNLOG; the first register is overwritten.
    Three {
        /// Registers.
        of: [usize; 3],
        /// Bit `4a + 2b + c`.
        function: u8,
    },
    /// Register to register.
    Copy {
        /// Register.
        to: usize,
        /// Register.
        from: usize,
    },
    /// `left[bit] = register ^ left[bit]`; the register is overwritten.
    Output {
        /// Register.
        from: usize,
        /// Register, may be the same.
        by: usize,
        /// Bit of the left half.
        bit: usize,
    },
    /// Register to slot.
    Spill {
        /// Register.
        from: usize,
        /// Slot.
        slot: usize,
    },
    /// Slot to register.
    Reload {
        /// Register.
        to: usize,
        /// Slot.
        slot: usize,
    },
}

/// Where an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A register.
    Register(usize),
    /// A spill slot.
    Slot(usize),
}

/// The lines of a round by `plan`.
pub fn round(basis: Basis, circuits: &[Circuit; 8], plan: &Plan) -> Vec<Line> {
    let (ops, values) = order::ops(circuits, plan);
    let registers = match basis {
        Basis::Two => 16,
        Basis::Three => 32,
    };
    registers::allocate(&ops, values, registers)
}

/// One step of a round on *values*, which are numbered and written once.
#[derive(Clone, Copy, Debug)]
enum Op {
    Input { to: usize, sbox: usize, input: usize },
    Gate { to: usize, of: [usize; 3], function: u8 },
    Output { from: usize, output: usize },
}

impl Op {
    fn reads(&self) -> &[usize] {
        match self {
            Self::Input { .. } => &[],
            Self::Gate { of, .. } => of,
            Self::Output { from, .. } => core::slice::from_ref(from),
        }
    }
}

/// A gate of two inputs that has an instruction, which overwrites nothing: its name, and its
/// operands in order.
fn two_inputs([a, b, c]: [usize; 3], function: u8) -> Option<(&'static str, [usize; 2])> {
    let value = |row: usize| function >> row & 1;
    let ignores = |bit: usize| (0..8).all(|row| value(row) == value(row ^ bit));
    let (x, y, rows) = if b == c {
        (a, b, [0, 3, 4, 7])
    } else if ignores(1) {
        (a, b, [0, 2, 4, 6])
    } else if ignores(2) {
        (a, c, [0, 1, 4, 5])
    } else if ignores(4) {
        (b, c, [0, 1, 2, 3])
    } else {
        return None;
    };
    match rows.map(value) {
        [0, 0, 0, 1] => Some(("and", [x, y])),
        [0, 1, 1, 1] => Some(("or", [x, y])),
        [0, 1, 1, 0] => Some(("xor", [x, y])),
        [0, 1, 0, 0] => Some(("andn", [x, y])),
        [0, 0, 1, 0] => Some(("andn", [y, x])),
        _ => None,
    }
}
