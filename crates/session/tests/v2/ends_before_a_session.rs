//! P-18: a stream that ends before the server's 20 is a client that is gone, whatever it sent.

use ddes_identity::Namespace;
use ddes_session::Phase;
use ddes_session::v2::{Fault, ServerEnd, ServerEvent};
use ddes_wire::frame::Opcode;

use crate::world::{Client, SUITE, Server, hello, identity};

fn ended(server: &mut Server) -> Option<ServerEnd> {
    std::iter::from_fn(|| server.session.poll_event()).find_map(|event| match event {
        ServerEvent::Ended(end) => Some(end),
        _ => None,
    })
}

#[test]
fn one_that_ends_behind_message_1_is_over_at_once() {
    let mut server = Server::new();
    server.session.handle_bytes(server.now, &hello(SUITE).1);
    let work = server.session.poll_work().unwrap();
    server.session.handle_eof(server.now);
    assert_eq!(ended(&mut server), Some(ServerEnd::Fault(Fault::Truncated)));
    assert_eq!(server.session.phase(), Phase::Done);
    server.session.handle_done(server.now, work.run());
    assert!(server.session.pending().is_empty());
}

#[test]
fn one_that_ends_behind_message_4_is_over_at_once_and_asks_for_nothing() {
    let mut server = Server::new();
    let mut client = Client::meet(&mut server, SUITE);
    let proof = client.proof(&identity(3), Namespace::Client).encode();
    let proof = client.seal(Opcode::KeyVerification, &proof);
    server.session.handle_bytes(server.now, &proof);
    let work = server.session.poll_work().unwrap();
    server.session.handle_eof(server.now);
    server.session.handle_done(server.now, work.run());
    assert_eq!(ended(&mut server), Some(ServerEnd::Fault(Fault::Truncated)));

    // Verified, and then over, before the answer.
    let mut server = Server::new();
    let mut client = Client::meet(&mut server, SUITE);
    let proof = client.proof(&identity(3), Namespace::Client).encode();
    let proof = client.seal(Opcode::KeyVerification, &proof);
    server.session.handle_bytes(server.now, &proof);
    let work = server.session.poll_work().unwrap();
    server.session.handle_done(server.now, work.run());
    assert!(server.session.is_opening());
    server.session.handle_eof(server.now);
    assert!(!server.session.is_opening());
    assert_eq!(ended(&mut server), Some(ServerEnd::Fault(Fault::Truncated)));
}
