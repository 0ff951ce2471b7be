//! The assembly that is written, carried out instruction by instruction here, against FIPS 46-3's
//! tables: also on a machine whose processor lacks the instructions.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::collections::HashMap;
use std::path::Path;

use ddes_circuits::search::Basis;
use ddes_circuits::{Circuit, SBOXES, assembly, assembly_of_each, assembly_of_part, of_zero};

const P: [usize; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19,
    13, 30, 6, 22, 11, 4, 25,
];
const PC2: [usize; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52,
    31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

fn found(folder: &str) -> [Circuit; 8] {
    std::array::from_fn(|sbox| {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("found/{folder}/s{}.txt", sbox + 1));
        std::fs::read_to_string(path).unwrap().parse().unwrap()
    })
}

/// Registers, and lanes of memory by the name of their base and their place.
#[derive(Default)]
struct Machine {
    registers: HashMap<String, u64>,
    memory: HashMap<(char, usize), u64>,
}

impl Machine {
    /// Lines of a macro: strings, and the names of what it is given.
    fn run(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| line.contains(r"\n")) {
            let mut code = String::new();
            for (i, piece) in line.split('"').enumerate() {
                code += if i % 2 == 1 { piece } else { piece.trim_matches([',', ' ']) };
            }
            let instructions = code.split(r"\n").filter(|one| !one.is_empty());
            instructions.filter(|one| !one.starts_with('#')).for_each(|one| self.step(one));
        }
    }

    fn step(&mut self, instruction: &str) {
        let (name, operands) = instruction.split_once(' ').unwrap();
        let operands: Vec<&str> = operands.split(", ").map(str::trim).collect();
        let read = |operand: &str| match place(operand) {
            Some(place) => self.memory[&place],
            None => self.registers[operand],
        };
        let value = match (name.trim_end_matches('q'), &operands[..]) {
            ("$load" | "vmovdqu" | "vmovdqu64" | "vmovdqa64", [_, from]) => read(from),
            ("vpxor", [_, a, b]) => read(a) ^ read(b),
            ("vpand", [_, a, b]) => read(a) & read(b),
            ("vpor", [_, a, b]) => read(a) | read(b),
            ("vpandn", [_, a, b]) => !read(a) & read(b),
            ("vpternlog", [a, b, c, function]) => {
                let function = u8::from_str_radix(function.trim_start_matches("0x"), 16).unwrap();
                let pick = |bit: u8, value: u64| if bit == 0 { !value } else { value };
                let rows = (0..8_u8).filter(|row| function >> row & 1 == 1);
                let [a, b, c] = [a, b, c].map(|operand| read(operand));
                rows.fold(0, |sum, row| {
                    sum | pick(row & 4, a) & pick(row & 2, b) & pick(row & 1, c)
                })
            }
            _ => panic!("{instruction}"),
        };
        match place(operands[0]) {
            Some(place) => self.memory.insert(place, value),
            None => self.registers.insert(operands[0].to_owned(), value),
        };
    }
}

/// `[{r} + $lane * 7]`.
fn place(operand: &str) -> Option<(char, usize)> {
    let inside = operand.strip_prefix("[{")?.strip_suffix(']')?;
    Some((inside.chars().next()?, inside.rsplit(' ').next()?.parse().ok()?))
}

/// What is written of the new half must be the old one XORed with f, where `asks` says so.
fn check(text: &str, asks: impl Fn(usize) -> bool) {
    let mut rng = fastrand::Rng::with_seed(1);
    for complemented in [false, true] {
        let mut machine = Machine::default();
        for (base, count) in [('k', 112), ('r', 32), ('o', 32)] {
            machine.memory.extend((0..count).map(|at| ((base, at), rng.u64(..))));
        }
        for at in 0..112 {
            let key = machine.memory[&('k', at)];
            machine.memory.insert(('x', at), if complemented { !key } else { key });
        }
        machine.run(text);
        for (bit, output) in P.into_iter().enumerate() {
            let is = machine.memory.get(&('l', bit));
            let should = expected(&machine, output - 1, complemented);
            assert_eq!(is, asks(bit).then_some(&should), "bit {bit}, {complemented}");
        }
    }
}

/// A bit of the new half by the tables: S-box output `output`, without S(0), on the old half.
fn expected(machine: &Machine, output: usize, complemented: bool) -> u64 {
    let (sbox, at) = (output / 4, P.iter().position(|from| from - 1 == output).unwrap());
    let lane = |lane: usize| {
        let x = (0..6).fold(0, |x, i| {
            let (bit, place) = ((4 * sbox + i + 31) % 32, PC2[6 * sbox + i] - 1);
            let key = machine.memory[&('k', place / 28 * 56 + place % 28)];
            let from = P[bit] - 1;
            let is_complemented = complemented && of_zero(from / 4) >> (3 - from % 4) & 1 == 1;
            let value = (machine.memory[&('r', bit)] ^ key) >> lane & 1;
            x << 1 | (value ^ u64::from(is_complemented)) as usize
        });
        let value = SBOXES[sbox][(x >> 4 & 2) | (x & 1)][x >> 1 & 15] ^ of_zero(sbox);
        u64::from(value >> (3 - output % 4) & 1) << lane
    };
    machine.memory[&('o', at)] ^ (0..64).map(lane).sum::<u64>()
}

#[test]
fn a_round_in_assembly_is_the_tables() {
    for (basis, folder) in [(Basis::Two, "two"), (Basis::Three, "three")] {
        check(&assembly(basis, &found(folder)), |_| true);
    }
}

/// S1 to S3 of the next round read bit 31 and bits 0 to 12.
#[test]
fn a_part_of_a_round_in_assembly_is_what_the_next_s_boxes_read_and_no_more() {
    for (basis, folder) in [(Basis::Two, "two"), (Basis::Three, "three")] {
        check(&assembly_of_part(basis, &found(folder)), |bit| bit == 31 || bit <= 12);
    }
}

#[test]
fn each_s_box_in_assembly_is_its_table() {
    for (basis, folder) in [(Basis::Two, "two"), (Basis::Three, "three")] {
        let text = assembly_of_each(basis, &found(folder));
        let arms: Vec<&str> = text.split(", $v:literal").collect();
        assert_eq!(arms.len(), 9);
        for (sbox, arm) in arms[1..].iter().enumerate() {
            check(arm, |bit| (P[bit] - 1) / 4 == sbox);
        }
    }
}
