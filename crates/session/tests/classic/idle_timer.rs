//! C-17: silence, and what restarts the timer.

use std::time::Duration;

use ddes_session::Phase;
use ddes_session::classic::ServerEnd;

use crate::world::{Peer, Server, farewell, raw};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn without_an_integer_silence_ends_with_the_timeout_text() {
    let mut server = Server::new();
    Peer::join(&mut server);
    server.pass(59 * SECOND);
    assert!(server.is_live());
    server.pass(SECOND);
    assert_eq!(server.end, Some(ServerEnd::Idle { counted: false }));
    assert_eq!(server.take(), [farewell("Timeout: No data provided.")]);
}

#[test]
fn with_an_integer_silence_ends_with_the_sum() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    server.pass(40 * SECOND);
    server.give(&raw(30, &peer.data(42)));
    server.take();
    server.pass(59 * SECOND);
    assert!(server.is_live(), "the integer restarted the timer");
    server.pass(SECOND);
    assert_eq!(server.end, Some(ServerEnd::Idle { counted: true }));
    let frames = server.take();
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].0, peer.keys.sum(&frames[0].1).as_str()), (40, "42"));
}

#[test]
fn what_is_not_counted_does_not_restart_it() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    server.pass(59 * SECOND);
    server.give(&raw(30, b""));
    server.give(&raw(77, b"hello"));
    server.give(&raw(30, &peer.body(&[0; 8])));
    server.take();
    server.pass(SECOND);
    assert_eq!(server.end, Some(ServerEnd::Idle { counted: false }));
}

#[test]
fn it_stands_while_an_integer_waits_for_the_ledger() {
    let mut server = Server::new();
    server.ledger_is_slow = true;
    let peer = Peer::join(&mut server);
    server.give(&raw(30, &peer.data(42)));
    server.pass(300 * SECOND);
    assert!(server.is_live());
    server.settle_waiting();
    server.take();
    server.pass(59 * SECOND);
    assert!(server.is_live());
    server.pass(SECOND);
    assert_eq!(server.end, Some(ServerEnd::Idle { counted: true }));
}

#[test]
fn a_client_that_does_not_close_after_the_end_is_dropped_after_five_seconds() {
    let mut server = Server::new();
    Peer::join(&mut server);
    server.pass(60 * SECOND);
    server.take();
    assert_eq!(server.session.phase(), Phase::Draining);
    server.pass(5 * SECOND);
    assert_eq!(server.session.phase(), Phase::Done);
}
