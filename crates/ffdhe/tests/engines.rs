//! Each engine against crypto-bigint: random and edge exponents and bases, in every named group,
//! and in a received one.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and knows its numbers"
)]

use ddes_ffdhe::{EngineKind, Exponent, Group, NamedGroup, PublicValue};

const NAMES: [NamedGroup; 3] =
    [NamedGroup::Ffdhe2048, NamedGroup::Ffdhe3072, NamedGroup::Ffdhe4096];

/// xorshift64*: a source of variety.
struct Dice(u64);

impl Dice {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut byte = || {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        };
        (0..count).map(|_| byte()).collect()
    }
}

fn engines(group: &Group) -> Vec<(EngineKind, Group)> {
    // Where the processor lacks IFMA or ADX there are fewer engines to hold to the oracle.
    EngineKind::BY_SPEED
        .into_iter()
        .filter_map(|kind| Some((kind, group.with_engine(kind)?)))
        .collect()
}

fn public(group: &Group, entropy: &[u8]) -> Vec<u8> {
    Exponent::from_entropy(group, entropy).public_value().as_bytes().to_vec()
}

fn shared(group: &Group, entropy: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    let base = PublicValue::received(group, base).unwrap();
    Exponent::from_entropy(group, entropy)
        .agree(&base)
        .ok()
        .map(|secret| secret.as_bytes().to_vec())
}

fn check(group: &Group, entropy: &[u8], base: &[u8]) {
    let oracle = group.with_engine(EngineKind::Oracle).unwrap();
    let (expected, agreed) = (public(&oracle, entropy), shared(&oracle, entropy, base));
    for (kind, group) in engines(group) {
        assert_eq!(public(&group, entropy), expected, "{kind:?} {group:?} {entropy:02x?}");
        assert_eq!(
            shared(&group, entropy, base),
            agreed,
            "{kind:?} {group:?} {entropy:02x?} {base:02x?}"
        );
    }
}

/// `p - less`.
fn below(group: &Group, less: u8) -> Vec<u8> {
    let mut bytes = group.prime().to_vec();
    let last = bytes.last_mut().unwrap();
    // RFC 7919's primes end in ff.
    *last -= less;
    bytes
}

#[test]
fn random_exponents_and_bases() {
    // The long form: DDES_ROUNDS=100000 cargo test --release -p ddes-ffdhe --test engines
    let rounds = std::env::var("DDES_ROUNDS").map_or(30, |rounds| rounds.parse().unwrap());
    let mut dice = Dice(7);
    for name in NAMES {
        let group = Group::named(name);
        for _ in 0..rounds {
            let entropy = dice.bytes(group.exponent_len());
            let mut base = dice.bytes(group.prime_len());
            // Below p, whose highest 64 bits are ones.
            base[0] &= 0x7f;
            check(&group, &entropy, &base);
        }
    }
}

#[test]
fn edges_of_exponents_and_bases() {
    for name in NAMES {
        let group = Group::named(name);
        let length = group.exponent_len();
        let mut one_bit = vec![0; length];
        *one_bit.last_mut().unwrap() = 1;
        for entropy in [vec![0; length], vec![0xff; length], vec![0x80; length], one_bit] {
            let full = vec![0x7f; group.prime_len()];
            for base in [vec![2], vec![3], below(&group, 2), below(&group, 3), full, vec![1; 8]] {
                check(&group, &entropy, &base);
            }
        }
    }
}

/// Each limb all ones or all zeros: what carries furthest.
#[test]
fn bases_whose_carries_ripple() {
    let group = Group::named(NamedGroup::Ffdhe2048);
    let entropy = vec![0xff; group.exponent_len()];
    for i in 1..40 {
        let mut base = vec![0xff; 256];
        base[..i * 6].fill(0);
        check(&group, &entropy, &base);
        base.reverse();
        base[0] = 0x7f;
        check(&group, &entropy, &base);
    }
}

#[test]
fn a_received_group_of_a_length_of_its_own_has_an_engine_too() {
    // RFC 3526's group 14 has 2048 bits and ends otherwise; group 15 has 3072.
    let named = Group::named(NamedGroup::Ffdhe2048);
    let other = Group::received(named.prime(), &[5]).unwrap();
    assert_ne!(other, named);
    check(&other, &[0x5a; 32], &[9; 200]);
    assert!(Group::named(NamedGroup::Ffdhe4096).with_engine(EngineKind::Portable).is_some());
}
