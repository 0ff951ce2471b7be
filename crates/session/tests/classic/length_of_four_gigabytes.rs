//! C-02: a length of 2^32 - 1 is refused on sight of the header, in every state.

use ddes_session::classic::{Fault, ServerEnd};
use ddes_wire::frame::{Header, TooLong};

use crate::world::{Peer, Server, farewell};

fn is_refused(mut server: Server, most: u32) {
    let length = u32::MAX;
    server.give(&Header { opcode: 30, length }.encode());
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::TooLong(TooLong { length, most }))));
    assert_eq!(server.take(), [farewell("Error: Frame too long. Connection terminated.")]);
}

#[test]
fn it_is_refused_instead_of_a_key() {
    let mut server = Server::new();
    Peer::offer(&mut server);
    is_refused(server, 8_192);
}

#[test]
fn it_is_refused_in_a_session() {
    let mut server = Server::new();
    Peer::join(&mut server);
    is_refused(server, 65_536);
}

/// A driver that gives more than it was asked for is told of all that it gave.
#[test]
fn more_bytes_than_a_key_has_are_refused_in_any_pieces() {
    let mut server = Server::new();
    Peer::offer(&mut server);
    server.give(&[&Header { opcode: 10, length: 8_192 }.encode()[..], &[b'x'; 4_000]].concat());
    assert!(server.is_live());
    server.give(&[b'x'; 4_193]);
    let (length, most) = (8 + 4_000 + 4_193, 8_192);
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::TooLong(TooLong { length, most }))));
}
