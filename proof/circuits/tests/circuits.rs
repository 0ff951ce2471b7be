//! Each circuit against its table, the code that is compiled against its circuit, and the search
//! itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use ddes_circuits::search::{Basis, Outcome, Pool};
use ddes_circuits::{
    Circuit, SBOXES, assembly, assembly_of_each, assembly_of_part, of_zero, source, target,
};

fn found(folder: &str) -> [Circuit; 8] {
    std::array::from_fn(|sbox| {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("found/{folder}/s{}.txt", sbox + 1));
        std::fs::read_to_string(path).unwrap().parse().unwrap()
    })
}

/// For each of the 64 inputs, the four output bits against FIPS 46-3's table.
#[test]
fn each_circuit_is_its_table() {
    for folder in ["two", "three"] {
        for (sbox, circuit) in found(folder).iter().enumerate() {
            let outputs = circuit.tables();
            for x in 0..64 {
                let value = outputs
                    .iter()
                    .fold(0, |value, table| value << 1 | u8::from(table >> x & 1 == 1));
                let (row, column) = ((x >> 4 & 2) | (x & 1), x >> 1 & 15);
                assert_eq!(
                    value ^ of_zero(sbox),
                    SBOXES[sbox][row][column],
                    "{folder} S{} of {x}",
                    sbox + 1
                );
            }
        }
    }
}

#[test]
fn gates_of_two_inputs_are_those_every_processor_has() {
    for gate in found("two").iter().flat_map(|circuit| &circuit.gates) {
        assert!(
            gate.has_two_inputs() && [0x80, 0x10, 0x08, 0x98, 0x18].contains(&gate.function),
            "{gate:?}"
        );
    }
}

/// Found circuits and compiled code belong together: `cargo xtask circuits write`.
#[test]
fn the_code_is_what_the_circuits_say() {
    let (two, three) = (found("two"), found("three"));
    for (file, expected) in [
        ("two", source(&two)),
        ("round_of_two", assembly(Basis::Two, &two)),
        ("round_of_three", assembly(Basis::Three, &three)),
        ("sbox_of_two", assembly_of_each(Basis::Two, &two)),
        ("sbox_of_three", assembly_of_each(Basis::Three, &three)),
        ("part_of_two", assembly_of_part(Basis::Two, &two)),
        ("part_of_three", assembly_of_part(Basis::Three, &three)),
    ] {
        let path = format!("../../crates/cipher/src/bitslice/{file}.rs");
        let code =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        assert!(code == expected, "{file}.rs is not what `cargo xtask circuits write` makes");
    }
}

/// A row of each S-box is a permutation of 0 to 15 (one of its published design criteria): a slip
/// in the tables would break it.
#[test]
fn each_row_of_each_table_is_a_permutation() {
    for row in SBOXES.iter().flatten() {
        let mut sorted = *row;
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..16));
    }
}

#[test]
fn a_search_finds_whole_circuits_that_are_right() {
    for basis in [Basis::Two, Basis::Three] {
        let mut pool = Pool::new(basis, 3, 1);
        let whole = (0..2_000).any(|_| matches!(pool.step(), Outcome::Whole { .. }));
        assert!(whole, "{basis:?}: nothing in 2,000 steps");
        assert_eq!(pool.best().unwrap().tables(), [0, 1, 2, 3].map(|bit| target(3, bit)));
    }
}

#[test]
fn lines_that_are_no_gates_are_refused() {
    for text in ["0 1 6 80", "0 1 1 zz", "0 1", "= 0 1 2 6", "0 1 1 100", "-1 0 0 80"] {
        assert!(text.parse::<Circuit>().is_err(), "{text}");
    }
}
