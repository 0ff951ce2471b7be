//! Key search on each engine, against the `des` crate: where keys are planted they are found, and
//! nowhere else.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::collections::BTreeSet;

use ddes_cipher::{Block, DesKey, Engine, KeyBlocks, KeySearch, KeySpace, Passes, SearchDirection};
use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// Searches for each engine; `DDES_ROUNDS` asks for more.
fn rounds() -> u64 {
    std::env::var("DDES_ROUNDS").map_or(12, |rounds| rounds.parse().unwrap())
}

fn engines() -> impl Iterator<Item = Engine> {
    Engine::ALL.into_iter().filter(|engine| engine.is_available())
}

fn oracle(key: &DesKey) -> des::Des {
    des::Des::new(key.as_bytes().into())
}

fn encrypted(key: &DesKey, passes: Passes, mut block: Block) -> Block {
    let passes = match passes {
        Passes::One => 1,
        Passes::Two => 2,
    };
    for _ in 0..passes {
        oracle(key).encrypt_block((&mut block).into());
    }
    block
}

/// So many bits, at random places.
fn space(rng: &mut fastrand::Rng, bits: usize) -> KeySpace {
    let mut places: Vec<u32> = (0..56).collect();
    rng.shuffle(&mut places);
    KeySpace::new(rng.u64(..), places[..bits].iter().fold(0, |mask, place| mask | 1 << place))
}

fn found(search: &KeySearch, engine: Engine, space: &KeySpace, slice: u64) -> Vec<u64> {
    let mut found = Vec::new();
    search.scan(engine, space, slice, &mut |number| found.push(number));
    found
}

/// The first key, the last, and any between them; in spaces that are less than a batch, exactly
/// one, and many.
#[test]
fn a_planted_key_is_found_and_no_other() {
    let mut rng = fastrand::Rng::with_seed(6);
    for engine in engines() {
        for passes in [Passes::One, Passes::Two] {
            for bits in [0, 1, 5, 6, 7, 8, 9, 10, 13, 20] {
                let space = space(&mut rng, bits);
                assert_eq!(
                    (space.bits(), space.keys(), space.slices()),
                    (bits as u32, 1 << bits, 1)
                );
                let last = space.keys() - 1;
                for number in [0, last, rng.u64(..=last), rng.u64(..=last)] {
                    let plaintext = rng.u64(..).to_be_bytes();
                    let key = space.key(number);
                    assert!(space.contains(&key));
                    let ciphertext = encrypted(&key, passes, plaintext);
                    let search = KeySearch::new(passes, plaintext, ciphertext);
                    assert!(search.accepts(&key));
                    assert_eq!(
                        found(&search, engine, &space, 0),
                        [number],
                        "{engine:?}, {passes:?}, {bits} bits"
                    );
                }
            }
        }
    }
}

/// Each of a space's slices has its own keys, and all of them are in one.
#[test]
fn the_slices_of_a_larger_space_have_all_keys_once() {
    let mut rng = fastrand::Rng::with_seed(7);
    for engine in engines() {
        for _ in 0..rounds() {
            let space = space(&mut rng, 22);
            assert_eq!((space.slices(), space.slice_keys()), (4, 1 << 20));
            let number = rng.u64(..space.keys());
            let plaintext = rng.u64(..).to_be_bytes();
            let ciphertext = encrypted(&space.key(number), Passes::One, plaintext);
            let search = KeySearch::new(Passes::One, plaintext, ciphertext);
            for slice in 0..4 {
                let expected: &[u64] = if slice == number >> 20 { &[number] } else { &[] };
                assert_eq!(found(&search, engine, &space, slice), expected, "{engine:?}");
            }
        }
    }
}

/// Two passes of a weak key are nothing, for any block (FIPS 74). Two of the four differ in 28
/// bits: of the keys between them, the first and the last number are matches.
#[test]
fn every_match_is_found() {
    let weak = [0x0101_0101_0101_0101, 0xe0e0_e0e0_f1f1_f1f1_u64];
    let [zero, other] = weak.map(|key| DesKey::new(key.to_be_bytes()));
    let space = KeySpace::around(&zero, other.bits());
    assert_eq!((space.bits(), zero.bits()), (28, 0));
    let search = KeySearch::new(Passes::Two, [0x5a; 8], [0x5a; 8]);
    for engine in engines() {
        assert_eq!(found(&search, engine, &space, 0), [0], "{engine:?}");
        assert_eq!(found(&search, engine, &space, 255), [(1 << 28) - 1], "{engine:?}");
        assert_eq!(found(&search, engine, &space, 100), [0; 0], "{engine:?}");
    }
}

/// The blocks of every key, in any order, against the other implementation; equal on all engines.
#[test]
fn the_blocks_of_a_slice_are_those_of_its_keys() {
    let mut rng = fastrand::Rng::with_seed(8);
    for engine in engines() {
        for bits in [0, 3, 6, 8, 9, 12] {
            let (space, block) = (space(&mut rng, bits), rng.u64(..).to_be_bytes());
            for direction in [SearchDirection::Encrypt, SearchDirection::Decrypt] {
                let mut numbers = BTreeSet::new();
                let blocks = KeyBlocks::new(direction, block);
                blocks.of_slice(engine, &space, 0, &mut |first, results| {
                    for (number, result) in (first..).zip(results) {
                        let (oracle, mut expected) = (oracle(&space.key(number)), block);
                        match direction {
                            SearchDirection::Encrypt => {
                                oracle.encrypt_block((&mut expected).into());
                            }
                            SearchDirection::Decrypt => {
                                oracle.decrypt_block((&mut expected).into());
                            }
                        }
                        assert_eq!(*result, expected, "{engine:?}, {direction:?}, {number}");
                        assert!(numbers.insert(number));
                    }
                });
                assert!(numbers.into_iter().eq(0..space.keys()), "{engine:?}, {bits} bits");
            }
        }
    }
}

#[test]
fn each_number_is_another_key_of_the_space() {
    let mut rng = fastrand::Rng::with_seed(9);
    let space = space(&mut rng, 11);
    let keys: BTreeSet<_> = (0..space.keys()).map(|number| space.key(number).bits()).collect();
    assert_eq!(keys.len(), 1 << 11);
    for key in keys {
        assert_eq!(key & !space.unknown(), space.known());
    }
}

#[test]
fn keys_have_odd_parity_and_their_bits_are_those_of_their_bytes() {
    let mut rng = fastrand::Rng::with_seed(10);
    let all = KeySpace::all();
    assert_eq!((all.bits(), all.keys()), (56, 1 << 56));
    for _ in 0..100 {
        let key = all.key(rng.u64(..));
        assert!(key.as_bytes().iter().all(|byte| byte.count_ones() % 2 == 1));
        let again = (0..56)
            .fold(0_u64, |sum, i| sum | u64::from(key.as_bytes()[i / 7] >> (7 - i % 7) & 1) << i);
        assert_eq!(again, key.bits());
    }
}

/// A space knows nothing of parity, and bits beyond a key are no bits.
#[test]
fn a_space_is_around_a_key_whatever_its_parity() {
    let key = DesKey::new([0x13, 0x34, 0x57, 0x79, 0x9b, 0xbc, 0xdf, 0xf1]);
    let other = DesKey::new(key.as_bytes().map(|byte| byte ^ 1));
    let space = KeySpace::around(&key, 0xff | 0xff << 56);
    assert_eq!(space, KeySpace::around(&other, 0xff));
    assert!(space.contains(&key) && space.contains(&other));
    assert!(!space.contains(&DesKey::new([0; 8])));
    assert_eq!(space.bits(), 8);
}
