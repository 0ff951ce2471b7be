//! C-14: authentic, but not decryptable: a warning, and the session lives.

use crate::world::{Peer, Server, raw};

const WARNING: &[u8] = b"Warning: Data tampering detected. Message discarded.";

#[test]
fn bad_padding_and_broken_blocks_are_discarded_and_the_session_lives() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    let mut unpadded = [[0_u8; 8]];
    peer.keys.traffic.encrypt(&mut unpadded);
    for ciphertext in [&unpadded[0][..], &[1; 7], &[1; 33], &[]] {
        server.give(&raw(30, &peer.body(ciphertext)));
        assert_eq!(server.take(), [(30, WARNING.to_vec())], "{} bytes", ciphertext.len());
    }
    assert_eq!((server.warnings, server.counted.len()), (4, 0));
    server.give(&raw(30, &peer.data(42)));
    assert_eq!(peer.keys.sum(&server.take()[1].1), "42");
}
