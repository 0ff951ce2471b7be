//! What callgrind counts: one operation under secrets made from a seed. `cargo xtask instructions`
//! compares the counts of several seeds.
//!
//! Valgrind knows no AVX-512: on it the engines fall back to AVX2, to MULX and ADX, and to the
//! portable ones, as on a processor without.

use std::hint::black_box;

use ddes_cipher::{CipherKey, DesKey, DoubleDes, Function, Tag};
use ddes_ffdhe::{Exponent, Group, NamedGroup};
use ddes_wire::Token;
use subtle::ConstantTimeEq;

pub(crate) fn run(what: &str, seed: &str) -> Result<(), String> {
    let seed: u8 = seed.parse().map_err(|_| format!("'{seed}' is no seed"))?;
    let mut state = seed;
    let secret: [u8; 32] = std::array::from_fn(|_| {
        state = state.wrapping_mul(141).wrapping_add(89);
        state
    });
    match what {
        "double-des" => {
            let [key1, key2] =
                [0, 8].map(|at| DesKey::new(std::array::from_fn(|i| secret[at + i])));
            let mut blocks = [[5; 8]; 64];
            double_des(&DoubleDes::new(&key1, &key2), &mut blocks);
            black_box(&blocks);
        }
        "ffdhe" => {
            let group = Group::named(NamedGroup::Ffdhe2048);
            let peer = Exponent::from_entropy(&group, &[9; 64]).public_value();
            ffdhe(Exponent::from_entropy(&group, &secret), &peer);
        }
        // What is compared with a secret has one wrong byte: which one, the seed says.
        "tag" => {
            let key = Function::DdesChaCha.key(&[3; 32]);
            let mut text = [5; 42];
            let tag = key.seal(1, b"ad", &mut text).map_err(|error| error.to_string())?;
            open(&key, &mut text, &with_a_wrong_byte(&tag, seed));
        }
        "token" => token(&Token::new([7; 16]), &Token::new(with_a_wrong_byte(&[7; 16], seed))),
        _ => return Err(format!("'{what}' is neither double-des nor ffdhe nor tag nor token")),
    }
    Ok(())
}

/// `right` with the seed-th byte changed, modulo 16.
fn with_a_wrong_byte(right: &[u8; 16], seed: u8) -> [u8; 16] {
    std::array::from_fn(|i| right[i] ^ u8::from(i == usize::from(seed) % 16))
}

/// Encrypts blocks; callgrind counts its instructions.
#[inline(never)]
fn double_des(double: &DoubleDes, blocks: &mut [[u8; 8]]) {
    double.encrypt(blocks);
}

/// Opens one record; callgrind counts its instructions.
#[inline(never)]
fn open(key: &CipherKey, text: &mut [u8], tag: &Tag) {
    black_box(key.open(1, b"ad", text, tag).is_ok());
}

/// Compares two tokens; callgrind counts its instructions.
#[inline(never)]
fn token(ours: &Token, theirs: &Token) {
    black_box(bool::from(ours.ct_eq(theirs)));
}

/// Makes a public value and agrees; callgrind counts its instructions.
#[inline(never)]
fn ffdhe(exponent: Exponent, peer: &ddes_ffdhe::PublicValue) {
    drop(black_box(exponent.public_value()));
    drop(black_box(exponent.agree(peer)));
}
