//! Circuits as the Rust code that crates/cipher compiles.

use std::fmt::Write;

use crate::circuit::{Circuit, Gate, INPUTS};
use crate::search::Basis;
use crate::tables::of_zero;

/// The file for all eight.
pub fn source(basis: Basis, circuits: &[Circuit; 8]) -> String {
    let mut text = head(basis, circuits);
    if basis == Basis::Three {
        let circuits = circuits.each_ref().map(scheduled);
        return text + &(0..4).map(|pair| pair_of_three(2 * pair, &circuits)).collect::<String>();
    }
    for (sbox, circuit) in circuits.iter().map(scheduled).enumerate() {
        let circuit = &circuit;
        let body = two(circuit);
        let number = sbox + 1;
        // Writing to a String does not fail.
        let written = write!(
            text,
            "\n/// S{number}, {} gates.\n#[inline(always)]\npub(super) fn s{number}<L: TwoInputGates>([w0, w1, w2, w3, w4, w5]: [L; 6]) -> [L; 4] {{\n{body}}}\n",
            circuit.gates.len(),
        );
        debug_assert!(written.is_ok());
    }
    text
}

/// The same gates in an order with more independent neighbours: a processor looks ahead some two S-boxes only.
///
/// List scheduling: of the gates whose inputs are there, those first from which the way to an output is longest; two a step.
fn scheduled(circuit: &Circuit) -> Circuit {
    let count = circuit.gates.len();
    let mut height = vec![1_usize; INPUTS + count];
    for (i, gate) in circuit.gates.iter().enumerate().rev() {
        for wire in gate.wires {
            height[wire] = height[wire].max(height[INPUTS + i] + 1);
        }
    }
    // Old wire to new, and the step at whose end a wire is there.
    let mut places: Vec<Option<usize>> =
        (0..INPUTS + count).map(|wire| (wire < INPUTS).then_some(wire)).collect();
    let mut done = vec![0; INPUTS + count];
    let mut gates = Vec::new();
    let mut step = 0;
    while gates.len() < count {
        for _ in 0..2 {
            let ready = (0..count).filter(|i| {
                places[INPUTS + i].is_none()
                    && circuit.gates[*i]
                        .wires
                        .iter()
                        .all(|wire| places[*wire].is_some() && done[*wire] <= step)
            });
            let Some(next) = ready.max_by_key(|i| height[INPUTS + i]) else { break };
            let gate = circuit.gates[next];
            // Known: the filter saw to it.
            let wires = gate.wires.map(|wire| places[wire].unwrap_or(wire));
            places[INPUTS + next] = Some(INPUTS + gates.len());
            done[INPUTS + next] = step + 1;
            gates.push(Gate { wires, ..gate });
        }
        step += 1;
    }
    Circuit { gates, outputs: circuit.outputs.map(|wire| places[wire].unwrap_or(wire)) }
}

fn head(basis: Basis, circuits: &[Circuit; 8]) -> String {
    let gates: usize = circuits.iter().map(|circuit| circuit.gates.len()).sum();
    let average = gates as f64 / 8.0;
    match basis {
        Basis::Two => {
            let zeros: Vec<_> = (0..8).map(|sbox| of_zero(sbox).to_string()).collect();
            format!(
                "//! S1 to S8 with gates of two inputs, {average:.2} on average: `S(x) ^ S(0)`. Written by `cargo xtask circuits write`.\n\n\
                 use super::lane::TwoInputGates;\n\n\
                 /// `S(0)` of each, which these circuits leave out; the first output is the most significant bit.\n\
                 pub(super) const OF_ZERO: [u8; 8] = [{}];\n",
                zeros.join(", ")
            )
        }
        Basis::Three => format!(
            "//! S1 to S8 with gates of three inputs, {average:.2} on average. Written by `cargo xtask circuits write`.\n\n\
             use super::lane::ThreeInputGates;\n"
        ),
    }
}

fn two(circuit: &Circuit) -> String {
    let mut text = String::new();
    for (i, gate) in circuit.gates.iter().enumerate() {
        let [a, b, _] = gate.wires;
        let value = match gate.function & 0b1001_1001 {
            0b1000_0000 => format!("w{a}.and(w{b})"),
            0b0001_0000 => format!("w{a}.and_not(w{b})"),
            0b0000_1000 => format!("w{b}.and_not(w{a})"),
            0b1001_1000 => format!("w{a}.or(w{b})"),
            _ => format!("w{a}.xor(w{b})"),
        };
        text += &format!("    let w{} = {value};\n", INPUTS + i);
    }
    text + &outputs(circuit)
}

/// Two S-boxes, gate by gate in turn. The processor's schedulers see some 64 vector instructions ahead, not two S-boxes' worth, and one S-box alone is bound by its depth.
fn pair_of_three(first: usize, circuits: &[Circuit; 8]) -> String {
    let [one, other] = [first, first + 1].map(|sbox| three(sbox, ["a", "b"][sbox - first], &circuits[sbox]));
    let mut text = String::new();
    for i in 0..one.len().max(other.len()) {
        text.extend([&one, &other].into_iter().filter_map(|lines| lines.get(i)).map(String::as_str));
    }
    let gates = [first, first + 1].map(|sbox| circuits[sbox].gates.len());
    let result = [("a", first), ("b", first + 1)].map(|(name, sbox)| {
        let [o1, o2, o3, o4] = circuits[sbox].outputs;
        format!("[{name}{o1}, {name}{o2}, {name}{o3}, {name}{o4}]")
    });
    let (number, next) = (first + 1, first + 2);
    format!(
        "\n/// S{number} and S{next}, {} and {} gates.\n#[inline(always)]\npub(super) fn s{number}_and_s{next}<L: ThreeInputGates>(\n    \
         [a0, a1, a2, a3, a4, a5]: [L; 6],\n    [b0, b1, b2, b3, b4, b5]: [L; 6],\n) -> [[L; 4]; 2] {{\n{text}    [{}]\n}}\n",
        gates[0],
        gates[1],
        result.join(", "),
    )
}

/// A gate may be any function, so those that are an output of which `S(0)` is 1 are complemented, and what reads them makes up for it.
fn three(sbox: usize, name: &str, circuit: &Circuit) -> Vec<String> {
    let complemented =
        |wire: usize| (0..4).any(|bit| circuit.outputs[bit] == wire && of_zero(sbox) >> (3 - bit) & 1 == 1);
    let line = |(i, gate): (usize, &Gate)| {
        let [a, b, c] = gate.wires;
        // The row that the wires show, where some are complemented, stands for another.
        let shown =
            u8::from(complemented(a)) << 2 | u8::from(complemented(b)) << 1 | u8::from(complemented(c));
        let rows = (0..8_u8).filter(|row| gate.function >> (row ^ shown) & 1 == 1);
        let function = rows.fold(0, |sum: u8, row| sum | 1 << row);
        let function = if complemented(INPUTS + i) { !function } else { function };
        let wire = INPUTS + i;
        format!("    let {name}{wire} = L::gate::<0x{function:02x}>({name}{a}, {name}{b}, {name}{c});\n")
    };
    circuit.gates.iter().enumerate().map(line).collect()
}

fn outputs(circuit: &Circuit) -> String {
    let [a, b, c, d] = circuit.outputs;
    format!("    [w{a}, w{b}, w{c}, w{d}]\n")
}
