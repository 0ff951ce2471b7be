//! C-03: the stream ends, between frames or at each byte of one.

use ddes_session::Phase;
use ddes_session::classic::{Fault, ServerEnd};

use crate::world::{Peer, Server, raw};

#[test]
fn an_end_between_frames_is_a_departure() {
    for joined in [false, true] {
        let mut server = Server::new();
        if joined {
            Peer::join(&mut server);
        } else {
            Peer::offer(&mut server);
        }
        server.give_eof();
        assert_eq!(server.end, Some(ServerEnd::Closed));
        assert_eq!(server.session.phase(), Phase::Done);
    }
}

#[test]
fn an_end_inside_a_30_counts_nothing_wherever_it_falls() {
    for cut in 1..88 {
        let mut server = Server::new();
        let peer = Peer::join(&mut server);
        server.give(&raw(30, &peer.data(42))[..cut]);
        server.give_eof();
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Truncated)), "after {cut} bytes");
        assert!(server.counted.is_empty());
        assert_eq!(server.session.phase(), Phase::Done);
    }
}

#[test]
fn an_end_inside_the_key_ends_the_session() {
    for cut in [1, 4, 7, 8, 9, 400] {
        let mut server = Server::new();
        let (pem, _) = Peer::answer(&Peer::offer(&mut server));
        server.give(&raw(10, &pem)[..cut]);
        server.give_eof();
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Truncated)), "after {cut} bytes");
    }
}

#[test]
fn an_integer_that_came_whole_is_counted_although_the_stream_ended_behind_it() {
    let mut server = Server::new();
    server.ledger_is_slow = true;
    let peer = Peer::join(&mut server);
    server.give(&raw(30, &peer.data(42)));
    server.give_eof();
    assert_eq!(server.end, None);
    server.settle_waiting();
    assert_eq!(server.end, Some(ServerEnd::Closed));
    assert_eq!(peer.keys.sum(&server.take()[1].1), "42");
    assert_eq!(server.session.phase(), Phase::Done);
}
