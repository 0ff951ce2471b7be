//! Exponentiation against Python's `pow`, and what is refused of a public value.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::collections::BTreeMap;

use ddes_ffdhe::{Exponent, Group, NamedGroup, PublicValue, PublicValueError};

const ALL: [NamedGroup; 3] = [NamedGroup::Ffdhe2048, NamedGroup::Ffdhe3072, NamedGroup::Ffdhe4096];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// p plus a small number, as many bytes as p.
fn near_prime(group: &Group, offset: i16) -> Vec<u8> {
    let mut value = group.prime().to_vec();
    let last = value.last_mut().unwrap();
    let moved = i16::from(*last) + offset;
    if let Ok(byte) = u8::try_from(moved) {
        *last = byte;
        return value;
    }
    // Every prime here ends in eight bytes ff: p + 1 carries out of all of them.
    *last = 0;
    for byte in value.iter_mut().rev().skip(1) {
        let (sum, carried) = byte.overflowing_add(1);
        *byte = sum;
        if !carried {
            break;
        }
    }
    value
}

#[test]
fn public_and_shared_values_are_those_of_python() {
    let cases: Vec<BTreeMap<_, _>> = include_str!("data/agreement.txt")
        .split("\n\n")
        .map(|case| {
            case.lines()
                .filter(|l| !l.starts_with('#'))
                .filter_map(|l| l.split_once(": "))
                .collect()
        })
        .filter(|case: &BTreeMap<_, _>| !case.is_empty())
        .collect();
    assert_eq!(cases.len(), 12);
    let mut leading_zeros = 0;
    for case in cases {
        let name = ALL.into_iter().find(|name| name.name() == case["group"]).unwrap();
        let group = Group::named(name);
        let exponent = Exponent::from_entropy(&group, &bytes(case["entropy"]));
        assert_eq!(exponent.public_value().as_bytes(), bytes(case["public"]), "{}", case["name"]);
        let peer = PublicValue::received_exact(&group, &bytes(case["peer"])).unwrap();
        let shared = exponent.agree(&peer).unwrap();
        assert_eq!(shared.as_bytes(), bytes(case["expect"]), "{}", case["name"]);
        leading_zeros += u32::from(shared.as_bytes()[0] == 0);
    }
    assert_eq!(leading_zeros, 3, "leading zeros are kept");
}

#[test]
fn both_sides_agree_in_a_received_group() {
    let group = Group::received(&bytes(include_str!("data/fresh2048.txt").trim()), &[2]).unwrap();
    let (alice, bob) =
        (Exponent::from_entropy(&group, &[0x11; 32]), Exponent::from_entropy(&group, &[0x22; 32]));
    let (to_bob, to_alice) = (alice.public_value(), bob.public_value());
    let shared = alice.agree(&to_alice).unwrap();
    assert_eq!(shared.as_bytes(), bob.agree(&to_bob).unwrap().as_bytes());
}

#[test]
fn values_outside_2_to_p_minus_2_are_refused() {
    for name in ALL {
        let group = Group::named(name);
        for refused in [
            vec![],
            vec![0],
            vec![1],
            near_prime(&group, -1),
            near_prime(&group, 0),
            near_prime(&group, 1),
        ] {
            assert_eq!(
                PublicValue::received(&group, &refused),
                Err(PublicValueError::Range),
                "{}",
                name.name()
            );
        }
        for taken in [vec![2], near_prime(&group, -2)] {
            assert!(PublicValue::received(&group, &taken).is_ok(), "{}", name.name());
        }
    }
}

#[test]
fn a_value_of_another_length_than_the_prime_is_refused_where_that_is_asked_for() {
    let group = Group::named(NamedGroup::Ffdhe2048);
    let error = PublicValueError::Length { length: 255, expected: 256 };
    assert_eq!(PublicValue::received_exact(&group, &[7; 255]), Err(error));
    assert!(PublicValue::received_exact(&group, &[7; 256]).is_ok());
}

#[test]
fn an_exponent_of_one_group_does_not_meet_a_value_of_another() {
    let exponent = Exponent::from_entropy(&Group::named(NamedGroup::Ffdhe2048), &[1; 32]);
    let other = PublicValue::received(&Group::named(NamedGroup::Ffdhe3072), &[9]).unwrap();
    assert_eq!(exponent.agree(&other).unwrap_err(), PublicValueError::OtherGroup);
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let exponent = Exponent::from_entropy(&Group::named(NamedGroup::Ffdhe2048), &[0xab; 32]);
    let peer = exponent.public_value();
    assert_eq!(format!("{exponent:?}"), "Exponent(..)");
    assert_eq!(format!("{:?}", exponent.agree(&peer).unwrap()), "SharedSecret(..)");
}
