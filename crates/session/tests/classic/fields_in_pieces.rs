//! C-03: every byte in its own segment.

use crate::world::{Peer, Server, raw};

#[test]
fn every_byte_may_come_alone() {
    let mut server = Server::new();
    let offer = Peer::offer(&mut server);
    let (pem, keys) = Peer::answer(&offer);
    let give_bytewise = |server: &mut Server, bytes: &[u8]| {
        for byte in bytes {
            server.give(&[*byte]);
        }
    };
    give_bytewise(&mut server, &raw(10, &pem));
    let token = ddes_cipher::ecb::open(&keys.token_cipher(), &server.take()[0].1).unwrap();
    let peer = Peer { keys, token };
    give_bytewise(&mut server, &raw(30, &peer.data(42)));
    assert_eq!(peer.keys.sum(&server.take()[1].1), "42");
}
