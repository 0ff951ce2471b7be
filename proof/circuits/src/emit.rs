//! Circuits as the Rust code that crates/cipher compiles.

use crate::circuit::{Circuit, INPUTS};
use crate::round::{Line, Place, Plan, round};
use crate::search::Basis;
use crate::tables::of_zero;

/// Portable code for all eight, of gates of two inputs.
pub fn source(circuits: &[Circuit; 8]) -> String {
    let zeros: Vec<_> = (0..8).map(|sbox| of_zero(sbox).to_string()).collect();
    let mut text = format!(
        "//! S1 to S8 with gates of two inputs, {:.2} on average: `S(x) ^ S(0)`. Written by `cargo xtask circuits write`.\n\n\
         /// `S(0)` of each, which these circuits leave out; the first output is the most significant bit.\n\
         pub(super) const OF_ZERO: [u8; 8] = [{}];\n",
        average(circuits),
        zeros.join(", ")
    );
    for (number, circuit) in (1..).zip(circuits) {
        text += &format!(
            "\n/// S{number}, {} gates.\n#[inline(always)]\npub(super) fn s{number}([w0, w1, w2, w3, w4, w5]: [u64; 6]) -> [u64; 4] {{\n{}}}\n",
            circuit.gates.len(),
            two(circuit),
        );
    }
    text
}

/// A round as a macro that gives assembly, for lanes and key lanes of any width.
pub fn assembly(basis: Basis, circuits: &[Circuit; 8]) -> String {
    let (name, gates, plan) = match basis {
        Basis::Two => ("two", "AVX2: gates of two inputs", &PLAN_OF_TWO),
        Basis::Three => ("three", "AVX-512: gates of three inputs", &PLAN_OF_THREE),
    };
    let round = round(basis, circuits, plan);
    let slots = round.iter().filter(|line| matches!(line, Line::Spill { .. })).count();
    let lines: String =
        round.iter().map(|line| format!("            {}\n", assembly_line(basis, line))).collect();
    format!(
        "//! Long because it is a round, instruction by instruction. {gates}, {:.2} an S-box. Written by `cargo xtask circuits write`.\n\n\
         /// Lanes that it puts aside.\npub(super) const SLOTS: usize = {slots};\n\n\
         /// A round. `$v` is the registers' letter, `$lane` a lane's bytes; `$load` loads a key lane of `$key` bytes.\n\
         #[rustfmt::skip]\nmacro_rules! round_of_{name} {{\n    ($v:literal, $lane:literal, $load:literal, $key:literal) => {{\n        \
         concat!(\n{lines}        )\n    }};\n}}\n\npub(super) use round_of_{name};\n",
        average(circuits),
    )
}

/// `a = b ^ c` in Intel's order; `$v` before each register's number. Names of what the assembly is given are rounds.rs's.
fn assembly_line(basis: Basis, line: &Line) -> String {
    let (suffix, whole) = match basis {
        Basis::Two => ("", "vmovdqu"),
        Basis::Three => ("q", "vmovdqu64"),
    };
    let memory =
        |base: &str, size: &str, at: usize| format!("[{{{base}}} + \", ${size}, \" * {at}]");
    let register = |n: usize| format!("\", $v, \"{n}");
    let text = match *line {
        Line::Input { to, bit, key, complement } => {
            let window = if complement { "x" } else { "k" };
            let to = register(to);
            return format!(
                "$load, \" {to}, {}\\n\", \"vpxor{suffix} {to}, {to}, {}\\n\",",
                memory(window, "key", key),
                memory("r", "lane", bit)
            );
        }
        Line::Two { name, to, first, second } => {
            let second = match second {
                Place::Register(second) => register(second),
                Place::Slot(slot) => memory("s", "lane", slot),
            };
            format!("vp{name}{suffix} {}, {}, {second}", register(to), register(first))
        }
        Line::Three { of: [a, b, c], function } => {
            format!("vpternlogq {}, {}, {}, {function:#04x}", register(a), register(b), register(c))
        }
        Line::Copy { to, from } => format!("vmovdqa64 {}, {}", register(to), register(from)),
        Line::Output { from, by, bit } => {
            let from = register(from);
            let [old, new] = ["o", "l"].map(|half| memory(half, "lane", bit));
            return format!(
                "\"vpxor{suffix} {from}, {}, {old}\\n\", \"{whole} {new}, {from}\\n\",",
                register(by)
            );
        }
        Line::Spill { from, slot } => {
            format!("{whole} {}, {}", memory("s", "lane", slot), register(from))
        }
        Line::Reload { to, slot } => {
            format!("{whole} {}, {}", register(to), memory("s", "lane", slot))
        }
    };
    format!("\"{text}\\n\",")
}

fn average(circuits: &[Circuit; 8]) -> f64 {
    circuits.iter().map(|circuit| circuit.gates.len()).sum::<usize>() as f64 / 8.0
}

fn two(circuit: &Circuit) -> String {
    let mut text = String::new();
    for (i, gate) in circuit.gates.iter().enumerate() {
        let [a, b, _] = gate.wires;
        let value = match gate.function & 0b1001_1001 {
            0b1000_0000 => format!("w{a} & w{b}"),
            0b0001_0000 => format!("w{a} & !w{b}"),
            0b0000_1000 => format!("w{b} & !w{a}"),
            0b1001_1000 => format!("w{a} | w{b}"),
            _ => format!("w{a} ^ w{b}"),
        };
        text += &format!("    let w{} = {value};\n", INPUTS + i);
    }
    text + &outputs(circuit)
}

fn outputs(circuit: &Circuit) -> String {
    let [a, b, c, d] = circuit.outputs;
    format!("    [w{a}, w{b}, w{c}, w{d}]\n")
}

const PLAN_OF_TWO: Plan =
    Plan { order: [3, 2, 0, 1, 7, 4, 6, 5], distance: 25.0, width: 2, latency: 2, seed: 5744 };
const PLAN_OF_THREE: Plan =
    Plan { order: [7, 2, 0, 1, 6, 3, 5, 4], distance: 8.0, width: 2, latency: 2, seed: 58323 };
