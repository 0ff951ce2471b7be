//! P-17: opcodes that do not exist or are not due, and frames longer than their place allows.

use ddes_session::v2::{Fault, ServerEnd};
use ddes_wire::frame::{Header, Opcode, TooLong};
use ddes_wire::v2::Reason;

use crate::world::{Client, SUITE, Server, frame};

#[test]
fn anything_but_a_10_in_the_first_place_is_refused_in_the_clear() {
    for opcode in [0, 11, 20, 30, 40, 50, u32::MAX] {
        let mut server = Server::new();
        server.give(&frame(opcode, &[2; 258]));
        assert_eq!(server.rejection().reason, Reason::Protocol);
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Opcode { opcode })));
    }
}

#[test]
fn a_second_hello_in_the_place_of_the_proof_is_refused() {
    for opcode in [20, 30, 40, 50] {
        let mut server = Server::new();
        let mut client = Client::meet(&mut server, SUITE);
        server.give(&frame(opcode, &[0; 112]));
        assert_eq!(client.heard(&mut server), (vec![], Some(Reason::Protocol)));
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Opcode { opcode })));
    }
}

#[test]
fn a_record_of_an_opcode_that_is_not_due_ends_the_session() {
    for opcode in [Opcode::KeyVerification, Opcode::SessionToken, Opcode::EncryptedResult] {
        let mut server = Server::new();
        let mut client = Client::join(&mut server, 3);
        server.give(&client.seal(opcode, b"authentic, and out of order"));
        assert_eq!(client.heard(&mut server), (vec![], Some(Reason::Protocol)));
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Opcode { opcode: opcode.number() })));
    }
}

#[test]
fn lengths_are_refused_on_sight_of_the_header() {
    let header = |opcode: u32, length: u32| Header { opcode, length }.encode();
    let mut server = Server::new();
    server.give(&header(10, u32::MAX));
    assert_eq!(
        server.end,
        Some(ServerEnd::Fault(Fault::TooLong(TooLong { length: u32::MAX, most: 1698 })))
    );
    let mut server = Server::new();
    Client::meet(&mut server, SUITE);
    server.give(&header(10, 113));
    assert_eq!(
        server.end,
        Some(ServerEnd::Fault(Fault::TooLong(TooLong { length: 113, most: 112 })))
    );
    let mut server = Server::new();
    Client::join(&mut server, 3);
    server.give(&header(30, 65_536));
    assert_eq!(
        server.end,
        Some(ServerEnd::Fault(Fault::TooLong(TooLong { length: 65_536, most: 65_535 })))
    );
}
