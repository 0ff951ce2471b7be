//! Each engine against the `des` crate: random keys and blocks, both directions. Keys that differ
//! from lane to lane are in search.rs.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and knows its numbers"
)]

use ddes_cipher::{Block, Des, DesKey, DoubleDes, Engine};
use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// Blocks for each engine and direction; `DDES_ROUNDS` asks for more (10,000,000 by hand).
fn rounds() -> usize {
    std::env::var("DDES_ROUNDS").map_or(20_000, |rounds| rounds.parse().unwrap())
}

fn engines() -> impl Iterator<Item = Engine> {
    Engine::ALL.into_iter().filter(|engine| engine.is_available())
}

fn key(rng: &mut fastrand::Rng) -> DesKey {
    DesKey::new(rng.u64(..).to_be_bytes())
}

fn oracle(key: &DesKey) -> des::Des {
    des::Des::new(key.as_bytes().into())
}

#[test]
fn one_key_and_many_blocks_agree_with_another_implementation() {
    let mut rng = fastrand::Rng::with_seed(4);
    for engine in engines() {
        let mut left = rounds();
        while left > 0 {
            // From one block to a little more than two batches.
            let count = rng.usize(1..1100);
            left = left.saturating_sub(count);
            let key = key(&mut rng);
            let (des, oracle) = (Des::with_engine(&key, engine).unwrap(), oracle(&key));
            let blocks: Vec<Block> = (0..count).map(|_| rng.u64(..).to_be_bytes()).collect();
            let mut expected = blocks.clone();
            expected.iter_mut().for_each(|block| oracle.encrypt_block(block.into()));
            let mut ours = blocks.clone();
            des.encrypt(&mut ours);
            assert_eq!(ours, expected, "{engine:?}, {count} blocks");
            let mut expected = blocks.clone();
            expected.iter_mut().for_each(|block| oracle.decrypt_block(block.into()));
            let mut ours = blocks;
            des.decrypt(&mut ours);
            assert_eq!(ours, expected, "{engine:?}, {count} blocks");
        }
    }
}

#[test]
fn two_passes_are_one_after_the_other() {
    let mut rng = fastrand::Rng::with_seed(5);
    for engine in engines() {
        for count in [1, 6, 63, 64, 65, 255, 256, 257, 511, 512, 513, 1024] {
            let (key1, key2) = (key(&mut rng), key(&mut rng));
            let double = DoubleDes::with_engine(&key1, &key2, engine).unwrap();
            let blocks: Vec<Block> = (0..count).map(|_| rng.u64(..).to_be_bytes()).collect();
            let mut expected = blocks.clone();
            for block in &mut expected {
                oracle(&key1).encrypt_block(block.into());
                oracle(&key2).encrypt_block(block.into());
            }
            let mut ours = blocks.clone();
            double.encrypt(&mut ours);
            assert_eq!(ours, expected, "{engine:?}, {count} blocks");
            double.decrypt(&mut ours);
            assert_eq!(ours, blocks, "{engine:?}, {count} blocks");
        }
    }
}

/// Counter mode's blocks: those that begin where a batch does have a way of their own.
#[test]
fn counters_are_encrypted_as_blocks_that_hold_them() {
    let mut rng = fastrand::Rng::with_seed(10);
    for engine in engines() {
        for _ in 0..rounds().div_ceil(1000) {
            let double = DoubleDes::with_engine(&key(&mut rng), &key(&mut rng), engine).unwrap();
            let first = rng.u64(..) & !0 << rng.u32(..17);
            let mut blocks = vec![[9; 8]; rng.usize(1..1100)];
            let mut expected: Vec<Block> =
                (0..blocks.len() as u64).map(|i| first.wrapping_add(i).to_be_bytes()).collect();
            double.encrypt(&mut expected);
            double.encrypt_counters(first, &mut blocks);
            assert_eq!(blocks, expected, "{engine:?}, {} from {first}", blocks.len());
        }
    }
}

#[test]
fn parity_bits_change_nothing() {
    let mut rng = fastrand::Rng::with_seed(8);
    for engine in engines() {
        let one = key(&mut rng);
        let other = DesKey::new(one.as_bytes().map(|byte| byte ^ 1));
        let mut blocks = [[[3; 8]], [[3; 8]]];
        Des::with_engine(&one, engine).unwrap().encrypt(&mut blocks[0]);
        Des::with_engine(&other, engine).unwrap().encrypt(&mut blocks[1]);
        assert_eq!(blocks[0], blocks[1]);
    }
}

/// FIPS 74: under a weak key encrypting twice is nothing.
#[test]
fn weak_keys_undo_themselves() {
    for engine in engines() {
        for key in [
            0x0101_0101_0101_0101,
            0xfefe_fefe_fefe_fefe,
            0xe0e0_e0e0_f1f1_f1f1,
            0x1f1f_1f1f_0e0e_0e0e_u64,
        ] {
            let key = DesKey::new(key.to_be_bytes());
            let mut blocks = [[0x5a; 8], [0xc3; 8]];
            DoubleDes::with_engine(&key, &key, engine).unwrap().encrypt(&mut blocks);
            assert_eq!(blocks, [[0x5a; 8], [0xc3; 8]]);
        }
    }
}

/// `E(!k, !m) = !E(k, m)`.
#[test]
fn complementing_key_and_block_complements_the_ciphertext() {
    let mut rng = fastrand::Rng::with_seed(9);
    for engine in engines() {
        let key = key(&mut rng);
        let not = DesKey::new(key.as_bytes().map(|byte| !byte));
        let mut one = [rng.u64(..).to_be_bytes()];
        let mut other = one.map(|block| block.map(|byte| !byte));
        Des::with_engine(&key, engine).unwrap().encrypt(&mut one);
        Des::with_engine(&not, engine).unwrap().encrypt(&mut other);
        assert_eq!(one, other.map(|block| block.map(|byte| !byte)));
    }
}
