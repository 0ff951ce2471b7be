//! Circuits as the Rust code that crates/cipher compiles.

use crate::circuit::{Circuit, INPUTS};
use crate::round::{ALL_OUTPUTS, Line, Place, Plan, round};
use crate::search::Basis;
use crate::tables::of_zero;

/// Portable code for all eight, of gates of two inputs.
pub fn source(circuits: &[Circuit; 8]) -> String {
    let zeros: Vec<_> = (0..8).map(|sbox| of_zero(sbox).to_string()).collect();
    let mut text = format!(
        "//! S1 to S8 with gates of two inputs, {:.2} on average: `S(x) ^ S(0)`. Written by `cargo xtask circuits write`.\n\n\
         use super::lane::GateLane;\n\n\
         /// `S(0)` of each, which these circuits leave out; the first output is the most significant bit.\n\
         pub(super) const OF_ZERO: [u8; 8] = [{}];\n",
        average(circuits),
        zeros.join(", ")
    );
    for (number, circuit) in (1..).zip(circuits) {
        text += &format!(
            "\n/// S{number}, {} gates.\n#[inline(always)]\npub(super) fn s{number}<G: GateLane>([w0, w1, w2, w3, w4, w5]: [G; 6]) -> [G; 4] {{\n{}}}\n",
            circuit.gates.len(),
            two(circuit),
        );
    }
    text
}

/// A round as a macro that gives assembly, for lanes and key lanes of any width.
pub fn assembly(basis: Basis, circuits: &[Circuit; 8]) -> String {
    let (name, gates) = named(basis);
    let plan = match basis {
        Basis::Two => &PLAN_OF_TWO,
        Basis::Three => &PLAN_OF_THREE,
    };
    let (slots, lines) = lines(basis, &round(basis, circuits, plan));
    format!(
        "//! Long because it is a round, instruction by instruction. {gates}, {:.2} an S-box. Written by `cargo xtask circuits write`.\n\n\
         /// Lanes that it puts aside.\npub(super) const SLOTS: usize = {slots};\n\n\
         /// A round. `$v` is the registers' letter, `$lane` a lane's bytes; `$load` loads a key lane of `$key` bytes.\n\
         #[rustfmt::skip]\nmacro_rules! round_of_{name} {{\n    ($v:literal, $lane:literal, $load:literal, $key:literal) => {{\n        \
         concat!(\n{lines}        )\n    }};\n}}\n\npub(super) use round_of_{name};\n",
        average(circuits),
    )
}

/// The part of a round that S1 to S3 of the next round read, as [`assembly`] gives all of it.
pub fn assembly_of_part(basis: Basis, circuits: &[Circuit; 8]) -> String {
    let (name, gates) = named(basis);
    let plan = match basis {
        Basis::Two => PLAN_OF_PART_OF_TWO,
        Basis::Three => PLAN_OF_PART_OF_THREE,
    };
    let (slots, lines) = lines(basis, &round(basis, circuits, &plan.for_readers(&[0, 1, 2])));
    format!(
        "//! Long because it is most of a round, instruction by instruction. {gates}. Written by `cargo xtask circuits write`.\n\n\
         /// Lanes that it puts aside.\npub(super) const SLOTS: usize = {slots};\n\n\
         /// The bits of a round that S1 to S3 of the next one read. `$v` is the registers' letter, `$lane` a lane's bytes; `$load` loads a key lane of `$key` bytes.\n\
         #[rustfmt::skip]\nmacro_rules! part_of_{name} {{\n    ($v:literal, $lane:literal, $load:literal, $key:literal) => {{\n        \
         concat!(\n            \"# {{k}} {{x}} {{s}}\\n\",\n{lines}        )\n    }};\n}}\n\npub(super) use part_of_{name};\n",
    )
}

/// Each S-box by itself, as [`assembly`] gives all of them.
pub fn assembly_of_each(basis: Basis, circuits: &[Circuit; 8]) -> String {
    let (name, gates) = named(basis);
    let (mut slots, mut arms) = (0, String::new());
    for (sbox, order) in ONE.iter().enumerate() {
        let plan = Plan { order, ..PLAN_OF_ONE };
        let (own, lines) = lines(basis, &round(basis, circuits, &plan));
        slots = slots.max(own);
        arms += &format!(
            "    ({sbox}, $v:literal, $lane:literal, $load:literal, $key:literal) => {{\n        \
             concat!(\n            \"# {{k}} {{x}} {{s}}\\n\",\n{lines}        )\n    }};\n"
        );
    }
    format!(
        "//! Long because it is eight S-boxes, instruction by instruction. {gates}. Written by `cargo xtask circuits write`.\n\n\
         /// Lanes that one puts aside.\npub(super) const SLOTS: usize = {slots};\n\n\
         /// An S-box, 0 to 7. `$v` is the registers' letter, `$lane` a lane's bytes; `$load` loads a key lane of `$key` bytes.\n\
         #[rustfmt::skip]\nmacro_rules! sbox_of_{name} {{\n{arms}}}\n\npub(super) use sbox_of_{name};\n",
    )
}

fn named(basis: Basis) -> (&'static str, &'static str) {
    match basis {
        Basis::Two => ("two", "AVX2: gates of two inputs"),
        Basis::Three => ("three", "AVX-512: gates of three inputs"),
    }
}

/// How many lanes are put aside, and the lines.
fn lines(basis: Basis, round: &[Line]) -> (usize, String) {
    let slots = round.iter().filter(|line| matches!(line, Line::Spill { .. })).count();
    let lines =
        round.iter().map(|line| format!("            {}\n", assembly_line(basis, line))).collect();
    (slots, lines)
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

const PLAN_OF_TWO: Plan = Plan {
    order: &[3, 2, 0, 1, 7, 4, 6, 5],
    distance: 25.0,
    width: 2,
    latency: 2,
    seed: 5744,
    outputs: ALL_OUTPUTS,
};
const PLAN_OF_THREE: Plan = Plan {
    order: &[7, 2, 0, 1, 6, 3, 5, 4],
    distance: 8.0,
    width: 2,
    latency: 2,
    seed: 58323,
    outputs: ALL_OUTPUTS,
};
/// Eight S-boxes that are but half there follow each other sooner.
const PLAN_OF_PART_OF_TWO: Plan = Plan { distance: 17.0, ..PLAN_OF_TWO };
const PLAN_OF_PART_OF_THREE: Plan = Plan { distance: 5.0, ..PLAN_OF_THREE };

/// One S-box; its order comes with it.
const PLAN_OF_ONE: Plan =
    Plan { order: &[], distance: 0.0, width: 2, latency: 2, seed: 1, outputs: ALL_OUTPUTS };
const ONE: [&[usize]; 8] = [&[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7]];
