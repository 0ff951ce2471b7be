//! C-06 to C-08: keys a server refuses.

use ddes_ffdhe::{Group, NamedGroup, PublicValueError};
use ddes_session::classic::{Fault, ServerEnd};
use ddes_wire::classic::{DhKeyError, DhPublicKey};

use crate::world::{Peer, Server, farewell, raw};

/// What a server says of that body in the key's place.
fn verdict(body: &[u8]) -> Fault {
    let mut server = Server::new();
    Peer::offer(&mut server);
    server.give(&raw(10, body));
    assert_eq!(server.take(), [farewell("Error: Invalid public key. Connection terminated.")]);
    match server.end {
        Some(ServerEnd::Fault(fault)) => fault,
        other => panic!("ended as {other:?}"),
    }
}

fn key_with(change: impl FnOnce(&mut DhPublicKey)) -> Vec<u8> {
    let mut key = Peer::offer(&mut Server::new());
    change(&mut key);
    key.to_pem().unwrap().into_bytes()
}

#[test]
fn pem_garbage_is_refused() {
    assert_eq!(verdict(b"garbage"), Fault::Key(DhKeyError::Pem));
    assert_eq!(verdict(&[0xff; 8_000]), Fault::Key(DhKeyError::Pem));
    assert_eq!(verdict(b""), Fault::Key(DhKeyError::Pem));
}

#[test]
fn a_key_over_another_group_is_refused() {
    let other = Group::named(NamedGroup::Ffdhe3072);
    assert_eq!(verdict(&key_with(|key| key.prime = other.prime().to_vec())), Fault::OtherGroup);
    assert_eq!(verdict(&key_with(|key| key.generator = vec![5])), Fault::OtherGroup);
}

#[test]
fn public_values_0_1_p_minus_1_p_and_p_plus_1_are_refused() {
    let prime = crate::world::group().prime().to_vec();
    let mut p_minus_1 = prime.clone();
    p_minus_1[255] = 0xfe;
    // p ends in eight bytes ff.
    let mut p_plus_1 = prime.clone();
    p_plus_1[248..].fill(0);
    p_plus_1[247] += 1;
    for public in [vec![0], vec![1], p_minus_1, prime, p_plus_1] {
        let fault = verdict(&key_with(|key| key.public = public));
        assert_eq!(fault, Fault::PublicValue(PublicValueError::Range));
    }
}
