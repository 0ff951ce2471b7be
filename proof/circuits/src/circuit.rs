//! A circuit: gates in order, each on earlier wires; and its text form.

use std::fmt;
use std::str::FromStr;

/// Input wires: b1 to b6.
pub const INPUTS: usize = 6;

/// One gate on up to three earlier wires (0 to 5 are the inputs, 6 the first gate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The wires a, b, c. A gate of two inputs repeats b as c.
    pub wires: [usize; 3],
    /// Its value for (a, b, c): bit `4a + 2b + c`, as VPTERNLOG's immediate. Even: gates are
    /// normalised.
    pub function: u8,
}

impl Gate {
    /// Its output for tables or lanes of inputs.
    pub fn evaluate(self, [a, b, c]: [u64; 3]) -> u64 {
        let pick = |bit: u8, wire: u64| if bit == 0 { !wire } else { wire };
        (0..8_u8)
            .filter(|row| self.function >> row & 1 == 1)
            .fold(0, |sum, row| sum | (pick(row & 4, a) & pick(row & 2, b) & pick(row & 1, c)))
    }

    /// Whether c only repeats b.
    pub fn has_two_inputs(self) -> bool {
        self.wires[1] == self.wires[2]
    }
}

/// Gates, and the wires that are the four outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    /// In order of evaluation.
    pub gates: Vec<Gate>,
    /// Wires of the outputs, the first the most significant bit.
    pub outputs: [usize; 4],
}

impl Circuit {
    /// The tables of the four outputs.
    pub fn tables(&self) -> [u64; 4] {
        let mut wires: Vec<u64> = (0..INPUTS).map(input).collect();
        for gate in &self.gates {
            wires.push(gate.evaluate(gate.wires.map(|wire| wires[wire])));
        }
        self.outputs.map(|output| wires[output])
    }
}

/// The table of input `i`: bit x is the bit of x that b(i+1) is.
pub(crate) fn input(i: usize) -> u64 {
    (0..64_u64).map(|x| (x >> (5 - i) & 1) << x).sum()
}

/// One gate a line, `a b c function`, the function in hexadecimal; the last line `= o1 o2 o3 o4`.
impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for gate in &self.gates {
            let [a, b, c] = gate.wires;
            writeln!(f, "{a} {b} {c} {:02x}", gate.function)?;
        }
        let [a, b, c, d] = self.outputs;
        writeln!(f, "= {a} {b} {c} {d}")
    }
}

/// No circuit: a line that is none, or a wire that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is no gate here: {}", self.0)
    }
}

impl FromStr for Circuit {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut circuit = Self { gates: Vec::new(), outputs: [0; 4] };
        for line in text.lines() {
            let wrong = || Malformed(line.to_owned());
            let known = INPUTS + circuit.gates.len();
            let wire =
                |field: &str| field.parse().ok().filter(|wire| *wire < known).ok_or_else(wrong);
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["=", a, b, c, d] => circuit.outputs = [wire(a)?, wire(b)?, wire(c)?, wire(d)?],
                [a, b, c, function] => {
                    let function = u8::from_str_radix(function, 16).map_err(|_| wrong())?;
                    circuit.gates.push(Gate { wires: [wire(a)?, wire(b)?, wire(c)?], function });
                }
                _ => return Err(wrong()),
            }
        }
        Ok(circuit)
    }
}
