//! C-20: a peer that takes nothing costs bounded memory, for ten seconds.

use std::time::Duration;

use ddes_session::classic::{Fault, ServerEnd};
use ddes_session::{Phase, STALL_MAX, UNSENT_BYTES_MAX};

use crate::world::{Peer, Server, raw};

#[test]
fn answers_pile_up_to_a_bound_and_then_nothing_more_is_read() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    let data = raw(30, &peer.data(1));
    let mut given = 0;
    while server.session.wants_bytes() {
        server.give(&data);
        given += 1;
        assert!(given < 10_000, "the bound must be met");
    }
    // One round of answers may pass the bound: 30 with its text, 40 with its sum.
    assert!(server.session.pending().len() < UNSENT_BYTES_MAX + 128);
    server.take();
    assert!(server.session.wants_bytes(), "it goes on once the peer reads");
}

#[test]
fn a_peer_that_takes_nothing_for_ten_seconds_is_dropped() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    server.give(&raw(30, &peer.data(1)));
    server.pass(STALL_MAX);
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::TakesNothing)));
    assert_eq!(server.session.phase(), Phase::Done);
    assert!(server.session.pending().is_empty());
}

#[test]
fn a_peer_that_takes_a_byte_now_and_then_is_not() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    server.give(&raw(30, &peer.data(1)));
    for _ in 0..5 {
        server.pass(STALL_MAX - Duration::from_millis(1));
        server.session.sent(server.now, 1);
    }
    assert!(server.is_live());
}
