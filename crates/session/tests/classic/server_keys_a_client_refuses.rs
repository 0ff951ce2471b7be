//! C-06 to C-08, seen from the client: weak or forged groups cost it nothing but the session.

use std::time::Instant;

use ddes_ffdhe::{GroupError, PublicValueError};
use ddes_session::classic::{ClientEnd, ClientEvent, ClientFault, JoinError};
use ddes_wire::classic::{DhKeyError, DhPublicKey};

use crate::a_client_round::client;
use crate::world::{group, raw};

/// The fault a client finds in a server's key. It sends nothing.
fn fault_of(body: &[u8]) -> ClientFault {
    let now = Instant::now();
    let mut client = client(now);
    client.handle_bytes(now, &raw(10, body));
    if let Some(work) = client.poll_work() {
        client.handle_done(now, work.run());
    }
    assert!(client.pending().is_empty());
    loop {
        match client.poll_event() {
            Some(ClientEvent::Ended(ClientEnd::Fault(fault))) => return fault,
            Some(ClientEvent::KeyReceived { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn integer(hex: &str) -> Vec<u8> {
    let hex = hex.trim();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn key(prime: &[u8], public: &[u8]) -> Vec<u8> {
    let key = DhPublicKey { prime: prime.to_vec(), generator: vec![2], public: public.to_vec() };
    key.to_pem().unwrap().into_bytes()
}

#[test]
fn a_prime_of_1024_bits() {
    let short = integer(include_str!("../../../ffdhe/tests/data/short1024.txt"));
    let fault = ClientFault::Join(JoinError::Group(GroupError::TooShort { bits: 1024 }));
    assert_eq!(fault_of(&key(&short, &[9])), fault);
}

#[test]
fn a_prime_that_is_not_safe() {
    let composite = integer(include_str!("../../../ffdhe/tests/data/unsafe2048.txt"));
    assert_eq!(
        fault_of(&key(&composite, &[9])),
        ClientFault::Join(JoinError::Group(GroupError::NotSafePrime))
    );
}

#[test]
fn public_values_out_of_range() {
    let prime = group().prime().to_vec();
    let mut p_minus_1 = prime.clone();
    p_minus_1[255] = 0xfe;
    let mut p_plus_1 = prime.clone();
    p_plus_1[248..].fill(0);
    p_plus_1[247] += 1;
    for public in [vec![0], vec![1], p_minus_1, prime.clone(), p_plus_1] {
        let fault = ClientFault::Join(JoinError::PublicValue(PublicValueError::Range));
        assert_eq!(fault_of(&key(&prime, &public)), fault);
    }
}

#[test]
fn pem_garbage() {
    assert_eq!(fault_of(b"garbage"), ClientFault::Key(DhKeyError::Pem));
}
