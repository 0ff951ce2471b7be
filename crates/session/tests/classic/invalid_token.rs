//! C-12.

use ddes_session::classic::{Fault, ServerEnd};

use crate::world::{Peer, Server, farewell, raw};

#[test]
fn a_wrong_token_ends_the_session_and_counts_nothing() {
    for bit in [0, 1, 7, 63, 64, 127] {
        let mut server = Server::new();
        let mut peer = Peer::join(&mut server);
        peer.token[bit / 8] ^= 1 << (bit % 8);
        server.give(&raw(30, &peer.data(42)));
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Token)), "bit {bit}");
        assert_eq!(
            server.take(),
            [farewell("Error: Invalid session token. Connection terminated.")]
        );
        assert!(server.counted.is_empty());
        server.give(&raw(30, &peer.data(1)));
        assert!(server.counted.is_empty(), "nothing is counted after the end");
    }
}

#[test]
fn a_body_too_short_for_a_token_is_a_wrong_token() {
    for length in [1, 31, 47] {
        let mut server = Server::new();
        Peer::join(&mut server);
        server.give(&raw(30, &vec![0; length]));
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Token)), "{length} bytes");
    }
}
