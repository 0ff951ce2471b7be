//! P-17: before a proof a client's bytes are kept only as far as the handshake can hold them.

use ddes_session::v2::{FIRST_BYTES_MAX, Fault, ServerEnd};
use ddes_wire::frame::Opcode;

use crate::world::{Client, SUITE, Server, frame, hello};

/// Header and body of message 4.
const PROOF_BYTES: usize = 8 + 112;

#[test]
fn a_first_message_is_taken_in_any_pieces_and_no_more_than_the_longest() {
    assert_eq!(FIRST_BYTES_MAX, 8 + 1698);
    let mut server = Server::new();
    let long = frame(10, &[2; 1698]);
    for taken in 0..long.len() - 1 {
        assert_eq!(server.session.room(), FIRST_BYTES_MAX - taken);
        server.give(&long[taken..=taken]);
    }
    assert_eq!((server.session.room(), server.end.as_ref()), (1, None));
}

/// What a client may send while it waits for message 2: nothing.
fn behind_the_first(count: usize) -> Option<ServerEnd> {
    let mut server = Server::new();
    server.session.handle_bytes(server.now, &hello(SUITE).1);
    assert_eq!(server.session.room(), PROOF_BYTES);
    server.session.handle_bytes(server.now, &vec![0; count]);
    if count <= PROOF_BYTES {
        assert_eq!(server.session.room(), PROOF_BYTES - count);
    }
    let mut events = std::iter::from_fn(|| server.session.poll_event());
    events.find_map(|event| match event {
        ddes_session::v2::ServerEvent::Ended(end) => Some(end),
        _ => None,
    })
}

#[test]
fn behind_a_first_message_no_more_is_kept_than_a_proof() {
    assert_eq!(behind_the_first(PROOF_BYTES), None);
    assert_eq!(behind_the_first(PROOF_BYTES + 1), Some(ServerEnd::Fault(Fault::Early)));
    assert_eq!(behind_the_first(64 * 1024), Some(ServerEnd::Fault(Fault::Early)));
    // In one piece with it.
    let mut server = Server::new();
    server.give(&[hello(SUITE).1, vec![0; PROOF_BYTES + 1]].concat());
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Early)));
}

#[test]
fn behind_a_proof_no_more_is_kept_than_that_and_a_session_takes_what_it_may() {
    let mut server = Server::new();
    let mut client = Client::meet(&mut server, SUITE);
    assert_eq!(server.session.room(), PROOF_BYTES);
    let proof = client.proof(&crate::world::identity(3), ddes_identity::Namespace::Client).encode();
    let proof = client.seal(Opcode::KeyVerification, &proof);
    server.session.handle_bytes(server.now, &[proof, vec![0; PROOF_BYTES + 1]].concat());
    server.give(&[]);
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Early)));

    let mut server = Server::new();
    Client::join(&mut server, 3);
    assert_eq!(server.session.room(), usize::MAX);
}
