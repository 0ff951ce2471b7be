//! C-18, C-20: more frames in one piece than are dealt with at once. What a bound leaves waits, in
//! its order; what stands behind a 50 is nothing.

use ddes_session::UNSENT_BYTES_MAX;
use ddes_session::classic::ServerEnd;

use crate::world::{Peer, Server, raw};

#[test]
fn one_integer_waits_for_the_ledger_and_no_more() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    server.ledger_is_slow = true;
    let data = raw(30, &peer.data(1));
    server.give(&data.repeat(3));
    assert_eq!(server.waiting.len(), 1);
    server.settle_waiting();
    assert_eq!((server.counted.len(), server.waiting.len()), (1, 1));
    server.ledger_is_slow = false;
    server.settle_waiting();
    assert_eq!(server.counted.len(), 3);
}

#[test]
fn with_64_kib_unsent_no_further_frame_is_dealt_with() {
    let count = 3_000;
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    server.give(&raw(30, &peer.data(1)).repeat(count));
    // One round of answers may pass the bound: 30 with its text, 40 with its sum.
    let unsent = server.session.pending().len();
    assert!((UNSENT_BYTES_MAX..UNSENT_BYTES_MAX + 128).contains(&unsent), "{unsent} bytes unsent");
    assert!(server.counted.len() < count && !server.session.wants_bytes());
    server.take();
    assert_eq!((server.counted.len(), server.end), (count, None));
}

#[test]
fn what_stands_behind_a_50_is_not_counted() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    server.ledger_is_slow = true;
    let data = raw(30, &peer.data(1));
    server.give(&[&data[..], &raw(50, b""), &data, &data].concat());
    server.settle_waiting();
    server.ledger_is_slow = false;
    server.settle_waiting();
    assert_eq!((server.counted.len(), server.end), (1, Some(ServerEnd::Bye)));
}
