//! C-22: the server's own decisions.

use ddes_session::classic::{EndReason, ServerEnd};

use crate::world::{Peer, Server, farewell, raw};

#[test]
fn a_shutdown_sends_the_sum_and_says_so() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    server.give(&raw(30, &peer.data(42)));
    server.take();
    server.session.order_end(server.now, EndReason::Shutdown);
    let frames = server.take();
    assert_eq!((frames[0].0, peer.keys.sum(&frames[0].1).as_str()), (40, "42"));
    assert_eq!(frames[1], farewell("Server is shutting down."));
}

#[test]
fn an_order_waits_for_the_integer_under_way() {
    let mut server = Server::new();
    server.ledger_is_slow = true;
    let peer = Peer::join(&mut server);
    server.give(&raw(30, &peer.data(42)));
    server.session.order_end(server.now, EndReason::Operator);
    assert!(server.take().is_empty());
    server.settle_waiting();
    let frames = server.take();
    assert_eq!(peer.keys.sum(&frames[1].1), "42");
    assert_eq!(frames[2], farewell("Session ended by the operator."));
    assert_eq!(server.end, Some(ServerEnd::Ordered(EndReason::Operator)));
}

#[test]
fn a_ledger_that_refuses_ends_the_session_without_an_acknowledgement() {
    let mut server = Server::new();
    server.ledger_is_slow = true;
    let peer = Peer::join(&mut server);
    server.give(&raw(30, &peer.data(42)));
    let (ticket, _) = server.waiting.remove(0);
    server.session.refuse(server.now, ticket);
    assert_eq!(server.take(), [farewell("Error: Ledger unavailable. Connection terminated.")]);
}
