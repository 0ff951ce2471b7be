//! C-17, C-19, C-20: what begins once and is not begun again by what a peer does, each at its end
//! and just before it.

use std::time::Duration;

use ddes_session::Phase;
use ddes_session::classic::{EndReason, Fault, ServerEnd};

use crate::world::{Peer, Server, raw};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_clients_key_begins_no_other_deadline() {
    let mut server = Server::new();
    let offer = Peer::offer(&mut server);
    server.pass(9 * SECOND);
    server.session.handle_bytes(server.now, &raw(10, &Peer::answer(&offer).0));
    let work = server.session.poll_work().unwrap();
    server.pass(SECOND - MILLI);
    assert!(server.is_live());
    server.pass(MILLI);
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::HandshakeTimeout)));
    let frames = server.take().len();
    server.session.handle_done(server.now, work.run());
    assert_eq!((frames, server.take().len()), (1, 0), "no token behind the end");
}

#[test]
fn answers_queued_meanwhile_give_a_peer_that_takes_nothing_no_more_time() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    for _ in 0..10 {
        server.give(&raw(30, &peer.data(1)));
        server.pass(SECOND - MILLI);
    }
    server.pass(9 * MILLI);
    assert!(server.is_live());
    server.pass(MILLI);
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::TakesNothing)));
}

/// A peer that stays is not stayed with, whatever it sends and however the session ended.
#[test]
fn a_session_that_is_over_is_drained_for_five_seconds() {
    let over: [&dyn Fn(&mut Server); 4] = [
        &|server| {
            Peer::offer(server);
            server.pass(10 * SECOND);
        },
        &|server| server.give(&raw(50, b"")),
        &|server| {
            let peer = Peer::join(server);
            server.give(&raw(30, &peer.body(&[0; 7])[1..]));
        },
        &|server| {
            Peer::join(server);
            server.session.order_end(server.now, EndReason::Shutdown);
            server.give(b"");
        },
    ];
    for end in over {
        let mut server = Server::new();
        end(&mut server);
        server.take();
        server.give(b"");
        assert!(server.end.is_some());
        for _ in 0..4 {
            server.pass(SECOND);
            server.give(b"one more word");
        }
        server.pass(SECOND - MILLI);
        assert_eq!(server.session.phase(), Phase::Draining, "{:?}", server.end);
        server.pass(MILLI);
        assert_eq!(server.session.phase(), Phase::Done, "{:?}", server.end);
        assert!(!server.session.wants_bytes() && server.session.poll_timeout().is_none());
    }
}

#[test]
fn a_clock_that_is_read_too_early_ends_nothing() {
    let mut server = Server::new();
    let early = |server: &mut Server, phase| {
        server.session.handle_timeout(server.session.poll_timeout().unwrap() - MILLI);
        assert_eq!(server.session.phase(), phase);
    };
    early(&mut server, Phase::Live);
    Peer::join(&mut server);
    early(&mut server, Phase::Live);
    server.give(&raw(50, b""));
    server.take();
    early(&mut server, Phase::Draining);
}
