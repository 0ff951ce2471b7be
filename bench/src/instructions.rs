//! What callgrind counts: one operation under secrets made from a seed. `cargo xtask instructions` compares the counts of several seeds.
//!
//! Valgrind knows no AVX-512: on it the engines fall back to AVX2, to MULX and ADX, and to the portable ones, as on a processor without.

use std::hint::black_box;

use ddes_cipher::{DesKey, DoubleDes};
use ddes_ffdhe::{Exponent, Group, NamedGroup};

pub(crate) fn run(what: &str, seed: &str) -> Result<(), String> {
    let seed: u8 = seed.parse().map_err(|_| format!("'{seed}' is no seed"))?;
    let mut state = seed;
    let secret: [u8; 32] = std::array::from_fn(|_| {
        state = state.wrapping_mul(141).wrapping_add(89);
        state
    });
    match what {
        "double-des" => {
            let [key1, key2] = [0, 8].map(|at| DesKey::new(std::array::from_fn(|i| secret[at + i])));
            let mut blocks = [[5; 8]; 64];
            double_des(&DoubleDes::new(&key1, &key2), &mut blocks);
            black_box(&blocks);
        }
        "ffdhe" => {
            let group = Group::named(NamedGroup::Ffdhe2048);
            let peer = Exponent::from_entropy(&group, &[9; 64]).public_value();
            ffdhe(Exponent::from_entropy(&group, &secret), &peer);
        }
        _ => return Err(format!("'{what}' is neither double-des nor ffdhe")),
    }
    Ok(())
}

/// Callgrind counts from here on.
#[inline(never)]
fn double_des(double: &DoubleDes, blocks: &mut [[u8; 8]]) {
    double.encrypt(blocks);
}

/// As above.
#[inline(never)]
fn ffdhe(exponent: Exponent, peer: &ddes_ffdhe::PublicValue) {
    drop(black_box(exponent.public_value()));
    drop(black_box(exponent.agree(peer)));
}
