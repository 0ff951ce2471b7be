//! P-03, P-04: what is wrong with a first message is found before anything is computed for it.

use ddes_ffdhe::{Group, NamedGroup, PublicValueError};
use ddes_session::v2::kem::{KemError, PUBLIC_BYTES};
use ddes_session::v2::noise::NoiseError;
use ddes_session::v2::{Fault, ServerEnd};
use ddes_wire::v2::{GroupSize, Hello, Reason, Suite};

use crate::world::{Server, frame};

const SUITE: Suite = Suite::Hybrid(GroupSize::Bits2048);

/// How a server ends that is sent this, without work for anybody; `None` if it has some.
fn verdict(public: &[u8], kem: &[u8]) -> Option<Fault> {
    let mut server = Server::new();
    let body = Hello { suite: SUITE, noise: &[public, kem].concat() }.encode();
    server.session.handle_bytes(server.now, &frame(10, &body));
    if server.session.poll_work().is_some() {
        return None;
    }
    server.give(&[]);
    assert_eq!(server.rejection().reason, Reason::Protocol);
    match server.end {
        Some(ServerEnd::Fault(fault)) => Some(fault),
        end => panic!("{end:?}"),
    }
}

fn prime_and(last: u8) -> Vec<u8> {
    let mut value = Group::named(NamedGroup::Ffdhe2048).prime().to_vec();
    *value.last_mut().unwrap() = last;
    value
}

#[test]
fn a_public_value_outside_2_to_p_minus_2_costs_no_exponentiation() {
    let small = |last: u8| [&[0; 255][..], &[last]].concat();
    let range = Some(Fault::Handshake(NoiseError::Dh(PublicValueError::Range)));
    // The prime ends in 0xff.
    for value in [small(0), small(1), prime_and(0xfe), prime_and(0xff), vec![0xff; 256]] {
        assert_eq!(verdict(&value, &[0; PUBLIC_BYTES]), range, "{:?}", &value[250..]);
    }
    for value in [small(2), prime_and(0xfd)] {
        assert_eq!(verdict(&value, &[0; PUBLIC_BYTES]), None);
    }
}

#[test]
fn an_ml_kem_key_with_a_coefficient_of_q_or_more_costs_no_encapsulation() {
    let with_first = |coefficient: u16| {
        let mut key = [0; PUBLIC_BYTES];
        let [low, high] = coefficient.to_le_bytes();
        (key[0], key[1]) = (low, high);
        key
    };
    assert_eq!(verdict(&[3; 256], &with_first(3328)), None);
    for coefficient in [3329, 4095] {
        let key = Some(Fault::Handshake(NoiseError::Kem(KemError::Key)));
        assert_eq!(verdict(&[3; 256], &with_first(coefficient)), key, "{coefficient}");
    }
}
