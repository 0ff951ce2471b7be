//! C-01: opcodes that do not exist, or not here. C-05 before the key, C-16 after it.

use ddes_session::classic::{Fault, ServerEnd};

use crate::world::{Peer, Server, farewell, raw};

#[test]
fn anything_but_a_key_in_the_keys_place_ends_the_session() {
    for opcode in [0, 20, 30, 40, 11, u32::MAX] {
        let mut server = Server::new();
        Peer::offer(&mut server);
        server.give(&raw(opcode, b"x"));
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::ExpectedKey { opcode })));
        assert_eq!(
            server.take(),
            [farewell("Error: Expected key verification. Connection terminated.")]
        );
    }
}

#[test]
fn unknown_and_misplaced_opcodes_are_ignored_in_a_session() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    let ignored = [0, 10, 20, 40, 31, u32::MAX];
    for opcode in ignored {
        server.give(&raw(opcode, b"hello"));
    }
    server.give(&raw(30, b""));
    assert_eq!(server.ignored, [&ignored[..], &[30]].concat());
    assert!(server.take().is_empty());
    server.give(&raw(30, &peer.data(42)));
    assert_eq!(peer.keys.sum(&server.take()[1].1), "42");
}
